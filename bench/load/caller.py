"""One planned request becomes one record: prepare, exchange, and, when there is time, understand."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import httpx
import orjson
from gevent.event import Event

from bench.load.recording import Meaning, RunClock, Slot, Try, to_record
from bench.plan import Planned
from bench.records import Record
from bench.wire.answer import Answer
from bench.wire.connection import Timeouts
from bench.wire.exchange import Exchange
from bench.wire.limits import retry_after
from bench.wire.outcome import judge
from bench.wire.paths import endpoint
from bench.wire.protocols import PROTOCOLS
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
        protocol = PROTOCOLS[planned.api]
        body = protocol.body(
            model=planned.model,
            stream=planned.stream,
            input=planned.input,
            parameters=planned.parameters,
            extra_body=planned.extra_body,
        )
        url = endpoint(self.url, self.style, protocol.family, protocol.path)
        return httpx.Request("POST", url, headers=self.headers, content=orjson.dumps(body))

    def scrub(self, text: str | None) -> str | None:
        """The text without our secrets, which a server's error may quote."""
        for secret in self.secrets if text else ():
            text = text.replace(secret, "***") if text else text
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Everything that is the same for every request of a run."""

    provider: Provider
    timeouts: Timeouts
    retries: Retries
    clock: RunClock
    seed: int
    given_up: Event  # set when what is still unanswered is censored: no further try then

    def send(self, planned: Planned, slot: Slot, transport: Transport) -> list[Try]:
        """Send one request, again where the scenario wants that. Returns all tries, first to last."""
        request = self.provider.request(planned)
        token_times = PROTOCOLS[planned.api].token_times if planned.stream else None
        tries: list[Try] = []
        while True:
            exchange = transport.exchange(request, timeouts=self.timeouts, token_times=token_times)
            if len(tries) + 1 >= self.retries.attempts or not self._is_retryable(exchange):
                break
            rng = random.Random(f"{self.seed}:{slot.stage}:{planned.seq}:{len(tries)}")
            wait = self.retries.wait(len(tries) + 1, retry_after(exchange.headers, time.time()), rng)
            if self.given_up.wait(wait):
                break
            tries.append(Try(exchange, wait))
        return [*tries, Try(exchange, 0.0)]

    def understand(self, planned: Planned, slot: Slot, tries: list[Try]) -> Record:
        """The record of a request that has been sent."""
        protocol = PROTOCOLS[planned.api]
        meanings = []
        for one in tries:
            answer = protocol.read(one.exchange.reads, stream=planned.stream)
            outcome, error = judge(one.exchange, answer)
            meanings.append(Meaning(answer, outcome, self.provider.scrub(error)))
        return to_record(planned, slot, tries, meanings, self.clock)

    def _is_retryable(self, exchange: Exchange) -> bool:
        """Judged without reading an answer: only failures and error statuses are retried."""
        if exchange.failure is None and (exchange.status or 0) < 400:
            return False
        return judge(exchange, Answer())[0] in RETRYABLE
