"""The simulator's HTTP server: uvicorn, with a protocol that knows when a request's last byte arrived.

The arrival of a request is the kernel's stamp (Linux, SO_TIMESTAMPNS). The time of our reading would be wrong: if the
server is busy with other streams, its own delay would look like a late client.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bench.simulator.app import App
from bench.simulator.config import Provider

_SO_TIMESTAMPNS_NEW = 64
_TIMESPEC = struct.Struct("qq")
_BUFFER = 65536
EXIT_S = 3.0  # time for the event loop to end; after that the process is ended


class StampedProtocol(HttpToolsProtocol, asyncio.BufferedProtocol):
    """uvicorn's protocol with a buffer of its own. The event loop asks for the buffer just before it reads, which is
    the right moment to ask the kernel when the waiting bytes came."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._buffer = bytearray(_BUFFER)
        self.arrived = time.monotonic()
        self._raw: socket.socket | None = None
        if (sock := transport.get_extra_info("socket")) is not None and sys.platform == "linux":
            self._raw = sock._sock  # the transport's wrapper has no recvmsg
            self._raw.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS_NEW, 1)
            self._raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get_buffer(self, sizehint: int) -> bytearray:
        self.arrived = self._stamp()
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(memoryview(self._buffer)[:nbytes]))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"]["connection"] = self

    def _stamp(self) -> float:
        """When the waiting bytes arrived, monotonic seconds; the current time if the kernel does not say."""
        now = time.monotonic()
        if self._raw is None:
            return now
        try:
            _, ancillary, _, _ = self._raw.recvmsg(_BUFFER, 64, socket.MSG_PEEK)
        except OSError:
            return now
        for _, kind, data in ancillary:
            if kind == _SO_TIMESTAMPNS_NEW:
                seconds, nanoseconds = _TIMESPEC.unpack_from(data)
                stamped: float = seconds - (time.time() - time.monotonic()) + nanoseconds * 1e-9
                return min(now, stamped)
        return now


def serve(
    provider: Provider,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    certfile: Path | None = None,
    keyfile: Path | None = None,
    ready: Callable[[str], None] = print,
    until_eof: bool = False,
) -> None:
    """Serve until a signal comes, or with `until_eof` until standard input closes. Calls `ready` with the URL.

    Raises OSError if the port is taken.
    """
    keeper = socket.socket()  # the kernel stamps packets only while a socket with this option is open
    if sys.platform == "linux":
        keeper.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS_NEW, 1)
    listener = socket.create_server((host, port), backlog=4096)
    scheme = "https" if certfile else "http"
    url = f"{scheme}://{host}:{listener.getsockname()[1]}"
    server = _Server(_config(provider, certfile, keyfile), partial(ready, url))
    if until_eof:
        threading.Thread(target=_stop_at_eof, args=(server,), daemon=True).start()
    gc.collect()
    gc.freeze()
    with keeper:
        server.run([listener])


class _Server(uvicorn.Server):
    """Calls `ready` once it serves: from then on it ends in order if a signal comes."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def _config(provider: Provider, certfile: Path | None, keyfile: Path | None) -> uvicorn.Config:
    return uvicorn.Config(
        App(provider),
        http=StampedProtocol,
        ws="none",  # or it looks for a library of web sockets, and imports it
        loop="asyncio",  # not uvloop: its transports delay a write until the next pass of the loop
        lifespan="off",
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,
        ssl_certfile=certfile,
        ssl_keyfile=keyfile,
        timeout_keep_alive=600,
        timeout_graceful_shutdown=0,
    )


def _stop_at_eof(server: Any) -> None:
    while os.read(0, 4096):
        pass
    server.should_exit = True
    time.sleep(EXIT_S)
    os._exit(1)


def announce(url: str) -> None:
    """Print the URL for the parent process."""
    print(json.dumps({"url": url}), flush=True)  # noqa: T201 - the one line that the parent waits for
