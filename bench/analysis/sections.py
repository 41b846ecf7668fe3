"""The parts of a report as values: sentences, tables and charts, in sections.

Analysis and findings make them; the report room draws them, the same values in a terminal, as Markdown, as a page and
as pictures. Nothing here knows how anything looks: a colour is a role, such as the model that a line is about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

Tone = Literal["plain", "good", "bad", "doubt"]
Scale = Literal["linear", "log", "category"]
Stroke = Literal["solid", "dashed", "dotted"]
Form = Literal["line", "step", "points", "bars", "stack", "cells", "area", "ticks"]
"""Ticks are short strokes upwards, with their labels. Stacks are bars that stand on those of the series before; values
at the same x are added up. Cells are bars painted the stronger the more they stand for; equal ones are added up."""

TONES: dict[str, Tone] = {"pass": "good", "fail": "bad", "inconclusive": "doubt"}
MARKS = {"pass": "✓", "fail": "✗", "inconclusive": "?"}
"""The tone of a verdict's word, and the sign before it."""
FEWEST_TICKS = 4  # of a logarithmic axis, or it is hard to read values between them
DIGITS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
"""With what the ticks of a logarithmic axis begin: the more, the fewer powers of ten there are."""


def capital(text: str) -> str:
    """A text that begins a sentence."""
    return text[:1].upper() + text[1:]


@dataclass(frozen=True, slots=True)
class About:
    """What a row or a series is about; a reader can filter by each. None: it is about all of them."""

    model: str | None = None
    name: str | None = None  # of the request class
    stage: str | None = None
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a report."""

    text: str
    tone: Tone = "plain"
    details: tuple[str, ...] = ()  # smaller text below: reasons, remedies
    always: bool = True  # False: left out of a terminal, which has little room
    about: About = About()
    tabled: bool = False  # whether a table says it too; then the page leaves it out


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table."""

    text: str  # for people; empty if there is nothing to say
    value: float | None = None  # the value to sort by; None: the text
    tone: Tone = "plain"
    detail: str | None = None  # smaller text below: a reason
    meaning: str | None = None  # the definition, a hover away
    folded: str | None = None  # lines that the page shows below it when asked to


@dataclass(frozen=True, slots=True)
class Column:
    """A column: what its cells have in common."""

    title: str
    unit: str = ""  # in smaller type below the title: ms, p50 / p95
    text: bool = False  # whether its cells are words, which are aligned on the left
    rank: int = 0  # if there is no room for all columns, those of the highest rank move into a block below
    code: bool = False  # whether its cells are commands, in letters of equal width
    meaning: str | None = None  # the definition, a hover away


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table."""

    cells: tuple[Cell, ...]  # as many as there are columns
    about: About = About()
    part: bool = False  # whether it is a part of the row above that is none


@dataclass(frozen=True, slots=True)
class Table:
    """A table of rows and columns."""

    name: str  # unique in a report: letters, digits and dashes
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str | None = None
    always: bool = True  # False: left out of the terminal
    paged: bool = False  # whether only the page has it

    def without_empty_columns(self, *blanks: str) -> Table:
        """The table without the columns in which every cell is empty, or one of the `blanks`, such as – or unknown."""
        used = [
            place
            for place in range(len(self.columns))
            if any(row.cells[place].text not in ("", *blanks) for row in self.rows)
        ]
        used = sorted({0, *used})  # the first names the rows, and an empty name is one
        rows = tuple(replace(row, cells=tuple(row.cells[place] for place in used)) for row in self.rows)
        return replace(self, columns=tuple(self.columns[place] for place in used), rows=rows)


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of a chart."""

    title: str
    unit: str = ""
    scale: Scale = "linear"
    begin: float | None = None  # where it begins and ends; None: as the data have it
    end: float | None = None
    ticks: tuple[float, ...] = ()  # where its ticks stand; empty: as the drawer thinks best
    categories: tuple[str, ...] = ()  # of a category axis, whose values are places in this list

    @property
    def label(self) -> str:
        """What stands beside it: its title, its unit, and that it is logarithmic."""
        named = f"{self.title}, {self.unit}" if self.unit else self.title
        return f"{named} (logarithmic)" if self.scale == "log" else named


def log_ticks(begin: float, end: float) -> tuple[float, ...]:
    """Round numbers over the whole range of a logarithmic axis; on a very short one they are equally far apart."""
    powers = range(math.floor(math.log10(begin)), math.ceil(math.log10(end)) + 1)
    for digits in DIGITS:
        ticks = (float(f"{digit}e{power}") for power in powers for digit in digits)
        if len(found := tuple(tick for tick in ticks if begin <= tick <= end)) >= FEWEST_TICKS:
            return found
    power = math.floor(math.log10((end - begin) / FEWEST_TICKS))
    each = ((math.ceil(begin / step), math.floor(end / step), step) for step in (5 * 10.0**power, 10.0**power))
    first, last, step = next((one for one in each if one[1] - one[0] >= FEWEST_TICKS - 1), (1, 0, 1.0))
    return tuple(float(f"{place * step:.12g}") for place in range(first, last + 1))


@dataclass(frozen=True, slots=True)
class Kind:
    """What some values of a series have in common, where they are not all about the same."""

    about: About
    role: str = "ink"  # as of a series
    title: str = ""  # in the legend; empty: not in it
    label: str = ""  # shown on hover
    shade: float = 1.0  # how strongly they are painted, from 0 to 1


def headroom(highest: float) -> float:
    """The end of an axis from 0: a little above its highest value, and above 0 if all values are 0."""
    return 1.12 * highest or 1.0


@dataclass(frozen=True, slots=True)
class Series:
    """Values that belong together. Times in seconds from the beginning of the load unless the axis says otherwise."""

    title: str  # in the legend; empty: not in it
    x: Numbers
    y: Numbers
    form: Form = "line"
    role: str = "ink"  # its colour: "model:0", "outcome:timeout", "ink", "muted", "good", "bad"
    about: About = About()
    low: Numbers | None = None  # the lower and upper edge of a band around y, such as an interval
    high: Numbers | None = None
    stroke: Stroke = "solid"
    width: Numbers | None = None  # of bars; in units of x
    base: Numbers | None = None  # from which bars and areas rise; None: 0
    labels: tuple[str, ...] = ()  # of each value, shown on hover
    kinds: tuple[Kind, ...] = ()  # what its values are about, if not all about the same
    kind: Places | None = None  # each value's place among them
    ids: Numbers | None = None  # the number of each value's request, shown on hover
    amount: Numbers | None = None  # how many each cell stands for
    part: bool = False  # whether it is a request class of another series: shown if a reader leaves out some of them

    def added(self) -> Series:
        """The same without kinds: the sums of all of them, for stacks and cells."""
        if self.form == "stack":
            x, first, place = np.unique(self.x, return_index=True, return_inverse=True)
            width = None if self.width is None else self.width[first]
            return replace(
                self, x=x, y=np.bincount(place, self.y, len(x)).astype(np.float64), width=width, kinds=(), kind=None
            )
        if self.form == "cells" and self.base is not None and self.width is not None and self.amount is not None:
            edges = np.stack([self.x, self.base, self.y, self.width])
            cells, place = np.unique(edges, axis=1, return_inverse=True)
            x, base, y, width = cells
            amount = np.bincount(place.ravel(), self.amount, len(x)).astype(np.float64)
            return replace(self, x=x, y=y, base=base, width=width, amount=amount, kinds=(), kind=None)
        return self


@dataclass(frozen=True, slots=True)
class Mark:
    """A line across the chart at a value: an SLO, a percentile, a knee."""

    at: float
    text: str
    axis: Literal["x", "y"] = "y"
    role: str = "bad"
    about: About = About()


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of x that is shaded and named: a warm-up, a drain."""

    begin: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture before it is drawn."""

    name: str  # of its file, unique in a report: letters, digits and dashes
    title: str
    says: str  # what it shows in a sentence, for those who do not see it
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    marks: tuple[Mark, ...] = ()
    spans: tuple[Span, ...] = ()
    height: float = 1.0  # relative to the usual one
    note: str | None = None  # what it leaves out
    hint: str | None = None  # what a reader of the page can do with it
    time: bool = False  # whether x is the time of the run: such charts are zoomed together
    stages: tuple[Span, ...] = ()  # of a chart over time: where each stage lies that it can be filtered by

    def with_ends(self) -> Chart:
        """The chart with both ends of its axes: the given ones, or those of its data and marks."""
        return replace(self, x=self._ended(self.x, "x"), y=self._ended(self.y, "y"))

    def with_ticks(self) -> Chart:
        """The chart with the ticks of its logarithmic axes."""
        return replace(self, x=self._ticked(self.x, "x"), y=self._ticked(self.y, "y"))

    def all_about(self, about: About) -> Chart:
        """The chart with all its series about the same."""
        return replace(self, series=tuple(replace(one, about=about) for one in self.series))

    def _ticked(self, axis: Axis, which: Literal["x", "y"]) -> Axis:
        if axis.scale != "log" or axis.ticks:
            return axis
        ended = self._ended(axis, which)
        return replace(axis, ticks=log_ticks(ended.begin or 1.0, ended.end or 1.0))

    def _ended(self, axis: Axis, which: Literal["x", "y"]) -> Axis:
        if axis.begin is not None and axis.end is not None:
            return axis
        known = [getattr(one, which) for one in self.series]
        if which == "y":
            known += [edge for one in self.series for edge in (one.low, one.high) if edge is not None]
        known.append(np.array([mark.at for mark in self.marks if mark.axis == which]))
        values = np.concatenate([np.asarray(one, np.float64) for one in known])
        values = values[np.isfinite(values) & ((values > 0) | (axis.scale != "log"))]
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.1, 1.0)
        if axis.scale != "log" and which == "y":
            low, high = min(low, 0.0), headroom(high) if high > 0 else high
        begin = low if axis.begin is None else axis.begin
        end = high if axis.end is None else axis.end
        return replace(axis, begin=begin, end=end if end > begin else begin + 1.0)


Part = Sentence | Table | Chart


@dataclass(frozen=True, slots=True)
class Section:
    """Parts under a title."""

    name: str  # unique in a report: letters, digits and dashes
    title: str
    parts: tuple[Part, ...] = field(default=())

    def of(self, kind: type[Part]) -> tuple[Part, ...]:
        """Its parts of one kind."""
        return tuple(part for part in self.parts if isinstance(part, kind))


@dataclass(frozen=True, slots=True)
class Badge:
    """A verdict in a word or two."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Heading:
    """The heading above the sections."""

    title: str
    badges: tuple[Badge, ...]  # the first is the verdict
    headline: str  # the run in a sentence, without its full stop
    detail: str = ""  # in smaller type
    alarm: str | None = None  # why the figures are not those of the run; without its full stop


@dataclass(frozen=True, slots=True)
class Findings:
    """The answer of a run, before it is drawn."""

    heading: Heading
    sections: tuple[Section, ...]
    scenario: str  # its text, secrets removed
    left_out: tuple[str, ...] = ()  # in sentences: parts that could not be made
    commands: tuple[tuple[str, str], ...] = ()  # what each does, and itself: those that repeat the run


def charts(sections: Sequence[Section]) -> tuple[Chart, ...]:
    """Every chart of a report."""
    return tuple(part for section in sections for part in section.parts if isinstance(part, Chart))
