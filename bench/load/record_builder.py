"""From an exchange and its answer to a record: the moment at which absolute times become seconds of the run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import httpx

from bench.load.promises import Checked
from bench.plan import Planned
from bench.plan.redaction import Scrub
from bench.records import Attempt, Record
from bench.wire.answer import Answer
from bench.wire.exchange import Exchange
from bench.wire.fields import word
from bench.wire.job_runner import JobResult
from bench.wire.limits import limits, retry_after

LONGEST = 600  # characters of a text in a record
DIGITS = 7  # of a recorded second: a tenth of a microsecond is finer than any clock here
TICKS = 10.0**DIGITS  # a second has so many of what is recorded
SERVER_MOMENTS = frozenset({"arrived", "first_token", "last_token", "sent"})
"""The simulator states these on this machine's monotonic clock; every other server timing is a duration or a count."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where and when in the run a request is sent."""

    stage: str  # as in Record
    worker: int  # as in Record
    user: int  # as in Record
    due: float | None  # absolute monotonic seconds; None in a closed loop
    held_back: float = 0.0  # as in Record
    retries: bool = True  # whether it may be tried again


@dataclass(frozen=True, slots=True)
class Try:
    """One exchange of a request, and how long we waited before the next, s."""

    exchange: Exchange
    waited: float = 0.0
    job_result: JobResult | None = None  # where the request is a job
    request: httpx.Request | None = None  # what was sent, of a job its first; None if none could be made
    answer: Answer | None = None  # where it has been read already, for the next turn of a conversation


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an exchange came to."""

    answer: Answer
    outcome: str
    error: str | None
    checked: Checked


class RunClock:
    """Seconds of the run from absolute monotonic ones."""

    def __init__(self, started: float) -> None:
        self.started = started

    def at(self, moment: float) -> float:
        return int((moment - self.started) * TICKS + 0.5) / TICKS  # as round does it, in half the time

    def maybe(self, moment: float | None) -> float | None:
        return None if moment is None else self.at(moment)


def to_record(
    planned: Planned, slot: Slot, tries: list[Try], meanings: list[Meaning], clock: RunClock, scrub: Scrub
) -> Record:
    """The record of a request from all its tries and what they meant, first to last.

    `scrub` takes secrets out of every text that a server had a hand in, before anything is cut.
    """

    def said(text: str | None) -> str | None:
        return text and scrub(text)[:LONGEST]

    def named(numbers: dict[str, float]) -> dict[str, float]:
        return {scrub(name)[:LONGEST]: number for name, number in numbers.items()}

    exchange, last = tries[-1].exchange, meanings[-1]
    answer, checked, now = last.answer, last.checked, time.time()
    started = clock.started
    job = tries[-1].job_result
    assert exchange.done is not None
    return Record(
        seq=planned.seq,
        worker=slot.worker,
        user=slot.user,
        stage=slot.stage,
        name=planned.name,
        model=planned.model,
        api=planned.api.rpartition("/")[2],
        stream=planned.stream,
        due=clock.maybe(slot.due),
        sent=clock.maybe(exchange.sent),
        connect_started=clock.maybe(exchange.connect_started),
        connected=clock.maybe(exchange.connected),
        headers_at=clock.maybe(exchange.headers_at),
        done=clock.at(exchange.done),
        arrivals=[
            (int((at - started) * TICKS + 0.5) / TICKS, tokens) for at, tokens in answer.arrivals
        ],  # as clock.at: one per token
        first_token_at=clock.maybe(answer.first_token_at),
        first_answer_at=clock.maybe(answer.first_answer_at),
        merged=answer.merged,
        read_delay=None if exchange.read_delay is None else round(exchange.read_delay, DIGITS),
        clock=exchange.clock,
        status=exchange.status,
        outcome=last.outcome,
        error=said(last.error),
        attempts=len(tries),
        earlier=[to_attempt(*both, clock, said) for both in zip(tries[:-1], meanings[:-1], strict=True)],
        reopened=exchange.reopened,
        retry_after=retry_after(exchange.headers, now),
        limits=named(limits(exchange.headers, now)),
        prompt_tokens=answer.usage.prompt,
        completion_tokens=answer.usage.completion,
        reasoning_tokens=answer.usage.reasoning,
        cached_tokens=answer.usage.cached,
        cache_write_tokens=answer.usage.cache_write,
        cache_write_1h_tokens=answer.usage.cache_write_1h,
        tokens_from=answer.tokens_from,
        output_chars=answer.output_chars,
        finish_reason=said(answer.finish_reason),
        response_model=said(answer.response_model),
        request_id=said(word(exchange.headers.get("x-request-id")) or answer.response_id),
        http=said(exchange.http),
        bytes_received=sum([len(data) for _, data in exchange.reads]),
        server=named(
            {key: clock.at(value) if key in SERVER_MOMENTS else value for key, value in answer.server.items()}
        ),
        turn=planned.turn,
        conversation=planned.conversation,
        arm=planned.arm,
        pair=planned.pair,
        held_back=round(slot.held_back, DIGITS),
        tool_calls=checked.tool_calls,
        valid_tool_calls=checked.valid_tool_calls,
        json_valid=checked.json_valid,
        schema_valid=checked.schema_valid,
        item=said(answer.item),
        items=answer.items,
        failed_items=answer.failed_items,
        polls=None if job is None else job.polls,
        unfinished_at=None if job is None else clock.maybe(job.unfinished_at),
        unterminated=answer.unterminated and exchange.failure is None,
        steps={} if job is None else named({name: round(length, DIGITS) for name, length in job.steps.items()}),
    )


def bare_record(planned: Planned, slot: Slot, tries: list[Try], clock: RunClock, why: str) -> Record:
    """The record of a request of which nothing but our own times can be told, and why (secrets removed)."""
    exchange = tries[-1].exchange
    ours = replace(
        exchange,
        done=time.monotonic() if exchange.done is None else exchange.done,
        read_delay=None,
        headers=httpx.Headers(),
        http=None,
        reads=[],
        failure=None,
    )
    meaning = Meaning(Answer(), "protocol", why, Checked())
    record = to_record(planned, slot, [Try(ours)], [meaning], clock, scrub=str)
    return replace(record, attempts=len(tries))


def to_attempt(one: Try, meaning: Meaning, clock: RunClock, said: Callable[[str | None], str | None]) -> Attempt:
    exchange = one.exchange
    assert exchange.done is not None
    return Attempt(
        sent=clock.maybe(exchange.sent),
        done=clock.at(exchange.done),
        status=exchange.status,
        outcome=meaning.outcome,
        retry_after=retry_after(exchange.headers, time.time()),
        waited=round(one.waited, DIGITS),
        connect_started=clock.maybe(exchange.connect_started),
        error=said(meaning.error),
    )
