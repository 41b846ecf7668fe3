"""The load: users who wait for their answers, or arrivals that do not wait; constant, ramped, or in several stages.

The settings of a scenario become stages, which are plain values.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from bench.plan.arrivals import Arrivals, Ramp
from bench.plan.pauses import Think
from bench.plan.steps import Stage
from bench.plan.values import MOST, Count, Number, PositiveSeconds, Seconds, Value, Whole

WARMUP, MEASURE = "warmup", "measure"
"""Names of the two stages that a load without a list of stages has."""

FIT = "fit"
"""Name of the requests before the load that find out how the target counts tokens."""

SLOWEST_RATE = 1e-5  # requests per second: about one a day
Users = Annotated[Count, Field(le=1_000_000)]
Rate = Annotated[Number, Field(gt=0, le=1e6)]
SpawnRate = Annotated[Number, Field(ge=1e-4, le=1e6)]
Burstiness = Annotated[Number, Field(ge=0.01, le=1000)]
Length = Annotated[PositiveSeconds, Field(ge=0.001)]


def _one_or_several(value: object) -> str:
    """The tag of a load with one level, or of one with a list of levels."""
    return "<several>" if isinstance(value, list | tuple) else "<one>"


Client = Literal["raw", "polite"]

UserLevels = Annotated[
    Annotated[Users, Tag("<one>")] | Annotated[tuple[Users, ...], Field(min_length=1), Tag("<several>")],
    Discriminator(_one_or_several),
]
RateLevels = Annotated[
    Annotated[Rate, Tag("<one>")] | Annotated[tuple[Rate, ...], Field(min_length=1), Tag("<several>")],
    Discriminator(_one_or_several),
]


class StageSettings(Value):
    """One of several stages."""

    name: str | None = Field(None, description="its name in reports; default: its load, such as 50 users")
    measured: bool = Field(True, description="count its requests in the figures")
    users: Users | None = Field(
        None,
        description="number of users, in all: several models share them; each waits for its answer before the next "
        "request",
    )
    rate: Rate | None = Field(
        None, description="requests per second, in all: several models share them; sent without waiting for answers"
    )
    ramp: Seconds = Field(0.0, description="time to go from the load of the previous stage to this one")
    spawn_rate: SpawnRate | None = Field(None, description="users that start per second; use this or ramp")
    arrivals: Arrivals | None = Field(None, description="poisson, constant, or gamma with a burstiness")
    burstiness: Burstiness | None = Field(None, description="for gamma arrivals: 1 is Poisson, below 1 comes in bursts")
    duration: Length | None = Field(None, description="length of the stage")
    requests: Count | None = Field(None, description="end the stage after this many requests")
    drain: Seconds | None = Field(
        None, description="time to wait for open requests before the next stage; default: no wait"
    )

    @model_validator(mode="after")
    def _is_one_loop(self) -> StageSettings:
        check_loop(self.users, self.rate, self.duration, self.requests)
        if self.rate is not None and self.spawn_rate is not None:
            raise ValueError("spawn_rate is for users; a rate has a ramp")
        if self.spawn_rate is not None and self.ramp:
            raise ValueError("got spawn_rate and ramp; write only one of them")
        if self.rate is not None:
            check_rate(self.rate, self.duration or 0)
        else:
            check_unscheduled(name for name in SCHEDULE if getattr(self, name) is not None)
        return self


SCHEDULE = ("arrivals", "burstiness")
"""The settings that only a rate has."""


def check_loop(users: object, rate: object, duration: float | None, requests: int | None) -> None:
    """Check that there is exactly one of users and rate, and an end. Raises ValueError."""
    if (users is None) == (rate is None):
        got = "neither" if users is None else "both"
        raise ValueError(f"got {got} of users (a closed loop) and rate (an open one); exactly one is expected")
    if duration is None and requests is None:
        raise ValueError("nothing ends it; duration: 30s or requests: 1000 is expected")


def check_rate(rate: float, seconds: float) -> None:
    """Check that the number of requests is no typing mistake. Raises ValueError."""
    if rate < SLOWEST_RATE:
        raise ValueError(f"rate is {rate:g}; at least {SLOWEST_RATE:g} requests per second are expected, one a day")
    if (total := rate * seconds) > MOST:
        raise ValueError(f"rate and duration make {total:,.0f} requests; at most {MOST:,} are expected")


def check_unscheduled(given: Iterable[str]) -> None:
    """Check that a load without a schedule has no settings of one. Raises ValueError."""
    if names := list(given):
        raise ValueError(f"got {' and '.join(names)} for users, who have no schedule; only a rate has one")


def check_burstiness(arrivals: Arrivals) -> None:
    """Check that arrivals have the burstiness that is set for them. Raises ValueError."""
    if arrivals != "gamma":
        raise ValueError(f"got burstiness for {arrivals} arrivals; only arrivals: gamma have one")


def in_stages(given: Iterable[str]) -> str:
    """What to write in place of settings of the load that stages do not go with."""
    missing = [name for name in given if name not in StageSettings.model_fields]
    if "warmup" in missing:
        return "with stages, a warm-up is a stage with measured: false"
    return f"stages have no {' and no '.join(missing)}" if missing else "with stages, write them in each stage"


class Load(Value):
    """The load: a closed loop of users who wait for their answers, or an open loop of arrivals that do not wait."""

    users: UserLevels | None = Field(
        None,
        description="number of users, in all: several models share them; each waits for its answer before the next "
        "request; a list is a sweep",
    )
    spawn_rate: SpawnRate | None = Field(None, description="users that start per second; default: all at once")
    think_time: Think | None = Field(None, description="pause of a user between an answer and the next request")
    rate: RateLevels | None = Field(
        None,
        description="requests per second, above 0, in all: several models share them; sent without waiting for "
        "answers; a list is a sweep",
    )
    arrivals: Arrivals = Field("poisson", description="for an open loop: poisson, constant, or gamma with a burstiness")
    burstiness: Burstiness = Field(1.0, description="for gamma arrivals: 1 is Poisson, below 1 comes in bursts")
    ramp: Seconds = Field(0.0, description="time in which users or rate rise from 0")
    duration: Length | None = Field(None, description="time to measure; in a sweep, for each level")
    requests: Count | None = Field(
        None, description="number of requests to measure, of all models; in a sweep, at each level"
    )
    warmup: Seconds = Field(0.0, description="time under load before the measurement; in a sweep, before each level")
    stages: tuple[StageSettings, ...] = Field(
        (), description="a list of stages, one after the other; use this or the settings above"
    )
    processes: Whole = Field(1, ge=1, le=256, description="number of processes that send, if one core is not enough")
    impatient: bool = Field(
        False,
        description="whether a user who is refused asks again at once; default: it waits as "
        "Retry-After says, else longer each time, as retries has it",
    )
    clients: tuple[Client, ...] = Field(
        (),
        description="the same load once for each: raw clients neither wait nor try again, polite ones do both",
    )
    pause: Seconds = Field(0.0, description="silence before each level but the first, so that limits are full again")
    drain: Seconds = Field(30.0, description="time to wait for open requests after the load")

    @model_validator(mode="after")
    def _is_one_loop(self) -> Load:
        if self.stages:
            own = ("users", "rate", "spawn_rate", "ramp", "duration", "requests", "warmup", "clients", "pause")
            if given := [name for name in own if name in self.model_fields_set]:
                raise ValueError(f"got stages and {' and '.join(given)}; {in_stages(given)}")
            check_names([stage.name for stage in self.as_stages()])
            self._check_stages()
            return self
        check_loop(self.users, self.rate, self.duration, self.requests)
        if self.rate is not None and self.spawn_rate is not None:
            raise ValueError("spawn_rate is for users; an open loop has a rate only")
        self._check_loops(users=self.users is not None, rate=self.rate is not None)
        if "burstiness" in self.model_fields_set:
            check_burstiness(self.arrivals)
        if self.pause and not self.is_sweep and not self.clients:
            raise ValueError(
                "got pause for one load; it is the silence between the levels of a sweep, or between clients"
            )
        if self.impatient and self.clients:
            raise ValueError("got impatient and clients; clients says who waits")
        if len(set(self.clients)) < len(self.clients):
            raise ValueError("clients names one twice; raw and polite are expected, each once")
        if self.spawn_rate is not None and self.ramp:
            raise ValueError("got spawn_rate and ramp; write only one of them")
        for level in self.levels() if self.rate is not None else ():
            check_rate(level, (self.duration or 0) + self.warmup)
        levels = self.levels()
        if len(set(levels)) < len(levels):
            raise ValueError("a level is in the list twice; the levels of a sweep must differ")
        return self

    def _check_stages(self) -> None:
        """Check that a stage is measured, and that one follows each setting for all of them. Raises ValueError."""
        if not any(stage.measured for stage in self.stages):
            raise ValueError("no stage is measured; at least one without measured: false is expected")
        scheduled = [stage for stage in self.stages if stage.rate is not None]
        self._check_loops(users=len(scheduled) < len(self.stages), rate=bool(scheduled))
        given = self.model_fields_set
        if "arrivals" in given and all(stage.arrivals for stage in scheduled):
            raise ValueError("got arrivals, but each stage has its own; leave it out")
        for stage in scheduled:
            if stage.burstiness is not None:
                check_burstiness(stage.arrivals or self.arrivals)
        inheriting = [stage.arrivals or self.arrivals for stage in scheduled if stage.burstiness is None]
        if "burstiness" in given and "gamma" not in inheriting:
            raise ValueError("got burstiness, but no stage with arrivals: gamma takes it; leave it out")

    def _check_loops(self, *, users: bool, rate: bool) -> None:
        """Check that settings of one kind of loop find such a loop. Raises ValueError."""
        waits = [name for name in ("impatient", "think_time") if getattr(self, name)]
        if waits and not users:
            raise ValueError(
                f"{' and '.join(waits)} {'is' if len(waits) == 1 else 'are'} for users; arrivals of a rate never wait"
            )
        if not rate:
            check_unscheduled(name for name in SCHEDULE if name in self.model_fields_set)

    @property
    def fewest_users(self) -> int | None:
        """The smallest number of users at the end of any stage; None in an open loop."""
        return min((int(stage.users.end) for stage in self.as_stages() if stage.users), default=None)

    def levels(self) -> tuple[float, ...]:
        """The single levels of a sweep, or the one load."""
        given = self.users if self.users is not None else self.rate
        return () if given is None else tuple(given) if isinstance(given, tuple) else (float(given),)

    @property
    def is_sweep(self) -> bool:
        return isinstance(self.users, tuple) or isinstance(self.rate, tuple)

    def as_stages(self) -> tuple[Stage, ...]:
        """The load as stages; the last one waits for open requests."""
        if self.stages:
            return self._listed()
        if not self.is_sweep and not self.clients:
            return self._level(self.levels()[0], WARMUP, MEASURE, None)
        unit = "users" if self.users is not None else "/s"
        found: list[Stage] = []
        for level, client in itertools.product(self.levels(), self.clients or (None,)):
            name = ", ".join(filter(None, (called(level, unit) if self.is_sweep else "", client)))
            found += self._level(level, f"{name}, {WARMUP}", name, client)
        return tuple(found)

    def _level(self, level: float, warmup: str, measure: str, client: Client | None) -> tuple[Stage, ...]:
        """One level, with its warm-up before it. A ramp longer than the warm-up goes on in the measured stage."""
        made = self._stages_of(level, warmup, measure)
        impatient = self.impatient or client == "raw"
        return tuple(
            replace(stage, impatient=impatient, retries=client != "raw", own_schedule=client is None) for stage in made
        )

    def _stages_of(self, level: float, warmup: str, measure: str) -> tuple[Stage, ...]:
        spawn = level / self.spawn_rate if self.spawn_rate else self.ramp
        ramp = Ramp(level, begin=0.0, seconds=spawn) if spawn else Ramp(level)
        found = []
        if self.warmup:
            found.append(self._stage(warmup, ramp, measured=False, duration=self.warmup, requests=None, drain=None))
            left = max(0.0, spawn - self.warmup)
            ramp = Ramp(level, begin=ramp.at(self.warmup), seconds=left) if left else Ramp(level)
        found.append(
            self._stage(measure, ramp, measured=True, duration=self.duration, requests=self.requests, drain=self.drain)
        )
        return tuple(found)

    def _stage(
        self,
        name: str,
        ramp: Ramp,
        *,
        measured: bool,
        duration: float | None,
        requests: int | None,
        drain: float | None,
    ) -> Stage:
        closed = self.users is not None
        return Stage(
            name=name,
            measured=measured,
            users=ramp if closed else None,
            rate=None if closed else ramp,
            arrivals=self.arrivals,
            burstiness=self.burstiness,
            think=self.think_time.pause() if self.think_time else None,
            duration=duration,
            requests=requests,
            drain=drain,
        )

    def _listed(self) -> tuple[Stage, ...]:
        found: list[Stage] = []
        before: tuple[str, float] = ("", 0.0)
        for number, given in enumerate(self.stages):
            kind = "users" if given.users is not None else "rate"
            level = float(given.users if given.users is not None else given.rate or 0.0)
            begin = before[1] if before[0] == kind else 0.0
            seconds = abs(level - begin) / given.spawn_rate if given.spawn_rate else given.ramp
            ramp = Ramp(level, begin=begin, seconds=seconds) if seconds else Ramp(level)
            last = number == len(self.stages) - 1
            found.append(
                Stage(
                    name=given.name or called(level, "users" if kind == "users" else "/s"),
                    measured=given.measured,
                    users=ramp if kind == "users" else None,
                    rate=ramp if kind == "rate" else None,
                    arrivals=given.arrivals or self.arrivals,
                    burstiness=given.burstiness or self.burstiness,
                    think=self.think_time.pause() if self.think_time else None,
                    duration=given.duration,
                    requests=given.requests,
                    drain=self.drain if last else given.drain,
                    impatient=self.impatient,
                )
            )
            before = (kind, reached(ramp, found[-1]))
        return tuple(found)


def reached(ramp: Ramp, stage: Stage) -> float:
    """The level at the end of a stage with this ramp. A number of arrivals ends it when that many are expected. How
    long users take for theirs is unknown before the run: without a duration they should reach the ramp's end."""
    ends = [math.inf if stage.duration is None else stage.duration]
    if stage.rate is not None and stage.requests is not None:
        ends.append(ramp.when(stage.requests))
    return ramp.at(min(ends))


def check_names(names: Sequence[str]) -> None:
    """Check that stages have names of their own. Raises ValueError."""
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"several stages are called {repeated!r}; give them names that differ")
    if FIT in names:
        raise ValueError(f"a stage is called {FIT!r}, as the requests before the load are; give it another name")


def called(level: float, unit: str) -> str:
    """The name of a stage that has none: 50 users, 1 user, 20 /s."""
    return f"{level:g} user" if level == 1 and unit == "users" else f"{level:g} {unit}"
