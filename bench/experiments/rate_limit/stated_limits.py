"""The clauses of a contract about the headers that state a limit: whether they are there, and whether they are true of
the window that they speak of."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.numerals import counted, share
from bench.analysis.refusals import ONE_FOR_ALL, resource_of
from bench.experiments.rate_limit.evidence import is_refused
from bench.experiments.rate_limit.promise import Clause, Promise, is_let_in, meaning_of
from bench.experiments.rate_limit.question import HeaderStyle
from bench.records import Record

ENOUGH = 5  # answers, before something is said of a counter
ENOUGH_PAIRS = 12  # of answers that follow each other, before something is said of its rises
NAMED: dict[HeaderStyle, str] = {"groq": "openai", "azure": "openai", "together": "openrouter"}
"""Styles whose headers have the names of another one."""
WINDOWS_S = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
OF_A_DAY = {("groq", "requests")}
"""Counters of a style that are of a day; its documentation says so, and its headers do not."""
SHORTER: dict[HeaderStyle, tuple[float, ...]] = {"azure": (1.0, 10.0)}
"""Windows, s, of which a style may state its part of a minute's limit without a word."""
A_FEW = 0.1  # of the answers, which may state something else
JUMP = 0.05  # of a limit, by which a counter that rises does so clearly
RISING = 1 / 3  # of the answers after another one: more rise only if a counter does not count


@dataclass(frozen=True, slots=True)
class Stated:
    """What an answer's headers say of one limit."""

    limit: float | None
    remaining: float | None
    window_s: float  # that it speaks of; a minute where nothing is said

    def is_of(self, per_minute: int, style: HeaderStyle) -> bool:
        """Whether it states this limit, for its own window."""
        windows = (self.window_s, *SHORTER.get(style, ()))
        return any(self.limit is not None and abs(self.limit * 60.0 / one - per_minute) < 0.5 for one in windows)

    @property
    def in_words(self) -> str:
        if self.limit is None:
            return "no limit"
        unit = next((unit for unit, seconds in WINDOWS_S.items() if seconds == self.window_s), f"{self.window_s:g} s")
        return f"{self.limit:,.0f}" + ("" if unit == "minute" else f" per {unit}")


def stated(record: Record, promise: Promise, style: HeaderStyle) -> dict[str, Stated]:
    """What the headers of an answer say of the limit's resource, by the counters' names."""
    found = {}
    for name in dict.fromkeys(key.rpartition(".")[0] for key in record.limits):
        resource = resource_of(name)
        if resource in (promise.resource, "unknown") or style in ONE_FOR_ALL:
            limit, remaining = (record.limits.get(f"{name}.{what}") for what in ("limit", "remaining"))
            found[name] = Stated(limit, remaining, window_of(record, name, style))
    return found


def window_of(record: Record, name: str, style: HeaderStyle) -> float:
    """The window of a counter, s: as it is stated, as its name says, or as its style is known to have it."""
    if (window := record.limits.get(f"{name}.window_s")) is not None and window > 0:
        return window
    if (unit := re.search(r"_(second|minute|hour|day)$", name)) is not None:
        return WINDOWS_S[unit[1]]
    return WINDOWS_S["day" if (style, name) in OF_A_DAY else "minute"]


def headers_present(clause: str, promise: Promise, style: HeaderStyle) -> Clause:
    """Every answer states the limit and what is left of it, in the promised style."""
    answered = [one for one in promise.own.records if one.status is not None and (is_let_in(one) or is_refused(one))]
    if not answered:
        return Clause(clause, "inconclusive", promise.untested)
    named = NAMED.get(style, style)
    strange = [one for one in answered if one.limit_style is not None and named not in one.limit_style.split(", ")]
    if strange:
        told = f"{len(strange):,} of {counted(len(answered), 'answers', 'have')} those of {strange[0].limit_style}"
        return Clause(clause, "fail", f"{told} in place of {style}")
    having = [one for one in answered if any(is_complete(each) for each in stated(one, promise, style).values())]
    told = f"{len(having):,} of {counted(len(answered), 'answers', 'have')} them"
    return Clause(clause, "pass" if len(having) == len(answered) else "fail", told)


def is_complete(one: Stated) -> bool:
    return one.limit is not None and one.remaining is not None


def headers_true(clause: str, promise: Promise, style: HeaderStyle) -> Clause:
    """The stated limit is the promised one, or one of another window; what is left of it falls with each admission, is
    never more than the limit, and is nothing after a refusal."""
    having = [(one, stated(one, promise, style)) for one in promise.own.records]
    having = [(one, found) for one, found in having if any(map(is_complete, found.values()))]
    if len(having) < ENOUGH:
        return Clause(clause, "inconclusive", "too few answers have them" if having else promise.untested)
    everything = [each for _, found in having for each in found.values() if each.limit is not None]
    right = [found for _, found in having if any(each.is_of(promise.limit, style) for each in found.values())]
    short = [each for each in everything if each.window_s <= 60.0 and not is_another(each, promise, style)]
    if short and len(right) < (1 - A_FEW) * len(having) and not (right and style in ONE_FOR_ALL):
        words = dict.fromkeys(each.in_words for each in short if not each.is_of(promise.limit, style))
        return Clause(clause, "fail", f"they state {', '.join([*words][:3])} instead of {promise.limit:,}")
    name = counter_of([found for _, found in having], promise, style)
    mine = [(one, found[name]) for one, found in having if name in found and is_complete(found[name])]
    lie = untrue(mine, promise, is_promised=bool(right))
    words = dict.fromkeys(each.in_words for _, each in mine)
    told = f"limit {', '.join([*words][:3])}"
    if lie is not None:
        return Clause(clause, "fail", f"{told}; {lie}")
    if not right:
        return Clause(clause, "pass", f"{told}, which is another one than promised; what is left of it is plausible")
    no = [each for one, each in mine if meaning_of(one, promise.resource) == "refused"]
    nothing = sum(each.remaining == 0.0 for each in no)
    return Clause(clause, "pass", f"{told}; nothing left in {nothing:,} of {counted(len(no), 'refusals')}")


def is_another(one: Stated, promise: Promise, style: HeaderStyle) -> bool:
    """Whether it states another promise of the contract, in a style that does not say of what it speaks."""
    limits = promise.scenario.promised
    others = [limit for name, limit in limits.items() if name != promise.name]
    return style in ONE_FOR_ALL and any(one.is_of(limit, style) for limit in others)


def counter_of(having: Sequence[dict[str, Stated]], promise: Promise, style: HeaderStyle) -> str:
    """The counter of the promised limit; if there is none, the one that most answers have."""
    names = Counter(name for found in having for name, each in found.items() if each.is_of(promise.limit, style))
    names = names or Counter(name for found in having for name, each in found.items() if is_complete(each))
    return names.most_common(1)[0][0]


def untrue(mine: Sequence[tuple[Record, Stated]], promise: Promise, *, is_promised: bool) -> str | None:
    """What a counter shows that cannot be true; None if there is nothing."""
    over = [each for _, each in mine if (each.remaining or 0.0) > (each.limit or 0.0) + 0.5]
    if len(over) > A_FEW * len(mine):
        told = f"{len(over):,} of {counted(len(mine), 'answers')} say that more is left"
        return f"{told}, such as {over[0].remaining:,.0f}"
    burst = [each.remaining or 0.0 for one, each in mine if is_part(one, "used up") and is_let_in(one)]
    if len(burst) >= ENOUGH and max(burst) == min(burst):
        return f"{counted(len(burst), 'requests')} in a row, and {burst[0]:,.0f} left after each"
    steady = [[pair for pair in mine if is_part(pair[0], part) and is_let_in(pair[0])] for part in ("below", "again")]
    pairs = [pair for part in steady for pair in itertools.pairwise(each for _, each in part)]
    rises = sum((b.remaining or 0.0) - (a.remaining or 0.0) > max(1.0, JUMP * (a.limit or 0.0)) for a, b in pairs)
    if len(pairs) >= ENOUGH_PAIRS and rises > RISING * len(pairs):
        return f"what is left rises after {share(rises / len(pairs))} of the requests"
    no = [each for one, each in mine if meaning_of(one, promise.resource) == "refused"]
    full = [each for each in no if (each.remaining or 0.0) >= 1.0]
    if is_promised and promise.name == "rpm" and len(full) > A_FEW * len(no):
        return f"{len(full):,} of {counted(len(no), 'refusals')} say that something is left"
    return None


def is_part(record: Record, name: str) -> bool:
    return record.stage.endswith(f": {name}")
