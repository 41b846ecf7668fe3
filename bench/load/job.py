"""What one process needs to know to carry its part of a load, and what it says when it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.load.line import Line
from bench.plan import Fits, Scenario, Stage
from bench.records import Record

POLL_S = 0.05  # how often the end of the load is looked for; no request is begun after it all the same
PROGRESS_S = 0.25
DRAIN_S = 30.0  # how long answers in flight are waited for where a stage does not say


@dataclass(frozen=True, slots=True)
class Job:
    """The same for all processes that perform a chain of stages, each of which begins when the one before ends."""

    scenario: Scenario
    seed: int
    nonce_seed: int
    fits: Fits
    urls: Mapping[str | None, str]  # where each arm of the scenario is served; under None, what is sent for no arm
    folder: Path
    started: float  # the run's start, monotonic s: times in records count from it
    keep_going: bool = False  # whether first requests that all fail do not end the load
    stages: tuple[Stage, ...] = ()
    salts: tuple[int, ...] = ()  # of each stage: added to the seeds, so that no two stages send the same prompts

    @property
    def most_users(self) -> int:
        """The largest number of users at any moment; 0 if all stages are open."""
        return max((stage.most_users for stage in self.stages), default=0)

    @property
    def users(self) -> int:
        """How many Locust users it takes: as many as ask at a time, and one a process where arrivals are open."""
        return self.most_users + self.scenario.processes * any(stage.rate is not None for stage in self.stages)


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is told by its master, the key among it."""

    job: Job
    worker: int
    workers: int
    line: Line
    environment: Mapping[str, str]  # the master's, which an API of the user's own may look into


@dataclass(frozen=True, slots=True)
class Performed:
    """How one stage went. Moments are monotonic s."""

    name: str
    began: float
    ended: float  # when nothing new was begun any more
    ended_by: str  # "duration", "requests" or "stopped"
    planned: int  # requests that the schedule wanted, or that users began where only time bounds them
    sent: int  # requests begun
    followed: int  # of those, later turns of a conversation, which no plan counts


@dataclass(frozen=True, slots=True)
class Carried:
    """How a chain of stages went."""

    stages: tuple[Performed, ...]  # those that began, in their order
    stopped_by: str
    """"duration", "requests", "interrupt", "refused", "disk", "mistake", "target", "worker" or "silent worker"."""
    because: str | None = None  # of "refused": what the first requests were told
    error: OSError | None = None  # the disk's, where it refused a record
    mistake: str | None = None  # our own, where one ended the load: what and where
    records: tuple[Record, ...] = ()  # of the stages whose records the experiment wants, in the order of their ends
