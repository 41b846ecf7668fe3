"""The report in the terminal: one table, then thresholds, then what weakens the figures."""

from __future__ import annotations

import io
from collections.abc import Sequence

import msgspec
from rich.box import SIMPLE_HEAD
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bench.analysis import Run, Summary
from bench.analysis.groups import Group
from bench.report.cells import Column, columns, credibility, failures, headline, threshold_value
from bench.report.console import console_for
from bench.report.words import all_visible, shortened

COLOURS = {
    "pass": "green",
    "fail": "red",
    "inconclusive": "yellow",
    "valid": "green",
    "suspect": "yellow",
    "invalid": "red",
}
MARKS = {"pass": "✓", "fail": "✗", "inconclusive": "?"}
WIDEST = 160
BETWEEN, EDGES = 3, 2  # characters from one column to the next, and beside the outer ones


def text(run: Run, *, colour: bool = False, width: int | None = None) -> str:
    """The whole report as lines for a terminal."""
    out = io.StringIO()
    console = console_for(out, widest=WIDEST, width=width, colour=colour)
    summary = made_visible(run.summary)
    if summary.failing is not None:
        console.print(Text(f"✗ fail  {summary.failing}", "bold red"))
    console.print(Text.assemble((summary.scenario, "bold"), f"  {headline(summary)}"))
    console.print(figures(summary.groups, console.width))
    for failed in failures(summary.groups, run.folder):
        console.print(Text.assemble(("failed ", "red"), failed.title))
        for reason in failed.reasons:
            console.print(Padding(Text(reason), (0, 0, 0, 4)))
    for threshold in summary.thresholds:
        word = threshold.verdict
        line = Text.assemble((f"{MARKS[word]} {word:<13}", COLOURS[word]), f"{threshold.expression}")
        line.append(f"   got {threshold_value(threshold)}")
        console.print(line)
        if threshold.reason:
            console.print(Text(f"    {threshold.reason}", "dim"))
    if summary.verdict == "measured":
        console.print("Measured, and not judged: the scenario states no thresholds.")
    if summary.thresholds or summary.verdict == "measured":
        console.print()
    validity = summary.validity
    level = validity.verdict
    console.print(Text.assemble("The measurement is ", (level, COLOURS[level]), ". ", " ".join(credibility(summary))))
    for weakness in [*validity.reasons, *summary.doubts]:
        console.print(Padding(Text(f"• {weakness}"), (0, 0, 0, 2)))
    return out.getvalue().rstrip()


def made_visible(summary: Summary) -> Summary:
    """The same with every text in it harmless to a terminal."""
    return msgspec.convert(all_visible(msgspec.to_builtins(summary)), Summary)


def figures(groups: Sequence[Group], width: int) -> Table:
    """The table of models and request classes, without the least important columns where there is no room."""
    shown = fitting(columns(groups)[2:], groups, width)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for column in shown:
        table.add_column("\n".join(header(column)), justify="right", no_wrap=True)
    for place, group in enumerate(groups):
        whole = group.name == "all"
        if whole and place:
            table.add_section()
        table.add_row(title(group), *(column.cell(group) for column in shown), style="bold" if whole else None)
    return table


def title(group: Group) -> str:
    """The model, or below it one entry of the mix."""
    return shortened(group.model) if group.name == "all" else f"  {shortened(group.name)}"


def header(column: Column) -> list[str]:
    """Title and unit, a line each."""
    return [column.title, *column.unit.split(", ")]


def fitting(shown: list[Column], groups: Sequence[Group], width: int) -> list[Column]:
    """As many of the columns as fit beside the names."""
    widths = {
        id(column): max(map(len, [*header(column), *(column.cell(group) for group in groups)])) for column in shown
    }
    room = width - EDGES - max((len(title(group)) for group in groups), default=0)
    while shown and sum(widths[id(column)] + BETWEEN for column in shown) > room:
        shown.remove(max(reversed(shown), key=lambda column: column.rank))
    return shown
