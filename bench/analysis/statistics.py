"""Finds the slower of two samples by label swaps within pairs: tests that hold under any drift, and their intervals.

Both requests of a pair carry the same prompt and are sent one after the other in an order that we draw. If the arms do
not differ, each pair could as well have come out the other way round, whatever the server did meanwhile; so what was
seen is compared with all ways to swap labels within pairs. Two statistics are used, and of both the distribution under
swaps is known in closed form:

  centre     the mean of the log ratios within pairs, each clipped at three times their median size, or at that size
             where one of the pair failed. Its swaps are sums of fixed sizes with random signs (the normal distribution
             with the same variance; Fisher 1935).
  quantile   by how much more the values of one arm than of the other exceed the beginning of the slow end of both
             together, which no swap moves. Its swaps are sums of fixed sizes with random signs, too. The slow end
             begins where five times as many values lie as beyond the quantile: to count those beyond the quantile
             alone (McNemar 1947) shows a p99 that is 30 % higher in three of four comparisons of 2,000 pairs, this
             in 98 of 100.

A null hypothesis "the ratio is r" is tested after dividing the candidate's values by r; the ratios that are not
refused form the confidence interval. A failed request is slower than any other: its value is infinite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CLIP = 3.0  # times the median size of the log ratios
WIDEST = math.log(1000.0)  # the largest ratio that is searched for
UNBOUNDED = 0.99 * WIDEST  # a shift beyond this one is the end of the search, not what was sought
STEPS = 44  # of a bisection: WIDEST / 2^44 is finer than any time we measure
CONFIDENCE = 0.95  # of intervals
POWER = 0.95  # the chance that the smallest effect would be shown
SLOW_END = 5.0  # times as many values as lie beyond a quantile are looked at for it
UNEQUAL, EXTREME, LIMIT = 2.9, 3.7, 11.0
"""From how many times the median size of the log ratios on a pair is unequal, and very unequal: 2 and 2.5 standard
deviations of normal ones; and beyond which no pair counts for more. The size of a ratio does not change if the arms
are swapped, and rare slow requests hardly change its median."""
LOOKS = ((0.4, 0.01), (0.7, 0.0197), (1.0, 0.0393))
"""After which share of the pairs there is a decision, and its p-value. Together they are wrong in 5 % of comparisons:
1 % may be spent at the first look, 2.5 % up to the second; the looks share pairs, so that their scores are correlated
(Lan and DeMets 1983)."""

ROUNDING = 1e-9
"""By how much a share times a number of values may exceed a whole number as floats are multiplied: 0.07 · 100 does."""

Verdict = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Effect:
    """How the candidate compares with the baseline. Ratios above 1 say that its values are larger."""

    pairs: int
    baseline: float | None  # the statistic of each arm alone; None if too many failed for it to be finite
    candidate: float | None
    ratio: float | None  # candidate / baseline; None if there is nothing to compare
    low: float | None  # of the confidence interval; 0.0 if nothing bounds it, since requests failed
    high: float | None  # likewise, then infinite
    smallest: float | None  # the ratio that so many pairs would probably have shown, such as 1.04
    larger: float  # p-value of: the ratio is at most 1
    within: float  # p-value of: the ratio is at least 1 + margin


Tails = Callable[[float], tuple[float, float]]
"""Of a shift of the log ratio: the chance, if it were the true one, of a statistic at least as large as the one seen,
and of one at most as large. The first grows with the shift, the second falls."""


def centre(a: Floats, b: Floats, *, margin: float) -> Effect:
    """The typical ratio within pairs, of two samples of positive values in the order of the pairs. A pair of which both
    failed is left out: it is as much a pair of equal values as one of any other ratio.

    `baseline` and `candidate` are the medians of each arm alone.
    """
    told = np.isfinite(a) | np.isfinite(b)
    d = log_ratios(a[told], b[told])

    def score(shift: float) -> float:
        """The sum of the clipped log ratios, in standard deviations of its swaps."""
        moved = d - shift
        clipped = clip(moved) if len(moved) else moved
        spread = math.sqrt(float(np.square(clipped).sum()))
        return float(clipped.sum()) / spread if spread else 0.0

    def tails(shift: float) -> tuple[float, float]:
        z = score(shift)
        return normal_tail(z), normal_tail(-z)

    middle = crossing(score, 0.0) if len(d) else None
    return effect_of(tails, len(d), own_quantile(a, 0.5), own_quantile(b, 0.5), middle, margin)


def clip(d: Floats) -> Floats:
    """Log ratios clipped at three times their median size, and infinite ones, of which one of the pair failed, at the
    median size itself: clipped like the others, a quarter of them would outweigh all that answers show. Where that
    median is 0, or infinite, the largest finite size is taken, or 1."""
    size = np.abs(d)
    middle = float(np.median(size))
    if 0.0 < middle < math.inf:
        return np.where(np.isfinite(d), np.clip(d, -CLIP * middle, CLIP * middle), np.sign(d) * middle)
    limit = float(size[np.isfinite(size)].max(initial=0.0)) or 1.0
    return np.clip(d, -limit, limit)


def quantile(a: Floats, b: Floats, q: float, *, margin: float) -> Effect:
    """The ratio of the q-quantiles of two samples of positive values in the order of the pairs: that by which the
    candidate's have to be divided for the slow ends of both to be alike, which is more exact than the ratio of the two
    measured values."""
    begin = 1.0 - min(SLOW_END * (1.0 - q), (2.0 - q) / 2.0)
    place = rank(begin, 2 * len(a))

    def tails(shift: float) -> tuple[float, float]:
        z = slow_end(a, b * math.exp(-shift), place)
        return normal_tail(z), normal_tail(-z)

    baseline, candidate = own_quantile(a, q), own_quantile(b, q)
    both = len(a) and baseline and candidate
    middle = crossing(lambda shift: slow_end(a, b * math.exp(-shift), place), 0.0) if both else None
    return effect_of(tails, len(a), baseline, candidate, middle, margin)


def slow_end(a: Floats, b: Floats, place: int) -> float:
    """By how much more b's values than a's exceed that at this place among both, in standard deviations of the swaps.
    Failed requests exceed it by as much as the slowest answer."""
    both = np.concatenate([a, b])
    edge = np.partition(both, place)[place]
    slowest = both[np.isfinite(both)].max(initial=0.0)
    if edge < slowest:
        d = np.log(np.clip(b, edge, slowest) / edge) - np.log(np.clip(a, edge, slowest) / edge)
    else:  # all that is slower has failed: then it can only be counted
        d = (b > slowest) * 1.0 - (a > slowest) * 1.0
    spread = math.sqrt(float(np.square(d).sum()))
    return float(d.sum()) / spread if spread else 0.0


def rank(q: float, n: int) -> int:
    """The place of the q-quantile among n sorted values, from 0: that of the smallest with at least a share q of all
    values not above it (the inverse of the empirical distribution; Hyndman and Fan 1996, definition 1)."""
    return max(0, math.ceil(q * n - ROUNDING) - 1)


def own_quantile(values: Floats, q: float) -> float | None:
    """The q-quantile of one sample, a measured value; None if it is the time of a failure, or there is none."""
    if not len(values):
        return None
    place = rank(q, len(values))
    found = float(np.partition(values, place)[place])
    return found if math.isfinite(found) else None


def tail_asymmetry(a: Floats, b: Floats) -> tuple[float, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Rare slow requests: is the candidate the slow one of unequal pairs by more than chance?

    Returns the p-value, one-sided, and in which pairs the baseline and the candidate was by far the slow one. Each
    unequal pair counts by how far it is beyond the edge; its swaps are sums of fixed sizes with random signs. A pair
    with a failed request is left out: that is the error rate's.
    """
    d = log_ratios(a, b)[np.isfinite(a) & np.isfinite(b)]
    size = np.abs(d)
    middle = (float(np.median(size)) if len(d) else 0.0) or float(size.max(initial=0.0)) or 1.0
    excess = np.sign(d) * np.clip(size - UNEQUAL * middle, 0.0, (LIMIT - UNEQUAL) * middle)
    spread = math.sqrt(float(np.square(excess).sum()))
    p = normal_tail(float(excess.sum()) / spread) if spread else 1.0
    return p, d <= -EXTREME * middle, d >= EXTREME * middle


def share_difference(
    bad_a: npt.NDArray[np.bool_], bad_b: npt.NDArray[np.bool_], *, margin: float
) -> tuple[float, float]:
    """p-values, one-sided, of "the candidate's share is not larger" and of "it is larger by the margin or more".

    The first is McNemar's test. The second is the score test for paired shares (Tango 1998).
    """
    more, fewer = int((bad_b & ~bad_a).sum()), int((bad_a & ~bad_b).sum())
    return coin_tail(more, more + fewer), larger_by_margin(len(bad_a), more, fewer, margin)


def larger_by_margin(n: int, more: int, fewer: int, margin: float) -> float:
    """The p-value, one-sided, of "the candidate's share is larger by the margin or more"; in `more` of n pairs only the
    candidate was bad, in `fewer` only the baseline (Tango 1998)."""
    if not n:
        return 1.0
    # the share of discordant pairs that fits best where the shares differ by exactly the margin
    x, y = 2.0 * n, -(more + fewer) + (2.0 * n - more + fewer) * margin
    z = -fewer * margin * (1.0 - margin)
    share = (math.sqrt(max(0.0, y * y - 4.0 * x * z)) - y) / (2.0 * x)
    variance = n * (2.0 * share + margin * (1.0 - margin))
    beyond = more - fewer - n * margin
    score = beyond / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, beyond) if beyond else 0.0
    return normal_tail(-score)


def share_effect(bad_a: npt.NDArray[np.bool_], bad_b: npt.NDArray[np.bool_], *, margin: float) -> Effect:
    """How much larger the candidate's share of bad requests is; its `ratio` and what follows are differences."""
    n = len(bad_a)
    if not n:
        return Effect(0, None, None, None, None, None, None, 1.0, 1.0)
    larger, within = share_difference(bad_a, bad_b, margin=margin)
    more, fewer = int((bad_b & ~bad_a).sum()), int((bad_a & ~bad_b).sum())
    refused = (1.0 - CONFIDENCE) / 2
    low = -crossing_share(lambda edge: larger_by_margin(n, fewer, more, edge), refused)
    high = crossing_share(lambda edge: larger_by_margin(n, more, fewer, edge), refused)
    found = float(bad_b.mean() - bad_a.mean())
    z = normal_quantile(CONFIDENCE) + normal_quantile(POWER)
    smallest = z * (high - low) / (2.0 * normal_quantile(1.0 - refused))
    return Effect(n, float(bad_a.mean()), float(bad_b.mean()), found, low, high, smallest, larger, within)


def mean_difference(a: Floats, b: Floats, *, margin: float) -> Effect:
    """How much larger the candidate's share is on average, of blocks that are pairs; its `ratio` and what follows are
    differences. Its swaps are sums of fixed sizes with random signs, as those of `centre`."""
    if not len(a):
        return Effect(0, None, None, None, None, None, None, 1.0, 1.0)

    def score(shift: float) -> float:
        """The sum of the differences beyond a shift, in standard deviations of its swaps."""
        moved = b - a - shift
        spread = math.sqrt(float(np.square(moved).sum()))
        return float(moved.sum()) / spread if spread else 0.0

    refused = (1.0 - CONFIDENCE) / 2
    low = crossing_share(lambda shift: -normal_tail(score(shift)), -refused)
    high = crossing_share(lambda shift: normal_tail(-score(shift)), refused)
    z = normal_quantile(CONFIDENCE) + normal_quantile(POWER)
    smallest = z * (high - low) / (2.0 * normal_quantile(1.0 - refused))
    found = float(b.mean() - a.mean())
    larger, within = normal_tail(score(0.0)), normal_tail(-score(margin))
    return Effect(len(a), float(a.mean()), float(b.mean()), found, low, high, smallest, larger, within)


def crossing_share(falling: Callable[[float], float], level: float) -> float:
    """The margin at which a p-value that falls with it passes a level; 0.0 exactly where it cannot be told from it."""
    low, high = -0.999999, 0.999999
    for _ in range(STEPS):
        middle = (low + high) / 2
        if falling(middle) > level:
            low = middle
        else:
            high = middle
    return 0.0 if 0.0 in (low, high) else (low + high) / 2


def tail_effect(a: Floats, b: Floats, *, margin: float) -> Effect:
    """Rare slow requests as a difference of shares: in how many more pairs the candidate is the very slow one."""
    larger, slow_a, slow_b = tail_asymmetry(a, b)
    return replace(share_effect(slow_a, slow_b, margin=margin), larger=larger)


def log_ratios(a: Floats, b: Floats) -> Floats:
    """ln(b / a) of each pair; infinite if one arm alone failed, 0 if both did."""
    with np.errstate(invalid="ignore", divide="ignore"):
        d = np.log(b) - np.log(a)
    return np.where(np.isnan(d), 0.0, d)


def effect_of(
    tails: Tails, pairs: int, baseline: float | None, candidate: float | None, middle: float | None, margin: float
) -> Effect:
    """The effect whose log ratio is estimated as `middle`, with the interval of those that are not refused."""
    if not pairs:
        return Effect(0, baseline, candidate, None, None, None, None, 1.0, 1.0)
    larger, within = tails(0.0)[0], tails(math.log1p(margin))[1]
    if baseline is None or candidate is None or middle is None or abs(middle) > UNBOUNDED:
        return Effect(pairs, baseline, candidate, None, None, None, None, larger, within)
    refused = (1.0 - CONFIDENCE) / 2
    low = crossing(lambda shift: -tails(shift)[0], -refused)
    high = crossing(lambda shift: tails(shift)[1], refused)
    error = (high - low) / (2.0 * normal_quantile(1.0 - refused))
    smallest = math.exp((normal_quantile(CONFIDENCE) + normal_quantile(POWER)) * error)
    return Effect(
        pairs,
        baseline,
        candidate,
        ratio=math.exp(middle),
        low=math.exp(low) if low > -UNBOUNDED else 0.0,
        high=math.exp(high) if high < UNBOUNDED else math.inf,
        smallest=smallest if max(-low, high) < UNBOUNDED else None,
        larger=larger,
        within=within,
    )


def crossing(falling: Callable[[float], float], level: float, *, steps: int = STEPS) -> float:
    """The shift at which a function that falls passes a level, by bisection; 0.0 exactly where it cannot be told from
    it, so that values which are all alike show no difference."""
    low, high = -WIDEST, WIDEST
    for _ in range(steps):
        middle = (low + high) / 2
        if falling(middle) > level:
            low = middle
        else:
            high = middle
    return 0.0 if 0.0 in (low, high) else (low + high) / 2


def normal_tail(z: float) -> float:
    """The chance of a standard normal value of at least z."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def normal_quantile(p: float) -> float:
    """The p-quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(p)


def student_tail(z: float, freedom: float) -> float:
    """The chance of a value of at least z of Student's t with this many degrees of freedom; the normal distribution has
    infinitely many."""
    if math.isinf(freedom):
        return normal_tail(z)
    from scipy.special import stdtr

    return float(stdtr(freedom, -z))


def student_quantile(p: float, freedom: float) -> float:
    """The p-quantile of Student's t with this many degrees of freedom; the normal distribution has infinitely many."""
    if math.isinf(freedom):
        return normal_quantile(p)
    from scipy.special import stdtrit

    return float(stdtrit(freedom, p))


def coin_tail(heads: int, flips: int) -> float:
    """The chance of at least this number of heads in these flips of a fair coin."""
    return at_most(flips - heads, flips, 0.5)  # heads are as likely as tails


def at_most(hits: int, n: int, share: float) -> float:
    """The chance of at most this number of hits in n tries with this share: the binomial distribution function. Written
    out, since a run with thresholds would import SciPy for this alone, which takes 0.2 s."""
    if hits >= n or share <= 0.0:
        return 1.0
    if share >= 1.0:
        return 0.0
    steps = np.arange(1, hits + 1)
    ways = np.concatenate([[0.0], np.cumsum(np.log((n - steps + 1) / steps))])  # ln of n over k
    k = np.arange(hits + 1)
    logs = ways + k * math.log(share) + (n - k) * math.log1p(-share)
    top = float(logs.max())
    return min(1.0, math.exp(top) * float(np.exp(logs - top).sum()))


def unequal_shares(hits: int, n: int, other_hits: int, other_n: int) -> float:
    """The p-value, two-sided, of "both samples have the same share of hits", by Fisher's exact test."""
    from scipy.stats import fisher_exact

    return float(fisher_exact([[hits, n - hits], [other_hits, other_n - other_hits]]).pvalue)


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses are refused so that any false refusal has at most the probability alpha (Holm 1979)."""
    refused = [False] * len(p_values)
    for tested, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[place] > alpha / (len(p_values) - tested):
            break
        refused[place] = True
    return refused


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval, in the unit of its values."""

    n: int
    estimate: float
    low: float
    high: float


def mean_interval(values: Floats) -> Interval | None:
    """The mean with its interval (Student 1908); None for fewer than two values."""
    n = len(values)
    if n < 2:
        return None
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n)
    reach = student_quantile(0.5 + CONFIDENCE / 2, n - 1) * error
    return Interval(n, mean, mean - reach, mean + reach)


def share_interval(hits: int, n: int) -> tuple[float, float]:
    """The interval of a share (Wilson 1927); all of it where nothing was counted."""
    if n == 0:
        return 0.0, 1.0
    low, high = wilson(hits / n, n, normal_quantile(0.5 + CONFIDENCE / 2))
    return max(0.0, low), min(1.0, high)


def wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """The interval of a share of n requests, `z` standard errors to either side (Wilson 1927)."""
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return middle - half, middle + half


def slope_interval(x: Floats, y: Floats, *, confidence: float) -> Interval | None:
    """The slope of the line through the points (least squares) with its interval; None where x is all the same, or for
    fewer than three points."""
    n, spread = len(x), float(np.square(x - x.mean()).sum()) if len(x) else 0.0
    if n < 3 or spread == 0.0:
        return None
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
    left = y - y.mean() - slope * (x - x.mean())
    error = math.sqrt(float(np.square(left).sum()) / (n - 2) / spread)
    reach = student_quantile(0.5 + confidence / 2, n - 2) * error
    return Interval(n, slope, slope - reach, slope + reach)


def ecdf_reach(n: int) -> float:
    """How far the shares of n independent values lie from the true ones, everywhere at once, with CONFIDENCE
    (Dvoretzky, Kiefer and Wolfowitz 1956, with the constant of Massart 1990)."""
    return math.sqrt(math.log(2.0 / (1.0 - CONFIDENCE)) / (2.0 * n))
