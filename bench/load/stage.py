"""One stage of a load while it runs, in one of perhaps several processes: what is next, and when it is over."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Literal, Protocol

from bench.plan import Planned, Stage

EndedBy = Literal["duration", "requests", "stopped"]


class Plan(Protocol):
    """Says what is asked."""

    def request(self, model: int, k: int) -> Planned:
        """The k-th request of a model."""


class StageRun:
    """A stage under way. Moments are monotonic seconds."""

    def __init__(
        self, stage: Stage, plan: Plan, models: int, *, seed: int, common: int = 0, worker: int, workers: int
    ) -> None:
        self.stage = stage
        self.began = math.inf
        self.ended = math.inf  # when nothing new was begun any more
        self.ended_by: EndedBy = "stopped"
        self.sent = 0
        self.followed = 0  # of those, later turns of a conversation and the others of a pair, which no plan counts
        self.talking = 0  # conversations and pairs that have been begun and are not over
        self.scheduled = False  # whether every arrival of an open stage has been sent
        self._plan, self._models = plan, models
        self._seed, self._common = seed, common  # of the stage's own arrivals, and of those that several stages share
        self._worker, self._workers = worker, workers
        self._taken = [0] * models

    def begin(self, moment: float) -> None:
        self.began = moment

    @property
    def until(self) -> float:
        """When time ends it; infinite if only the number of its requests does."""
        return math.inf if self.stage.duration is None else self.began + self.stage.duration

    def look(self, now: float) -> bool:
        """Whether it is over: its time is up, or every request has been taken and no conversation goes on."""
        if math.isinf(self.ended):
            if now >= self.until:
                self.end(self.until, "duration")
            elif not self.talking and self._all_taken():
                self.end(now, "requests")
        return not math.isinf(self.ended)

    def _all_taken(self) -> bool:
        """Whether the number of its requests has been reached."""
        if self.stage.users is None:
            return self.scheduled and self.stage.requests is not None
        return all(self._is_spent(model) for model in range(self._models))

    def finish(self, first: Planned) -> None:
        """A request that was taken has been answered, with all later turns that were to be sent."""
        self.talking -= bool(first.later or first.partners)

    def _begun(self, first: Planned) -> Planned:
        self.talking += bool(first.later or first.partners)
        return first

    def end(self, moment: float, why: EndedBy) -> None:
        """Nothing new from now on. Only the first reason counts."""
        if math.isinf(self.ended):
            self.ended, self.ended_by = max(moment, self.began), why

    # -- a closed stage -----------------------------------------------------------------------------------

    def wait_for(self, user: int, now: float) -> float:
        """Seconds until a user, by its number among those of all processes, is to ask: 0 if now, infinite if never."""
        if self.stage.users is None or (there := self.stage.presence(user)) is None:
            return math.inf
        begin, until = there
        return max(0.0, self.began + begin - now) if now < self.began + until else math.inf

    def take(self, model: int) -> Planned | None:
        """The model's next request; None if it has had its share."""
        if self._is_spent(model):
            return None
        k = self._place(self._taken[model])
        self._taken[model] += 1
        return self._begun(self._plan.request(model, self.stage.first + k))

    def _is_spent(self, model: int) -> bool:
        """Whether the model has had its part of the stage's requests."""
        return self.stage.requests is not None and self._place(self._taken[model]) >= self._quota(model)

    def _quota(self, model: int) -> int:
        """The model's equal part of the stage's requests."""
        total = self.stage.requests or 0
        return total // self._models + (model < total % self._models)

    def _place(self, taken: int) -> int:
        """The processes take turns with a model's requests: the place of this one's next, after so many."""
        return taken * self._workers + self._worker

    # -- an open stage ------------------------------------------------------------------------------------

    def schedule(self) -> Iterator[tuple[int, float]]:
        """Number and moment of each arrival that is this process's to send."""
        seed = self._seed if self.stage.own_schedule else self._common
        dues = itertools.islice(enumerate(self.stage.dues(seed)), self._worker, None, self._workers)
        return ((number, self.began + due) for number, due in dues)

    def arrival(self, number: int) -> Planned:
        """The request of an arrival: the models take turns."""
        return self._begun(self._plan.request(number % self._models, self.stage.first + number // self._models))

    def planned(self) -> int:
        """How many requests this process should have begun by the stage's end."""
        if self.stage.rate is not None:
            return sum(1 for _ in itertools.takewhile(lambda arrival: arrival[1] <= self.ended, self.schedule()))
        if self.ended_by == "requests":
            return sum(len(range(self._worker, self._quota(model), self._workers)) for model in range(self._models))
        return self.sent - self.followed
