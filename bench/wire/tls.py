"""TLS as bytes in and bytes out: it has no socket of its own, so the raw socket keeps its kernel stamps."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from bench.wire.clock import NativeSocket

_RECORD = 65536  # more than the largest TLS record


class Tls:
    """One TLS client session over `ssl.MemoryBIO`."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._in, self._out, server_hostname=host)
        self.ended = False  # the server has ended the TLS session; its TCP connection may stay open

    def handshake(self, sock: NativeSocket, wait_readable: Callable[[], None]) -> None:
        """Run the handshake on a connected non-blocking socket. Raises ssl.SSLError, OSError."""
        while True:
            try:
                self._session.do_handshake()
            except ssl.SSLWantReadError:
                sock.sendall(self._out.read())
                wait_readable()
                if not (data := sock.recv(_RECORD)):
                    raise ConnectionResetError(104, "closed during the TLS handshake") from None
                self._in.write(data)
            else:
                sock.sendall(self._out.read())  # a handshake's messages fit any socket buffer
                return

    def encrypt(self, data: bytes) -> bytes:
        """The TLS records to send for this plaintext."""
        self._session.write(data)
        return self._out.read()

    def decrypt(self, data: bytes) -> bytes:
        """The plaintext of the records that these bytes complete; may be empty. Raises ssl.SSLError."""
        self._in.write(data)
        plain: list[bytes] = []
        while True:
            try:
                piece = self._session.read(_RECORD)
            except ssl.SSLWantReadError:
                return b"".join(plain)
            except ssl.SSLZeroReturnError:  # close_notify
                self.ended = True
                return b"".join(plain)
            if not piece:
                self.ended = True
                return b"".join(plain)
            plain.append(piece)
