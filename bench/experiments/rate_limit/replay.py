"""Candidate limiters as meters: what each would have counted at every request, for many parameters at once.

A limiter admits a request if its meter, including this request, stays within the limit. The meters count what was
really admitted, so a wrong prediction does not spoil the next ones. Rows are parameters, columns are requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

WindowKind = Literal[
    "fixed_window", "fixed_window_from_first", "sliding_log", "sliding_log_counting_rejects", "sliding_counter"
]
LimiterKind = Literal[WindowKind, "token_bucket", "concurrency"]
WINDOWS: tuple[WindowKind, ...] = (
    "fixed_window",
    "fixed_window_from_first",
    "sliding_log",
    "sliding_log_counting_rejects",
    "sliding_counter",
)
KINDS: tuple[LimiterKind, ...] = (*WINDOWS, "token_bucket", "concurrency")
PHASED = frozenset({"fixed_window", "sliding_counter"})
"""Kinds whose windows go by a clock, and so have a phase."""
NEVER = -np.inf


@dataclass(frozen=True, slots=True)
class Trials:
    """What a limiter did, in the order of sending; one entry per request."""

    at: Numbers  # when it was sent, s
    done: Numbers  # when its answer ended, s
    admitted: npt.NDArray[np.bool_]
    cost: Numbers  # what it takes of the limit
    blur: float = 0.0  # by how much the moments of arrival may be off, s
    trip: float = 0.0  # what a round trip takes at least, s
    charged_after: bool = False  # whether the cost is taken when the answer ends, and until then nothing
    exact: bool = True  # whether it is known what each request takes, not only supposed

    def __len__(self) -> int:
        return len(self.at)

    def first(self, count: int) -> Trials:
        """Those that were sent first."""
        part = slice(0, count)
        return replace(self, at=self.at[part], done=self.done[part], admitted=self.admitted[part], cost=self.cost[part])


@dataclass(frozen=True, slots=True)
class Rows:
    """Parameters of one kind, one row per set: windows and phases in seconds, or rates per second."""

    kind: LimiterKind
    span: Numbers  # the window, s; of a token bucket what flows in, per second; of concurrency 1
    phase: Numbers  # when a window begins, s; 0 where nothing depends on it

    def __len__(self) -> int:
        return len(self.span)

    def __getitem__(self, chosen: Any) -> Rows:
        return Rows(self.kind, self.span[chosen], self.phase[chosen])


def rows(kind: LimiterKind, span: Any, phase: Any = 0.0) -> Rows:
    """Parameters from lists or single numbers."""
    spans, phases = np.broadcast_arrays(np.asarray(span, float), np.asarray(phase, float))
    return Rows(kind, np.atleast_1d(spans).astype(float), np.atleast_1d(phases).astype(float))


class Meter(Protocol):
    """How much is used, for every row of parameters. Times never go back."""

    def used(self, now: Any) -> Numbers:
        """What counts at a moment, without a request that comes then; changes nothing."""
        ...

    def charge(self, now: Any, cost: Any) -> None:
        """Count something, for all rows or with a cost for each."""
        ...

    def refuse(self, now: Any, cost: Any) -> None:
        """Something was refused."""
        ...

    def copies(self, times: int) -> Meter:
        """Each row `times` times, one copy after the other."""
        ...


@dataclass(slots=True)
class FixedWindows:
    """So much per window of the clock."""

    window: Numbers
    phase: Numbers
    number: Numbers = field(default_factory=lambda: np.zeros(0))
    count: Numbers = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        if not len(self.number):
            self.number, self.count = np.full_like(self.window, NEVER), np.zeros_like(self.window)

    def used(self, now: Any) -> Numbers:
        return np.where(np.floor((now - self.phase) / self.window) > self.number, 0.0, self.count)

    def charge(self, now: Any, cost: Any) -> None:
        number = np.floor((now - self.phase) / self.window)
        self.count = np.where(number > self.number, 0.0, self.count) + cost
        self.number = np.maximum(number, self.number)

    def refuse(self, now: Any, cost: Any) -> None:
        pass

    def copies(self, times: int) -> FixedWindows:
        return FixedWindows(*(np.tile(one, times) for one in (self.window, self.phase, self.number, self.count)))


@dataclass(slots=True)
class WindowsFromFirst:
    """So much per window. A window begins with the first request after the one before is over."""

    window: Numbers
    began: Numbers = field(default_factory=lambda: np.zeros(0))
    count: Numbers = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        if not len(self.began):
            self.began, self.count = np.full_like(self.window, NEVER), np.zeros_like(self.window)

    def used(self, now: Any) -> Numbers:
        return np.where(now >= self.began + self.window, 0.0, self.count)

    def charge(self, now: Any, cost: Any) -> None:
        over = now >= self.began + self.window
        cost = np.broadcast_to(cost, over.shape)
        self.count = np.where(over, 0.0, self.count) + cost
        self.began = np.where(over & (cost > 0), now, self.began)

    def refuse(self, now: Any, cost: Any) -> None:
        pass

    def copies(self, times: int) -> WindowsFromFirst:
        return WindowsFromFirst(*(np.tile(one, times) for one in (self.window, self.began, self.count)))


@dataclass(slots=True)
class Logs:
    """So much in any stretch of the window's length. All rows share one log. Once rows count different things, each
    also has a log of its own for everything since."""

    window: Numbers
    counting_rejects: bool
    times: list[float] = field(default_factory=list)
    sums: list[float] = field(default_factory=lambda: [0.0])  # of all costs before each time, and of all
    later: list[tuple[Numbers, Numbers]] = field(default_factory=list)  # moments and costs, for each row

    def used(self, now: Any) -> Numbers:
        sums = np.asarray(self.sums)
        begin = now - self.window
        found = sums[-1] - sums[np.searchsorted(np.asarray(self.times), begin, side="right")]
        for moment, cost in self.later:
            found = found + np.where(moment > begin, cost, 0.0)
        return np.asarray(found, float)

    def charge(self, now: Any, cost: Any) -> None:
        if np.ndim(now) or np.ndim(cost) or self.later:
            shape = self.window.shape
            self.later.append((np.broadcast_to(now, shape), np.broadcast_to(cost, shape)))
        elif self.times and now < self.times[-1]:
            place = int(np.searchsorted(np.asarray(self.times), now, side="right"))
            self.times.insert(place, float(now))
            self.sums.insert(place + 1, self.sums[place])
            self.sums[place + 1 :] = [one + float(cost) for one in self.sums[place + 1 :]]
        else:
            self.times.append(float(now))
            self.sums.append(self.sums[-1] + float(cost))

    def refuse(self, now: Any, cost: Any) -> None:
        if self.counting_rejects:
            self.charge(now, cost)

    def copies(self, times: int) -> Logs:
        later = [(np.tile(moment, times), np.tile(cost, times)) for moment, cost in self.later]
        return Logs(np.tile(self.window, times), self.counting_rejects, [*self.times], [*self.sums], later)


@dataclass(slots=True)
class SlidingCounters:
    """Two windows of the clock. The earlier one counts by the share of it that the last window's length still
    covers."""

    window: Numbers
    phase: Numbers
    number: Numbers = field(default_factory=lambda: np.zeros(0))
    count: Numbers = field(default_factory=lambda: np.zeros(0))
    before: Numbers = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        if not len(self.number):
            self.number = np.full_like(self.window, NEVER)
            self.count, self.before = np.zeros_like(self.window), np.zeros_like(self.window)

    def _turned(self, now: Any) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        place = (now - self.phase) / self.window
        number = np.maximum(np.floor(place), self.number)
        new = number > self.number
        before = np.where(new, np.where(number == self.number + 1, self.count, 0.0), self.before)
        return number, np.where(new, 0.0, self.count), before, np.clip(place - number, 0.0, 1.0)

    def used(self, now: Any) -> Numbers:
        _, count, before, share = self._turned(now)
        return np.asarray(count + before * (1.0 - share))

    def charge(self, now: Any, cost: Any) -> None:
        self.number, count, self.before, _ = self._turned(now)
        self.count = count + cost

    def refuse(self, now: Any, cost: Any) -> None:
        pass

    def copies(self, times: int) -> SlidingCounters:
        every = (self.window, self.phase, self.number, self.count, self.before)
        return SlidingCounters(*(np.tile(one, times) for one in every))


@dataclass(slots=True)
class Buckets:
    """What was taken from a bucket that fills at a steady rate; 0 if the bucket is full."""

    rate: Numbers
    taken: Numbers = field(default_factory=lambda: np.zeros(0))
    last: Numbers = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        if not len(self.taken):
            self.taken, self.last = np.zeros_like(self.rate), np.full_like(self.rate, NEVER)

    def used(self, now: Any) -> Numbers:
        with np.errstate(invalid="ignore"):
            left = self.taken - self.rate * (np.maximum(now, self.last) - self.last)
        return np.where(np.isneginf(self.last), 0.0, np.maximum(left, 0.0))

    def charge(self, now: Any, cost: Any) -> None:
        self.taken = self.used(now) + cost
        self.last = np.maximum(now, self.last)

    def refuse(self, now: Any, cost: Any) -> None:
        pass

    def copies(self, times: int) -> Buckets:
        return Buckets(*(np.tile(one, times) for one in (self.rate, self.taken, self.last)))


def meter_of(rows: Rows) -> Meter:
    """A meter that has seen nothing."""
    if rows.kind == "fixed_window":
        return FixedWindows(rows.span, rows.phase)
    if rows.kind == "fixed_window_from_first":
        return WindowsFromFirst(rows.span)
    if rows.kind in ("sliding_log", "sliding_log_counting_rejects"):
        return Logs(rows.span, rows.kind == "sliding_log_counting_rejects")
    if rows.kind == "sliding_counter":
        return SlidingCounters(rows.span, rows.phase)
    if rows.kind == "token_bucket":
        return Buckets(rows.span)
    raise ValueError(f"{rows.kind} has no meter of its own; see under_way")


@dataclass(frozen=True, slots=True)
class Readings:
    """What the meters showed at each request, the request included; a row for each row of parameters."""

    low: Numbers  # if it came at the most favourable moment within the blur
    high: Numbers  # at the least favourable one


def events(trials: Trials) -> Iterator[tuple[float, int, bool]]:
    """All requests and, if costs are counted afterwards, all ends of answers in the order of time: moment, request,
    whether it is an end."""
    found = [(float(at), place, False) for place, at in enumerate(trials.at)]
    if trials.charged_after:
        ends = np.maximum(trials.done - trials.trip, trials.at)  # as the limiter sees it, beside the moments of sending
        found += [(float(end), place, True) for place, end in enumerate(ends)]
    return iter(sorted(found, key=lambda event: (event[0], event[2])))


def replayed(rows: Rows, trials: Trials, *, blur: float | Numbers | None = None) -> tuple[Readings, Meter]:
    """What meters with these parameters showed at each request, and the meters after the last request.

    If costs are counted when an answer ends, a busy server may decide about a request at any moment until its own
    answer, and answers that end before may already count. A reading then has the least and the most of that time.
    """
    meter = meter_of(rows)
    blur = trials.blur if blur is None else blur
    low, high = np.empty((len(rows), len(trials))), np.empty((len(rows), len(trials)))
    last = NEVER
    for at, place, ended in events(trials):
        cost = float(trials.cost[place])
        if ended:
            used = meter.used(at) + 1.0
            low[:, place], high[:, place] = np.minimum(low[:, place], used), np.maximum(high[:, place], used)
            if trials.admitted[place]:
                meter.charge(at, cost)
            continue
        early, late = meter.used(np.maximum(at - blur, last)), meter.used(at + blur)
        needed = 1.0 if trials.charged_after else cost
        low[:, place], high[:, place] = np.minimum(early, late) + needed, np.maximum(early, late) + needed
        if not trials.admitted[place]:
            meter.refuse(at, cost)
        elif not trials.charged_after:
            meter.charge(at, cost)
        last = at
    return Readings(low, high), meter


def under_way(trials: Trials) -> Readings:
    """How many requests were open at each request, itself included, as a limiter of concurrency counts them."""
    # Seen from the server both ends lie half a round trip from what we see: sent later, ended earlier.
    begin, end = trials.at, np.where(trials.admitted, trials.done - trials.trip, -np.inf)
    before = np.arange(len(trials))[None, :] < np.arange(len(trials))[:, None]  # [request, earlier request]
    sure = before & (end[None, :] - trials.blur > begin[:, None])
    perhaps = before & (end[None, :] + trials.blur > begin[:, None])
    return Readings(1.0 + sure.sum(1)[None, :].astype(float), 1.0 + perhaps.sum(1)[None, :].astype(float))


def readings(rows: Rows, trials: Trials, *, blur: float | Numbers | None = None) -> Readings:
    """What meters of any kind showed at each request."""
    return under_way(trials) if rows.kind == "concurrency" else replayed(rows, trials, blur=blur)[0]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The limits with which each row of parameters explains the most requests."""

    mismatches: Numbers  # requests that even the best limit does not explain
    low: Numbers  # the smallest such limit
    high: Numbers  # every limit from the smallest up to this one, without it, explains as much


def thresholds(found: Readings, trials: Trials) -> Thresholds:
    """For each row the limits that explain the most requests: what was admitted is within the limit, what was
    refused is above it."""
    admits, denies = trials.admitted, ~trials.admitted
    # refused ones first: among equal readings no limit lies between the two
    values = np.concatenate([found.high[:, denies], found.low[:, admits]], axis=1)
    values = np.ceil(np.round(values, 6))  # limits are whole numbers
    weights = np.concatenate([np.ones(denies.sum()), -np.ones(admits.sum())])
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    # A limit below everything explains the refused; each admitted one it rises above is won, each refused one lost.
    wrong = admits.sum() + np.cumsum(weights[order], axis=1)
    best = wrong.min(axis=1)
    # of equal limits the largest: what is admitted is certain, while a refusal may be somebody else's doing
    last = wrong.shape[1] - 1 - np.argmin(wrong[:, ::-1], axis=1)
    row = np.arange(len(values))
    low = ordered[row, last]
    following = np.minimum(last + 1, values.shape[1] - 1)
    high = np.where(last + 1 < values.shape[1], ordered[row, following], np.inf)
    return Thresholds(best, low, high)


CANDIDATE_KINDS: Mapping[str, str] = {
    "fixed_window": "a fixed window by the clock",
    "fixed_window_from_first": "a fixed window that begins with the first request",
    "sliding_log": "a sliding log",
    "sliding_log_counting_rejects": "a sliding log that counts refused requests too",
    "sliding_counter": "a sliding counter",
    "token_bucket": "a token bucket",
    "concurrency": "a limit on requests under way",
}
"""What reports call them."""
