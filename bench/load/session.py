"""The state of a load while it runs: which request is next, what is in flight, what has been seen so far."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import gevent
from gevent.event import Event
from locust.exception import StopUser

from bench.load.caller import Caller
from bench.load.job import Job
from bench.load.mishaps import UNFORESEEN
from bench.load.recorder import Recorder
from bench.load.recording import Slot, Try
from bench.plan import Planned, RequestPlan
from bench.records import Record, RecordWriter
from bench.wire.exchange import Failure
from bench.wire.transport import Transport
from bench.wire.turns import Turns

RECENT = 500  # first tokens that the live median looks back on
STAGE_SEEDS = {"warmup": 2**32, "measure": 0}
"""Added to the seeds, so that warm-up does not put the measured prompts into the server's cache: not those of this run,
nor, since a scenario's seed is smaller, those of a run with the next seed."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the load is; for people, not for figures."""

    elapsed: float  # s since the load began
    total: float | None  # s that warm-up and load take; None when only a number of requests bounds them
    stage: str
    sent: int
    ok: int
    failed: int
    planned: int | None  # requests to be measured; None when only time bounds them
    requests_per_s: float
    ttft_p50: float | None  # s, over the last answers
    users: int
    in_flight: int


@dataclass(slots=True)
class Tally:
    """What has been recorded so far."""

    ok: int = 0
    failed: int = 0
    measured: int = 0
    ttft: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    finished: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def add(self, record: Record) -> None:
        self.finished.append(record.done)
        self.measured += record.stage == "measure"
        if record.outcome == "ok":
            self.ok += 1
        else:
            self.failed += 1
        if record.first_token_at is not None and record.sent is not None:
            self.ttft.append(record.first_token_at - record.sent)

    def requests_per_s(self, now: float) -> float:
        """Over the last answers, at most five seconds back."""
        recent = sum(1 for done in self.finished if done > now - 5.0)
        return recent / min(5.0, max(now, 1e-9))

    def ttft_p50(self) -> float | None:
        return statistics.median(self.ttft) if self.ttft else None


class Session:
    """Hands out requests in the plan's order and knows when the load is over."""

    def __init__(
        self,
        job: Job,
        caller: Caller,
        writer: RecordWriter,
        tell: Callable[[Record], None],
        *,
        worker: int = 0,
        workers: int = 1,
    ) -> None:
        self.scenario, self.caller = job.scenario, caller
        self._recorder, self._tell, self._turns = Recorder(caller, writer), tell, Turns()
        caller.mishaps.at_first = lambda: self.end("mistake")
        self.models = len(job.scenario.models)
        self.tally = Tally()
        self.over = Event()  # set when nothing new is to be begun
        self.sent = {"warmup": 0, "measure": 0}
        self.followed = {"warmup": 0, "measure": 0}  # of those, second turns, which no plan counts
        self.in_flight = 0
        self.users = 0  # that have begun and not ended
        self.worker, self.workers = worker, workers
        self.error: OSError | None = None
        self.stopped_by = "duration"
        self._plans = {
            stage: RequestPlan(job.scenario, job.seed + add, job.fits, nonce_seed=job.nonce_seed + add)
            for stage, add in STAGE_SEEDS.items()
        }
        self._next = {stage: [0] * self.models for stage in STAGE_SEEDS}
        self._transports: list[Transport] = []
        self.begin(time.monotonic())

    # -- stages ---------------------------------------------------------------------------------------

    def begin(self, moment: float) -> None:
        """The load begins at this moment: warm-up first, if there is one."""
        self.began = moment
        self.measure_from = self.began + self.scenario.load.warmup
        duration = self.scenario.load.duration
        self.measure_until = None if duration is None else self.measure_from + duration

    def stage(self) -> str:
        return "warmup" if time.monotonic() < self.measure_from else "measure"

    def time_is_up(self) -> bool:
        return self.measure_until is not None and time.monotonic() >= self.measure_until

    def finished(self) -> bool:
        """Whether nothing new is to be sent: time is up, every request has been taken, or somebody ended it."""
        if self.time_is_up():
            self.end("duration")
        elif all(self.turn(taken) >= self.quota(model) for model, taken in enumerate(self._next["measure"])):
            self.end("requests")
        return bool(self.over.is_set())

    def wait_for_turn(self, user: int) -> None:
        """Users begin evenly spread at the spawn rate; Locust would begin each second's share of them at once."""
        rate = self.scenario.load.spawn_rate
        self.over.wait(max(0.0, self.began + (user / rate if rate else 0.0) - time.monotonic()))

    def end(self, why: str) -> None:
        """Send nothing new from now on; what is in flight goes on. Only the first reason counts."""
        if not self.over.is_set():
            self.stopped_by, self.ended = why, time.monotonic()
            self.over.set()

    # -- requests -------------------------------------------------------------------------------------

    def take(self, model: int) -> tuple[Planned, str] | None:
        """The model's next request and its stage; None when this model has had its share or the load is over."""
        stage = self.stage()
        k = self.turn(self._next[stage][model])
        if self.over.is_set() or self.time_is_up() or (stage == "measure" and k >= self.quota(model)):
            return None
        self._next[stage][model] += 1
        return self._plans[stage].request(model, k), stage

    def turn(self, taken: int) -> int:
        """The workers take turns with a model's requests: the place of this one's next, after so many."""
        return taken * self.workers + self.worker

    def arrival(self, stage: str, index: int) -> Planned:
        """Arrival number `index` of an open loop: the models take turns."""
        return self._plans[stage].request(index % self.models, index // self.models)

    def quota(self, model: int) -> float:
        """How many measured requests the model gets: an equal part of `load.requests`, or as many as time allows."""
        total = self.scenario.load.requests
        if total is None:
            return float("inf")
        return total // self.models + (model < total % self.models)

    def call(self, planned: Planned, slot: Slot, transport: Transport) -> None:
        """Send one request. What it came to is found out when there is time."""
        self.sent[slot.stage] += 1
        self.in_flight += 1
        try:
            tries = self.caller.send(planned, slot, transport)
        finally:
            self.in_flight -= 1
        self._turns.add(lambda: self._record(planned, slot, tries))
        following = self.caller.follow_up(planned, tries)
        if following is not None and not self.caller.given_up.is_set():
            self.followed[slot.stage] += 1
            self.call(following, slot, transport)

    def _record(self, planned: Planned, slot: Slot, tries: list[Try]) -> None:
        """Write the record. A disk that refuses it ends the load: nothing may be lost silently."""
        try:
            record = self._recorder.record(planned, slot, tries)
            self.tally.add(record)
            self._tell(record)
        except OSError as error:
            self.refused(error)
        except UNFORESEEN as error:
            self.caller.mishaps.add("recording a request", error)

    @contextmanager
    def net(self) -> Iterator[None]:
        """What nobody foresaw ends the run, and the user that it happens to; Locust would go on with it for ever."""
        try:
            yield
        except StopUser:
            raise
        except UNFORESEEN as error:
            self.caller.mishaps.add("sending the load", error)
            raise StopUser from None

    def refused(self, error: OSError) -> None:
        """The disk did not take a line: the load ends, and what is in flight is still written where there is room."""
        self.error = self.error or error
        self.end("disk")

    # -- the end --------------------------------------------------------------------------------------

    def watch(self, transport: Transport) -> Transport:
        """Remember a transport, to abort what it has in flight when draining takes too long."""
        self._transports.append(transport)
        return transport

    def drain(self, limit: float, hurry: Event) -> None:
        """Wait until nothing is in flight, at most so many seconds or until told to hurry; censor the rest."""
        limit = limit if self.caller.mishaps.first is None else 0.0
        with gevent.Timeout(limit, False):
            while self.in_flight and not hurry.wait(0.01):
                pass
        self.caller.given_up.set()
        failure = Failure("censored", f"still unanswered when the run ended, {limit:g} s after the load")
        for transport in self._transports:
            transport.abort(failure)
        while self.in_flight:
            gevent.sleep(0.001)

    def close(self) -> None:
        """Understand what is left, and let go of the connections."""
        self._turns.finish()
        self._recorder.close()
        for transport in self._transports:
            transport.close()

    def progress(self) -> Progress:
        now = time.monotonic()
        until = self.measure_until
        return Progress(
            elapsed=now - self.began,
            total=None if until is None else until - self.began,
            stage="drain" if self.over.is_set() else self.stage(),
            sent=sum(self.sent.values()),
            ok=self.tally.ok,
            failed=self.tally.failed,
            planned=self.scenario.load.requests,
            requests_per_s=self.tally.requests_per_s(now - self.caller.clock.started),
            ttft_p50=self.tally.ttft_p50(),
            users=self.users,
            in_flight=self.in_flight,
        )
