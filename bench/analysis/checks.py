"""The checks behind a verdict, for programs that collect test results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.analysis.comparison import Comparison, change, figure
from bench.analysis.numerals import dollars, milliseconds, number, share
from bench.analysis.statistics import Verdict
from bench.analysis.summary import Summary
from bench.analysis.thresholds import Judgement
from bench.metrics import METRICS
from bench.plan.thresholds import parse_threshold


@dataclass(frozen=True, slots=True)
class Check:
    """One condition and its result."""

    name: str  # the condition, as it is written
    group: str  # what it is about: a scenario, a run, a model
    verdict: Verdict
    told: str  # the result and its reason in one line; may be empty


def checks_of_run(summary: Summary) -> list[Check]:
    """The thresholds of a run, whether it can be believed, and whether most of it failed."""
    group, validity = summary.scenario, summary.validity
    word: Verdict = "inconclusive" if validity.verdict == "invalid" else "pass"
    found = [Check("the measurement can be believed", group, word, "; ".join(validity.reasons))]
    if summary.failing is not None:
        found.append(Check("requests succeed", group, "fail", summary.failing))
    return [*found, *(check_of_threshold(one, group) for one in summary.thresholds)]


def check_of_threshold(one: Judgement, group: str) -> Check:
    got = f"got {threshold_value(one)}, n {one.n}"
    return Check(one.expression, group, one.verdict, f"{got}; {one.reason}" if one.reason else got)


def threshold_value(one: Judgement) -> str:
    """A threshold's value in the unit of its metric."""
    metric, value = METRICS[parse_threshold(one.expression).metric], one.value
    if value is None:
        return "–"
    if metric.kind == "latency":
        return f"{milliseconds(value)} ms"
    if metric.kind == "share":
        return share(value)
    return dollars(value) if metric.unit == "USD" else f"{number(value)}{metric.unit}"


def checks_of_comparisons(comparisons: Sequence[Comparison]) -> Iterator[Check]:
    """The lines of a gate that were judged."""
    for one in comparisons:
        if one.verdict is not None:
            about = ", ".join(filter(None, (one.model, one.stage)))
            got = f"{figure(one, one.candidate)} against {figure(one, one.baseline)}: {change(one)}; {one.reason}"
            yield Check(one.title, about or one.arm, one.verdict, got)
