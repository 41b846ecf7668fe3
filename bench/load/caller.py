"""One planned request becomes one record: prepare, exchange, and, when there is time, understand."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import httpx
import orjson
from gevent.event import Event

from bench.load.checking import Checked, check
from bench.load.recording import Meaning, RunClock, Slot, Try, to_record
from bench.load.webhooks import Listener
from bench.plan import Planned
from bench.plan.requests import follow_up
from bench.records import Record
from bench.wire.answer import Answer
from bench.wire.ask import Ask
from bench.wire.conducting import Conductor
from bench.wire.connection import Timeouts
from bench.wire.exchange import Exchange
from bench.wire.job import Call, Pace
from bench.wire.limits import retry_after
from bench.wire.outcome import judge
from bench.wire.paths import HEADERS, endpoint
from bench.wire.protocols import PROTOCOLS, Api, Job, is_job, method_of, protocol
from bench.wire.transport import Transport

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Where requests go and what every one of them carries."""

    url: str
    style: str  # see wire.paths
    headers: dict[str, str]
    secrets: tuple[str, ...]  # never to appear in a record

    def request(self, planned: Planned) -> httpx.Request:
        """The planned request as it goes out, body and all."""
        api = protocol(planned.api)
        body = api.body(asked(planned))
        path, method = api.path.format(model=planned.model), method_of(api)
        return self.call(Call("", path, method, body if method == "POST" else None), api.family)

    def call(self, call: Call, family: str) -> httpx.Request:
        """One HTTP request of an API of this family."""
        url = endpoint(self.url, self.style, family, call.path).copy_merge_params(call.query or {})
        headers = HEADERS.get(family, {}) | self.headers
        if call.file is not None:
            name, content, fields = call.file
            plain = {key: value for key, value in headers.items() if key.lower() != "content-type"}
            upload = httpx.Request(call.method, url, headers=plain, data=dict(fields), files={"file": (name, content)})
            upload.read()
            return upload
        content = b"" if call.body is None else orjson.dumps(call.body)
        return httpx.Request(call.method, url, headers=headers, content=content)

    def scrub(self, text: str | None) -> str | None:
        """The text without our secrets, which a server's error may quote."""
        for secret in self.secrets if text else ():
            text = text.replace(secret, "***") if text else text
        return text


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
    """Everything that is the same for every request of a run."""

    provider: Provider
    timeouts: Timeouts
    retries: Retries
    clock: RunClock
    seed: int
    given_up: Event  # set when what is still unanswered is censored: no further try then
    listener: Listener | None = None  # of webhooks; None where no request asks for one
    terminator_optional: bool = False  # see wire.outcome

    def send(self, planned: Planned, slot: Slot, transport: Transport) -> list[Try]:
        """Send one request, again where the scenario wants that. Returns all tries, first to last."""
        api = protocol(planned.api)
        try_once = self._job(api, planned, transport) if is_job(api) else self._exchange(api, planned, transport)
        tries: list[Try] = []
        while True:
            one = try_once()
            if len(tries) + 1 >= self.retries.attempts or not self._is_retryable(one.exchange):
                break
            rng = random.Random(f"{self.seed}:{slot.stage}:{planned.seq}:{len(tries)}")
            wait = self.retries.wait(len(tries) + 1, retry_after(one.exchange.headers, time.time()), rng)
            if self.given_up.wait(wait):
                break
            tries.append(replace(one, waited=wait))
        return [*tries, one]

    def _exchange(self, api: Api, planned: Planned, transport: Transport) -> Callable[[], Try]:
        """What sends a request of one exchange."""
        request = self.provider.request(planned)
        token_times = api.token_times if planned.stream else None
        return lambda: Try(transport.exchange(request, timeouts=self.timeouts, token_times=token_times))

    def _job(self, api: Job, planned: Planned, transport: Transport) -> Callable[[], Try]:
        """What sends a request of several."""

        poll = planned.poll
        pace = Pace() if poll is None else Pace(poll.interval, poll.jitter, poll.timeout)

        def call(step: Call) -> Exchange:
            return transport.exchange(self.provider.call(step, api.family), timeouts=self.timeouts)

        listener = self.listener if planned.webhook else None

        def conduct() -> Try:
            rng = random.Random(f"{self.seed}:{planned.name}:{planned.seq}")
            conductor = Conductor(call, self.given_up.wait, listener.told if listener else None, pace, rng)
            conducted = conductor.conduct(api.steps(asked(planned, listener.url if listener else None)))
            return Try(conducted.exchange, conducted=conducted)

        return conduct

    def understand(self, planned: Planned, slot: Slot, tries: list[Try]) -> Record:
        """The record of a request that has been sent."""
        meanings = [self._meaning(planned, one) for one in tries]
        return to_record(planned, slot, tries, meanings, self.clock)

    def follow_up(self, planned: Planned, tries: list[Try]) -> Planned | None:
        """The next turn of a conversation: tools were called, and their results go back. None where there is none."""
        if planned.tool_results is None or tries[-1].exchange.failure is not None:
            return None
        api = protocol(planned.api)
        answer = self._read(planned, tries[-1].exchange)
        if self._judge(tries[-1].exchange, answer)[0] != "ok" or not answer.tool_calls:
            return None
        return follow_up(planned, api.reply(answer, planned.tool_results))

    def _meaning(self, planned: Planned, one: Try) -> Meaning:
        answer = one.conducted.answer if one.conducted is not None else self._read(planned, one.exchange)
        outcome, error = self._judge(one.exchange, answer)
        checked = check(answer, planned.expected) if planned.expected is not None and outcome == "ok" else Checked()
        return Meaning(answer, outcome, self.provider.scrub(error), checked)

    def _judge(self, exchange: Exchange, answer: Answer) -> tuple[str, str | None]:
        return judge(exchange, answer, terminator_optional=self.terminator_optional)

    def _read(self, planned: Planned, exchange: Exchange) -> Answer:
        """What an exchange says. Our own APIs never raise; a user's may, and that must not cost a record."""
        api = protocol(planned.api)
        if planned.api in PROTOCOLS:
            answer: Answer = api.read(exchange.reads, stream=planned.stream)
            return answer
        try:
            answer = api.read(exchange.reads, stream=planned.stream)
        except Exception as error:
            return Answer(garbled=f"nothing that {planned.api.rpartition('/')[2]} can read: {error!r}")
        return answer

    def _is_retryable(self, exchange: Exchange) -> bool:
        """Judged without reading an answer: only failures and error statuses are retried."""
        if exchange.failure is None and (exchange.status or 0) < 400:
            return False
        return judge(exchange, Answer())[0] in RETRYABLE
