"""steps.jsonl: one line for each step that was performed, in order; a run's windows are read from it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from bench.records.file import write_whole
from bench.records.record import Count, Moment

STEPS_FILE = "steps.jsonl"


@dataclass(frozen=True, slots=True)
class StepLine:
    """A step as it was performed. Times are seconds from the run's start."""

    kind: Literal["stage", "burst", "wait"]
    name: str  # as the records of the step have it in `stage`; empty for a wait
    measured: bool  # whether its requests are in the figures
    began: Moment
    ended: Moment  # when nothing new was begun any more; what was then in flight came later
    ended_by: str  # "duration", "requests", or why it was ended before
    planned: Count  # requests that were wanted, or that users began where only time bounds them
    sent: Count  # requests begun
    users: float | None = None  # of a closed stage, at its end
    rate: float | None = None  # of an open stage, at its end, per second
    arrivals: str | None = None  # of an open stage
    ramp_s: Moment = 0.0  # how long users or rate took to get there


class StepWriter:
    """Appends steps to a run's file. Raises OSError if the disk refuses a line."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / STEPS_FILE
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def append(self, step: StepLine) -> None:
        """Write one step as one line."""
        write_whole(self._fd, orjson.dumps(step, option=orjson.OPT_APPEND_NEWLINE), self._path)

    def close(self) -> None:
        os.close(self._fd)
