"""The timed exchange: one prepared `httpx.Request` in, one `Exchange` of facts out.

`KernelTransport` speaks HTTP/1.1 over TCP and TLS on gevent's hub, with the kernel's time stamps. `HttpxTransport`
wraps any `httpx.BaseTransport`, for a proxy, HTTP/2 or a test's `httpx.MockTransport`; its times are taken in this
process. Both are used the same way, and each record says which clock its times come from.
"""

from __future__ import annotations

import errno
import re
import ssl
from _socket import IPPROTO_TCP, TCP_NODELAY
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import gevent
import httpx
from gevent import socket as gevent_socket

from bench.wire.bounds import READ_COST, Bounds, Deadline, Timeouts, TokenTimes
from bench.wire.clock import KernelClock, NativeSocket, monotonic, stamp_arrivals
from bench.wire.connection import READABLE, Connection, StaleConnectionError, refused_status, wait_for
from bench.wire.deferred import WorkQueue
from bench.wire.exchange import Exchange, Failure
from bench.wire.tls import Tls, tls_problem

_HTTP2_END = re.compile(r"<(StreamReset|ConnectionTerminated)\b.*?\berror_code:(?:ErrorCodes\.)?(\w+)")
_HTTP2_GOODBYE = re.compile(
    r"<ConnectionTerminated\b.*?\berror_code:(?:ErrorCodes\.)?(?:0|NO_ERROR)\b"
    r"|Invalid input ConnectionInputs\.\w+ in state ConnectionState\.CLOSED"
)
"""What httpcore and h2 say of the answers under way when a server ends a connection in good order: it would finish
them, but they read no further. nginx ends each connection after 1,000 requests."""
GOODBYE = (
    "the server announced the end of the HTTP/2 connection (GOAWAY), and httpx does not read the answers under way to "
    "their ends: let the server take more requests per connection (keepalive_requests of nginx), or leave out http2"
)
_PORTS = {"http": 80, "https": 443}


class Transport(Protocol):
    """Sends requests and times them."""

    def exchange(
        self, request: httpx.Request, *, timeouts: Timeouts, token_times: TokenTimes | None = None
    ) -> Exchange:
        """Send one request and return what came back. Never raises, whatever the server does.

        `token_times` finds the tokens of a stream for its timeouts; None: the answer does not stream.
        """

    def abort(self, failure: Failure) -> None:
        """End every current and every later exchange with this failure."""

    def close(self) -> None:
        """Close every connection."""


class Watchable(Transport, Protocol):
    """A transport whose exchanges can be looked at while they go on, as `bench send` does."""

    watch: Callable[[Exchange], object]
    """Is called with each exchange before it begins; the transport then fills it."""


def unwatched(exchange: Exchange) -> None:
    """Nobody looks at an exchange before it is over, as in every run."""


class AbortedError(Exception):
    """An exchange was ended while its greenlet was waiting."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Waits:
    """The greenlets in waits that only an exception can end: making a connection, or another library's reads."""

    def __init__(self) -> None:
        self.ended: Failure | None = None  # set by `abort`: every later wait ends at once with it
        self._waiting: set[gevent.Greenlet] = set()

    @contextmanager
    def wait(self) -> Iterator[Callable[[Failure], None]]:
        """A block that may be ended. Yields the function that ends it, for a callback of the hub. Raises
        AbortedError."""
        if self.ended is not None:
            raise AbortedError(self.ended)
        me = gevent.getcurrent()
        self._waiting.add(me)
        try:
            yield partial(self._end, me)
        finally:
            self._waiting.discard(me)

    def abort(self, failure: Failure) -> None:
        """End every current and every later wait."""
        self.ended = failure
        for greenlet in self._waiting:
            gevent.get_hub().loop.run_callback(self._end, greenlet, failure)

    def _end(self, greenlet: gevent.Greenlet, failure: Failure) -> None:
        if greenlet in self._waiting:  # the wait may have ended by itself
            greenlet.throw(AbortedError(failure))


class KernelTransport(httpx.BaseTransport):
    """Connections are kept alive and reused, newest first; there are as many as exchanges at the same time.

    Transports of one process should share `queue`, which returns finished exchanges one by one. `tls` makes the TLS
    context, with the trusted certificates, when a connection to an https:// address is made.
    """

    def __init__(
        self,
        clock: KernelClock,
        *,
        queue: WorkQueue | None = None,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        bounds: Bounds | None = None,
    ) -> None:
        self._clock, self._tls = clock, tls
        self._queue, self._bounds = queue or WorkQueue(), bounds or Bounds()
        self._idle: dict[tuple[str, str, int], list[Connection]] = {}
        self._waits = Waits()  # greenlets that make a connection
        self.busy: set[Connection] = set()
        self.watch: Callable[[Exchange], object] = unwatched

    def exchange(
        self, request: httpx.Request, *, timeouts: Timeouts, token_times: TokenTimes | None = None
    ) -> Exchange:
        data, facts = encode(request), Exchange()
        self.watch(facts)
        origin = (request.url.scheme, request.url.host, request.url.port or _PORTS[request.url.scheme])
        idle = self._idle.get(origin, [])
        while idle and facts.sent is None and self._waits.ended is None:
            try:
                with self._in_use(reused := idle.pop(), origin):
                    reused.exchange(data, facts, timeouts, token_times)
            except StaleConnectionError:
                facts = Exchange(reopened=True, sent=facts.sent)
                self.watch(facts)
            else:
                return facts
        facts.connect_started = monotonic()
        try:
            fresh = self._connect(origin, timeouts.connect)
        except AbortedError as aborted:
            facts.failure = aborted.failure
        except Exception as error:  # wrong names and certificates raise more than OSError
            facts.failure = Failure("connect", _connect_error(error, origin))
        except _ConnectTimeout:
            facts.failure = Failure("connect", _connect_timeout(origin, timeouts.connect))
        else:
            facts.connected = monotonic()
            with self._in_use(fresh, origin):
                fresh.exchange(data, facts, timeouts, token_times)
            return facts
        facts.done = monotonic()
        return facts

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The exchange as an httpx response, with the `Exchange` in its extensions. Raises httpx.TransportError."""
        facts = self.exchange(request, timeouts=Timeouts())
        if facts.status is None or facts.failure is not None:
            message = facts.failure.message if facts.failure else "no answer"
            raise httpx.TransportError(message)
        body = b"".join(data for _, data in facts.reads)
        return httpx.Response(facts.status, headers=facts.headers, content=body, extensions={"exchange": facts})

    def abort(self, failure: Failure) -> None:
        self._waits.abort(failure)
        for connection in list(self.busy):
            connection.abort(failure)

    def close(self) -> None:
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    @contextmanager
    def _in_use(self, connection: Connection, origin: tuple[str, str, int]) -> Iterator[None]:
        """Keep a connection busy for one exchange; afterwards it is idle, or closed if it cannot be reused."""
        self.busy.add(connection)
        try:
            yield
        finally:
            self.busy.discard(connection)
            if connection.reusable:
                self._idle.setdefault(origin, []).append(connection)
            else:
                connection.close()

    def _connect(self, origin: tuple[str, str, int], timeout: float) -> Connection:
        """A new connection, TLS included. Raises _ConnectTimeout, AbortedError, OSError, ValueError."""
        scheme, host, port = origin
        with self._waits.wait(), _ConnectTimeout(timeout):
            patient = gevent_socket.create_connection((host, port))
            sock = NativeSocket(fileno=patient.detach())
            try:
                sock.setblocking(False)
                sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
                tls = Tls(self._tls(), host) if scheme == "https" else None
                if tls is not None:
                    tls.handshake(sock, lambda: wait_for(sock, READABLE))
                stamped = self._clock.available and stamp_arrivals(sock)
                if self._waits.ended is not None:  # aborted in the same pass of the hub, too late for an exception
                    raise AbortedError(self._waits.ended)
            except BaseException:
                sock.close()
                raise
        return Connection(sock, tls, self._clock, self._queue, stamped=stamped, bounds=self._bounds)


class HttpxTransport:
    """Any httpx transport; a time is the moment when this process sees the bytes.

    Its sockets must be gevent's, as under Locust: otherwise nothing can end its waits. It never sends a request again:
    it cannot know whether a byte of an answer came before a kept-alive connection was closed.
    """

    def __init__(self, transport: httpx.BaseTransport, *, bounds: Bounds | None = None) -> None:
        self._transport, self._bounds = transport, bounds or Bounds()
        self._waits = Waits()
        self.watch: Callable[[Exchange], object] = unwatched

    def exchange(
        self, request: httpx.Request, *, timeouts: Timeouts, token_times: TokenTimes | None = None
    ) -> Exchange:
        facts = Exchange(sent=monotonic())
        self.watch(facts)
        request.extensions["timeout"] = httpx.Timeout(None, connect=timeouts.connect).as_dict()
        request.extensions["trace"] = partial(_note, facts)
        try:
            with self._waits.wait() as end, _deadline(facts, timeouts, token_times, end):
                self._read(request, facts)
        except AbortedError as aborted:
            facts.failure = aborted.failure
        except Exception as error:  # libraries raise more for a broken answer than they document
            facts.failure = _failure(error)
        facts.done = monotonic() if facts.failure or not facts.reads else facts.reads[-1][0]
        if facts.failure and (facts.failure.kind == "connect" or (facts.connect_started and not facts.connected)):
            facts.sent = None
        return facts

    def _read(self, request: httpx.Request, facts: Exchange) -> None:
        response = self._transport.handle_request(request)
        try:
            if refusal := refused_status(response.status_code):
                raise AbortedError(Failure("protocol", refusal))
            if sum(len(name) + len(value) + 4 for name, value in response.headers.raw) > self._bounds.head:
                raise AbortedError(self._bounds.head_exceeded)
            facts.headers_at, facts.status, facts.headers = monotonic(), response.status_code, response.headers
            facts.http = response.http_version
            room = self._bounds.answer
            for data in _sync(response):
                facts.reads.append((monotonic(), data))
                if (room := room - len(data) - READ_COST) < 0:
                    raise AbortedError(self._bounds.answer_exceeded)
            facts.complete = True
            if _is_spent(response):
                response.extensions["network_stream"].close()
        finally:
            response.close()

    def abort(self, failure: Failure) -> None:
        self._waits.abort(failure)

    def close(self) -> None:
        self._transport.close()


class _ConnectTimeout(gevent.Timeout):  # type: ignore[misc]  # gevent has no types
    """timeouts.connect ran out."""


@contextmanager
def _deadline(
    facts: Exchange, timeouts: Timeouts, token_times: TokenTimes | None, end: Callable[[Failure], None]
) -> Iterator[None]:
    deadline = Deadline(facts, timeouts, token_times, end)
    try:
        yield
    finally:
        deadline.close()


def _note(facts: Exchange, name: str, info: Mapping[str, object]) -> None:
    """Note the times of an exchange that httpcore reports through its `trace` extension."""
    if name == "connection.connect_tcp.started":
        facts.connect_started, facts.connected = monotonic(), None
    elif name.endswith(("connect_tcp.complete", "start_tls.complete")):
        facts.connected = monotonic()
    elif name.endswith("send_request_headers.started"):
        facts.sent = monotonic()


def _is_spent(response: httpx.Response) -> bool:
    """Whether the connection cannot take another request although httpcore would reuse it.

    Either bytes came after the answer's end, which would go to the next answer, or the server has ended TLS and kept
    TCP open. Only h11's buffer shows it, a private member of httpcore; a test fails if it moves.
    """
    found: object = response.stream
    for name in ("_httpcore_stream", "_stream", "_connection", "_h11_state", "trailing_data"):
        found = getattr(found, name, None)
    return isinstance(found, tuple) and any(found)


def encode(request: httpx.Request) -> bytes:
    """The bytes of a request; its body must be in memory."""
    lines = [b"%s %s HTTP/1.1\r\n" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%s: %s\r\n" % header for header in request.headers.raw]
    return b"".join([*lines, b"\r\n", request.content])


def _sync(response: httpx.Response) -> Iterable[bytes]:
    assert isinstance(response.stream, httpx.SyncByteStream)
    return response.stream


def _failure(error: Exception) -> Failure:
    text = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        return Failure("connect", f"no connection: {text}")
    if isinstance(error, httpx.TimeoutException):
        return Failure("timeout", f"no further byte within the timeouts: {text}")
    if isinstance(error, httpx.TransportError):
        return Failure("protocol", _http2_problem(text) or text)
    return Failure("protocol", f"the answer cannot be read: {error!r}")


def _http2_problem(text: str) -> str | None:
    """What h2's words for the end of a stream or of a connection mean; None for any other words. The number of the
    stream is left out, since it differs with every request."""
    if _HTTP2_GOODBYE.match(text):
        return GOODBYE
    found = _HTTP2_END.match(text)
    if found is None:
        return None
    ended = "reset the stream" if found[1] == "StreamReset" else "closed the connection"
    return f"the server {ended} before its answer was complete (HTTP/2 error code {found[2]})"


def _connect_timeout(origin: tuple[str, str, int], timeout: float) -> str:
    return f"no connection to {origin[1]}:{origin[2]} within timeouts.connect of {timeout:g} s"


def _connect_error(error: Exception, origin: tuple[str, str, int]) -> str:
    where = f"{origin[1]}:{origin[2]}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {where} is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no connection to {where}: {tls_problem(error)}"
    if isinstance(error, gevent_socket.gaierror):
        return f"the name {origin[1]} does not resolve: {error.strerror}"
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return f"no connection to {where}: this process is out of file descriptors; raise them with ulimit -n"
    if isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL:
        return f"no connection to {where}: this machine is out of ephemeral ports (net.ipv4.ip_local_port_range)"
    return f"no connection to {where}: {error}"
