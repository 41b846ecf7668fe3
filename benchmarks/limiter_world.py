"""A provider on a simulated clock: one of the simulator's limiters, round trips, and other people's requests."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from bench.plan.requests import Planned
from bench.records import Record
from bench.simulator.limiters import (
    FixedWindow,
    FixedWindowFromFirst,
    Limiter,
    SlidingCounter,
    SlidingLog,
    SlidingLogCountingRejects,
    TokenBucket,
)

WINDOWS = {
    "fixed_window": FixedWindow,
    "fixed_window_from_first": FixedWindowFromFirst,
    "sliding_log": SlidingLog,
    "sliding_log_counting_rejects": SlidingLogCountingRejects,
    "sliding_counter": SlidingCounter,
}
KINDS = (*WINDOWS, "token_bucket")
JITTER = 0.05  # of a way there or back, on average, exponential


@dataclass(frozen=True, slots=True)
class Truth:
    """A limiter as it was drawn."""

    kind: str
    limit: int  # of a token bucket its burst
    span: float  # window, s; of a token bucket what flows in per second
    trip: float  # round trip, s

    def limiter(self) -> Limiter:
        if self.kind == "token_bucket":
            return TokenBucket(self.limit, self.span)
        return WINDOWS[self.kind](self.limit, self.span)

    @property
    def sustained(self) -> float:
        """Requests per second that it admits for ever."""
        return self.span if self.kind == "token_bucket" else self.limit / self.span


def truths(count: int, seed: int) -> Iterator[Truth]:
    """Limiters of all kinds, in turn."""
    rng = random.Random(seed)
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        trip = rng.uniform(0.02, 0.2)
        if kind == "token_bucket":
            yield Truth(kind, rng.randint(5, 60), rng.uniform(0.5, 10.0), trip)
        else:
            yield Truth(kind, rng.randint(5, 80), float(rng.choice((1, 10, 60))), trip)


class Provider:
    """Answers requests as a server with this limiter would, for a SimulatedPerformer."""

    def __init__(self, truth: Truth, *, seed: int, foreign: float = 0.0) -> None:
        """`foreign` is what others send, as a share of what the limiter admits for ever."""
        self._truth, self._rng, self._limiter = truth, random.Random(seed), truth.limiter()
        self._foreign = foreign * truth.sustained
        self._offset = self._rng.uniform(0.0, 1000.0)  # of the server's clock
        self._next = self._rng.expovariate(self._foreign) if self._foreign else float("inf")
        self._last = 0.0

    def __call__(self, planned: Planned, at: float) -> Record:
        half = self._truth.trip / 2
        arrived = max(self._last, at + half * (1.0 + self._rng.expovariate(1.0 / JITTER)))
        self._last = arrived
        while self._next <= arrived:
            self._limiter.admit(self._next + self._offset)
            self._next += self._rng.expovariate(self._foreign)
        admitted = self._limiter.admit(arrived + self._offset).admitted
        done = arrived + half * (1.0 + self._rng.expovariate(1.0 / JITTER))
        return record_of(planned, at, done, "ok" if admitted else "throttled")


def record_of(planned: Planned, sent: float, done: float, outcome: str) -> Record:
    """The record of an answer in one piece."""
    ok = outcome == "ok"
    return Record(
        seq=planned.seq, worker=0, user=0, stage="", name=planned.name, model=planned.model, api=planned.api,
        stream=planned.stream, due=None, sent=sent, connect_started=None, connected=None, headers_at=done, done=done,
        arrivals=[], first_token_at=None, first_answer_at=None, merged=0, read_delay=None, clock="kernel",
        status=200 if ok else 429, outcome=outcome, error=None if ok else "HTTP 429", attempts=1, earlier=[],
        reopened=False, retry_after=None, limits={}, prompt_tokens=1 if ok else None,
        completion_tokens=1 if ok else None, reasoning_tokens=None, cached_tokens=None, cache_write_tokens=None,
        tokens_from="usage" if ok else "none", output_chars=0, finish_reason="length" if ok else None,
        response_model=planned.model, request_id=None, http="HTTP/1.1", bytes_received=0, arm=planned.arm,
    )  # fmt: skip
