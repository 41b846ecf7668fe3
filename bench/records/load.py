"""How the load itself went: `End` is the content of end.json, and `HealthLine` is one second of health.jsonl."""

from __future__ import annotations

from dataclasses import dataclass

from bench.records.record import Count, Moment


@dataclass(frozen=True, slots=True)
class End:
    """How the load ended; times are seconds from the run's start."""

    duration_s: Moment  # until the last request in flight was answered or censored
    load_started: Moment
    measure: tuple[Moment, Moment]  # the window in which the measured load was offered; drain excluded
    planned: Count  # measured requests that the schedule wanted; if only time limits a stage, those that users started
    sent: Count  # measured requests started
    stopped_by: str
    """"duration", "requests", "interrupt", "refused", "disk", "mistake", "target", "worker" or "silent worker";
    "killed" stands for a run without an end.json."""
    because: str | None = None  # for "refused": how the first requests failed
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
