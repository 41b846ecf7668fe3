"""Servers that break HTTP in every way that we could think of, and what an exchange with each of them must come to.

`CASES` is the table; `python -m tests.broken_servers` asks all of them with both transports and prints what came back
as JSON, one line a case. It is a process of its own because Locust makes the sockets of a run gevent's, and so does it.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field

import gevent
import gevent.pool
import httpx

from bench.wire.answer import Answer
from bench.wire.bounds import Bounds, Timeouts
from bench.wire.clock import KernelClock
from bench.wire.exchange import Failure
from bench.wire.outcome import judge
from bench.wire.protocols import PROTOCOLS
from bench.wire.transport import HttpxTransport, KernelTransport, Transport
from tests.scripted_server import Script, ScriptedServer, read_request, saying, until_closed

NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
STRAY = LENGTH % (5, b"stray")

TIMEOUTS = Timeouts(connect=10.0, first_token=10.0, gap=10.0, total=20.0)  # where none should run out, on any machine
NO_CONNECTION_FOR_LONG = Timeouts(connect=0.3)
NO_TOKEN_FOR_LONG = Timeouts(connect=10.0, first_token=0.3, gap=0.3, total=20.0)
NO_FURTHER_TOKEN_FOR_LONG = Timeouts(connect=10.0, first_token=10.0, gap=0.3, total=20.0)
BOUNDS = Bounds(head=4_000, answer=100_000)
CLOSED = "the server closed the connection before its answer was complete"
HEAD_EXCEEDED, ANSWER_EXCEEDED = "more than bounds.head of 4,000 bytes", "more than bounds.answer of 100,000 bytes"
NO_TOKEN, NO_FURTHER_TOKEN = "no token within timeouts.first_token of 0.3 s", "no further token within timeouts.gap"


@dataclass(frozen=True)
class Told:
    """How an exchange ended."""

    outcome: str
    words: str = ""  # in the error; empty where there is none
    reused: bool = False  # whether the next request took the same connection
    body: bytes | None = None  # what is kept of the answer; None: not looked at
    reopened: bool = False


@dataclass(frozen=True)
class Case:
    """One broken server."""

    name: str
    script: Script  # of the first connection; every other one answers NEXT to whatever it is asked
    told: Told
    httpx: Told | None = None  # where httpx's transport, which cannot do all of it, is told something else
    stream: bool = False
    before: int = 0  # requests to send first, on the same connection
    size: int = 2  # bytes of the request's body
    timeouts: Timeouts = TIMEOUTS
    tls: bool = False
    trusted: bool = True
    url: str | None = None  # instead of the scripted server's
    abort: bool = False  # soon after it has begun
    alone: bool = False  # it is about milliseconds
    kernel_only: bool = False
    bounds: Bounds = BOUNDS

    @property
    def is_followed(self) -> bool:
        """Whether another request can follow on the same transport."""
        return not self.abort and self.url is None and self.trusted


@dataclass(frozen=True)
class Came:
    """What came of a case, of one transport."""

    name: str
    transport: str
    outcome: str
    error: str
    reused: bool
    reopened: bool
    body: str
    seconds: float
    next_body: str
    moments: list[float] = field(default_factory=list)


# -- what servers say and do -----------------------------------------------------------------------


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(content: str, finish: str = "null") -> bytes:
    return b'data: {"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":%s}]}\n\n' % (
        content.encode(), finish.encode(),
    )  # fmt: skip


FIRST, LAST, DONE = event("a"), event("b", '"stop"'), b"data: [DONE]\n\n"
STREAM = chunk(FIRST) + chunk(LAST) + chunk(DONE) + b"0\r\n\r\n"


def going_on(connection: socket.socket) -> None:
    """Answer whatever comes."""
    while read_request(connection):
        connection.sendall(NEXT)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


def close_notify(connection: socket.socket) -> None:
    """End TLS and keep TCP, as asyncio's servers do."""
    assert isinstance(connection, ssl.SSLSocket)
    connection.unwrap()  # waits for the client's own


def hold(answer: bytes) -> Script:
    """Say so much, and keep the connection open without a further word."""
    return saying(answer, then=until_closed)


def keep(answer: bytes) -> Script:
    """Say this, and then serve on."""
    return saying(answer, then=going_on)


def endless(beginning: bytes, *pieces: bytes) -> Script:
    """Say something for ever."""

    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(beginning)
        while True:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0)  # the others' turn

    return script


def slowly(pieces: Iterable[bytes], pause: float = 0.002, then: Script = going_on) -> Script:
    pieces = list(pieces)

    def script(connection: socket.socket) -> None:
        read_request(connection)
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        then(connection)

    return script


def drip(beginning: bytes, piece: bytes) -> Script:
    """A piece every 20 ms, for ever."""

    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(beginning)
        while True:
            time.sleep(0.02)
            connection.sendall(piece)

    return script


def sleep(connection: socket.socket) -> None:
    """Take nothing, say nothing, for longer than anybody waits."""
    time.sleep(600.0)


def unread(answer: bytes = b"", then: Script = sleep) -> Script:
    """Take the head of a request, and no more of it."""

    def script(connection: socket.socket) -> None:
        connection.recv(1000)
        if answer:
            connection.sendall(answer)
        then(connection)

    return script


def silent(connection: socket.socket) -> None:
    """Take everything, say nothing."""
    while connection.recv(65536):
        pass


def later(answer: bytes, pause: float, then: Script = lambda connection: None) -> Script:
    """Answer one request; then, so much later, do something unasked."""

    def script(connection: socket.socket) -> None:
        saying(answer)(connection)
        time.sleep(pause)
        then(connection)

    return script


def say(data: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(data)
        going_on(connection)

    return script


def second(then: Script) -> Script:
    """Answer the first request, and do something else with the second."""

    def script(connection: socket.socket) -> None:
        saying(NEXT)(connection)
        read_request(connection)
        then(connection)

    return script


def work_and(then: Script, pause: float = 0.1) -> Script:
    def script(connection: socket.socket) -> None:
        time.sleep(pause)
        then(connection)

    return script


def nothing(connection: socket.socket) -> None:
    pass


# -- the table -------------------------------------------------------------------------------------


def whole() -> Iterator[Case]:
    """Odd, but right: these hold."""
    answers = {
        "content-length": LENGTH % (2, b"{}"),
        "chunked": CHUNKED + chunk(b"{}") + b"0\r\n\r\n",
        "a chunk extension": CHUNKED + b"2;name=value\r\n{}\r\n0\r\n\r\n",
        "trailers": CHUNKED + chunk(b"{}") + b"0\r\nX-Checksum: 1\r\n\r\n",
        "upper-case hexadecimal sizes": CHUNKED + b"0002\r\n{}\r\n0\r\n\r\n",
        "100 before it": b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH % (2, b"{}"),
        "102 and 103 before it": b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        + LENGTH % (2, b"{}"),
        "no reason phrase": b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n{}",
        "a header twice": b"HTTP/1.1 200 OK\r\nVary: a\r\nVary: b\r\nContent-Length: 2\r\n\r\n{}",
        "an empty header": b"HTTP/1.1 200 OK\r\nX-Empty:\r\nContent-Length: 2\r\n\r\n{}",
        "header names in capitals": b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 2\r\n\r\n{}",
    }
    for name, answer in answers.items():
        yield Case(name, keep(answer), Told("ok", reused=True, body=b"{}"))
    yield Case(
        "byte by byte", slowly([bytes([one]) for one in LENGTH % (2, b"{}")], 0.0), Told("ok", reused=True, body=b"{}")
    )
    yield Case("head and body apart", slowly([LENGTH % (2, b""), b"{}"]), Told("ok", reused=True, body=b"{}"))
    yield Case("no body", keep(LENGTH % (0, b"")), Told("ok", reused=True, body=b""))
    yield Case("204 without a length", keep(b"HTTP/1.1 204 No Content\r\n\r\n"), Told("ok", reused=True, body=b""))
    yield Case(
        "connection: close",
        saying(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"),
        Told("ok", body=b"{}"),
    )
    yield Case("until the connection's end", saying(UNTIL_CLOSE + b"{}"), Told("ok", body=b"{}"))
    yield Case("HTTP/1.0", saying(b"HTTP/1.0 200 OK\r\n\r\n{}"), Told("ok", body=b"{}"))
    yield Case(
        "HTTP/1.0 with a length", saying(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"), Told("ok", body=b"{}")
    )
    yield Case(
        "60 kB in one chunk",
        keep(CHUNKED + chunk(b"x" * 60_000) + b"0\r\n\r\n"),
        Told("ok", reused=True, body=b"x" * 60_000),
    )
    yield Case("a stream", keep(CHUNKED + STREAM), Told("ok", reused=True), stream=True)
    yield Case(
        "a stream piece by piece",
        slowly([CHUNKED, chunk(FIRST), chunk(LAST), chunk(DONE), b"0\r\n\r\n"]),
        Told("ok", reused=True),
        stream=True,
    )
    yield Case(
        "a stream until the connection's end", saying(UNTIL_CLOSE + FIRST + LAST + DONE), Told("ok"), stream=True
    )


def statuses() -> Iterator[Case]:
    """Statuses that are none, and heads that are none."""
    none = "the answer's status is 000; one of 100 to 599 is expected"
    yield Case(
        "status 000",
        hold(b"HTTP/1.1 000 None\r\nContent-Length: 2\r\n\r\n{}"),
        Told("protocol", none),
        httpx=Told("protocol", "status"),
    )
    for status in (b"99", b"1000", b"-1", b"20", b"abc", b"2OO", b"200.0", b""):
        yield Case(
            f"status {status.decode() or 'left out'}",
            hold(b"HTTP/1.1 %s Odd\r\nContent-Length: 2\r\n\r\n{}" % status),
            Told("protocol", "not HTTP/1.1"),
            httpx=Told("protocol", "illegal status line"),
        )
    switched = "switches protocols (HTTP status 101), which was not asked for"
    yield Case(
        "101 without an upgrade",
        hold(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        Told("protocol", switched),
        httpx=Told("protocol", "SWITCH_UPGRADE"),
    )
    yield Case(
        "101 with an upgrade",
        hold(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello"),
        Told("protocol", switched),
        httpx=Told("protocol", "SWITCH_UPGRADE"),
    )
    yield Case(
        "101 and an answer",
        hold(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + LENGTH % (2, b"{}")),
        Told("protocol", switched),
        httpx=Told("protocol", "SWITCH_UPGRADE"),
    )
    for name, said in {
        "HTTP/2's version": b"HTTP/2 200 OK\r\n\r\n",
        "no space after the version": b"HTTP/1.1200 OK\r\n\r\n",
        "ICY": b"XCY 200 OK\r\nA: b\r\n\r\n",
        "SMTP": b"220 smtp.example ESMTP\r\n\r\n",
        "SSH": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "JSON without a head": b'{"choices": []}\r\n\r\n',
        "a page without a head": b"<html></html>\r\n\r\n",
        "a TLS alert": b"\x15\x03\x03\x00\x02\x02\x28\r\n\r\n",
        "zeros": bytes(64) + b"\r\n\r\n",
        "HTTP/2 frames": b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\r\n\r\n",
    }.items():
        yield Case(name, hold(said), Told("protocol", "not HTTP/1.1"), httpx=Told("protocol"))


def framing() -> Iterator[Case]:
    """Heads and chunks that contradict themselves: what is wrong, and what was kept."""
    ok = b"HTTP/1.1 200 OK\r\n"
    for name, said in {
        "two lengths": ok + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "a negative length": ok + b"Content-Length: -2\r\n\r\n{}",
        "a length in words": ok + b"Content-Length: two\r\n\r\n{}",
        "a length of 40 digits": ok + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n{}",
        "a header without a colon": ok + b"Broken\r\n\r\n",
        "a space in a header's name": ok + b"Bro ken: 1\r\n\r\n",
        "NUL in a header": ok + b"X: a\0b\r\n\r\n",
        "no chunk size": CHUNKED + b"\r\n{}\r\n0\r\n\r\n",
        "a chunk size in words": CHUNKED + b"two\r\n{}\r\n0\r\n\r\n",
        "a negative chunk size": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
        "a chunk size of 32 digits": CHUNKED + b"f" * 32 + b"\r\n{}\r\n",
        "a chunk longer than its size": CHUNKED + b"1\r\n{}\r\n0\r\n\r\n",
    }.items():
        yield Case(name, hold(said), Told("protocol", "not HTTP/1.1"), httpx=Told("protocol"))
    kept = CHUNKED + chunk(FIRST) + b"zz\r\n"
    yield Case(
        "a broken chunk after a good one",
        hold(kept),
        Told("protocol", "not HTTP/1.1", body=FIRST),
        httpx=Told("protocol", body=FIRST),
        stream=True,
    )
    both = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    lenient = Told("ok", reused=True)
    yield Case("a length and chunks", keep(both), Told("protocol", "not HTTP/1.1"), httpx=lenient)
    later_version = b"HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n"
    yield Case("HTTP/3.7", keep(later_version), Told("protocol", "not HTTP/1.1"), httpx=lenient)


def cuts() -> Iterator[Case]:
    """An answer that ends too early: at every place, by an end and by a reset, on a plain and on a TLS connection."""
    stream = {
        "before a byte": (b"", b""),
        "in the status line": (CHUNKED[:6], b""),
        "in the head": (CHUNKED[:40], b""),
        "after the head": (CHUNKED, b""),
        "in a chunk's size": (CHUNKED + b"4", b""),
        "in a chunk": (CHUNKED + chunk(FIRST)[:20], FIRST[:16]),
        "before a chunk's end": (CHUNKED + chunk(FIRST)[:-2], FIRST),
        "between chunks": (CHUNKED + chunk(FIRST), FIRST),
        "before the last chunk": (CHUNKED + STREAM[:-5], FIRST + LAST + DONE),
        "in the last chunk": (CHUNKED + STREAM[:-2], FIRST + LAST + DONE),
    }
    for place, (said, body) in stream.items():
        other = "before a byte" if place == "before a byte" else place
        yield Case(
            f"cut {other}", saying(said), Told("protocol", CLOSED, body=body), httpx=Told("protocol"), stream=True
        )
        yield Case(
            f"reset {other}",
            saying(said, then=work_and(reset, 0.02)),
            Told("protocol", "the connection broke", body=body),
            httpx=Told("protocol"),
            stream=True,
        )
        yield Case(
            f"close_notify {other}",
            saying(said, then=close_notify),
            Told("protocol", CLOSED, body=body),
            httpx=Told("protocol"),
            stream=True,
            tls=True,
        )
        yield Case(
            f"TLS and TCP ended {other}",
            saying(said),
            Told("protocol", CLOSED, body=body),
            httpx=Told("protocol"),
            stream=True,
            tls=True,
        )
    yield Case(
        "cut before the last chunk, and Chunked with a capital",
        saying(CHUNKED.replace(b"chunked", b"Chunked") + STREAM[:-5]),
        Told("protocol", CLOSED, body=FIRST + LAST + DONE),
        httpx=Told("protocol"),
        stream=True,
    )
    yield Case(
        "cut short of its length",
        saying(LENGTH % (10, b"{}")),
        Told("protocol", CLOSED, body=b"{}"),
        httpx=Told("protocol"),
    )
    yield Case(
        "cut after an interim answer",
        saying(b"HTTP/1.1 100 Continue\r\n\r\n"),
        Told("protocol", CLOSED),
        httpx=Told("protocol"),
    )
    yield Case(
        "close_notify short of its length",
        saying(LENGTH % (10, b"{}"), then=close_notify),
        Told("protocol", CLOSED, body=b"{}"),
        httpx=Told("protocol"),
        tls=True,
    )
    yield Case(
        "close_notify ends an answer without framing",
        saying(UNTIL_CLOSE + b"{}", then=close_notify),
        Told("ok", body=b"{}"),
        tls=True,
    )
    yield Case(
        "close_notify ends a stream without framing",
        saying(UNTIL_CLOSE + FIRST + LAST + DONE, then=close_notify),
        Told("ok"),
        stream=True,
        tls=True,
    )
    yield Case(
        "close_notify ends a stream without framing too early",
        saying(UNTIL_CLOSE + FIRST, then=close_notify),
        Told("truncated", "without a finish reason", body=FIRST),
        stream=True,
        tls=True,
    )
    yield Case(
        "close_notify after a whole answer",
        saying(LENGTH % (2, b"{}"), then=close_notify),
        Told("ok", body=b"{}"),
        tls=True,
    )
    yield Case(
        "close_notify ends HTTP/1.0",
        saying(b"HTTP/1.0 200 OK\r\n\r\n{}", then=close_notify),
        Told("ok", body=b"{}"),
        tls=True,
    )
    yield Case(
        "a stream without framing, cut",
        saying(UNTIL_CLOSE + FIRST),
        Told("truncated", "without a finish reason", body=FIRST),
        stream=True,
    )
    yield Case(
        "a stream with framing, ended before its finish reason",
        keep(CHUNKED + chunk(FIRST) + b"0\r\n\r\n"),
        Told("truncated", "without a finish reason", reused=True),
        stream=True,
    )
    yield Case(
        "an error's body, cut",
        saying(b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\n{}"),
        Told("server_error", "HTTP 500"),
    )


def stalls() -> Iterator[Case]:
    """A server that stops talking and keeps the connection: each wait has its end, and Ctrl-C ends it sooner."""
    ping, empty = chunk(b": ping\n\n"), chunk(event(""))
    for name, script, words in (
        ("before a byte", hold(b""), NO_TOKEN),
        ("in the head", hold(CHUNKED[:40]), NO_TOKEN),
        ("after the head", hold(CHUNKED), NO_TOKEN),
        ("in the first event", hold(CHUNKED + chunk(FIRST)[:20]), NO_TOKEN),
        ("after an interim answer", hold(b"HTTP/1.1 100 Continue\r\n\r\n"), NO_TOKEN),
        ("after a token", hold(CHUNKED + chunk(FIRST)), NO_FURTHER_TOKEN),
        ("before the last chunk", hold(CHUNKED + STREAM[:-5]), NO_FURTHER_TOKEN),
        ("with pings before a token", drip(CHUNKED, ping), NO_TOKEN),
        ("with pings after a token", drip(CHUNKED + chunk(FIRST), ping), NO_FURTHER_TOKEN),
        ("with empty deltas before a token", drip(CHUNKED, empty), NO_TOKEN),
        ("with empty deltas after a token", drip(CHUNKED + chunk(FIRST), empty), NO_FURTHER_TOKEN),
        ("with blank lines after a token", drip(CHUNKED + chunk(FIRST), chunk(b"\n")), NO_FURTHER_TOKEN),
        ("with a head that drips", drip(b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n"), NO_TOKEN),
        ("with interim answers that drip", drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), NO_TOKEN),
        ("with a chunk extension that drips", drip(CHUNKED + b"5;", b"x"), NO_TOKEN),
        ("with trailers that drip", drip(CHUNKED + chunk(FIRST) + b"0\r\n", b"X: 1\r\n"), NO_FURTHER_TOKEN),
    ):
        timeouts = NO_TOKEN_FOR_LONG if words == NO_TOKEN else NO_FURTHER_TOKEN_FOR_LONG
        yield Case(f"stalls {name}", script, Told("timeout", words), stream=True, timeouts=timeouts)
    short = Timeouts(connect=10.0, total=0.3)
    total = "no complete answer within timeouts.total of 0.3 s"
    for name, script in (
        ("before a byte", hold(b"")),
        ("in its head", hold(LENGTH[:20])),
        ("in its body", hold(LENGTH % (10, b"{}"))),
        ("in a body that drips", drip(LENGTH % (1000, b""), b"x")),
        ("without framing", hold(UNTIL_CLOSE + b"{}")),
    ):
        yield Case(f"an answer that does not stream stalls {name}", script, Told("timeout", total), timeouts=short)
    yield Case(
        "tokens for ever",
        drip(CHUNKED, chunk(FIRST)),
        Told("timeout", total),
        stream=True,
        timeouts=Timeouts(total=0.3),
    )
    for name, script in (
        ("before a byte", hold(b"")),
        ("in its head", hold(CHUNKED[:40])),
        ("after a token", hold(CHUNKED + chunk(FIRST))),
    ):
        yield Case(
            f"aborted while it stalls {name}", script, Told("censored", "the run is over"), stream=True, abort=True
        )
    yield Case(
        "aborted while TLS stalls after a token",
        hold(CHUNKED + chunk(FIRST)),
        Told("censored", "the run is over"),
        stream=True,
        abort=True,
        tls=True,
    )


def floods() -> Iterator[Case]:
    """A server that never stops: what it can cost is bounded."""
    many = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 80) for number in range(100))
    too_much = Told("protocol", HEAD_EXCEEDED)
    yield Case("a head of 9 kB", hold(b"HTTP/1.1 200 OK\r\n" + many + b"Content-Length: 2\r\n\r\n{}"), too_much)
    yield Case("headers for ever", endless(b"HTTP/1.1 200 OK\r\n", many), too_much, httpx=Told("protocol"))
    yield Case("one header for ever", endless(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 500), too_much, httpx=Told("protocol"))
    yield Case("a reason for ever", endless(b"HTTP/1.1 200 ", b"y" * 500), too_much, httpx=Told("protocol"))
    yield Case(
        "interim answers for ever", endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), too_much, kernel_only=True
    )
    yield Case("blank lines for ever", endless(b"", b"\r\n" * 100), too_much, httpx=Told("protocol"))
    yield Case("a chunk extension for ever", endless(CHUNKED + b"5;", b"x" * 500), too_much, httpx=Told("protocol"))
    yield Case("trailers for ever", endless(CHUNKED + chunk(b"{}") + b"0\r\n", many), too_much, httpx=Told("protocol"))
    yield Case(
        "one trailer for ever",
        endless(CHUNKED + chunk(b"{}") + b"0\r\nX: ", b"x" * 500),
        too_much,
        httpx=Told("protocol"),
    )
    full = Told("protocol", ANSWER_EXCEEDED)
    yield Case("a body for ever", endless(UNTIL_CLOSE, b"x" * 1000), full)
    yield Case("chunks for ever", endless(CHUNKED, chunk(b"x" * 1000)), full)
    yield Case("tokens without a pause", endless(CHUNKED, chunk(FIRST) * 100), full, stream=True)
    yield Case("pings without a pause", endless(CHUNKED, chunk(b": ping\n\n") * 100), full, stream=True)
    yield Case("a length of a terabyte", endless(LENGTH % (10**12, b""), b"x" * 1000), full)
    yield Case(
        "an error's body for ever", endless(b"HTTP/1.1 500 Oops\r\n\r\n", b"x" * 1000), Told("server_error", "HTTP 500")
    )
    yield Case(
        "chunks of a byte each",
        drip(CHUNKED, chunk(b"x")),
        Told("protocol", "bounds.answer of 1,000 bytes"),
        bounds=Bounds(answer=1_000),
    )
    yield Case("a body for ever over TLS", endless(UNTIL_CLOSE, b"x" * 1000), full, tls=True)
    yield Case(
        "headers for ever over TLS", endless(b"HTTP/1.1 200 OK\r\n", many), too_much, httpx=Told("protocol"), tls=True
    )


def sendings() -> Iterator[Case]:
    """A server that does not read the request."""
    big, short, longer = 20_000_000, Timeouts(connect=10.0, total=0.4), Timeouts(connect=10.0, total=5.0)
    unwanted = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 7\r\n\r\ntoo big"
    refused = Told("invalid", "HTTP 413", body=b"too big")
    late = Told("timeout", "no complete answer within timeouts.total")
    yield Case("never reads the request", sleep, late, size=big, timeouts=short)
    yield Case(
        "never reads the request of a stream",
        sleep,
        Told("timeout", NO_TOKEN),
        size=big,
        stream=True,
        timeouts=NO_TOKEN_FOR_LONG,
    )
    yield Case("never reads the request, aborted", sleep, Told("censored", "the run is over"), size=big, abort=True)
    yield Case("never reads the request over TLS", unread(), late, size=big, timeouts=short, tls=True)
    yield Case(
        "never reads the request over TLS, aborted",
        unread(),
        Told("censored", "the run is over"),
        size=big,
        tls=True,
        abort=True,
    )
    yield Case("reads the request and says nothing", silent, late, size=big, timeouts=short)
    yield Case(
        "413 before the body is read, kept open", unread(unwanted), refused, httpx=late, size=big, timeouts=longer
    )
    yield Case("413 before the body is read, and closed", unread(unwanted, then=nothing), refused, size=big)
    yield Case(
        "413 before the body is read, and reset", unread(unwanted, then=work_and(reset, 0.02)), refused, size=big
    )
    yield Case(
        "413 before the body is read, over TLS",
        unread(unwanted),
        refused,
        httpx=late,
        size=big,
        timeouts=longer,
        tls=True,
    )
    yield Case(
        "200 before the body is read",
        unread(LENGTH % (2, b"{}")),
        Told("ok", body=b"{}"),
        httpx=late,
        size=big,
        timeouts=longer,
    )
    yield Case(
        "closes while the request is sent",
        unread(then=nothing),
        Told("protocol", "the connection broke"),
        httpx=Told("protocol"),
        size=big,
    )
    yield Case(
        "resets while the request is sent",
        unread(then=reset),
        Told("protocol", "the connection broke"),
        httpx=Told("protocol"),
        size=big,
    )
    yield Case("an early answer without an end", unread(CHUNKED + chunk(b"{}")), late, size=big, timeouts=short)


def connections() -> Iterator[Case]:
    """Connections that do not come about."""
    late = Told("connect", "within timeouts.connect of 0.3 s")
    httpx_late = Told("connect", "no connection")
    over = Told("censored", "the run is over")
    yield Case(
        "no TLS handshake",
        sleep,
        late,
        httpx=httpx_late,
        timeouts=NO_CONNECTION_FOR_LONG,
        url="https://localhost:{port}",
    )
    yield Case(
        "no TLS handshake, aborted", sleep, over, url="https://localhost:{port}", abort=True, timeouts=Timeouts()
    )
    yield Case(
        "closes instead of a TLS handshake", nothing, Told("connect", "no connection"), url="https://localhost:{port}"
    )
    yield Case(
        "plain HTTP instead of TLS",
        say(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        Told("connect", "no connection"),
        url="https://localhost:{port}",
    )
    yield Case(
        "garbage instead of TLS",
        say(b"SSH-2.0-OpenSSH_9.6\r\n"),
        Told("connect", "no connection"),
        url="https://localhost:{port}",
    )
    yield Case(
        "half a TLS record",
        say(b"\x16\x03\x03\x40\x00abc"),
        late,
        httpx=httpx_late,
        timeouts=NO_CONNECTION_FOR_LONG,
        url="https://localhost:{port}",
    )
    yield Case(
        "a certificate that is not trusted",
        going_on,
        Told("connect", "is not trusted"),
        httpx=Told("connect", "certificate verify failed"),
        tls=True,
        trusted=False,
    )
    yield Case(
        "a certificate of another name",
        going_on,
        Told("connect", "is not trusted"),
        httpx=Told("connect", "certificate verify failed"),
        tls=True,
        url="https://127.0.0.1:{port}",
    )
    yield Case(
        "nobody listens",
        going_on,
        Told("connect", "no connection to 127.0.0.1:1"),
        httpx=Told("connect", "no connection"),
        url="http://127.0.0.1:1",
    )
    yield Case(
        "a name that does not resolve",
        going_on,
        Told("connect", "no-such-host.invalid does not resolve"),
        httpx=Told("connect", "no connection"),
        url="http://no-such-host.invalid",
    )
    yield Case(
        "a full backlog",
        going_on,
        late,
        httpx=httpx_late,
        timeouts=NO_CONNECTION_FOR_LONG,
        url="http://127.0.0.1:{full}",
    )
    yield Case(
        "a full backlog, aborted", going_on, over, url="http://127.0.0.1:{full}", abort=True, timeouts=Timeouts()
    )


def keep_alive() -> Iterator[Case]:
    """What a kept connection brings: closed before the request, with it, after work, and answers nobody asked for."""
    again = Told("ok", reused=True, body=b"next", reopened=True)
    unseen = Told("ok", reused=True, body=b"next")  # httpcore replaces the connection and says nothing
    gone = Told("protocol")  # nor does it say whether a byte of an answer had come, so nothing is sent again
    dropped = Told("protocol", CLOSED)
    yield Case("closed while idle", later(NEXT, 0.1), again, httpx=unseen, before=1)
    yield Case("reset while idle", later(NEXT, 0.1, reset), again, httpx=unseen, before=1)
    yield Case("closed while idle over TLS", later(NEXT, 0.1), again, httpx=unseen, before=1, tls=True)
    yield Case("close_notify while idle", later(NEXT, 0.1, close_notify), again, httpx=unseen, before=1, tls=True)
    yield Case("closes as the request comes", second(nothing), again, httpx=gone, before=1, alone=True)
    yield Case("resets as the request comes", second(reset), again, httpx=gone, before=1, alone=True)
    yield Case(
        "closes as the request comes, over TLS", second(nothing), again, httpx=gone, before=1, tls=True, alone=True
    )
    yield Case(
        "works on the request and closes",
        second(work_and(nothing)),
        dropped,
        httpx=Told("protocol", "disconnected"),
        before=1,
    )
    yield Case(
        "works on the request and resets",
        second(work_and(reset)),
        Told("protocol", "the connection broke"),
        httpx=Told("protocol"),
        before=1,
    )
    yield Case(
        "works on the request and ends TLS",
        second(work_and(close_notify)),
        dropped,
        httpx=Told("protocol", "disconnected"),
        before=1,
        tls=True,
    )
    yield Case(
        "a byte of an answer, and closes",
        second(saying_now(b"H")),
        dropped,
        httpx=Told("protocol"),
        before=1,
        alone=True,
    )
    yield Case("a head, and closes", second(saying_now(CHUNKED)), dropped, httpx=Told("protocol"), before=1, alone=True)
    yield Case(
        "an interim answer, and closes",
        second(saying_now(b"HTTP/1.1 100 Continue\r\n\r\n")),
        dropped,
        httpx=Told("protocol"),
        before=1,
        alone=True,
    )
    yield Case("a fresh connection, closed at once", saying(b""), dropped, httpx=Told("protocol", "disconnected"))
    whole = LENGTH % (2, b"{}")
    first = Told("ok", body=b"{}")
    yield Case("a second answer with the first", keep(whole + STRAY), first)
    yield Case("half a second answer with the first", keep(whole + STRAY[:30]), first)
    yield Case("a byte of a second answer with the first", keep(whole + b"H"), first)
    yield Case("garbage after the answer", keep(whole + b"garbage"), first)
    yield Case("a body longer than its length", keep(LENGTH % (2, b"{}{}{}")), first)
    yield Case("a second chunked answer with the first", keep(CHUNKED + chunk(b"{}") + b"0\r\n\r\n" + STRAY), first)
    yield Case(
        "a second answer after connection: close",
        keep(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}" + STRAY),
        first,
    )
    yield Case("a second answer a little later", later(whole, 0.01, say(STRAY)), first)
    yield Case("a second answer over TLS", keep(whole + STRAY), first, tls=True)
    yield Case("a second answer a little later, over TLS", later(whole, 0.01, say(STRAY)), first, tls=True)
    yield Case(
        "an answer to nothing, 408 while idle",
        later(NEXT, 0.1, say(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")),
        again,
        httpx=unseen,
        before=1,
    )
    yield Case("10 requests on one connection", going_on, Told("ok", reused=True, body=b"next"), before=9)


def saying_now(data: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(data)

    return script


CASES = [
    case
    for family in (whole, statuses, framing, cuts, stalls, floods, sendings, connections, keep_alive)
    for case in family()
]


# -- asking them -----------------------------------------------------------------------------------


def main() -> None:
    import bench.load.users  # noqa: F401 - Locust makes the sockets gevent's, as in every run

    asking = Asking()
    crowd = gevent.pool.Pool(12)

    def tell(job: tuple[Case, str]) -> None:
        sys.stdout.write(json.dumps(asdict(asking.ask(*job))) + "\n")
        sys.stdout.flush()

    jobs = [(case, name) for case in CASES for name in ("kernel", "httpx") if name == "kernel" or not case.kernel_only]
    for job in jobs:
        if job[0].alone:
            tell(job)
    for _ in crowd.imap_unordered(tell, [job for job in jobs if not job[0].alone]):
        pass


class Asking:
    """Asks every broken server, one after the other or side by side."""

    def __init__(self) -> None:
        import trustme

        self._clock = KernelClock()
        authority = trustme.CA()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self._tls)
        self._trusting = ssl.create_default_context()
        authority.configure_trust(self._trusting)

    def transport(self, name: str, case: Case) -> Transport:
        context = self._trusting if case.trusted else ssl.create_default_context()
        if name == "kernel":
            return KernelTransport(self._clock, tls=lambda: context, bounds=case.bounds)
        return HttpxTransport(httpx.HTTPTransport(verify=context), bounds=case.bounds)

    def ask(self, case: Case, name: str) -> Came:
        chat = PROTOCOLS["chat"]
        transport = self.transport(name, case)
        with (
            full_backlog() as full,
            ScriptedServer(case.script, rest=going_on, tls=self._tls if case.tls else None) as server,
        ):
            url = (case.url or server.url).format(port=server.port, full=full)

            def post(url: str, size: int = 2) -> httpx.Request:
                return httpx.Request("POST", f"{url}/v1/chat/completions", content=b"x" * size)

            for _ in range(case.before):
                transport.exchange(post(url), timeouts=TIMEOUTS)
            if case.before:
                gevent.sleep(0.3)  # for what the server does while nobody asks
            if case.abort:
                gevent.spawn_later(0.1, transport.abort, Failure("censored", "the run is over"))
            connected = server.connections
            begun = time.monotonic()
            exchange = transport.exchange(
                post(url, case.size), timeouts=case.timeouts, token_times=chat.token_times if case.stream else None
            )
            seconds = time.monotonic() - begun
            outcome, error = judge(exchange, chat.read(exchange.reads, stream=True) if case.stream else Answer())
            gevent.sleep(0.03)
            if case.url is None and not server.connections:  # a busy machine did not even come to connect in time
                transport.close()
                return self.ask(case, name)
            connected = server.connections
            following = (
                None if case.abort or case.url or not case.trusted else transport.exchange(post(url), timeouts=TIMEOUTS)
            )
            moments = [exchange.sent, exchange.headers_at, *(at for at, _ in exchange.reads[:1]), exchange.done]
            came = Came(
                name=case.name,
                transport=name,
                outcome=outcome,
                error=error or "",
                reused=following is not None and server.connections == connected,
                reopened=exchange.reopened,
                body=b"".join(data for _, data in exchange.reads).decode("latin-1"),
                seconds=seconds,
                next_body="" if following is None else b"".join(data for _, data in following.reads).decode("latin-1"),
                moments=[moment for moment in moments if moment is not None],
            )
            with suppress(OSError):
                transport.close()
        return came


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port at which a connection is neither made nor refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for one in waiting:
            one.close()


if __name__ == "__main__":
    main()
