"""Which limiters explain the records: a search over kinds and parameters. It is the same search between the steps of an
experiment and in its report.

A candidate is a kind of limiter with its parameters and limits. It is judged by the number of requests that it does not
explain. Candidates that are about as good as the best one are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.experiments.rate_limit.evidence import held_back
from bench.experiments.rate_limit.replay import (
    KINDS,
    PHASED,
    LimiterKind,
    Numbers,
    Readings,
    Rows,
    Trials,
    readings,
    rows,
    thresholds,
)

MARGIN = 2  # requests more that another kind must leave unexplained before one is sure
ODD = 2
"""How many unexplained requests a window whose length is not round counts as. People write 10 and 60 seconds."""
ROUND_S = (0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600)
FAR_APART = 2.0
"""Requests. A limiter that had room for more than these is far from explaining a refusal, and one that was more than
these above its limit is far from explaining an admission. Neither a stranger's request nor an inexact moment does
that."""
FAR = 2  # what an unexplained request counts more, if the limiter is far from explaining it
SHORTEST_S, LONGEST_S = 0.2, 4000.0  # of windows that are looked for
SLOWEST, FASTEST = 0.005, 500.0  # of rates that are looked for, per second
STEP = 0.01  # from one window or rate of the first search to the next, relative
ROUNDS = ((160, 10, 0.008, 0.6), (48, 20, 0.003, 0.15), (24, 30, 0.001, 0.0))
"""Of the refinement: rows that it goes on from, how many it makes of each, how far they lie apart, relative, and how
far beyond the blur they may be off."""
ALIKE: tuple[LimiterKind, ...] = ("fixed_window_from_first", "sliding_log")
"""Kinds that do as a token bucket does where they admit one request."""
ROUND_RATE = 0.01
"""Relative: how far a round rate may lie from the middle of those that explain as much, unless these lie far apart."""
KEPT = 24  # rows that are kept between the steps of an experiment
GAPS = 6  # recoveries that phases are told from


@dataclass(frozen=True, slots=True)
class Candidate:
    """A limiter that explains the records, or comes as close as its kind can."""

    kind: LimiterKind
    unexplained: int  # requests that it does not explain
    far: int  # those of them that it is far from explaining
    odd: bool  # whether only windows of no round length explain as much
    span: tuple[float, float]  # windows in seconds that explain as much, or rates per second of a token bucket
    limit: tuple[float, float]  # limits that explain as much, both ends included; in units of what is limited

    @property
    def weight(self) -> int:
        """What speaks against it, in unexplained requests."""
        return self.unexplained + FAR * self.far + ODD * self.odd


@dataclass(frozen=True, slots=True)
class Survivors:
    """Parameters of one kind that are still possible, one row per set, each with its limits."""

    rows: Rows
    unexplained: Numbers
    low: Numbers  # the smallest limit of each
    high: Numbers  # up to here and not including it
    far: Numbers  # those of the unexplained requests that each is far from explaining

    @property
    def weight(self) -> Numbers:
        """What speaks against each, in unexplained requests."""
        return self.unexplained + FAR * self.far + ODD * is_odd(self.rows)

    def best(self, margin: float) -> Survivors:
        """Those against which as little speaks as against the best, to within a margin."""
        return self[self.weight <= self.weight.min(initial=np.inf) + margin]

    def __getitem__(self, chosen: Any) -> Survivors:
        every = (self.unexplained, self.low, self.high, self.far)
        return Survivors(self.rows[chosen], *(one[chosen] for one in every))

    def __len__(self) -> int:
        return len(self.rows)


def is_odd(rows: Rows) -> Numbers:
    """1 for each row with a window that no person would have chosen."""
    if rows.kind in ("token_bucket", "concurrency"):
        return np.zeros(len(rows))
    return np.asarray(1.0 - np.isin(rows.span, np.asarray(ROUND_S, float)), float)


Found = Mapping[LimiterKind, Survivors]


def search(trials: Trials, kinds: Iterable[LimiterKind] = KINDS, *, seed: int = 0) -> Found:
    """For each kind the parameters that leave the fewest requests unexplained. Empty where nothing was refused, since
    then every limiter that is large enough explains everything."""
    if not len(trials) or trials.admitted.all():
        return {}
    rng = np.random.default_rng(seed)
    if held_back(trials) is not None:  # at a steady rate, as only a bucket does
        kinds = ("token_bucket",)
    return distinct({kind: searched(kind, trials, rng) for kind in kinds})


def distinct(found: dict[LimiterKind, Survivors]) -> Found:
    """Leave out kinds that are another name for the same limiter: one request per window, as a log or from the first
    request, is a bucket of one."""
    bucket = found.get("token_bucket")
    if bucket is None or not is_of_one(bucket):
        return found
    least = float(bucket.weight.min())
    same = {kind for kind in ALIKE if kind in found and is_of_one(found[kind]) and found[kind].weight.min() >= least}
    return {kind: one for kind, one in found.items() if kind not in same}


def is_of_one(survivors: Survivors) -> bool:
    """Whether the best of them admit one request at a time."""
    best = survivors.best(0.0)
    return bool((whole(best.low, best.high)[1] <= 1.0).all())


def searched(kind: LimiterKind, trials: Trials, rng: np.random.Generator) -> Survivors:
    """The best parameters of one kind: a coarse look everywhere, then closer ones around the best."""
    if kind == "concurrency":
        return judged(rows(kind, 1.0), trials, 0.0)
    first = grid(kind, trials)
    length = float(trials.at[-1] - trials.at[0])
    coarse = 0.5 * STEP * (length if kind in (*PHASED, "token_bucket") else first.span)
    kept = cheapest(first, trials, trials.blur + coarse)
    for _, each, reach, blurred in ROUNDS:
        tried = varied(kept, reach, rng, phase_reach=reach * length, each=each)
        apart = tried.span if kind not in (*PHASED, "token_bucket") else length
        found = judged(tried, trials, trials.blur + 0.25 * blurred * reach * apart)
        kept = spread(found, rng, many=ROUNDS[1][0]).rows
    return joined(found, likely(kind, trials)).best(MARGIN)


def likely(kind: LimiterKind, trials: Trials) -> Survivors | None:
    """Every round window with every phase that matters, those of the recoveries among them, however near the two
    requests of one are. Two phases are the same if, with all windows laid on top of each other, they fall between the
    same two requests."""
    spans = np.array([one for one in ROUND_S if within_reach(kind, one, trials)])
    if kind == "token_bucket" or not len(spans):
        return None
    if kind not in PHASED:
        return judged(rows(kind, spans), trials, trials.blur)
    found, recovered = [], [(begin + end) / 2 for begin, end in recoveries(trials)]
    for span in spans:
        phases = np.concatenate([turns(trials, span), np.mod(recovered, span)])
        if kind == "sliding_counter":  # which foretells something else with every shift
            shares = np.linspace(0.0, 1.0, 60, endpoint=False)
            phases = np.concatenate([phases, np.mod(trials.at[0] + shares * span, span)])
        found.append(rows(kind, span, phases))
    tried = Rows(kind, np.concatenate([one.span for one in found]), np.concatenate([one.phase for one in found]))
    return judged(tried, trials, trials.blur)


def turns(trials: Trials, span: float) -> Numbers:
    """The moments, in seconds from the window's beginning, at which a window of this length may turn: midway between
    two neighbouring requests."""
    places = np.unique(np.mod(trials.at, span))
    following = np.append(places[1:], places[0] + span)
    return np.asarray(np.mod((places + following) / 2, span)[following - places > 0.5 * trials.blur])


def joined(one: Survivors, other: Survivors | None) -> Survivors:
    """The rows of both."""
    if other is None:
        return one
    both = [np.concatenate(pair) for pair in ((one.rows.span, other.rows.span), (one.rows.phase, other.rows.phase))]
    return Survivors(
        Rows(one.rows.kind, *both),
        np.concatenate([one.unexplained, other.unexplained]),
        np.concatenate([one.low, other.low]),
        np.concatenate([one.high, other.high]),
        np.concatenate([one.far, other.far]),
    )


def refined(found: Found, trials: Trials, *, seed: int = 0) -> Found:
    """Update the candidates after a few more requests: search near the ones that were possible before."""
    rng = np.random.default_rng(seed)
    again: dict[LimiterKind, Survivors] = {}
    length = float(trials.at[-1] - trials.at[0])
    for kind, before in found.items():
        if kind == "concurrency":
            again[kind] = judged(before.rows, trials, trials.blur)
            continue
        chosen = spread(before, rng, 2 * KEPT).rows
        wide = varied(chosen, 0.004, rng, phase_reach=0.004 * length, each=8)
        close = varied(chosen, 0.0007, rng, phase_reach=0.0007 * length, each=6)
        tried = rows(kind, [*wide.span, *close.span], [*wide.phase, *close.phase])
        again[kind] = joined(judged(tried, trials, trials.blur), likely(kind, trials)).best(MARGIN)
    return again


def spread(found: Survivors, rng: np.random.Generator, many: int = KEPT) -> Survivors:
    """The best rows. If too many are equally good, the outermost ones and a random choice of the rest."""
    order = np.argsort(found.unexplained, kind="stable")
    equal = np.flatnonzero(found.unexplained <= found.unexplained[order[0]])
    if len(equal) <= many:
        return found[order[:many]]
    outermost = [equal[pick(values[equal])] for values in (found.rows.span, found.rows.phase)
                 for pick in (np.argmin, np.argmax)]  # fmt: skip
    return found[np.concatenate([outermost, rng.choice(equal, many - len(outermost), replace=False)])]


def judged(tried: Rows, trials: Trials, blur: Any) -> Survivors:
    """Each row with the requests that it leaves unexplained, and its limits."""
    shown = readings(tried, trials, blur=blur)
    found = thresholds(shown, trials)
    return Survivors(tried, found.mismatches, found.low, found.high, far_from(shown, found.low, trials))


def far_from(shown: Readings, limits: Numbers, trials: Trials) -> Numbers:
    """How many requests each row is far from explaining with its limit; none where costs are only supposed."""
    if not trials.exact:
        return np.zeros(len(limits))
    limit, apart = limits[:, None], FAR_APART - 1e-6
    above = shown.low[:, trials.admitted] > limit + apart
    below = shown.high[:, ~trials.admitted] < limit - apart
    return np.asarray(above.sum(1) + below.sum(1), float)


def cheapest(tried: Rows, trials: Trials, blur: Any) -> Rows:
    """A quick choice of promising rows: with a limit just large enough for everything admitted, or just small enough
    for everything refused."""
    found = readings(tried, trials, blur=blur)
    admitted, refused = found.low[:, trials.admitted], found.high[:, ~trials.admitted]
    most = admitted.max(axis=1, keepdims=True, initial=0.0)
    least = refused.min(axis=1, keepdims=True, initial=np.inf)
    wrong = np.minimum((refused <= most).sum(1), (admitted >= least).sum(1))
    order = np.argsort(wrong, kind="stable")
    # of equals some from everywhere, not those with the shortest windows
    equal = order[wrong[order] <= wrong[order[min(ROUNDS[0][0] // 2, len(order) - 1)]]]
    return tried[equal[np.linspace(0, len(equal) - 1, ROUNDS[0][0]).astype(int)]]


def varied(kept: Rows, reach: float, rng: np.random.Generator, *, phase_reach: float, each: int) -> Rows:
    """The rows, some near each of them, and the nearest round windows."""
    spans = kept.span[:, None] * (1.0 + reach * rng.uniform(-1, 1, (len(kept), each)))
    spans[:, 0] = kept.span
    if kept.kind != "token_bucket":
        table = np.asarray(ROUND_S, float)
        nearest = table[np.abs(table[None, :] / kept.span[:, None] - 1.0).argmin(1)]
        near = np.abs(nearest / kept.span - 1.0) < 2.0 * reach
        spans[:, 1:4] = np.where(near[:, None], nearest[:, None], spans[:, 1:4])
    if kept.kind not in PHASED:
        return rows(kept.kind, np.unique(spans))
    # A phase is a moment; one near the middle of what was seen moves least when the window is varied.
    shifts = phase_reach * rng.uniform(-1, 1, spans.shape)
    shifts[:, :2] = 0.0
    return rows(kept.kind, spans.ravel(), (kept.phase[:, None] + shifts).ravel())


# -- where the search begins ----------------------------------------------------------------------------------


def grid(kind: LimiterKind, trials: Trials) -> Rows:
    """Where the search begins: parameters over the whole range that the refusals leave possible."""
    if kind == "token_bucket":
        return rows(kind, logarithmic(SLOWEST, FASTEST, STEP))
    least, most = reach_of(kind, trials)
    step = 1.5 * STEP if kind == "sliding_counter" else STEP
    spans = logarithmic(min(least, 0.9 * most), most, step)
    spans = np.unique(np.concatenate([spans, [one for one in ROUND_S if least <= one <= most]]))
    if kind not in PHASED:
        return rows(kind, spans)
    if kind == "sliding_counter":
        shares = np.linspace(0.0, 1.0, 24, endpoint=False)
        return rows(kind, *(one.ravel() for one in np.broadcast_arrays(spans[:, None], spans[:, None] * shares)))
    phases = np.concatenate([gap[0] + (gap[1] - gap[0]) * np.linspace(0.02, 0.98, 7) for gap in recoveries(trials)])
    return rows(kind, *(one.ravel() for one in np.broadcast_arrays(spans[:, None], phases[None, :])))


def reach_of(kind: LimiterKind, trials: Trials) -> tuple[float, float]:
    """The shortest and the longest window that the refusals leave possible, s."""
    length = float(trials.at[-1] - trials.at[0])
    least = max(SHORTEST_S, 0.97 * refused_for(kind, trials) * (0.5 if kind == "sliding_counter" else 1.0))
    return least, min(LONGEST_S, max(3.0 * least, 65.0, (3.0 if kind in PHASED else 1.1) * length))


def within_reach(kind: LimiterKind, span: float, trials: Trials) -> bool:
    least, most = reach_of(kind, trials)
    return least <= span <= most


def logarithmic(least: float, most: float, step: float) -> Numbers:
    """Values from one to another, each larger than the one before by the same share."""
    return np.geomspace(least, most, max(2, int(np.log(most / least) / step) + 1))


def refused_for(kind: LimiterKind, trials: Trials) -> float:
    """The longest time from something counted to a refusal, with nothing counted in between, s."""
    counts_refusals = kind == "sliding_log_counting_rejects"
    longest, since = 0.0, float(trials.at[0])
    for at, admitted in zip(trials.at, trials.admitted, strict=True):
        if not admitted:
            longest = max(longest, float(at) - since)
        if admitted or counts_refusals:
            since = float(at)
    return longest


def recoveries(trials: Trials) -> list[tuple[float, float]]:
    """Pairs of a refused and the next, admitted request: the first pair, and the closest ones."""
    ends = np.flatnonzero(trials.admitted[1:] & ~trials.admitted[:-1])
    gaps = [(float(trials.at[end]), float(trials.at[end + 1])) for end in ends]
    if not gaps:
        return [(float(trials.at[-1]), float(trials.at[-1]) + 60.0)]
    return [gaps[0], *sorted(gaps[1:], key=lambda gap: gap[1] - gap[0])[: GAPS - 1]]


# -- what it comes to -----------------------------------------------------------------------------------------


def possible(found: Found, *, margin: float = MARGIN) -> dict[LimiterKind, Survivors]:
    """The kinds that explain about as much as the best one, with those of their parameters that do."""
    if not found:
        return {}
    least = min(float(one.weight.min()) for one in found.values())
    kept = {kind: one[one.weight < least + margin] for kind, one in found.items()}
    return {kind: one for kind, one in kept.items() if len(one)}


def candidates(found: Found) -> list[Candidate]:
    """Each kind at its best, the best first."""
    made = []
    for kind, survivors in found.items():
        best = survivors.best(0.0)
        low, high = whole(best.low, best.high)
        made.append(
            Candidate(
                kind,
                int(best.unexplained[0]),
                int(best.far[0]),
                bool(is_odd(best.rows)[0]),
                (float(best.rows.span.min()), float(best.rows.span.max())),
                (float(low.min()), float(high.max())),
            )
        )
    return sorted(made, key=lambda one: one.weight)


def whole(low: Numbers, high: Numbers) -> tuple[Numbers, Numbers]:
    """The first and the last whole number from `low` up to and not including `high`; where there is none, the next."""
    first = np.ceil(low - 1e-6)
    last = np.where(np.isfinite(high), np.ceil(high - 1e-6) - 1.0, first)
    return first, np.maximum(first, last)


def round_rate(span: tuple[float, float]) -> float:
    """The round rate, per second or per minute, in this range; without one, the middle."""
    middle = (span[0] + span[1]) / 2
    for unit in (1.0, 60.0):
        digits = -int(np.floor(np.log10(middle * unit)))
        rounded = round(middle * unit, digits) / unit
        far = np.inf if span[1] > (1.0 + 5.0 * ROUND_RATE) * span[0] else ROUND_RATE
        if span[0] <= rounded <= span[1] and abs(rounded / middle - 1.0) <= far:
            return float(rounded)
    return middle


def round_limit(limit: tuple[float, float]) -> float:
    """The middle of this range, rounded to as few digits, of one to three, as lie inside; else a whole number."""
    return few_digits(limit) or float(round((limit[0] + limit[1]) / 2))


def few_digits(span: tuple[float, float]) -> float | None:
    """The middle of this range, rounded to as few digits, of one to three, as lie inside; None if that takes more."""
    middle = (span[0] + span[1]) / 2
    for digits in (0, 1, 2):
        rounded = round(middle, digits - int(np.floor(np.log10(middle)))) if middle > 0 else 0.0
        if span[0] <= rounded <= span[1]:
            return float(rounded)
    return None


def roundest(span: tuple[float, float]) -> float:
    """The round value in this range; without one the middle, with few digits if that lies inside."""
    inside = [one for one in ROUND_S if span[0] * 0.9985 <= one <= span[1] * 1.0015]
    return float(min(inside, key=lambda one: abs(one - sum(span) / 2))) if inside else few_digits(span) or sum(span) / 2
