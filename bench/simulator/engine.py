"""When a simulated model's tokens are due: queue, prefill, decoding, and what the prompt cache saves."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.simulator.cache import Cache, Found
from bench.simulator.config import Model
from bench.simulator.counters import Counts
from bench.simulator.ledger import Ledger


class Engine:
    """One model at work."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.counts = Counts()
        self.ledger = Ledger(model.prices)
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

    def look_up(self, tokens: list[str], now: float, *, key: str = "", session: str = "") -> Found | None:
        """What the cache knows of a prompt; None where the model has no cache."""
        return self._cache.look_up(tokens, now, key=key, session=session) if self._cache else None

    def store(self, found: Found, ready: float, *, ttl: float | None = None) -> None:
        """A prompt is in the cache from the moment its prefill is done."""
        assert self._cache is not None
        self._cache.store(found, ready, ttl=ttl)

    def offsets(self, rng: random.Random, *, prefill: float, tokens: int) -> list[float]:
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
