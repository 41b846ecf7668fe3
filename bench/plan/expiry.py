"""Until when a certificate is valid. The standard library opens certificates, and does not tell that of our own."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime

VERSION, UTC_TIME = 0xA0, 0x17  # tags of DER
_PEM = re.compile(
    r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----"
)  # none that is commented out


def valid_until(pem: str) -> datetime:
    """The end of the validity of a file's first certificate, which ssl has opened already (RFC 5280, 4.1)."""
    found = _PEM.search(pem)
    assert found is not None, "ssl refuses a file without a certificate"
    certificate = first(base64.b64decode(found[1]))
    fields = [(tag, content) for tag, content in elements(first(certificate)) if tag != VERSION]
    validity = fields[3][1]  # after the serial number, the signature's algorithm and the issuer
    (_, _), (tag, text) = elements(validity)
    time = text.decode("ascii")
    century = "" if tag != UTC_TIME else "19" if time >= "5" else "20"
    return datetime.strptime(f"{century}{time}", "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def first(der: bytes) -> bytes:
    """What the first element of these holds."""
    return next(elements(der))[1]


def elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element that stands side by side."""
    at = 0
    while at < len(der):
        tag, size, begin = der[at], der[at + 1], at + 2
        if size >= 0x80:  # then its lower bits are the number of bytes that hold the size
            begin += size - 0x80
            size = int.from_bytes(der[at + 2 : begin], "big")
        at = begin + size
        yield tag, der[begin:at]
