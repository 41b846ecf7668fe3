"""How far two samples differ whose requests were not paired: models that one run asked at the same time, side by side.

Requests of one moment are alike: a server that is busy for a while slows many of them. An interval that takes every
request for a throw of its own is then too short: it holds the truth in 46 to 76 % of runs instead of 95 %, as
`python benchmarks/unpaired.py` shows. So the time is cut into parts, and what is counted within a part is one
observation; what slows both samples in the same part cancels out. The spread between parts, with Student's t, makes the
interval:

  quantiles  the ratios by which the second sample can be divided so that both exceed the quantile of all values to
             shares that differ by chance only (the median test of Mood 1950, with the spread between the parts).
  shares     the difference of two intervals of Wilson's (Newcombe 1998, method 10), in which requests count for as
             many as would spread alike if each were a throw of its own.
  ratios     of sums, such as dollars per request: by linear terms of the parts (Cochran 1977, chapter 6).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.analysis.statistics import (
    CONFIDENCE,
    UNBOUNDED,
    Interval,
    crossing,
    own_quantile,
    rank,
    student_quantile,
    wilson,
)

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

PARTS = 16  # of the time
STEPS = 26  # of a bisection of the ratio's logarithm: to a ten-millionth
TINY = 1e-9  # s; no time that we measure is shorter


@dataclass(frozen=True, slots=True)
class Timed:
    """Values, and in which part of the time the request of each was sent."""

    values: Floats
    parts: Places  # from 0 to PARTS - 1

    def __len__(self) -> int:
        return len(self.values)

    def sums(self, values: Floats) -> Floats:
        """Some values of these requests, summed by part."""
        return sums(values, self.parts)


def sums(values: Floats, parts: Places) -> Floats:
    """Values summed by part."""
    return np.bincount(parts, values, PARTS).astype(np.float64)


def part_of(times: Floats, begin: float, end: float) -> Places:
    """In which of the equal parts of a window each moment lies; what lies outside is of its first or last."""
    length = (end - begin) / PARTS or 1.0
    return np.clip(np.floor((np.nan_to_num(times, nan=begin) - begin) / length), 0, PARTS - 1).astype(np.intp)


def reach() -> float:
    """How many standard errors an interval goes to either side."""
    return student_quantile(0.5 + CONFIDENCE / 2, PARTS - 1)


def quantile_ratio(a: Timed, b: Timed, q: float) -> Interval | None:
    """The ratio of the q-quantiles, b's to a's; None where there are too few values for an interval."""
    first, second = own_quantile(a.values, q), own_quantile(b.values, q)
    if not first or not second:
        return None
    x, y = np.log(np.maximum(a.values, TINY)), np.log(np.maximum(b.values, TINY))

    def score(shift: float) -> float:
        return excess(a, b, x, y - shift, q)

    low, high = (crossing(score, edge, steps=STEPS) for edge in (reach(), -reach()))
    if low < -UNBOUNDED or high > UNBOUNDED:
        return None
    ratio = second / first  # where values are alike it may lie a hair beside ends that were searched for
    return Interval(len(a) + len(b), ratio, min(ratio, math.exp(low)), max(ratio, math.exp(high)))


def excess(a: Timed, b: Timed, x: Floats, y: Floats, q: float) -> float:
    """By how much more of y than of x exceeds the q-quantile of both together, in standard errors."""
    both = np.concatenate([x, y])
    place = rank(q, len(both))
    edge = np.partition(both, place)[place]
    over_x, over_y = over(x, edge), over(y, edge)
    share = float(over_x.sum() + over_y.sum()) / len(both)
    return in_errors(b.sums(over_y - share) / len(y) - a.sums(over_x - share) / len(x))


def over(values: Floats, edge: float) -> Floats:
    """1 for each value above the edge, and a half for one that lies on it."""
    counted: Floats = 0.5 * (values > edge) + 0.5 * (values >= edge)
    return counted


def in_errors(differences: Floats) -> float:
    """A sum of the parts' differences, in standard errors."""
    total, error = float(differences.sum()), error_of(differences)
    return total / error if error > 0.0 else math.copysign(math.inf, total) if total else 0.0


def error_of(terms: Floats) -> float:
    """The standard error of the sum of the parts' terms."""
    return math.sqrt(PARTS / (PARTS - 1) * float(np.square(terms - terms.mean()).sum()))


def share_difference(a: Timed, b: Timed) -> Interval | None:
    """The share of b's values that are 1 less that of a's, which are 0 or 1; None where one has no values."""
    if not len(a) or not len(b):
        return None
    p, q = float(a.values.mean()), float(b.values.mean())
    spread_a, spread_b = a.sums(a.values - p), b.sums(b.values - q)
    size = math.sqrt(float(np.square(spread_a).sum() * np.square(spread_b).sum()))
    alike = float((spread_a * spread_b).sum()) / size if size else 0.0
    (low_a, high_a), (low_b, high_b) = wilson(p, independent(a, p), reach()), wilson(q, independent(b, q), reach())
    down = combined(q - low_b, high_a - p, alike)
    up = combined(high_b - q, p - low_a, alike)
    return Interval(len(a) + len(b), q - p, q - p - down, q - p + up)


def combined(one: float, other: float, alike: float) -> float:
    """The size of two deviations together; `alike` is their correlation."""
    return math.sqrt(max(0.0, one * one + other * other - 2.0 * alike * one * other))


def independent(one: Timed, share: float) -> float:
    """How many independent requests would have a share that varies as much as this one's does from part to part."""
    own = len(one) * share * (1.0 - share)
    seen = error_of(one.sums(one.values - share)) ** 2
    return len(one) * own / seen if seen > 0.0 else float(len(one))


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums of two things by part, such as dollars and requests."""

    above: Floats
    below: Floats

    @property
    def ratio(self) -> float | None:
        """The first per second thing; None where there is none of either."""
        above, below = float(self.above.sum()), float(self.below.sum())
        return above / below if above > 0.0 and below > 0.0 else None


def ratio_of_ratios(a: Totals, b: Totals) -> Interval | None:
    """b's ratio to a's; None where one of them has none."""
    first, second = a.ratio, b.ratio
    if first is None or second is None:
        return None
    terms = [(one.above - ratio * one.below) / float(one.above.sum()) for one, ratio in ((a, first), (b, second))]
    half = reach() * error_of(terms[1] - terms[0])
    shift = math.log(second / first)
    n = int(a.below.sum() + b.below.sum())
    return Interval(n, second / first, math.exp(shift - half), math.exp(shift + half))
