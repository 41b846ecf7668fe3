"""Where requests go: turns each call into an HTTP request with address, headers and body."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
        return httpx.Request(call.method, url, headers=headers, content=content)
