"""Sends one request of a scenario as a run would send it, and returns everything that went over the wire."""

from __future__ import annotations

import time
from collections.abc import Callable, Set
from dataclasses import dataclass, replace

import gevent
import httpx

from bench.load.caller import Caller
from bench.load.connections import caller_for, scrub_for, transport_for
from bench.load.record_builder import Slot, Try
from bench.load.recorder import body_text
from bench.load.run import serving
from bench.load.runner import listening
from bench.plan import Draw, Planned, RequestPlan, Scenario
from bench.plan.addresses import shown
from bench.records.sent import Arrived, Exchanged, Sent, Watcher
from bench.wire.bounds import Timeouts, TokenTimes
from bench.wire.clock import KernelClock
from bench.wire.exchange import Exchange, Failure
from bench.wire.sse import Decoder
from bench.wire.transport import Watchable

STREAM = "text/event-stream"
SHOWN = 2_000_000  # characters of a body that are shown
LOOK_S = 0.02  # how often a watcher is told what came of a stream
HIDDEN = "***"
SECRET = frozenset({"authorization", "proxy-authorization", "api-key", "x-api-key", "cookie", "set-cookie"})
"""Headers whose values are always hidden."""


def send_one(scenario: Scenario, *, index: int, model: int, draw: Draw, watcher: Watcher | None = None) -> Sent:
    """Send the first request of a class to a model. `index` and `model` are their positions in the scenario.

    A failed request is returned like any other. Raises TargetError if an embedded target does not start, NoRoomError if
    the port for webhooks is taken.
    """
    with serving(scenario) as served:
        clock = KernelClock()
        caller = caller_for(scenario, served.urls, draw.seed, time.monotonic(), scrub_for(scenario))
        plan = RequestPlan(scenario, draw.seed, {}, nonce_seed=draw.nonce_seed)
        planned = plan.request_of_class(index, model, 0)
        transport = transport_for(scenario, clock, planned.arm)
        slot = Slot(stage="measure", worker=0, user=0, due=None, retries=False)
        redaction = Redaction(caller.provider.scrub, SECRET | {name.lower() for name in scenario.target.credentials})
        watched = WatchedTransport(transport, redaction, watcher)
        try:
            with listening(caller, scenario):
                tries = caller.send(planned, slot, watched)
            return watched.sent(caller, planned, slot, tries)
        finally:
            transport.close()
            clock.close()


@dataclass(frozen=True, slots=True)
class Redaction:
    """Takes the secrets out of what is shown."""

    scrub: Callable[[str], str]
    hidden: Set[str] = SECRET  # names of headers that hold a secret

    def headers(self, headers: httpx.Headers) -> tuple[tuple[str, str], ...]:
        """Headers without secrets."""
        return tuple(
            (name, HIDDEN if name.lower() in self.hidden else self.scrub(value))
            for name, value in headers.multi_items()
        )

    def body(self, body: bytes, headers: httpx.Headers) -> str:
        """A body as text without secrets; for sound and pictures, and forms with them, only size and type."""
        return self.scrub(body_text(body, headers, SHOWN))


class WatchedTransport:
    """A transport that keeps what goes through another one, and tells a watcher of it meanwhile."""

    def __init__(self, transport: Watchable, redaction: Redaction, watcher: Watcher | None) -> None:
        self._transport, self._redaction, self._watcher = transport, redaction, watcher
        self._exchanges: list[tuple[httpx.Request, Exchange, int]] = []  # the last one may be sent again

    def exchange(
        self, request: httpx.Request, *, timeouts: Timeouts, token_times: TokenTimes | None = None
    ) -> Exchange:
        """Send one request; the same once more is a poll."""
        times = 1 + self._sent_before(request)
        if times == 1:
            self._tell_end()
            if self._watcher is not None:
                self._watcher.request(self._shown(request, Exchange()))
        exchange = self._watched(request, timeouts, token_times)
        if times > 1:
            self._exchanges.pop()
        self._exchanges.append((request, exchange, times))
        return exchange

    def abort(self, failure: Failure) -> None:
        """End every exchange with this failure."""
        self._transport.abort(failure)

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def sent(self, caller: Caller, planned: Planned, slot: Slot, tries: list[Try]) -> Sent:
        """Everything that went through, after the last of it."""
        self._tell_end()
        record, last = caller.understand(planned, slot, tries), tries[-1].exchange
        every = tuple(self._shown(*one) for one in self._exchanges)
        ours = any(last.reads is exchange.reads for _, exchange, _ in self._exchanges)
        webhook = None
        if planned.webhook and last.reads and not ours:
            at, body = last.reads[0]
            webhook = Arrived(at - (last.sent or at), self._redaction.body(body, httpx.Headers()))
        return Sent(every, webhook, record)

    def _sent_before(self, request: httpx.Request) -> int:
        """How many times in a row the same request was sent until now."""
        if not self._exchanges:
            return 0
        last, _, times = self._exchanges[-1]
        same = (last.method, last.url, last.content) == (request.method, request.url, request.content)
        return times if same else 0

    def _watched(self, request: httpx.Request, timeouts: Timeouts, token_times: TokenTimes | None) -> Exchange:
        """Send the request; the watcher is told of a stream while it comes."""
        if self._watcher is None:
            return self._transport.exchange(request, timeouts=timeouts, token_times=token_times)
        stream = WatchedStream(self._watcher, lambda exchange: self._shown(request, exchange), self._redaction.scrub)
        self._transport.watch = stream.begin
        looking = gevent.spawn(stream.follow)
        try:
            return self._transport.exchange(request, timeouts=timeouts, token_times=token_times)
        finally:
            looking.kill()
            stream.look()

    def _tell_end(self) -> None:
        if self._exchanges and self._watcher is not None:
            self._watcher.end(self._shown(*self._exchanges[-1]))

    def _shown(self, request: httpx.Request, exchange: Exchange, times: int = 1) -> Exchanged:
        first = self._exchanges[0][1].sent if self._exchanges else exchange.sent
        return shown_of(request, exchange, self._redaction, times=times, first=first)


class WatchedStream:
    """What a watcher has been told of a stream that is under way."""

    def __init__(self, watcher: Watcher, shown: Callable[[Exchange], Exchanged], scrub: Callable[[str], str]) -> None:
        self._watcher, self._shown, self._scrub = watcher, shown, scrub
        self._exchange, self._decoder, self._read = Exchange(), Decoder(), 0
        self._headed = False

    def begin(self, exchange: Exchange) -> None:
        """Look at this exchange, which the transport fills."""
        self._exchange = exchange

    def follow(self) -> None:
        """Look again and again."""
        while True:
            self.look()
            gevent.sleep(LOOK_S)

    def look(self) -> None:
        """Tell what is new."""
        exchange = self._exchange
        if not is_stream(exchange):
            return
        if not self._headed:
            self._headed = True
            self._watcher.head(self._shown(replace(exchange, reads=[])))
        for at, data in exchange.reads[self._read :]:
            self._read += 1
            for event in self._decoder.feed(data):
                name, text = self._scrub(event.name), self._scrub(event.data.decode(errors="replace"))
                self._watcher.event(Arrived(at - (exchange.sent or at), text, name))


def shown_of(
    request: httpx.Request, exchange: Exchange, redaction: Redaction, *, times: int = 1, first: float | None = None
) -> Exchanged:
    """What is known of an exchange up to now, without secrets; `first` is when the first request was sent."""
    begun, body = exchange.sent, b"".join(data for _, data in exchange.reads)
    events, rest = events_of(exchange, redaction.scrub) if is_stream(exchange) else ([], body)
    return Exchanged(
        method=request.method,
        url=redaction.scrub(shown(str(request.url))),
        headers=redaction.headers(request.headers),
        body=redaction.body(request.content, request.headers),
        times=times,
        at=since(first, begun),
        connected=since(exchange.connect_started, exchange.connected),
        http=exchange.http,
        status=exchange.status,
        headers_at=since(begun, exchange.headers_at),
        answer_headers=redaction.headers(exchange.headers),
        events=tuple(events),
        answer=redaction.body(rest, exchange.headers) if rest else None,
        answer_bytes=len(body),
        done=since(begun, exchange.done),
    )


def is_stream(exchange: Exchange) -> bool:
    kind: str = exchange.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower() == STREAM


def events_of(exchange: Exchange, scrub: Callable[[str], str]) -> tuple[list[Arrived], bytes]:
    """The events of a stream, and the bytes of an incomplete last one."""
    decoder, begun = Decoder(), exchange.sent or 0.0
    found = [
        Arrived(at - begun, scrub(event.data.decode(errors="replace")), scrub(event.name))
        for at, data in exchange.reads
        for event in decoder.feed(data)
    ]
    return found, decoder.rest


def since(begun: float | None, moment: float | None) -> float | None:
    return None if begun is None or moment is None else moment - begun
