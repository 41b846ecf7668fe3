"""What the report of any run can say: headline, figures, what failed and why, verdicts, doubts, charts, as sections.

Each part is made by itself. One that cannot be made is left out and told of; the others stand.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.analysis import charts, request_charts
from bench.analysis.causes import Cause
from bench.analysis.checks import threshold_value
from bench.analysis.columns import WITH_WAITS, Figure, figures, tried_again, waits
from bench.analysis.conclusion import ALL_GENERAL, BARE, Conclusion, General
from bench.analysis.costs import cached_as_wanted, cost_parts
from bench.analysis.credibility import credibility
from bench.analysis.curve import curve_charts, curve_of, without
from bench.analysis.definitions import definitions
from bench.analysis.errors import SentAgain, attempt_table, error_table, sent_again, short_message_of, show_command
from bench.analysis.glance import glance
from bench.analysis.groups import ALL, Group
from bench.analysis.heading import TONES, heading, nothing_measured
from bench.analysis.limit_report import limit_charts, limit_parts
from bench.analysis.model_findings import comparison_parts, comparison_table, of_classes, of_models
from bench.analysis.numerals import count, counted
from bench.analysis.recovery import is_only_a_spike
from bench.analysis.run import Run
from bench.analysis.sections import (
    MARKS,
    About,
    Cell,
    Chart,
    Column,
    Findings,
    Part,
    Row,
    Section,
    Sentence,
    Table,
)
from bench.analysis.summary import Summary
from bench.analysis.turns import turn_charts, turn_table, turns_of
from bench.analysis.waits import waiting_chart
from bench.analysis.waterfall import waterfall
from bench.metrics import UNFAILED

NOTHING_MORE = Conclusion()
WRITTEN = ("--name", "--save")  # options of a command that name a folder or file of its own
REPEATED = "the same requests again, byte for byte"
HIDDEN, TO_FILL_IN = "***", ", with your secrets in place of ***"
LATENCY_CHARTS = ("ttft", "itl", "e2e")
WITHIN_CHARTS = ("ttft", "e2e")
TIME_CHARTS: dict[str, Callable[[Run], Chart | None]] = {
    "timeline": charts.latency_over_time,
    "heat": request_charts.heat_map,
    "throughput": charts.throughput_over_time,
    "outcomes": charts.outcomes_over_time,
    "load": charts.load_over_time,
    "waiting": waiting_chart,
    "waterfall": waterfall,
}


def findings(run: Run, conclusion: Conclusion = NOTHING_MORE, *, drawn: bool = True) -> Findings:
    """Everything that the report of a run says: what its experiment concluded, then the general sections that the
    conclusion keeps. Without the general charts if they are not `drawn`. Raises UncomputableError."""
    left_out: list[str] = []
    shown = to_show(run, conclusion)
    made = {name: section(name, run, drawn, left_out) for name in shown}
    if left_out and "validity" in made:
        doubts = made["validity"]
        told = tuple(Sentence(sentence, "doubt") for sentence in left_out)
        made["validity"] = Section(doubts.name, doubts.title, (*doubts.parts, *told))
    if "definitions" in made:
        others = (*conclusion.sections, *made.values())
        made["definitions"] = replace(made["definitions"], parts=(definitions(run.summary, others),))
    sections = tuple(one for one in (*conclusion.sections, *made.values()) if one.parts)
    scenario = run.understood.scenario_text
    return Findings(heading(run, conclusion), sections, scenario, tuple(left_out), repeats(run))


def repeats(run: Run) -> tuple[tuple[str, str], ...]:
    """The commands that do it again; none if run.json has no command."""
    command = run.facts.command_of_run()
    if command[1:2] != ["run"] or len(command) < 3:
        return ()
    command = without_files(command)
    requests = () if "--repeat" in command else ((REPEATED, shlex.join([*command, "--repeat", str(run.folder)])),)
    found = (("the same load again", shlex.join(command)), *requests)
    hidden = any(HIDDEN in argument for argument in command)
    return tuple((f"{does}{TO_FILL_IN if hidden else ''}", one) for does, one in found)


def without_files(command: Sequence[str]) -> list[str]:
    """The command without the options that name what it wrote, which is there already."""
    kept, skipped = list[str](), False
    for argument in command:
        skip = argument in WRITTEN
        if not (skip or skipped or argument.startswith(tuple(f"{option}=" for option in WRITTEN))):
            kept.append(argument)
        skipped = skip
    return kept


def to_show(run: Run, conclusion: Conclusion) -> list[General]:
    """The names of the general sections to show. That a measurement is invalid is always said."""
    wanted = set(BARE if conclusion.sections and nothing_measured(run) else conclusion.general)
    if run.summary.validity.verdict == "invalid":
        wanted.add("validity")
    first = ("glance", "errors") if run.summary.failing is not None else ("glance",)
    return sorted((name for name in ALL_GENERAL if name in wanted), key=lambda name: name not in first)


def section(name: General, run: Run, drawn: bool, left_out: list[str]) -> Section:
    """A general section; if it cannot be made it is empty, and `left_out` gets a sentence about it."""
    title, make = SECTIONS[name]
    try:
        return Section(name, title, tuple(make(run, drawn, left_out)))
    except Exception as error:  # the other sections are right all the same
        left_out.append(f"the part {title} could not be made ({type(error).__name__}: {error})")
        return Section(name, title)


def pictures(makers: Mapping[str, Callable[[], Chart | None]], left_out: list[str]) -> list[Chart]:
    """The charts that can be drawn; `left_out` gets a sentence about each of the others."""
    found = []
    for name, make in makers.items():
        try:
            chart = make()
        except Exception as error:  # the other charts are right all the same
            left_out.append(f"the picture {name} could not be drawn ({type(error).__name__}: {error})")
        else:
            found += [chart] if chart is not None else []
    return found


# -- figures ------------------------------------------------------------------------------------------------

WITHHELD_MEANS = (
    "Latencies in milliseconds, of answers without error. – stands for a percentile that needs more answers; where no "
    "percentile can be shown, the mean stands in its place."
)


def figure_tables(groups: Sequence[Group]) -> list[Table]:
    """A row for each model and request class; where there are several stages, the classes in a table of their own."""
    stages = stages_of(groups)
    if len(stages) < 2:
        each = "Figures of each model" + (" and request class" if any(group.name != ALL for group in groups) else "")
        return [figure_table("figures", each, groups, stages)]
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
    note = WITHHELD_MEANS + (f" {WITH_WAITS}" if waits(groups) or tried_again(groups) else "")
    return Table(name, title, (*names, *(one.column for one in found)), tuple(rows), note, always)


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
        failed = {word: many for word, many in group.outcomes.items() if word not in UNFAILED}
        if failed:
            parts = ", ".join(f"{count(many)} {word}" for word, many in failed.items())
            stage = group.stage if len(stages_of(groups)) > 1 else ""
            whose = ", ".join(filter(None, (group.model, group.name if part(group) else "", stage)))
            reasons = tuple(why(cause, folder) for cause in group.causes)
            text = f"{whose}: {count(sum(failed.values()))} failed: {parts}"
            told.append(Sentence(text, "bad", reasons, about=about(group), tabled=True))
    return told


def failed_attempts(found: Sequence[SentAgain], folder: Path) -> list[Sentence]:
    """How many attempts of each model failed and were sent again, and why."""
    return [
        Sentence(
            f"{one.model}: {counted(one.count, 'earlier attempts')}, of {count(one.attempts)} in all, failed and were "
            "sent again",
            "doubt",
            tuple(why(cause, folder) for cause in one.causes),
            about=About(one.model),
            tabled=True,
        )
        for one in found
    ]


def why(cause: Cause, folder: Path) -> str:
    """35 connect: connection refused (bench show reports/chat 12)."""
    return f"{count(cause.count)} {cause.outcome}: {short_message_of(cause)} ({show_command(folder, cause)})"


def thresholds(summary: Summary) -> list[Part]:
    """Each condition with what it got and its verdict."""
    if not summary.thresholds:
        told = "Measured, but not judged: the scenario has no thresholds."
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


def validity(summary: Summary) -> list[Sentence]:
    """Whether the figures can be believed, and what weakens them."""
    word = summary.validity.verdict
    weaknesses = [*summary.validity.reasons, *summary.doubts]
    judged = [Sentence(f"The measurement is {word}.", TONES[word])]
    return [
        *(judged if summary.counts.ok or word != "valid" else []),  # nothing can be measured rightly
        Sentence(" ".join(credibility(summary))),
        *(Sentence(one, "doubt") for one in weaknesses),
    ]


# -- what stands at the end ---------------------------------------------------------------------------------


def circumstances(run: Run) -> Sentence:
    """Target, machine and versions in a few words each."""
    facts = run.facts
    machine, versions, target = facts.machine, facts.versions, facts.target
    told = [
        f"target {target.kind if target.kind != 'url' else target.url}",
        f"{machine.cpus} CPUs ({machine.cpu_model or 'unknown model'}), {machine.memory_gb} GB",
        f"{machine.system}, Python {machine.python}",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    told += [f"commit {facts.git[:12]}"] if facts.git else []
    return Sentence("; ".join(told) + ".", always=False)


# -- the sections by name -------------------------------------------------------------------------------------


def models_side_by_side(run: Run, drawn: bool, left_out: list[str]) -> list[Part]:
    """Each model beside the first."""
    return comparison_parts(of_models(run.summary.comparisons))


def classes_side_by_side(run: Run, drawn: bool, left_out: list[str]) -> list[Part]:
    """Each request class of a single model beside the first: for those who have room."""
    found = of_classes(run.summary.comparisons)
    return [replace(comparison_table(found), always=False)] if found else []


def what_failed(run: Run, drawn: bool, left_out: list[str]) -> list[Part]:
    """The requests that failed, and the attempts that did and were sent again."""
    again = sent_again(run)
    return [
        *error_table(run),
        *failures(run.summary.groups, run.folder),
        *attempt_table(run, again),
        *failed_attempts(again, run.folder),
    ]


def turns(run: Run, drawn: bool, left_out: list[str]) -> list[Part]:
    """The turns of conversations, if there are any."""
    found = turns_of(run)
    return [turn_table(found), *(pictures(turn_charts(run, found), left_out) if drawn else ())] if found else []


def limits(run: Run, drawn: bool, left_out: list[str]) -> list[Part]:
    """What the run shows of the provider's rate limits, if it shows any."""
    asked = run.facts.scenario.limits
    declared = {} if asked is None else {model: asked.requests_per_minute(model) for model in run.facts.scenario.models}
    return [*limit_parts(run), *(pictures(limit_charts(run, declared), left_out) if drawn else ())]


def curve(run: Run, drawn: bool, left_out: list[str]) -> list[Part]:
    """Latency and throughput against the load, if there are several levels of it; a spike is seen over time."""
    if not drawn or is_only_a_spike(run):
        return []
    found = curve_of(run)
    missing = [] if (text := without(found)) is None else [Sentence(text)]
    return [*missing, *pictures(curve_charts(found), left_out)]


def latency(run: Run, drawn: bool, left_out: list[str]) -> list[Chart]:
    makers: dict[str, Callable[[], Chart | None]] = {
        metric: partial(charts.distribution, run, metric) for metric in LATENCY_CHARTS
    }
    if waits(run.summary.groups):
        makers["e2e_from_due"] = partial(charts.distribution, run, "e2e_from_due")
    makers |= {f"within-{metric}": partial(request_charts.within_time, run, metric) for metric in WITHIN_CHARTS}
    makers["prompts"] = partial(request_charts.first_token_by_prompt, run)
    return pictures(makers, left_out) if drawn else []


def over_time(run: Run, drawn: bool, left_out: list[str]) -> list[Chart]:
    return pictures({name: partial(make, run) for name, make in TIME_CHARTS.items()}, left_out) if drawn else []


SECTIONS: dict[General, tuple[str, Callable[[Run, bool, list[str]], Iterable[Part]]]] = {
    "glance": ("At a glance", lambda run, _drawn, _left_out: glance(run)),
    "comparison": ("Models side by side", models_side_by_side),
    "summary": ("Figures", lambda run, _drawn, _left_out: figure_tables(run.summary.groups)),
    "errors": ("What failed", what_failed),
    "thresholds": ("Thresholds", lambda run, _drawn, _left_out: thresholds(run.summary)),
    "validity": ("Validity", lambda run, _drawn, _left_out: validity(run.summary)),
    "classes": ("Request classes side by side", classes_side_by_side),
    "cost": (
        "Cost",
        lambda run, _drawn, _left_out: cost_parts(
            run.summary.groups, run.understood.prices, cached_as_wanted(run.facts)
        ),
    ),
    "turns": ("Turn by turn", turns),
    "limits": ("Rate limits", limits),
    "curve": ("Load curve", curve),
    "latency": ("Latency", latency),
    "timeline": ("Over time", over_time),
    "definitions": ("Definitions", lambda _run, _drawn, _left_out: []),  # of what the other sections say
    "circumstances": ("Circumstances", lambda run, _drawn, _left_out: [circumstances(run)]),
}
"""The title of each general section, and what makes its parts: from a run, whether charts are drawn, and a list for
sentences about what had to be left out."""
