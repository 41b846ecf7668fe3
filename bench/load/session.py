"""The state of a load while it runs: which request is next, what is in flight, what has been seen so far."""

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
from bench.records import Record, RecordWriter
from bench.wire.deferred import WorkQueue
from bench.wire.exchange import Exchange, Failure
from bench.wire.transport import Transport

Asks = Generator[tuple[Planned, Slot] | None, list[Try] | None, None]
"""What a user sends, one request after the other, as long as there is one; it is told the tries of each."""

RECENT = 500  # first tokens that the live median looks back on


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the load is; for people, not for figures."""

    elapsed: float  # s since the load began
    total: float | None  # s that its stages take; None when only a number of requests bounds one of them
    stage: str
    sent: int
    ok: int
    failures: dict[str, int]  # by outcome
    planned: int | None  # requests of the stage; None when only time bounds it
    begun: int  # requests of the stage so far
    requests_per_s: float
    ttft_p50: float | None  # s, over the last answers
    users: int
    in_flight: int


@dataclass(slots=True)
class Tally:
    """What has been recorded so far."""

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
        """Over the last answers, at most five seconds back."""
        recent = sum(1 for done in self.finished if done > now - 5.0)
        return recent / min(5.0, max(now, 1e-9))

    def ttft_p50(self) -> float | None:
        return statistics.median(self.ttft) if self.ttft else None


def end_of(tries: list[Try]) -> float:
    """When a request ended, monotonic s."""
    done = tries[-1].exchange.done
    return time.monotonic() if done is None else done


def plan_of(job: Job, stage: Stage, salt: int) -> Plan:
    """What a stage asks: pairs if it is for arms."""
    seed, nonce_seed = job.seed + salt, job.nonce_seed + salt
    if stage.arms:
        return PairPlan(job.scenario.arms, stage.arms, seed, job.fits, nonce_seed=nonce_seed)
    return RequestPlan(job.scenario, seed, job.fits, nonce_seed=nonce_seed)


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
        self.over = Event()  # set when nothing new is to be begun
        self.in_flight = 0
        self.users = 0  # that have begun and not ended
        self.worker, self.workers = worker, workers
        self.error: OSError | None = None
        self.stopped_by = "duration"
        self.because: str | None = None
        self._first = None if job.keep_going else FirstRequests()
        self._begun = 0
        self.stages = [
            StageRun(
                stage,
                plan_of(job, stage, salt),
                self.models,
                seed=job.seed + salt,
                common=job.seed,
                worker=worker,
                workers=workers,
            )
            for stage, salt in zip(job.stages, job.salts, strict=True)
        ]
        self.returned: list[Record] = []  # of stages whose records the experiment wants
        self._place = 0  # of the stage that runs now
        self._turned = Event()  # set, and replaced, when another stage begins
        self._transports: list[Transport] = []
        caller.given_up.clear()  # the stages before have been drained
        self.begin(time.monotonic())

    # -- stages ---------------------------------------------------------------------------------------

    def begin(self, moment: float) -> None:
        """The load begins at this moment, with its first stage."""
        self.began = self.ended = moment
        self.stages[0].begin(moment)

    def stage(self) -> StageRun | None:
        """The stage that runs now; None if all are over. One begins the moment that the one before ends."""
        now = time.monotonic()
        while self._place < len(self.stages):
            running = self.stages[self._place]
            if not running.look(now):
                return running
            self._place += 1
            if self._place < len(self.stages):
                self.stages[self._place].begin(running.ended)
            turned, self._turned = self._turned, Event()
            turned.set()
        return None

    def finished(self) -> bool:
        """Whether nothing new is to be sent: the last stage is over, or somebody ended it."""
        if self.caller.expenses is not None and self.caller.expenses.is_over:
            self.end("budget")
        if not self.over.is_set() and self.stage() is None:
            self.end(self.stages[-1].ended_by, self.stages[-1].ended)
        return bool(self.over.is_set())

    def end(self, why: str, moment: float | None = None) -> None:
        """Send nothing new from now on; what is in flight goes on. Only the first reason counts."""
        if self.over.is_set():
            return
        self.stopped_by, self.ended = why, time.monotonic() if moment is None else moment
        if (running := self.stage()) is not None:
            running.end(self.ended, "stopped")
        self.over.set()
        self._turned.set()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until another stage begins or the load is over; for ever where that is infinite."""
        self._turned.wait(None if math.isinf(seconds) else max(0.0, seconds))

    # -- requests -------------------------------------------------------------------------------------

    def take(self, user: int, model: int) -> tuple[Planned, StageRun] | None:
        """The user's next request, once the user is to ask; None if the load is over."""
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

    def turn(self, taken: int) -> int:
        """The workers take turns with users: the number of this one's next, after so many."""
        return taken * self.workers + self.worker

    def call(self, first: Planned, running: StageRun, slot: Slot, transport: Transport) -> Exchange | None:
        """Send a request with the later turns of its conversation, and then each of its pair; the last exchange of all,
        None where the budget has no room for any. What they came to is found out when there is time."""
        tries: list[Try] = []
        asks = self._asks(first, running, slot)
        try:
            while (ask := asks.send(tries or None)) is not None:
                planned, slot = ask
                number = self._begin(running)
                try:
                    tries = self.caller.send(planned, slot, transport)
                finally:
                    self.in_flight -= 1
                self._queue.add(partial(self._record, number, planned, running, slot, tries))
        finally:
            running.finish(first)
        return tries[-1].exchange if tries else None

    def _asks(self, first: Planned, running: StageRun, slot: Slot) -> Asks:
        """What one user sends after the other: a request with the later turns of its conversation, then each of its
        pair with theirs, each once the tries of the one before are known. None at the end."""
        if not self._affords(first, *first.partners):
            yield None
            return
        tries: list[Try] = []
        for begun in (first, *first.partners):
            if begun is not first:
                if self.over.is_set():
                    break
                slot = self._follows(running, slot, end_of(tries))
            planned: Planned | None = begun
            while planned is not None:
                tries = (yield planned, slot) or []
                if (planned := self._next(planned, tries, running)) is not None:
                    slot = self._follows(running, slot, end_of(tries) + planned.think)
        yield None

    def _follows(self, running: StageRun, slot: Slot, due: float) -> Slot:
        """The slot of what follows in a conversation or a pair; it is due only where the first was."""
        running.followed += 1
        return replace(slot, due=None if slot.due is None else due, held_back=0.0)

    def _next(self, planned: Planned, tries: list[Try], running: StageRun) -> Planned | None:
        """The next turn, once the user has thought; None if there is none, or the stage is over before.

        What a tool returned goes back all the same, since it belongs to the turn that is under way.
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
        return following if self._affords(following) else None

    def _affords(self, *requests: Planned) -> bool:
        """Whether the budget has room for these requests; if it has none, the load ends."""
        expenses = self.caller.expenses
        if expenses is None or expenses.reserve(*requests):
            return True
        self.end("budget")
        return False

    def _is_over(self, running: StageRun) -> bool:
        """Whether nothing new of a stage is to be sent."""
        return bool(self.over.is_set()) or running.look(time.monotonic())

    def _begin(self, running: StageRun) -> int:
        """Count a request that is about to be sent; its number among all of this session."""
        number, self._begun = self._begun, self._begun + 1
        running.sent += 1
        self.in_flight += 1
        return number

    def _record(self, number: int, planned: Planned, running: StageRun, slot: Slot, tries: list[Try]) -> None:
        """Write the record. A disk that refuses it ends the load: nothing may be lost silently."""
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
        self._queue.finish()
        self._recorder.close()
        for transport in self._transports:
            transport.close()

    def progress(self) -> Progress:
        now = time.monotonic()
        running = self.stages[min(self._place, len(self.stages) - 1)]
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
