"""bodies*.jsonl: the texts of requests and answers, if a run keeps them; one JSON object per line.

Records hold no texts; these files are for people who want to see what a server answered. Secrets are removed before
the texts are written. Each process writes its own file: `bodies.jsonl`, or `bodies-<worker>.jsonl`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.records.file import write_whole

LONGEST_BODY = 64 * 1024  # characters of a request or of an answer that are kept


class Bodies(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a request and of its answer; the last ones if there were several tries or exchanges."""

    stage: str  # stage, seq, turn and worker are those of the request's Record
    seq: int
    turn: int
    worker: int
    request: str  # the request's body as text, secrets removed, at most LONGEST_BODY characters
    request_bytes: int  # the length of the whole body
    answer: str  # the answer's body as text, secrets removed, at most LONGEST_BODY characters
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
    """All bodies in a run's folder, file by file.

    Raises ValueError with file and line if a line other than the last cannot be parsed.
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
