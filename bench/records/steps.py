"""steps.jsonl: one line per step that was performed, in order. The measured windows of a run are read from it."""

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
    name: str  # the step's records have it as `stage`; empty for a wait
    measured: bool  # whether its requests are in the figures
    began: Moment
    ended: Moment  # when the step stopped starting requests; those in flight ended later
    ended_by: str  # "duration", "requests", or why it ended early
    planned: Count  # requests that were wanted; if only time limits the step, requests that users started
    sent: Count  # requests started
    users: float | None = None  # users of a closed stage at its end; None for other steps
    rate: float | None = None  # requests per second of an open stage at its end; None for other steps
    arrivals: str | None = None  # kind of arrivals of an open stage; None for other steps
    ramp_s: Moment = 0.0  # how long the ramp to these users or this rate took, s


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
