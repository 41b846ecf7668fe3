"""From records to evidence: when each request arrived, whether it was admitted, what it cost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bench.experiments.rate_limit.replay import Trials
from bench.records import Record, is_disguised

ADMITTED = frozenset({"ok", "truncated", "empty"})
"""Outcomes of a request that was let in."""
REFUSED = frozenset({"throttled", "overloaded", "server_error", "timeout", "connect"})
"""Outcomes of a request that was not let in: the right one, and those that servers give in its place."""
PLAIN = frozenset({"throttled", "overloaded"})
"""Refusals that say so. Where a server has them, errors and silence are something else."""
INCURABLE = frozenset({"auth", "invalid"})
"""Outcomes of a request that was refused for itself: no waiting cures that."""
UNKNOWN = INCURABLE | {"quota", "censored", "protocol"}
"""Outcomes that say nothing about a rate limit."""
LEAST_BLUR_S = 0.001  # nothing arrives more exactly than that

LEAST_APART_S = 0.02  # answers that come one by one faster than this are no limiter's doing
AT_ONCE_S = 0.03  # requests that follow each other so closely are of one burst
LEAST_HELD, STEADY = 5, 0.25
"""Answers of a burst from which it shows that a limiter holds them back, and how far, relative, most of the times
between them may lie from the middle one."""

Cost = Callable[[Record], float]


def one(record: Record) -> float:
    """Each request costs one."""
    return 1.0


def undisguised(record: Record) -> Record:
    """The record; of a refusal that only its words tell, as an error in the place of a 429."""
    if is_disguised(record.outcome, record.error):
        return replace(record, outcome="overloaded")
    if record.outcome == "throttled" and record.status not in (None, 429):
        return replace(record, outcome="overloaded")
    return record


def is_refused(record: Record) -> bool:
    """Whether a limit refused it, in whatever way."""
    return undisguised(record).outcome in REFUSED


def told(records: Sequence[Record]) -> list[Record]:
    """The records that say something about a limiter, in the order of sending, disguised refusals as what they are."""
    records = list(map(undisguised, records))
    plain = any(record.outcome in PLAIN for record in records)
    unknown = UNKNOWN | (REFUSED - PLAIN) if plain else UNKNOWN
    kept = [record for record in records if record.sent is not None and record.outcome not in unknown]
    return sorted(kept, key=lambda record: record.sent or 0.0)


def arrivals(records: Sequence[Record]) -> list[tuple[float, Record]]:
    """When each request arrived, as far as that is known. The order of requests sent at once over several
    connections is unknown; the admitted ones are put first, because a limiter admits until it is full."""
    placed: list[tuple[float, Record]] = []
    begin = -np.inf
    for record in told(records):
        sent = record.sent or 0.0
        begin = begin if sent - begin < LEAST_BLUR_S else sent
        placed.append((begin, record))
    return sorted(placed, key=lambda pair: (pair[0], pair[1].outcome in REFUSED))


def trials_of(
    records: Sequence[Record], cost: Cost = one, *, charged_after: bool = False, exact: bool = False
) -> Trials:
    """What a limiter did with these requests. `exact` says that the costs are known and not only supposed.

    A refusal takes one round trip and nothing else. How much round trips vary says how uncertain the arrival of every
    request is.
    """
    placed = arrivals(records)
    kept = [record for _, record in placed]
    refused = np.array([record.outcome in REFUSED for record in kept], bool)
    sent = np.array([record.sent for record in kept], float)
    done = np.array([record.done for record in kept], float)
    answered = np.array([record.headers_at or record.done for record in kept], float)
    trips = (answered - sent)[refused] if refused.any() else (answered - sent)
    low, high = np.quantile(trips, (0.05, 0.95)) if len(trips) else (0.0, 0.0)
    return Trials(
        at=np.array([at for at, _ in placed], float),
        done=done,
        admitted=~refused,
        cost=np.array([cost(record) for record in kept], float),
        blur=LEAST_BLUR_S + 0.7 * float(high - low),
        trip=float(low),
        charged_after=charged_after,
        exact=exact,
    )


# -- answers that a limiter holds back ------------------------------------------------------------------------


def held_back(trials: Trials) -> float | None:
    """If a limiter delays requests instead of refusing them: the time between two that it lets through, s. It shows
    in a burst whose first answer comes at once and whose others follow one by one at a steady rate. None if it
    delays nothing."""
    for first, last in bursts(trials):
        chosen = np.arange(first, last)[trials.admitted[first:last]]
        if len(chosen) < LEAST_HELD:
            continue
        gaps = np.diff(np.sort(trials.done[chosen]))[-(len(chosen) // 2 + 1) :]
        middle = float(np.median(gaps))
        took = float((trials.done - trials.at)[chosen].min())
        apart = (float(trials.at[chosen[-1]]) - float(trials.at[chosen[0]])) / (len(chosen) - 1)
        steady = bool((np.abs(gaps - middle) <= STEADY * middle).mean() >= 0.7)
        if steady and took < 0.5 * middle and middle > max(1.5 * apart, LEAST_APART_S):
            return middle
    return None


def bursts(trials: Trials) -> list[tuple[int, int]]:
    """Runs of requests that were sent while others were open or right after: the first of each run, and the one
    after its last."""
    ends = np.maximum.accumulate(trials.done) + AT_ONCE_S
    starts = [0, *(np.flatnonzero(trials.at[1:] > ends[:-1]) + 1).tolist(), len(trials)]
    return list(itertools.pairwise(starts))


def longest_held(trials: Trials) -> float:
    """The longest that an admitted request took, s."""
    return float((trials.done - trials.at)[trials.admitted].max(initial=0.0))
