"""The state of a load while it runs: which request is next, what is in flight, and the counts so far."""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import gevent
from gevent.event import Event
from locust.exception import StopUser

from bench.load.caller import Caller
from bench.load.first_requests import FirstRequests
from bench.load.job import Job
from bench.load.mishaps import UNFORESEEN
from bench.load.record_builder import Slot, Try
from bench.load.recorder import Recorder
from bench.load.stage import Plan, StageRun
from bench.plan import Planned, RequestPlan, Stage
from bench.plan.pairs import PairPlan
from bench.records import Record, RecordWriter, StoppedBy
from bench.wire.deferred import WorkQueue
from bench.wire.exchange import Exchange, Failure
from bench.wire.transport import Transport

Sequence = Generator[tuple[Planned, Slot] | None, list[Try] | None, None]
"""The requests that a user sends one after the other; it is sent the tries of each, and yields None at the end."""

RECENT = 500  # number of last answers in the live median and rate


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the load is, for the display only; the report uses the records."""

    elapsed: float  # s since the load began
    total: float | None  # duration of all stages, s; None if only a number of requests limits one of them
    stage: str
    sent: int
    ok: int
    failures: dict[str, int]  # by outcome
    planned: int | None  # requests of the stage; None if only time limits it
    begun: int  # requests of the stage so far
    requests_per_s: float  # that ended, failed ones too
    ttft_p50: float | None  # s, over the last answers; None before the first
    users: int
    in_flight: int


@dataclass(slots=True)
class Tally:
    """Counts of the records so far."""

    ok: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    ttft: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    finished: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def add(self, record: Record) -> None:
        self.finished.append(record.done)
        if record.outcome == "ok":
            self.ok += 1
        else:
            self.failures[record.outcome] += 1
        if record.first_token_at is not None and record.sent is not None:
            self.ttft.append(record.first_token_at - record.sent)

    def requests_per_s(self, now: float) -> float:
        """Rate at which requests ended, failed ones too, over at most the last five seconds."""
        recent = sum(1 for done in self.finished if done > now - 5.0)
        return recent / min(5.0, max(now, 1e-9))

    def ttft_p50(self) -> float | None:
        return statistics.median(self.ttft) if self.ttft else None


def end_of(tries: list[Try]) -> float:
    """When a request ended, monotonic s."""
    done = tries[-1].exchange.done
    return time.monotonic() if done is None else done


def plan_of(job: Job, stage: Stage, salt: int) -> Plan:
    """The plan of a stage's requests; it plans pairs if the stage has arms."""
    seed, nonce_seed = job.seed + salt, job.nonce_seed + salt
    if stage.arms:
        return PairPlan(job.scenario.arms, stage.arms, seed, job.fits, nonce_seed=nonce_seed)
    return RequestPlan(job.scenario, seed, job.fits, nonce_seed=nonce_seed)


def stage_runs(job: Job, worker: int, workers: int) -> list[StageRun]:
    """This worker's part of each stage."""
    models = len(job.scenario.models)
    return [
        StageRun(
            stage,
            plan_of(job, stage, salt),
            models,
            seed=job.seed + salt,
            common=job.seed,
            worker=worker,
            workers=workers,
        )
        for stage, salt in zip(job.stages, job.salts, strict=True)
    ]


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
        self._recorder, self._tell, self._queue = Recorder(caller, writer), tell, WorkQueue()
        caller.mishaps.at_first = lambda: self.end("mistake")
        self.models = len(job.scenario.models)
        self.tally = Tally()
        self.over = Event()  # set when no more requests start
        self.in_flight = 0
        self.users = 0  # users that are active now
        self.worker, self.workers = worker, workers
        self.error: OSError | None = None
        self.stopped_by: StoppedBy = "duration"
        self.because: str | None = None
        self._first = None if job.keep_going else FirstRequests()
        self._begun = 0
        self.stages = stage_runs(job, worker, workers)
        self.returned: list[Record] = []  # records of the stages that return them to the experiment
        self._current = 0  # index of the stage that runs now
        self._tell_spent: Callable[[int], None] | None = None
        self._told_spent = -1  # index of the last stage that it was called with
        self._stage_changed = Event()  # set, and replaced, when another stage begins
        self._transports: list[Transport] = []
        caller.given_up.clear()  # earlier stages have been drained
        self.begin(time.monotonic())

    # -- stages ---------------------------------------------------------------------------------------

    def begin(self, moment: float) -> None:
        """Begin the load, with its first stage, at this time (monotonic s)."""
        self.began = self.ended = moment
        self.stages[0].begin(moment)

    def stage(self) -> StageRun | None:
        """The stage that runs now; None if all are over. Each stage begins when the one before ends."""
        now = time.monotonic()
        while self._current < len(self.stages):
            running = self.stages[self._current]
            if not running.is_over(now):
                self._note_spent(running)
                return running
            self._current += 1
            if self._current < len(self.stages):
                self.stages[self._current].begin(running.ended)
            changed, self._stage_changed = self._stage_changed, Event()
            changed.set()
        return None

    def share_ends(self, tell_spent: Callable[[int], None]) -> None:
        """Let all processes end a stage together: `tell_spent` is called with a stage's index once this process has
        sent its share of the requests, and `agree` must follow when all have."""
        self._tell_spent = tell_spent
        for running in self.stages:
            running.alone = False

    def _note_spent(self, running: StageRun) -> None:
        if self._tell_spent is not None and self._told_spent < self._current and running.is_spent:
            self._told_spent = self._current  # first, since telling lets others run
            self._tell_spent(self._current)

    def agree(self, index: int, moment: float) -> None:
        """All processes have sent their share of a stage, which ends at this moment (monotonic s)."""
        self.stages[index].agreed = moment
        gevent.spawn_later(max(0.0, moment - time.monotonic()), self.stage)

    def finished(self) -> bool:
        """Whether no more requests start: the last stage is over, or something ended the load."""
        if self.caller.expenses is not None and self.caller.expenses.is_over:
            self.end("budget")
        if not self.over.is_set() and self.stage() is None:
            last = self.stages[-1]
            self.end("requests" if last.ended_by == "requests" else "duration", last.ended)
        return bool(self.over.is_set())

    def end(self, why: StoppedBy, moment: float | None = None) -> None:
        """Start no more requests from now on; requests in flight go on. Only the first reason counts."""
        if self.over.is_set():
            return
        self.stopped_by, self.ended = why, time.monotonic() if moment is None else moment
        if (running := self.stage()) is not None:
            running.end(self.ended, "stopped")
        self.over.set()
        self._stage_changed.set()

    def wait(self, seconds: float) -> None:
        """Wait for this time, which may be infinite, but only until another stage begins or the load is over."""
        self._stage_changed.wait(None if math.isinf(seconds) else max(0.0, seconds))

    # -- requests -------------------------------------------------------------------------------------

    def take(self, user: int, model: int) -> tuple[Planned, StageRun] | None:
        """Wait until the user may send, and return its next request and the stage; None if the load is over."""
        waiting = False
        while not self.over.is_set() and (running := self.stage()) is not None:
            now = time.monotonic()
            wait = running.wait_for(user, now)
            planned = running.take(model) if wait <= 0.0 else None
            if planned is not None:
                self.users += waiting
                return planned, running
            if not waiting:
                waiting, self.users = True, self.users - 1
            self.wait(min(math.inf if wait <= 0.0 else wait, running.until - now))
        self.users += waiting
        return None

    def user_number(self, index: int) -> int:
        """The number, over all workers, of this worker's user with this index. The workers take turns."""
        return index * self.workers + self.worker

    def call(
        self, first: Planned, running: StageRun, slot: Slot, transport: Transport
    ) -> tuple[Planned, Exchange] | None:
        """Send a request with the later turns of its conversation, and then the others of its pair.

        Returns the last of them and its exchange, or None if the budget has no room for the request. The answers are
        read and recorded later, when there is time.
        """
        planned, tries = first, list[Try]()
        sequence = self._sequence(first, running, slot)
        try:
            while (item := sequence.send(tries or None)) is not None:
                planned, slot = item
                number = self._begin(running)
                try:
                    tries = self.caller.send(planned, slot, transport)
                finally:
                    self.in_flight -= 1
                self._queue.add(partial(self._record, number, planned, running, slot, tries))
        finally:
            running.finish(first)
        return (planned, tries[-1].exchange) if tries else None

    def _sequence(self, first: Planned, running: StageRun, slot: Slot) -> Sequence:
        """The requests that follow from one: the later turns of its conversation, then the others of its pair with
        their turns. Each is yielded after the tries of the one before were sent in. Yields None at the end."""
        if not self._reserve(first, *first.partners):
            yield None
            return
        tries: list[Try] = []
        for partner in (first, *first.partners):
            if partner is not first:
                if self.over.is_set():
                    break
                slot = self._next_slot(running, slot, end_of(tries))
            planned: Planned | None = partner
            while planned is not None:
                tries = (yield planned, slot) or []
                if (planned := self._next_turn(planned, tries, running)) is not None:
                    slot = self._next_slot(running, slot, end_of(tries) + planned.think)
        yield None

    def _next_slot(self, running: StageRun, slot: Slot, due: float) -> Slot:
        """The slot of the next request of a conversation or a pair. It has a due time only if the first request has."""
        running.followed += 1
        return replace(slot, due=None if slot.due is None else due, held_back=0.0)

    def _next_turn(self, planned: Planned, tries: list[Try], running: StageRun) -> Planned | None:
        """The next turn, after the user's think time; None if there is none or the stage ends before.

        The results of tools are sent even after the stage's end, because they belong to the current turn.
        """
        following = self.caller.follow_up(planned, tries)
        if following is None or self.caller.given_up.is_set():
            return None
        if following.results_of is None:
            until = end_of(tries) + following.think
            while not self._is_over(running) and (left := until - time.monotonic()) > 0.0:
                self.wait(min(left, running.until - time.monotonic()))
            if self._is_over(running):
                return None
        return following if self._reserve(following) else None

    def _reserve(self, *requests: Planned) -> bool:
        """Reserve the budget for these requests. Without room for them it ends the load and returns False."""
        expenses = self.caller.expenses
        if expenses is None or expenses.reserve(*requests):
            return True
        self.end("budget")
        return False

    def _is_over(self, running: StageRun) -> bool:
        """Whether no more requests of a stage start."""
        return bool(self.over.is_set()) or running.is_over(time.monotonic())

    def _begin(self, running: StageRun) -> int:
        """Count a request that is about to be sent. Returns its number among all requests of this session, from 0."""
        number, self._begun = self._begun, self._begun + 1
        running.sent += 1
        self.in_flight += 1
        return number

    def _record(self, number: int, planned: Planned, running: StageRun, slot: Slot, tries: list[Try]) -> None:
        """Write the record. If the disk refuses it, the load ends: no record may be lost silently."""
        try:
            record = self._recorder.record(planned, slot, tries)
            self.tally.add(record)
            self._tell(record)
            if running.stage.returns:
                self.returned.append(record)
            if self._first is not None and (because := self._first.hopeless(number, record)) is not None:
                self.because = because
                self.end("refused")
        except OSError as error:
            self.on_disk_error(error)
        except UNFORESEEN as error:
            self.caller.mishaps.add("recording a request", error)

    @contextmanager
    def catch_mishaps(self) -> Iterator[None]:
        """End the run and the user at an unexpected exception; Locust would call the user again for ever."""
        try:
            yield
        except StopUser:
            raise
        except UNFORESEEN as error:
            self.caller.mishaps.add("sending the load", error)
            raise StopUser from None

    def on_disk_error(self, error: OSError) -> None:
        """End the load because the disk refused a line. Requests in flight are still written if there is room."""
        self.error = self.error or error
        self.end("disk")

    # -- the end --------------------------------------------------------------------------------------

    def keep(self, transport: Transport) -> Transport:
        """Keep a transport, to abort its requests in flight if draining takes too long, and to close it."""
        self._transports.append(transport)
        return transport

    def drain(self, limit: float, hurry: Event) -> None:
        """Wait until nothing is in flight, at most `limit` seconds and until `hurry` is set. Then censor the rest."""
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
        """Record what is left, and close the connections."""
        self._queue.finish()
        self._recorder.close()
        for transport in self._transports:
            transport.close()

    def progress(self) -> Progress:
        now = time.monotonic()
        running = self.stages[min(self._current, len(self.stages) - 1)]
        lengths = [stage.stage.duration for stage in self.stages]
        known = [length for length in lengths if length is not None]
        return Progress(
            elapsed=now - self.began,
            total=sum(known) if len(known) == len(lengths) else None,
            stage="drain" if self.over.is_set() else running.stage.name,
            sent=sum(stage.sent for stage in self.stages),
            ok=self.tally.ok,
            failures=dict(self.tally.failures),
            planned=running.stage.requests,
            begun=running.sent - running.followed,
            requests_per_s=self.tally.requests_per_s(now - self.caller.clock.started),
            ttft_p50=self.tally.ttft_p50(),
            users=self.users,
            in_flight=self.in_flight,
        )
