"""A promised limit and what its tests brought: the records of each part of its test, sorted by what they say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bench.analysis.numerals import counted
from bench.analysis.refusals import RefusalCause, cause_of, spent_resource
from bench.analysis.statistics import Verdict
from bench.experiments.rate_limit.evidence import ADMITTED, is_refused, undisguised
from bench.experiments.rate_limit.question import DECLARED, RateLimitScenario
from bench.experiments.rate_limit.requests import Costs
from bench.experiments.rate_limit.sizes import too_small
from bench.records import Record

NOT_TESTED = "it was not tested: the budget or the run ended before"
CUT = "it was cut short"
WRONG = frozenset({"overloaded", "server_error", "timeout", "connect", "protocol"})
"""Outcomes where a 429 was due."""

Meaning = Literal["admitted", "refused", "elsewhere", "failed"]
"""What an answer says of the limit under test: let in, refused by it, refused by another limit, or nothing."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One promise."""

    clause: str
    verdict: Verdict
    evidence: str


def is_let_in(record: Record) -> bool:
    return record.outcome in ADMITTED


def meaning_of(record: Record, resource: str) -> Meaning:
    """What an answer says of the limit of a resource. A refusal without a cause counts as this limit's."""
    if is_let_in(record):
        return "admitted"
    if not is_refused(record):
        return "failed"
    return "refused" if refusal_cause(record) in (resource, "unknown") else "elsewhere"


def refusal_cause(record: Record) -> RefusalCause:
    """The limit that a refusal speaks of: by its words, and where they say nothing by the one counter that says that
    nothing is left."""
    if record.outcome != "throttled":
        return "unknown"
    if (cause := cause_of(record.error or "")) != "unknown":
        return cause
    counters = {key.rpartition(".")[0]: left for key, left in record.limits.items() if key.endswith(".remaining")}
    return spent_resource(tuple(name for name, left in counters.items() if left == 0), record.limit_style)


@dataclass(frozen=True, slots=True)
class Part:
    """The requests of one part of a test, or some of them."""

    records: tuple[Record, ...]  # in the order of sending
    resource: str
    is_whole: bool  # whether everything planned was sent

    def of(self, meaning: Meaning) -> list[Record]:
        return [one for one in self.records if meaning_of(one, self.resource) == meaning]

    @property
    def refused(self) -> list[Record]:
        return self.of("refused")

    @property
    def doubt(self) -> str | None:
        """Why it does not show that a promise is kept, though nothing in it was refused; None if it does show that."""
        if not self.records:
            return NOT_TESTED
        if elsewhere := self.of("elsewhere"):
            return f"another limit refused {len(elsewhere):,} of them: {elsewhere[0].error}"
        if failed := self.of("failed"):
            return f"{len(failed):,} failed for another reason: {failed[0].error or failed[0].outcome}"
        return None if self.is_whole else CUT

    def where(self, records: Sequence[Record]) -> Part:
        """The same part with these of its records alone."""
        return replace(self, records=tuple(records))


@dataclass(frozen=True, slots=True)
class Promise:
    """One limit of a contract."""

    scenario: RateLimitScenario
    name: str  # rpm, tpm, ipm, concurrency
    limit: int
    records: tuple[Record, ...]  # of its tests, in the order of sending
    planned: Mapping[str, int]  # requests of each part by its step's name
    costs: Costs  # from all records of the run

    @property
    def resource(self) -> str:
        return DECLARED[self.name]

    @property
    def title(self) -> str:
        return f"{self.name} {self.limit:,}"

    @property
    def model(self) -> str:
        return self.scenario.models[0]

    def is_own(self, record: Record) -> bool:
        """Whether it was sent under the limit that is tested: by the first key to the first model."""
        return record.model == self.model and record.arm is None

    @property
    def own(self) -> Part:
        """Every request under the limit."""
        return Part(tuple(filter(self.is_own, self.records)), self.resource, self.is_tested)

    def part(self, *names: str) -> Part:
        """What parts brought: below, used up, others, at Retry-After, above, again."""
        steps = [f"{self.name}: {name}" for name in names]
        chosen = tuple(one for one in self.records if one.stage in steps)
        planned = [self.planned.get(step) for step in steps]
        whole = None not in planned and len(chosen) >= sum(one for one in planned if one is not None)
        return Part(chosen, self.resource, whole)

    @property
    def untested(self) -> str:
        """Why a part has no requests."""
        first = self.part("first")
        for before in (first, self.part("below")):
            if before.records and not any(map(is_let_in, before.records)):
                return f"it was not tested: no request succeeded before: {before.records[0].error}"
        refused = next((one for one in first.records if not is_let_in(one)), None)
        if refused is not None:
            return f"it was not tested: one of the first requests failed: {refused.error}"
        found = too_small(self.scenario, self.name, first.records, self.costs) if first.records else None
        return NOT_TESTED if found is None else f"it was not tested: {found}"

    @property
    def is_tested(self) -> bool:
        """Whether the tests have gone on to their end, so that the last part was sent whole."""
        return self.part("again").is_whole


def unless_cut(clause: Clause, promise: Promise) -> Clause:
    """The clause; if it holds so far and the tests were cut short, it is not told."""
    if clause.verdict != "pass" or promise.is_tested:
        return clause
    return replace(clause, verdict="inconclusive", evidence=f"{clause.evidence}; the tests were cut short")


def no_errors(clause: str, records: Sequence[Record], untested: str) -> Clause:
    """Refusals must be 429s."""
    plain = list(map(undisguised, records))
    wrong, throttled = ([one for one in plain if one.outcome in kinds] for kinds in (WRONG, {"throttled"}))
    if wrong:
        told = f"{len(wrong):,} of {counted(len(wrong) + len(throttled), 'refusals')}"
        return Clause(clause, "fail", f"{told}: {wrong[0].error or wrong[0].outcome}")
    if not throttled:
        return Clause(clause, "inconclusive", "nothing was refused" if records else untested)
    return Clause(clause, "pass", f"{counted(len(throttled), 'refusals')}, all of them 429")
