"""A prompt cache: known beginnings of prompts, in whole blocks, on one or several replicas. It has no clock of its own.

A prompt is looked up when it arrives and is stored when its prefill is done, so two that come at once both miss.
"""

from __future__ import annotations

import hashlib
import random
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from bench.simulator.config import PrefixCache

MINUTE_S = 60.0
MOST_BLOCKS = 100_000  # of a replica without a capacity, before those that have expired are taken out


@dataclass(slots=True)
class Block:
    """One block as it is kept; its key stands for all that comes before it too. Times are the caller's seconds."""

    ready: float  # when its prefill was done
    until: float  # when it expires
    ttl: float  # how long reading prolongs it


@dataclass(frozen=True, slots=True)
class Found:
    """What a cache knew of a prompt when it arrived."""

    replica: int
    keys: tuple[bytes, ...]  # of the prompt's whole blocks
    read: int  # tokens that were read from the cache
    stored: int  # tokens that will be in it afterwards; 0 for a prompt that is too short


class Cache:
    """What a model's replicas keep."""

    def __init__(self, config: PrefixCache, rng: random.Random | None = None) -> None:
        self._config, self._rng = config, rng or random.Random(0)
        self._replicas: list[OrderedDict[bytes, Block]] = [OrderedDict() for _ in range(config.replicas)]
        self._recent: dict[bytes, deque[float]] = {}  # when requests with one beginning came, of the last minute

    def look_up(self, tokens: Sequence[str], now: float, *, key: str = "", session: str = "") -> Found:
        """The longest known beginning of a prompt. `key` is whose it is, `session` what keeps it at one replica."""
        config = self._config
        keys = self._keys(tokens, key if config.scope == "key" else "")
        number = self._route(tokens, now, session or key)
        replica, held = self._replicas[number], 0
        for one in keys:
            block = replica.get(one)
            if block is None or not block.ready <= now < block.until:
                break
            held += 1
        read = held * config.block
        if read < config.minimum:
            read = held = 0
        for one in reversed(keys[:held]):  # the first block is the last to go: without it the others are no use
            if config.refresh:
                replica[one].until = max(replica[one].until, now + replica[one].ttl)
            replica.move_to_end(one)
        whole = len(keys) * config.block
        return Found(number, keys, read, whole if whole >= config.minimum else 0)

    def store(self, found: Found, ready: float, *, ttl: float | None = None) -> None:
        """Keep a prompt from the moment its prefill is done; `ttl` is what the request asked for, in seconds."""
        if not found.stored:
            return
        config, replica = self._config, self._replicas[found.replica]
        lasts = config.ttl if ttl is None else ttl
        for one in reversed(found.keys[found.read // config.block :]):
            known = replica.get(one)
            if known is None or known.until <= ready:
                replica[one] = Block(ready, ready + lasts, lasts)
            replica.move_to_end(one)
        most = len(replica) if config.capacity is None else config.capacity // config.block
        while len(replica) > most:
            replica.popitem(last=False)
        if len(replica) > MOST_BLOCKS and config.capacity is None:
            for one in [one for one, block in replica.items() if block.until <= ready]:
                del replica[one]

    def _keys(self, tokens: Sequence[str], salt: str) -> tuple[bytes, ...]:
        block, found = self._config.block, []
        digest = hashlib.blake2b(salt.encode(), digest_size=16)
        for end in range(block, len(tokens) + 1, block):
            digest.update("\0".join([*tokens[end - block : end], ""]).encode())
            found.append(digest.digest())
        return tuple(found)

    def _route(self, tokens: Sequence[str], now: float, session: str) -> int:
        """Which replica a prompt goes to."""
        config = self._config
        if config.replicas == 1:
            return 0
        if config.routing == "random":
            return self._rng.randrange(config.replicas)
        word = session if config.routing == "sticky" else "\0".join(tokens[: config.route_tokens])
        beginning = hashlib.blake2b(word.encode(), digest_size=8).digest()
        if config.spill is not None and self._is_more(beginning, now):
            return self._rng.randrange(config.replicas)
        return int.from_bytes(beginning, "big") % config.replicas

    def _is_more(self, beginning: bytes, now: float) -> bool:
        """Whether so many requests with this beginning came within a minute that one more goes anywhere."""
        assert self._config.spill is not None
        recent = self._recent.setdefault(beginning, deque())
        while recent and recent[0] <= now - MINUTE_S:
            recent.popleft()
        recent.append(now)
        return len(recent) > self._config.spill
