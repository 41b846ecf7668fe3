"""Rate limiters as small pure objects on whatever clock they are given: seconds that never go back.

Each answers one question, `admit(now, cost)`. Windows "by the clock" begin at whole multiples of their length. Where
several limits guard one request, `look` asks without changing anything, then `charge` or `refuse` tells how it ended.

Sources: fixed window, sliding log and sliding counter as in Cloudflare's and Kong's write-ups ("How we built rate
limiting capable of scaling to millions of domains", 2017); token bucket as GCRA (ITU-T I.371), of which it is the
other half.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

SLACK = 1e-9  # of an amount: sums of fractions are off by less


@dataclass(frozen=True, slots=True)
class Decision:
    """What a limiter says to one request, after it was charged or refused."""

    admitted: bool
    left: float  # how much more it would admit now
    reset_s: float | None  # until it is full again if nothing more comes; None where only the end of others tells
    retry_after_s: float | None
    """Until a request of the same cost is admitted if nothing else comes: 0 where this one was, infinite where it
    never is, None where only the end of others tells."""


class Limiter:
    """What all have in common; a kind says how much is left, what a charge does, and when there is room again."""

    def __init__(self, limit: float) -> None:
        self.limit = limit  # the most that is left at any time

    def left(self, now: float) -> float:
        raise NotImplementedError

    def charge(self, now: float, cost: float) -> None:
        """Take the cost of something admitted, or known only afterwards, which may be more than is left."""
        raise NotImplementedError

    def refuse(self, now: float, cost: float) -> None:
        """Something was refused, here or by another limit."""

    def release(self, now: float, cost: float) -> None:
        """Something admitted has ended."""

    def wait(self, now: float, cost: float) -> float | None:
        """Seconds until there is room for this cost if nothing else comes; 0 where there is."""
        raise NotImplementedError

    def full_in(self, now: float) -> float | None:
        """Seconds until everything is left again if nothing else comes."""
        raise NotImplementedError

    def look(self, now: float, cost: float = 1.0) -> bool:
        """Whether there is room; changes nothing."""
        return cost <= self.left(now) + SLACK

    def admit(self, now: float, cost: float = 1.0) -> Decision:
        """Decide about one request, and count it."""
        admitted = self.look(now, cost)
        if admitted:
            self.charge(now, cost)
        else:
            self.refuse(now, cost)
        return self.decision(now, cost, admitted)

    def decision(self, now: float, cost: float, admitted: bool) -> Decision:
        """How it stands after a request was charged or refused."""
        retry_after = 0.0 if admitted else self.wait(now, cost)
        return Decision(admitted, max(0.0, self.left(now)), self.full_in(now), retry_after)


class FixedWindow(Limiter):
    """So much in each window, and windows go by the clock."""

    def __init__(self, limit: float, window: float) -> None:
        super().__init__(limit)
        self.window = window
        self._began = -math.inf
        self._used = 0.0

    def _begin(self, now: float) -> float:
        """When the window of this moment began, or would begin."""
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
        return 0.0 if self.look(now, cost) else self._begin(now) + self.window - now

    def full_in(self, now: float) -> float:
        return self._begin(now) + self.window - now if self._used_at(now) else 0.0


class FixedWindowFromFirst(FixedWindow):
    """So much in each window; a window begins with the first thing charged after the last one is over."""

    def _begin(self, now: float) -> float:
        return self._began if now < self._began + self.window else now


class SlidingLog(Limiter):
    """So much in any stretch of the window's length, by a log of everything admitted."""

    def __init__(self, limit: float, window: float) -> None:
        super().__init__(limit)
        self.window = window
        self._log: deque[tuple[float, float]] = deque()
        self._used = 0.0

    def _forget(self, now: float) -> None:
        while self._log and self._log[0][0] + self.window <= now:
            self._used -= self._log.popleft()[1]

    def left(self, now: float) -> float:
        self._forget(now)
        return self.limit - self._used

    def charge(self, now: float, cost: float) -> None:
        self._forget(now)
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
        self._forget(now)
        return self._log[-1][0] + self.window - now if self._log else 0.0


class SlidingLogCountingRejects(SlidingLog):
    """The same, and what it refuses is logged too: whoever goes on asking is never let in again."""

    def refuse(self, now: float, cost: float) -> None:
        self.charge(now, cost)


class SlidingCounter(Limiter):
    """Two windows by the clock: of the last one counts the share that a window ending now would still cover."""

    def __init__(self, limit: float, window: float) -> None:
        super().__init__(limit)
        self.window = window
        self._number = 0
        self._before = self._used = 0.0

    def _turn(self, now: float) -> float:
        """Go on to this moment's window; when it began."""
        number = math.floor(now / self.window)
        if number != self._number:
            self._before = self._used if number == self._number + 1 else 0.0
            self._number, self._used = number, 0.0
        return number * self.window

    def left(self, now: float) -> float:
        began = self._turn(now)
        return self.limit - self._used - self._before * (1.0 - (now - began) / self.window)

    def charge(self, now: float, cost: float) -> None:
        self._turn(now)
        self._used += cost

    def wait(self, now: float, cost: float) -> float:
        if cost > self.limit + SLACK:
            return math.inf
        if self.look(now, cost):
            return 0.0
        began = self._turn(now)
        room = self.limit - cost - self._used
        if room >= 0.0:  # in this window, once enough of the last one no longer counts
            return began + self.window * (1.0 - room / self._before) - now
        share = max(0.0, 1.0 - (self.limit - cost) / self._used)
        return began + self.window * (1.0 + share) - now

    def full_in(self, now: float) -> float:
        began = self._turn(now)
        if self._used:
            return began + 2.0 * self.window - now
        return began + self.window - now if self._before else 0.0


class TokenBucket(Limiter):
    """A burst at once, and then what flows in at a steady rate: GCRA with a tolerance of the burst."""

    def __init__(self, burst: float, rate: float) -> None:
        super().__init__(burst)
        self.rate = rate  # per second
        self._full_at = -math.inf  # GCRA's theoretical arrival time: everything is left from here on

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
    """So much under way at a time."""

    def __init__(self, limit: float) -> None:
        super().__init__(limit)
        self._under_way = 0.0

    def left(self, now: float) -> float:
        return self.limit - self._under_way

    def charge(self, now: float, cost: float) -> None:
        self._under_way += cost

    def release(self, now: float, cost: float) -> None:
        self._under_way -= cost

    def wait(self, now: float, cost: float) -> float | None:
        return 0.0 if self.look(now, cost) else None

    def full_in(self, now: float) -> float | None:
        return None if self._under_way else 0.0


def smoothed(limit: float, window: float, step: float) -> FixedWindow:
    """A limit per window that is kept in steps of about this length: 600 a minute as 10 a second. A step is stretched
    or cut to a whole number of requests at the same rate: 30 a minute is one in two seconds."""
    count = min(limit, max(1, math.floor(limit * step / window + SLACK)))
    return FixedWindow(count, count * window / limit)
