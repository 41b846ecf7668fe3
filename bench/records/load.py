"""How the load itself went: `End` is the content of end.json, and `HealthLine` is one second of health.jsonl."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.records.record import Count, Moment

StoppedBy = Literal[
    "duration",  # the time of the last stage was over
    "requests",  # all requests were sent
    "budget",  # the question's budget had no room for more
    "refused",  # requests failed in a way that more requests would not change
    "quota",  # the provider said that no money or quota is left
    "interrupt",  # Ctrl-C, or the terminal was closed
    "target",  # a target that the run had started died
    "question",  # the steps of a question of the user's own failed
    "mistake",  # a mistake in bench
    "disk",  # the disk refused a record
    "worker",  # a worker process died
    "silent worker",  # a worker process stopped answering and was ended
    "killed",  # the run left no end.json
]
"""Why a load ended, the worst last."""


@dataclass(frozen=True, slots=True)
class End:
    """How the load ended; times are seconds from the run's start."""

    duration_s: Moment  # until the last request in flight was answered or censored
    load_started: Moment
    measure: tuple[Moment, Moment]  # the window in which the measured load was offered; drain excluded
    planned: Count  # measured requests that the schedule wanted; if only time limits a stage, those that users started
    sent: Count  # measured requests started
    stopped_by: str  # one of StoppedBy; the file of a later version may have a reason that this one does not know
    because: str | None = None  # for "refused" and "quota": how the requests failed
    key_warnings: tuple[str, ...] = ()  # messages about keys that could not be renewed, and when they could again


@dataclass(frozen=True, slots=True)
class HealthLine:
    """One second of one load process, as the process itself measured it."""

    t: Moment  # when the second ended, s from the run's start
    worker: Count
    hub_lag_s: list[Moment]  # how late the event loop woke, each time
    cpu: Moment  # share of a core that the process used
    gc_s: Moment  # spent on garbage collection
    users: Count
    in_flight: Count
    clock_step_s: float  # how far somebody set the wall clock, s; 0 if nobody did
