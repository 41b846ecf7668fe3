"""bodies*.jsonl: the texts of requests and answers, if a run keeps them; one JSON object per line, beside the records.

Records hold facts and no texts. What is kept here is for people who ask what a server really said; secrets are removed
before it is written. Each process writes a file of its own: `bodies.jsonl`, or `bodies-<worker>.jsonl`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.records.file import write_whole

LONGEST_BODY = 64 * 1024  # characters of a request or of an answer that are kept


class Bodies(msgspec.Struct, frozen=True, kw_only=True):
    """What went out and what came back; of a request with several tries or exchanges, the last ones."""

    stage: str  # stage, seq, turn and worker as in Record: they say which one it belongs to
    seq: int
    turn: int
    worker: int
    request: str  # the request's body as text, secrets removed, at most LONGEST_BODY characters
    request_bytes: int  # how long it was; larger than the text where that was cut
    answer: str  # the answer's body as text, in the same way
    answer_bytes: int


class BodiesWriter:
    """Appends bodies to a file. Raises OSError if the disk refuses a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def append(self, bodies: Bodies) -> None:
        """Write one line."""
        write_whole(self._fd, msgspec.json.encode(bodies) + b"\n", self._path)

    def close(self) -> None:
        os.close(self._fd)


def read_bodies(folder: Path) -> Iterator[Bodies]:
    """All bodies that a run's folder keeps, file by file; none where none were kept.

    Raises ValueError with file and line if a line that is not the last does not parse.
    """
    for path in sorted(folder.glob("bodies*.jsonl")):
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield msgspec.json.decode(line, type=Bodies)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    if not line.endswith(b"\n"):
                        break  # the writer died in the middle of its last line
                    raise ValueError(f"{path}:{number}: not a request's bodies: {error}") from None
