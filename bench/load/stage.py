"""One stage of a load while it runs, in one process: which request is next, and when the stage is over."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Literal, Protocol

from bench.plan import Planned, Stage

EndedBy = Literal["duration", "requests", "stopped"]


class Plan(Protocol):
    """Makes the requests of a stage."""

    def request(self, model: int, k: int) -> Planned:
        """The k-th request of a model."""


class StageRun:
    """A stage while it runs. Times are monotonic seconds."""

    def __init__(
        self, stage: Stage, plan: Plan, models: int, *, seed: int, common: int = 0, worker: int, workers: int
    ) -> None:
        self.stage = stage
        self.began = math.inf
        self.ended = math.inf  # when the stage stopped starting requests
        self.ended_by: EndedBy = "stopped"
        self.sent = 0
        self.followed = 0  # the part of `sent` that the plan does not count: later turns, and later requests of a pair
        self.conversing = 0  # conversations and pairs that have started and are not over
        self.scheduled = False  # whether every arrival of an open stage has been sent
        self.alone = True  # whether this process alone sends the stage's requests, and so knows when all were sent
        self.agreed = math.inf  # when the stage ends because all processes have sent their share
        self._plan, self._models = plan, models
        self._seed, self._common = seed, common  # seeds of arrivals: the stage's own, and one that stages share
        self._worker, self._workers = worker, workers
        self._taken = [0] * models

    def begin(self, moment: float) -> None:
        self.began = moment

    @property
    def until(self) -> float:
        """When the stage ends, as far as is known: after its duration, or when all processes have sent their share;
        infinite if only the number of its requests limits it."""
        return min(self.agreed, math.inf if self.stage.duration is None else self.began + self.stage.duration)

    def is_over(self, now: float) -> bool:
        """Whether the stage is over: its time is up, or every request was taken and no conversation goes on. Notes the
        end."""
        if math.isinf(self.ended):
            if now >= self.until:
                self.end(self.until, "requests" if self.until == self.agreed else "duration")
            elif self.alone and self.is_spent:
                self.end(now, "requests")
        return not math.isinf(self.ended)

    @property
    def is_spent(self) -> bool:
        """Whether this process has sent its share of the requests, and no conversation goes on."""
        return not self.conversing and self._all_taken()

    def _all_taken(self) -> bool:
        """Whether all of this process's requests have been taken."""
        if self.stage.users is None:
            return self.scheduled and self.stage.requests is not None
        return all(self._has_share(model) for model in range(self._models))

    def finish(self, first: Planned) -> None:
        """Note that a request has been answered, with all later turns and partners that were sent."""
        self.conversing -= bool(first.later or first.partners)

    def _start(self, first: Planned) -> Planned:
        self.conversing += bool(first.later or first.partners)
        return first

    def end(self, moment: float, why: EndedBy) -> None:
        """Start no more requests from now on. Only the first reason counts."""
        if math.isinf(self.ended):
            self.ended, self.ended_by = max(moment, self.began), why

    # -- a closed stage -----------------------------------------------------------------------------------

    def wait_for(self, user: int, now: float) -> float:
        """Seconds until a user may send: 0 if it may now, infinite if never. Users are numbered over all processes."""
        if self.stage.users is None or (presence := self.stage.presence(user)) is None:
            return math.inf
        begin, until = presence
        return max(0.0, self.began + begin - now) if now < self.began + until else math.inf

    def take(self, model: int) -> Planned | None:
        """The model's next request; None if the model has had its share."""
        if self._has_share(model):
            return None
        k = self._position(self._taken[model])
        self._taken[model] += 1
        return self._start(self._plan.request(model, self.stage.first + k))

    def _has_share(self, model: int) -> bool:
        """Whether the model has had its share of the stage's requests."""
        return self.stage.requests is not None and self._position(self._taken[model]) >= self._share(model)

    def _share(self, model: int) -> int:
        """The model's equal share of the stage's requests."""
        total = self.stage.requests or 0
        return total // self._models + (model < total % self._models)

    def _position(self, taken: int) -> int:
        """The position of this process's next request of a model, after `taken` of them. The processes take turns."""
        return taken * self._workers + self._worker

    # -- an open stage ------------------------------------------------------------------------------------

    def schedule(self) -> Iterator[tuple[int, float]]:
        """Number and due time of each arrival that this process sends."""
        seed = self._seed if self.stage.own_schedule else self._common
        dues = itertools.islice(enumerate(self.stage.dues(seed)), self._worker, None, self._workers)
        return ((number, self.began + due) for number, due in dues)

    def arrival(self, number: int) -> Planned:
        """The request of an arrival. The models take turns."""
        return self._start(self._plan.request(number % self._models, self.stage.first + number // self._models))

    def planned(self) -> int:
        """How many requests this process should have started by the stage's end."""
        if self.stage.rate is not None:
            return sum(1 for _ in itertools.takewhile(lambda arrival: arrival[1] <= self.ended, self.schedule()))
        if self.ended_by == "requests":
            return sum(len(range(self._worker, self._share(model), self._workers)) for model in range(self._models))
        return self.sent - self.followed
