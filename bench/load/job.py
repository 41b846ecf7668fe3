"""The job of a load process, which is its part of the load, and the result that it reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.load.locust_socket import MasterAddress
from bench.plan import Fits, Scenario, Stage
from bench.records import Record, StoppedBy

POLL_S = 0.05  # how often a process checks whether the load is over; sending stops exactly at the end anyway
PROGRESS_S = 0.25
DRAIN_S = 30.0  # how long to wait for answers in flight if a stage does not say
LENGTH_BYTES = 8  # of the length that precedes each order on a worker's standard input


@dataclass(frozen=True, slots=True)
class Job:
    """A chain of stages, the same for all processes that perform it. Each stage begins when the one before ends."""

    scenario: Scenario
    seed: int
    nonce_seed: int
    fits: Fits
    urls: Mapping[str | None, str]  # URL of each arm; None is the key for requests without an arm
    folder: Path
    started: float  # the run's start, monotonic s: times in records count from it
    keep_going: bool = False  # whether the load goes on even if all first requests fail
    stages: tuple[Stage, ...] = ()
    salts: tuple[int, ...] = ()  # one per stage, added to its seeds, so that no two stages send the same prompts

    @property
    def most_users(self) -> int:
        """The largest number of users at any moment; 0 if all stages are open."""
        return max((stage.most_users for stage in self.stages), default=0)

    @property
    def users(self) -> int:
        """Number of Locust users: the largest number of closed users, and one per process for open stages."""
        return self.most_users + self.scenario.processes * any(stage.rate is not None for stage in self.stages)


@dataclass(frozen=True, slots=True)
class Order:
    """What the master gives to a worker for each chain of stages."""

    job: Job
    worker: int
    workers: int
    master: MasterAddress
    environment: Mapping[str, str]  # the master's environment variables; a user's own API may read them


@dataclass(frozen=True, slots=True)
class StageResult:
    """How one stage went. Times are monotonic s."""

    name: str
    began: float
    ended: float  # when the stage stopped starting requests
    ended_by: str  # "duration", "requests" or "stopped"
    planned: int  # requests that the schedule wanted; if only time limits the stage, requests that users started
    sent: int  # requests started
    followed: int  # the part of `sent` that the plan does not count: later turns of a conversation


@dataclass(frozen=True, slots=True)
class LoadResult:
    """How a chain of stages went."""

    stages: tuple[StageResult, ...]  # the stages that began, in their order
    stopped_by: StoppedBy
    because: str | None = None  # for "refused": how the first requests failed
    error: OSError | None = None  # the disk's error, if it refused a record
    mistake: str | None = None  # a mistake in bench that ended the load: what and where
    records: tuple[Record, ...] = ()  # of the stages whose records the experiment wants, in the order of their ends
