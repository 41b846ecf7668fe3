"""Sections in a terminal: tables without their least important columns where there is no room, then sentences."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from bench.analysis import Run
from bench.analysis.sections import Cell, Column, Findings, Row, Sentence, Table, Tone
from bench.experiments.general import findings
from bench.report.console import console_for
from bench.report.words import shortened, visible

COLOURS: dict[Tone, str] = {"plain": "", "good": "green", "bad": "red", "doubt": "yellow"}
BULLETS: dict[Tone, str] = {"plain": "", "good": "✓ ", "bad": "✗ ", "doubt": "• "}
WIDEST = 160
BETWEEN, EDGES = 3, 2  # characters from one column to the next, and beside the outer ones
NARROWEST = 24  # characters of a condition, before it is broken


def text(run: Run, *, colour: bool = False, width: int | None = None) -> str:
    """The report of the figures alone, as lines for a terminal."""
    return terminal(findings(run, drawn=False), colour=colour, width=width)


def brief(told: Findings, *, colour: bool = False, width: int | None = None) -> str:
    """The verdict, the headline and an alarm, if there is one."""
    badges = " · ".join(badge.text for badge in told.heading.badges)
    heading = replace(told.heading, title=f"{told.heading.title}  {badges}" if badges else told.heading.title)
    return terminal(replace(told, heading=heading, sections=()), colour=colour, width=width)


def terminal(told: Findings, *, colour: bool = False, width: int | None = None) -> str:
    """Findings as lines; charts are left out."""
    out = io.StringIO()
    console = console_for(out, widest=WIDEST, width=width, colour=colour)
    if told.heading.alarm is not None:
        console.print(Text(f"✗ fail  {visible(told.heading.alarm)}", "bold red"))
    console.print(Text.assemble((visible(told.heading.title), "bold"), f"  {visible(told.heading.headline)}"))
    after_table = False
    for section in told.sections:
        parts = [part for part in section.parts if isinstance(part, Sentence | Table) and part.always]
        if parts and isinstance(parts[0], Sentence) and not after_table:
            console.print()
        for part in parts:
            after_table = isinstance(part, Table)
            console.print(grid(part, console.width)) if isinstance(part, Table) else say(console, part)
    return out.getvalue().rstrip()


def say(console: Console, sentence: Sentence) -> None:
    """A sentence with its details below it; only its mark is coloured."""
    mark = BULLETS[sentence.tone]
    line = Text.assemble((mark, COLOURS[sentence.tone]), visible(sentence.text))
    console.print(line)
    for detail in sentence.details:
        console.print(Padding(Text(visible(detail)), (0, 0, 0, 4)))


def grid(table: Table, width: int) -> Grid:
    """A table as wide as there is room for."""
    places = fitting(table, width)
    made = Grid(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for place in places:
        column = table.columns[place]
        breaks = column.code
        made.add_column(
            "\n".join(header(column)), justify="left" if column.text else "right", no_wrap=not breaks,
            overflow="fold" if breaks else "ellipsis",
        )  # fmt: skip
    parts = any(row.part for row in table.rows)
    for number, row in enumerate(table.rows):
        if number and parts and not row.part:
            made.add_section()
        style = "bold" if parts and not row.part else None
        made.add_row(*(written(row, place) for place in places), style=style)
    return made


def written(row: Row, place: int) -> Text:
    """A cell, its detail below it; a part's name stands a little to the right."""
    cell = row.cells[place]
    line = Text(plain(row, place), COLOURS[cell.tone])
    return line if cell.detail is None else line.append(f"\n{visible(cell.detail)}", "not bold dim")


def plain(row: Row, place: int) -> str:
    cell: Cell = row.cells[place]
    return f"  {shortened(cell.text)}" if row.part and not place else shortened(cell.text)


def header(column: Column) -> list[str]:
    """Title and unit, a line each."""
    return [visible(column.title), *(column.unit.split(", ") if column.unit else [])]


def fitting(table: Table, width: int) -> list[int]:
    """The places of as many columns as fit beside the first."""
    places = list(range(len(table.columns)))
    widths = [natural(table.columns[place], [plain(row, place) for row in table.rows]) for place in places]
    while sum(widths[place] + BETWEEN for place in places) - BETWEEN > width - EDGES:
        least = max(reversed(places), key=lambda place: table.columns[place].rank)
        if least == 0 or (not table.columns[least].rank and table.columns[least].code):
            break
        places.remove(least)
    return places


def natural(column: Column, cells: Sequence[str]) -> int:
    """How wide a column wants to be; one that may be broken is content with little."""
    wanted = max(map(cell_len, [*header(column), *cells]), default=0)
    return min(wanted, NARROWEST) if column.code else wanted
