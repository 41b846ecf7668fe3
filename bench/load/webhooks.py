"""A listener on this machine that providers tell of results.

Anybody may connect to it. Its address has a part that nobody can guess, and what does not come there is turned away
before it is read; every connection has an end, and what nobody waits for is kept for a while and then forgotten.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from http.client import HTTPException
from typing import Any

import httpx
import orjson
from gevent import get_hub
from gevent.event import AsyncResult
from gevent.pywsgi import WSGIHandler, WSGIServer
from gevent.socket import SHUT_RDWR

from bench.plan.scenario import Webhook

LARGEST = 10_000_000  # bytes of one webhook; a larger one is not from a provider
LONGEST_KEY = 256  # characters of a task's id
EARLY = 1000  # webhooks kept that nobody waits for yet: the submission's own answer may come later
EARLY_BYTES = 50_000_000  # of all these
CONNECTIONS = 256  # at a time
CONNECTION_S = 5.0  # from being accepted to the end of the answer


class Listener:
    """Takes webhooks and hands them to whoever waits for their task."""

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
            handler_class=Visit,
            spawn=CONNECTIONS,
        )

    def start(self) -> None:
        """Listen. Raises OSError if the port is taken."""
        self._server.start()

    @property
    def url(self) -> str:
        """Where providers reach it, once it listens: the scenario's address and this run's own part."""
        base = httpx.URL(self._settings.url or f"http://{self._settings.host}:{self._server.server_port}/webhook")
        return str(base.copy_with(path=f"{base.path.rstrip('/')}/{self._token}"))

    def told(self, key: str, timeout: float) -> tuple[float, bytes] | None:
        """When the webhook of this task came (absolute monotonic s) and its body; None if none did in time."""
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

    def _take(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        at = time.monotonic()

        def answer(status: str, text: str) -> Iterable[bytes]:
            start_response(status, [("Content-Type", "text/plain"), ("Connection", "close")])
            return [f"{text}\n".encode()]

        place = environ["PATH_INFO"].encode("latin-1", "replace").rpartition(b"/")[2]
        if not hmac.compare_digest(place, self._token.encode()):
            return answer("404 Not Found", "nothing is told here")
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
        """To whoever waits, else to what is kept for a while; the oldest of it is forgotten first."""
        if (waiting := self._waiting.get(key)) is not None:
            waiting.set((at, body))
            return
        if key in self._early:
            return  # told again
        self._early[key] = (at, body)
        self._early_bytes += len(body)
        while len(self._early) > EARLY or self._early_bytes > EARLY_BYTES:
            _, (_, forgotten) = self._early.popitem(last=False)
            self._early_bytes -= len(forgotten)


def task_of(body: bytes) -> str | None:
    """The id of the task that a webhook is about; None if it is no task's result."""
    try:
        key = orjson.loads(body)["payload"]["task"]["task_id"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return key if isinstance(key, str) and len(key) <= LONGEST_KEY else None


class Visit(WSGIHandler):  # type: ignore[misc]  # gevent.pywsgi has no types
    """One connection. Whatever a stranger sends, it ends in time and is no error of ours."""

    def handle(self) -> None:
        cut = get_hub().loop.timer(CONNECTION_S)
        cut.start(hang_up, self.socket)
        try:
            with suppress(OSError):  # it is gone before our answer
                super().handle()
        finally:
            cut.close()

    def read_request(self, raw_requestline: str) -> bool:
        try:
            return bool(super().read_request(raw_requestline))
        except (HTTPException, OSError) as error:  # headers too many or too long; cut off among them
            raise ValueError(str(error)) from None

    def handle_error(self, kind: object, error: object, trace: object) -> None:
        """A body that ends early, a peer that is gone."""
        self.close_connection = True


def hang_up(sock: Any) -> None:
    with suppress(OSError):
        sock.shutdown(SHUT_RDWR)
