"""Who is let in: every limit that a request falls under is asked, and is charged only where all have room."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from bench.simulator.config import Limit, Provider
from bench.simulator.errors import ProviderError
from bench.simulator.limit_headers import Counter, limit_headers, retry_after_header, unit_of
from bench.simulator.limiters import (
    Concurrency,
    Decision,
    FixedWindow,
    FixedWindowFromFirst,
    Limiter,
    SlidingCounter,
    SlidingLog,
    SlidingLogCountingRejects,
    TokenBucket,
    smoothed,
)

ABBREVIATED = {"requests": "RPM", "tokens": "TPM", "input_tokens": "TPM", "output_tokens": "TPM", "images": "IPM"}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a request takes of each resource."""

    input_tokens: int = 0
    output_tokens: int = 0  # at most, when it comes; what was written, afterwards
    images: int = 0

    def of(self, limit: Limit) -> float:
        if limit.resource == "requests":
            return 1.0
        tokens = self.input_tokens + self.output_tokens
        return {
            "tokens": tokens,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "images": self.images,
        }[limit.resource]


@dataclass(frozen=True, slots=True)
class Standing:
    """A limit after it was asked about a request."""

    place: int  # in the provider's list of limits
    limit: Limit
    limiter: Limiter
    cost: float  # what was charged when the request came
    decision: Decision

    @property
    def stated_limit(self) -> float:
        """The limit as headers state it, whatever is enforced."""
        return self.limiter.limit / self.limit.enforced if self.limit.enforced != 1.0 else self.limiter.limit

    def counter(self, *, stuck: bool) -> Counter:
        """What headers say of it."""
        left = self.decision.left + self.stated_limit - self.limiter.limit
        return Counter(
            resource="concurrent_requests" if self.limit.kind == "concurrency" else self.limit.resource,
            limit=self.stated_limit,
            remaining=self.stated_limit if stuck else max(0.0, left),
            reset_s=self.decision.reset_s,
            window_s=getattr(self.limiter, "window", self.limit.window),
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a request fared at the door."""

    cost: Cost
    standings: tuple[Standing, ...]

    @property
    def refused_by(self) -> Standing | None:
        """The limit that has no room for longest; None if it was let in."""
        refusing = [one for one in self.standings if not one.decision.admitted]
        return max(refusing, key=lambda one: waiting(one.decision), default=None)

    def truth(self) -> dict[str, float]:
        """The limiter that refused the request, or else has least left of its limit: its place in the provider's list
        from 0, how much it has left, and whether it let the request in (1) or not (0)."""
        if not self.standings:
            return {}
        telling = self.refused_by or min(self.standings, key=lambda one: one.decision.left / one.limiter.limit)
        admitted = self.refused_by is None
        return {"limiter": telling.place, "limit_left": telling.decision.left, "limit_admitted": float(admitted)}


def waiting(decision: Decision) -> float:
    return 0.0 if decision.retry_after_s is None else decision.retry_after_s


def limiter_of(limit: Limit) -> Limiter:
    """A limit's limiter, with nothing used."""
    amount = limit.limit if limit.enforced == 1.0 else max(1.0, math.floor(limit.limit * limit.enforced))
    if limit.kind == "token_bucket":
        return TokenBucket(amount, (limit.rate or limit.limit / limit.window) * limit.enforced)
    if limit.kind == "concurrency":
        return Concurrency(amount)
    if limit.kind == "smoothing":
        return smoothed(amount, limit.window, limit.step)
    kinds = {
        "fixed_window": FixedWindow,
        "fixed_window_from_first": FixedWindowFromFirst,
        "sliding_log": SlidingLog,
        "sliding_log_counting_rejects": SlidingLogCountingRejects,
        "sliding_counter": SlidingCounter,
    }
    return kinds[limit.kind](amount, limit.window)


class Admission:
    """The provider's limits at work, on a clock that shows seconds since the epoch and is never set back."""

    def __init__(self, provider: Provider) -> None:
        self._limits = tuple(enumerate(provider.all_limits))
        self._throttling = provider.throttling
        self._limiters: dict[tuple[int, str, str], Limiter] = {}
        self._epoch = time.time() - time.monotonic()
        self.counts_tokens = any("tokens" in limit.resource for _, limit in self._limits)

    def now(self) -> float:
        return time.monotonic() + self._epoch

    def decide(self, key: str, model: str, cost: Cost, now: float) -> Verdict:
        """Ask every limit, then charge all, or none where one has no room."""
        concerned = [
            (place, limit, self._limiter(place, limit, key, model), self._ahead(limit, cost))
            for place, limit in self._limits
            if not limit.models or model in limit.models
        ]
        rooms = [limiter.look(now, max(charged, self._least(limit, cost))) for _, limit, limiter, charged in concerned]
        admitted = all(rooms)
        standings = []
        for (place, limit, limiter, charged), room in zip(concerned, rooms, strict=True):
            if admitted:
                limiter.charge(now, charged)
            else:
                limiter.refuse(now, charged)
            asked = max(charged, self._least(limit, cost))
            standings.append(Standing(place, limit, limiter, charged, limiter.decision(now, asked, room)))
        return Verdict(cost, tuple(standings))

    def settle(self, verdict: Verdict, written: int, now: float) -> None:
        """A request that was let in has ended, with so many tokens written."""
        after = Cost(verdict.cost.input_tokens, written, verdict.cost.images)
        for one in verdict.standings:
            one.limiter.release(now, one.cost)
            if one.limit.charge == "after" and (used := after.of(one.limit)):
                one.limiter.charge(now, used)

    def headers(self, verdict: Verdict, now: float) -> dict[str, str]:
        """What an answer says about the limits."""
        throttling, refused = self._throttling, verdict.refused_by
        found: dict[str, str] = {}
        if throttling.headers_on in ("all", "admitted" if refused is None else "refused"):
            counters = [one.counter(stuck=throttling.counters == "stuck") for one in verdict.standings]
            for style in throttling.headers:
                found |= limit_headers(style, counters, now)
        if refused is not None and throttling.retry_after is not None:
            found |= self._retry_after(refused.decision.retry_after_s, now)
        return found

    def refusal(self, refused: Standing, model: str) -> ProviderError:
        """The answer to a request that was not let in."""
        throttling, limit = self._throttling, refused.limit
        if throttling.status != 429:
            return ProviderError(throttling.status)
        if throttling.vague:
            return ProviderError(429, "too many requests", reason="TOO_MANY_REQUESTS", kind="too_many_requests")
        if limit.kind == "concurrency":
            message = f"Too many concurrent requests for {model}: Limit {refused.stated_limit:g}"
            return ProviderError(429, message, kind="concurrency")
        resource = limit.resource.replace("_", " ")
        per = f"{resource} per {unit_of(limit.window, short=True)} ({ABBREVIATED[limit.resource]})"
        used = refused.stated_limit - refused.counter(stuck=False).remaining
        message = (
            f"Rate limit reached for {model} on {per}: Limit {refused.stated_limit:g}, Used {used:g}, "
            f"Requested {refused.cost:g}."
        )
        if (wait := refused.decision.retry_after_s) is not None and math.isfinite(wait):
            message += f" Please try again in {wait:.3f}s."
        tokens = "tokens" in limit.resource
        reason = "TOKEN_LIMIT_EXCEEDED" if tokens else "RATE_LIMIT_EXCEEDED"
        return ProviderError(429, message, reason=reason, kind="tokens" if tokens else limit.resource)

    def _limiter(self, place: int, limit: Limit, key: str, model: str) -> Limiter:
        whose = (place, key if "key" in limit.per else "", model if "model" in limit.per else "")
        if (found := self._limiters.get(whose)) is None:
            found = self._limiters[whose] = limiter_of(limit)
        return found

    def _ahead(self, limit: Limit, cost: Cost) -> float:
        """What is charged when a request comes."""
        return 0.0 if limit.charge == "after" else cost.of(limit)

    def _least(self, limit: Limit, cost: Cost) -> float:
        """What has to be left for a request whose cost is charged afterwards."""
        return 1.0 if limit.charge == "after" and cost.of(limit) else 0.0

    def _retry_after(self, wait: float | None, now: float) -> Mapping[str, str]:
        throttling = self._throttling
        if throttling.retry_after_constant is not None:
            wait = throttling.retry_after_constant
        elif wait is None or math.isinf(wait):
            return {}
        else:
            wait *= throttling.retry_after_factor
        assert throttling.retry_after is not None
        return retry_after_header(throttling.retry_after, wait, now)
