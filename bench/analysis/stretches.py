"""A large records.jsonl, read by several processes: this one takes the first stretch of the file, others the rest.

Processes of their own and not a pool: a run that has just ended still has gevent's patches in this one.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from itertools import chain, pairwise
from pathlib import Path

from bench.analysis.table import Table, join, read_part, read_table

LARGE = 64_000_000  # bytes; a smaller file is read sooner than a process starts
LEAST_CORES = 2


def read_large_table(path: Path, window: tuple[float, float], *, origin: float, large: int = LARGE) -> Table:
    """As read_table, by as many processes as there are cores where the file is large."""
    size, cores = path.stat().st_size, len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    if size < large or cores < LEAST_CORES:
        return read_table(path, window, origin=origin)
    edges = [size * share // cores for share in range(cores + 1)]
    readers = [
        subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "bench.analysis.stretches", str(path), *map(repr, (*window, origin, begin, end))],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for begin, end in pairwise(edges[1:])
    ]
    parts = list(read_part(path, window, origin, 0, edges[1]))
    answers = [reader.communicate()[0] for reader in readers]
    if any(reader.returncode for reader in readers):  # a broken line: one reader can say which
        return read_table(path, window, origin=origin)
    return join(chain(parts, *(pickle.loads(answer) for answer in answers)))  # noqa: S301 - our own processes


def main() -> None:
    path, *numbers = sys.argv[1:]
    begin_s, end_s, origin = map(float, numbers[:3])
    begin, end = map(int, numbers[3:])
    sys.stdout.buffer.write(pickle.dumps(list(read_part(Path(path), (begin_s, end_s), origin, begin, end))))


if __name__ == "__main__":
    main()
