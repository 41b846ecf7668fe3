"""Pass, fail or inconclusive: what pairs of requests show about the margins of a gate.

Each line of a gate names a figure and how much worse the candidate may be. It fails where the candidate is proven worse
(and by at least half of the margin, since more pairs prove ever smaller differences), passes where it is proven to lie
within the margin, and is inconclusive otherwise. There are up to three looks at the data, each with its share of the
error probability, and Holm's correction over the lines, so that all lines and looks together alarm on equal arms in at
most 5 % of comparisons. `python benchmarks/gate.py` measures that, and the power, on simulated worlds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bench.analysis.statistics import (
    LOOKS,
    Effect,
    Verdict,
    centre,
    holm,
    mean_difference,
    quantile,
    share_effect,
    tail_effect,
)
from bench.metrics import PERCENTILES
from bench.plan.gate import Line

Floats = npt.NDArray[np.float64]
Sample = tuple[Floats, Floats]
"""One figure of the baseline and of the candidate, in the order of the pairs. A failed request has an infinite latency;
of a share, 1 is a bad request and 0 a good one."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One line of a gate, judged."""

    line: Line
    effect: Effect
    verdict: Verdict
    reason: str


def effect_of(line: Line, sample: Sample, *, blocks: bool = False) -> Effect:
    """What the pairs show about one line; with `blocks`, pairs of blocks, each with its statistic already taken."""
    a, b = sample
    if blocks:
        return mean_difference(a, b, margin=line.margin) if line.is_difference else centre(a, b, margin=line.margin)
    if line.statistic == "share":
        return share_effect(a > 0.5, b > 0.5, margin=line.margin)
    if line.statistic == "tail":
        return tail_effect(a, b, margin=line.margin)
    if line.better == "higher":  # a rate: the slower arm has the smaller value
        with np.errstate(divide="ignore"):
            a, b = 1.0 / a, 1.0 / b
    if line.statistic in ("p50", "mean"):
        return centre(a, b, margin=line.margin)
    return quantile(a, b, PERCENTILES[line.statistic], margin=line.margin)


def only_by_failures(judged: Judged, every: Sample, answered: Sample, *, blocks: bool = False) -> int:
    """How many failed requests of the slower arm make the difference of a latency that is shown; 0 if it is not shown,
    or if the answers show it too. `every` has a value of each request; `answered` has what was judged, pairs or blocks
    of them, without pairs of which a request failed."""
    if judged.line.is_difference or not (way := direction(judged.effect)):
        return 0
    faster, slower = every if way > 0 else every[::-1]
    failures = int((np.isinf(slower) & np.isfinite(faster)).sum())
    if not failures or direction(effect_of(judged.line, answered, blocks=blocks)) == way:
        return 0
    return failures


def direction(effect: Effect) -> int:
    """1 if the interval of a ratio shows a larger value of the candidate, -1 a smaller one, and 0 neither."""
    if effect.low is None or effect.high is None:
        return 0
    return int(effect.low > 1.0) - int(effect.high < 1.0)


def judge(lines: Sequence[Line], samples: Mapping[Line, Sample], alpha: float, *, blocks: bool = False) -> list[Judged]:
    """Every line, judged at one look; alpha is its share of the error probability."""
    effects = [effect_of(line, samples[line], blocks=blocks) for line in lines]
    worse = holm([effect.larger for effect in effects], alpha)
    return [
        Judged(line, effect, *verdict_of(line, effect, alpha, proven_worse=proven))
        for line, effect, proven in zip(lines, effects, worse, strict=True)
    ]


def verdict_of(
    line: Line, effect: Effect, alpha: float, *, proven_worse: bool, unit: str = "pairs"
) -> tuple[Verdict, str]:
    """The verdict and its reason in a sentence; `unit` is what was judged by."""
    if not effect.pairs:
        return "inconclusive", "no pair has this figure from both arms"
    size = effect.ratio if effect.ratio is not None else np.inf
    enough = size >= 1.0 + line.margin / 2 if not line.is_difference else size >= line.margin / 2
    if proven_worse and enough:
        return "fail", "the candidate is worse, and not by chance"
    if effect.within <= alpha:
        return "pass", "the candidate is within the margin"
    if proven_worse:
        return "inconclusive", f"the candidate is a little worse; whether by more than the margin takes more {unit}"
    return "inconclusive", f"these {unit} do not show on which side of the margin it is"


def kept(judged: Sequence[Judged], earlier: Sequence[Judged]) -> list[Judged]:
    """The lines of a look; those that have passed at an earlier look stay passed."""
    passed = {one.line for one in earlier if one.verdict == "pass"}
    return [
        replace(one, verdict="pass", reason="at an earlier look the candidate was within the margin")
        if one.line in passed and one.verdict != "pass"
        else one
        for one in judged
    ]


def decided(judged: Sequence[Judged]) -> bool:
    """Whether more pairs could not change the gate's verdict: a line has failed, or all have passed."""
    return any(one.verdict == "fail" for one in judged) or all(one.verdict == "pass" for one in judged)


def overall(judged: Sequence[Judged]) -> Verdict:
    """The gate's own verdict."""
    return worst({one.verdict for one in judged})


def worst(words: Collection[str]) -> Verdict:
    """The verdict of several verdicts together: fail if one fails, pass only if all pass."""
    return "fail" if "fail" in words else "pass" if set(words) == {"pass"} else "inconclusive"


def looks(most: int) -> list[tuple[int, float]]:
    """The number of pairs at each look, and its share of the error probability."""
    return [(max(1, round(share * most)), alpha) for share, alpha in LOOKS]
