"""Several runs in one page: one table, charts with a colour for each run. Differences are not tested here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.analysis.columns import figures
from bench.analysis.comparability import unlike
from bench.analysis.comparison_charts import distributions, over_time
from bench.analysis.comparison_findings import spread_out
from bench.analysis.extract import extract, whole
from bench.analysis.groups import ALL
from bench.analysis.numerals import counted
from bench.analysis.run import Run
from bench.analysis.sections import (
    About,
    Badge,
    Cell,
    Chart,
    Column,
    Findings,
    Heading,
    Row,
    Section,
    Sentence,
    Table,
    capital,
)
from bench.metrics import METRICS
from bench.records.json_file import indented

METRICS_DRAWN = ("ttft", "tpot", "e2e")


def side_by_side(runs: Sequence[Run], *, drawn: bool = True) -> Findings:
    """The report of several runs; without charts if they are not `drawn`. Raises UncomputableError."""
    labels = labels_of(runs)
    extracts = [extract(run) for run in runs]
    differing = unlike(extracts[:1], extracts[1:])
    doubts = [
        Sentence(f"{label}: the measurement is {run.summary.validity.verdict}.", "doubt")
        for label, run in zip(labels, runs, strict=True)
        if run.summary.validity.verdict != "valid"
    ]
    sections = (
        Section("summary", "Figures", (table(runs, labels),)),
        Section("differences", "What to make of it", (
            Sentence("The runs stand side by side; no difference was tested. bench compare tests two of them."),
            *(Sentence(f"{capital(one.text)}.", "doubt") for one in differing),
            *doubts,
        )),
        Section("latency", "Latency", tuple(latency(runs, labels)) if drawn else ()),
        Section("timeline", "Over time", tuple(timelines(runs, labels)) if drawn else ()),
    )  # fmt: skip
    heading = Heading(
        f"{counted(len(runs), 'runs')} side by side",
        (Badge("measured"),),
        ", ".join(labels),
        "No difference between them was tested.",
    )
    asked = dict(zip(labels, (one.asked for one in extracts), strict=True))
    return Findings(heading, tuple(one for one in sections if one.parts), indented(asked).decode())


def labels_of(runs: Sequence[Run]) -> list[str]:
    """A name for each run: its folder's; with a number where two have the same."""
    names = [run.folder.resolve().name for run in runs]
    return [f"{name} ({place})" if names.count(name) > 1 else name for place, name in enumerate(names, start=1)]


def table(runs: Sequence[Run], labels: Sequence[str]) -> Table:
    """A row for each model and stage of each run."""
    groups = [(label, group) for label, run in zip(labels, runs, strict=True) for group in run.summary.groups]
    groups = [(label, group) for label, group in groups if group.name == ALL]
    found = figures([group for _, group in groups])
    staged = len({group.stage for _, group in groups}) > 1
    names = [Column("run", text=True), Column("model", text=True), *([Column("stage", text=True)] * staged)]
    rows = [
        Row(
            (
                Cell(label),
                Cell(group.model),
                *([Cell(group.stage)] * staged),
                *(figure.cell(group) for figure in found),
            ),
            About(model=group.model, stage=group.stage),
        )
        for label, group in groups
    ]
    return Table("figures", "Figures of each run", (*names, *(one.column for one in found)), tuple(rows))


def keys_of(runs: Sequence[Run]) -> list[tuple[str, str | None]]:
    """Every stage and model that a run has figures of; no model where each run has one of its own, which then stand
    in one chart."""
    apart = len({model for run in runs for model in models_of(run)}) > 1 and all(
        len(models_of(run)) == 1 for run in runs
    )
    return list(dict.fromkeys((one.stage, None if apart else one.model) for run in runs for one in run.summary.groups))


def models_of(run: Run) -> set[str]:
    return {one.model for one in run.summary.groups}


def about(keys: Sequence[tuple[str, str | None]], stage: str, model: str | None) -> str:
    """The model and stage of a chart, for its title; empty if there is only one of each."""
    staged, several = (len(set(one)) > 1 for one in zip(*keys, strict=True))
    parts = [model] * several if model is not None else []
    parts += [stage] * staged
    return f": {', '.join(parts)}" if parts else ""


def latency(runs: Sequence[Run], labels: Sequence[str]) -> list[Chart]:
    """The distributions of each metric, of each model and stage, a line for each run."""
    keys, found = keys_of(runs), []
    parts = [extract(run).parts for run in runs]
    for place, (stage, model) in enumerate(keys):
        for metric in METRICS_DRAWN:
            values = {label: np.empty(0) for label in labels}
            for label, mine in zip(labels, parts, strict=True):
                for one in mine:
                    shown = one.stage == stage and model in (one.model, None)
                    if shown and whole(one) and metric in one.latency:
                        values[label] = spread_out(one.latency[metric])
            chart = distributions(metric, values, name=f"{metric}-{place}", counted_one_by_one=False)
            found += (
                [renamed(chart, about(keys, stage, model)).all_about(About(model, stage=stage))]
                if chart is not None
                else []
            )
    return found


def timelines(runs: Sequence[Run], labels: Sequence[str]) -> list[Chart]:
    """Latency over time of each model, a colour for each run."""
    models = list(dict.fromkeys(model for _, model in keys_of(runs)))
    found = []
    for place, model in enumerate(models):
        timed, metric = {}, "e2e"
        asked = [run.requests if model is None else run.requests[run.requests["model"] == model] for run in runs]
        if any(rows["ttft_s"].notna().any() for rows in asked):
            metric = "ttft"
        for label, run, mine in zip(labels, runs, asked, strict=True):
            rows = mine[mine["outcome"] == "ok"]
            at = rows["sent"].to_numpy(np.float64) - run.end.load_started
            timed[label] = (at, rows[METRICS[metric].key].to_numpy(np.float64))
        chart = over_time(metric, timed, name=f"{metric}-over-time-{place}")
        found += (
            [renamed(chart, f": {model}" if len(models) > 1 else "").all_about(About(model))]
            if chart is not None
            else []
        )
    return found


def renamed(chart: Chart, more: str) -> Chart:
    return replace(chart, title=f"{chart.title}{more}")
