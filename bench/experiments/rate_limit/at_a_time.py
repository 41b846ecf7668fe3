"""The clauses of a limit on requests under way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.analysis.numerals import counted
from bench.experiments.rate_limit.promise import Clause, Part, Promise, no_errors
from bench.records import Record

EDGE = 0.1  # of an answer's time, at either end, in which the server may not have it under way


def concurrency(promise: Promise) -> Iterator[Clause]:
    """As many at a time are admitted, more are refused, and there is room once answers have ended."""
    title, limit = promise.title, promise.limit
    below, above, again = (promise.part(name) for name in ("below", "above", "again"))
    yield all_admitted(f"{title}: as many at a time are admitted", promise, below, together=limit)
    yield more_refused(f"{title}: more at a time are refused", promise, above)
    yield no_errors(f"{title}: a refusal is a 429, no error and no silence", above.records, promise.untested)
    yield all_admitted(f"{title}: full service is back once answers have ended", promise, again, together=1)


def all_admitted(clause: str, promise: Promise, part: Part, *, together: int) -> Clause:
    """Nothing may be refused, and `together` requests have to be under way at one moment."""
    if not part.records:
        return Clause(clause, "inconclusive", promise.untested)
    told = f"{counted(len(part.records), 'requests')} at a time, {len(part.refused):,} refused"
    if part.refused:
        return Clause(clause, "fail", f"{told}: {part.refused[0].error}")
    if part.doubt is not None:
        return Clause(clause, "inconclusive", f"{told}; {part.doubt}")
    if (most := most_under_way(part.records)) < together:
        return Clause(clause, "inconclusive", f"{told}; {short_answers(most)}")
    return Clause(clause, "pass", told)


def more_refused(clause: str, promise: Promise, above: Part) -> Clause:
    """Of more requests than the limit admits at a time, exactly as many as it admits are let in."""
    if not above.records:
        return Clause(clause, "inconclusive", promise.untested)
    let_in, limit = above.of("admitted"), promise.limit
    told = f"of {len(above.records):,} at a time {len(let_in):,} were admitted"
    most = most_under_way(let_in)
    if most > limit:
        return Clause(clause, "fail", told)
    if above.doubt is not None:
        return Clause(clause, "inconclusive", f"{told}; {above.doubt}")
    if len(let_in) < limit:
        return Clause(clause, "fail", told)
    if len(let_in) > limit or most < limit:
        return Clause(clause, "inconclusive", f"{told}; {short_answers(most)}")
    return Clause(clause, "pass", told)


def short_answers(most: int) -> str:
    return f"only {counted(most, 'answers', 'were')} under way at a time; ask for answers that take longer"


def most_under_way(records: Sequence[Record]) -> int:
    """How many requests the server had under way at one moment at least, the ends of each left out."""
    turns = []
    for one in records:
        begin = one.sent or 0.0
        edge = EDGE * (one.done - begin)
        turns += [(begin + edge, 1), (one.done - edge, -1)]
    most = now = 0
    for _, change in sorted(turns):
        now += change
        most = max(most, now)
    return most
