"""From records to what a limiter did: when each request came, whether it was admitted, what it cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bench.experiments.rate_limit.replay import Trials
from bench.records import Record

REFUSED = frozenset({"throttled", "overloaded", "server_error", "timeout", "connect"})
"""Outcomes of a request that was not let in: the right one, and those that servers give in its place."""
UNKNOWN = frozenset({"auth", "invalid", "quota", "censored", "protocol"})
"""Outcomes that say nothing about a rate limit."""
LEAST_BLUR_S = 0.001  # nothing arrives more exactly than that

Cost = Callable[[Record], float]


def one(record: Record) -> float:
    """Each request costs one."""
    return 1.0


def told(records: Sequence[Record]) -> list[Record]:
    """Those that say something about a limiter, in the order of sending."""
    kept = [record for record in records if record.sent is not None and record.outcome not in UNKNOWN]
    return sorted(kept, key=lambda record: record.sent or 0.0)


def trials_of(records: Sequence[Record], cost: Cost = one, *, charged_after: bool = False) -> Trials:
    """What a limiter did with these requests.

    A refusal takes a round trip and nothing else, so refusals say how far arrivals may lie from where the moments of
    sending have them.
    """
    kept = told(records)
    refused = np.array([record.outcome in REFUSED for record in kept], bool)
    sent = np.array([record.sent for record in kept], float)
    done = np.array([record.done for record in kept], float)
    answered = np.array([record.headers_at or record.done for record in kept], float)
    trips = (answered - sent)[refused] if refused.any() else (answered - sent)
    low, middle, high = np.quantile(trips, (0.05, 0.5, 0.95)) if len(trips) else (0.0, 0.0, 0.0)
    return Trials(
        at=sent,
        done=done,
        admitted=~refused,
        cost=np.array([cost(record) for record in kept], float),
        blur=LEAST_BLUR_S + 0.7 * float(high - low),
        trip=float(middle),
        charged_after=charged_after,
    )
