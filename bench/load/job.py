"""What one process needs to know to carry its part of a load, and what it says when it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.load.line import Line
from bench.plan import Fits, Scenario

POLL_S = 0.05  # how often the end of the load is looked for; no request is begun after it all the same
PROGRESS_S = 0.25


@dataclass(frozen=True, slots=True)
class Job:
    """The same for all processes of a run."""

    scenario: Scenario
    seed: int
    nonce_seed: int
    fits: Fits
    url: str
    folder: Path
    started: float  # the run's start, monotonic s: times in records count from it


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is told by its master, the key among it."""

    job: Job
    worker: int
    workers: int
    line: Line
    environment: Mapping[str, str]  # the master's, which an API of the user's own may look into


@dataclass(frozen=True, slots=True)
class Carried:
    """How a load ended. Times are monotonic s."""

    began: float
    measure_from: float
    ended: float  # when nothing new was begun any more
    sent: int  # measured requests begun
    followed: int  # of those, second turns, which no plan counts
    stopped_by: str
    """"duration", "requests", "interrupt", "disk", "mistake", "target", "worker" or "silent worker"."""
    error: OSError | None = None  # the disk's, where it refused a record
    mistake: str | None = None  # our own, where one ended the load: what and where
