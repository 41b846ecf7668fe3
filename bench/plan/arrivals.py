"""When the requests of an open loop are due: one absolute, seeded schedule, whoever sends them and however late.

Due times do not depend on answers. A Poisson process is drawn as gaps in blocks, so a long run costs no memory;
a worker of several takes every W-th arrival of the one schedule, so that together they are that schedule.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal

import numpy as np

Arrivals = Literal["poisson", "constant"]
_BLOCK = 4096


def due_times(
    rate: float, arrivals: Arrivals, *, seed: int, duration: float | None = None, count: int | None = None
) -> Iterator[float]:
    """Seconds from the start at which requests are due, ascending: below `duration`, at most `count` of them."""
    times = _poisson(rate, seed) if arrivals == "poisson" else (number / rate for number in itertools.count())
    if duration is not None:
        times = itertools.takewhile(lambda due: due < duration, times)
    return itertools.islice(times, count)


def shard(arrivals: Iterator[float], worker: int, workers: int) -> Iterator[tuple[int, float]]:
    """Number and due time of the arrivals that one of several workers sends."""
    return itertools.islice(enumerate(arrivals), worker, None, workers)


def _poisson(rate: float, seed: int) -> Iterator[float]:
    rng = np.random.default_rng([seed, 0xA221])  # a stream of its own: prompts are drawn from the seed too
    last = 0.0
    while True:
        block = last + np.cumsum(rng.exponential(1.0 / rate, _BLOCK))
        yield from block.tolist()
        last = float(block[-1])
