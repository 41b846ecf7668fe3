"""A comparison by request class: a candidate may be slower for one of them alone, which the figures of all hide."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from bench.analysis import gate
from bench.analysis.comparison import Comparison, comparison, headlines, table
from bench.analysis.gate import Judged
from bench.analysis.model_comparison import MOST_CLASSES
from bench.analysis.sections import Section
from bench.experiments.compare.question import FEWEST
from bench.experiments.compare.verdict import Asked
from bench.metrics import METRICS

APART = 2.0
"""Times the interval of their quotient that two ratios have to differ: of equal classes, one pair in 10,000 does."""


def of_classes(rows: pd.DataFrame, asked: Asked, pairs: int) -> list[Comparison]:
    """The typical latencies that the gate asks for, of the pairs of each request class, not judged. Nothing of a single
    class, of very many, or of blocks, which hold requests of all."""
    names = [str(name) for name in rows["name"].dropna().unique()]
    if asked.block is not None or not 1 < len(names) <= MOST_CLASSES:
        return []
    return [
        found
        for candidate in asked.candidates
        for name in names
        for found in of_class(rows[rows["name"] == name], asked, candidate, pairs, name)
    ]


def of_class(rows: pd.DataFrame, asked: Asked, candidate: str, pairs: int, name: str) -> Iterator[Comparison]:
    """One candidate's latencies at p50 in the pairs of one class, of which there have to be some."""
    lines = [line for line in asked.lines if METRICS[line.metric].kind == "latency" and line.statistic == "p50"]
    asked = replace(asked, lines=tuple(lines))
    samples = asked.samples(rows, candidate, pairs, None)
    judged = [Judged(line, gate.effect_of(line, samples[line]), "inconclusive", "") for line in lines]
    for each, failures in zip(judged, asked.failures(rows, candidate, pairs, judged), strict=True):
        if each.effect.pairs >= FEWEST:
            one = comparison(each, arm=candidate, against=asked.arms[0], decided=False, by_failures=failures)
            yield replace(one, request=name, title=replace(each.line, scope=(name,)).title)


def told_of_classes(found: Sequence[Comparison]) -> list[str]:
    """Where a latency changes more in one class than in another: each difference that is shown, in sentences without a
    full stop."""
    if not any(apart(one, other) for one in found for other in found):
        return []
    return ["The request classes are not alike", *headlines([one for one in found if one.shown])]


def apart(one: Comparison, other: Comparison) -> bool:
    """Whether the ratio of a latency in one class is larger than in another, by far more than chance."""
    if (one.metric, one.arm) != (other.metric, other.arm):
        return False
    first, second = one.low, other.high
    if not (first and second and one.ratio and other.ratio) or math.isinf(second):
        return False
    reach = math.hypot(math.log(one.ratio / first), math.log(second / other.ratio))
    return math.log(one.ratio / other.ratio) > APART * reach


def class_sections(found: Sequence[Comparison]) -> tuple[Section, ...]:
    """The section on request classes; none where there is one class."""
    if not found:
        return ()
    shown = replace(table(found), name="comparison-classes", title="Each figure by request class")
    return (Section("classes", "By request class", (shown,)),)
