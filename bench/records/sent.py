"""One request and its answer as they went over the wire, secrets removed: what `bench send` shows."""

from __future__ import annotations

from dataclasses import dataclass

from bench.records.record import Record


@dataclass(frozen=True, slots=True)
class Arrived:
    """One event of a stream."""

    at: float  # s from the sending of the request to the arrival of the event's last byte
    data: str
    name: str = ""  # of the event; empty if it has none


@dataclass(frozen=True, slots=True)
class Sent:
    """A request, what came back, and the record that a run would have kept of it. Texts hold no secrets."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str
    connected: float | None  # s that a fresh connection took, TLS included; None if there was none
    http: str | None  # "HTTP/1.1", "HTTP/2"; None without an answer
    status: int | None
    headers_at: float | None  # s from the sending to the last byte of the answer's head
    answer_headers: tuple[tuple[str, str], ...]
    events: tuple[Arrived, ...]  # of a stream, in order
    answer: str | None  # the body of an answer that is no stream, or what came of an event that did not end; else None
    answer_bytes: int
    done: float | None  # s from the sending to the end
    record: Record
