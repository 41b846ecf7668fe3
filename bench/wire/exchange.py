"""The facts and times of one HTTP exchange.

A transport makes an `Exchange`. After the last byte a protocol reads tokens, usage and errors from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import httpx

from bench.records import Clock

Read = tuple[float, bytes]
"""Arrival of the last byte of one read (absolute monotonic seconds), and the body's bytes in it, without chunk
framing."""

FailureKind = Literal["timeout", "connect", "protocol", "censored"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an exchange has no complete answer. `kind` is one of `bench.records.OUTCOMES`."""

    kind: FailureKind
    message: str  # one line: what happened, where, after how long


@dataclass(slots=True)
class Exchange:
    """One request and what came back. Times are absolute seconds of `time.monotonic()`."""

    connect_started: float | None = None  # when a fresh connection was started; None if one was reused
    connected: float | None = None  # when the fresh connection was ready, TLS included; None if one was reused
    reopened: bool = False  # the reused connection was closed, so a fresh one replaced it; `sent` may be before that
    sent: float | None = None  # just before the first byte of the request went to the kernel
    headers_at: float | None = None  # arrival of the last byte of the response's head
    done: float | None = None  # arrival of the last byte, or the time when the exchange was given up
    clock: Clock = "user"
    read_delay: float | None = None  # the longest time that bytes waited in the kernel, s; None without kernel stamps
    status: int | None = None
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    http: str | None = None  # "HTTP/1.1", "HTTP/2"
    reads: list[Read] = field(default_factory=list)
    complete: bool = False  # the message ended as HTTP's framing says
    failure: Failure | None = None
