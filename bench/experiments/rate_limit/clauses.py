"""Whether a provider keeps what it promises: one clause after the other, each with its verdict and its evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.numerals import counted, duration, share
from bench.analysis.statistics import Verdict
from bench.experiments.rate_limit.candidates import is_odd, search
from bench.experiments.rate_limit.evidence import REFUSED, trials_of
from bench.experiments.rate_limit.question import DECLARED, Contract
from bench.experiments.rate_limit.replay import PHASED, WINDOWS, Rows, Trials, readings, rows
from bench.experiments.rate_limit.requests import BASES, Costs
from bench.records import Record

NEAR = 0.03  # relative: limits that lie so near to the one promised are the one promised
SURE = 3  # requests more that the promised limit must leave unexplained than another one
WINDOWS_S = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0)
"""Windows in which a limit per minute may be kept."""
AT_ONCE_S = 0.1  # requests within so short a time are said to be sent at once
ENOUGH = 5  # answers, before a counter that does not move is stuck
WRONG = frozenset({"server_error", "timeout", "connect", "protocol"})
"""Outcomes where a 429 was due."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One promise."""

    clause: str
    verdict: Verdict
    evidence: str


def clauses_of(contract: Contract, model: str, records: Sequence[Record], costs: Costs | None) -> list[Clause]:
    """Every clause of a contract, judged by the records of its tests."""
    found: list[Clause] = []
    for name, limit in contract.limits(model).items():
        mine = sorted((one for one in records if one.stage.startswith(f"{name}: ")), key=lambda one: one.sent or 0.0)
        if name == "concurrency":
            mine = [
                one
                for one in records
                if one.stage in ("concurrency: below", "concurrency: above", "concurrency: again")
            ]
            found += concurrency(limit, mine)
            continue
        if name == "ipm" and contract.ipm is None:
            continue  # of a tier's table, for other models than this one
        found += rate(contract, name, limit, mine, costs)
    return found


def rate(contract: Contract, name: str, limit: int, records: list[Record], costs: Costs | None) -> Iterator[Clause]:
    """The clauses of a limit per minute."""
    title = f"{name} {limit:,}"
    own = [one for one in records if not one.stage.endswith(("other models", "other key"))]
    yield everything_admitted(f"{title}: at 90 % every request is admitted", of(own, "below"))
    yield kept(f"{title}: above it the refused share is what the limit implies", name, limit, own, costs)
    yield no_errors(f"{title}: a refusal is a 429, no error and no silence", own)
    if contract.headers is not None:
        yield headers_present(f"{title}: headers are present", name, own)
        yield headers_true(f"{title}: headers are true", name, limit, own)
    if contract.retry_after:
        yield retry_after_present(f"{title}: refusals have Retry-After", own)
        yield retry_after_true(f"{title}: a request sent at Retry-After is admitted", own)
    yield everything_admitted(f"{title}: full service is back after the window", of(own, "again"))
    for what in ("other models", "other key"):
        if chosen := of(records, what):
            yield unaffected(f"{title}: {what} {'are' if what.endswith('s') else 'is'} unaffected", chosen)


def of(records: Sequence[Record], what: str) -> list[Record]:
    return [one for one in records if one.stage.endswith(f": {what}")]


def refused(records: Sequence[Record]) -> list[Record]:
    return [one for one in records if one.outcome in REFUSED]


def everything_admitted(clause: str, records: list[Record]) -> Clause:
    """Nothing may be refused."""
    if not records:
        return Clause(clause, "inconclusive", "it was not tested: the budget or the run ended before")
    no = refused(records)
    seconds = (records[-1].sent or 0.0) - (records[0].sent or 0.0)
    told = f"{counted(len(records), 'requests')} {within(seconds)}, {len(no):,} refused"
    if no:
        first = (no[0].sent or 0.0) - (records[0].sent or 0.0)
        told += f", the first after {duration(first)}: {no[0].error}" if first > AT_ONCE_S else f": {no[0].error}"
    return Clause(clause, "fail" if no else "pass", told)


def within(seconds: float) -> str:
    return f"in {duration(seconds)}" if seconds > AT_ONCE_S else "at once"


def kept(clause: str, name: str, limit: int, records: list[Record], costs: Costs | None) -> Clause:
    """The admissions and refusals of all tests must fit a limiter of any kind with the promised limit, and no other
    limit may fit them much better."""
    above = of(records, "above")
    if not above:
        return Clause(clause, "inconclusive", "it was not tested: the budget or the run ended before")
    trials = evidence(name, records, costs)
    told = f"{counted(len(above), 'requests')} at 150 %, {len(refused(above)):,} refused"
    told += f" ({share(len(refused(above)) / len(above))})"
    if not refused(above):
        return Clause(clause, "fail", f"{told}; a limit of {limit:,} per minute would have refused about a third")
    promised = explained(limit, trials)
    free, rates = sustained(trials)
    told += f"; {limit:,} per minute explains {all_but(promised, len(trials))} answers"
    low, high = rates
    near = limit * (1 - NEAR) <= low and high <= limit * (1 + NEAR)
    if promised <= free + 1 or near:
        return Clause(clause, "pass", told)
    told += f", {about(low, high)} per minute {all_but(free, len(trials))}"
    return Clause(clause, "fail" if promised - free >= SURE else "inconclusive", told)


def all_but(left: int, many: int) -> str:
    return f"all but {left:,} of {many:,}" if left else f"all {many:,}"


def about(low: float, high: float) -> str:
    return f"{low:,.0f}" if round(low) == round(high) else f"{low:,.0f} to {high:,.0f}"


def evidence(name: str, records: Sequence[Record], costs: Costs | None) -> Trials:
    """The requests of a test with their costs. If tokens can be counted in several ways, the one that explains the
    most."""
    resource = DECLARED[name]
    if resource == "requests" or costs is None:
        return trials_of(records)
    made = [
        trials_of(records, costs.of(basis), charged_after=basis.charged == "after")
        for basis in BASES
        if basis.resource == resource or (resource == "tokens" and basis.resource.endswith("tokens"))
    ]
    return min(made, key=lambda trials: sustained(trials)[0]) if len(made) > 1 else made[0]


def explained(limit: float, trials: Trials) -> int:
    """How many requests the best limiter with this limit per minute leaves unexplained, over all kinds."""
    least = len(trials)
    turns = (trials.at[1:] + trials.at[:-1]) / 2
    for kind in WINDOWS:
        for window in WINDOWS_S:
            size = limit * window / 60.0
            if size < trials.cost.max() or abs(size - round(size)) > 1e-9:
                continue
            step = max(trials.blur, window / 400)
            phases: np.ndarray | float = 0.0
            if kind in PHASED:
                phases = np.unique(np.round(np.mod(turns, window) / step)) * step
            if kind == "sliding_counter":  # which foretells something else with every shift
                phases = np.linspace(0.0, window, 500, endpoint=False)
            least = min(least, unexplained(rows(kind, window, phases), np.full(1, size), trials))
    found = readings(rows("token_bucket", limit / 60.0), trials)
    sizes = np.unique(np.concatenate([np.ceil(found.low[0, trials.admitted] - 1e-6), [trials.cost.max()]]))
    for size in sizes[sizes <= 2 * limit]:
        least = min(least, unexplained(rows("token_bucket", limit / 60.0), np.full(1, size), trials))
    return least


def unexplained(tried: Rows, limit: np.ndarray, trials: Trials) -> int:
    """How many requests the best of these rows leaves unexplained with this limit."""
    found = readings(tried, trials)
    wrong = (found.low[:, trials.admitted] > limit[:, None] + 1e-6).sum(1)
    wrong += (found.high[:, ~trials.admitted] <= limit[:, None] + 1e-6).sum(1)
    return int(wrong.min())


def sustained(trials: Trials) -> tuple[int, tuple[float, float]]:
    """How many requests the best limiter leaves unexplained, and how much it and its equals admit per minute."""
    best, rates = len(trials), (0.0, 0.0)
    for kind, found in search(trials).items():
        if kind == "concurrency" or not len(found):
            continue
        top = found[found.unexplained <= found.unexplained.min()]
        top = top[is_odd(top.rows) <= is_odd(top.rows).min()]
        per_minute = 60.0 * (top.rows.span if kind == "token_bucket" else np.ceil(top.low - 1e-6) / top.rows.span)
        if top.unexplained[0] < best:
            best, rates = int(top.unexplained[0]), (float(per_minute.min()), float(per_minute.max()))
    return best, rates


def no_errors(clause: str, records: list[Record]) -> Clause:
    """Refusals must be 429s."""
    wrong = [one for one in records if one.outcome in WRONG]
    throttled = [one for one in records if one.outcome == "throttled"]
    if wrong:
        told = f"{len(wrong):,} of {counted(len(wrong) + len(throttled), 'refusals')}"
        return Clause(clause, "fail", f"{told}: {wrong[0].outcome}: {wrong[0].error}")
    if not throttled:
        return Clause(clause, "inconclusive", "nothing was refused")
    return Clause(clause, "pass", f"{counted(len(throttled), 'refusals')}, all of them 429")


def stated(record: Record, name: str, what: str) -> float | None:
    """What the headers of an answer say of the limit of a test: limit, remaining or reset_s."""
    word = DECLARED[name]
    values = [value for key, value in record.limits.items() if word in key and key.endswith(f".{what}")]
    return values[0] if values else None


def headers_present(clause: str, name: str, records: list[Record]) -> Clause:
    """Every answer states the limit and what is left of it."""
    answered = [one for one in records if one.status is not None]
    missing = [one for one in answered if stated(one, name, "limit") is None or stated(one, name, "remaining") is None]
    if not answered:
        return Clause(clause, "inconclusive", "there were no answers")
    told = f"{len(answered) - len(missing):,} of {counted(len(answered), 'answers')} have them"
    return Clause(clause, "fail" if missing else "pass", told)


def headers_true(clause: str, name: str, limit: int, records: list[Record]) -> Clause:
    """The stated limit is the promised one, something is left after each admission, and nothing after a refusal."""
    having = [one for one in records if stated(one, name, "remaining") is not None]
    if len(having) < ENOUGH:
        return Clause(clause, "inconclusive", "too few answers have them")
    limits = {value for one in having if (value := stated(one, name, "limit")) is not None}
    burst = [one for one in of(having, "used up") if one.outcome not in REFUSED]
    left = [stated(one, name, "remaining") or 0.0 for one in burst]
    no = refused(having)
    full = [one for one in no if (stated(one, name, "remaining") or 0.0) >= 1.0] if name == "rpm" else []
    if limits and limits != {float(limit)} and not any(abs(value - limit) < 0.5 for value in limits):
        return Clause(
            clause, "fail", f"they state {', '.join(f'{one:,.0f}' for one in sorted(limits)[:3])} instead of {limit:,}"
        )
    if len(left) >= ENOUGH and max(left) == min(left):
        return Clause(clause, "fail", f"{counted(len(left), 'requests')} in a row, and {left[0]:,.0f} left after each")
    if no and len(full) > 0.1 * len(no):
        return Clause(clause, "fail", f"{len(full):,} of {counted(len(no), 'refusals')} say that something is left")
    return Clause(
        clause,
        "pass",
        f"limit {', '.join(f'{one:,.0f}' for one in sorted(limits)) or 'not stated'}; nothing left in "
        f"{len(no) - len(full):,} of {counted(len(no), 'refusals')}",
    )


def retry_after_present(clause: str, records: list[Record]) -> Clause:
    """Refusals say when to come back."""
    no = [one for one in records if one.outcome in ("throttled", "overloaded")]
    if not no:
        return Clause(clause, "inconclusive", "nothing was refused")
    missing = [one for one in no if one.retry_after is None]
    return Clause(
        clause, "fail" if missing else "pass", f"{len(no) - len(missing):,} of {counted(len(no), 'refusals')} have it"
    )


def retry_after_true(clause: str, records: list[Record]) -> Clause:
    """A request sent after exactly that time is admitted."""
    tried = of(records, "at Retry-After")
    if not tried:
        return Clause(clause, "inconclusive", "no refusal had one that could be waited for")
    no = refused(tried)
    return Clause(clause, "fail" if no else "pass", f"{len(tried) - len(no):,} of {len(tried):,} were admitted")


def unaffected(clause: str, records: list[Record]) -> Clause:
    """Requests of other models or keys are admitted while the limit of the first one is used up."""
    no = refused(records)
    told = f"{len(records) - len(no):,} of {len(records):,} admitted while the limit was used up"
    return Clause(clause, "fail" if no else "pass", told)


def concurrency(limit: int, records: list[Record]) -> Iterator[Clause]:
    """The clauses of a limit on requests under way."""
    title = f"concurrency {limit:,}"
    below, above, again = (of(records, what) for what in ("below", "above", "again"))
    yield everything_admitted(f"{title}: as many at a time are admitted", below)
    clause = f"{title}: more at a time are refused"
    if not above:
        yield Clause(clause, "inconclusive", "it was not tested: the budget or the run ended before")
    else:
        let_in = len(above) - len(refused(above))
        wrong = [one for one in above if one.outcome in WRONG]
        verdict: Verdict = "pass" if let_in == limit else "fail"
        yield Clause(clause, verdict, f"of {len(above):,} at a time {let_in:,} were admitted")
        yield (
            no_errors(f"{title}: a refusal is a 429, no error and no silence", [*above])
            if wrong or refused(above)
            else Clause(f"{title}: a refusal is a 429, no error and no silence", "inconclusive", "nothing was refused")
        )
    yield everything_admitted(f"{title}: full service is back once answers have ended", again)
