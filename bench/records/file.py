"""records.jsonl: one JSON object per line, one line per request, appended as requests finish.

Only one process writes a file: if several send the load, each has its own (records-0.jsonl, records-1.jsonl, …). One
`write` writes a whole line, so the file is readable at any moment, also after `kill -9`. If a full disk cuts a line
short, the line is removed; if a dying machine does, the reader ignores it. Lines survive the end of the process but not
a power failure: the file is not synced, because waiting for the disk would change the measured times.

Version history
    1   first
    2   turns, tool calls, structured answers, items, jobs; a reader treats missing fields as null
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
KINDS = ("records", "health")  # the kinds of files that a load writes line by line

BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # some editors put it at the beginning of a file
_TAIL = 65_536  # bytes at the end of a file that are read first to find the last line
_BUFFER = 1 << 20  # bytes read at once
_AT = re.compile(r"(.*?) - at `(?:\$\.?)?(.*)`", re.DOTALL)


def file_of(folder: Path, kind: str, worker: int, workers: int) -> Path:
    """The file of a worker: `records.jsonl` or `health.jsonl` if there is one worker, else with the worker's number."""
    return folder / (f"{kind}.jsonl" if workers == 1 else f"{kind}-{worker}.jsonl")


def files_of(folder: Path, kind: str) -> list[Path]:
    """All files of a kind ("records" or "health") in a run's folder, sorted by the worker's number."""
    numbered = [(_number(path), path) for path in folder.glob(f"{kind}*.jsonl")]
    return [path for number, path in sorted(pair for pair in numbered if pair[0] is not None)]


def _number(path: Path) -> int | None:
    """The worker's number in a file's name, -1 if it has none; None if it is another file."""
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
    """Append a whole line or nothing to a file. This process must be its only writer.

    Raises OSError with the file's name if the disk refuses the line.
    """
    done = 0
    try:
        while done < len(line):
            done += os.write(fd, line[done:])
    except OSError as error:
        if done:  # remove this piece, or the next line would be joined to it
            os.ftruncate(fd, os.fstat(fd).st_size - done)
        raise OSError(error.errno, error.strerror, str(path)) from None


class NotARecordError(ValueError):
    """A line of a file of records is not a record; the message has file, line and reason."""

    def __init__(self, path: Path, number: int, reason: str) -> None:
        super().__init__(f"{path}:{number}: not a record: {reason}; the file was changed after the run")


def _line_type() -> type[Record]:
    """A type with the fields of Record. msgspec creates its values in a fifth less time than those of a dataclass."""
    types = get_type_hints(Record, include_extras=True)
    members: list[Any] = []
    for field in fields(Record):
        if field.default_factory is not MISSING:
            members.append((field.name, types[field.name], msgspec.field(default_factory=field.default_factory)))
        else:
            members.append((field.name, types[field.name], *([] if field.default is MISSING else [field.default])))
    return cast(type[Record], msgspec.defstruct("Line", members, frozen=True, gc=False))


_DECODER = msgspec.json.Decoder(_line_type())
_NAMES = tuple(field.name for field in fields(Record))


def read_lines(path: Path, begin: int = 0, end: int | None = None) -> Iterator[tuple[int, Record]]:
    """Each record with the number of its line, in the order written. This is the fast reader for the analysis: its
    values have the fields of Record but not its methods. Unknown fields are left out.

    With `begin` and `end` only lines that begin in these bytes of the file are read, and counted from there. Raises
    NotARecordError if a line other than the last is not a record, OSError if the file cannot be read.
    """
    with path.open("rb", buffering=_BUFFER) as lines:
        if begin:  # a line that begins before `begin` belongs to the part before
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
    """Each record in the order written. Unknown fields are left out. Raises as `read_lines` does."""
    for _, line in read_lines(path):
        yield Record(**{name: getattr(line, name) for name in _NAMES})


def fault(record: Record) -> str | None:
    """Why this cannot be the record of a request although its types are right; None if it can."""
    if record.outcome not in OUTCOMES:
        return f"outcome: {record.outcome!r} is not one of {', '.join(OUTCOMES)}"
    times = [at for at, _ in record.arrivals]
    if times != sorted(times):
        return "arrivals: they are not in the order of time"
    return None


def unrecordable(record: Record) -> str | None:
    """Why no file can hold this, or why it cannot be true of one request; None if neither is so.

    It takes as long as to write and read the record. Only answers of a user's own API need it.
    """
    try:
        read = _DECODER.decode(orjson.dumps(record))
    except (ValueError, TypeError, RecursionError) as error:
        return place(error)
    return fault(read) or _untimely(read)


def _untimely(record: Record) -> str | None:
    """Which moment of an answer is outside of its request; None if none is. `arrivals` are in the order of time."""
    if record.sent is None:
        return None
    ends = (record.arrivals[0][0], record.arrivals[-1][0]) if record.arrivals else ()
    moments = (
        *(("arrivals", at) for at in ends),
        ("first_token_at", record.first_token_at),
        ("first_answer_at", record.first_answer_at),
    )
    for name, at in moments:
        if at is not None and not record.sent <= at <= record.done:
            span = f"which lasted from {record.sent:,.3f} s of the run to {record.done:,.3f} s"
            return f"{name}: {at:,.3f} s is outside of the request, {span}"
    return None


def is_cut_short(path: Path) -> bool:
    """Whether the last line was cut short; read_lines leaves out such a line."""
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
    """Where the JSON is wrong, and what was expected there: `seq: Expected int, got str`."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    found = _AT.fullmatch(str(error))
    message = f"{found[2]}: {found[1]}" if found and found[2] else found[1] if found else str(error)
    return message.replace("`", "")
