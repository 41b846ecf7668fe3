"""The phases of a run and its bins of time, from what is known before its records are read. Times are seconds from the
beginning of the load."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.plan.load import MEASURE, WARMUP
from bench.records import End, StepLine

BINS = 150  # the largest number of bins, apart from those that a phase cuts short
NAMES = {WARMUP: "warm-up", MEASURE: "measured"}
"""Words for the stages of a load with one measured stage."""
SHORTEST = 0.05  # s
LENGTHS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a run over time, s from the beginning of the load."""

    name: str
    begin: float
    end: float
    measured: bool
    stage: bool = True  # whether requests are sent in it; else it is a wait for their answers


def phases_of(stages: Sequence[StepLine], end: End) -> tuple[Phase, ...]:
    """The stages of the load, and what was between and after them: waiting for answers. In the order of time; those
    that took no time are left out."""
    start, found = end.load_started, []
    at = 0.0
    for number, stage in enumerate(stages):
        begin, ended = stage.began - start, stage.ended - start
        found.append(Phase("drain" if number else "warm-up", at, begin, measured=False, stage=not number))
        found.append(Phase(NAMES.get(stage.name, stage.name), begin, ended, measured=stage.measured))
        at = ended
    found.append(Phase("drain", at, end.duration_s - start, measured=False, stage=False))
    return tuple(phase for phase in found if phase.end - phase.begin > SHORTEST)


def bin_length(duration_s: float) -> int:
    """Seconds per bin, a round number."""
    needed = duration_s / BINS
    return next((length for length in LENGTHS_S if length >= needed), math.ceil(needed))


def edges_of(phases: Sequence[Phase], length: float) -> npt.NDArray[np.float64]:
    """The edges of bins of about this length, s. Every stage begins with a new bin, and its bins are equally long, so
    that none is of two stages. A drain much shorter than a bin is in the bin before it."""
    found = [0.0]
    for phase in phases:
        parts = round((phase.end - phase.begin) / length)
        if phase.end <= found[-1] or not (parts or phase.stage):
            continue
        begin = max(phase.begin, found[-1])
        if len(found) > 1:  # what was skipped before it is in the bin before it
            found[-1] = begin
        found += np.linspace(begin, phase.end, max(1, parts) + 1)[1:].tolist()
    found[-1] = max(found[-1], phases[-1].end if phases else length)
    return np.array(found if len(found) > 1 else [0.0, float(length)])


def middles_of(edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The middle of each bin."""
    return (edges[:-1] + edges[1:]) / 2


def places_in(edges: npt.NDArray[np.float64], times: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The bin of each time; times outside are in the first or the last."""
    return np.clip(np.searchsorted(edges, times, "right") - 1, 0, len(edges) - 2)
