"""Whether what was admitted and refused fits the promised limit: any kind of limiter with it, and no other limit much
better."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.analysis.numerals import counted, share
from bench.experiments.rate_limit.candidates import is_odd, search
from bench.experiments.rate_limit.evidence import trials_of, undisguised
from bench.experiments.rate_limit.promise import CUT, Clause, Part, Promise, meaning_of
from bench.experiments.rate_limit.replay import PHASED, WINDOWS, Rows, Trials, readings, rows
from bench.experiments.rate_limit.requests import BASES

NEAR = 0.03  # relative: limits that lie so near to the one promised are the one promised
FEW = 0.05  # of the requests, which may have failed for another reason
SURE = 3  # requests more that the promised limit must leave unexplained than another one
WINDOWS_S = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0)
"""Windows in which a limit per minute may be kept."""


def kept(clause: str, promise: Promise) -> Clause:
    """The admissions and refusals of all tests must fit a limiter of any kind with the promised limit, and no other
    limit may fit them much better."""
    above = promise.part("above")
    if not above.records:
        return Clause(clause, "inconclusive", promise.untested)
    told = f"{counted(len(above.records), 'requests')} at 150 %, {len(above.refused):,} refused"
    told += f" ({share(len(above.refused) / len(above.records))})"
    telling = len(above.refused) + len(above.of("admitted"))
    if telling < (1 - FEW) * len(above.records):
        return Clause(clause, "inconclusive", f"{told}; {above.doubt}")
    promised, trials = min(
        ((explained(promise.limit, one), one) for one in evidence(promise)), key=lambda pair: pair[0]
    )
    told += f"; {promise.limit:,} per minute explains {all_but(promised, len(trials))} answers"
    if not above.refused and above.is_whole:
        return Clause(clause, "fail", f"{told}; it would have refused about a third")
    if promised <= 1:
        return as_told(clause, above, told)
    free, (low, high) = (0, (0.0, 0.0)) if trials.admitted.all() else sustained(trials)
    near = promise.limit * (1 - NEAR) <= low and high <= promise.limit * (1 + NEAR)
    if promised <= free + 1 or near:
        return as_told(clause, above, told)
    told += f", {about(low, high)} per minute {all_but(free, len(trials))}" if high else ""
    return Clause(clause, "fail" if promised - free >= SURE else "inconclusive", told)


def as_told(clause: str, above: Part, told: str) -> Clause:
    """The clause that holds as far as it was tested."""
    return Clause(clause, "pass", told) if above.is_whole else Clause(clause, "inconclusive", f"{told}; {CUT}")


def all_but(left: int, many: int) -> str:
    return f"all but {left:,} of {many:,}" if left else f"all {many:,}"


def about(low: float, high: float) -> str:
    return f"{low:,.0f}" if round(low) == round(high) else f"{low:,.0f} to {high:,.0f}"


def evidence(promise: Promise) -> Iterator[Trials]:
    """The requests of a test with their costs, without those that say nothing of this limit: once for each way in which
    they may be counted. Long prompts with short answers hardly differ by whether the prompts alone are counted."""
    resource = promise.resource
    telling = [undisguised(one) for one in promise.own.records if meaning_of(one, resource) in ("admitted", "refused")]
    for basis in BASES:
        if basis.resource == resource:
            yield trials_of(telling, promise.costs.of(basis), charged_after=basis.charged == "after")
    if resource == "tokens":
        yield trials_of(telling, promise.costs.expected)


def explained(limit: float, trials: Trials) -> int:
    """How many requests the best limiter with this limit per minute leaves unexplained, over all kinds."""
    least = len(trials)
    turns = (trials.at[1:] + trials.at[:-1]) / 2
    for kind in WINDOWS:
        for window in WINDOWS_S:
            size = limit * window / 60.0
            if size < trials.cost.max() or abs(size - round(size)) > 1e-9:
                continue
            step = max(trials.blur, window / 400)
            phases: np.ndarray | float = 0.0
            if kind in PHASED:
                phases = np.unique(np.round(np.mod(turns, window) / step)) * step
            if kind == "sliding_counter":  # which foretells something else with every shift
                phases = np.linspace(0.0, window, 500, endpoint=False)
            least = min(least, unexplained(rows(kind, window, phases), np.full(1, size), trials))
    found = readings(rows("token_bucket", limit / 60.0), trials)
    sizes = np.unique(np.concatenate([np.ceil(found.low[0, trials.admitted] - 1e-6), [trials.cost.max()]]))
    for size in sizes[sizes <= 2 * limit]:
        least = min(least, unexplained(rows("token_bucket", limit / 60.0), np.full(1, size), trials))
    return least


def unexplained(tried: Rows, limit: np.ndarray, trials: Trials) -> int:
    """How many requests the best of these rows leaves unexplained with this limit."""
    found = readings(tried, trials)
    wrong = (found.low[:, trials.admitted] > limit[:, None] + 1e-6).sum(1)
    wrong += (found.high[:, ~trials.admitted] <= limit[:, None] + 1e-6).sum(1)
    return int(wrong.min())


def sustained(trials: Trials) -> tuple[int, tuple[float, float]]:
    """How many requests the best limiter leaves unexplained, and how much it and its equals admit per minute."""
    best, rates = len(trials), (0.0, 0.0)
    for kind, found in search(trials).items():
        if kind == "concurrency" or not len(found):
            continue
        top = found[found.unexplained <= found.unexplained.min()]
        top = top[is_odd(top.rows) <= is_odd(top.rows).min()]
        per_minute = 60.0 * (top.rows.span if kind == "token_bucket" else np.ceil(top.low - 1e-6) / top.rows.span)
        if top.unexplained[0] < best:
            best, rates = int(top.unexplained[0]), (float(per_minute.min()), float(per_minute.max()))
    return best, rates
