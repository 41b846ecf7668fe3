"""Many runs over time: each figure, and the runs from which on it is a different one.

Change points are found as E-divisive tools with a t test find them (Apache Otava; Fleming et al., arXiv 2301.03034).
The split of the runs at which the t test between both sides is the strongest is a change if its p-value, paid for by
the number of splits tried, is below 1 %; then both sides are looked at in the same way. A change is seen three runs
after it came at the earliest, so this is no gate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bench.analysis.comparability import asked
from bench.analysis.comparison import percent, points
from bench.analysis.extract import Extract, Part, whole
from bench.analysis.numerals import WITHHELD, count, counted, milliseconds, number, share
from bench.analysis.run_comparison import EVENEST, default_lines, parts_of, scale, spread_of, value_of
from bench.analysis.sections import (
    About,
    Axis,
    Badge,
    Cell,
    Chart,
    Column,
    Findings,
    Heading,
    Mark,
    Row,
    Section,
    Sentence,
    Series,
    Table,
)
from bench.analysis.statistics import student_tail
from bench.metrics import METRICS
from bench.plan.gate import Line

Floats = npt.NDArray[np.float64]

TICKS = 20  # of the axis of runs, at most
FEWEST = 3  # the smallest number of runs on each side of a change
DOUBT = 0.01  # chance of finding a change in runs without one


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a figure's level from one run on."""

    at: int  # place of the first run after it, among those that have the figure
    before: float  # mean of the runs until then, back to the change before; as the values are
    after: float  # mean of those from then on, until the next change
    p_value: float  # corrected for the number of splits tried


@dataclass(frozen=True, slots=True)
class Course:
    """A figure of one model in one stage, run by run."""

    line: Line
    model: str
    stage: str
    runs: tuple[Extract, ...]  # those that have it, the oldest first
    values: tuple[float, ...]
    changes: tuple[Change, ...]
    spread: float | None  # standard deviation between runs within the stretches without a change; None of too few


def change_points(values: Sequence[float]) -> list[Change]:
    """Where the level of a series changes for good, in its order."""
    series = np.asarray(values, np.float64)
    edges = [0, *sorted(at for at, _ in _splits(series, 0, len(series))), len(series)]
    p_values = dict(_splits(series, 0, len(series)))
    levels = [float(series[begin:end].mean()) for begin, end in pairwise(edges) if end > begin]
    return [
        Change(at, before, after, p_values[at])
        for at, before, after in zip(edges[1:-1], levels[:-1], levels[1:], strict=True)
    ]


def _splits(series: Floats, begin: int, end: int) -> list[tuple[int, float]]:
    """The changes in a stretch, with their p-values."""
    found = best_split(series[begin:end])
    if found is None or found[1] > DOUBT:
        return []
    at = begin + found[0]
    return [*_splits(series, begin, at), (at, found[1]), *_splits(series, at, end)]


def best_split(series: Floats) -> tuple[int, float] | None:
    """The split with the smallest p-value, corrected for the number of splits; None if there are too few values."""
    places = range(FEWEST, len(series) - FEWEST + 1)
    if not len(places):
        return None
    strongest, p_value = 0, 2.0
    for at in places:
        left, right = series[:at], series[at:]
        spread = max(spread_of(left.tolist(), right.tolist()), EVENEST * max(abs(float(series.mean())), 1e-12))
        t = abs(float(right.mean() - left.mean())) / (spread * math.sqrt(1 / len(left) + 1 / len(right)))
        p = 2.0 * student_tail(t, len(series) - 2)
        if p < p_value:
            strongest, p_value = at, p
    return strongest, min(1.0, p_value * len(places))


def courses(runs: Sequence[Extract]) -> list[Course]:
    """Every figure that is compared by default, of each model and stage."""
    ordered = sorted(runs, key=lambda run: run.started_at)
    keys = dict.fromkeys((one.stage, one.model, one.name) for run in ordered for one in run.parts if whole(one))
    found = []
    for line in default_lines(ordered):
        for key in keys:
            mine = [(run, scaled(line, part)) for run in ordered for part in parts_of([run], key)]
            known = [(run, value) for run, value in mine if value is not None]
            if known:
                found.append(course(line, key[1], key[0], [run for run, _ in known], [value for _, value in known]))
    return found


def scaled(line: Line, part: Part) -> float | None:
    """The figure on the scale on which it is compared."""
    value = value_of(line, part, None)
    return scale(line, value) if value.value is not None else None


def course(line: Line, model: str, stage: str, runs: Sequence[Extract], values: Sequence[float]) -> Course:
    changes = change_points(values)
    edges = [0, *(one.at for one in changes), len(values)]
    squares, freedom = 0.0, 0
    for begin, end in pairwise(edges):
        stretch = np.asarray(values[begin:end])
        squares += float(np.square(stretch - stretch.mean()).sum())
        freedom += len(stretch) - 1
    spread = math.sqrt(squares / freedom) if freedom > 0 else None
    return Course(line, model, stage, tuple(runs), tuple(values), tuple(changes), spread)


# -- as findings ------------------------------------------------------------------------------------------------


def history(name: str, runs: Sequence[Extract], *, drawn: bool = True) -> Findings:
    """The report of many runs over time."""
    found = courses(runs)
    changed = [one for one in found if one.changes]
    told = [
        Sentence(change_told(one, change, about(one, found)), "doubt", about=About(one.model, stage=one.stage))
        for one in changed
        for change in one.changes
    ]
    few = len(runs) < 2 * FEWEST
    changes = counted(len(told), "changes") if told else "no changes"
    said = few_told(len(runs)) if few else f"{changes} in {counted(len(runs), 'runs')}"
    drawings = tuple(chart(one, place, about(one, found)) for place, one in enumerate(found)) if drawn else ()
    sections = (
        Section("changes", "Where it changed", (*told, *doubts_of(runs), spreads(found))),
        Section("courses", "Over time", drawings),
        Section("runs", "Runs", (table(found, runs),)),
    )
    verdict = Badge("changed", "doubt") if told else Badge("too few runs", "doubt") if few else Badge("steady")
    heading = Heading(f"History of {name}", (verdict,), said)
    return Findings(heading, tuple(one for one in sections if one.parts), "")


def doubts_of(runs: Sequence[Extract]) -> list[Sentence]:
    """What was asked of some runs and not of the first one, so that a change may be of that."""
    first, *others = sorted(runs, key=lambda run: run.started_at)
    found = dict.fromkeys(one.text for other in others for one in asked(first, other) if one.refused)
    return [Sentence(f"These runs are not alike: {one}.", "doubt") for one in found]


def few_told(many: int) -> str:
    return f"{counted(many, 'runs')}; it takes {2 * FEWEST} to find a change"


def about(one: Course, found: Sequence[Course]) -> str:
    """The model of a figure, and its stage where there are several."""
    several = len({each.stage for each in found}) > 1
    return f"{one.model}, {one.stage}" if several else one.model


def change_told(one: Course, change: Change, of: str) -> str:
    """One change in a sentence."""
    run = one.runs[change.at]
    before, after = written(one.line, change.before), written(one.line, change.after)
    return (
        f"{one.line.title} of {of} changed from {before} to {after} ({by(one.line, change)}) with {run.label}, "
        f"{run.started_at[:19]} (p = {change.p_value:.1g})."
    )


def by(line: Line, change: Change) -> str:
    """The size of a change with its sign."""
    if line.is_difference:
        told = points(change.after - change.before)
        return f"{'+' if change.after > change.before else '−'}{told}"
    ratio = math.expm1(change.after - change.before)
    return f"{'+' if ratio > 0 else ''}{percent(ratio)}"


def written(line: Line, value: float) -> str:
    """A figure with its unit; the value is as it is compared."""
    if line.is_difference:
        return share(value)
    plain = math.exp(value)
    return (
        f"{milliseconds(plain)} ms"
        if METRICS[line.metric].kind == "latency"
        else f"{number(plain)}{METRICS[line.metric].unit}"
    )


def spreads(found: Sequence[Course]) -> Table:
    """How much each figure differs from run to run without a change."""
    columns = (
        Column("figure", text=True, code=True), Column("model", text=True), Column("stage", text=True, rank=3),
        Column("runs"), Column("now"), Column("spread", "from run to run, sd"), Column("changes"),
    )  # fmt: skip
    rows = []
    for one in found:
        now = one.changes[-1].after if one.changes else float(np.mean(one.values))
        spread = WITHHELD
        if one.spread is not None:
            spread = points(one.spread) if one.line.is_difference else percent(one.spread)
        cells = (
            Cell(one.line.title), Cell(one.model), Cell(one.stage), Cell(count(len(one.values)), len(one.values)),
            Cell(written(one.line, now), now), Cell(spread, one.spread),
            Cell(count(len(one.changes)), len(one.changes)),
        )  # fmt: skip
        rows.append(Row(cells, About(model=one.model, stage=one.stage)))
    return Table("spreads", "Each figure over all runs", columns, tuple(rows))


def chart(one: Course, place: int, of: str) -> Chart:
    """A figure run by run, with the level between its changes."""
    metric = METRICS[one.line.metric]
    factor = 1e3 if metric.kind == "latency" else 100.0 if one.line.is_difference else 1.0
    plain = [value if one.line.is_difference else math.exp(value) for value in one.values]
    y = np.array(plain) * factor
    x = np.arange(1.0, len(y) + 1.0)
    edges = [0, *(change.at for change in one.changes), len(y)]
    ends = np.array([(begin + 0.5, end + 0.5) for begin, end in pairwise(edges)]).ravel()
    levels = np.repeat([y[begin:end].mean() for begin, end in pairwise(edges)], 2)
    unit = "ms" if metric.kind == "latency" else "%" if one.line.is_difference else metric.unit
    low, high = float(y.min()), float(y.max())
    near = high - low < low / 2  # an axis from 0 would hide the changes
    reach = max(high - low, 0.01 * high) if near else high
    subject = About(one.model, stage=one.stage)
    return Chart(
        name=f"history-{place}",
        title=f"{one.line.title} of {of}",
        says=f"{one.line.title} of {of} in {counted(len(y), 'runs')}, the oldest first, with "
        f"{counted(len(one.changes), 'changes')}.",
        x=Axis("run", begin=0.5, end=len(y) + 0.5, ticks=run_ticks(len(y))),
        y=Axis(metric.title, unit, begin=low - 0.2 * reach if near else 0.0, end=high + 0.25 * reach or 1.0),
        series=(
            Series("level", ends, levels, role="muted", about=subject),
            Series("run", x, y, role="model:0", about=subject, labels=tuple(run.label for run in one.runs)),
        ),
        marks=tuple(Mark(change.at + 0.5, by(one.line, change), "x", "bad") for change in one.changes),
        height=0.7,
        note="The axis does not begin at 0" if near and low > 0 else None,
    )


def run_ticks(runs: int) -> tuple[float, ...]:
    """Whole numbers of runs, not too many of them."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 10 ** len(str(runs))) if runs <= TICKS * step)
    return tuple(float(at) for at in range(step, runs + 1, step))


def told_apart(one: Course, found: Sequence[Course]) -> str:
    """What tells a figure from the same of others; empty if there is but one model and stage."""
    return about(one, found) if len({(each.model, each.stage) for each in found}) > 1 else ""


def table(found: Sequence[Course], runs: Sequence[Extract]) -> Table:
    """A row for each run."""
    ordered = sorted(runs, key=lambda run: run.started_at)
    columns = [
        Column("run", text=True), Column("started", text=True), Column("commit", text=True, rank=2),
        *(Column(one.line.title, told_apart(one, found), rank=1 + place)
          for place, one in enumerate(found)),
    ]  # fmt: skip
    rows = []
    for run in ordered:
        cells = [Cell(run.label), Cell(run.started_at[:19]), Cell((run.git or "")[:12])]
        for one in found:
            at = next((place for place, other in enumerate(one.runs) if other is run), None)
            cells.append(Cell(WITHHELD) if at is None else Cell(written(one.line, one.values[at]), one.values[at]))
        rows.append(Row(tuple(cells)))
    return Table("history", "Run by run", tuple(columns), tuple(rows), always=False)
