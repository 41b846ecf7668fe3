"""What a server's answer said, whichever API it speaks."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.records import TokensFrom


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the server states them; None where it does not. Cached tokens are part of the prompt's."""

    prompt: int | None = None
    completion: int | None = None  # reasoning included
    reasoning: int | None = None
    cached: int | None = None
    cache_write: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The meaning of an exchange's bytes. Times are absolute monotonic seconds."""

    arrivals: list[tuple[float, int]] = field(default_factory=list)  # as in Record
    first_token_at: float | None = None  # as in Record
    first_answer_at: float | None = None  # as in Record
    merged: int = 0  # as in Record
    usage: Usage = Usage()
    tokens_from: TokensFrom = "none"
    output_chars: int = 0
    finish_reason: str | None = None  # the first choice's, where every choice has one
    response_model: str | None = None
    response_id: str | None = None
    error: str | None = None  # of an error object of any shape
    garbled: str | None = None  # what did not parse
    terminated: bool = False  # the API's own end was seen; True for a body that does not stream
    server: dict[str, float] = field(default_factory=dict)  # the server's own timings, by its own names
