"""What a load answers: headline, figures, what failed and why, verdicts, doubts and charts, as sections.

Each part is made by itself. One that cannot be made is left out and told of; the others stand.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from bench.analysis import charts
from bench.analysis.causes import Cause
from bench.analysis.columns import Figure, figures
from bench.analysis.credibility import credibility
from bench.analysis.curve import curve_charts, curve_of
from bench.analysis.groups import ALL, Group
from bench.analysis.numerals import WITHHELD, count, dollars, duration, milliseconds, number, share
from bench.analysis.run import Run
from bench.analysis.sections import (
    About,
    Badge,
    Cell,
    Chart,
    Column,
    Findings,
    Heading,
    Part,
    Row,
    Section,
    Sentence,
    Table,
    Tone,
)
from bench.analysis.summary import Summary
from bench.analysis.thresholds import Judgement
from bench.analysis.turns import turn_charts, turn_table, turns_of
from bench.metrics import FLOORS, FORMULAS, METRICS
from bench.plan.load import MEASURE
from bench.plan.thresholds import parse_threshold

LONGEST = 160  # characters of a message
TONES: dict[str, Tone] = {
    "pass": "good", "fail": "bad", "inconclusive": "doubt", "measured": "plain",
    "valid": "good", "suspect": "doubt", "invalid": "bad",
}  # fmt: skip
MARKS = {"pass": "✓", "fail": "✗", "inconclusive": "?"}
LATENCY_CHARTS = ("ttft", "itl", "e2e")
TIME_CHARTS: dict[str, Callable[[Run], Chart | None]] = {
    "timeline": charts.latency_over_time,
    "throughput": charts.throughput_over_time,
    "outcomes": charts.outcomes_over_time,
    "load": charts.load_over_time,
}


def findings(run: Run, *, drawn: bool = True) -> Findings:
    """Everything that a report of this run says; without charts if they are not `drawn`. Raises UncomputableError."""
    summary = run.summary
    left_out: list[str] = []

    def made(name: str, title: str, make: Callable[[], Iterable[Part]]) -> Section:
        try:
            return Section(name, title, tuple(make()))
        except Exception as error:  # the other sections are right all the same
            left_out.append(f"the part {title} could not be made ({type(error).__name__}: {error})")
            return Section(name, title)

    def pictures(makers: Mapping[str, Callable[[], Chart | None]]) -> list[Chart]:
        found = []
        for name, make in makers.items() if drawn else ():
            try:
                chart = make()
            except Exception as error:  # the other charts are right all the same
                left_out.append(f"the picture {name} could not be drawn ({type(error).__name__}: {error})")
            else:
                found += [chart] if chart is not None else []
        return found

    turns = turns_of(run)
    by_turn = pictures(turn_charts(run, turns))
    curve = pictures(curve_charts(curve_of(run)))
    latency = pictures({metric: partial(charts.distribution, run, metric) for metric in LATENCY_CHARTS})
    over_time = pictures({name: partial(make, run) for name, make in TIME_CHARTS.items()})
    before = [
        made("summary", "Figures", lambda: figure_tables(summary.groups)),
        made("errors", "What failed", lambda: failures(summary.groups, run.folder)),
        made("thresholds", "Thresholds", lambda: thresholds(summary)),
    ]
    after = [
        made("turns", "Turn by turn", lambda: [turn_table(turns), *by_turn] if turns else []),
        Section("curve", "Against the load", tuple(curve)),
        Section("latency", "Latency", tuple(latency)),
        Section("timeline", "Over time", tuple(over_time)),
        made("definitions", "What the figures mean", lambda: definitions(summary)),
        made("circumstances", "Circumstances", lambda: [circumstances(run)]),
    ]
    doubts = made("validity", "What to make of it", lambda: validity(summary))
    told = tuple(Sentence(sentence, "doubt") for sentence in left_out)
    doubts = Section(doubts.name, doubts.title, (*doubts.parts, *told))
    concluded = () if run.conclusion is None else run.conclusion.sections
    figures_of_load = after[-1:] if nothing_measured(run) else (*before, doubts, *after)
    sections = tuple(section for section in (*concluded, *figures_of_load) if section.parts)
    return Findings(heading(run), sections, run.understood.scenario_text, tuple(left_out))


def nothing_measured(run: Run) -> bool:
    """Whether an experiment had no stage that was to be measured: then the figures of a load would all be empty."""
    return run.conclusion is not None and not run.summary.counts.planned and not run.summary.counts.recorded


# -- heading ------------------------------------------------------------------------------------------------


def heading(run: Run) -> Heading:
    """The run in a sentence, and its verdicts."""
    summary, models = run.summary, len(run.facts.scenario.models)
    verdict, believed = summary.verdict, summary.validity.verdict
    if run.conclusion is not None and run.conclusion.verdict is not None:
        verdict = run.conclusion.verdict
    asked = f"{models} models were asked the same. " if models > 1 else ""
    return Heading(
        title=str(summary.scenario),
        badges=(
            Badge(verdict, TONES[verdict]),
            *(() if nothing_measured(run) else (Badge(f"measurement {believed}", TONES[believed]),)),
        ),
        headline=f"{count(len(run.records))} requests, none of them under load"
        if nothing_measured(run)
        else headline(summary),
        detail=f"{asked}Started {summary.started_at}, seed {summary.seed}.",
        alarm=summary.failing,
    )


def headline(summary: Summary) -> str:
    """The run in a sentence."""
    counts = summary.counts
    told = f"{count(counts.recorded)} requests in {duration(summary.measured_s)}"
    told += f", {count(counts.ok)} ok, {count(counts.failed)} failed"
    return told + (f", {count(counts.censored)} censored" if counts.censored else "")


# -- figures ------------------------------------------------------------------------------------------------

WITHHELD_MEANS = (
    "Latencies in milliseconds, of answers without error. – is a percentile withheld for want of answers; where all of "
    "them are, the mean stands instead."
)


def figure_tables(groups: Sequence[Group]) -> list[Table]:
    """A row for each model and request class; where there are several stages, the classes in a table of their own."""
    stages = stages_of(groups)
    if len(stages) < 2:
        return [figure_table("figures", "Figures of each model", groups, stages)]
    whole = [group for group in groups if group.name == ALL]
    tables = [figure_table("figures", "Figures of each model and stage", whole, stages)]
    if len(whole) < len(groups):
        classes = figure_table("classes", "Figures of each request class and stage", groups, stages, always=False)
        tables.append(classes)
    return tables


def figure_table(
    name: str, title: str, groups: Sequence[Group], stages: Sequence[str], *, always: bool = True
) -> Table:
    """A row for each group."""
    found, staged = figures(groups), len(stages) > 1
    names = [Column("", text=True)] + ([Column("stage", text=True)] if staged else [])
    rows = [Row((*titles(group, staged=staged), *cells(found, group)), about(group), part(group)) for group in groups]
    return Table(name, title, (*names, *(one.column for one in found)), tuple(rows), WITHHELD_MEANS, always)


def titles(group: Group, *, staged: bool) -> list[Cell]:
    """What a row is about, in words."""
    return [Cell(group.name if part(group) else group.model)] + ([Cell(group.stage)] * staged)


def cells(found: Sequence[Figure], group: Group) -> list[Cell]:
    return [figure.cell(group) for figure in found]


def part(group: Group) -> bool:
    """Whether it is a request class, and not the whole of a model."""
    return group.name != ALL


def stages_of(groups: Sequence[Group]) -> list[str]:
    """The measured stages, in their order."""
    return list(dict.fromkeys(group.stage for group in groups))


def about(group: Group) -> About:
    return About(group.model, group.name if part(group) else None, group.stage)


# -- failures and verdicts ----------------------------------------------------------------------------------


def failures(groups: Sequence[Group], folder: Path) -> list[Sentence]:
    """What went wrong with each entry of the mix, and why; `folder` is the run's, where the requests can be seen."""
    entries = [group for group in groups if part(group)] or groups
    told = []
    for group in entries:
        failed = {word: many for word, many in group.outcomes.items() if word not in ("ok", "censored")}
        if failed:
            parts = ", ".join(f"{count(many)} {word}" for word, many in failed.items())
            during = f" during {group.stage}" if len(stages_of(groups)) > 1 else ""
            reasons = tuple(why(cause, folder, group.stage) for cause in group.causes)
            text = f"failed {group.name} of {group.model}{during}: {parts}"
            told.append(Sentence(text, "bad", reasons, about=about(group)))
    return told


def why(cause: Cause, folder: Path, stage: str) -> str:
    """35 connect: connection refused (bench show reports/chat 12)."""
    of = "" if stage == MEASURE else f" --stage {shlex.quote(stage)}"
    message = cause.message
    if message is None:
        message = f"{count(cause.kinds)} further reasons" if cause.kinds > 1 else "one further reason"
    elif len(message) > LONGEST:
        message = message[: LONGEST - 1] + "…"
    return f"{count(cause.count)} {cause.outcome}: {message} (bench show {shlex.quote(str(folder))} {cause.seq}{of})"


def thresholds(summary: Summary) -> list[Part]:
    """Each condition with what it got and its verdict."""
    if not summary.thresholds:
        told = "Measured, and not judged: the scenario states no thresholds."
        return [Sentence(told)] if summary.verdict == "measured" else []
    columns = (
        Column("verdict", text=True),
        Column("condition", text=True, code=True),
        Column("got"),
        Column("n", rank=1, meaning="requests, calls or gaps that it was judged by"),
    )
    rows = [
        Row((
            Cell(f"{MARKS[one.verdict]} {one.verdict}", tone=TONES[one.verdict]),
            Cell(one.expression, detail=one.reason),
            Cell(threshold_value(one), one.value),
            Cell(count(one.n), one.n),
        ))
        for one in summary.thresholds
    ]  # fmt: skip
    return [Table("thresholds", "Conditions of the scenario", columns, tuple(rows))]


def threshold_value(threshold: Judgement) -> str:
    """A threshold's value in the unit of its metric."""
    metric, value = METRICS[parse_threshold(threshold.expression).metric], threshold.value
    if value is None:
        return WITHHELD
    if metric.kind == "latency":
        return f"{milliseconds(value)} ms"
    if metric.kind == "share":
        return share(value)
    return dollars(value) if metric.unit == "USD" else f"{number(value)}{metric.unit}"


def validity(summary: Summary) -> list[Sentence]:
    """Whether the figures can be believed, and what weakens them."""
    word = summary.validity.verdict
    weaknesses = [*summary.validity.reasons, *summary.doubts]
    return [
        Sentence(f"The measurement is {word}.", TONES[word]),
        Sentence(" ".join(credibility(summary))),
        *(Sentence(one, "doubt") for one in weaknesses),
    ]


# -- what stands at the end ---------------------------------------------------------------------------------


def definitions(summary: Summary) -> list[Part]:
    """The definition of each figure that this report states."""
    used = {one.definition for one in figures(summary.groups)}
    used |= {METRICS[parse_threshold(one.expression).metric].title for one in summary.thresholds}
    if summary.arrivals:
        used |= {"send lag"}
    rows = [Row((Cell(name), Cell(formula))) for name, formula in FORMULAS.items() if name in used]
    floors = ", ".join(f"{name} {floor:,}" for name, floor in FLOORS.items())
    note = (
        "A percentile is one of the measured values; it is withheld below the number of answers at which a bound with "
        f"99 % confidence exists ({floors})."
    )
    columns = (Column("figure", text=True), Column("definition", text=True))
    return [Table("definitions", "Definitions", columns, tuple(rows), note, always=False)]


def circumstances(run: Run) -> Sentence:
    """Target, machine and versions in a few words each."""
    facts = run.facts
    machine, versions, target = facts.machine, facts.versions, facts.target
    told = [
        f"target {target.kind if target.kind != 'url' else target.url}",
        f"{machine.cpus} CPUs ({machine.cpu_model or 'of unknown make'}), {machine.memory_gb} GB",
        f"{machine.system}, Python {machine.python}",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    told += [f"commit {facts.git[:12]}"] if facts.git else []
    return Sentence("; ".join(told) + ".", always=False)
