"""The facts about one request, the only thing that load and analysis share.

The load writes one `Record` per request to `records.jsonl`; everything else reads it from there. Fields are measured or
stated, never computed: every latency, rate and price is a formula of `bench.analysis` over these fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

Moment = Annotated[float, Meta(ge=0.0, le=1e9)]
"""Seconds since the run's start, or a duration in seconds. The limits of this type and the next two are checked when a
file is read."""

Count = Annotated[int, Meta(ge=0, le=2**53)]

Told = Annotated[int, Meta(ge=-(2**53), le=2**53)]
"""A count as the server stated it, without any check of its meaning."""

Clock = Literal["kernel", "user"]
"""What stamped the arrivals: the kernel when the bytes came in, or this process when it read them."""

TokensFrom = Literal["usage", "events", "none"]
"""The source of token counts: the server's usage, or our count of content events (an estimate), or none."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An earlier try of the same request, if the scenario asks for retries."""

    sent: Moment | None  # as in Record
    done: Moment
    status: Told | None
    outcome: str
    retry_after: float | None
    waited: Moment  # the wait after this try, s
    connect_started: Moment | None = None  # as in Record
    error: str | None = None  # as in Record
    spent: list[str] = field(default_factory=list)  # counters of its rate-limit headers that are at zero
    limit_style: str | None = None  # as in Record


@dataclass(frozen=True, slots=True)
class Record:
    """One request from plan to outcome.

    Times are seconds from the run's start on the machine's monotonic clock, so the times of all processes on one
    machine can be compared. `None` means that it never happened or that the server did not state it.
    """

    seq: Count  # position in the plan of its step, from 0; unique in the step, together with `turn`
    worker: Count  # which load process sent it, from 0
    user: Count  # which user sent it; in an open loop, which connection
    stage: str  # name of its step; steps.jsonl says whether that is measured
    name: str  # the request class of the scenario
    model: str  # as asked for
    api: str  # key of wire.PROTOCOLS: "chat", "completions", ...
    stream: bool

    due: Moment | None  # when the schedule wanted it sent; None in a closed loop, which has no schedule
    sent: Moment | None  # just before its first byte went to the kernel; None if no byte was sent
    connect_started: Moment | None  # when a fresh connection was started; None if one was reused
    connected: Moment | None  # when that connection was ready, TLS included; None if one was reused or it failed
    headers_at: Moment | None  # arrival of the last byte of the response's head
    done: Moment  # arrival of the response's last byte, or the time when we gave up
    arrivals: list[tuple[Moment, Count]]  # one per content event: arrival, tokens (1 if the server counts none)
    first_token_at: Moment | None  # first generated text, reasoning or tool call; None without a stream
    first_answer_at: Moment | None  # first generated text that is not reasoning; None without a stream
    merged: Count  # content events that came in one read with a later one: they arrived at their stamp or before
    read_delay: Moment | None  # the longest time that a byte waited in the kernel, s; None: no kernel stamps
    clock: Clock

    status: Told | None  # HTTP status
    outcome: str  # one of bench.metrics.OUTCOMES
    error: str | None  # what went wrong in one line, secrets removed; None if the outcome is ok
    attempts: Count  # number of tries; above 1 only if the scenario asks for retries
    earlier: list[Attempt]  # the tries before the last one, in order
    reopened: bool  # a kept-alive connection was closed, so a fresh one replaced it; `sent` is the first sending
    retry_after: float | None  # the wait that the last answer asked for, s; None if it did not ask
    limits: dict[str, float]  # rate-limit headers, normalised: see wire.limits

    prompt_tokens: Told | None  # cached tokens included, also for APIs that count them separately
    completion_tokens: Told | None  # reasoning included
    reasoning_tokens: Told | None
    cached_tokens: Told | None  # prompt tokens read from the server's prompt cache; None is unknown, not 0
    cache_write_tokens: Told | None
    tokens_from: TokensFrom
    output_chars: Count  # characters of generated text, reasoning included: a measure of speed without a tokenizer

    finish_reason: str | None
    response_model: str | None  # as the server named it
    request_id: str | None
    http: str | None  # "HTTP/1.1" or "HTTP/2"
    bytes_received: Count  # of the body
    server: dict[str, float] = field(default_factory=dict)  # the server's own timings, see wire.answer.timings_of

    turn: Count = 0  # position in its conversation, from 0; all turns of a conversation share a seq
    tool_calls: Count | None = None  # number of tool calls in the answer; None if no tools were declared
    valid_tool_calls: Count | None = None  # tool calls with arguments that are JSON and fit the declared schema
    json_valid: bool | None = None  # whether the answer is JSON; None if JSON was not asked for, or without an answer
    schema_valid: bool | None = None  # whether it also fits the schema that was asked for; None as for json_valid
    item: str | None = None  # what is counted: "image", "video", "sound", "embedding", "document", "request"; or None
    items: Count | None = None  # number of items in the answer; None if nothing is counted
    failed_items: Count | None = None  # number of missing items; None if nothing is counted
    polls: Count | None = None  # how often a job's result was asked for; None if the request is not a job
    unfinished_at: Moment | None = None  # the last time when a job was known to run; it ended between this and done
    unterminated: bool = False  # the stream ended with finish reason and usage, but without the API's terminator
    steps: dict[str, Moment] = field(default_factory=dict)  # durations of a job's other exchanges by name, s
    conversation: Count | None = None  # unique within a stage; None for a request that can have only one turn
    arm: str | None = None  # the arm of the scenario; None: the scenario itself
    pair: Count | None = None  # in a comparison: the same number for requests that are compared with each other
    held_back: Moment = 0.0  # how long the user waited before this request because its last one was refused, s
    cache_write_1h_tokens: Told | None = None  # the part of cache_write_tokens that is kept for one hour
    limit_style: str | None = None  # whose names the rate-limit headers have: see wire.limits; None: there were none
