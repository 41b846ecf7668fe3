"""How a limiter is identified: a burst until it refuses, a recovery, a second burst, then whatever gives the most
information."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from bench.experiments.rate_limit.candidates import (
    MARGIN,
    Found,
    candidates,
    is_of_one,
    possible,
    refined,
    search,
    whole,
)
from bench.experiments.rate_limit.design import next_move
from bench.experiments.rate_limit.evidence import (
    INCURABLE,
    REFUSED,
    Cost,
    held_back,
    is_refused,
    one,
    told,
    trials_of,
    undisguised,
)
from bench.experiments.rate_limit.replay import WINDOWS, Numbers, Trials
from bench.experiments.rate_limit.strangers import answer_of, rivalry
from bench.plan import Burst, Planned, Steps, Wait
from bench.records import Record

SPACING = 0.01  # s between requests of a burst: sequential ones could never reach a limit of many per second
FIRST_GAP, GROWTH, LONGEST_GAP = 0.05, 1.7, 8.0  # s: of the recovery poll
POLLS = 20  # without an admission, before the limiter is left alone: it may count what it refuses
SILENCE = 61.0  # s: longer than the window that nearly every provider has
AFTER_RECOVERY = 4  # requests at once after the first admission: all, or as many as dripped in
LAPSE, PAUSE = 1.6, 0.35
"""Of the time to the recovery: before a few requests, so that a window that begins with the first of them begins at a
moment of its own, and from there to the second burst, since two clumps, unlike one, tell a log from a window."""
CLUMP = 3
EXACT = 0.025  # relative: windows or rates that lie so near to each other are one
MOST_MOVES = 40
MORE, SOME_MORE = 1.4, 25
"""The most requests of a search: MORE times as many as made the answer known, plus SOME_MORE. Those beyond the answer
rule out what other people's requests would explain."""
PAIRED = 5
"""Requests at a steady distance, each of which tells how fast a bucket of one fills."""
CLOSER = 0.7
"""Of the time from one admission to the next: only a window of the clock admits two requests so close, at times."""
HURRIED = 0.3  # of that time: what may pass between two steps beside the wait
RECENT = 5  # steps from which that is told
STEADY = 20
"""Requests sent at a steady rate, beside those that fill it, to see through a limiter that holds answers back."""
MOST_EXHAUSTED = 2
"""How often a limiter is used up again, where nothing smaller tells candidates apart."""
STOPPING = INCURABLE | {"quota"}
"""Outcomes after which nothing more is sent."""
UNTIL = REFUSED | STOPPING | {"stream_error"}
"""Outcomes after which the rest of a burst is not sent. An error inside a success may be a refusal: its words tell."""


@dataclass(slots=True)
class Probing:
    """The requests sent so far for one resource, and the source of the next ones."""

    name: str  # of its bursts
    requests: Iterator[Planned]
    most: int  # requests in all
    cost: Cost = one
    charged_after: bool = False
    second: Iterator[Planned] | None = None  # other requests for the second burst, to see what of them is counted
    thorough: bool = True  # whether to go on against what other people's requests would explain
    records: list[Record] = field(default_factory=list)
    ended: str | None = None  # why it was ended early
    lateness: list[float] = field(default_factory=list)  # s: of the bursts after a wait

    @property
    def left(self) -> int:
        return self.most - len(self.records)

    @property
    def now(self) -> float:
        return max((record.done for record in self.records), default=0.0)

    @property
    def thinking(self) -> float:
        """How much time passes between two steps in addition to the wait, s."""
        return statistics.median(self.lateness[-RECENT:]) if self.lateness else 0.0

    def burst_after(self, wait: float, size: int) -> Steps[list[Record]]:
        """So many requests after a wait."""
        due = self.now + wait
        yield Wait(seconds=wait)
        records = yield from self.burst(size)
        if records:
            self.lateness.append(max(0.0, (records[0].sent or due) - due))
        return records

    def burst(self, size: int, *, spacing: float = SPACING, until: frozenset[str] = UNTIL) -> Steps[list[Record]]:
        """So many requests, or as many as are left, until one is refused."""
        size = min(size, self.left)
        if size <= 0 or self.ended is not None:
            self.ended = self.ended or "budget"
            return []
        sent = tuple(itertools.islice(self.requests, size))
        answered = yield Burst(name=self.name, requests=sent, spacing=spacing, until=until)
        self.records += (records := list(map(undisguised, answered)))
        self.ended = next((record.outcome for record in records if record.outcome in STOPPING), self.ended)
        return told(records)


def identify(probing: Probing) -> Steps[Found]:
    """The limiters that explain the answers to these requests; empty if no request was refused."""
    begun = probing.now
    while probing.ended is None and not any(map(is_refused, probing.records)):
        yield from probing.burst(probing.left)
    burst = list(probing.records)
    if not any(map(is_refused, burst)) or probing.ended:
        return search(trials(probing))
    recovered = yield from recover(probing)
    if recovered is None:
        return search(trials(probing))
    after = yield from probing.burst(AFTER_RECOVERY)
    if after and not any(map(is_refused, after)):  # as windows do
        took = probing.now - begun
        yield Wait(seconds=LAPSE * took)
        yield from probing.burst(CLUMP)
        yield Wait(seconds=PAUSE * took)
        admitted = sum(not is_refused(record) for record in burst)
        trip = trials(probing).trip
        spacing = max(SPACING, min(trip / 2, took / (4.0 * max(admitted, 1))))
        first, probing.requests = probing.requests, probing.second or probing.requests
        yield from probing.burst(2 * admitted + 20, spacing=spacing)
        probing.requests = first
    if (apart := held_back(trials(probing))) is not None:
        # A burst lasts as long as its slowest answer, and the limiter has recovered meanwhile: ask on while it is used
        # up, refusals or not, twice as often as it lets requests out.
        admitted = sum(not is_refused(record) for record in burst)
        yield from probing.burst(2 * admitted + STEADY, spacing=apart / 2.0, until=STOPPING)
        return search(trials(probing))
    return (yield from settle(probing))


def recover(probing: Probing) -> Steps[Record | None]:
    """Ask with growing gaps until a request is admitted. Returns that request, or None if none was."""
    gap = FIRST_GAP
    for _ in range(POLLS):
        yield Wait(seconds=gap)
        for record in (yield from probing.burst(1)):
            if not is_refused(record):
                return record
        if probing.ended:
            return None
        gap = min(gap * GROWTH, LONGEST_GAP)
    yield Wait(seconds=SILENCE)
    for record in (yield from probing.burst(1)):
        if not is_refused(record):
            return record
    return None


def settle(probing: Probing) -> Steps[Found]:
    """Send what tells the candidates apart, until one kind is left, its parameters are exact and it is beyond doubt,
    or until nothing helps any more."""
    found = search(trials(probing))
    exhausted, most = 0, math.inf
    for number in range(MOST_MOVES):
        if known := is_exact(found):
            most = min(most, MORE * len(probing.records) + SOME_MORE) if probing.thorough else 0.0
        if probing.ended or (known and len(probing.records) >= most):
            break
        if not (left := contenders(found, trials(probing)) if known else best_of(found)):
            break
        if (steady := steadily(left, probing.thinking, known=known, number=number)) is not None:
            yield from probing.burst(steady.size, spacing=steady.spacing, until=STOPPING)
        else:
            soonest = probing.now + probing.thinking
            move = next_move(left, trials(probing), soonest, kind_known=known, seed=number)
            if move is None and exhausted == MOST_EXHAUSTED:
                break
            if move is None:  # what has room tells nothing
                exhausted += 1
                yield from use_up(probing, left)
            else:
                yield from probing.burst_after(move.wait, move.requests)
        found = refined(found, trials(probing), seed=number)
        if is_exact(found) or number % 6 == 5:
            found = search(trials(probing), seed=number)
    return found


def use_up(probing: Probing, left: Found) -> Steps[None]:
    """Wait until the limiter is full and use it up, in two clumps if it may have windows: after a single clump a log
    and a window do the same."""
    windows = [float(one.rows.span.max()) for kind, one in left.items() if kind in WINDOWS]
    if windows:
        yield Wait(seconds=min(max(windows), SILENCE))
        yield from probing.burst(CLUMP)
        yield Wait(seconds=PAUSE * min(max(windows), SILENCE))
    yield from probing.burst(int(1.3 * max(float(one.low.max()) for one in left.values())) + 5)


@dataclass(frozen=True, slots=True)
class Steady:
    """Requests at equal distances, sent whether they are refused or not."""

    size: int
    spacing: float  # s


def steadily(left: Found, thinking: float, *, known: bool, number: int) -> Steady | None:
    """What to send to a limiter that admits the next request sooner than the next step can be computed. Only within
    one burst are such short distances kept. None if there is time enough, or if another move tells more."""
    left = {kind: one for kind, one in left.items() if kind != "concurrency"}
    if not left:
        return None
    periods = [1.0 / one.rows.span if kind == "token_bucket" else one.rows.span for kind, one in left.items()]
    shortest, longest = min(float(one.min()) for one in periods), max(float(one.max()) for one in periods)
    if thinking < HURRIED * shortest:
        return None
    if all(map(is_of_one, left.values())):
        if len(left) > 1 and (known or longest < (1.0 + 2.0 * EXACT) * shortest):
            return Steady(PAIRED, CLOSER * shortest)
        return Steady(PAIRED, between(periods[0], above=number % 2 == 0) if known else math.sqrt(shortest * longest))
    if left.keys() == {"token_bucket"} and not known:  # twice as fast as it fills, until that shows exactly
        return Steady(int(2.0 * left["token_bucket"].low.max()) + 2 * STEADY, float(np.median(periods[0])) / 2.0)
    return None


def between(periods: Numbers, *, above: bool) -> float:
    """A distance that tells the first of these periods, which is the answer so far, from the next longer or shorter
    one."""
    longer, shorter = periods[periods > periods[0]], periods[periods < periods[0]]
    other = longer.min() if len(longer) and (above or not len(shorter)) else shorter.max(initial=CLOSER * periods[0])
    return math.sqrt(float(periods[0]) * float(other))


def best_of(found: Found) -> Found:
    """The parameters of every possible kind that explain the most."""
    return {kind: one.best(0.0) for kind, one in possible(found).items()}


def contenders(found: Found, trials: Trials) -> Found:
    """The answer, and what it may be instead if other people sent a few requests. Empty if that is ruled out, or if
    they sent too many for it to be ruled out."""
    rival = rivalry(answer_of(candidates(found)[0], "requests"), found, trials)
    return {} if rival.is_won or rival.is_lost else rival.contenders


def is_exact(found: Found) -> bool:
    """Whether only one kind is possible, with one limit and nearly one window or rate."""
    left = possible(found, margin=MARGIN)
    if len(left) != 1:
        return False
    (survivors,) = left.values()
    span = survivors.rows.span
    first, last = whole(survivors.low, survivors.high)
    return bool(span.max() <= span.min() * (1.0 + 2.0 * EXACT) and first.min() == last.max())


def trials(probing: Probing) -> Trials:
    """The evidence so far."""
    exact = probing.name == "requests"  # of tokens and images it is not known yet how they are counted
    return trials_of(probing.records, probing.cost, charged_after=probing.charged_after, exact=exact)
