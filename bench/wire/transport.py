"""The timed exchange: one prepared `httpx.Request` in, one `Exchange` of facts out.

`KernelTransport` speaks HTTP/1.1 over TCP and TLS on gevent's hub and is the one that measures. `HttpxTransport`
wraps any `httpx.BaseTransport` where a proxy, HTTP/2 or a test's `httpx.MockTransport` is wanted; its times are
this process's own. Both are used the same way, and each record says which clock it got.
"""

from __future__ import annotations

import errno
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
from bench.wire.deferred import Turns
from bench.wire.exchange import Exchange, Failure
from bench.wire.tls import Tls

_PORTS = {"http": 80, "https": 443}


class Transport(Protocol):
    """What a user sends with."""

    def exchange(
        self, request: httpx.Request, *, timeouts: Timeouts, token_times: TokenTimes | None = None
    ) -> Exchange:
        """Send one request and return what came back. Never raises for what the other side does.

        `token_times` tells tokens from other bytes for the timeouts of a stream; None: the answer does not stream.
        """

    def abort(self, failure: Failure) -> None:
        """End every exchange under way with this failure, and each that is begun afterwards."""

    def close(self) -> None:
        """Close every connection."""


class AbortedError(Exception):
    """An exchange was ended from outside while its greenlet was waiting for something."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Waits:
    """Greenlets inside waits that nothing but an exception ends: a connection being made, another library's reads."""

    def __init__(self) -> None:
        self.ended: Failure | None = None  # by which every further wait ends at once
        self._waiting: set[gevent.Greenlet] = set()

    @contextmanager
    def wait(self) -> Iterator[Callable[[Failure], None]]:
        """A block that may be ended; yields what ends it from a callback of the hub. Raises AbortedError."""
        if self.ended is not None:
            raise AbortedError(self.ended)
        me = gevent.getcurrent()
        self._waiting.add(me)
        try:
            yield partial(self._end, me)
        finally:
            self._waiting.discard(me)

    def abort(self, failure: Failure) -> None:
        """End every wait, and each that is begun afterwards."""
        self.ended = failure
        for greenlet in self._waiting:
            gevent.get_hub().loop.run_callback(self._end, greenlet, failure)

    def _end(self, greenlet: gevent.Greenlet, failure: Failure) -> None:
        if greenlet in self._waiting:  # it may have come out of the wait by itself
            greenlet.throw(AbortedError(failure))


class KernelTransport(httpx.BaseTransport):
    """Connections kept alive and reused, newest first; as many as there are exchanges at a time.

    Transports of one process should share their `turns`, in which finished exchanges are handed back. `tls` is asked
    for whom to trust when a connection to an https:// address is made.
    """

    def __init__(
        self,
        clock: KernelClock,
        *,
        turns: Turns | None = None,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        bounds: Bounds | None = None,
    ) -> None:
        self._clock, self._tls = clock, tls
        self._turns, self._bounds = turns or Turns(), bounds or Bounds()
        self._idle: dict[tuple[str, str, int], list[Connection]] = {}
        self._waits = Waits()  # for connections being made
        self.busy: set[Connection] = set()

    def exchange(
        self, request: httpx.Request, *, timeouts: Timeouts, token_times: TokenTimes | None = None
    ) -> Exchange:
        data, facts = encode(request), Exchange()
        origin = (request.url.scheme, request.url.host, request.url.port or _PORTS[request.url.scheme])
        idle = self._idle.get(origin, [])
        while idle and facts.sent is None and self._waits.ended is None:
            try:
                with self._in_use(kept := idle.pop(), origin):
                    kept.exchange(data, facts, timeouts, token_times)
            except StaleConnectionError:
                facts = Exchange(reopened=True, sent=facts.sent)
            else:
                return facts
        facts.connect_started = monotonic()
        try:
            fresh = self._connect(origin, timeouts.connect)
        except AbortedError as aborted:
            facts.failure = aborted.failure
        except Exception as error:  # a name or a certificate may be wrong in more ways than OSError tells
            facts.failure = Failure("connect", _why_not(error, origin))
        except _TookTooLong:
            facts.failure = Failure("connect", _too_long(origin, timeouts.connect))
        else:
            facts.connected = monotonic()
            with self._in_use(fresh, origin):
                fresh.exchange(data, facts, timeouts, token_times)
            return facts
        facts.done = monotonic()
        return facts

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The same as a plain httpx transport; the exchange is in the response's extensions."""
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
        """A connection is busy for one exchange, and idle again afterwards where it can be reused."""
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
        """A connection, ready to be used. Raises _TookTooLong, AbortedError, OSError, ValueError."""
        scheme, host, port = origin
        with self._waits.wait(), _TookTooLong(timeout):
            patient = gevent_socket.create_connection((host, port))
            sock = NativeSocket(fileno=patient.detach())
            try:
                sock.setblocking(False)
                sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
                tls = Tls(self._tls(), host) if scheme == "https" else None
                if tls is not None:
                    tls.handshake(sock, lambda: wait_for(sock, READABLE))
                stamped = self._clock.available and stamp_arrivals(sock)
                if self._waits.ended is not None:  # in the same turn of the hub, so that nothing was there to throw at
                    raise AbortedError(self._waits.ended)
            except BaseException:
                sock.close()
                raise
        return Connection(sock, tls, self._clock, self._turns, stamped=stamped, bounds=self._bounds)


class HttpxTransport:
    """Any httpx transport, timed at the moments at which this process sees its bytes.

    Its sockets must be gevent's, as Locust makes them: else nothing can end its waits. It never sends again: it cannot
    tell whether a byte of an answer had come before a kept-alive connection was closed.
    """

    def __init__(self, transport: httpx.BaseTransport, *, bounds: Bounds | None = None) -> None:
        self._transport, self._bounds = transport, bounds or Bounds()
        self._waits = Waits()

    def exchange(
        self, request: httpx.Request, *, timeouts: Timeouts, token_times: TokenTimes | None = None
    ) -> Exchange:
        facts = Exchange(sent=monotonic())
        request.extensions["timeout"] = httpx.Timeout(None, connect=timeouts.connect).as_dict()
        request.extensions["trace"] = partial(_note, facts)
        try:
            with self._waits.wait() as end, _deadline(facts, timeouts, token_times, end):
                self._read(request, facts)
        except AbortedError as aborted:
            facts.failure = aborted.failure
        except Exception as error:  # what libraries raise for a broken answer is more than they document
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


class _TookTooLong(gevent.Timeout):  # type: ignore[misc]  # gevent has no types
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
    """Take the moments of an exchange that httpcore tells through its `trace` extension."""
    if name == "connection.connect_tcp.started":
        facts.connect_started, facts.connected = monotonic(), None
    elif name.endswith(("connect_tcp.complete", "start_tls.complete")):
        facts.connected = monotonic()
    elif name.endswith("send_request_headers.started"):
        facts.sent = monotonic()


def _is_spent(response: httpx.Response) -> bool:
    """Whether the connection is no good for another request, though httpcore takes it for it: more bytes came with the
    answer's end, which would be the next one's, or the server has ended TLS and kept TCP.

    Only h11's own buffer knows, which httpcore keeps to itself; a test tells when it is somewhere else.
    """
    found: object = response.stream
    for name in ("_httpcore_stream", "_stream", "_connection", "_h11_state", "trailing_data"):
        found = getattr(found, name, None)
    return isinstance(found, tuple) and any(found)


def encode(request: httpx.Request) -> bytes:
    """The bytes of a request whose body is already there."""
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
        return Failure("protocol", text)
    return Failure("protocol", f"the answer cannot be read: {error!r}")


def _too_long(origin: tuple[str, str, int], timeout: float) -> str:
    return f"no connection to {origin[1]}:{origin[2]} within timeouts.connect of {timeout:g} s"


def _why_not(error: Exception, origin: tuple[str, str, int]) -> str:
    where = f"{origin[1]}:{origin[2]}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {where} is not trusted: {error.verify_message}"
    if isinstance(error, gevent_socket.gaierror):
        return f"the name {origin[1]} does not resolve: {error.strerror}"
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return f"no connection to {where}: this process is out of file descriptors; raise them with ulimit -n"
    if isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL:
        return f"no connection to {where}: this machine is out of ephemeral ports (net.ipv4.ip_local_port_range)"
    return f"no connection to {where}: {error}"
