"""Jobs: requests that take several exchanges, such as submit, poll and fetch.

A job is a generator. `JobRunner` sends each `Call` that it yields and gives back the `Exchange`; for each `Awaited` it
waits for the result and gives back a `Finished`. The generator returns the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bench.wire.answer import Answer, parsed, unreadable
from bench.wire.errors import find_error
from bench.wire.exchange import Exchange
from bench.wire.fields import excerpt, word


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request of a job."""

    step: str  # its name: "submit", "upload", "create", "cancel", "fetch"
    path: str  # below the family's base, see wire.paths; with / or https:// before it as the server stated it
    method: str = "POST"
    body: Mapping[str, Any] | None = None  # JSON
    file: tuple[str, bytes, Mapping[str, str]] | None = None  # name, content and further fields of a form
    query: Mapping[str, str] | None = None
    needed: bool = True  # whether the job ends if this call fails


@dataclass(frozen=True, slots=True)
class Awaited:
    """A result that is not ready yet."""

    poll: Call  # asks for the result
    finished: Callable[[bytes], bool]  # whether the body of a poll's answer, or of a webhook, says that it is ready
    key: str  # the id of the result in a webhook
    until: float | None = None  # the longest wait, s; None: the timeout of the scenario


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a wait: the result's body, or no body if `until` ran out."""

    body: bytes
    in_time: bool = True  # False if `until` ran out first


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to poll for a result, and for how long."""

    interval: float = 0.5  # from one poll to the next, s
    jitter: float = 0.1  # the random change of each interval, as a share of it
    timeout: float = 600.0  # how long to wait for a result, s


Reply = Exchange | Finished
Steps = Generator[Call | Awaited, Reply, Answer]


class UnexpectedAnswerError(Exception):
    """A server's answer is not what its API promises; the message is one line."""


class RefusedError(Exception):
    """A server states an error inside an HTTP success; the message is one line."""


def json_of(reply: Reply) -> Any:
    """The JSON of an answer. Raises UnexpectedAnswerError if it is not JSON."""
    data = reply.body if isinstance(reply, Finished) else b"".join(data for _, data in reply.reads)
    try:
        return parsed(data)
    except orjson.JSONDecodeError as error:
        raise UnexpectedAnswerError(unreadable(data, error)) from None


def text_at(value: Any, *keys: str) -> str:
    """The short text below these keys, such as an id; a whole number counts as text. If there is none, raises
    RefusedError for an error object, UnexpectedAnswerError for any other value."""
    member = value
    for key in keys:
        member = member.get(key) if isinstance(member, dict) else None
    if isinstance(member, int) and not isinstance(member, bool):
        member = str(member)
    if (found := word(member)) is None:
        if (error := find_error(value)) is not None:
            raise RefusedError(str(error))
        raise UnexpectedAnswerError(f"JSON without {'.'.join(keys)}: {excerpt(value)}")
    return found
