"""The one seam: what happened to a request, as facts.

The load side makes one `Record` a request and appends it to `records.jsonl`; everything else reads it back.
Nothing here is derived: every latency, rate and price is a formula of `bench.analysis` over these fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

Moment = Annotated[float, Meta(ge=0.0, le=1e9)]
"""Seconds: since the run's start, or for how long. The bounds of this and of the next two hold where a file is read."""

Count = Annotated[int, Meta(ge=0, le=2**53)]

Told = Annotated[int, Meta(ge=-(2**53), le=2**53)]
"""A count as a server gave it, whatever we think of it."""

Clock = Literal["kernel", "user"]
"""Who stamped the arrivals: the kernel as bytes came in, or this process as it read them."""

TokensFrom = Literal["usage", "events", "none"]
"""Where token counts come from: the server's usage, our count of content events (an estimate), nowhere."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An earlier try of the same request, when the scenario asks for retries."""

    sent: Moment | None  # as in Record
    done: Moment
    status: Told | None
    outcome: str
    retry_after: float | None
    waited: Moment  # how long we then waited before trying again, s
    connect_started: Moment | None = None  # as in Record
    error: str | None = None  # as in Record


@dataclass(frozen=True, slots=True)
class Record:
    """One request from plan to outcome.

    Times are seconds from the run's start on the machine's monotonic clock, so they compare across the
    processes of one machine. `None` means that it never happened or that the server did not say.
    """

    seq: Count  # place in the plan, from 0; unique within a stage
    worker: Count  # which load process sent it, from 0
    user: Count  # which user sent it; in an open loop, which connection
    stage: str  # "fit" (learns tokens per word), "warmup" or "measure"; only "measure" is in the figures
    name: str  # the request class of the scenario
    model: str  # as asked for
    api: str  # key of wire.PROTOCOLS: "chat", "completions", ...
    stream: bool

    due: Moment | None  # when the schedule wanted it sent; None in a closed loop, which has no schedule
    sent: Moment | None  # just before its first byte went to the kernel; None if it never got that far
    connect_started: Moment | None  # when a fresh connection was begun; None when one was reused
    connected: Moment | None  # when that connection (TLS included) was ready
    headers_at: Moment | None  # arrival of the last byte of the response's head
    done: Moment  # arrival of the response's last byte, or the moment we gave up
    arrivals: list[tuple[Moment, Count]]  # one a content event: arrival, tokens (1 if the server counts none)
    first_token_at: Moment | None  # first generated text, reasoning or tool call; None when not streamed
    first_answer_at: Moment | None  # first generated text that is not reasoning; None when not streamed
    merged: Count  # content events that shared a read with a later one: known only to be no later than stamped
    read_delay: Moment | None  # the longest time a byte lay in the kernel before we read it, s; None: no kernel stamps
    clock: Clock

    status: Told | None  # HTTP status
    outcome: str  # one of bench.metrics.OUTCOMES
    error: str | None  # what went wrong in one line, secrets removed
    attempts: Count  # tries made; above 1 only when the scenario asks for retries
    earlier: list[Attempt]  # the tries before the last, first to last
    reopened: (
        bool  # a kept-alive connection was found closed and replaced; `sent` is the first sending, if it had begun
    )
    retry_after: float | None  # what the last answer asked us to wait, s
    limits: dict[str, float]  # rate-limit headers, normalised: see wire.limits

    prompt_tokens: Told | None  # cached ones included, whatever the API's own convention
    completion_tokens: Told | None  # reasoning included
    reasoning_tokens: Told | None
    cached_tokens: Told | None  # prompt tokens read from the server's prompt cache; None is unknown, not 0
    cache_write_tokens: Told | None
    tokens_from: TokensFrom
    output_chars: Count  # characters of generated text, reasoning included: a tokenizer-free measure of speed

    finish_reason: str | None
    response_model: str | None  # as the server named it
    request_id: str | None
    http: str | None  # "HTTP/1.1" or "HTTP/2"
    bytes_received: Count  # of the body
    server: dict[str, float] = field(default_factory=dict)  # the server's own timings, see wire.protocols

    turn: Count = 0  # place in its conversation, from 0; all turns of a conversation share a seq
    tool_calls: Count | None = None  # in the answer; None if no tools were declared
    valid_tool_calls: Count | None = None  # of those, with arguments that are JSON and fit the declared schema
    json_valid: bool | None = None  # whether the answer is JSON; None if none was asked for, or there is none
    schema_valid: bool | None = None  # whether it also fits the schema asked for
    item: str | None = None  # what is counted: "image", "video", "sound", "embedding", "document", "request"; or None
    items: Count | None = None  # how many of them the answer brought
    failed_items: Count | None = None  # how many it should have brought and did not
    polls: Count | None = None  # how often a job's result was asked for; None if the request is no job
    unfinished_at: Moment | None = None  # when a job was last known unfinished; its end lies between this and done
    unterminated: bool = False  # a stream that ended with finish reason and usage, and without the API's terminator
    steps: dict[str, Moment] = field(default_factory=dict)  # durations of a job's other exchanges by name, s
    conversation: Count | None = None  # unique within a stage; None if there is one turn, whatever is answered
    arm: str | None = None  # which arm of the scenario it was for; None: the scenario itself
    pair: Count | None = None  # in a comparison: the same for the requests that are compared with each other
    held_back: Moment = 0.0  # how long its user waited before it because the one before was refused, s
    cache_write_1h_tokens: Told | None = None  # of cache_write_tokens, those written for an hour
