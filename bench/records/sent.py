"""One request and its answer as they went over the wire, without secrets: `bench send` shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bench.records.record import Record


@dataclass(frozen=True, slots=True)
class Arrived:
    """One event of a stream, or a webhook."""

    at: float  # s from the sending of the request (of a webhook: the first one) to the arrival of the last byte
    data: str
    name: str = ""  # empty if the event has no name


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """One HTTP request and its answer. A poll that was sent again and again is one: its last time. The texts hold no
    secrets."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str
    times: int  # how many times it was sent
    at: float | None  # s from the sending of the first request to this one's last; None if it was not sent
    connected: float | None  # how long a fresh connection took, TLS included, s; None without a fresh connection
    http: str | None  # "HTTP/1.1", "HTTP/2"; None without an answer
    status: int | None
    headers_at: float | None  # s from the sending to the last byte of the answer's head
    answer_headers: tuple[tuple[str, str], ...]
    events: tuple[Arrived, ...]  # the events of a stream in order; empty without a stream
    answer: str | None  # the body without a stream, or the incomplete last event of a stream; else None
    answer_bytes: int
    done: float | None  # s from the sending to the end; None if nothing was sent


@dataclass(frozen=True, slots=True)
class Sent:
    """A request with all its exchanges, and the record that a run would write."""

    exchanges: tuple[Exchanged, ...]  # one, or those of a job in order; empty if no request could be made
    webhook: Arrived | None  # the webhook with a job's result; None without one
    record: Record


class Watcher(Protocol):
    """Is told of each exchange while it goes on; what is not known yet is None or empty."""

    def request(self, one: Exchanged) -> None:
        """This request is about to be sent; not told again of a poll."""

    def head(self, one: Exchanged) -> None:
        """A stream begins."""

    def event(self, one: Arrived) -> None:
        """An event of a stream has arrived."""

    def end(self, one: Exchanged) -> None:
        """The exchange is over, and its request is not sent again."""
