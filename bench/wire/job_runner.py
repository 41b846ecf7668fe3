"""A job from its first exchange to its answer: calls are sent, results are polled for or told of by a webhook.

Sending and waiting are functions that the driver is given: nothing here does I/O.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bench.wire.answer import UNREADABLE, Answer
from bench.wire.exchange import Exchange, Failure, FailureKind
from bench.wire.job import Awaited, Call, Finished, Pace, Reply, Steps, UnexpectedAnswerError

LEAST_INTERVAL_S = 0.05  # between two polls: less is an attack
PATIENCE = 3  # polls in a row that may fail before the job does: a poll may be rate-limited, and the job goes on
LOOK_S = 1.0  # how often a wait for a webhook looks whether the run is over


@dataclass(slots=True)
class Conducted:
    """What a job came to."""

    exchange: Exchange  # from the first byte of its first call to the last byte of what said that it is done
    answer: Answer
    polls: int = 0
    unfinished_at: float | None = None  # absolute monotonic s
    steps: dict[str, float] = field(default_factory=dict)  # durations of the other calls, s


class GivenUpError(Exception):
    """A job that ends without an answer: how its last exchange went says why."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange


class Conductor:
    """Drives one job."""

    def __init__(
        self,
        send: Callable[[Call], Exchange],
        pause: Callable[[float], bool],
        told: Callable[[str, float], tuple[float, bytes] | None] | None,
        pace: Pace,
        rng: random.Random,
    ) -> None:
        """`pause` waits so many seconds and says whether the run was given up meanwhile; `told` waits for a webhook
        of this key at most so long and gives its arrival and body; None: results are polled for."""
        self._send, self._pause, self._told, self._pace, self._rng = send, pause, told, pace, rng
        self._first: Exchange | None = None
        self._done: Exchange | None = None  # what said that the job is done
        self._polls = 0
        self._unfinished_at: float | None = None
        self._steps: dict[str, float] = {}

    def conduct(self, steps: Steps) -> Conducted:
        """Drive the job to its end."""
        ended: Exchange | None = None
        try:
            answer = self._drive(steps)
        except GivenUpError as given_up:
            answer, ended = Answer(), given_up.exchange
        except UnexpectedAnswerError as error:
            answer = Answer(garbled=str(error))
        except UNREADABLE as error:
            answer = Answer(garbled=f"JSON of no shape that this API has: {error!r}")
        conducted = self.conducted(answer, ended)
        assert conducted is not None, "a job without a call"
        return conducted

    def conducted(self, answer: Answer, ended: Exchange | None = None) -> Conducted | None:
        """What the job has come to so far, with this answer; None if nothing has been sent."""
        if (last := ended or self._done or self._first) is None:
            return None
        return Conducted(self._joined(last), answer, self._polls, self._unfinished_at, self._steps)

    def _drive(self, steps: Steps) -> Answer:
        try:
            asked = next(steps)
            while True:
                reply = self._await(asked) if isinstance(asked, Awaited) else self._call(asked)
                asked = steps.send(reply)
        except StopIteration as stop:
            answer: Answer = stop.value
            return answer

    def _call(self, call: Call) -> Exchange:
        """Send one call that is no poll. Raises GivenUpError if the job cannot go on without it."""
        exchange = self._send(call)
        self._first = self._first or exchange
        if exchange.sent is not None and exchange.done is not None:
            self._steps[f"{call.step}_s"] = self._steps.get(f"{call.step}_s", 0.0) + exchange.done - exchange.sent
        if call.needed and failed(exchange):
            raise GivenUpError(exchange)
        return exchange

    def _await(self, awaited: Awaited) -> Reply:
        """Wait for a result, at most as long as the scenario says."""
        assert self._first is not None
        begun = time.monotonic()
        self._unfinished_at = self._unfinished_at or self._first.sent
        patient_until = begun + self._pace.timeout
        until = patient_until if awaited.until is None else min(patient_until, begun + awaited.until)
        if self._told is not None:
            return self._await_webhook(awaited, until)
        return self._await_poll(awaited, until, cut_short=until < patient_until)

    def _await_poll(self, awaited: Awaited, until: float, *, cut_short: bool) -> Finished:
        failures = 0
        while True:
            if self._pause(min(self._interval(), max(0.0, until - time.monotonic()))):
                raise GivenUpError(ending("censored", "the run ended before the job did"))
            if time.monotonic() >= until:
                if cut_short:
                    return Finished(b"", in_time=False)
                message = f"no result within poll.timeout of {self._pace.timeout:g} s"
                raise GivenUpError(ending("timeout", message))
            exchange = self._send(awaited.poll)
            self._polls += 1
            failures = failures + 1 if failed(exchange) else 0
            if failures >= PATIENCE or (exchange.failure is not None and exchange.failure.kind == "censored"):
                raise GivenUpError(exchange)
            body = b"".join(data for _, data in exchange.reads)
            if not failures and awaited.finished(body):
                self._done = exchange
                return Finished(body)
            if not failures:
                self._unfinished_at = exchange.sent  # by the time its answer came, the job may have ended

    def _await_webhook(self, awaited: Awaited, until: float) -> Finished:
        assert self._told is not None
        while (left := until - time.monotonic()) > 0:
            if (told := self._told(awaited.key, min(left, LOOK_S))) is not None:
                at, body = told
                self._unfinished_at = at
                if awaited.finished(body):
                    self._done = Exchange(done=at, status=200, complete=True, reads=[(at, body)])
                    return Finished(body)
            if self._pause(0.0):
                raise GivenUpError(ending("censored", "the run ended before the job did"))
        raise GivenUpError(ending("timeout", f"no webhook within poll.timeout of {self._pace.timeout:g} s"))

    def _interval(self) -> float:
        """The next wait: the scenario's interval, jittered so that many jobs do not ask at once."""
        spread = self._pace.jitter * self._rng.uniform(-1.0, 1.0)
        return max(LEAST_INTERVAL_S, self._pace.interval * (1.0 + spread))

    def _joined(self, last: Exchange) -> Exchange:
        """One exchange of all: it begins as the first and ends as the last."""
        first = self._first or last
        return replace(
            last,
            connect_started=first.connect_started,
            connected=first.connected,
            reopened=first.reopened,
            sent=first.sent,
            headers_at=first.headers_at,
            clock=first.clock,
            http=first.http,
            headers=last.headers or first.headers,
        )


def failed(exchange: Exchange) -> bool:
    """Whether an exchange brought no answer."""
    return exchange.failure is not None or exchange.status is None or exchange.status >= 300


def ending(kind: FailureKind, message: str) -> Exchange:
    """What stands for an exchange that never came."""
    return Exchange(done=time.monotonic(), failure=Failure(kind, message))
