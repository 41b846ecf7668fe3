"""A server that says exactly what a test wrote down, byte for byte, in the pieces written down."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import chain, repeat

Script = Callable[[socket.socket], None]


class ScriptedServer:
    """Serves each connection with the next script: a function of the connected socket.

    `rest` is the script of all further connections; where it is given, connections are served side by side.
    """

    def __init__(self, *scripts: Script, rest: Script | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self._scripts, self._rest, self._tls = scripts, rest, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for script in chain(self._scripts, repeat(self._rest) if self._rest else ()):
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._rest is None:
                self._play(script, connection)
            else:
                threading.Thread(target=self._play, args=(script, connection), daemon=True).start()

    def _play(self, script: Script, connection: socket.socket) -> None:
        with suppress(OSError):
            served = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            with served:
                script(served)

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._rest is not None:
            self._listener.shutdown(socket.SHUT_RDWR)  # which ends the wait for one more connection
        self._listener.close()
        self._thread.join(5)


def read_request(connection: socket.socket) -> bytes:
    """One request with its body; empty where the client has gone."""
    data = bytearray()  # bytes would be copied with every piece that is added
    while not whole(data):
        if not (piece := connection.recv(65536)):
            return b""
        data += piece
    return bytes(data)


def whole(data: bytearray) -> bool:
    """Whether a request has come with all of its body."""
    begin = data.find(b"\r\n\r\n") + 4
    if begin < 4:
        return False
    lines = bytes(data[:begin]).lower().splitlines()
    lengths = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")]
    return not lengths or len(data) - begin >= lengths[0]


def saying(*answers: bytes, then: Script = lambda connection: None) -> Script:
    """A script: answer each request of the connection with the next bytes, then do something and close."""

    def script(connection: socket.socket) -> None:
        for answer in answers:
            if not read_request(connection):
                return
            connection.sendall(answer)
        then(connection)

    return script


def until_closed(connection: socket.socket) -> None:
    """Keep the connection open until the client closes it."""
    connection.recv(1)
