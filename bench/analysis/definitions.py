"""The definitions of the words in a report: of each figure and of each outcome."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bench.analysis.sections import Cell, Chart, Column, Row, Section, Table
from bench.analysis.summary import Summary
from bench.metrics import FLOORS, FORMULAS, METRICS, OUTCOME_MEANINGS
from bench.plan.thresholds import parse_threshold


def definitions(summary: Summary, sections: Iterable[Section]) -> Table:
    """A row for each figure and outcome that these sections name."""
    used = set(named(sections))
    used |= {METRICS[parse_threshold(one.expression).metric].title for one in summary.thresholds}
    used |= {"send lag"} if summary.arrivals else set()  # validity says these in words
    known = FORMULAS | OUTCOME_MEANINGS
    rows = [Row((Cell(name), Cell(meaning))) for name, meaning in known.items() if name in used]
    floors = ", ".join(f"{name} {floor:,}" for name, floor in FLOORS.items())
    note = (
        "A percentile is one of the measured values; it is left out below the number of answers at which a bound with "
        f"99 % confidence exists ({floors})."
    )
    columns = (Column("word", text=True), Column("definition", text=True))
    return Table("definitions", "Definitions", columns, tuple(rows), note, always=False)


def named(sections: Iterable[Section]) -> Iterator[str]:
    """The figures and outcomes that tables and charts show."""
    names = {meaning: name for name, meaning in (FORMULAS | OUTCOME_MEANINGS).items()}
    for part in (part for section in sections for part in section.parts):
        if isinstance(part, Table):
            meanings = {column.meaning for column in part.columns}
            meanings |= {cell.meaning for row in part.rows for cell in row.cells}
            yield from (names[one] for one in meanings if one in names)
        elif isinstance(part, Chart):
            yield from (axis.title for axis in (part.x, part.y) if axis.title in FORMULAS)
            yield from (one.about.outcome for one in part.series if one.about.outcome in OUTCOME_MEANINGS)
