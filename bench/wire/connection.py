"""One HTTP/1.1 connection whose reads are stamped before anything else happens to them.

Reads are callbacks of gevent's hub: a callback takes the bytes with the kernel's stamp, lets httptools find the
message's end, and returns. The greenlet that sends the request is woken once: at the last byte, at a timeout, or when
the connection breaks. So tokens cause no greenlet switches, and nothing is decoded before the last byte. Writes that
the kernel does not take at once are callbacks too, so a timeout also works while the request is being sent.
"""

from __future__ import annotations

import ssl
import struct
import sys
from _socket import IPPROTO_TCP
from functools import partial

import httptools
import httpx
from gevent import get_hub
from gevent.hub import Waiter

from bench.wire.bounds import READ_COST, Bounds, Deadline, Timeouts, TokenTimes
from bench.wire.clock import ANCILLARY_SIZE, KernelClock, NativeSocket, monotonic
from bench.wire.deferred import WorkQueue
from bench.wire.exchange import Exchange, Failure
from bench.wire.tls import Tls, tls_problem

READ_SIZE = 8192  # recvmsg allocates this much at every call; a longer body takes several reads
READABLE, WRITABLE = 1, 2  # libev's EV_READ and EV_WRITE
RACE_S = 0.01
"""A kept-alive connection that ends without a byte of an answer, at most one round trip and this long after sending,
was closed by the server before it read the request. A server that has read the request cannot end the connection
within one round trip; the rest of the time is for our own delay in seeing the end. A model's work takes longer."""

_TCP_INFO = 11  # linux/tcp.h: tcpi_last_ack_recv, milliseconds, at byte 56; tcpi_min_rtt, microseconds, at byte 148
_TCP_FIELDS = struct.Struct("56xI88xI")


class StaleConnectionError(Exception):
    """A kept-alive connection was closed before any byte of an answer: send again on a fresh one."""


class _RefusedError(Exception):
    """A callback of the parser refuses the answer; the message says why."""


class Connection:
    """A connected socket, plain or TLS, for one exchange at a time."""

    def __init__(
        self,
        sock: NativeSocket,
        tls: Tls | None,
        clock: KernelClock,
        queue: WorkQueue,
        *,
        stamped: bool,
        bounds: Bounds,
    ) -> None:
        self.reusable = True
        self._queue, self._bounds = queue, bounds
        self._sock, self._tls, self._clock, self._stamped = sock, tls, clock, stamped
        self._exchange: Exchange | None = None
        self._unsent = memoryview(b"")
        self._used = False
        self._pieces: list[bytes] = []  # of the body, from the current read
        self.on_body = self._pieces.append  # the parser calls it for each token, so it is not a method of ours
        loop = get_hub().loop
        self._reader, self._writer = loop.io(sock.fileno(), READABLE), loop.io(sock.fileno(), WRITABLE)
        self._reader.start(self._on_readable)

    def exchange(self, request: bytes, into: Exchange, timeouts: Timeouts, token_times: TokenTimes | None) -> None:
        """Send one request and fill `into` until its message ends, breaks or times out.

        `token_times` is None for an answer that does not stream. Raises StaleConnectionError if the server closed a
        used connection in the meantime; then only `into.sent` is changed, and says whether the request went out.
        An earlier `into.sent` stays: times count from the first sending.
        """
        if self._used:
            self._on_readable()  # the connection's end, or unexpected bytes, may wait in the kernel
            if not self.reusable:
                raise StaleConnectionError
        self._parser = httptools.HttpResponseParser(self)
        self._head: list[tuple[bytes, bytes]] = []
        self._pieces.clear()
        self._head_room = self._bare_room = self._bounds.head
        self._room = self._bounds.answer
        self._at: float | None = None  # arrival of the last read
        self._stale, self._sending_broke = False, ""
        self._unsent = memoryview(self._tls.encrypt(request) if self._tls else request)
        self._exchange, self._waiter = into, Waiter()
        into.clock = "kernel" if self._stamped else "user"
        self._sent = monotonic()
        if into.sent is None:
            into.sent = self._sent
        deadline = Deadline(into, timeouts, token_times, self.abort)
        try:
            self._on_writable()
            if self._unsent:
                self._writer.start(self._on_writable)
            self._waiter.get()
        finally:
            deadline.close()
            if self._exchange is not None:  # the greenlet was killed while it waited
                self.reusable, self._exchange = False, None
        self._used = True
        if self._stale:
            raise StaleConnectionError

    def abort(self, failure: Failure) -> None:
        """End the current exchange, if there is one, with this failure."""
        self._finish(monotonic(), failure)

    def close(self) -> None:
        self.reusable = False
        self._reader.close()
        self._writer.close()
        self._sock.close()

    # -- callbacks of the hub, in the order of an exchange ------------------------------------------

    def _on_writable(self) -> None:
        try:
            self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError as error:  # go on reading: the server may have answered before it stopped reading
            self._sending_broke = f"the connection broke while sending: {error.strerror}"
            self._unsent, self.reusable = memoryview(b""), False
        if not self._unsent:
            self._writer.stop()

    def _on_readable(self) -> None:
        try:
            data, ancillary, _, _ = self._sock.recvmsg(READ_SIZE, ANCILLARY_SIZE)
            now = monotonic()
            at = self._clock.arrival(ancillary, now) if self._stamped else None
            if not data:
                self._on_eof(now, now - tcp_times(self._sock)[1])
            elif self._tls is None:
                self._on_bytes(data, now, at)
            else:
                if plain := self._tls.decrypt(data):
                    self._on_bytes(plain, now, at)
                if self._tls.ended:
                    self._on_eof(now, now if at is None else at)
        except BlockingIOError:
            return
        except ssl.SSLError as error:
            self._broken(monotonic(), tls_problem(error))
        except OSError as error:
            self._broken(monotonic(), self._sending_broke or f"the connection broke: {error.strerror}")
        except Exception as error:  # the hub would hide it, and the exchange would wait for its timeout
            self._broken(monotonic(), f"the answer cannot be read: {error!r}")

    def _on_bytes(self, data: bytes, now: float, at: float | None) -> None:
        exchange = self._exchange
        if exchange is None:  # bytes without a request: the server says goodbye, so do not use this connection again
            self.reusable = False
            self._reader.stop()
            return
        if at is None:
            at, exchange.clock = now, "user"
        elif exchange.read_delay is None or now - at > exchange.read_delay:
            exchange.read_delay = now - at
        self._at = at
        wrong: Exception | None = None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            wrong = error
        if self._pieces:
            exchange.reads.append((at, self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)))
            self._pieces.clear()
            self._bare_room = self._bounds.head
        else:
            self._bare_room -= len(data)
        self._room -= len(data) + READ_COST
        if exchange.complete:
            self.reusable = self.reusable and wrong is None
            self._finish(at, None)
        elif wrong is not None:
            self._broken(now, _words(wrong))
        elif self._room < 0:
            self._finish(now, self._bounds.answer_exceeded)
        elif self._bare_room < 0:
            self._finish(now, self._bounds.head_exceeded)

    def on_message_begin(self) -> None:
        if self._exchange is not None and self._exchange.complete:
            self.reusable = False  # a second answer to one request: this server cannot be trusted

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_room -= len(name) + len(value) + 4  # a colon, a space, a line end
        if self._head_room < 0:
            raise _RefusedError(self._bounds.head_exceeded.message)
        self._head.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        assert self._exchange is not None
        if self._exchange.complete:
            raise _RefusedError("a second answer")  # its body must not be added to the first
        if refusal := refused_status(status):
            raise _RefusedError(refusal)
        if status < 200:  # an interim answer: the real one follows
            self._head.clear()
            return
        self._exchange.headers_at = self._at
        self._exchange.status = status
        self._exchange.headers = httpx.Headers(self._head)
        self._exchange.http = "HTTP/" + self._parser.get_http_version()
        self.reusable = self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        if self._exchange is not None and self._exchange.status is not None:
            self._exchange.complete = True

    def _on_eof(self, now: float, at: float) -> None:
        """The server ended the connection at the time `at`."""
        exchange = self._exchange
        if exchange is not None and exchange.status is not None and _ends_at_close(exchange.headers):
            exchange.complete, self.reusable = True, False
            self._reader.stop()
            self._finish(now, None)
        else:
            ended = "the server closed the connection before its answer was complete"
            self._broken(now, (exchange and self._sending_broke) or ended, at=at)

    def _broken(self, now: float, message: str, *, at: float | None = None) -> None:
        """End the connection. `at` is when it broke; None if only the time of our reading is known."""
        if self._exchange is not None and self._used and self._at is None:
            lasted = (now if at is None else at) - self._sent
            self._stale = lasted < RACE_S + tcp_times(self._sock)[0]
        self._reader.stop()
        self._finish(now, Failure("protocol", message))

    def _finish(self, at: float, failure: Failure | None) -> None:
        """Return the exchange to its greenlet, which wakes in a later pass of the hub."""
        if failure is not None or self._unsent:  # an answer may come before the whole request is sent
            self.reusable = False
        if self._exchange is not None:
            self._writer.stop()
            self._exchange.done, self._exchange.failure = at, failure
            self._exchange = None
            self._queue.add(partial(self._waiter.switch, None))


def refused_status(status: int) -> str | None:
    """Why an answer with this status is not acceptable; None if it is. Interim answers (1xx) are, except 101."""
    if status < 100:
        return f"the answer's status is {status:03}; one of 100 to 599 is expected"
    if status == 101:
        return "the server switches protocols (HTTP status 101), which was not asked for"
    return None


def tcp_times(sock: NativeSocket) -> tuple[float, float]:
    """The shortest round trip of this connection, and how long ago its last acknowledgement came, both in seconds.

    The end of a connection counts as an acknowledgement. The kernel keeps these times, so they are right however late
    we look. 0.0 if the kernel does not state one.
    """
    if sys.platform != "linux":
        return 0.0, 0.0
    try:
        since, shortest = _TCP_FIELDS.unpack(sock.getsockopt(IPPROTO_TCP, _TCP_INFO, _TCP_FIELDS.size))
    except (OSError, struct.error):  # an old kernel states less
        return 0.0, 0.0
    return (0.0 if shortest == 0xFFFFFFFF else shortest * 1e-6), since * 1e-3  # all ones: no round trip yet


def wait_for(sock: NativeSocket, event: int) -> None:
    """Pause this greenlet until the socket is readable or writable."""
    hub = get_hub()
    watcher = hub.loop.io(sock.fileno(), event)
    try:
        hub.wait(watcher)
    finally:
        watcher.close()


def _words(error: Exception) -> str:
    """What the parser, or one of our callbacks inside it, found wrong."""
    within = error.__context__
    if isinstance(within, _RefusedError):
        return str(within)
    if within is not None:
        return f"the answer cannot be read: {within!r}"
    return f"the answer is not HTTP/1.1: {error}"


def _ends_at_close(headers: httpx.Headers) -> bool:
    """Whether only the end of the connection ends the body (RFC 9112, section 6.3)."""
    return "content-length" not in headers and "chunked" not in headers.get("transfer-encoding", "").lower()
