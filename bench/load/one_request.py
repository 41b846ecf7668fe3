"""Sends one request of a scenario as a run would send it, and returns everything that went over the wire."""

from __future__ import annotations

import time
from collections.abc import Iterable, Set

import httpx

from bench.load.caller import Caller
from bench.load.connections import caller_for, scrub_for, transports
from bench.load.record_builder import Slot, Try
from bench.load.run import serving
from bench.load.runner import listening
from bench.plan import Draw, Planned, RequestPlan, Scenario
from bench.plan.addresses import shown
from bench.records.sent import Arrived, Sent
from bench.wire.clock import KernelClock
from bench.wire.exchange import Exchange, Read
from bench.wire.sse import Decoder

STREAM = "text/event-stream"
SHOWN = 2_000_000  # characters of a body that are shown
HIDDEN = "***"
SECRET = frozenset({"authorization", "proxy-authorization", "api-key", "x-api-key", "cookie", "set-cookie"})
"""Headers whose values are always hidden."""


def send_one(scenario: Scenario, *, index: int, model: int, draw: Draw) -> Sent:
    """Send the first request of a class to a model. `index` and `model` are their positions in the scenario.

    A failed request is returned like any other. Raises TargetError if an embedded target does not start, NoRoomError if
    the port for webhooks is taken.
    """
    with serving(scenario) as served:
        clock = KernelClock()
        caller = caller_for(scenario, served.urls, draw.seed, time.monotonic(), scrub_for(scenario))
        plan = RequestPlan(scenario, draw.seed, {}, nonce_seed=draw.nonce_seed)
        planned = plan.request_of_class(index, model, 0)
        transport = transports(scenario, clock)()
        slot = Slot(stage="measure", worker=0, user=0, due=None, retries=False)
        try:
            with listening(caller, scenario):
                tries = caller.send(planned, slot, transport)
            return sent_of(
                caller, planned, slot, tries, SECRET | {name.lower() for name in scenario.target.credentials}
            )
        finally:
            transport.close()
            clock.close()


def sent_of(caller: Caller, planned: Planned, slot: Slot, tries: list[Try], hidden: Set[str] = SECRET) -> Sent:
    """Everything to show of a request that was sent; `hidden` are the names of headers that hold a secret."""
    record, one = caller.understand(planned, slot, tries), tries[-1]
    exchange, scrub = one.exchange, caller.provider.scrub
    begun = exchange.sent
    body = b"".join(data for _, data in exchange.reads)
    is_stream = exchange.headers.get("content-type", "").partition(";")[0].strip().lower() == STREAM
    arrived, rest = events_of(exchange.reads, begun or 0.0) if is_stream else ([], body)
    request = one.request
    return Sent(
        method="" if request is None else request.method,
        url="" if request is None else scrub(shown(str(request.url))),
        headers=() if request is None else without_secrets(request.headers.multi_items(), caller, hidden),
        body="" if request is None else readable(request.content, request.headers, caller),
        connected=duration(exchange),
        http=exchange.http,
        status=exchange.status,
        headers_at=since(begun, exchange.headers_at),
        answer_headers=without_secrets(exchange.headers.multi_items(), caller, hidden),
        events=tuple(Arrived(at, scrub(data), scrub(name)) for at, data, name in arrived),
        answer=readable(rest, exchange.headers, caller) if rest else None,
        answer_bytes=len(body),
        done=since(begun, exchange.done),
        record=record,
    )


def events_of(reads: Iterable[Read], begun: float) -> tuple[list[tuple[float, str, str]], bytes]:
    """The events of a stream as (seconds from the sending, data, name), and the bytes of an incomplete last event."""
    decoder = Decoder()
    found = [
        (at - begun, event.data.decode(errors="replace"), event.name)
        for at, data in reads
        for event in decoder.feed(data)
    ]
    return found, decoder.rest


def without_secrets(
    headers: Iterable[tuple[str, str]], caller: Caller, hidden: Set[str]
) -> tuple[tuple[str, str], ...]:
    """Headers without secrets; `hidden` are the names of headers that hold one."""
    scrub = caller.provider.scrub
    return tuple((name, HIDDEN if name.lower() in hidden else scrub(value)) for name, value in headers)


def readable(body: bytes, headers: httpx.Headers, caller: Caller) -> str:
    """A body as text without secrets; for sound and pictures only size and type."""
    kind = headers.get("content-type", "")
    if kind.partition("/")[0] in ("audio", "image", "video") or kind.startswith("multipart/"):
        return f"{len(body):,} bytes of {kind.partition(';')[0]}"
    return caller.provider.scrub(body[: 4 * SHOWN].decode(errors="replace")[:SHOWN])


def since(begun: float | None, moment: float | None) -> float | None:
    return None if begun is None or moment is None else moment - begun


def duration(exchange: Exchange) -> float | None:
    """How long a fresh connection took, s."""
    return since(exchange.connect_started, exchange.connected)
