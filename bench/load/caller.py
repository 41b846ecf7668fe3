"""One planned request becomes one record: prepare, exchange, understand, write."""

from __future__ import annotations

import random
from dataclasses import dataclass

import httpx
import orjson
from gevent.event import Event

from bench.load.recording import RunClock, Slot, Try, to_record
from bench.plan import Planned
from bench.records import Record, RecordWriter
from bench.wire.connection import Timeouts
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
    writer: RecordWriter
    clock: RunClock
    seed: int
    over: Event  # set when nothing new may be sent, a further try included

    def call(self, planned: Planned, slot: Slot, transport: Transport) -> Record:
        """Send one request, again where the scenario wants that, and append its record."""
        request = self.provider.request(planned)
        tries: list[Try] = []
        while True:
            this = self._try(request, planned, transport)
            if this.outcome not in RETRYABLE or len(tries) + 1 >= self.retries.attempts:
                break
            rng = random.Random(f"{self.seed}:{slot.stage}:{planned.seq}:{len(tries)}")
            wait = self.retries.wait(len(tries) + 1, this.retry_after(), rng)
            if self.over.wait(wait):
                break
            tries.append(Try(this.exchange, this.answer, this.outcome, this.error, wait))
        record = to_record(planned, slot, [*tries, this], self.clock)
        self.writer.append(record)
        return record

    def _try(self, request: httpx.Request, planned: Planned, transport: Transport) -> Try:
        protocol = PROTOCOLS[planned.api]
        token_times = protocol.token_times if planned.stream else None
        exchange = transport.exchange(request, timeouts=self.timeouts, token_times=token_times)
        answer = protocol.read(exchange.reads, stream=planned.stream)
        outcome, error = judge(exchange, answer)
        return Try(exchange, answer, outcome, self.provider.scrub(error))
