"""Sections in a terminal: tables, in several blocks where there is no room for all columns, and sentences."""

from __future__ import annotations

import io
import itertools
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
UNBROKEN = 10_000
BETWEEN, EDGES = 3, 2  # characters from one column to the next, and beside the outer ones
NARROWEST = 24  # characters of a condition, before it is broken


def text(run: Run, *, colour: bool = False, width: int | None = None) -> str:
    """The report of the figures alone, as lines for a terminal."""
    return terminal(findings(run, drawn=False), colour=colour, width=width)


def brief(told: Findings, *, colour: bool = False, width: int | None = None) -> str:
    """The verdict, the headline and an alarm, if there is one: a line each, however long, since scripts read them."""
    badges = " · ".join(badge.text for badge in told.heading.badges)
    heading = replace(told.heading, title=f"{told.heading.title}  {badges}" if badges else told.heading.title)
    return terminal(replace(told, heading=heading, sections=()), colour=colour, width=width or UNBROKEN)


def terminal(told: Findings, *, colour: bool = False, width: int | None = None) -> str:
    """Findings as lines; charts are left out."""
    out = io.StringIO()
    console = console_for(out, widest=WIDEST, width=width, colour=colour)
    if told.heading.alarm is not None:
        words = [*(badge.text for badge in told.heading.badges[:1]), told.heading.alarm]
        console.print(Text(f"✗ {visible('  '.join(words))}", "bold red"))
    console.print(Text.assemble((visible(told.heading.title), "bold"), f"  {visible(told.heading.headline)}"))
    after_table, explained = False, set[str]()
    for section in told.sections:
        parts = [part for part in section.parts if isinstance(part, Sentence | Table) and part.always]
        if parts and isinstance(parts[0], Sentence) and not after_table:
            console.print()
        for part in parts:
            after_table = isinstance(part, Table)
            if isinstance(part, Sentence):
                say(console, part)
                continue
            for number, places in enumerate(blocks(part, console.width)):
                console.print(grid(part, places, empty=not number))
            if new := {short: words for short, words in abbreviations(part).items() if short not in explained}:
                explained |= new.keys()
                console.print(Text(" · ".join(f"{short}: {words}" for short, words in new.items()), "dim"))
    return out.getvalue().rstrip()


def abbreviations(table: Table) -> dict[str, str]:
    """What the capitals in a table's head stand for: a meaning begins with it, before its first colon."""
    return {
        one.title: one.meaning.partition(":")[0]
        for one in table.columns
        if one.title.isupper() and one.meaning and ":" in one.meaning
    }


def say(console: Console, sentence: Sentence) -> None:
    """A sentence with its details below it; only its mark is coloured."""
    mark = BULLETS[sentence.tone]
    line = Text.assemble((mark, COLOURS[sentence.tone]), visible(sentence.text))
    console.print(line)
    for detail in sentence.details:
        console.print(Padding(Text(visible(detail)), (0, 0, 0, 4)))


def grid(table: Table, places: Sequence[int], *, empty: bool = True) -> Grid:
    """The columns of a table at these places; with or without the rows that have nothing there but a name."""
    made = Grid(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for place in places:
        column = table.columns[place]
        alone = column.text and len(places) == len(naming(table)) + 1  # its block has room for no other
        breaks = column.code or alone or any(row.cells[place].detail is not None for row in table.rows)
        made.add_column(
            "\n".join(header(column)), justify="left" if column.text else "right", no_wrap=not breaks,
            overflow="fold" if breaks else "ellipsis", min_width=width_of(table, place) if column.code else None,
        )  # fmt: skip
    rows = [row for row in table.rows if empty or any(row.cells[place].text for place in places[len(naming(table)) :])]
    parts = any(row.part for row in rows)
    for number, row in enumerate(rows):
        if number and parts and not row.part:
            made.add_section()
        style = "bold" if parts and not row.part else None
        made.add_row(*(written(table, row, place) for place in places), style=style)
    return made


def written(table: Table, row: Row, place: int) -> Text:
    """A cell, its detail below it; a part's name stands a little to the right."""
    cell = row.cells[place]
    line = Text(plain(table, row, place), COLOURS[cell.tone])
    return line if cell.detail is None else line.append(f"\n{visible(cell.detail)}", "not bold dim")


def plain(table: Table, row: Row, place: int) -> str:
    """The words of a cell: a name on one line is shortened, what the report itself says is not."""
    cell: Cell = row.cells[place]
    name = place in naming(table) and cell.detail is None
    words = shortened(cell.text) if name else visible(cell.text)
    return f"  {words}" if row.part and not place else words


def header(column: Column) -> list[str]:
    """Title and unit, a line each."""
    return [visible(column.title), *(column.unit.split(", ") if column.unit else [])]


def blocks(table: Table, width: int) -> list[list[int]]:
    """The places of the columns of each block: first the most important ones that fit, then the others. Each block
    begins with the columns that name the rows."""
    names = naming(table)
    left = list(range(len(names), len(table.columns)))
    found: list[list[int]] = []
    while left or not found:
        found.append(fitting(table, names, left, width))
        left = [place for place in left if place not in found[-1]]
    return found


def naming(table: Table) -> list[int]:
    """The places of the columns that say what a row is about: the first one, and the words that follow it, such as the
    figure after its verdict."""
    others = itertools.takewhile(lambda place: is_name(table.columns[place]), range(1, len(table.columns)))
    return [0, *others]


def is_name(column: Column) -> bool:
    return column.text and not column.rank


def fitting(table: Table, names: Sequence[int], places: Sequence[int], width: int) -> list[int]:
    """The names, and as many of these places as fit beside them, but at least one."""
    kept = list(places)
    widths = [width_of(table, place) for place in range(len(table.columns))]
    while sum(widths[place] + BETWEEN for place in (*names, *kept)) - BETWEEN > width - EDGES and len(kept) > 1:
        least = max(reversed(kept), key=lambda place: table.columns[place].rank)
        if not table.columns[least].rank and table.columns[least].code:
            break
        kept.remove(least)
    return [*names, *kept]


def width_of(table: Table, place: int) -> int:
    """How wide a column wants to be; one that may be broken is content with little."""
    column = table.columns[place]
    wanted = max(map(cell_len, [*header(column), *(plain(table, row, place) for row in table.rows)]), default=0)
    return min(wanted, NARROWEST) if column.code else wanted
