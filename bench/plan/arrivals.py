"""When the requests of an open load are due: one schedule from a seed, the same for every worker.

Due times do not depend on answers. The schedule draws events of a process with one event per second on average, in
blocks, and maps them through the inverse of the rate's integral (time rescaling; Çinlar 1975). So a ramp is as exact as
a constant rate, and a long run needs no memory. Each of W workers takes every W-th arrival of the schedule.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

Arrivals = Literal["poisson", "constant", "gamma"]
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Ramp:
    """A level over time: a straight line from `begin` to `end` within `seconds`, then `end`."""

    end: float
    begin: float | None = None  # None: the same as `end`
    seconds: float = 0.0

    @property
    def start(self) -> float:
        """The level at the beginning."""
        return self.end if self.begin is None or self.seconds <= 0.0 else self.begin

    def at(self, t: float) -> float:
        """The level after t seconds."""
        if t >= self.seconds:
            return self.end
        return self.start + (self.end - self.start) * t / self.seconds

    def crossing(self, level: float) -> float:
        """Seconds until a level between the two ends is reached."""
        if self.seconds <= 0.0 or self.end == self.start:
            return 0.0
        return self.seconds * min(1.0, max(0.0, (level - self.start) / (self.end - self.start)))

    def total(self, t: float) -> float:
        """The level's integral over the first t seconds. For a rate, this is the expected number of arrivals."""
        ramped = min(t, self.seconds)
        return (self.start + self.at(ramped)) / 2 * ramped + self.end * (t - ramped)

    def when(self, total: float) -> float:
        """The inverse of `total`: seconds until this many arrivals are expected; infinite if never."""
        if total <= 0.0:
            return 0.0
        if (rest := total - self.total(self.seconds)) >= 0.0:
            return self.seconds + (rest / self.end if self.end > 0 else math.inf if rest else 0.0)
        slope = (self.end - self.start) / self.seconds
        # total = start·t + slope/2·t², solved without subtracting numbers of nearly the same size
        return 2 * total / (self.start + math.sqrt(max(0.0, self.start**2 + 2 * slope * total)))


def due_times(
    rate: Ramp | float,
    arrivals: Arrivals,
    *,
    seed: int,
    burstiness: float = 1.0,
    duration: float | None = None,
    count: int | None = None,
) -> Iterator[float]:
    """Seconds from the start at which requests are due, ascending; all below `duration`, and at most `count`.

    `rate` is per second. `burstiness` is the shape of gamma arrivals' gaps: their squared coefficient of variation is
    1 / burstiness.
    """
    ramp = rate if isinstance(rate, Ramp) else Ramp(rate)
    constant = ramp.seconds <= 0.0  # then a plain division keeps an even schedule exact
    events = _events(arrivals, seed, burstiness)
    times = (event / ramp.end if constant else ramp.when(event) for event in events)
    end = math.inf if duration is None else duration
    return itertools.islice(itertools.takewhile(lambda due: due < end, times), count)


def shard(arrivals: Iterator[float], worker: int, workers: int) -> Iterator[tuple[int, float]]:
    """Number and due time of the arrivals that one of several workers sends."""
    return itertools.islice(enumerate(arrivals), worker, None, workers)


def _events(arrivals: Arrivals, seed: int, burstiness: float) -> Iterator[float]:
    """Event times of a process with one event per second on average."""
    if arrivals == "constant":
        return map(float, itertools.count())
    return _random_events(seed, burstiness if arrivals == "gamma" else 1.0)


def _random_events(seed: int, shape: float) -> Iterator[float]:
    """A stationary renewal process: it is watched from a moment like any other, not from one of its events.

    So its first gap is only the rest of one, which is as long as that moment finds it: a long gap is found more often.
    Otherwise bursty arrivals would send more than the rate, (1 / shape - 1) / 2 requests in all (Cox, Renewal Theory,
    1962, sections 2.2 and 4.2).
    """
    rng = np.random.default_rng([seed, 0xA221])  # other random numbers than the prompts, which use the seed too
    last = 0.0
    if shape != 1.0:  # the gaps of a Poisson process have no memory: the rest of one is distributed like a whole one
        last = float(rng.random() * rng.gamma(shape + 1.0, 1.0 / shape))
        yield last
    while True:
        gaps = rng.exponential(1.0, _BLOCK) if shape == 1.0 else rng.gamma(shape, 1.0 / shape, _BLOCK)
        block = last + np.cumsum(gaps)
        yield from block.tolist()
        last = float(block[-1])
