"""Large files of records, read by several processes: this process reads the first part of the files, others the rest.

Processes of their own and not a pool: a run that has just ended still has gevent's patches in this one.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path

from bench.analysis.table import Part, Span, Table, join, read_part
from bench.environment import child_environment

LARGE = 64_000_000  # bytes; a smaller file is read faster than a process starts
LEAST_CORES = 2


Stretch = tuple[str, int, int]  # a file, and the first and last byte of a part of it


def read_large_table(
    paths: Sequence[Path], windows: Sequence[Span], *, bins: Sequence[float] = (), large: int = LARGE
) -> Table:
    """The records of all these files, by as many processes as there are cores where they are large; `windows` are the
    parts of the run, s, whose tokens are counted, and `bins` the edges of the bins of time, s, in which they are, too.

    Raises NotARecordError if a file is not one of records, OSError if it cannot be read.
    """
    sizes = [path.stat().st_size for path in paths]
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    whole = stretches(paths, sizes, 0, sum(sizes))
    if sum(sizes) < large or cores < LEAST_CORES:
        return join(read_stretches(whole, windows, bins), windows)
    edges = [sum(sizes) * share // cores for share in range(cores + 1)]
    mine, *others = [stretches(paths, sizes, begin, end) for begin, end in pairwise(edges)]
    numbers = list(map(str, (len(windows), len(bins), *chain(*windows), *bins)))
    readers = [
        subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "bench.analysis.file_parts", *numbers, *map(str, chain(*other))],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(),
        )
        for other in others
    ]
    parts = list(read_stretches(mine, windows, bins))
    answers = [reader.communicate()[0] for reader in readers]
    if any(reader.returncode for reader in readers):  # a broken line: one reader can say which
        return join(read_stretches(whole, windows, bins), windows)
    return join(chain(parts, *map(pickle.loads, answers)), windows)


def stretches(paths: Sequence[Path], sizes: Sequence[int], begin: int, end: int) -> list[Stretch]:
    """What lies between two places of the files, counted as if they were one."""
    found, before = [], 0
    for path, size in zip(paths, sizes, strict=True):
        first, last = max(begin - before, 0), min(end - before, size)
        if first < last:
            found.append((str(path), first, last))
        before += size
    return found


def read_stretches(found: Iterable[Stretch], windows: Sequence[Span], bins: Sequence[float]) -> Iterator[Part]:
    for path, begin, end in found:
        yield from read_part(Path(path), windows, bins, begin, end)


def main() -> None:
    windows_end = 3 + 2 * int(sys.argv[1])
    bins_end = windows_end + int(sys.argv[2])
    edges, bins = list(map(float, sys.argv[3:windows_end])), list(map(float, sys.argv[windows_end:bins_end]))
    windows, told = list(zip(edges[::2], edges[1::2], strict=True)), sys.argv[bins_end:]
    found = [(path, int(begin), int(end)) for path, begin, end in zip(told[::3], told[1::3], told[2::3], strict=True)]
    sys.stdout.buffer.write(pickle.dumps(list(read_stretches(found, windows, bins))))


if __name__ == "__main__":
    main()
