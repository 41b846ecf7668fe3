"""The steps of an experiment: a stage of load, a burst of requests, or a wait.

They are plain values. An experiment yields them, `bench.load` performs them, and the experiment gets the records back.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from bench.plan.arrivals import Arrivals, Ramp, due_times
from bench.plan.pauses import Pause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.plan.requests import Planned
    from bench.records import Record

Result = TypeVar("Result")


class StepsError(Exception):
    """The steps of a user's own question cannot go on; the message says where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A load for some time: closed, with users who wait for their answers, or open, with arrivals that do not wait.

    Exactly one of `users` and `rate` is given, and at least one of `duration` and `requests`.
    """

    name: str  # the records have it; several stages with one name are parts of one
    measured: bool = True  # False: its requests are not in the figures, such as those of a warm-up
    users: Ramp | None = None  # number of users, in all processes
    rate: Ramp | None = None  # arrivals per second, in all processes
    arrivals: Arrivals = "poisson"  # of an open stage
    burstiness: float = 1.0  # of gamma arrivals: the shape of the gaps; 1 is Poisson, below 1 comes in bursts
    think: Pause | None = None  # of a closed stage: between an answer and the user's next request; None: none
    duration: float | None = None  # s; None: `requests` ends it
    requests: int | None = None  # the largest number of requests; None: `duration` ends it
    drain: float | None = None  # time to wait for open requests before the next step, s; None: no wait
    returns: bool = False  # True: the experiment gets its records, which are kept in memory; implies a drain
    impatient: bool = False  # of a closed stage: whether a user who is refused asks again at once
    retries: bool = True  # whether the scenario's retries hold; without them the first answer is the last
    own_schedule: bool = True  # whether an open stage draws its own arrivals, or those of the other stages without one
    arms: tuple[str, ...] = ()  # in a comparison the arms that it asks, in pairs if there are several; empty: no arm
    first: int = 0  # number of its first request or pair: it may go on where an earlier part of the same name ended

    def __post_init__(self) -> None:
        levels = [level for level in (self.users, self.rate) if level is not None]
        if len(levels) != 1 or not isinstance(levels[0], Ramp):
            raise ValueError(f"a stage has users or a rate, as a Ramp; got users {self.users!r} and rate {self.rate!r}")
        if self.duration is None and self.requests is None:
            raise ValueError("nothing ends the stage; a duration or a number of requests is expected")

    @property
    def most_users(self) -> int:
        """The largest number of users at any moment; 0 of an open stage."""
        return 0 if self.users is None else math.ceil(max(self.users.start, self.users.end))

    def presence(self, user: int) -> tuple[float, float] | None:
        """When user number `user` (from 0) of a closed stage starts and ends, s from the stage's beginning; None if the
        stage has no such user. Users start in the order of their numbers and end in the reverse order."""
        assert self.users is not None
        start, end = self.users.start, self.users.end
        if user >= max(start, end):
            return None
        begin = 0.0 if user < start else self.users.crossing(user)
        until = math.inf if user < end else self.users.crossing(user)
        return begin, until

    def dues(self, seed: int) -> Iterator[float]:
        """When the requests of an open stage are due, in seconds from its beginning, ascending."""
        assert self.rate is not None
        return due_times(
            self.rate,
            self.arrivals,
            seed=seed,
            burstiness=self.burstiness,
            duration=self.duration,
            count=self.requests,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Requests at fixed intervals. The experiment gets the records of those that were sent, in the order of the
    requests. A burst can be one request."""

    name: str  # the `stage` of its records; several bursts may have the same name
    requests: tuple[Planned, ...]
    spacing: float = 0.0  # time between the sending of two requests, s; 0: all at once
    until: frozenset[str] = frozenset()  # after an answer with one of these outcomes the rest is not sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Send nothing for some time."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A message for the user; it does not send anything."""

    text: str


Step = Stage | Burst | Wait | Note

Steps = Generator[Step, "list[Record]", Result]
"""An experiment: it yields steps and gets the records of each. Waits, notes, and stages without `returns` have none."""
