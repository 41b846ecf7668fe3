"""When the tokens of a simulated model are due: queue, prefill, decoding, and the effect of the prompt cache."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.simulator.cache import Cache, Lookup
from bench.simulator.config import Model
from bench.simulator.counters import Counts
from bench.simulator.ledger import Ledger


class Engine:
    """The timing, the cache and the counts of one model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.counts = Counts()
        self.ledger = Ledger(model.prices)
        self._slots = asyncio.Semaphore(model.slots) if model.slots else None
        self._cache = Cache(model.cache) if model.cache else None

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """A slot for one answer; without a free slot requests wait in the order in which they came."""
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
        """When the model began a request that has its slot: at its arrival, or now if the model has limited slots."""
        return arrived if self._slots is None else time.monotonic()

    def look_up(
        self, tokens: list[str], now: float, *, key: str = "", session: str = "", ends: list[int] | None = None
    ) -> Lookup | None:
        """Look up a prompt in the cache; None if the model has no cache."""
        return self._cache.look_up(tokens, now, key=key, session=session, ends=ends) if self._cache else None

    def store(self, found: Lookup, ready: float, *, ttl: float | None = None) -> None:
        """Store a prompt in the cache; it is there from `ready`, when its prefill is done."""
        assert self._cache is not None
        self._cache.store(found, ready, ttl=ttl)

    def offsets(self, rng: random.Random, *, prefill: float, tokens: int) -> list[float]:
        """When each token is due, in seconds after the model began."""
        model = self.model
        at = rng.uniform(*model.ttft) + prefill * model.prefill_per_token
        crowd = max(0, self.counts.running - model.batch_size)
        gap = model.decode_per_token * (1 + crowd * model.batch_slowdown)
        offsets = []
        for _ in range(tokens):
            offsets.append(at)
            at += gap * (1 + model.jitter * rng.uniform(-1, 1)) if model.jitter else gap
        return offsets
