"""Sections as Markdown: for a pull request, a wiki, a repository. Charts are links to pictures that lie beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from bench.analysis.sections import Cell, Chart, Column, Findings, Part, Row, Section, Sentence, Table
from bench.report.words import code, in_markdown


def markdown(told: Findings, pictures: Collection[str] = (), left_out: Sequence[str] = ()) -> str:
    """The whole report; `pictures` are the names of the charts that lie beside it, `left_out` says which are
    missing."""
    heading = told.heading
    lines = [f"# {in_markdown(heading.title)}: {in_markdown(heading.badges[0].text)}", ""]
    if heading.alarm is not None:
        lines += [f"**✗ {in_markdown(heading.alarm)}.**", ""]
    lines += [f"{in_markdown(heading.headline)}. {in_markdown(heading.detail)}", ""]
    for section in told.sections:
        lines += section_lines(section, pictures)
    lines += [*(f"- {in_markdown(sentence)}" for sentence in left_out), ""] if left_out else []
    return "\n".join(lines).rstrip() + "\n"


def section_lines(section: Section, pictures: Collection[str]) -> Iterator[str]:
    """A title and what stands below it; nothing if that is only charts and no picture lies beside it."""
    parts = [part for part in section.parts if in_text(part, pictures)]
    if not parts:
        return
    yield from (f"## {in_markdown(section.title)}", "")
    for place, part in enumerate(parts):
        if isinstance(part, Chart):
            yield from (f"![{in_markdown(part.title)}]({part.name}.png)", "")
        elif isinstance(part, Table):
            yield from (*table_lines(part), "")
        else:
            yield from sentence_lines(part)
            following = parts[place + 1] if place + 1 < len(parts) else None
            if not (bullet(part) and isinstance(following, Sentence) and bullet(following)):
                yield ""


def in_text(part: Part, pictures: Collection[str]) -> bool:
    """Whether Markdown has it."""
    if isinstance(part, Chart):
        return part.name in pictures
    return not (isinstance(part, Table) and part.paged)


def bullet(sentence: Sentence) -> bool:
    """Whether it is one of a list: of failures, of doubts."""
    return sentence.tone in ("bad", "doubt") or bool(sentence.details)


def sentence_lines(sentence: Sentence) -> Iterator[str]:
    yield f"- {in_markdown(sentence.text)}" if bullet(sentence) else in_markdown(sentence.text)
    for detail in sentence.details:
        yield f"  - {in_markdown(detail)}"


def table_lines(table: Table) -> Iterator[str]:
    """A table, its note below it. Rows that have parts are bold."""
    parts = any(row.part for row in table.rows)
    yield line([in_markdown(title(column)) for column in table.columns])
    yield line(["---" if column.text else "---:" for column in table.columns])
    for row in table.rows:
        yield line(cells(table, row, bold=parts and not row.part))
    if table.note:
        yield from ("", in_markdown(table.note))


def title(column: Column) -> str:
    return f"{column.title}, {column.unit}" if column.unit else column.title


def cells(table: Table, row: Row, *, bold: bool) -> list[str]:
    """The cells of a row as Markdown."""
    found = [written(column, cell) for column, cell in zip(table.columns, row.cells, strict=True)]
    return [f"**{cell}**" if cell.strip() and bold else cell for cell in found]


def written(column: Column, cell: Cell) -> str:
    text = code(cell.text) if column.code else in_markdown(cell.text)
    return text if cell.detail is None else f"{text}: {in_markdown(cell.detail)}"


def line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
