"""A run's requests as a file for other tools."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.analysis.export import rows
from bench.analysis.numerals import counted

if TYPE_CHECKING:
    import pandas as pd

    from bench.analysis import Run

MOST_ROWS = 1_048_575  # of a sheet, below its header
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


class NoRoomInSheetError(Exception):
    """A run has more requests than a sheet has rows; the message says what to do."""


def write_requests(run: Run, form: str, path: Path) -> Path:
    """The requests as one table. Returns its path. Raises NoRoomInSheetError."""
    table = rows(run)
    if form == "csv":
        table.to_csv(path, index=False)
    elif form == "parquet":
        table.to_parquet(path, index=False)
    else:
        if len(table) > MOST_ROWS:
            raise NoRoomInSheetError(
                f"the run has {counted(len(table), 'requests')}, and a sheet has room for {MOST_ROWS:,}; "
                "use parquet or csv"
            )
        plain(table).to_excel(path, index=False, sheet_name="requests", freeze_panes=(1, 0))
    return path


def print_requests(run: Run) -> None:
    """The requests as csv on standard output, for the next program of a pipe."""
    rows(run).to_csv(sys.stdout, index=False)


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """What a sheet can hold: no control characters, and no text of a server's that would be run as a formula."""

    def safe(value: object) -> object:
        if not isinstance(value, str):
            return value
        text = _CONTROL.sub("", value)
        return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text

    texts = [name for name in table.columns if not _is_number(table[name])]
    return table.assign(**{name: table[name].astype(object).map(safe) for name in texts})


def _is_number(column: pd.Series[Any]) -> bool:
    return column.dtype.kind in "biufc"
