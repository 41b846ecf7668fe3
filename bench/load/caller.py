"""One planned request becomes one record: prepare, exchange, and, when there is time, understand."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import httpx
from gevent.event import Event

from bench.load.arms import transport_of
from bench.load.mishaps import UNFORESEEN, Mishaps, words_of
from bench.load.promises import Checked, check
from bench.load.record_builder import Meaning, RunClock, Slot, Try, bare_record, to_record
from bench.load.webhooks import Listener
from bench.plan import Planned
from bench.plan.expenses import Expenses
from bench.plan.requests import next_turn
from bench.plan.scenario import KeepBodies
from bench.records import Record
from bench.wire.answer import Answer
from bench.wire.ask import Ask
from bench.wire.bounds import Timeouts, TokenTimes
from bench.wire.exchange import Exchange, Read
from bench.wire.job import Call, Pace
from bench.wire.job_runner import JobResult, JobRunner, ending
from bench.wire.limits import retry_after
from bench.wire.outcome import judge
from bench.wire.protocols import PROTOCOLS, Api, Job, api_of, conversing_of, job_of, method_of
from bench.wire.provider import Provider
from bench.wire.transport import Transport

REFUSALS = frozenset({429, 503, 529})
"""Statuses by which a server asks for less."""

RETRYABLE = frozenset({"throttled", "overloaded", "server_error", "connect", "timeout"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often and how late to try again."""

    attempts: int = 1  # tries in all
    backoff: float = 0.5  # the first wait at most, s; doubles with every try
    max_backoff: float = 8.0  # s
    obey_retry_after: bool = True

    def wait(self, tried: int, asked: float | None, rng: random.Random) -> float:
        """Seconds to wait after so many tries: what the server asked, or full jitter
        (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015)."""
        if self.obey_retry_after and asked is not None:
            return asked
        return rng.uniform(0.0, min(self.max_backoff, self.backoff * 2.0 ** (tried - 1)))


def request_of(provider: Provider, planned: Planned) -> httpx.Request:
    """The planned request as it goes out, body and all."""
    api = api_of(planned.api)
    method = method_of(api)
    path = api.path.format(model=planned.model)
    return provider.call(Call("", path, method, api.body(asked(planned)) if method == "POST" else None), api.family)


def asked(planned: Planned, webhook: str | None = None) -> Ask:
    """The planned request as APIs take it."""
    return Ask(
        model=planned.model,
        stream=planned.stream,
        input=planned.input,
        parameters=planned.parameters,
        extra_body=planned.extra_body,
        webhook=webhook,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Everything that is the same for every request of a run.

    What nobody foresaw is caught here, wherever it happens: a request that was begun has an outcome and a reason.
    """

    provider: Provider
    timeouts: Timeouts
    retries: Retries
    clock: RunClock
    seed: int
    given_up: Event  # set when what is still unanswered is censored: no further try then
    mishaps: Mishaps
    listener: Listener | None = None  # of webhooks; None if no request asks for one
    terminator_optional: bool = False  # see wire.outcome
    keep_bodies: KeepBodies = "none"
    expenses: Expenses | None = None  # what the run has spent of its budget; None if it has none
    arms: Mapping[str, Caller] = field(default_factory=dict)  # who sends the requests of each arm, by its name

    def of(self, planned: Planned) -> Caller:
        """Who sends this request: another envelope for each arm of the scenario."""
        return self if planned.arm is None else self.arms[planned.arm]

    def send(self, planned: Planned, slot: Slot, transport: Transport) -> list[Try]:
        """Send one request, again where the scenario wants that. Returns all tries, first to last, at least one."""
        tries: list[Try] = []
        under_way: httpx.Request | None = None  # while the transport has it
        try:
            sender, line, job = self.of(planned), transport_of(transport, planned.arm), job_of(planned.api)
            prepared = sender._prepared(planned) if job is None else None
            while True:
                if prepared is not None:
                    under_way, token_times = prepared
                    exchange = line.exchange(under_way, timeouts=sender.timeouts, token_times=token_times)
                    tries.append(Try(exchange, request=under_way))
                    under_way = None
                elif job is not None:
                    tries.append(sender._conduct(job, planned, line))
                if (wait := sender._wait(planned, slot, tries)) is None or self.given_up.wait(wait):
                    return tries
                tries[-1] = replace(tries[-1], waited=wait)
        except UNFORESEEN as error:
            tries += self._failed(planned, under_way, tries, error)
        return tries

    def _failed(
        self, planned: Planned, under_way: httpx.Request | None, tries: list[Try], error: BaseException
    ) -> list[Try]:
        """What nobody foresaw while a request was sent, as its last try; none if an answer of it is there."""
        if under_way is not None:
            why = self.mishaps.add(f"asking {under_way.url.host}", error)
            return [Try(ending("protocol", why), request=under_way)]
        if tries:
            self.mishaps.add("looking whether to try again", error)
            return []
        return [Try(ending("protocol", self.blame(planned, "preparing a request", error)))]

    def _prepared(self, planned: Planned) -> tuple[httpx.Request, TokenTimes | None]:
        """A request of one exchange as it goes out, and what tells its tokens; None if its answer does not stream."""
        token_times = self._token_times(api_of(planned.api), planned) if planned.stream else None
        return request_of(self.provider, planned), token_times

    def _wait(self, planned: Planned, slot: Slot, tries: list[Try]) -> float | None:
        """How long to wait before the request is tried again, s; None if it is not to be."""
        if not slot.retries or len(tries) >= self.retries.attempts or not self._is_retryable(tries[-1].exchange):
            return None
        rng = random.Random(f"{self.seed}:{slot.stage}:{planned.seq}:{len(tries) - 1}")
        return self.retries.wait(len(tries), retry_after(tries[-1].exchange.headers, time.time()), rng)

    def _conduct(self, api: Job, planned: Planned, transport: Transport) -> Try:
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
                return ending("protocol", self.mishaps.add(f"asking {request.url.host}", error))

        rng = random.Random(f"{self.seed}:{planned.name}:{planned.seq}")
        runner = JobRunner(call, self.given_up.wait, listener.told if listener else None, pace, rng)
        try:
            job_result = runner.run(api.steps(asked(planned, listener.url if listener else None)))
        except UNFORESEEN as error:
            why = self.blame(planned, "conducting a job", error)
            job_result = runner.result(Answer(garbled=why)) or JobResult(ending("protocol", why), Answer())
        return Try(job_result.exchange, job_result=job_result, request=first[0] if first else None)

    def _token_times(self, api: Api, planned: Planned) -> TokenTimes:
        """The API's own, which is called back while bytes come in and must not raise there."""

        def token_times(reads: list[Read]) -> tuple[float | None, float | None]:
            try:
                return api.token_times(reads)
            except UNFORESEEN as error:
                self.blame(planned, "looking for tokens", error)
                return None, None

        return token_times

    def hold_back(self, exchange: Exchange, refused: int, rng: random.Random) -> float:
        """Seconds that a user waits after so many refusals in a row, the last of them this one."""
        return self.retries.wait(refused, retry_after(exchange.headers, time.time()), rng)

    def understand(self, planned: Planned, slot: Slot, tries: list[Try]) -> Record:
        """The record of a request that has been sent."""
        try:
            meanings = [self.of(planned)._meaning(planned, one) for one in tries]
            return to_record(planned, slot, tries, meanings, self.clock, self.provider.scrub)
        except UNFORESEEN as error:
            return bare_record(planned, slot, tries, self.clock, self.blame(planned, "making a record", error))

    def follow_up(self, planned: Planned, tries: list[Try]) -> Planned | None:
        """The next turn of a conversation; None if it is over, or the turn failed. What was read is kept."""
        if planned.conversation is None or tries[-1].exchange.failure is not None:
            return None
        if (api := conversing_of(planned.api)) is None:
            return None
        answer = self._read(planned, tries[-1].exchange)
        tries[-1] = replace(tries[-1], answer=answer)
        if self.of(planned)._judge(tries[-1].exchange, answer)[0] != "ok":
            return None
        said = api.reply(answer, planned.tool_results or {})
        return next_turn(planned, said, calls=bool(answer.tool_calls))

    def _meaning(self, planned: Planned, one: Try) -> Meaning:
        try:
            known = one.answer if one.job_result is None else one.job_result.answer
            answer = self._read(planned, one.exchange) if known is None else known
            outcome, error = self._judge(one.exchange, answer)
            checked = check(answer, planned.expected) if planned.expected is not None and outcome == "ok" else Checked()
        except UNFORESEEN as raised:
            return Meaning(Answer(), "protocol", self.blame(planned, "understanding an answer", raised), Checked())
        return Meaning(answer, outcome, error, checked)

    def _judge(self, exchange: Exchange, answer: Answer) -> tuple[str, str | None]:
        return judge(exchange, answer, terminator_optional=self.terminator_optional)

    def _read(self, planned: Planned, exchange: Exchange) -> Answer:
        """What an exchange says."""
        try:
            answer: Answer = api_of(planned.api).read(exchange.reads, stream=planned.stream)
        except UNFORESEEN as error:
            if planned.api not in PROTOCOLS:
                return Answer(garbled=f"nothing that {planned.api.rpartition('/')[2]} can read: {words_of(error)}")
            return Answer(garbled=self.blame(planned, "reading an answer", error))
        return answer

    def blame(self, planned: Planned, doing: str, error: BaseException) -> str:
        """What to say of an exception: an API of the user's own raised it, or we made a mistake, which ends the run."""
        if planned.api in PROTOCOLS:
            return self.mishaps.add(f"{doing} ({planned.name}, {planned.model}, seq {planned.seq})", error)
        return self.provider.scrub(f"{planned.api.rpartition('/')[2]} raised while {doing}: {words_of(error)}")

    def _is_retryable(self, exchange: Exchange) -> bool:
        """Judged without reading an answer: only failures and error statuses are retried."""
        if exchange.failure is None and (exchange.status or 0) < 400:
            return False
        return judge(exchange, Answer())[0] in RETRYABLE
