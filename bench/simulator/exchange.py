"""One HTTP exchange for the simulator's handlers: the facts of the request, and ways to answer, also broken ones."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from bench.simulator.streams import Truth

_IDS = itertools.count(1)


class Exchange:
    """A request and its answer."""

    def __init__(
        self, scope: MutableMapping[str, Any], send: Callable[[MutableMapping[str, Any]], Awaitable[None]]
    ) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.scheme: str = scope["scheme"]
        self.query = dict(urllib.parse.parse_qsl(scope["query_string"].decode("latin-1")))
        self.status = 0
        self.id = f"{next(_IDS):08x}"
        self.arrived = time.monotonic()
        self.headers: dict[str, str] = {}  # headers of every answer to this request
        self.limits: dict[str, float] = {}  # the truth about the limits of this request
        self.written = 0  # number of tokens in the answer
        self.cached: int | None = None  # prompt tokens that were read from the cache; None before the lookup
        self._connection = scope["state"]["connection"]
        self._headers = scope["headers"]
        self._send = send

    @property
    def transport(self) -> asyncio.Transport:
        transport: asyncio.Transport = self._connection.transport
        return transport

    @property
    def port(self) -> int:
        """The server's port that got the request."""
        port: int = self.transport.get_extra_info("sockname")[1]
        return port

    @property
    def key(self) -> str:
        """The API key of the request; empty if it has none."""
        return (
            self.header("authorization").removeprefix("Bearer ") or self.header("x-api-key") or self.header("api-key")
        )

    def note_arrival(self) -> None:
        """Note when the request's last byte arrived. Call it right after that byte was read."""
        self.arrived = self._connection.arrived

    def header(self, name: str) -> str:
        wanted = name.encode()
        return next((value.decode("latin-1") for key, value in self._headers if key == wanted), "")

    def truth(self) -> Truth:
        """The truth about the request so far."""
        return Truth(self.arrived, port=self.port, cached=self.cached, **self.limits)

    async def start(self, status: int, content_type: str, headers: Mapping[str, str] | None = None) -> None:
        """Send the head."""
        self.status = status
        lines = {"content-type": content_type, "x-request-id": self.id} | self.headers | dict(headers or {})
        encoded = [(name.encode(), value.encode()) for name, value in lines.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def send_piece(self, data: bytes) -> None:
        """Send a piece of the body; `end` ends it."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, body: bytes = b"") -> None:
        """Send the rest and end the answer."""
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def send_json(self, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        await self.start(status, "application/json", {"content-length": str(len(body))} | dict(headers or {}))
        await self.end(body)

    async def send_value(self, value: Any) -> None:
        """A JSON value as the whole answer."""
        await self.send_json(json.dumps(value).encode())

    async def send_text(self, text: str, *, status: int) -> None:
        body = text.encode()
        await self.start(status, "text/plain; charset=utf-8", {"content-length": str(len(body))})
        await self.end(body)

    def send_unframed(self, body: bytes) -> None:
        """Send an answer of HTTP/1.0 without a length: the end of the connection ends it."""
        self.status = 200
        self.transport.write(b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n" + body)
        self.transport.close()

    def abort(self) -> None:
        """Reset the connection."""
        self.transport.abort()

    def close_in(self, seconds: float) -> None:
        """Close the connection this many seconds after the answer."""
        asyncio.get_running_loop().call_later(seconds, self.transport.close)
