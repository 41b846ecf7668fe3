"""When a simulated model's tokens are due: queue, prefill, decoding, and what the prompt cache saves."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.simulator.config import Model, PrefixCache
from bench.simulator.counters import Counts


class Engine:
    """One model at work."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.counts = Counts()
        self._slots = asyncio.Semaphore(model.slots) if model.slots else None
        self._cache = Cache(model.cache) if model.cache else None

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """A place among the answers at a time, first come first served."""
        if self._slots is not None:
            self.counts.waiting += 1
            try:
                await self._slots.acquire()
            finally:
                self.counts.waiting -= 1
        self.counts.running += 1
        try:
            yield
        finally:
            self.counts.running -= 1
            if self._slots is not None:
                self._slots.release()

    def begins(self, arrived: float) -> float:
        """When it began with a request that has its place: on arrival, or now where requests queue for places."""
        return arrived if self._slots is None else time.monotonic()

    def cached(self, tokens: list[str], now: float) -> int:
        """How many of the prompt's tokens come from the cache; the prompt is in the cache from now on."""
        return self._cache.look_up(tokens, now) if self._cache else 0

    def offsets(self, rng: random.Random, *, prefill: int, tokens: int) -> list[float]:
        """When each token is due, seconds after the model began."""
        model = self.model
        at = rng.uniform(*model.ttft) + prefill * model.prefill_per_token
        crowd = max(0, self.counts.running - model.batch_size)
        gap = model.decode_per_token * (1 + crowd * model.batch_slowdown)
        offsets = []
        for _ in range(tokens):
            offsets.append(at)
            at += gap * (1 + model.jitter * rng.uniform(-1, 1)) if model.jitter else gap
        return offsets


class Cache:
    """Known beginnings of prompts, block by block; each block's key stands for all before it too."""

    def __init__(self, config: PrefixCache) -> None:
        self._config = config
        self._until: dict[bytes, float] = {}

    def look_up(self, tokens: list[str], now: float) -> int:
        """Tokens of the longest known beginning, in whole blocks, 0 below the minimum; then remembers all blocks."""
        block, known, hit = self._config.block, True, 0
        digest = hashlib.blake2b(digest_size=16)
        for end in range(block, len(tokens) + 1, block):
            digest.update("\0".join(tokens[end - block : end]).encode())
            key = digest.digest()
            known = known and self._until.get(key, 0.0) > now
            hit = end if known else hit
            self._until[key] = now + self._config.ttl
        if len(self._until) > 100_000:
            self._until = {key: until for key, until in self._until.items() if until > now}
        return hit if hit >= self._config.minimum else 0
