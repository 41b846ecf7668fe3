"""An experiment without a network: its steps are performed on a simulated clock against a function that answers.

For tests of an experiment's logic in milliseconds, also of a question of your own.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

from bench.plan.requests import Planned
from bench.plan.steps import Burst, Note, Result, Stage, Step, Steps, Wait
from bench.records import Record

Server = Callable[[Planned, float], Record]
"""What a request that is sent at a moment, in seconds, comes to; its record says when it was done."""

Source = Callable[[Stage, int, int], Planned]
"""The request of a stage with this number, for this user (-1 in an open loop)."""


class SimulatedPerformer:
    """Performs steps one after the other; `now` is the simulated clock, `sent` counts the requests."""

    def __init__(self, server: Server, source: Source | None = None, *, seed: int = 0) -> None:
        self.now = 0.0
        self.sent = 0
        self.steps: list[Step] = []
        self.records: list[Record] = []  # of everything sent, each with its step's name as its stage
        self._server, self._source, self._rng = server, source, random.Random(seed)

    def perform(self, steps: Steps[Result]) -> Result:
        """The experiment from its first step to what it returns."""
        records: list[Record] = []
        try:
            step = next(steps)
            while True:
                self.steps.append(step)
                records = self._perform(step)
                if isinstance(step, Burst | Stage):
                    self.records += [replace(record, stage=step.name) for record in records]
                step = steps.send(records)
        except StopIteration as end:
            result: Result = end.value
            return result

    def _perform(self, step: Step) -> list[Record]:
        if isinstance(step, Note):
            return []
        if isinstance(step, Wait):
            self.now += step.seconds
            return []
        if isinstance(step, Burst):
            records = self._burst(step)
        else:
            records = list(self._closed(step) if step.users is not None else self._open(step))
        self.now = max([self.now, *(record.done for record in records)])
        return records if isinstance(step, Burst) or step.returns else []

    def _burst(self, burst: Burst) -> list[Record]:
        begin, records, end = self.now, [], float("inf")
        for place, planned in enumerate(burst.requests):
            at = begin + place * burst.spacing
            if at >= end:
                break
            record = self._send(planned, at)
            end = min(end, record.done) if record.outcome in burst.until else end
            records.append(record)
        return records

    def _send(self, planned: Planned, at: float) -> Record:
        self.sent += 1
        return self._server(planned, at)

    def _send_pair(self, first: Planned, at: float) -> list[Record]:
        """A request, and then the others of its pair, each when the one before is answered."""
        records = [self._send(first, at)]
        for partner in first.partners:
            records.append(self._send(partner, records[-1].done))
        return records

    def _open(self, stage: Stage) -> Iterator[Record]:
        begin = self.now
        for number, due in enumerate(stage.dues(self._rng.getrandbits(32))):
            yield from self._send_pair(self._next(stage, number, -1), begin + due)
        self.now = begin + (stage.duration or 0.0)

    def _closed(self, stage: Stage) -> Iterator[Record]:
        assert stage.users is not None
        begin, numbers = self.now, count()
        users = range(int(max(stage.users.start, stage.users.end)))
        waiting = [(begin + there[0], user) for user in users if (there := stage.presence(user)) is not None]
        heapq.heapify(waiting)
        end = begin + stage.duration if stage.duration is not None else float("inf")
        left = float("inf") if stage.requests is None else stage.requests
        while waiting and left > 0:
            at, user = heapq.heappop(waiting)
            there = stage.presence(user)
            if at >= end or there is None or at >= begin + there[1]:
                continue
            left -= 1
            records = self._send_pair(self._next(stage, next(numbers), user), at)
            yield from records
            pause = stage.think.draw(self._rng) if stage.think else 0.0
            heapq.heappush(waiting, (records[-1].done + pause, user))
        self.now = begin + (stage.duration or 0.0)

    def _next(self, stage: Stage, number: int, user: int) -> Planned:
        if self._source is None:
            raise ValueError(f"stage {stage.name} needs requests, and it was given no source of them")
        return self._source(stage, number, user)
