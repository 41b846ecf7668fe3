"""records.jsonl: one JSON object a line, one line a request, appended as requests finish.

A line is written whole by one `write` on a file opened for appending, so the file is readable at any moment,
`kill -9` included; a last line cut short by a full disk or a dying machine is left out by the reader.

Version history
    1   first
    2   turns, tool calls, structured answers, items, jobs; a reader takes what is missing for null
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from bench.records.record import Attempt, Record

VERSION = 2

_FIELDS = {f.name for f in fields(Record)}


class RecordWriter:
    """Appends records to a file. Raises OSError where the disk refuses a line (full, read-only)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = 0
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def append(self, record: Record) -> None:
        """Write one record as one line."""
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        if (done := os.write(self._fd, line)) != len(line):
            os.write(self._fd, line[done:])
        self.written += 1

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_lines(path: Path, begin: int = 0, end: int | None = None) -> Iterator[dict[str, Any]]:
    """Each record as plain JSON values, in the order written; the fast way in for analysis.

    With `begin` and `end`, those whose line begins in these bytes of the file. Raises ValueError with file and line
    (counted from the first one read) where a line that is not the last does not parse.
    """
    with path.open("rb") as lines:
        if begin:  # the line that reaches into the stretch belongs to the one before
            lines.seek(begin - 1)
            begin += len(lines.readline()) - 1
        for number, line in enumerate(lines, start=1):
            if end is not None and begin >= end:
                return
            begin += len(line)
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as error:
                if not line.endswith(b"\n"):
                    return  # the writer died in the middle of its last line
                raise ValueError(
                    f"{path}:{number}: not a record: {error}; the file was changed after the run"
                ) from None


def read_records(path: Path) -> Iterator[Record]:
    """Each record as a value, in the order written. Fields this version does not know are left out."""
    for row in read_lines(path):
        row["arrivals"] = [(at, tokens) for at, tokens in row["arrivals"]]
        row["earlier"] = [Attempt(**attempt) for attempt in row["earlier"]]
        yield Record(**{key: value for key, value in row.items() if key in _FIELDS})
