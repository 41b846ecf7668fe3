"""records.jsonl: one JSON object per line, one line per request, appended as requests finish.

Only one process writes a file: where several carry a load, each has its own (records-0.jsonl, records-1.jsonl, …).
A line is written whole by one `write`, so the file is readable at any moment, `kill -9` included; a line that a full
disk cut short is taken back, and one that a dying machine cut short is left out by the reader. What the kernel has
taken survives the process and not a power failure: nothing is synced, since waiting for the disk would be in the times.

Version history
    1   first
    2   turns, tool calls, structured answers, items, jobs; a reader takes what is missing for null
    3   conversations
    4   arms and pairs
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from types import TracebackType
from typing import Any, cast, get_type_hints

import msgspec
import orjson

from bench.metrics import OUTCOMES
from bench.records.record import Record

VERSION = 4
KINDS = ("records", "health")  # of the files that a load writes line by line

BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # what some editors put before everything
_TAIL = 65_536  # bytes looked at first, for the last line
_BUFFER = 1 << 20  # bytes read at once
_AT = re.compile(r"(.*?) - at `(?:\$\.?)?(.*)`", re.DOTALL)


def file_of(folder: Path, kind: str, worker: int, workers: int) -> Path:
    """The file of a worker: `records.jsonl` or `health.jsonl` where it is the only one, else with its number."""
    return folder / (f"{kind}.jsonl" if workers == 1 else f"{kind}-{worker}.jsonl")


def files_of(folder: Path, kind: str) -> list[Path]:
    """All files of a kind ("records" or "health") in a run's folder: the run's own first, then each worker's."""
    numbered = [(_number(path), path) for path in folder.glob(f"{kind}*.jsonl")]
    return [path for number, path in sorted(pair for pair in numbered if pair[0] is not None)]


def _number(path: Path) -> int | None:
    """The worker's number in a file's name, -1 without one; None if it is another file."""
    _, dash, number = path.stem.partition("-")
    if not dash:
        return -1 if path.stem in KINDS else None
    return int(number) if number.isascii() and number.isdecimal() else None


class RecordWriter:
    """Appends records to a file. Raises OSError if the disk refuses a line (full, read-only)."""

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


class NotARecordError(ValueError):
    """A line of a file of records that is none; the message has file, line and reason."""

    def __init__(self, path: Path, number: int, reason: str) -> None:
        super().__init__(f"{path}:{number}: not a record: {reason}; the file was changed after the run")


def _line_type() -> type[Record]:
    """A type with the fields of Record whose values msgspec makes in a fifth less time than a dataclass's."""
    types = get_type_hints(Record, include_extras=True)
    members: list[Any] = []
    for one in fields(Record):
        if one.default_factory is not MISSING:
            members.append((one.name, types[one.name], msgspec.field(default_factory=one.default_factory)))
        else:
            members.append((one.name, types[one.name], *([] if one.default is MISSING else [one.default])))
    return cast(type[Record], msgspec.defstruct("Line", members, frozen=True, gc=False))


_DECODER = msgspec.json.Decoder(_line_type())
_NAMES = tuple(one.name for one in fields(Record))


def read_lines(path: Path, begin: int = 0, end: int | None = None) -> Iterator[tuple[int, Record]]:
    """Each record with the number of its line, in the order written; the fast way in for analysis, whose records have
    every field of Record and nothing else of it. Fields that this version does not know are left out.

    With `begin` and `end`, those whose line begins in these bytes of the file, and lines are counted from there.
    Raises NotARecordError if a line that is not the last is no record, OSError if the file cannot be read.
    """
    with path.open("rb", buffering=_BUFFER) as lines:
        if begin:  # the line that reaches into the stretch belongs to the one before
            lines.seek(begin - 1)
            begin += len(lines.readline()) - 1
        for number, line in enumerate(lines, start=1):
            if end is not None and begin >= end:
                return
            begin += len(line)
            try:
                yield number, _DECODER.decode(line)
            except (ValueError, RecursionError) as error:
                if number == 1 and line.startswith(BYTE_ORDER_MARK):
                    yield number, _record(path, number, line[len(BYTE_ORDER_MARK) :])
                elif not line.endswith(b"\n") and not isinstance(error, msgspec.ValidationError):
                    return  # the writer died in the middle of its last line
                elif not line.isspace():
                    raise NotARecordError(path, number, place(error)) from None


def _record(path: Path, number: int, line: bytes) -> Record:
    try:
        return _DECODER.decode(line)
    except (ValueError, RecursionError) as error:
        raise NotARecordError(path, number, place(error)) from None


def read_records(path: Path) -> Iterator[Record]:
    """Each record as a value, in the order written. Fields this version does not know are left out."""
    for _, line in read_lines(path):
        yield Record(**{name: getattr(line, name) for name in _NAMES})


def fault(record: Record) -> str | None:
    """What no type says: why this can't be the record of a request; None if it can."""
    if record.outcome not in OUTCOMES:
        return f"outcome: {record.outcome!r} is not one of {', '.join(OUTCOMES)}"
    times = [at for at, _ in record.arrivals]
    if times != sorted(times):
        return "arrivals: they are not in the order of time"
    return None


def is_cut_short(path: Path) -> bool:
    """Whether the last line was cut off in the middle; read_lines leaves such a line out."""
    with path.open("rb") as lines:
        size, back = lines.seek(0, os.SEEK_END), _TAIL
        while True:
            lines.seek(max(0, size - back))
            tail = lines.read()
            if b"\n" in tail or back >= size:
                break
            back *= 16
    last = tail.rpartition(b"\n")[2]
    try:
        _DECODER.decode(last)
    except msgspec.ValidationError:
        return False
    except (ValueError, RecursionError):
        return bool(last.strip())
    return False


def place(error: Exception) -> str:
    """Where JSON stopped being what it should be, and what was expected there: `seq: Expected int, got str`."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    found = _AT.fullmatch(str(error))
    told = f"{found[2]}: {found[1]}" if found and found[2] else found[1] if found else str(error)
    return told.replace("`", "")
