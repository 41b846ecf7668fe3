"""The timed exchange: one prepared `httpx.Request` in, one `Exchange` of facts out.

`KernelTransport` speaks HTTP/1.1 over TCP and TLS on gevent's hub and is the one that measures. `HttpxTransport`
wraps any `httpx.BaseTransport` where a proxy, HTTP/2 or a test's `httpx.MockTransport` is wanted; its times are
this process's own. Both are used the same way, and each record says which clock it got.
"""

from __future__ import annotations

import errno
import ssl
from _socket import IPPROTO_TCP, TCP_NODELAY
from collections.abc import Callable, Iterable
from typing import Protocol

import gevent
import httpx
from gevent import socket as gevent_socket

from bench.wire.clock import KernelClock, NativeSocket, monotonic, stamp_arrivals
from bench.wire.connection import READABLE, Connection, StaleConnectionError, Timeouts, TokenTimes, wait_for
from bench.wire.exchange import Exchange, Failure
from bench.wire.tls import Tls
from bench.wire.turns import Turns

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
        """End every exchange under way with this failure."""

    def close(self) -> None:
        """Close every connection."""


class KernelTransport(httpx.BaseTransport):
    """Connections kept alive and reused, newest first; as many as there are exchanges at a time.

    Transports of one process should share their `turns`, in which finished exchanges are handed back.
    """

    def __init__(self, clock: KernelClock, *, turns: Turns | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._clock, self._tls, self._turns = clock, tls, turns or Turns()
        self._idle: dict[tuple[str, str, int], list[Connection]] = {}
        self.busy: set[Connection] = set()

    def exchange(
        self, request: httpx.Request, *, timeouts: Timeouts, token_times: TokenTimes | None = None
    ) -> Exchange:
        data, facts = encode(request), Exchange()
        origin = (request.url.scheme, request.url.host, request.url.port or _PORTS[request.url.scheme])
        if (kept := self._kept(origin)) is not None:
            try:
                self._serve(kept, origin, data, facts, timeouts, token_times)
            except StaleConnectionError:
                facts = Exchange(reopened=True)
            else:
                return facts
        facts.connect_started = monotonic()
        try:
            fresh = self._connect(origin, timeouts.connect)
        except (OSError, gevent.Timeout) as error:
            facts.done = monotonic()
            facts.failure = Failure("connect", _why_not(error, origin, timeouts.connect))
            return facts
        facts.connected = monotonic()
        self._serve(fresh, origin, data, facts, timeouts, token_times)
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
        for connection in list(self.busy):
            connection.abort(failure)

    def close(self) -> None:
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    def _kept(self, origin: tuple[str, str, int]) -> Connection | None:
        idle = self._idle.get(origin, [])
        while idle:
            if (connection := idle.pop()).reusable:
                return connection
            connection.close()
        return None

    def _serve(
        self,
        connection: Connection,
        origin: tuple[str, str, int],
        data: bytes,
        facts: Exchange,
        timeouts: Timeouts,
        token_times: TokenTimes | None,
    ) -> None:
        self.busy.add(connection)
        try:
            connection.exchange(data, facts, timeouts, token_times)
        finally:
            self.busy.discard(connection)
            if connection.reusable:
                self._idle.setdefault(origin, []).append(connection)
            else:
                connection.close()

    def _connect(self, origin: tuple[str, str, int], timeout: float) -> Connection:
        scheme, host, port = origin
        with gevent.Timeout(timeout):
            patient = gevent_socket.create_connection((host, port))
            sock = NativeSocket(fileno=patient.detach())
            try:
                sock.setblocking(False)
                sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
                tls = Tls(self._tls or ssl.create_default_context(), host) if scheme == "https" else None
                if tls is not None:
                    tls.handshake(sock, lambda: wait_for(sock, READABLE))
                stamped = self._clock.available and stamp_arrivals(sock)
            except BaseException:
                sock.close()
                raise
        return Connection(sock, tls, self._clock, self._turns, stamped=stamped)


class HttpxTransport:
    """Any httpx transport, timed at the moments at which this process sees its bytes."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport
        self.busy: dict[gevent.Greenlet, Callable[[Failure], None]] = {}

    def exchange(
        self, request: httpx.Request, *, timeouts: Timeouts, token_times: TokenTimes | None = None
    ) -> Exchange:
        facts = Exchange(sent=monotonic())
        quiet = timeouts.total if token_times is None else max(timeouts.first_token, timeouts.gap)
        request.extensions["timeout"] = httpx.Timeout(quiet, connect=timeouts.connect).as_dict()
        me = gevent.getcurrent()
        self.busy[me] = me.throw
        try:
            with gevent.Timeout(timeouts.total):
                self._read(request, facts)
        except gevent.Timeout:
            message = f"no complete answer within timeouts.total of {timeouts.total:g} s"
            facts.failure = Failure("timeout", message)
        except _Aborted as aborted:
            facts.failure = aborted.failure
        except httpx.TransportError as error:
            facts.failure = _failure(error)
        finally:
            del self.busy[me]
        facts.done = monotonic() if facts.failure or not facts.reads else facts.reads[-1][0]
        return facts

    def _read(self, request: httpx.Request, facts: Exchange) -> None:
        response = self._transport.handle_request(request)
        try:
            facts.headers_at, facts.status, facts.headers = monotonic(), response.status_code, response.headers
            facts.http = response.http_version
            for data in _sync(response):
                facts.reads.append((monotonic(), data))
            facts.complete = True
        finally:
            response.close()

    def abort(self, failure: Failure) -> None:
        for throw in list(self.busy.values()):
            gevent.get_hub().loop.run_callback(throw, _Aborted(failure))

    def close(self) -> None:
        self._transport.close()


class _Aborted(Exception):  # noqa: N818 - not an error: the run is over
    def __init__(self, failure: Failure) -> None:
        self.failure = failure


def encode(request: httpx.Request) -> bytes:
    """The bytes of a request whose body is already there."""
    lines = [b"%s %s HTTP/1.1\r\n" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%s: %s\r\n" % header for header in request.headers.raw]
    return b"".join([*lines, b"\r\n", request.content])


def _sync(response: httpx.Response) -> Iterable[bytes]:
    assert isinstance(response.stream, httpx.SyncByteStream)
    return response.stream


def _failure(error: httpx.TransportError) -> Failure:
    text = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        return Failure("connect", f"no connection: {text}")
    if isinstance(error, httpx.TimeoutException):
        return Failure("timeout", f"no further byte within the timeouts: {text}")
    return Failure("protocol", text)


def _why_not(error: BaseException, origin: tuple[str, str, int], timeout: float) -> str:
    where = f"{origin[1]}:{origin[2]}"
    if isinstance(error, gevent.Timeout | TimeoutError):
        return f"no connection to {where} within timeouts.connect of {timeout:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {where} is not trusted: {error.verify_message}"
    if isinstance(error, gevent_socket.gaierror):
        return f"the name {origin[1]} does not resolve: {error.strerror}"
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return f"no connection to {where}: this process is out of file descriptors; raise them with ulimit -n"
    if isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL:
        return f"no connection to {where}: this machine is out of ephemeral ports (net.ipv4.ip_local_port_range)"
    return f"no connection to {where}: {error}"
