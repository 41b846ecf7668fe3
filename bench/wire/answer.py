"""The meaning of a server's answer, the same for every API.

`Answer` and `Usage` check every value that a server states when they are built, so that a record can always hold it.
A value that does not fit is dropped or makes the answer garbled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from bench.records import TokensFrom
from bench.wire.errors import find_error
from bench.wire.fields import count, excerpt, line, numbers, word
from bench.wire.sse import BOM


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the server states them; None if it does not state one. `prompt` includes cached tokens."""

    prompt: int | None = None
    completion: int | None = None  # reasoning included
    reasoning: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None  # the part of cache_write that is kept for one hour

    def __post_init__(self) -> None:
        for name in self.__slots__:
            object.__setattr__(self, name, count(getattr(self, name)))


class ToolCall(NamedTuple):
    """A tool call that the model asks for."""

    id: str
    name: str
    arguments: str  # as the model wrote them; they should be JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the bytes of one exchange mean. Times are absolute monotonic seconds."""

    arrivals: list[tuple[float, int]] = field(default_factory=list)  # as in Record
    first_token_at: float | None = None  # as in Record
    first_answer_at: float | None = None  # as in Record
    merged: int = 0  # as in Record
    usage: Usage = Usage()
    tokens_from: TokensFrom = "none"
    output_chars: int = 0  # as in Record
    empty: bool = False  # nothing was generated, not even a tool call or a sound
    finish_reason: str | None = None  # the first choice's
    response_model: str | None = None
    response_id: str | None = None
    error: str | None = None  # the error object in the answer, as one line with its code
    garbled: str | None = None  # what could not be parsed, as one line
    missing: str | None = None  # the part that a complete answer of this API has and this one lacks, in words
    unterminated: bool = False  # only the terminator is missing: finish reason and usage are there
    server: dict[str, float] = field(default_factory=dict)  # the server's own timings, by its own names
    tool_calls: tuple[ToolCall, ...] = ()  # of all choices
    item: str | None = None  # as in Record
    items: int | None = None  # as in Record
    failed_items: int | None = None  # as in Record
    contents: tuple[str, ...] = field(default=(), compare=False)  # each choice's text without reasoning, for checks
    message: dict[str, Any] | None = field(
        default=None, compare=False
    )  # the answer as a message of the next turn; None without tool calls

    def __post_init__(self) -> None:
        put = object.__setattr__  # the dataclass is frozen
        if not isinstance(self.usage, Usage):  # of a user's own API
            raise TypeError(f"usage is {type(self.usage).__name__}; Usage(…) is expected")
        if self.finish_reason is not None and word(self.finish_reason) is None:
            problem = f"JSON whose finish reason is not a short word: {excerpt(self.finish_reason)}"
            put(self, "garbled", self.garbled or problem)
        for name in ("finish_reason", "response_model", "response_id", "item"):
            put(self, name, word(getattr(self, name)))
        for name in ("items", "failed_items"):
            put(self, name, count(getattr(self, name)))
        if self.items is not None and self.item is None:
            put(self, "garbled", self.garbled or f"one with items={self.items} and no item, which says what is counted")
        for name in ("error", "garbled", "missing"):
            if (stated := getattr(self, name)) is not None:
                put(self, name, line(sentence(stated)))
        if self.server:
            put(self, "server", numbers(self.server))


def sentence(stated: object) -> str | None:
    """What an API states as wrong, in words. A user's own API may state an error object or an exception; false, 0, an
    empty text or an empty object means that nothing is wrong."""
    if not stated:
        return None
    if isinstance(stated, str):
        return stated
    if isinstance(stated, Exception):
        return f"{type(stated).__name__}: {stated}"
    return str(find_error({"error": stated}))


UNREADABLE = (AttributeError, LookupError, TypeError, ValueError, ArithmeticError, RecursionError)
"""The errors that reading an answer's JSON may raise; invalid JSON raises a ValueError."""


_KEPT_OR_HALF = re.compile(rb"(\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..)|\\u[dD][89a-fA-F]..")
"""An escaped backslash or a whole surrogate pair, or else half a pair."""


def parsed(data: bytes) -> Any:
    """The JSON value in these bytes. A byte order mark is skipped, and half a surrogate pair becomes U+FFFD: some
    gateways cut a text between the two halves of an emoji. Other clients accept both. Raises orjson.JSONDecodeError."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        whole = _KEPT_OR_HALF.sub(lambda found: found[1] or b"\\ufffd", data.removeprefix(BOM))
        if whole == data:
            raise
        return orjson.loads(whole)


def unreadable(data: bytes, error: Exception) -> str:
    """Why an answer could not be read, as one line; `error` is one of UNREADABLE."""
    if isinstance(error, orjson.JSONDecodeError):
        return f"not JSON: {data[:80]!r}: {error}"
    return f"JSON with another shape than this API's: {data[:80]!r}"


def followed(data: bytes) -> str:
    """That output came after a stream's end, as one line: a gateway has mixed two answers up."""
    return f"followed by more output after its end: {data[:80]!r}"


def missing_part(missing: str | None, rest: bytes) -> str | None:
    """What a stream lacks, and the bytes of its last, incomplete event; None if it lacks nothing."""
    inside = f"; it breaks off inside an event: {rest[:80]!r}" if rest else ""
    return missing and missing + inside


def timings_of(value: object) -> dict[str, float]:
    """The server's own timings in an answer or a chunk, from llama.cpp or from bench simulate."""
    return numbers(value.get("timings") or value.get("simulator")) if isinstance(value, dict) else {}
