"""One planned request becomes one record: prepare and send it, and read its answer later, when there is time."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import httpx
from gevent.event import Event

from bench.load.arms import transport_of
from bench.load.checks import Checks, check, miscounted
from bench.load.mishaps import UNFORESEEN, Mishaps, words_of
from bench.load.record_builder import Meaning, RunClock, Slot, Try, bare_record, to_record
from bench.load.webhooks import Listener
from bench.plan import Planned
from bench.plan.expenses import Expenses
from bench.plan.requests import next_turn
from bench.plan.scenario import KeepBodies
from bench.records import Record, is_disguised, unrecordable
from bench.wire.answer import Answer
from bench.wire.ask import Ask
from bench.wire.bounds import Timeouts, TokenTimes, TokenTimesError
from bench.wire.exchange import Exchange, Read
from bench.wire.fields import number
from bench.wire.job import Call, Pace
from bench.wire.job_runner import JobResult, JobRunner, ending
from bench.wire.limits import retry_after
from bench.wire.outcome import judge
from bench.wire.own_api import METHODS, api_name
from bench.wire.protocols import PROTOCOLS, Api, Job, api_of, conversing_of, job_of, method_of
from bench.wire.provider import Provider
from bench.wire.transport import Transport

REFUSALS = frozenset({429, 503, 529})
"""Statuses that ask for fewer requests."""

RETRYABLE = frozenset({"throttled", "overloaded", "server_error", "connect", "timeout"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often to try again, and how long to wait before."""

    attempts: int = 1  # tries in total
    backoff: float = 0.5  # the longest first wait, s; doubles with every try
    max_backoff: float = 8.0  # s
    obey_retry_after: bool = True

    def wait(self, tries: int, retry_after: float | None, rng: random.Random) -> float:
        """Seconds to wait after this number of tries: `retry_after` of the server, or else full jitter
        (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). A server that asks for no wait at all
        is believed once: who is refused again backs off."""
        if self.obey_retry_after and retry_after is not None and (retry_after > 0.0 or tries <= 1):
            return retry_after
        return rng.uniform(0.0, min(self.max_backoff, self.backoff * 2.0 ** (tries - 1)))


def request_of(provider: Provider, planned: Planned) -> httpx.Request:
    """The HTTP request of a planned request, with its body."""
    api = api_of(planned.api)
    path = api.path.format(model=planned.model)
    return provider.call(Call("", path, method_of(api), body_of(api, planned)), api.family)


def body_of(api: Api, planned: Planned) -> dict[str, object] | None:
    """The JSON of a request; None if its method sends no body. Raises TypeError if a user's own API gives none."""
    if not METHODS[method_of(api)]:
        return None
    body = api.body(ask_of(planned))
    if body is None:
        raise TypeError("its body is NoneType; a dict is expected")
    return body


def ask_of(planned: Planned, webhook: str | None = None) -> Ask:
    """The planned request in the form that APIs take. `webhook` is the URL for a job's result."""
    return Ask(
        model=planned.model,
        stream=planned.stream,
        input=planned.input,
        parameters=planned.parameters,
        extra_body=planned.extra_body,
        webhook=webhook,
    )


def answer_in(value: object) -> Answer:
    """What an API returned, if it is an answer. Raises TypeError, because a user's own API may return anything."""
    if not isinstance(value, Answer):
        raise TypeError(f"{type(value).__name__} in place of an Answer")
    return value


def two_times(value: object) -> tuple[float | None, float | None] | None:
    """What an API returned as the times of its tokens, None for none at all. Raises TypeError for anything else."""
    if value is None:
        return None
    if (
        isinstance(value, tuple | list)
        and len(value) == 2
        and all(at is None or number(at) is not None for at in value)
    ):
        return value[0], value[1]
    raise TypeError(f"{value!r} in place of the times of the first and the last token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Sends requests. Its fields are the same for every request of a run.

    Unexpected exceptions are caught here, so every request that was started has an outcome and a reason.
    """

    provider: Provider
    timeouts: Timeouts
    retries: Retries
    clock: RunClock
    seed: int
    given_up: Event  # set when unanswered requests are censored: then no request is tried again
    mishaps: Mishaps
    listener: Listener | None = None  # receives webhooks; None if no request asks for one
    terminator_optional: bool = False  # see wire.outcome
    keep_bodies: KeepBodies = "none"
    expenses: Expenses | None = None  # what the run has spent of its budget; None if it has no budget
    arms: Mapping[str, Caller] = field(default_factory=dict)  # the caller of each arm, by the arm's name

    def of(self, planned: Planned) -> Caller:
        """The caller for this request: each arm of the scenario has its own."""
        return self if planned.arm is None else self.arms[planned.arm]

    def send(self, planned: Planned, slot: Slot, transport: Transport) -> list[Try]:
        """Send one request, and try again if the scenario allows it. Returns all tries in order, at least one."""
        tries: list[Try] = []
        in_flight: httpx.Request | None = None  # while the transport has it
        try:
            sender, job = self.of(planned), job_of(planned.api)
            arm_transport = transport_of(transport, planned.arm)
            prepared = sender._prepare(planned) if job is None else None
            while True:
                if prepared is not None:
                    in_flight, token_times = prepared
                    exchange = arm_transport.exchange(in_flight, timeouts=sender.timeouts, token_times=token_times)
                    tries.append(Try(exchange, request=in_flight))
                    in_flight = None
                elif job is not None:
                    tries.append(sender._run_job(job, planned, arm_transport))
                if (wait := sender._wait(planned, slot, tries)) is None or self.given_up.wait(wait):
                    return tries
                tries[-1] = replace(tries[-1], waited=wait)
        except UNFORESEEN as error:
            tries += self._failed(planned, in_flight, tries, error)
        return tries

    def _failed(
        self, planned: Planned, in_flight: httpx.Request | None, tries: list[Try], error: BaseException
    ) -> list[Try]:
        """The last try after an unexpected exception; empty if the request already has an answer."""
        if in_flight is not None:
            return [Try(self._broken(in_flight, error), request=in_flight)]
        if tries:
            self.mishaps.add("deciding whether to try again", error)
            return []
        return [Try(ending("protocol", self.blame(planned, "preparing a request", error)))]

    def _broken(self, request: httpx.Request, error: BaseException) -> Exchange:
        """The exchange of a request for which the transport raised an unexpected exception."""
        return ending("protocol", self.mishaps.add(f"sending to {request.url.host}", error))

    def _prepare(self, planned: Planned) -> tuple[httpx.Request, TokenTimes | None]:
        """The HTTP request of one exchange, and the function that finds its tokens (None without a stream)."""
        token_times = self._token_times(api_of(planned.api), planned) if planned.stream else None
        return request_of(self.provider, planned), token_times

    def _wait(self, planned: Planned, slot: Slot, tries: list[Try]) -> float | None:
        """How long to wait before the request is tried again, s; None if it is not tried again."""
        if not slot.retries or len(tries) >= self.retries.attempts or not self._is_retryable(tries[-1].exchange):
            return None
        rng = random.Random(f"{self.seed}:{slot.stage}:{planned.seq}:{len(tries) - 1}")
        return self.retries.wait(len(tries), retry_after(tries[-1].exchange.headers, time.time()), rng)

    def _run_job(self, api: Job, planned: Planned, transport: Transport) -> Try:
        """Send a request of several exchanges."""
        poll = planned.poll
        pace = Pace() if poll is None else Pace(poll.interval, poll.jitter, poll.timeout)
        listener = self.listener if planned.webhook else None
        first: list[httpx.Request] = []

        def call(step: Call) -> Exchange:
            request = self.provider.call(step, api.family)
            first.append(request) if not first else None
            try:
                return transport.exchange(request, timeouts=self.timeouts)
            except UNFORESEEN as error:
                return self._broken(request, error)

        rng = random.Random(f"{self.seed}:{planned.name}:{planned.seq}")
        runner = JobRunner(call, self.given_up.wait, listener.wait_for if listener else None, pace, rng)
        try:
            job_result = runner.run(api.steps(ask_of(planned, listener.url if listener else None)))
        except UNFORESEEN as error:
            why = self.blame(planned, "running a job", error)
            job_result = runner.result(Answer(garbled=why)) or JobResult(ending("protocol", why), Answer())
        return Try(job_result.exchange, job_result=job_result, request=first[0] if first else None)

    def _token_times(self, api: Api, planned: Planned) -> TokenTimes:
        """The API's own function. It is called while bytes arrive, so it raises nothing there but TokenTimesError."""

        def token_times(reads: list[Read]) -> tuple[float | None, float | None] | None:
            try:
                return two_times(api.token_times(reads))
            except UNFORESEEN as error:
                raise TokenTimesError(self.blame(planned, "finding tokens", error)) from error

        return token_times

    def is_refused(self, planned: Planned, exchange: Exchange) -> bool:
        """Whether the server asks for fewer requests: by the status, by a failure with Retry-After, or by words alone.
        This is asked after every request, so an answer is read here only if it may begin with an error."""
        status = exchange.status or 0
        failed = status >= 400
        if status in REFUSALS or (failed and retry_after(exchange.headers, time.time()) is not None):
            return True
        if exchange.failure is not None or job_of(planned.api) is not None:
            return False
        if not failed and not any(b"error" in data for _, data in exchange.reads[:2]):
            return False
        return is_disguised(*self._judge(exchange, self._read(planned, exchange)))

    def hold_back(self, exchange: Exchange, refusals: int, rng: random.Random) -> float:
        """Seconds that a user waits after this number of refusals in a row; `exchange` is the last of them."""
        return self.retries.wait(refusals, retry_after(exchange.headers, time.time()), rng)

    def understand(self, planned: Planned, slot: Slot, tries: list[Try]) -> Record:
        """The record of a request, from all its tries."""
        try:
            meanings = [self.of(planned)._meaning(planned, attempt) for attempt in tries]
            record = to_record(planned, slot, tries, meanings, self.clock, self.provider.scrub)
            if planned.api in PROTOCOLS or (wrong := unrecordable(record)) is None:
                return record
            meanings[-1] = self._without_answer(planned, meanings[-1], wrong)
            return to_record(planned, slot, tries, meanings, self.clock, self.provider.scrub)
        except UNFORESEEN as error:
            return bare_record(planned, slot, tries, self.clock, self.blame(planned, "making a record", error))

    def _without_answer(self, planned: Planned, meaning: Meaning, wrong: str) -> Meaning:
        """The meaning without an answer that cannot be recorded; a failure keeps its own reason."""
        if meaning.outcome != "ok":
            return replace(meaning, answer=Answer())
        why = f"{api_name(planned.api)} gave an answer that cannot be recorded: {wrong}"
        return Meaning(Answer(), "protocol", self.provider.scrub(why), Checks())

    def follow_up(self, planned: Planned, tries: list[Try]) -> Planned | None:
        """The next turn of a conversation; None if it is over or the turn failed. Keeps the answer in `tries`; it is
        garbled if a user's own API cannot tell what the next turn repeats."""
        if planned.conversation is None or tries[-1].exchange.failure is not None:
            return None
        if (api := conversing_of(planned.api)) is None:
            return None
        answer = self._read(planned, tries[-1].exchange)
        tries[-1] = replace(tries[-1], answer=answer)
        if self.of(planned)._judge(tries[-1].exchange, answer)[0] != "ok":
            return None
        try:
            messages = [dict(message) for message in api.reply(answer, planned.tool_results or {})]
        except UNFORESEEN as error:
            tries[-1] = replace(tries[-1], answer=replace(answer, garbled=self._unrepeatable(planned, error)))
            return None
        return next_turn(planned, messages, calls=bool(answer.tool_calls))

    def _unrepeatable(self, planned: Planned, error: BaseException) -> str:
        """What is wrong with an answer that the next turn cannot repeat."""
        if planned.api in PROTOCOLS:
            return self.blame(planned, "repeating an answer", error)
        return f"one that {api_name(planned.api)} cannot repeat: {words_of(error)}"

    def _meaning(self, planned: Planned, attempt: Try) -> Meaning:
        try:
            answer = attempt.answer if attempt.job_result is None else answer_in(attempt.job_result.answer)
            if answer is None:
                answer = self._read(planned, attempt.exchange)
            outcome, error = self._judge(attempt.exchange, answer)
            if outcome == "ok" and (error := miscounted(answer, planned)) is not None:
                outcome = "protocol"
            wanted = planned.expected if outcome == "ok" else None
            checks = Checks() if wanted is None else check(answer, wanted)
        except UNFORESEEN as raised:
            return Meaning(Answer(), "protocol", self.blame(planned, "reading an answer", raised), Checks())
        return Meaning(answer, outcome, error, checks)

    def _judge(self, exchange: Exchange, answer: Answer) -> tuple[str, str | None]:
        return judge(exchange, answer, terminator_optional=self.terminator_optional)

    def _read(self, planned: Planned, exchange: Exchange) -> Answer:
        """The answer of an exchange; garbled if the API raises."""
        try:
            return answer_in(api_of(planned.api).read(exchange.reads, stream=planned.stream))
        except UNFORESEEN as error:
            if planned.api not in PROTOCOLS:
                return Answer(garbled=f"unreadable for {api_name(planned.api)}: {words_of(error)}")
            return Answer(garbled=self.blame(planned, "reading an answer", error))

    def blame(self, planned: Planned, doing: str, error: BaseException) -> str:
        """The message for an exception. A user's own API raised it, or else it is a mistake in bench and ends the
        run."""
        if planned.api in PROTOCOLS:
            return self.mishaps.add(f"{doing} ({planned.name}, {planned.model}, seq {planned.seq})", error)
        return self.provider.scrub(f"{api_name(planned.api)} raised while {doing}: {words_of(error)}")

    def _is_retryable(self, exchange: Exchange) -> bool:
        """Whether to retry. Only failures and error statuses are retried, so the answer need not be read."""
        if exchange.failure is None and (exchange.status or 0) < 400:
            return False
        return judge(exchange, Answer())[0] in RETRYABLE
