"""Receives webhooks: a server on this machine that providers send results to.

Anybody may connect to it, so its path has a secret part, and requests to other paths are refused before they are read.
Every connection has a time limit. A webhook that nobody waits for is kept for a while and then dropped.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

import httpx
import orjson
from gevent import get_hub
from gevent.event import AsyncResult
from gevent.pywsgi import WSGIHandler, WSGIServer
from gevent.socket import SHUT_RDWR

from bench.plan.scenario import Webhook

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

LARGEST = 10_000_000  # bytes of one webhook; a larger one is not from a provider
LONGEST_KEY = 256  # characters of a task's id
EARLY = 1000  # webhooks that are kept although nobody waits yet: the answer to the submission may come later
EARLY_BYTES = 50_000_000  # the size of all of them together
CONNECTIONS = 256  # at the same time
CONNECTION_S = 5.0  # from the accept to the end of the answer


class Listener:
    """Receives webhooks and gives each to the greenlet that waits for its task."""

    def __init__(self, settings: Webhook) -> None:
        self._waiting: dict[str, AsyncResult] = {}
        self._early: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._early_bytes = 0
        self._settings = settings
        self._token = secrets.token_urlsafe(16)
        self._server = WSGIServer(
            (settings.host, settings.port),
            self._take,
            log=None,
            error_log=None,
            handler_class=ConnectionHandler,
            spawn=CONNECTIONS,
        )

    def start(self) -> None:
        """Listen. Raises OSError if the port is taken."""
        self._server.start()

    @property
    def url(self) -> str:
        """The URL for providers, valid after `start`: the scenario's address and the secret part of this run."""
        base = httpx.URL(self._settings.url or f"http://{self._settings.host}:{self._server.server_port}/webhook")
        return str(base.copy_with(path=f"{base.path.rstrip('/')}/{self._token}"))

    def wait_for(self, key: str, timeout: float) -> tuple[float, bytes] | None:
        """The arrival (absolute monotonic s) and the body of this task's webhook; None if it does not come in time."""
        if (early := self._early.pop(key, None)) is not None:
            self._early_bytes -= len(early[1])
            return early
        result: AsyncResult = self._waiting.setdefault(key, AsyncResult())
        try:
            found: tuple[float, bytes] | None = result.wait(timeout)
        finally:
            self._waiting.pop(key, None)
        return found

    def close(self) -> None:
        self._server.stop(timeout=0.1)

    def _take(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        at = time.monotonic()

        def answer(status: str, text: str) -> Iterable[bytes]:
            start_response(status, [("Content-Type", "text/plain"), ("Connection", "close")])
            return [f"{text}\n".encode()]

        place = environ["PATH_INFO"].encode("latin-1", "replace").rpartition(b"/")[2]
        if not hmac.compare_digest(place, self._token.encode()):
            return answer("404 Not Found", "not found")
        if environ["REQUEST_METHOD"] != "POST":
            return answer("405 Method Not Allowed", "a webhook is a POST")
        if int(environ.get("CONTENT_LENGTH") or 0) > LARGEST:
            return answer("413 Content Too Large", f"more than {LARGEST} bytes")
        body = environ["wsgi.input"].read(LARGEST + 1)
        if len(body) > LARGEST:
            return answer("413 Content Too Large", f"more than {LARGEST} bytes")
        if (key := task_of(body)) is None:
            return answer("400 Bad Request", "not a task's result")
        self._hand_over(key, at, body)
        return answer("200 OK", "ok")

    def _hand_over(self, key: str, at: float, body: bytes) -> None:
        """Give a webhook to the greenlet that waits for it, or keep it for a while. The oldest is dropped first."""
        if (waiting := self._waiting.get(key)) is not None:
            waiting.set((at, body))
            return
        if (earlier := self._early.pop(key, None)) is not None:
            self._early_bytes -= len(earlier[1])
            at = earlier[0] if earlier[1] == body else at  # sent twice, or news
        self._early[key] = (at, body)
        self._early_bytes += len(body)
        while len(self._early) > EARLY or self._early_bytes > EARLY_BYTES:
            _, (_, dropped) = self._early.popitem(last=False)
            self._early_bytes -= len(dropped)


def task_of(body: bytes) -> str | None:
    """The id of the task that a webhook belongs to; None if it is not the result of a task."""
    try:
        key = orjson.loads(body)["payload"]["task"]["task_id"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    return key if isinstance(key, str) and len(key) <= LONGEST_KEY else None


class ConnectionHandler(WSGIHandler):  # type: ignore[misc]  # gevent.pywsgi has no types
    """One connection. Whatever a stranger sends, the connection ends in time and prints no error."""

    def handle(self) -> None:
        cut = get_hub().loop.timer(CONNECTION_S)
        cut.start(hang_up, self.socket)
        try:
            with suppress(OSError):  # the peer may be gone before our answer
                super().handle()
        finally:
            cut.close()

    def read_request(self, raw_requestline: str) -> bool:
        try:
            return bool(super().read_request(raw_requestline))
        except (HTTPException, OSError) as error:  # too many headers, too long ones, or an early end
            raise ValueError(str(error)) from None

    def handle_error(self, kind: object, error: object, trace: object) -> None:
        """Close the connection quietly, for example if a body ends early or the peer is gone."""
        self.close_connection = True


def hang_up(sock: Any) -> None:
    with suppress(OSError):
        sock.shutdown(SHUT_RDWR)
