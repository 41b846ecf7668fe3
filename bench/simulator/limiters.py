"""Rate limiters as small pure objects. The caller gives them the time in seconds, which never goes back.

`admit(now, cost)` decides about one request. Windows "by the clock" begin at whole multiples of their length. If
several limits apply to one request, call `has_room` of each, which changes nothing, and then `charge` or `refuse`.

Sources: fixed window, sliding log and sliding counter as described by Cloudflare and Kong ("How we built rate limiting
capable of scaling to millions of domains", 2017); the token bucket is computed as GCRA (ITU-T I.371), which is
equivalent.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

SLACK = 1e-9  # amounts that differ by less are equal: sums of fractions have rounding errors


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision about one request, and the state after it was charged or refused."""

    admitted: bool
    left: float  # the amount that would be admitted now
    reset_s: float | None  # time until all is left, without more requests; None if that depends on running requests
    retry_after_s: float | None
    """Time until a request of the same cost is admitted, without more requests: 0 if this one was admitted, infinite if
    it never will be, None if that depends on the end of running requests."""


class Limiter:
    """The common part of all limiters. A subclass says how much is left, what a charge does, and when there is room."""

    def __init__(self, limit: float) -> None:
        self.limit = limit  # the largest amount that can be left

    def left(self, now: float) -> float:
        raise NotImplementedError

    def charge(self, now: float, cost: float) -> None:
        """Charge the cost of an admitted request. A cost that is known only afterwards may be more than is left."""
        raise NotImplementedError

    def refuse(self, now: float, cost: float) -> None:
        """Note that a request was refused, by this limit or another."""

    def release(self, now: float, cost: float) -> None:
        """Note that an admitted request has ended."""

    def wait(self, now: float, cost: float) -> float | None:
        """Seconds until there is room for this cost, without more requests; 0 if there is room now."""
        raise NotImplementedError

    def full_in(self, now: float) -> float | None:
        """Seconds until the whole limit is left again, without more requests."""
        raise NotImplementedError

    def has_room(self, now: float, cost: float = 1.0) -> bool:
        """Whether there is room for this cost. Changes nothing."""
        return cost <= self.left(now) + SLACK

    def admit(self, now: float, cost: float = 1.0) -> Decision:
        """Decide about one request, and charge or refuse it."""
        admitted = self.has_room(now, cost)
        if admitted:
            self.charge(now, cost)
        else:
            self.refuse(now, cost)
        return self.decision(now, cost, admitted)

    def decision(self, now: float, cost: float, admitted: bool) -> Decision:
        """The decision about a request that was just charged or refused."""
        retry_after = 0.0 if admitted else self.wait(now, cost)
        return Decision(admitted, max(0.0, self.left(now)), self.full_in(now), retry_after)


class FixedWindow(Limiter):
    """The limit holds for each window; windows go by the clock."""

    def __init__(self, limit: float, window: float) -> None:
        super().__init__(limit)
        self.window = window
        self._began = -math.inf
        self._used = 0.0

    def _begin(self, now: float) -> float:
        """When the window at this time began, or would begin."""
        return math.floor(now / self.window) * self.window

    def _used_at(self, now: float) -> float:
        return self._used if self._begin(now) == self._began else 0.0

    def left(self, now: float) -> float:
        return self.limit - self._used_at(now)

    def charge(self, now: float, cost: float) -> None:
        self._used = self._used_at(now) + cost
        self._began = self._begin(now)

    def wait(self, now: float, cost: float) -> float:
        if cost > self.limit + SLACK:
            return math.inf
        return 0.0 if self.has_room(now, cost) else self._begin(now) + self.window - now

    def full_in(self, now: float) -> float:
        return self._begin(now) + self.window - now if self._used_at(now) else 0.0


class FixedWindowFromFirst(FixedWindow):
    """The limit holds for each window; a window begins with the first charge after the last window is over."""

    def _begin(self, now: float) -> float:
        return self._began if now < self._began + self.window else now


class SlidingLog(Limiter):
    """The limit holds for any time span of the window's length; it keeps a log of all charges."""

    def __init__(self, limit: float, window: float) -> None:
        super().__init__(limit)
        self.window = window
        self._log: deque[tuple[float, float]] = deque()
        self._used = 0.0

    def _drop_old(self, now: float) -> None:
        while self._log and self._log[0][0] + self.window <= now:
            self._used -= self._log.popleft()[1]

    def left(self, now: float) -> float:
        self._drop_old(now)
        return self.limit - self._used

    def charge(self, now: float, cost: float) -> None:
        self._drop_old(now)
        self._log.append((now, cost))
        self._used += cost

    def wait(self, now: float, cost: float) -> float:
        room = self.left(now)
        if cost <= room + SLACK:
            return 0.0
        for at, used in self._log:
            room += used
            if cost <= room + SLACK:
                return at + self.window - now
        return math.inf

    def full_in(self, now: float) -> float:
        self._drop_old(now)
        return self._log[-1][0] + self.window - now if self._log else 0.0


class SlidingLogCountingRejects(SlidingLog):
    """The same, but refused requests are charged too: a client that keeps trying is never admitted again."""

    def refuse(self, now: float, cost: float) -> None:
        self.charge(now, cost)


class SlidingCounter(Limiter):
    """Two windows by the clock: the last one counts with the share of it that a window ending now would cover."""

    def __init__(self, limit: float, window: float) -> None:
        super().__init__(limit)
        self.window = window
        self._number = 0
        self._before = self._used = 0.0

    def _window_begin(self, now: float) -> float:
        """Move on to the window at this time, and return when it began."""
        number = math.floor(now / self.window)
        if number != self._number:
            self._before = self._used if number == self._number + 1 else 0.0
            self._number, self._used = number, 0.0
        return number * self.window

    def left(self, now: float) -> float:
        began = self._window_begin(now)
        return self.limit - self._used - self._before * (1.0 - (now - began) / self.window)

    def charge(self, now: float, cost: float) -> None:
        self._window_begin(now)
        self._used += cost

    def wait(self, now: float, cost: float) -> float:
        if cost > self.limit + SLACK:
            return math.inf
        if self.has_room(now, cost):
            return 0.0
        began = self._window_begin(now)
        room = self.limit - cost - self._used
        if room >= 0.0:  # there will be room in this window, when enough of the last one no longer counts
            return began + self.window * (1.0 - room / self._before) - now
        share = max(0.0, 1.0 - (self.limit - cost) / self._used)
        return began + self.window * (1.0 + share) - now

    def full_in(self, now: float) -> float:
        began = self._window_begin(now)
        if self._used:
            return began + 2.0 * self.window - now
        return began + self.window - now if self._before else 0.0


class TokenBucket(Limiter):
    """Admits a burst at once, and then a steady rate: GCRA with the burst as its tolerance."""

    def __init__(self, burst: float, rate: float) -> None:
        super().__init__(burst)
        self.rate = rate  # per second
        self._full_at = -math.inf  # GCRA's theoretical arrival time: the bucket is full from this time on

    def left(self, now: float) -> float:
        return self.limit - max(0.0, self._full_at - now) * self.rate

    def charge(self, now: float, cost: float) -> None:
        self._full_at = max(now, self._full_at) + cost / self.rate

    def wait(self, now: float, cost: float) -> float:
        if cost > self.limit + SLACK:
            return math.inf
        return max(0.0, (cost - self.left(now)) / self.rate)

    def full_in(self, now: float) -> float:
        return max(0.0, self._full_at - now)


class Concurrency(Limiter):
    """Limits what is in flight at the same time."""

    def __init__(self, limit: float) -> None:
        super().__init__(limit)
        self._in_flight = 0.0

    def left(self, now: float) -> float:
        return self.limit - self._in_flight

    def charge(self, now: float, cost: float) -> None:
        self._in_flight += cost

    def release(self, now: float, cost: float) -> None:
        self._in_flight -= cost

    def wait(self, now: float, cost: float) -> float | None:
        return 0.0 if self.has_room(now, cost) else None

    def full_in(self, now: float) -> float | None:
        return None if self._in_flight else 0.0


def smoothed(limit: float, window: float, step: float) -> FixedWindow:
    """A limit that is divided among steps of about this length: 600 per minute become 10 per second. The step is
    changed so that it holds a whole number of requests: 30 per minute become one in two seconds."""
    count = min(limit, max(1, math.floor(limit * step / window + SLACK)))
    return FixedWindow(count, count * window / limit)
