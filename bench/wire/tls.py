"""TLS as bytes in and bytes out: it has no socket of its own, so the raw socket keeps its kernel stamps."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from bench.wire.clock import NativeSocket

_RECORD = 65536  # more than the largest TLS record

_REMEDIES = {
    "CERTIFICATE_REQUIRED": "the server asks for a certificate of ours: target.client_certificate",
    "UNKNOWN_CA": "the server does not know who signed our certificate",
    "WRONG_VERSION_NUMBER": "the server does not speak TLS here; is it http://?",
    "HTTP_REQUEST": "the server does not speak TLS here; is it http://?",
}
"""What an error of OpenSSL means, by the end of its name."""


def tls_problem(error: ssl.SSLError) -> str:
    """What went wrong with TLS, in words where they are known."""
    reason = error.reason or str(error)
    remedy = next((f" ({words})" for end, words in _REMEDIES.items() if reason.endswith(end)), "")
    return f"TLS failed: {reason}{remedy}"


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
