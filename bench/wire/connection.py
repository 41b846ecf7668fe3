"""One HTTP/1.1 connection whose reads are stamped before anything else happens to them.

Reads are callbacks of gevent's hub: a callback takes the bytes with the kernel's stamp, lets httptools find the
message's end, and returns. The greenlet that asked is woken once: at the last byte, at a timeout, or when the
connection breaks. No token costs a switch, and nothing is decoded before the last byte is in.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import httptools
import httpx
from gevent import get_hub
from gevent.hub import Waiter

from bench.wire.clock import ANCILLARY_SIZE, KernelClock, NativeSocket, monotonic
from bench.wire.exchange import Exchange, Failure, Read
from bench.wire.tls import Tls
from bench.wire.turns import Turns

READ_SIZE = 8192  # recvmsg makes room for as much at every call; a longer body takes several reads
READABLE, WRITABLE = 1, 2  # libev's EV_READ and EV_WRITE

TokenTimes = Callable[[list[Read]], tuple[float | None, float | None]]
"""Arrivals of the first and the last token in the reads so far; asked only when a timeout may have run out."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds."""

    connect: float = 5.0  # for a connection, TLS included
    first_token: float = 60.0  # from sent to the first token of a stream
    gap: float = 30.0  # between two tokens of a stream; pings and empty deltas do not count
    total: float = 300.0  # from sent to the last byte


class StaleConnectionError(Exception):
    """A kept-alive connection was found closed before any byte of an answer: ask again on a fresh one."""


class Connection:
    """A connected socket, plain or TLS, for one exchange at a time."""

    def __init__(self, sock: NativeSocket, tls: Tls | None, clock: KernelClock, turns: Turns, *, stamped: bool) -> None:
        self.reusable = True
        self._turns = turns
        self._sock, self._tls, self._clock, self._stamped = sock, tls, clock, stamped
        self._exchange: Exchange | None = None
        self._used = False
        self._loop = get_hub().loop
        self._watcher = self._loop.io(sock.fileno(), READABLE)
        self._watcher.start(self._on_readable)

    def exchange(self, request: bytes, into: Exchange, timeouts: Timeouts, token_times: TokenTimes | None) -> None:
        """Send one request and fill `into` until its message ends, breaks or times out.

        `token_times` is None for an answer that does not stream. Raises StaleConnectionError, `into` untouched
        but for `sent`, where a used connection was closed by the server in the meantime.
        """
        self._parser = httptools.HttpResponseParser(self)
        self._head: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._stale = False
        self._timeouts, self._token_times = timeouts, token_times
        self._exchange, self._waiter = into, Waiter()
        into.clock = "kernel" if self._stamped else "user"
        into.sent = monotonic()
        self._arm(timeouts.total if token_times is None else min(timeouts.first_token, timeouts.gap, timeouts.total))
        try:
            self._send(request)
            self._waiter.get()
        finally:
            self._timer.close()
            if self._exchange is not None:  # the greenlet was killed while it waited
                self.reusable, self._exchange = False, None
        self._used = True
        if self._stale:
            raise StaleConnectionError

    def abort(self, failure: Failure) -> None:
        """End the exchange under way, if any, from outside."""
        self._finish(monotonic(), failure)

    def close(self) -> None:
        self.reusable = False
        self._watcher.close()
        self._sock.close()

    def _send(self, request: bytes) -> None:
        data = memoryview(self._tls.encrypt(request) if self._tls else request)
        while data and self._exchange is not None:
            try:
                data = data[self._sock.send(data) :]
            except BlockingIOError:
                wait_for(self._sock, WRITABLE)
            except OSError as error:
                self._broken(monotonic(), f"the connection broke while sending: {error.strerror}")

    # -- callbacks of the hub, in the order of an answer ------------------------------------------

    def _on_readable(self) -> None:
        try:
            data, ancillary, _, _ = self._sock.recvmsg(READ_SIZE, ANCILLARY_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._broken(monotonic(), f"the connection broke: {error.strerror}")
            return
        now = monotonic()
        at = self._clock.arrival(ancillary, now) if self._stamped else None
        if not data:
            self._on_eof(now)
            return
        if self._tls is not None:
            try:
                data = self._tls.decrypt(data)
            except ssl.SSLError as error:
                self._broken(now, f"TLS failed: {error.reason}")
                return
        if data:
            self._on_bytes(data, now, at)

    def _on_bytes(self, data: bytes, now: float, at: float | None) -> None:
        exchange = self._exchange
        if exchange is None:  # nobody asked: a farewell of the server; this connection has no future
            self.reusable = False
            self._watcher.stop()
            return
        if at is None:
            at, exchange.clock = now, "user"
        elif exchange.read_delay is None or now - at > exchange.read_delay:
            exchange.read_delay = now - at
        self._at = at
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._broken(now, f"the answer is not HTTP/1.1: {error}")
            return
        if self._pieces:
            exchange.reads.append((at, self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)))
            self._pieces.clear()
        if exchange.complete:
            self._finish(at, None)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 or self._exchange is None:  # an interim answer: the real one follows
            self._head.clear()
            return
        if self._exchange.complete:  # a second answer to one request: not a server to keep talking to
            self.reusable = False
            return
        self._exchange.headers_at = self._at
        self._exchange.status = status
        self._exchange.headers = httpx.Headers(self._head)
        self._exchange.http = "HTTP/" + self._parser.get_http_version()
        self.reusable = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self._exchange is not None and self._exchange.status is not None:
            self._exchange.complete = True

    def _on_eof(self, now: float) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.status is not None and _ends_at_close(exchange.headers):
            exchange.complete, self.reusable = True, False
            self._finish(now, None)
        else:
            self._broken(now, "the server closed the connection before its answer was complete")

    def _on_deadline(self) -> None:
        exchange = self._exchange
        if exchange is None or exchange.sent is None:
            return
        times = self._token_times(exchange.reads) if self._token_times else None
        deadline, failure = next_deadline(exchange.sent, times, self._timeouts)
        self._timer.close()
        if (now := monotonic()) >= deadline:
            self._finish(now, failure)
        else:  # a token may come at once, and then nothing: the gap after it is the soonest of what is next
            self._arm(min(deadline - now, self._timeouts.gap) if times else deadline - now)

    def _arm(self, delay: float) -> None:
        self._timer = self._loop.timer(delay)
        self._timer.start(self._on_deadline)

    def _broken(self, now: float, message: str) -> None:
        exchange = self._exchange
        self._stale = exchange is not None and self._used and exchange.headers_at is None and not exchange.reads
        self._watcher.stop()
        self._finish(now, Failure("protocol", message))

    def _finish(self, at: float, failure: Failure | None) -> None:
        """Hand the exchange back; its greenlet gets a turn of its own."""
        if failure is not None:
            self.reusable = False
        if self._exchange is not None:
            self._exchange.done, self._exchange.failure = at, failure
            self._exchange = None
            self._turns.add(partial(self._waiter.switch, None))


def next_deadline(
    sent: float, tokens: tuple[float | None, float | None] | None, timeouts: Timeouts
) -> tuple[float, Failure]:
    """The next moment at which an exchange is given up, and what to call it then.

    `tokens` holds the arrivals of the first and the last token so far; None for an answer that does not stream.
    """
    ends = [(sent + timeouts.total, f"no complete answer within timeouts.total of {timeouts.total:g} s")]
    if tokens is not None:
        first, last = tokens
        if first is None or last is None:
            message = f"no token within timeouts.first_token of {timeouts.first_token:g} s"
            ends.append((sent + timeouts.first_token, message))
        else:
            ends.append((last + timeouts.gap, f"no further token within timeouts.gap of {timeouts.gap:g} s"))
    deadline, message = min(ends)
    return deadline, Failure("timeout", message)


def wait_for(sock: NativeSocket, event: int) -> None:
    """Park this greenlet until the socket is readable or writable."""
    hub = get_hub()
    watcher = hub.loop.io(sock.fileno(), event)
    try:
        hub.wait(watcher)
    finally:
        watcher.close()


def _ends_at_close(headers: httpx.Headers) -> bool:
    """Whether the body has no framing but the connection's end (RFC 9112, section 6.3)."""
    return "content-length" not in headers and "chunked" not in headers.get("transfer-encoding", "")
