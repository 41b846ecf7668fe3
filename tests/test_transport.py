"""The timed exchange against real sockets: framing, keep-alive and its races, timeouts, TLS, and both transports."""

from __future__ import annotations

import socket
import ssl
import threading
import time

import gevent
import httpx
import pytest

from bench.wire.bounds import Timeouts, next_deadline
from bench.wire.clock import KernelClock
from bench.wire.exchange import Exchange, Failure
from bench.wire.protocols import PROTOCOLS
from bench.wire.tls import tls_problem
from bench.wire.transport import GOODBYE, HttpxTransport, KernelTransport, encode
from tests.scripted_server import ScriptedServer, read_request, saying, until_closed

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def clock():
    kernel = KernelClock()
    yield kernel
    kernel.close()


@pytest.fixture
def transport(clock):
    kernel = KernelTransport(clock)
    yield kernel
    kernel.close()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def post(url: str, body: bytes = b"{}") -> httpx.Request:
    return httpx.Request("POST", url + "/v1/chat/completions", content=body)


def ask(transport, url: str, *, body: bytes = b"{}", timeouts: Timeouts | None = None, token_times=None) -> Exchange:
    return transport.exchange(post(url, body), timeouts=timeouts or Timeouts(total=10.0), token_times=token_times)


def body_of(exchange: Exchange) -> bytes:
    return b"".join(data for _, data in exchange.reads)


def test_a_request_goes_out_as_http_1_1_says():
    request = httpx.Request("POST", "http://host:81/v1/x?y=1", headers={"X-A": "b"}, content=b"{}")
    assert encode(request) == b"POST /v1/x?y=1 HTTP/1.1\r\nHost: host:81\r\nX-A: b\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        pytest.param(OK, b"{}", id="content-length"),
        pytest.param(
            HEAD + chunk(b"data: 1\n\n") + chunk(b"data: 2\n\n") + b"0\r\n\r\n", b"data: 1\n\ndata: 2\n\n", id="chunked"
        ),
        pytest.param(HEAD + chunk(b"x" * 65536) + b"0\r\n\r\n", b"x" * 65536, id="a chunk of 64 kB"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end", id="close-delimited"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nold", b"old", id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"{}", id="after an interim answer"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", id="no body"),
    ],
)
def test_every_framing_of_http_1_1_is_read_to_its_end(transport, answer, body):
    with ScriptedServer(saying(answer)) as server:
        exchange = ask(transport, server.url)
    assert (exchange.status, exchange.complete, exchange.failure) == (200, True, None)
    assert body_of(exchange) == body


def test_the_moments_of_an_exchange_are_in_order(transport):
    def slowly(connection: socket.socket) -> None:
        read_request(connection)
        for piece in (HEAD, chunk(b"a"), chunk(b"b"), b"0\r\n\r\n"):
            connection.sendall(piece)
            time.sleep(0.005)

    with ScriptedServer(slowly) as server:
        exchange = ask(transport, server.url)
    (first, _), (second, _) = exchange.reads
    moments = [
        exchange.connect_started,
        exchange.connected,
        exchange.sent,
        exchange.headers_at,
        first,
        second,
        exchange.done,
    ]
    assert moments == sorted(moments)
    assert second - first >= 0.004


def test_on_linux_the_kernel_stamps_the_arrival_not_our_reading_of_it(transport, clock):
    if not clock.available:
        pytest.skip("this system has no SO_TIMESTAMPNS")
    written: list[float] = []
    asked, hogged = threading.Event(), threading.Event()

    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HEAD)
        asked.set()
        hogged.wait(5)
        written.append(time.monotonic())
        connection.sendall(chunk(b"late") + b"0\r\n\r\n")
        until_closed(connection)

    def hog() -> None:
        """Keep the hub busy from before the bytes come until long after."""
        while not asked.is_set():
            gevent.sleep(0)
        hogged.set()
        while not written:
            time.sleep(0.001)
        time.sleep(0.1)

    with ScriptedServer(script) as server:
        busy = gevent.spawn(hog)
        exchange = ask(transport, server.url)
        busy.join()
        transport.close()
    assert exchange.clock == "kernel"
    assert exchange.read_delay > 0.05, "the hub was kept busy"
    assert exchange.reads[0][0] - written[0] < exchange.read_delay / 2, "and the stamp does not show it"


def test_a_connection_is_kept_and_used_again(transport):
    with ScriptedServer(saying(OK, OK)) as server:
        first, second = ask(transport, server.url), ask(transport, server.url)
    assert server.connections == 1
    assert first.connected is not None
    assert second.connected is None
    assert second.connect_started is None


def test_a_connection_that_the_server_closed_while_idle_is_replaced_without_a_failure(transport):
    with ScriptedServer(saying(OK), saying(OK)) as server:
        ask(transport, server.url)
        gevent.sleep(0.05)
        second = ask(transport, server.url)
    assert (second.status, second.failure) == (200, None)
    assert server.connections == 2


@pytest.mark.slow
def test_a_connection_that_the_server_closes_as_the_request_arrives_is_replaced_and_the_clock_keeps_running(transport):
    closed: list[float] = []

    def answer_one_then_hang_up_on_the_next(connection: socket.socket) -> None:
        saying(OK)(connection)
        if read_request(connection):
            closed.append(time.monotonic())

    with ScriptedServer(*[answer_one_then_hang_up_on_the_next] * 20) as server:
        ask(transport, server.url)
        asked = (ask(transport, server.url) for _ in range(10))  # on a busy machine the server may hang up too late
        exchange = next(exchange for exchange in asked if exchange.reopened)
        transport.close()
        assert (exchange.status, exchange.failure) == (200, None)
        assert exchange.sent < closed[-1] < exchange.connect_started < exchange.connected < exchange.headers_at


def test_a_request_that_the_server_worked_on_and_dropped_is_not_sent_again(transport):
    def answer_one_then_drop_the_next(connection: socket.socket) -> None:
        saying(OK)(connection)
        read_request(connection)
        time.sleep(0.1)

    with ScriptedServer(answer_one_then_drop_the_next, saying(OK)) as server:
        ask(transport, server.url)
        second = ask(transport, server.url)
        assert server.connections == 1
        ask(transport, server.url)
    assert (second.status, second.failure.kind, second.reopened) == (None, "protocol", False)
    assert second.done - second.sent >= 0.1


def test_a_fresh_connection_that_is_closed_without_an_answer_is_a_protocol_failure(transport):
    with ScriptedServer(lambda connection: read_request(connection) and None) as server:
        exchange = ask(transport, server.url)
    assert exchange.failure.kind == "protocol"
    assert "closed the connection before its answer was complete" in exchange.failure.message


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(HEAD + chunk(b"data: 1\n\n"), id="in the middle of a chunked body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123", id="short of its content-length"),
        pytest.param(b"HTTP/1.1 200", id="in the middle of its head"),
        pytest.param(b"SMTP ready\r\n\r\n", id="with another protocol"),
        pytest.param(HEAD + b"zz\r\n", id="with a broken chunk"),
    ],
)
def test_an_answer_that_breaks_off_is_a_protocol_failure(transport, answer):
    with ScriptedServer(saying(answer)) as server:
        exchange = ask(transport, server.url)
    assert (exchange.complete, exchange.failure.kind) == (False, "protocol")


def test_a_reset_is_a_protocol_failure_that_keeps_what_had_come(transport):
    def reset(connection: socket.socket) -> None:
        time.sleep(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    with ScriptedServer(saying(HEAD + chunk(b"data: 1\n\n"), then=reset)) as server:
        exchange = ask(transport, server.url)
    assert exchange.failure.kind == "protocol"
    assert body_of(exchange) == b"data: 1\n\n"


def test_a_refused_connection_says_where(transport):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    exchange = ask(transport, f"http://127.0.0.1:{port}")
    assert exchange.failure.kind == "connect"
    assert f"no connection to 127.0.0.1:{port}" in exchange.failure.message
    assert exchange.sent is None
    assert exchange.done is not None


def test_a_name_that_does_not_resolve_is_a_failure_to_connect(transport):
    exchange = ask(transport, "http://no-such-host.invalid")
    assert exchange.failure.kind == "connect"
    assert "no-such-host.invalid does not resolve" in exchange.failure.message


def test_pings_do_not_count_as_tokens_for_the_timeout_of_the_first(transport):
    def only_pings(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HEAD)
        while connection.send(chunk(b": ping\n\n")):
            time.sleep(0.01)

    with ScriptedServer(only_pings) as server:
        exchange = ask(
            transport,
            server.url,
            timeouts=Timeouts(first_token=0.1, total=5.0),
            token_times=lambda reads: (None, None),
        )
        transport.close()
    assert exchange.failure == Failure("timeout", "no token within timeouts.first_token of 0.1 s")
    assert len(exchange.reads) > 1


def test_tokens_that_cannot_be_told_end_the_exchange_in_words(transport):
    def no_tokens(reads):
        raise KeyError("choices")

    with ScriptedServer(saying(HEAD + chunk(b"data: 1\n\n"), then=until_closed)) as server:
        exchange = ask(transport, server.url, timeouts=Timeouts(first_token=0.05), token_times=no_tokens)
    assert exchange.failure == Failure("protocol", "the token times of the answer cannot be read: KeyError('choices')")


def test_an_error_of_our_own_while_reading_ends_the_exchange_in_words():
    class BrokenClock:
        available = True

        def arrival(self, ancillary, now):
            raise OverflowError("no such time")

    broken = KernelTransport(BrokenClock())
    with ScriptedServer(saying(OK)) as server:
        exchange = ask(broken, server.url)
    assert exchange.failure == Failure("protocol", "the answer cannot be read: OverflowError('no such time')")


@pytest.mark.slow
def test_a_transport_that_was_aborted_begins_nothing_more(transport):
    over = Failure("censored", "the run is over")
    with ScriptedServer(saying(OK, OK)) as server:
        ask(transport, server.url)
        transport.abort(over)
        exchange = ask(transport, server.url)
    assert (exchange.failure, exchange.sent) == (over, None)


def test_a_stream_that_comes_whole_is_known_by_its_single_read(transport):
    events = [b'data: {"choices":[{"delta":{"content":"%d"},"finish_reason":null}]}\n\n' % n for n in range(20)]
    with ScriptedServer(saying(HEAD + chunk(b"".join(events)) + b"0\r\n\r\n")) as server:
        exchange = ask(transport, server.url)
    answer = PROTOCOLS["chat"].read(exchange.reads, stream=True)
    assert {at for at, _ in answer.arrivals} == {exchange.done}
    assert (len(answer.arrivals), answer.merged) == (20, 19)


def test_deadlines_follow_the_tokens():
    timeouts = Timeouts(first_token=2.0, gap=1.0, total=10.0)
    assert next_deadline(100.0, None, timeouts)[0] == 110.0
    assert next_deadline(100.0, (None, None), timeouts)[0] == 102.0
    assert next_deadline(100.0, (101.5, 105.0), timeouts)[0] == 106.0
    assert next_deadline(100.0, (101.5, 109.5), timeouts)[0] == 110.0


def test_a_connection_is_not_used_again_after_a_timeout(transport):
    with ScriptedServer(saying(HEAD, then=until_closed), saying(OK)) as server:
        slow = ask(transport, server.url, timeouts=Timeouts(total=0.05))
        next_one = ask(transport, server.url)
    assert slow.failure == Failure("timeout", "no complete answer within timeouts.total of 0.05 s")
    assert next_one.status == 200


def test_an_exchange_under_way_can_be_aborted_and_keeps_what_it_has(transport):
    with ScriptedServer(saying(HEAD + chunk(b"data: 1\n\n"), then=until_closed)) as server:
        asking = gevent.spawn(ask, transport, server.url)
        while not transport.busy:
            gevent.sleep(0.001)
        gevent.sleep(0.05)
        transport.abort(Failure("censored", "the run is over"))
        exchange = asking.get(timeout=5)
    assert exchange.failure.kind == "censored"
    assert body_of(exchange) == b"data: 1\n\n"


@pytest.mark.slow
def test_a_large_request_body_is_sent_whole(transport):
    received: list[int] = []

    def count(connection: socket.socket) -> None:
        received.append(len(read_request(connection).partition(b"\r\n\r\n")[2]))
        connection.sendall(OK)

    with ScriptedServer(count) as server:
        exchange = ask(transport, server.url, body=b"x" * 20_000_000)
    assert exchange.status == 200
    assert received == [20_000_000]


@pytest.fixture(scope="module")
def authority():
    import trustme

    return trustme.CA()


@pytest.fixture(scope="module")
def tls_server(authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def test_tls_is_read_with_kernel_stamps_too(authority, tls_server, clock):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    transport = KernelTransport(clock, tls=lambda: context)
    big = HEAD + chunk(b"y" * 100_000) + b"0\r\n\r\n"
    with ScriptedServer(saying(OK, big), tls=tls_server) as server:
        first, second = ask(transport, server.url), ask(transport, server.url)
        transport.close()
    assert body_of(first) == b"{}"
    assert body_of(second) == b"y" * 100_000
    assert first.clock == ("kernel" if clock.available else "user")
    assert server.connections == 1


def test_a_certificate_of_an_unknown_authority_is_refused(tls_server, clock):
    transport = KernelTransport(clock, tls=ssl.create_default_context)
    with ScriptedServer(saying(OK), tls=tls_server) as server:
        exchange = ask(transport, server.url)
    assert exchange.failure.kind == "connect"
    assert "is not trusted" in exchange.failure.message


def test_the_kernel_transport_serves_a_plain_httpx_client(transport):
    with ScriptedServer(saying(OK)) as server, httpx.Client(transport=transport) as client:
        response = client.post(server.url, json={})
    assert response.json() == {}
    assert response.extensions["exchange"].complete


def test_any_httpx_transport_can_be_timed():
    mock = httpx.MockTransport(lambda request: httpx.Response(200, json={"asked": request.url.path}))
    exchange = ask(HttpxTransport(mock), "http://anywhere")
    assert (exchange.status, exchange.complete, exchange.clock) == (200, True, "user")
    assert body_of(exchange) == b'{"asked":"/v1/chat/completions"}'


def test_failures_of_an_httpx_transport_have_the_same_words():
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    assert ask(HttpxTransport(httpx.MockTransport(refuse)), "http://anywhere").failure == Failure(
        "connect", "no connection: refused"
    )


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "<StreamReset stream_id:5, error_code:2, remote_reset:True>",
            "the server reset the stream before its answer was complete (HTTP/2 error code 2)",
        ),
        (
            "<ConnectionTerminated error_code:11, last_stream_id:7, additional_data:None>",
            "the server closed the connection before its answer was complete (HTTP/2 error code 11)",
        ),
        ("<ConnectionTerminated error_code:0, last_stream_id:7, additional_data:None>", GOODBYE),
        ("<ConnectionTerminated error_code:ErrorCodes.NO_ERROR, last_stream_id:7, additional_data:None>", GOODBYE),
        ("Invalid input ConnectionInputs.RECV_WINDOW_UPDATE in state ConnectionState.CLOSED", GOODBYE),
        ("peer closed connection", "peer closed connection"),
    ],
)
def test_the_end_of_an_http2_stream_is_told_in_words_that_do_not_differ_by_request(said, words):
    def end(request: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError(said)

    failure = ask(HttpxTransport(httpx.MockTransport(end)), "http://anywhere").failure
    assert failure == Failure("protocol", words)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "a certificate of ours: target.client_certificate"),
        ("TLSV1_ALERT_UNKNOWN_CA", "does not know who signed our certificate"),
        ("WRONG_VERSION_NUMBER", "is it http://?"),
    ],
)
def test_an_error_of_tls_says_what_it_means(reason, words):
    error = ssl.SSLError(1, "the library's words")
    error.reason = reason
    told = tls_problem(error)
    assert told.startswith(f"TLS failed: {reason} (")
    assert words in told
    error.reason = "SOMETHING_ELSE"
    assert tls_problem(error) == "TLS failed: SOMETHING_ELSE"


def test_many_exchanges_at_once_do_not_mix(transport):
    def echo(connection: socket.socket) -> None:
        while request := read_request(connection):
            body = request.partition(b"\r\n\r\n")[2]
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    def on_a_thread(connection: socket.socket) -> None:
        copy = connection.dup()
        threading.Thread(target=lambda: (echo(copy), copy.close()), daemon=True).start()

    with ScriptedServer(*[on_a_thread] * 20) as server:
        bodies = [b'{"n": %d}' % number for number in range(20)]
        asked = [gevent.spawn(ask, transport, server.url, body=body) for body in bodies]
        assert [body_of(greenlet.get(timeout=5)) for greenlet in asked] == bodies
        transport.close()
