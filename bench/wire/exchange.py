"""What one timed HTTP exchange was: facts and times, no meaning.

A transport makes an `Exchange`; the protocols read tokens, usage and errors out of it after the last byte.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import httpx

from bench.records import Clock

Read = tuple[float, bytes]
"""Arrival (absolute monotonic seconds) of the last byte of one read, and the body bytes it brought, de-chunked."""

FailureKind = Literal["timeout", "connect", "protocol", "censored"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an exchange has no complete answer; its kind is one of `bench.records.OUTCOMES`."""

    kind: FailureKind
    message: str  # one line: what happened, where, after how long


@dataclass(slots=True)
class Exchange:
    """One request and whatever came back. Times are absolute seconds of `time.monotonic()`."""

    connect_started: float | None = None  # when a fresh connection was begun; None when one was reused
    connected: float | None = None  # when it was ready, TLS included
    reopened: bool = False  # the reused connection was found closed and replaced; `sent` may be before connecting then
    sent: float | None = None  # just before the first byte of the request went to the kernel
    headers_at: float | None = None  # arrival of the last byte of the response's head
    done: float | None = None  # arrival of the last byte, or the moment the exchange was given up
    clock: Clock = "user"
    read_delay: float | None = None  # the longest that bytes lay in the kernel, s; None without kernel stamps
    status: int | None = None
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    http: str | None = None  # "HTTP/1.1", "HTTP/2"
    reads: list[Read] = field(default_factory=list)
    complete: bool = False  # the message's framing ended as HTTP says
    failure: Failure | None = None
