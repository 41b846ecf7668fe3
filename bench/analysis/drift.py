"""Whether answers came slower or faster as time went on while the load stayed the same, so that a run's percentiles are
of no one moment. What is told is a fact of the latencies; whether the server, its cache or its neighbours changed is
not known here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.figures import percentiles
from bench.analysis.likeness import same_length
from bench.analysis.numerals import at_stage, milliseconds
from bench.analysis.statistics import slope_interval
from bench.metrics import METRICS
from bench.plan.load import MEASURE
from bench.records import StepLine

Seconds = npt.NDArray[np.float64]

RAMPED = 0.1  # of the length of a stage that has a level may be its ramp
LATER = 0.1  # s: how much later per second the answers of a server that does not keep up come, at least
LATER_ANSWERS = 50  # that show it: of fewer, a burst of arrivals at the end would look the same
SURE = 0.99
PARTS = 12  # of the answers, in the order in which they were sent
FEWEST = 20  # answers of a part: the p50 of fewer jumps about
CHANGE = 1.25  # from the first third to the last: less is within what servers vary by from minute to minute
TREND = 0.8  # rank correlation of a part's p50 with its place: 1 in 500 of twelve independent parts have more
ALIKE = 0.2  # likeness of neighbours, beyond which parts are not independent: a queue that comes and goes has trends
CLEAR = 0.96  # share of the parts' differences that a line or a step explains: 1 in 100 of such queues have more
TINY = 1e-9  # s, in place of 0, which has no logarithm


def drifts(rows: pd.DataFrame, stages: Sequence[StepLine]) -> list[str]:
    """For each model and stage of which that can be said, a sentence without a full stop. `rows` are the measured
    requests; conversations count with their first turn, since later ones ask more."""
    answers = rows[(rows["outcome"] == "ok") & (rows["turn"] == 0)].sort_values("sent")
    return [
        sentence
        for stage in stages
        if stage.measured and is_held(stage)
        for _, mine in answers[answers["stage"] == stage.name].groupby("model", observed=True, sort=False)
        if stage.rate is None or not waits_grow(mine)  # that a server does not keep up is told of the load
        for sentence in drift_of(mine, stage.name, several=answers["model"].nunique() > 1)
    ]


def is_held(stage: StepLine) -> bool:
    """Whether a step has a load that stayed the same."""
    return bool(stage.users or stage.rate) and stage.ramp_s <= RAMPED * (stage.ended - stage.began)


def drift_of(answers: pd.DataFrame, stage: str, *, several: bool) -> Iterator[str]:
    """The sentence on one model's answers of a stage, in the order in which they were sent; nothing if they were even,
    or if what was asked changed too."""
    metric = next((name for name in ("ttft", "e2e") if answers[METRICS[name].key].notna().all()), None)
    if metric is None or len(answers) < PARTS * FEWEST or not same_work(answers, "prompt_tokens"):
        return
    if metric == "e2e" and not same_work(answers, "completion_tokens"):
        return
    seconds = answers[METRICS[metric].key].to_numpy(np.float64)
    first, last = middle(seconds[: len(seconds) // 3]), middle(seconds[-(len(seconds) // 3) :])
    if first <= 0 or last <= 0 or max(first, last) < CHANGE * min(first, last) or not is_trend(seconds):
        return
    model = f"{answers['model'].iloc[0]}'s " if several else ""
    whose = f"{model}{METRICS[metric].title}" + ("" if stage == MEASURE else f" {at_stage(stage)}")
    yield (
        f"{whose} {'rose' if last > first else 'fell'} while the load stayed the same, from "
        f"{milliseconds(first)} ms (p50) in the first third of the answers to {milliseconds(last)} ms in the last, so "
        "its percentiles, and what is judged by them, hold for this run only; run longer to see where it ends"
    )


def same_work(answers: pd.DataFrame, tokens: str) -> bool:
    """Whether prompts, or answers, were as long in the last third as in the first; True where nobody counted them."""
    third = len(answers) // 3
    first, last = answers[tokens].iloc[:third].mean(), answers[tokens].iloc[-third:].mean()
    return not (first > 0 and last > 0) or same_length(float(first), float(last))


def is_trend(seconds: Seconds) -> bool:
    """Whether the p50 of parts goes one way as time goes on (Spearman 1904); where neighbours are alike, as in a busy
    server's queue, whether it does hardly anything else."""
    parts = np.array_split(seconds, PARTS)
    levels = np.array([middle(part) for part in parts])
    if abs(float(np.corrcoef(pd.Series(levels).rank(), np.arange(PARTS))[0, 1])) < TREND:
        return False
    return likeness(parts) < ALIKE or explained(np.log(np.maximum(levels, TINY))) >= CLEAR


def likeness(parts: Sequence[Seconds]) -> float:
    """How much answers are like the ones before them: 1 if both are always on the same side of their part's p50, about
    0 if as often as not."""
    sides = [np.sign(part - np.median(part)) for part in parts]
    return float(np.concatenate([side[1:] * side[:-1] for side in sides]).mean())


def explained(levels: npt.NDArray[np.float64]) -> float:
    """The share of the variance of levels that follow each other that a straight line or a single step explains."""
    many, off = len(levels), levels - levels.mean()
    place = np.arange(many) - (many - 1) / 2
    line = float(place @ off) ** 2 / float(place @ place)
    steps = [float(off[:k].sum()) ** 2 * (1 / k + 1 / (many - k)) for k in range(2, many - 1)]
    total = float(off @ off)
    return max(line, *steps) / total if total else 0.0


def middle(seconds: Seconds) -> float:
    return percentiles(seconds, ["p50"])[0]


def waits_grow(answers: pd.DataFrame) -> bool:
    """Whether the wait from due grew while requests were offered, by a tenth of the time that passed or more.

    A server that answers c of r requests per second is later by r / c − 1 seconds with each second. Only the later half
    of the answers counts, since users of a server that keeps up wait longer at first, too, until as many are under way
    as will be.
    """
    later = answers.sort_values("due").iloc[len(answers) // 2 :]
    if len(later) < LATER_ANSWERS:
        return False
    found = slope_interval(later["due"].to_numpy(float), later["e2e_from_due_s"].to_numpy(float), confidence=SURE)
    return found is not None and found.estimate >= LATER and found.low > 0
