"""Reads the rows of a Parquet file, a few at a time: only the column with the prompts, and at most MOST bytes.

The package pyarrow is an extra; only this module imports it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

USUAL = "prompt"  # the default column
COLUMNS = (USUAL, "messages", "conversations")
"""Columns that may hold the prompts if the scenario names none; the first existing one is used."""
ROWS = 64  # rows that are read at the same time
MOST = 500_000_000  # bytes of all prompts, which stay in memory for the whole load


class ParquetError(Exception):
    """A Parquet file cannot be read; the message says why."""


def parquet_rows(path: Path, column: str) -> Iterator[tuple[int, Any]]:
    """The number, from 1, and the JSON value of each row. Raises ParquetError."""
    if importlib.util.find_spec("pyarrow") is None:
        raise ParquetError("Parquet needs a package that is not installed here; run: pip install 'bench-llm[parquet]'")
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path, memory_map=True, pre_buffer=False) as file:
            columns = wanted(file.schema_arrow.names, column)
            yield from numbered(file.iter_batches(ROWS, columns=columns, use_threads=False))
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ParquetError(f"is not a sound Parquet file: {first_line(error)}") from None


def wanted(names: list[str], column: str) -> list[str]:
    """The column to read: the named one, or the first of COLUMNS that exists. Raises ParquetError."""
    known = (column, *(() if column != USUAL else COLUMNS))
    if found := [name for name in known if name in names][:1]:
        return found
    there = ", ".join(map(str, names[:20])) or "none"
    expected = f"{column!r}" if column != USUAL else f"{', '.join(COLUMNS)}"
    raise ParquetError(f"there is no column {expected}; columns are {there}; column: NAME says which has the prompts")


def numbered(batches: Iterable[Any], *, most: int = MOST) -> Iterator[tuple[int, Any]]:
    """The rows of all batches. Raises ParquetError if they have more than `most` bytes."""
    number = size = 0
    for batch in batches:
        size += batch.nbytes
        if size > most:
            raise ParquetError(
                f"has more than {most / 1e6:,.0f} MB of prompts, and all of them stay in memory; take fewer"
            )
        for row in batch.to_pylist():
            number += 1
            yield number, without_nulls(row)


def without_nulls(value: Any) -> Any:
    """The value without members that are null: a list of structs has every member in every item."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
