"""How sure an answer is if other people (strangers) may use the limit too: how many requests of strangers each limiter
needs to explain the records.

A stranger's request explains why something was refused earlier than expected. Nothing that strangers do explains an
admission. So a limiter that an admission contradicts is out, and one that a refusal or two contradict may still be the
true one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.experiments.rate_limit.candidates import (
    Candidate,
    Found,
    Survivors,
    is_odd,
    joined,
    likely,
    logarithmic,
    round_limit,
    round_rate,
    roundest,
)
from bench.experiments.rate_limit.replay import WINDOWS, LimiterKind, Numbers, Readings, Rows, Trials, readings, rows

CONTRADICTION = 3.0  # strangers' requests that an admission counts as which a limiter would have refused
ODD = 4.0  # and a window that no person would have chosen
NEEDED = 3.0  # strangers more than the answer that everything else must assume, before one is sure
NUMBERS_NEEDED = 2.0
"""That for another size or rate of the same bucket. Its strangers count until the bucket is full, so it needs few."""
USUAL_S = frozenset({1.0, 10.0, 60.0, 3600.0})  # windows that most providers have
RARE = 2.0  # strangers more, before one is sure of any other window
ADMISSIONS = 3  # of those that a limiter explains the worst; its limit lies at or above one of them
MOST_STRANGERS = 2.0  # that the answer assumes, where it is worth while to go on asking
SAME, CLOSE = 0.05, 0.03
"""Relative: windows and rates that lie so near to the answer are the answer; the second if it needs strangers."""
Places = npt.NDArray[np.intp]
"""Rows and columns of a table, one pair per line."""
WITHIN = 1.0  # requests: limits that lie so near to the answer are the answer
NEAR = 0.15  # relative: windows so near to a round one are not worth a word


@dataclass(frozen=True, slots=True)
class Answer:
    """A limiter as it is reported."""

    kind: LimiterKind
    span: float  # its window, s, or its rate per second
    limit: float


def answer_of(best: Candidate, resource: str) -> Answer:
    """The numbers to report: among equally good ones those that a person would have chosen."""
    low, high = best.limit
    limit = high if best.kind == "token_bucket" else low
    if best.kind != "concurrency" and resource not in ("requests", "images"):
        limit = round_limit(best.limit)
    span = round_rate(best.span) if best.kind == "token_bucket" else roundest(best.span)
    return Answer(best.kind, span, limit)


@dataclass(frozen=True, slots=True)
class Alternatives:
    """Limiters of one kind, one row for each set of parameters and one column for each limit of it."""

    rows: Rows
    limits: Numbers
    strangers: Numbers  # requests of others that have to be assumed

    def same(self, answer: Answer, unit: float, near: float) -> np.ndarray:
        """Which of these are the answer itself, or nearly."""
        if self.rows.kind != answer.kind:
            return np.zeros(self.limits.shape, bool)
        close = np.abs(self.rows.span / answer.span - 1.0) <= near
        return np.asarray(close[:, None] & (np.abs(self.limits - answer.limit) <= WITHIN * unit))

    def fewest(self, among: np.ndarray) -> Places:
        """Row and column of the one that needs the fewest strangers; empty if there is nothing to choose from."""
        assumed = np.where(among, self.strangers, np.inf)
        place = np.array([np.unravel_index(int(assumed.argmin()), assumed.shape)])
        return place if among.any() else place[:0]

    def below(self, among: np.ndarray, strangers: float) -> Places:
        """Rows and columns of those that need fewer strangers than this."""
        return np.argwhere(among & (self.strangers < strangers))

    def survivors(self, places: Places) -> Survivors:
        """The chosen ones as candidates."""
        row, limit = places[:, 0], self.limits[places[:, 0], places[:, 1]]
        return Survivors(self.rows[row], np.zeros(len(row)), limit, limit + 1.0, np.zeros(len(row)))

    def answer(self, place: np.ndarray) -> Answer:
        """The chosen one by its numbers."""
        row, column = place
        return Answer(self.rows.kind, float(self.rows.span[row]), float(self.limits[row, column]))


@dataclass(frozen=True, slots=True)
class Rivalry:
    """The answer compared with the next best limiter."""

    answer: Answer
    mine: float  # strangers' requests that the answer itself has to assume
    others: float  # and the other one
    other: Answer | None  # None: there is no other
    contenders: Found  # the answer at its best, and everything that is not ruled out beside it

    @property
    def is_won(self) -> bool:
        """Whether the answer is beyond doubt. With strangers it never is for a fixed window by the clock: a window
        that begins with a stranger's request looks the same."""
        if self.other is None:
            return True
        if self.mine > 0 and self.answer.kind == "fixed_window":
            return False
        return self.others >= enough(self.answer, self.mine, self.other.kind)

    @property
    def is_lost(self) -> bool:
        """Whether there were too many strangers for a few more requests to help."""
        return self.mine > (0.0 if self.answer.kind == "fixed_window" else MOST_STRANGERS)


def enough(answer: Answer, mine: float, other: LimiterKind) -> float:
    """How many strangers a limiter of the other kind must need, if the answer itself needs `mine`.

    If there were some, there may have been more. A sliding counter does something else with every phase, so it fits by
    chance more easily; and a window that few providers have is more likely one of theirs with some strangers.
    """
    needed = NUMBERS_NEEDED if answer.kind == other == "token_bucket" and not mine else NEEDED
    rare = answer.kind in WINDOWS and answer.span not in USUAL_S
    return mine + needed + (answer.kind == "sliding_counter") + RARE * rare + 2.0 * mine


def rivalry(answer: Answer, found: Found, trials: Trials) -> Rivalry:
    """The answer compared with every limiter that differs from it."""
    if answer.kind == "concurrency":
        return Rivalry(answer, 0.0, np.inf, None, {})  # what is under way is ours alone
    unit = unit_of(trials)
    lasting = answer.kind == "token_bucket"  # another kind is told from a bucket by refusals that come back
    every = {kind: alternatives(kind, survivors, trials, lasting=lasting) for kind, survivors in found.items()}
    same = {kind: one.same(answer, unit, SAME) for kind, one in every.items()}
    if min(float(one.strangers[same[kind]].min(initial=np.inf)) for kind, one in every.items()) > 0:
        same = {kind: one.same(answer, unit, CLOSE) for kind, one in every.items()}
    least = {kind: float(one.strangers[~same[kind]].min(initial=np.inf)) for kind, one in every.items()}
    mine = min(float(one.strangers[same[name]].min(initial=np.inf)) for name, one in every.items())
    mine = mine if np.isfinite(mine) else min(least.values())
    kind = min(least, key=lambda one: least[one] - enough(answer, mine, one))
    others = least[kind]
    contenders = {}
    for name, one in every.items():
        places = [
            one.fewest(same[name] & (one.strangers <= mine)),
            one.below(~same[name], enough(answer, mine, name)),
        ]
        if len(chosen := np.concatenate(places)):
            contenders[name] = one.survivors(chosen)
    other = every[kind].answer(every[kind].fewest(~same[kind])[0]) if np.isfinite(others) else None
    return Rivalry(answer, mine, others, other, contenders)


def unless_round(answer: Answer, found: Found, trials: Trials) -> tuple[float, float] | None:
    """The shortest and the longest window, s, against which only its length speaks: people write 10 and 60 seconds.
    None if all of them lie near the answer's own."""
    if answer.kind not in WINDOWS:
        return None
    unit = unit_of(trials)
    every = {kind: alternatives(kind, found[kind], trials, lasting=False) for kind in found if kind in WINDOWS}
    mine = float(every[answer.kind].strangers[every[answer.kind].same(answer, unit, SAME)].min(initial=np.inf))
    spans = [
        one.rows.span[(is_odd(one.rows) > 0) & (one.strangers - ODD * is_odd(one.rows)[:, None] <= mine).any(axis=1)]
        for one in every.values()
    ]
    seconds = np.concatenate(spans)
    far = seconds[np.abs(seconds / answer.span - 1.0) > NEAR]
    return (float(seconds.min()), float(seconds.max())) if len(far) else None


def unit_of(trials: Trials) -> float:
    """What one request of a stranger costs: as much as one of ours."""
    return float(np.median(trials.cost[trials.cost > 0])) if (trials.cost > 0).any() else 1.0


def alternatives(kind: LimiterKind, survivors: Survivors, trials: Trials, *, lasting: bool) -> Alternatives:
    """The limiters of one kind that may be the true one, with the strangers that each needs."""
    tried = survivors.rows[:1] if kind == "concurrency" else survivors.rows  # which has no parameters
    if kind != "concurrency" and (more := likely(kind, trials)) is not None:
        tried = joined(survivors, more).rows
    if kind == "token_bucket":
        middle = float(np.median(tried.span))
        tried = rows(kind, np.concatenate([tried.span, logarithmic(0.5 * middle, 2.0 * middle, 0.01)]))
    return assumed(tried, trials, lasting=lasting)


def assumed(tried: Rows, trials: Trials, *, lasting: bool = False) -> Alternatives:
    """How many strangers each of these limiters needs, with each limit that may be its best."""
    shown, unit = readings(tried, trials), unit_of(trials)
    low = shown.low[:, trials.admitted]
    highest = -np.sort(-low, axis=1)[:, :ADMISSIONS]  # a limit just large enough for all, for all but one, ...
    limits = np.ceil(np.concatenate([highest[:, :1] + 2.0 * unit, highest], axis=1) - 1e-6)
    needed = strangers(tried, limits, shown, trials, unit, lasting)
    needed += CONTRADICTION * (low[:, None, :] > limits[:, :, None] + 1e-6).sum(2)
    return Alternatives(tried, limits, needed + ODD * is_odd(tried)[:, None])


def strangers(tried: Rows, limits: Numbers, shown: Readings, trials: Trials, unit: float, lasting: bool) -> Numbers:
    """How many requests of strangers each limiter needs to explain every refusal. One of them explains all refusals
    for as long as the limiter counts it: in a bucket, if they are lasting, until the bucket is full."""
    count, level, since = np.zeros_like(limits), np.zeros_like(limits), np.full_like(limits, -np.inf)
    span, taken, last = tried.span[:, None], np.zeros((len(tried), 1)), float(trials.at[0])
    for place, admitted in enumerate(trials.admitted):
        at, high = float(trials.at[place]), shown.high[:, place, None]
        if tried.kind == "token_bucket":  # what flows in makes up for our own requests first
            level = level - np.clip((span * (at - last) - taken) / unit, 0.0, level)
            taken = (high - float(trials.cost[place]) * (not admitted)) if lasting else taken
        else:
            level = np.where(at - since < span, level, 0.0)
        if admitted:  # else that would have been refused
            room = (limits - shown.low[:, place, None]) / unit
            level = np.clip(room, 0.0, level) if lasting and tried.kind == "token_bucket" else np.zeros_like(limits)
        else:
            level = np.zeros_like(limits) if tried.kind == "concurrency" else level  # each has to meet somebody
            more = np.maximum(
                0.0, np.floor((limits - high) / unit - (level if lasting else np.ceil(level - 1e-6)) + 1e-6) + 1.0
            )
            count, level, since = count + more, level + more, np.where(more > 0, at, since)
        last = at
    return count
