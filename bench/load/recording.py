"""From an exchange and its answer to a record: the moment at which absolute times become seconds of the run."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.load.checking import Checked
from bench.plan import Planned
from bench.records import Attempt, Record
from bench.wire.answer import Answer
from bench.wire.conducting import Conducted
from bench.wire.exchange import Exchange
from bench.wire.fields import word
from bench.wire.limits import limits, retry_after

DIGITS = 7  # of a recorded second: a tenth of a microsecond is finer than any clock here
SERVER_MOMENTS = frozenset({"arrived", "first_token", "last_token", "sent"})
"""The simulator states these on this machine's monotonic clock; every other server timing is a duration or a count."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where and when in the run a request is sent."""

    stage: str  # as in Record
    worker: int  # as in Record
    user: int  # as in Record
    due: float | None  # absolute monotonic seconds; None in a closed loop


@dataclass(frozen=True, slots=True)
class Try:
    """One exchange of a request, and how long we waited before the next, s."""

    exchange: Exchange
    waited: float = 0.0
    conducted: Conducted | None = None  # where the request is a job


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an exchange came to."""

    answer: Answer
    outcome: str
    error: str | None  # secrets removed
    checked: Checked


class RunClock:
    """Seconds of the run from absolute monotonic ones."""

    def __init__(self, started: float) -> None:
        self.started = started

    def at(self, moment: float) -> float:
        return round(moment - self.started, DIGITS)

    def maybe(self, moment: float | None) -> float | None:
        return None if moment is None else round(moment - self.started, DIGITS)


def to_record(planned: Planned, slot: Slot, tries: list[Try], meanings: list[Meaning], clock: RunClock) -> Record:
    """The record of a request from all its tries and what they meant, first to last."""
    exchange, last = tries[-1].exchange, meanings[-1]
    answer, checked, now = last.answer, last.checked, time.time()
    job = tries[-1].conducted
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
        arrivals=[(clock.at(at), tokens) for at, tokens in answer.arrivals],
        first_token_at=clock.maybe(answer.first_token_at),
        first_answer_at=clock.maybe(answer.first_answer_at),
        merged=answer.merged,
        read_delay=None if exchange.read_delay is None else round(exchange.read_delay, DIGITS),
        clock=exchange.clock,
        status=exchange.status,
        outcome=last.outcome,
        error=last.error,
        attempts=len(tries),
        earlier=[to_attempt(*both, clock) for both in zip(tries[:-1], meanings[:-1], strict=True)],
        reopened=exchange.reopened,
        retry_after=retry_after(exchange.headers, now),
        limits=limits(exchange.headers, now),
        prompt_tokens=answer.usage.prompt,
        completion_tokens=answer.usage.completion,
        reasoning_tokens=answer.usage.reasoning,
        cached_tokens=answer.usage.cached,
        cache_write_tokens=answer.usage.cache_write,
        tokens_from=answer.tokens_from,
        output_chars=answer.output_chars,
        finish_reason=answer.finish_reason,
        response_model=answer.response_model,
        request_id=word(exchange.headers.get("x-request-id")) or answer.response_id,
        http=exchange.http,
        bytes_received=sum(len(data) for _, data in exchange.reads),
        server={key: clock.at(value) if key in SERVER_MOMENTS else value for key, value in answer.server.items()},
        turn=planned.turn,
        tool_calls=checked.tool_calls,
        valid_tool_calls=checked.valid_tool_calls,
        json_valid=checked.json_valid,
        schema_valid=checked.schema_valid,
        item=answer.item,
        items=answer.items,
        failed_items=answer.failed_items,
        polls=None if job is None else job.polls,
        unfinished_at=None if job is None else clock.maybe(job.unfinished_at),
        unterminated=answer.unterminated and exchange.failure is None,
        steps={} if job is None else {name: round(length, DIGITS) for name, length in job.steps.items()},
    )


def to_attempt(one: Try, meaning: Meaning, clock: RunClock) -> Attempt:
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
    )
