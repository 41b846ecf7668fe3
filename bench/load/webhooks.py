"""A listener on this machine that providers tell of results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from gevent.event import AsyncResult
from gevent.pywsgi import WSGIServer

from bench.plan.scenario import Webhook

LARGEST = 10_000_000  # bytes of one webhook; a larger one is not from a provider


class Listener:
    """Takes webhooks and hands them to whoever waits for their task."""

    def __init__(self, settings: Webhook) -> None:
        self._results: dict[str, AsyncResult] = {}
        self._settings = settings
        self._server = WSGIServer((settings.host, settings.port), self._take, log=None, error_log=None)

    def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        self._server.start()

    @property
    def url(self) -> str:
        """Where providers reach it, once it listens."""
        return self._settings.url or f"http://{self._settings.host}:{self._server.server_port}/webhook"

    def told(self, key: str, timeout: float) -> tuple[float, bytes] | None:
        """When the webhook of this task came (absolute monotonic s) and its body; None where none did in time."""
        result: AsyncResult = self._results.setdefault(key, AsyncResult())
        found: tuple[float, bytes] | None = result.wait(timeout)
        if found is not None:
            del self._results[key]
        return found

    def close(self) -> None:
        self._server.stop(timeout=0.1)

    def _take(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        at = time.monotonic()
        body = environ["wsgi.input"].read(min(int(environ.get("CONTENT_LENGTH") or 0), LARGEST))
        try:
            key = orjson.loads(body)["payload"]["task"]["task_id"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            start_response("400 Bad Request", [("Content-Type", "text/plain")])
            return [b"not a task's result\n"]
        self._results.setdefault(key, AsyncResult()).set((at, body))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok\n"]
