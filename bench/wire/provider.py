"""Where requests go: turns each call into an HTTP request with address, headers and body."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import httpx
import orjson

from bench.wire.job import Call
from bench.wire.paths import HEADERS, endpoint, stated


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Where requests go, and the headers of all of them."""

    url: str
    style: str  # see wire.paths
    headers: dict[str, str]
    credentials: Callable[[], dict[str, str]] | None = None  # headers that may change during a run, such as a key
    scrub: Callable[[str], str]  # removes our secrets from a text; a server may quote them

    def call(self, call: Call, family: str) -> httpx.Request:
        """The HTTP request of a call to an API of this family. Raises ElsewhereError."""
        if call.path.startswith(("/", "http://", "https://")):
            url = stated(self.url, call.path)
        else:
            url = endpoint(self.url, self.style, family, call.path)
        if call.query:
            url = url.copy_merge_params(call.query)
        headers = HEADERS.get(family, {}) | self.headers
        if self.credentials is not None:
            headers |= self.credentials()
        if call.file is not None:
            name, content, fields = call.file
            plain = {key: value for key, value in headers.items() if key.lower() != "content-type"}
            upload = httpx.Request(call.method, url, headers=plain, data=dict(fields), files={"file": (name, content)})
            upload.read()
            return upload
        content = b"" if call.body is None else orjson.dumps(call.body)
        return request_with(content, call.method, url, tuple(headers.items()))


def request_with(content: bytes, method: str, url: httpx.URL, headers: tuple[tuple[str, str], ...]) -> httpx.Request:
    """The request that httpx makes of these, in a third of its time: lines that repeat are made once."""
    if not content:
        return httpx.Request(method, url, headers=headers)
    length = (b"Content-Length", b"%d" % len(content))
    request = httpx.Request(method, url, headers=[*lines_of(url, headers), length], stream=httpx.ByteStream(content))
    request.read()
    return request


@lru_cache(maxsize=256)
def lines_of(url: httpx.URL, headers: tuple[tuple[str, str], ...]) -> list[tuple[bytes, bytes]]:
    """The lines of a request's head, without its body's length: a scenario's own headers cannot state it."""
    return httpx.Request("GET", url, headers=headers).headers.raw
