"""One request and its answer as they went over the wire, without secrets: `bench send` shows them."""

from __future__ import annotations

from dataclasses import dataclass

from bench.records.record import Record


@dataclass(frozen=True, slots=True)
class Arrived:
    """One event of a stream."""

    at: float  # s from the sending of the request to the arrival of the event's last byte
    data: str
    name: str = ""  # empty if the event has no name


@dataclass(frozen=True, slots=True)
class Sent:
    """A request, its answer, and the record that a run would write. The texts hold no secrets."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str
    connected: float | None  # how long a fresh connection took, TLS included, s; None without a fresh connection
    http: str | None  # "HTTP/1.1", "HTTP/2"; None without an answer
    status: int | None
    headers_at: float | None  # s from the sending to the last byte of the answer's head
    answer_headers: tuple[tuple[str, str], ...]
    events: tuple[Arrived, ...]  # the events of a stream in order; empty without a stream
    answer: str | None  # the body without a stream, or the incomplete last event of a stream; else None
    answer_bytes: int
    done: float | None  # s from the sending to the end; None if nothing was sent
    record: Record
