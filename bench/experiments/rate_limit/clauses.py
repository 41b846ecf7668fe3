"""Whether a provider keeps what it promises: one clause after the other, each with its verdict and its evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bench.analysis.numerals import counted, duration
from bench.experiments.rate_limit.at_a_time import concurrency
from bench.experiments.rate_limit.evidence import is_refused
from bench.experiments.rate_limit.promise import CUT, Clause, Part, Promise, no_errors, unless_cut
from bench.experiments.rate_limit.question import OTHER_KEY, RateLimitScenario
from bench.experiments.rate_limit.refused_share import kept
from bench.experiments.rate_limit.requests import Costs
from bench.experiments.rate_limit.stated_limits import headers_present, headers_true
from bench.records import Record

AT_ONCE_S = 0.1  # requests within so short a time are said to be sent at once
DUE = ("used up", "others", "at Retry-After", "above")
"""The parts of a test in which a 429 may be due."""


def clauses_of(scenario: RateLimitScenario, records: Sequence[Record], planned: Mapping[str, int]) -> list[Clause]:
    """Every clause of a contract, judged by the records of its tests; `planned` has how many requests each of their
    steps was to send, by its name."""
    costs = Costs(scenario, records)
    found: list[Clause] = []
    for name, limit in scenario.promised.items():
        mine = sorted((one for one in records if one.stage.startswith(f"{name}: ")), key=lambda one: one.sent or 0.0)
        promise = Promise(scenario, name, limit, tuple(mine), planned, costs)
        found += concurrency(promise) if name == "concurrency" else rate(promise)
    return found


def rate(promise: Promise) -> Iterator[Clause]:
    """The clauses of a limit per minute."""
    title, contract = promise.title, promise.scenario.contract
    assert contract is not None
    yield everything_admitted(f"{title}: at 90 % every request is admitted", promise, "below")
    yield kept(f"{title}: above it the refused share is what the limit implies", promise)
    due = [one for one in promise.part(*DUE).records if promise.is_own(one)]
    told = no_errors(f"{title}: a refusal is a 429, no error and no silence", due, promise.untested)
    yield unless_cut(told, promise)
    if contract.headers is not None:
        yield unless_cut(headers_present(f"{title}: headers are present", promise, contract.headers), promise)
        yield unless_cut(headers_true(f"{title}: headers are true", promise, contract.headers), promise)
    if contract.retry_after:
        yield unless_cut(retry_after_present(f"{title}: refusals have Retry-After", promise), promise)
        yield retry_after_true(f"{title}: a request sent at Retry-After is admitted", promise)
    yield everything_admitted(f"{title}: full service is back after the window", promise, "again")
    if len(promise.scenario.models) > 1:
        yield unaffected(f"{title}: other models are unaffected", promise, None)
    if promise.scenario.other_key is not None:
        yield unaffected(f"{title}: other key is unaffected", promise, OTHER_KEY)


def everything_admitted(clause: str, promise: Promise, name: str) -> Clause:
    """Nothing of a part may be refused."""
    part = promise.part(name)
    if not part.records:
        return Clause(clause, "inconclusive", promise.untested)
    no, first = part.refused, part.records[0].sent or 0.0
    seconds = (part.records[-1].sent or 0.0) - first
    told = f"{counted(len(part.records), 'requests')}{tokens_of(part, promise)} {within(seconds)}, {len(no):,} refused"
    if no:
        after = (no[0].sent or 0.0) - first
        told += f", the first after {duration(after)}: {no[0].error}" if after > AT_ONCE_S else f": {no[0].error}"
        return Clause(clause, "fail", told)
    if part.doubt is not None:
        return Clause(clause, "inconclusive", f"{told}; {part.doubt}")
    return Clause(clause, "pass", told)


def tokens_of(part: Part, promise: Promise) -> str:
    """How many tokens the requests had, if that is what is limited."""
    if promise.resource != "tokens":
        return ""
    return f" with {counted(round(sum(map(promise.costs.expected, part.records))), 'tokens')}"


def within(seconds: float) -> str:
    return f"in {duration(seconds)}" if seconds > AT_ONCE_S else "at once"


def retry_after_present(clause: str, promise: Promise) -> Clause:
    """Refusals say when to come back."""
    no = [one for one in promise.own.records if one.status is not None and is_refused(one)]
    if not no:
        return Clause(clause, "inconclusive", "nothing was refused" if promise.own.records else promise.untested)
    missing = [one for one in no if one.retry_after is None]
    return Clause(
        clause,
        "fail" if missing else "pass",
        f"{len(no) - len(missing):,} of {counted(len(no), 'refusals', 'have')} it",
    )


def retry_after_true(clause: str, promise: Promise) -> Clause:
    """A request sent after exactly that time is admitted."""
    part = promise.part("at Retry-After")
    gone_on = bool(promise.part("above").records)
    if not part.records:
        why = "no refusal had one that could be waited for" if gone_on else promise.untested
        return Clause(clause, "inconclusive", why)
    no = part.refused
    told = f"{len(part.of('admitted')):,} of {len(part.records):,} were admitted"
    if no:
        return Clause(clause, "fail", f"{told}: {no[0].error}")
    if part.doubt is not None:
        return Clause(clause, "inconclusive", f"{told}; {part.doubt}")
    return Clause(clause, "pass", told) if gone_on else Clause(clause, "inconclusive", f"{told}; {CUT}")


def unaffected(clause: str, promise: Promise, arm: str | None) -> Clause:
    """Requests of other models or of another key are admitted while the limit of the first one is used up."""
    every = promise.part("others")
    mine = [one for one in every.records if promise.is_own(one)]
    part = every.where([one for one in every.records if not promise.is_own(one) and one.arm == arm])
    if not part.records:
        used_up = bool(promise.part("above").records)
        return Clause(clause, "inconclusive", "the limit was never used up" if used_up else promise.untested)
    told = f"{len(part.of('admitted')):,} of {len(part.records):,} admitted while the limit was used up"
    if part.refused:
        return Clause(clause, "fail", f"{told}: {part.refused[0].error}")
    if part.doubt is not None:
        return Clause(clause, "inconclusive", f"{told}; {part.doubt}")
    if not any(map(is_refused, mine)):
        return Clause(clause, "inconclusive", f"{len(part.records):,} were admitted, but the limit had room again")
    return Clause(clause, "pass", told)
