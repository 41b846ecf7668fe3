"""What a server's answer said, whichever API it speaks.

This is the door that everything a server states goes through: whoever builds an `Answer` or a `Usage`, what it holds
afterwards can be written into a record and read back. What does not fit is dropped, or told as garbled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from bench.records import TokensFrom
from bench.wire.fields import count, line, numbers, shown, word


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the server states them; None if it does not. Cached tokens are part of the prompt's."""

    prompt: int | None = None
    completion: int | None = None  # reasoning included
    reasoning: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None  # of those

    def __post_init__(self) -> None:
        for name in self.__slots__:
            object.__setattr__(self, name, count(getattr(self, name)))


class ToolCall(NamedTuple):
    """A call that a model asks for."""

    id: str
    name: str
    arguments: str  # JSON, where the model got it right


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The meaning of an exchange's bytes. Times are absolute monotonic seconds."""

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
    error: str | None = None  # of an error object of any shape, in one line with its code
    garbled: str | None = None  # what did not parse, in one line
    missing: str | None = None  # what every complete answer of this API has and this one lacks, in words
    unterminated: bool = False  # that is the terminator alone: finish reason and usage are there
    server: dict[str, float] = field(default_factory=dict)  # the server's own timings, by its own names
    tool_calls: tuple[ToolCall, ...] = ()  # of all choices
    item: str | None = None  # as in Record
    items: int | None = None  # as in Record
    failed_items: int | None = None  # as in Record
    contents: tuple[str, ...] = field(default=(), compare=False)  # each choice's text without reasoning, to be checked
    message: dict[str, Any] | None = field(
        default=None, compare=False
    )  # as a next turn says it; None without tool calls

    def __post_init__(self) -> None:
        keep = object.__setattr__  # the value is frozen from here on
        if self.finish_reason is not None and word(self.finish_reason) is None:
            told = f"JSON whose finish reason is no short word: {shown(self.finish_reason)}"
            keep(self, "garbled", self.garbled or told)
        for name in ("finish_reason", "response_model", "response_id", "item"):
            keep(self, name, word(getattr(self, name)))
        for name in ("items", "failed_items"):
            keep(self, name, count(getattr(self, name)))
        for name in ("error", "garbled", "missing"):
            keep(self, name, line(getattr(self, name)))
        if self.server:
            keep(self, "server", numbers(self.server))


UNREADABLE = (AttributeError, LookupError, TypeError, ValueError, ArithmeticError, RecursionError)
"""What taking an answer's JSON apart may raise; that it is no JSON is a ValueError."""


def unreadable(data: bytes, error: Exception) -> str:
    """Why an answer could not be taken apart, in one line; `error` is one of UNREADABLE."""
    if isinstance(error, orjson.JSONDecodeError):
        return f"not JSON: {data[:80]!r}: {error}"
    return f"JSON of no shape that this API has: {data[:80]!r}"


def broken_off(missing: str | None, rest: bytes) -> str | None:
    """What a stream lacks, with what has come of the event that it breaks off in."""
    inside = f"; it breaks off inside an event: {rest[:80]!r}" if rest else ""
    return missing and missing + inside


def timings_of(value: dict[str, Any]) -> dict[str, float]:
    """A server's own timings in an answer or a chunk: llama.cpp's `timings`, and those of bench simulate."""
    return numbers(value.get("timings") or value.get("simulator"))
