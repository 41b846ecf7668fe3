"""Runs a job from its first exchange to its answer: sends its calls, and waits for results by polls or webhooks.

The functions that send and wait are parameters, so this module does no I/O.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bench.wire.answer import UNREADABLE, Answer
from bench.wire.exchange import Exchange, Failure, FailureKind
from bench.wire.job import Awaited, Call, Finished, Pace, RefusedError, Reply, Steps, UnexpectedAnswerError
from bench.wire.paths import ElsewhereError

MIN_INTERVAL_S = 0.05  # between two polls: more polls than that would be an attack
MAX_FAILED_POLLS = 3  # the job fails after this number of failed polls in a row; a single poll may be rate-limited
WEBHOOK_CHECK_S = 1.0  # how often a wait for a webhook checks whether the run is over

_STATUS = re.compile(rb'"(?:status|state)"\s*:\s*"([^"\\]{1,60})"')


@dataclass(slots=True)
class JobResult:
    """The end of a job."""

    exchange: Exchange  # from the first byte of the first call to the last byte of the answer that says it is done
    answer: Answer
    polls: int = 0
    unfinished_at: float | None = None  # the last time when the job was known to run, absolute monotonic s
    steps: dict[str, float] = field(default_factory=dict)  # durations of all calls except polls, s


class GivenUpError(Exception):
    """The job ends without an answer; `exchange` is its last exchange and says why."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange


class JobRunner:
    """Runs one job."""

    def __init__(
        self,
        send: Callable[[Call], Exchange],
        pause: Callable[[float], bool],
        wait_for_webhook: Callable[[str, float], tuple[float, bytes] | None] | None,
        pace: Pace,
        rng: random.Random,
    ) -> None:
        """`pause` waits for a number of seconds and returns whether the run ended meanwhile. `wait_for_webhook` takes a
        result's key and the longest wait in seconds; it returns the webhook's arrival and body, or None if none came.
        Without `wait_for_webhook` results are polled for."""
        self._send, self._pause, self._pace, self._rng = send, pause, pace, rng
        self._wait_for_webhook = wait_for_webhook
        self._first: Exchange | None = None
        self._done: Exchange | None = None  # the one that says that the job is done
        self._polls = 0
        self._unfinished_at: float | None = None
        self._steps: dict[str, float] = {}

    def run(self, steps: Steps) -> JobResult:
        """Run the job to its end."""
        ended: Exchange | None = None
        try:
            answer = self._drive(steps)
        except GivenUpError as given_up:
            answer, ended = Answer(), given_up.exchange
        except RefusedError as error:
            answer = Answer(error=str(error))
        except (UnexpectedAnswerError, ElsewhereError) as error:
            answer = Answer(garbled=str(error))
        except UNREADABLE as error:
            answer = Answer(garbled=f"JSON with another shape than this API's: {error!r}")
        result = self.result(answer, ended)
        assert result is not None, "a job without a call"
        return result

    def result(self, answer: Answer, ended: Exchange | None = None) -> JobResult | None:
        """The job's result so far, with this answer; None if nothing has been sent."""
        if (last := ended or self._done or self._first) is None:
            return None
        return JobResult(self._joined(last), answer, self._polls, self._unfinished_at, self._steps)

    def _drive(self, steps: Steps) -> Answer:
        try:
            step = next(steps)
            while True:
                reply = self._await(step) if isinstance(step, Awaited) else self._call(step)
                step = steps.send(reply)
        except StopIteration as stop:
            answer: Answer = stop.value
            return answer

    def _call(self, call: Call) -> Exchange:
        """Send one call other than a poll. Raises GivenUpError if a needed call fails."""
        exchange = self._send(call)
        self._first = self._first or exchange
        if exchange.sent is not None and exchange.done is not None:
            self._steps[f"{call.step}_s"] = self._steps.get(f"{call.step}_s", 0.0) + exchange.done - exchange.sent
        if call.needed and failed(exchange):
            raise GivenUpError(exchange)
        return exchange

    def _await(self, awaited: Awaited) -> Reply:
        """Wait for a result, at most as long as `awaited.until` and the scenario allow. Raises GivenUpError."""
        assert self._first is not None
        begun = time.monotonic()
        self._unfinished_at = self._unfinished_at or self._first.sent
        timeout_at = begun + self._pace.timeout
        until = timeout_at if awaited.until is None else min(timeout_at, begun + awaited.until)
        if self._wait_for_webhook is not None:
            return self._await_webhook(awaited, until)
        return self._await_poll(awaited, until, cut_short=until < timeout_at)

    def _await_poll(self, awaited: Awaited, until: float, *, cut_short: bool) -> Finished:
        failures, unfinished = 0, b""
        while True:
            if self._pause(min(self._interval(), max(0.0, until - time.monotonic()))):
                raise GivenUpError(ending("censored", "the run ended before the job did"))
            if time.monotonic() >= until:
                if cut_short:
                    return Finished(b"", in_time=False)
                message = f"no result within poll.timeout of {self._pace.timeout:g} s{last_status(unfinished)}"
                raise GivenUpError(ending("timeout", message))
            exchange = self._send(awaited.poll)
            self._polls += 1
            failures = failures + 1 if failed(exchange) else 0
            if failures >= MAX_FAILED_POLLS or (exchange.failure is not None and exchange.failure.kind == "censored"):
                raise GivenUpError(exchange)
            body = b"".join(data for _, data in exchange.reads)
            if not failures and awaited.finished(body):
                self._done = exchange
                return Finished(body)
            if not failures:
                unfinished = body
                self._unfinished_at = exchange.sent  # the job may have ended while its answer was on the way

    def _await_webhook(self, awaited: Awaited, until: float) -> Finished:
        assert self._wait_for_webhook is not None
        while (left := until - time.monotonic()) > 0:
            if (webhook := self._wait_for_webhook(awaited.key, min(left, WEBHOOK_CHECK_S))) is not None:
                at, body = webhook
                self._unfinished_at = at
                if awaited.finished(body):
                    self._done = Exchange(done=at, status=200, complete=True, reads=[(at, body)])
                    return Finished(body)
            if self._pause(0.0):
                raise GivenUpError(ending("censored", "the run ended before the job did"))
        raise GivenUpError(ending("timeout", f"no webhook within poll.timeout of {self._pace.timeout:g} s"))

    def _interval(self) -> float:
        """The next wait, s: the scenario's interval with jitter, so that many jobs do not poll at the same time."""
        spread = self._pace.jitter * self._rng.uniform(-1.0, 1.0)
        return max(MIN_INTERVAL_S, self._pace.interval * (1.0 + spread))

    def _joined(self, last: Exchange) -> Exchange:
        """One exchange for the whole job: it begins like the first one and ends like the last one."""
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


def last_status(body: bytes) -> str:
    """The status in the answer to a poll, as the end of a sentence; empty if it states none."""
    found = _STATUS.search(body)
    return f"; the last status was {found[1].decode(errors='replace')}" if found else ""


def failed(exchange: Exchange) -> bool:
    """Whether an exchange has no successful answer."""
    return exchange.failure is not None or exchange.status is None or exchange.status >= 300


def ending(kind: FailureKind, message: str) -> Exchange:
    """An exchange that only states this failure, for a result that never came."""
    return Exchange(done=time.monotonic(), failure=Failure(kind, message))
