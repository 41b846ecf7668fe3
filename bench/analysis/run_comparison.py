"""Judges runs kept on disk: differences between them that are larger than those between equal runs.

The requests of one run share its hour, its neighbours and its caches, so an interval made of them alone says far too
often that equal servers differ. The run is the unit: with at least ten runs of the baseline and three of the candidate
their figures are compared by a t test with the spread measured between runs, which alarms in 5 % and no more. With
fewer runs the spread is taken to be 10 % (a share's: one point), unless the runs at hand differ by more: then only
large differences are shown, and the verdict is advisory. `python benchmarks/gate.py` measures both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.analysis.comparison import Comparison, change, unjudged
from bench.analysis.extract import Extract, Part, pooled, share_above, whole
from bench.analysis.gate import Judged, overall, verdict_of
from bench.analysis.groups import ALL
from bench.analysis.statistics import CONFIDENCE, POWER, Effect, Interval, Verdict, holm, student_quantile, student_tail
from bench.metrics import METRICS, PERCENTILES
from bench.plan.gate import TAIL, Line
from bench.plan.scopes import scope_names

ENOUGH = (10, 3)
"""Runs of the baseline and of the candidate from which on the spread between runs is measured."""
SPREAD = 0.10  # assumed with fewer runs, for a latency or a rate
SPREAD_OF_SHARES = 0.01  # for a share: one point
EVENEST = 0.001  # no measured spread is smaller than that
ALPHA = 1.0 - CONFIDENCE
TWICE = 2.0  # a request is very slow if it takes this many times the baseline's median
Key = tuple[str, str, str]
"""Stage, model and request class of a part of a run."""


class UnknownScopeError(ValueError):
    """A line of a gate names something that the runs do not have."""


@dataclass(frozen=True, slots=True)
class Paired:
    """The result of one line by the pairs of two runs that sent the same prompts."""

    pairs: int
    shift: float  # the logarithm of the ratio
    error: float  # its standard error


@dataclass(frozen=True, slots=True)
class Value:
    """A figure of one run."""

    value: float | None  # None: that of a failed request, or there is none
    error: float | None  # its sampling error within the run: of the logarithm, of a share of itself; None: unknown
    failed: bool = False  # whether it is that of a failed request


@dataclass(frozen=True, slots=True)
class Shift:
    """How much larger the candidate's figures are, and how exactly that is known."""

    by: float  # of logarithms; of shares themselves
    error: float
    freedom: float  # degrees of freedom of the t distribution; infinite: the normal one
    spread: float
    assumed: bool


@dataclass(frozen=True, slots=True)
class RunsCompared:
    """The result of a comparison of runs."""

    comparisons: tuple[Comparison, ...]
    verdict: Verdict | None  # None where no gate was asked for
    baselines: int  # runs
    candidates: int

    @property
    def missing(self) -> tuple[int, int]:
        """The runs of the baseline and of the candidate that are missing before the spread can be measured."""
        return max(0, ENOUGH[0] - self.baselines), max(0, ENOUGH[1] - self.candidates)

    @property
    def advisory(self) -> bool:
        return any(self.missing)


def compare_runs(
    lines: Sequence[Line],
    baselines: Sequence[Extract],
    candidates: Sequence[Extract],
    *,
    judged: bool = True,
    paired: Mapping[tuple[str, Key], Paired] | None = None,
    spread: float = SPREAD,
) -> RunsCompared:
    """Each line for each model and stage that it is about, of at least one run on either side.

    `paired` is what pairs of two single runs say, by the line's title and the part. Raises UnknownScopeError.
    """
    parts = [(line, key) for line in lines for key in keys_of(line, baselines, candidates)]
    several = len({stage for _, (stage, _, _) in parts}) > 1
    rows = [
        row_of(line, key, baselines, candidates, (paired or {}).get((line.title, key)), spread) for line, key in parts
    ]
    worse = holm([effect.larger for effect, _ in rows], ALPHA)
    found, verdicts = [], []
    for (line, (stage, model, name)), (effect, row), proven in zip(parts, rows, worse, strict=True):
        verdict, reason = verdict_of(line, effect, ALPHA, proven_worse=proven, unit="runs")
        if effect.pairs == 0:
            reason = row.reason
        elif row.reason:
            reason = f"{reason}; {row.reason}"
        verdicts.append(Judged(line, effect, verdict, reason))
        row = replace(row, model=model, stage=stage if several else None, request=None if name == ALL else name)
        found.append(replace(row, verdict=verdict, reason=reason) if judged else replace(row, margin=None))
    return RunsCompared(tuple(found), overall(verdicts) if judged else None, len(baselines), len(candidates))


# -- which parts of the runs a line is about ------------------------------------------------------------------------


def keys_of(line: Line, baselines: Sequence[Extract], candidates: Sequence[Extract]) -> list[Key]:
    """The parts that a line is about: of each model in each stage the whole, or the request classes of its scope.
    Models are the baseline's; raises UnknownScopeError."""
    parts = [part for one in baselines for part in one.parts]
    alias = models_of(baselines, candidates)
    names = {part.name for part in parts if not whole(part)} or {
        str(request["name"]) for request in baselines[0].asked.requests
    }
    stages, models = {part.stage for part in parts}, {part.model for part in parts}
    known = names | stages | models | set(alias.values())
    scope = scope_names(line.scope, known)
    words = set(scope)
    if unknown := [word for word in scope if word not in known]:
        raise UnknownScopeError(
            f"{line.title}: {unknown[0]!r} is not a model, a request class or a stage of these runs; "
            f"known are {', '.join(sorted(known))}"
        )
    of_class = words & names
    several = any(not whole(part) for part in parts)
    keys: dict[Key, None] = {}
    for part in parts:
        wanted_name = (part.name in of_class) if of_class and several else whole(part)
        of_model = not words & (models | set(alias.values())) or part.model in words or alias.get(part.model) in words
        of_stage = not words & stages or part.stage in words
        if wanted_name and of_model and of_stage:
            keys[part.stage, part.model, part.name] = None
    return list(keys)


def models_of(baselines: Sequence[Extract], candidates: Sequence[Extract]) -> dict[str, str]:
    """The candidate's model for each of the baseline's: that of the same name, or where each side has but one, that."""
    theirs = list(dict.fromkeys(part.model for one in candidates for part in one.parts))
    ours = list(dict.fromkeys(part.model for one in baselines for part in one.parts))
    if len(ours) == len(theirs) == 1:
        return {ours[0]: theirs[0]}
    return {model: model for model in ours}


def parts_of(runs: Sequence[Extract], key: Key) -> list[Part]:
    """The part of each run that has it."""
    return [part for one in runs for part in one.parts if (part.stage, part.model, part.name) == key]


# -- figures of each run, and what they say -------------------------------------------------------------------------


def row_of(
    line: Line,
    key: Key,
    baselines: Sequence[Extract],
    candidates: Sequence[Extract],
    paired: Paired | None,
    spread: float,
) -> tuple[Effect, Comparison]:
    """The result of one line for one part of the runs: as an effect, in which larger values are worse, and as a row of
    the report that is not judged yet."""
    stage, model, name = key
    other = models_of(baselines, candidates).get(model, model)
    ours, theirs = parts_of(baselines, key), parts_of(candidates, (stage, other, name))
    reference = pooled([part.latency[line.metric] for part in ours if line.metric in part.latency])
    a = [value_of(line, part, reference) for part in ours]
    b = [value_of(line, part, reference) for part in theirs]
    known_a, known_b = known(a), known(b)
    bare = Comparison(
        metric=line.metric, statistic=line.statistic, baseline=typical(line, known_a), candidate=typical(line, known_b),
        ratio=None, low=None, high=None, pairs=paired.pairs if paired else 0, smallest=None, verdict=None, reason="",
        title=line.title, margin=line.margin, better=line.better, difference=line.is_difference, unit="runs",
        of=len(known_a) + len(known_b),
    )  # fmt: skip
    if mostly_missing(a):
        return NO_EFFECT, replace(bare, baseline=None, of=0, reason=why_missing(line, a))
    if mostly_missing(b) and any(one.failed for one in b):
        return row_of_failures(line, ours, theirs, bare, spread)
    if mostly_missing(b):
        return NO_EFFECT, replace(bare, candidate=None, of=0, reason=absent(line, "candidate"))
    if any(one.error is None for one in (*known_a, *known_b)) and not enough(known_a, known_b) and paired is None:
        shown = natural(line, mean_of(line, known_b) - mean_of(line, known_a))
        return NO_EFFECT, replace(bare, ratio=shown, reason="too few requests to say how exact that is")
    shift = shift_of(line, known_a, known_b, paired, spread)
    return effect_of(line, shift, bare.of), told(line, shift, bare, alone_of(line, known_a, known_b, paired))


def row_of_failures(
    line: Line, ours: Sequence[Part], theirs: Sequence[Part], bare: Comparison, spread: float
) -> tuple[Effect, Comparison]:
    """The same if so many requests of the candidate fail that it has no figure: then its failures are judged."""
    a, b = ([value_of(ERRORS, part, None) for part in side] for side in (ours, theirs))
    larger, _ = tails(shift_of(ERRORS, a, b, None, spread), 0.0)
    has = "it has none" if line.statistic == "rate" else f"its {line.statistic} is the time of a failure"
    why, of = f"so many requests fail that {has}", len(a) + len(b)
    effect = Effect(of, bare.baseline, None, None, None, None, None, larger, 1.0)
    return effect, replace(bare, candidate=None, of=of, reason=why)


NO_EFFECT = Effect(0, None, None, None, None, None, None, 1.0, 1.0)
ERRORS = Line("error_rate", "share", SPREAD_OF_SHARES, "lower")


def mostly_missing(values: Sequence[Value]) -> bool:
    """Whether at least half of the runs have no figure."""
    return len(known(values)) <= len(values) / 2


def why_missing(line: Line, values: Sequence[Value]) -> str:
    """Why the baseline has no figure."""
    if any(one.failed for one in values) and METRICS[line.metric].kind == "latency":
        return f"the baseline's own {METRICS[line.metric].title} at {line.statistic} is the time of failed requests"
    return absent(line, "baseline")


def absent(line: Line, side: str) -> str:
    return f"the {side} has no {METRICS[line.metric].title}"


def known(values: Sequence[Value]) -> list[Value]:
    return [one for one in values if one.value is not None]


def value_of(line: Line, part: Part, reference: float | None) -> Value:
    """The figure of a line in one part of one run."""
    hits, of = part.shares.get("error_rate", (0, 0))
    all_failed = 0 < of == hits
    if METRICS[line.metric].kind == "rate":
        rate = part.rates.get(line.metric)
        events = sum(many for word, many in part.outcomes.items() if word == "ok")
        return Value(rate or None, 1.0 / math.sqrt(events) if events else None, failed=not rate and all_failed)
    if line.statistic == "share" or line.statistic == TAIL:
        return share_value(line, part, reference)
    one = part.latency.get(line.metric)
    if one is None:
        return Value(None, None, failed=all_failed)
    value = one.figures.get(line.statistic)
    return Value(value if value else None, one.errors.get(line.statistic), failed=value is None)


def share_value(line: Line, part: Part, reference: float | None) -> Value:
    """A share of one run, or of its very slow requests."""
    if line.statistic == TAIL:
        one = part.latency.get(line.metric)
        if one is None or reference is None:
            return Value(None, None)
        share, of = share_above(one, TWICE * reference), one.n
    elif line.metric in part.shares:
        hits, of = part.shares[line.metric]
        share = hits / of
    else:
        return Value(None, None)
    likely = (share * of + 1.0) / (of + 2.0)
    return Value(share, math.sqrt(likely * (1.0 - likely) / of))


def scale(line: Line, one: Value) -> float:
    """The figure on the scale on which it is compared: a share as it is, anything else as its logarithm."""
    assert one.value is not None
    return one.value if line.is_difference else math.log(one.value)


def natural(line: Line, shift: float) -> float:
    return shift if line.is_difference else math.exp(shift)


def typical(line: Line, values: Sequence[Value]) -> float | None:
    """The figure of several runs: the geometric mean; for shares the mean."""
    return natural(line, mean_of(line, values)) if values else None


def mean_of(line: Line, values: Sequence[Value]) -> float:
    """The mean of the figures as they are compared."""
    return float(np.mean([scale(line, one) for one in values]))


def enough(a: Sequence[Value], b: Sequence[Value]) -> bool:
    """Whether there are enough runs to measure the spread between them."""
    return len(a) >= ENOUGH[0] and len(b) >= ENOUGH[1]


def shift_of(line: Line, a: Sequence[Value], b: Sequence[Value], paired: Paired | None, spread: float) -> Shift:
    """The difference between the figures of the runs, with an error that includes the spread from run to run."""
    x, y = [scale(line, one) for one in a], [scale(line, one) for one in b]
    by = float(np.mean(y) - np.mean(x))
    measured, freedom = spread_of(x, y), len(x) + len(y) - 2
    within = [float(np.mean([(one.error or 0.0) ** 2 for one in side])) for side in (a, b)]
    runs = 1.0 / len(x) + 1.0 / len(y)
    if enough(a, b):
        least = math.sqrt(float(np.mean(within))) if line.is_difference else EVENEST
        found = max(measured, least)
        return Shift(by, found * math.sqrt(runs), freedom, found, assumed=False)
    granted = SPREAD_OF_SHARES * spread / SPREAD if line.is_difference else spread
    sampling = within[0] / len(x) + within[1] / len(y)
    if paired is not None:
        by, sampling = paired.shift, paired.error**2
    found = max(measured, granted)
    return Shift(by, math.sqrt(found**2 * runs + sampling), math.inf, found, assumed=measured <= granted)


def spread_of(x: Sequence[float], y: Sequence[float]) -> float:
    """The standard deviation within both groups together; 0 where neither has two members."""
    freedom = len(x) + len(y) - 2
    if freedom < 1:
        return 0.0
    squares = sum(float(np.square(np.asarray(side) - np.mean(side)).sum()) for side in (x, y))
    return math.sqrt(squares / freedom)


def tails(shift: Shift, null: float) -> tuple[float, float]:
    """If the true shift is `null`: the chance of one at least as large as the seen one, and of one at most as large."""
    z = (shift.by - null) / shift.error
    return student_tail(z, shift.freedom), student_tail(-z, shift.freedom)


def ends(line: Line, shift: Shift) -> tuple[float, float]:
    """The 95 % interval of the shift; shares differ by 100 points at most."""
    half = student_quantile(1.0 - ALPHA / 2, shift.freedom) * shift.error
    most = 1.0 if line.is_difference else math.inf
    return max(shift.by - half, -most), min(shift.by + half, most)


def effect_of(line: Line, shift: Shift, runs: int) -> Effect:
    """The shift as the gate judges it: larger values are worse, even if more of the figure is better."""
    worse = shift if line.better == "lower" else replace(shift, by=-shift.by)
    edge = line.margin if line.is_difference else math.log1p(line.margin)
    low, high = ends(line, worse)
    return Effect(
        pairs=runs,
        baseline=None,
        candidate=None,
        ratio=natural(line, worse.by),
        low=natural(line, low),
        high=natural(line, high),
        smallest=None,
        larger=tails(worse, 0.0)[0],
        within=tails(worse, edge)[1],
    )


def told(line: Line, shift: Shift, bare: Comparison, alone: str) -> Comparison:
    """The row of the report with the shift and its interval."""
    reach = student_quantile(CONFIDENCE, shift.freedom) + student_quantile(POWER, shift.freedom)
    smallest = reach * shift.error
    low, high = ends(line, shift)
    return replace(
        bare,
        ratio=natural(line, shift.by),
        low=natural(line, low),
        high=natural(line, high),
        smallest=None if line.is_difference and smallest > 1.0 else natural(line, smallest),
        spread=shift.spread,
        assumed=shift.assumed,
        alone=alone,
    )


def alone_of(line: Line, a: Sequence[Value], b: Sequence[Value], paired: Paired | None) -> str:
    """The change that too few runs show by themselves; only an advice, since the hour may make the difference."""
    if enough(a, b):
        return ""
    if len(a) + len(b) == 2:
        shift = shift_of(line, a, b, paired, spread=0.0)
    else:
        x, y = [scale(line, one) for one in a], [scale(line, one) for one in b]
        spread = max(spread_of(x, y), EVENEST)
        error = spread * math.sqrt(1.0 / len(x) + 1.0 / len(y))
        shift = Shift(float(np.mean(y) - np.mean(x)), error, len(x) + len(y) - 2, spread, assumed=False)
    low, high = ends(line, shift)
    found = Interval(len(a) + len(b), natural(line, shift.by), natural(line, low), natural(line, high))
    same = unjudged(line.metric, line.statistic, found, unit="runs")
    return change(same) if same.shown else ""


DEFAULT = (
    *(("ttft", name) for name in ("p50", "p95", "p99")),
    ("tpot", "p50"),
    *(("e2e", name) for name in ("p50", "p95")),
    ("error_rate", "share"),
    ("output_tokens_per_s", "rate"),
)
"""The figures that are compared without a gate."""


def default_lines(runs: Sequence[Extract]) -> tuple[Line, ...]:
    """Lines for the default figures that the runs have, with enough values; their margins do not matter."""
    every = [part for one in runs for part in one.parts if whole(part)]

    def stated(metric: str, statistic: str) -> bool:
        if statistic in PERCENTILES:
            return any(metric in part.latency and part.latency[metric].errors.get(statistic) for part in every)
        return any(part.shares.get(metric) or part.rates.get(metric) for part in every)

    return tuple(
        Line(metric, statistic, SPREAD, METRICS[metric].better)
        for metric, statistic in DEFAULT
        if stated(metric, statistic)
    )
