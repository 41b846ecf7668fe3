"""Requests that take several exchanges: ordered, waited for, fetched.

A job's object is a generator of steps; whoever drives it sends each `Call` and gives back its `Exchange`, and waits
for what an `Awaited` names and gives back a `Finished`. What it returns is the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bench.wire.answer import Answer, unreadable
from bench.wire.exchange import Exchange
from bench.wire.fields import shown, word


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request of a job."""

    step: str  # its name: "submit", "upload", "create", "cancel", "fetch"
    path: str  # below the family's base, see wire.paths
    method: str = "POST"
    body: Mapping[str, Any] | None = None  # JSON
    file: tuple[str, bytes, Mapping[str, str]] | None = None  # name, content and further fields of a form
    query: Mapping[str, str] | None = None
    needed: bool = True  # whether the job ends where it fails


@dataclass(frozen=True, slots=True)
class Awaited:
    """A result that is not there yet."""

    poll: Call  # asks for it
    finished: Callable[[bytes], bool]  # whether an answer to that, or a webhook, says it is there
    key: str  # what a webhook names it by
    until: float | None = None  # wait at most so long, s; None: as the scenario says


@dataclass(frozen=True, slots=True)
class Finished:
    """A result that is there, or one that is not after all."""

    body: bytes
    in_time: bool = True  # False where `until` ran out first


@dataclass(frozen=True, slots=True)
class Pace:
    """How a result is waited for."""

    interval: float = 0.5  # from one poll to the next, s
    jitter: float = 0.1  # how far each interval may be off, as a share of it
    timeout: float = 600.0  # how long to wait for a result, s


Reply = Exchange | Finished
Steps = Generator[Call | Awaited, Reply, Answer]


class UnexpectedAnswerError(Exception):
    """A server answered with something else than its API promises; the message is one line."""


def json_of(reply: Reply) -> Any:
    """The JSON of an answer. Raises UnexpectedAnswerError."""
    data = reply.body if isinstance(reply, Finished) else b"".join(data for _, data in reply.reads)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UnexpectedAnswerError(unreadable(data, error)) from None


def text_at(value: Any, *keys: str) -> str:
    """The short text below these keys, such as an id. Raises UnexpectedAnswerError."""
    at = value
    for key in keys:
        at = at.get(key) if isinstance(at, dict) else None
    if (found := word(at)) is None:
        raise UnexpectedAnswerError(f"JSON without {'.'.join(keys)}: {shown(value)}")
    return found
