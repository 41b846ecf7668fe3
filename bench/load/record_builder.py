"""Makes a record from exchanges and their answers. Here absolute times become seconds since the run's start."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from math import floor

import httpx

from bench.load.checks import Checks
from bench.plan import Planned
from bench.plan.redaction import Scrub
from bench.records import Attempt, Record
from bench.wire.answer import Answer
from bench.wire.exchange import Exchange
from bench.wire.fields import word
from bench.wire.job_runner import JobResult
from bench.wire.limits import about_limits, limits, retry_after, style
from bench.wire.own_api import api_name

LONGEST = 600  # characters of a text in a record
DIGITS = 7  # decimals of a recorded second: a tenth of a microsecond is finer than any clock here
TICKS = 10.0**DIGITS  # the smallest recorded units per second
SERVER_MOMENTS = frozenset({"arrived", "first_token", "last_token", "sent"})
"""The simulator states these times on this machine's monotonic clock; all other server timings are durations or
counts."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Which part of the run a request belongs to, and when it is due."""

    stage: str  # as in Record
    worker: int  # as in Record
    user: int  # as in Record
    due: float | None  # absolute monotonic seconds; None in a closed loop
    held_back: float = 0.0  # as in Record
    retries: bool = True  # whether the request may be tried again


@dataclass(frozen=True, slots=True)
class Try:
    """One exchange of a request."""

    exchange: Exchange
    waited: float = 0.0  # how long the caller waited before the next try, s
    job_result: JobResult | None = None  # None if the request is not a job
    request: httpx.Request | None = None  # what was sent, for a job the first; None if it could not be built
    answer: Answer | None = None  # the answer, if it was already read for the next turn; else None


@dataclass(frozen=True, slots=True)
class Meaning:
    """The answer of an exchange, its outcome and its checks."""

    answer: Answer
    outcome: str
    error: str | None
    checks: Checks


class RunClock:
    """Converts absolute monotonic seconds to seconds since the run's start."""

    def __init__(self, started: float) -> None:
        self.started = started

    def at(self, moment: float) -> float:
        return floor((moment - self.started) * TICKS + 0.5) / TICKS  # like round, in half the time

    def at_or_none(self, moment: float | None) -> float | None:
        return None if moment is None else self.at(moment)


@dataclass(frozen=True, slots=True)
class Texts:
    """Prepares texts that may come from a server for a record: secrets removed first, then cut."""

    scrub: Scrub

    def clean(self, text: str | None) -> str | None:
        return text and self.scrub(text)[:LONGEST]

    def clean_names(self, numbers: dict[str, float]) -> dict[str, float]:
        return {self.scrub(name)[:LONGEST]: number for name, number in numbers.items()}


def to_record(
    planned: Planned, slot: Slot, tries: list[Try], meanings: list[Meaning], clock: RunClock, scrub: Scrub
) -> Record:
    """The record of a request, from all its tries and their meanings in order."""
    exchange, job, last = tries[-1].exchange, tries[-1].job_result, meanings[-1]
    answer, usage, checks = last.answer, last.answer.usage, last.checks
    at, texts, now = clock.at_or_none, Texts(scrub), stated_at(exchange)
    headers = dict(exchange.headers.items())  # httpx.Headers takes 1 µs for each look into it
    stated = about_limits(headers)
    assert exchange.done is not None
    return Record(
        # the plan
        seq=planned.seq, name=planned.name, model=planned.model, api=api_name(planned.api),
        stream=planned.stream, conversation=planned.conversation, turn=planned.turn, arm=planned.arm, pair=planned.pair,
        stage=slot.stage, worker=slot.worker, user=slot.user, due=at(slot.due),
        held_back=round(slot.held_back, DIGITS), attempts=len(tries),
        earlier=[to_attempt(*one, clock, texts) for one in zip(tries[:-1], meanings[:-1], strict=True)],
        # the exchange
        sent=at(exchange.sent), connect_started=at(exchange.connect_started), connected=at(exchange.connected),
        headers_at=at(exchange.headers_at), done=clock.at(exchange.done), clock=exchange.clock,
        read_delay=None if exchange.read_delay is None else round(exchange.read_delay, DIGITS),
        reopened=exchange.reopened, bytes_received=sum([len(data) for _, data in exchange.reads]),
        status=exchange.status, http=texts.clean(exchange.http), retry_after=retry_after(headers, now),
        limits=texts.clean_names(limits(stated, now)), limit_style=style(stated),
        # the answer
        outcome=last.outcome, error=texts.clean(last.error), arrivals=seconds_of(answer.arrivals, clock),
        merged=answer.merged, first_token_at=at(answer.first_token_at), first_answer_at=at(answer.first_answer_at),
        prompt_tokens=usage.prompt, completion_tokens=usage.completion, reasoning_tokens=usage.reasoning,
        cached_tokens=usage.cached, cache_write_tokens=usage.cache_write,
        cache_write_1h_tokens=usage.cache_write_1h, tokens_from=answer.tokens_from, output_chars=answer.output_chars,
        finish_reason=texts.clean(answer.finish_reason), response_model=texts.clean(answer.response_model),
        request_id=texts.clean(word(headers.get("x-request-id")) or answer.response_id),
        unterminated=answer.unterminated and exchange.failure is None,
        server=texts.clean_names(server_times(answer.server, clock)),
        item=texts.clean(answer.item), items=answer.items, failed_items=answer.failed_items,
        tool_calls=checks.tool_calls, valid_tool_calls=checks.valid_tool_calls,
        json_valid=checks.json_valid, schema_valid=checks.schema_valid,
        # the job
        polls=None if job is None else job.polls, unfinished_at=None if job is None else at(job.unfinished_at),
        steps={} if job is None else texts.clean_names({name: round(s, DIGITS) for name, s in job.steps.items()}),
    )  # fmt: skip


def seconds_of(arrivals: list[tuple[float, int]], clock: RunClock) -> list[tuple[float, int]]:
    """The arrivals in seconds since the run's start. There is one per token, so `clock.at` is written out here."""
    started = clock.started
    return [(floor((at - started) * TICKS + 0.5) / TICKS, tokens) for at, tokens in arrivals]


def server_times(stated: dict[str, float], clock: RunClock) -> dict[str, float]:
    """The server's own timings, with the moments among them in seconds since the run's start."""
    return {key: clock.at(value) if key in SERVER_MOMENTS else value for key, value in stated.items()}


def bare_record(planned: Planned, slot: Slot, tries: list[Try], clock: RunClock, why: str) -> Record:
    """The record of a request whose answer cannot be recorded: only our own times, and `why` (secrets removed)."""
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
    meaning = Meaning(Answer(), "protocol", why, Checks())
    record = to_record(planned, slot, [Try(ours)], [meaning], clock, scrub=str)
    return replace(record, attempts=len(tries))


def to_attempt(one: Try, meaning: Meaning, clock: RunClock, texts: Texts) -> Attempt:
    exchange, now = one.exchange, stated_at(one.exchange)
    assert exchange.done is not None
    headers = dict(exchange.headers.items())
    stated = about_limits(headers)
    left = {key: number for key, number in limits(stated, now).items() if key.endswith(".remaining")}
    return Attempt(
        sent=clock.at_or_none(exchange.sent),
        done=clock.at(exchange.done),
        status=exchange.status,
        outcome=meaning.outcome,
        retry_after=retry_after(headers, now),
        waited=round(one.waited, DIGITS),
        connect_started=clock.at_or_none(exchange.connect_started),
        error=texts.clean(meaning.error),
        spent=[name.removesuffix(".remaining") for name, number in texts.clean_names(left).items() if number == 0],
        limit_style=style(stated),
    )


def stated_at(exchange: Exchange) -> float:
    """When the headers of an answer came, s since the epoch: dates in them are told as seconds from then."""
    came = exchange.headers_at if exchange.headers_at is not None else exchange.done
    return time.time() - (0.0 if came is None else time.monotonic() - came)
