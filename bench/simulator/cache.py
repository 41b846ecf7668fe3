"""A prompt cache: it stores the beginnings of prompts in whole blocks, on one or several replicas. The caller gives it
the time.

A prompt is looked up when it arrives and stored when its prefill is done, so two equal prompts that come at the same
time both miss.
"""

from __future__ import annotations

import hashlib
import random
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from bench.simulator.config import PrefixCache

MINUTE_S = 60.0
MOST_BLOCKS = 100_000  # a replica without a capacity removes expired blocks above this number


@dataclass(slots=True)
class Block:
    """One stored block. Its key depends on all tokens before it too. Times are the caller's seconds."""

    ready: float  # when its prefill was done
    until: float  # when it expires
    ttl: float  # how long it lives after it is read again


@dataclass(frozen=True, slots=True)
class Lookup:
    """The result of looking up a prompt."""

    replica: int
    keys: tuple[bytes, ...]  # keys of the prompt's whole blocks
    read: int  # tokens that were read from the cache
    stored: int  # tokens that will be in the cache afterwards; 0 if the prompt is too short


class Cache:
    """The caches of a model's replicas."""

    def __init__(self, config: PrefixCache, rng: random.Random | None = None) -> None:
        self._config, self._rng = config, rng or random.Random(0)
        self._replicas: list[OrderedDict[bytes, Block]] = [OrderedDict() for _ in range(config.replicas)]
        self._recent: dict[bytes, deque[float]] = {}  # arrivals in the last minute, by the prompt's beginning

    def look_up(
        self,
        tokens: Sequence[str],
        now: float,
        *,
        key: str = "",
        session: str = "",
        ends: Sequence[int] | None = None,
    ) -> Lookup:
        """The longest stored beginning of a prompt. `key` is its API key; `session` keeps prompts on one replica.

        `ends` are the only places, in tokens, where what is read may end; the last of them ends what is stored. None:
        any place."""
        config = self._config
        tokens = tokens if ends is None else tokens[: max(ends, default=0)]
        block_keys = self._keys(tokens, key if config.scope == "key" else "")
        number = self._route(tokens, now, session or key)
        replica, hits = self._replicas[number], 0
        for block_key in block_keys:
            block = replica.get(block_key)
            if block is None or not block.ready <= now < block.until:
                break
            hits += 1
        if ends is not None:
            hits = max((end // config.block for end in ends if end // config.block <= hits), default=0)
        read = hits * config.block
        if read < config.minimum:
            read = hits = 0
        for block_key in reversed(block_keys[:hits]):  # drop the first block last: the others need it
            if config.refresh:
                replica[block_key].until = max(replica[block_key].until, now + replica[block_key].ttl)
            replica.move_to_end(block_key)
        whole = len(block_keys) * config.block
        return Lookup(number, block_keys, read, whole if whole >= config.minimum else 0)

    def store(self, found: Lookup, ready: float, *, ttl: float | None = None) -> None:
        """Store a prompt whose prefill is done at `ready`. `ttl` is the lifetime that the request asked for, s."""
        if not found.stored:
            return
        config, replica = self._config, self._replicas[found.replica]
        lifetime = config.ttl if ttl is None else ttl
        for block_key in reversed(found.keys[found.read // config.block :]):
            known = replica.get(block_key)
            if known is None or known.until <= ready:
                replica[block_key] = Block(ready, ready + lifetime, lifetime)
            replica.move_to_end(block_key)
        most = len(replica) if config.capacity is None else config.capacity // config.block
        while len(replica) > most:
            replica.popitem(last=False)
        if len(replica) > MOST_BLOCKS and config.capacity is None:
            for block_key in [key for key, block in replica.items() if block.until <= ready]:
                del replica[block_key]

    def _keys(self, tokens: Sequence[str], salt: str) -> tuple[bytes, ...]:
        block, found = self._config.block, []
        digest = hashlib.blake2b(salt.encode(), digest_size=16)
        for end in range(block, len(tokens) + 1, block):
            digest.update("\0".join([*tokens[end - block : end], ""]).encode())
            found.append(digest.digest())
        return tuple(found)

    def _route(self, tokens: Sequence[str], now: float, session: str) -> int:
        """The number of the replica that gets a prompt."""
        config = self._config
        if config.replicas == 1:
            return 0
        if config.routing == "random":
            return self._rng.randrange(config.replicas)
        word = session if config.routing == "sticky" else "\0".join(tokens[: config.route_tokens])
        beginning = hashlib.blake2b(word.encode(), digest_size=8).digest()
        if config.spill is not None and self._spills(beginning, now):
            return self._rng.randrange(config.replicas)
        return int.from_bytes(beginning, "big") % config.replicas

    def _spills(self, beginning: bytes, now: float) -> bool:
        """Whether more requests with this beginning came within a minute than one replica takes."""
        assert self._config.spill is not None
        recent = self._recent.setdefault(beginning, deque())
        while recent and recent[0] <= now - MINUTE_S:
            recent.popleft()
        recent.append(now)
        return len(recent) > self._config.spill
