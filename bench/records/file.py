"""records.jsonl: one JSON object a line, one line a request, appended as requests finish.

Only one process writes a file: where several carry a load, each has its own (records-0.jsonl, records-1.jsonl, …).
A line is written whole by one `write`, so the file is readable at any moment, `kill -9` included; a line that a full
disk cut short is taken back, and one that a dying machine cut short is left out by the reader. What the kernel has
taken survives the process and not a power failure: nothing is synced, since waiting for the disk would be in the times.

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
KINDS = ("records", "health")  # of the files that a load writes line by line

_FIELDS = {f.name for f in fields(Record)}


def file_of(folder: Path, kind: str, worker: int, workers: int) -> Path:
    """The file of a worker: `records.jsonl` or `health.jsonl` where it is the only one, else with its number."""
    return folder / (f"{kind}.jsonl" if workers == 1 else f"{kind}-{worker}.jsonl")


def files_of(folder: Path, kind: str) -> list[Path]:
    """All files of a kind ("records" or "health") in a run's folder: the run's own first, then each worker's."""
    numbered = [(_number(path), path) for path in folder.glob(f"{kind}*.jsonl")]
    return [path for number, path in sorted(pair for pair in numbered if pair[0] is not None)]


def _number(path: Path) -> int | None:
    """The worker's number in a file's name, -1 without one; None where it is another file."""
    _, dash, number = path.stem.partition("-")
    if not dash:
        return -1 if path.stem in KINDS else None
    return int(number) if number.isascii() and number.isdecimal() else None


class RecordWriter:
    """Appends records to a file. Raises OSError where the disk refuses a line (full, read-only)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = 0
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def append(self, record: Record) -> None:
        """Write one record as one line."""
        write_whole(self._fd, orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE), self.path)
        self.written += 1

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_whole(fd: int, line: bytes, path: Path) -> None:
    """Append a line to a file of which this process is the only writer: the whole line or nothing of it.

    Raises OSError, with the file's name, where the disk refuses it.
    """
    done = 0
    try:
        while done < len(line):
            done += os.write(fd, line[done:])
    except OSError as error:
        if done:  # the next line would be merged with this piece
            os.ftruncate(fd, os.fstat(fd).st_size - done)
        raise OSError(error.errno, error.strerror, str(path)) from None


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
