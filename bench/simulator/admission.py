"""Decides whether a request is admitted: every limit of the request must have room, and only then all are charged."""

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
    """How much a request uses of each resource."""

    input_tokens: int = 0
    output_tokens: int = 0  # the possible maximum when the request comes; the real number afterwards
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
class LimitState:
    """A limit after its decision about a request."""

    index: int  # in the provider's list of limits
    limit: Limit
    limiter: Limiter
    cost: float  # the charge when the request came
    decision: Decision

    @property
    def stated_limit(self) -> float:
        """The limit that headers state; the enforced limit may be another."""
        return self.limiter.limit / self.limit.enforced if self.limit.enforced != 1.0 else self.limiter.limit

    def counter(self, *, stuck: bool) -> Counter:
        """The numbers that headers state; with `stuck` the remaining amount never goes down."""
        left = self.decision.left + self.stated_limit - self.limiter.limit
        return Counter(
            resource="concurrent_requests" if self.limit.kind == "concurrency" else self.limit.resource,
            limit=self.stated_limit,
            remaining=self.stated_limit if stuck else max(0.0, left),
            reset_s=self.decision.reset_s,
            window_s=getattr(self.limiter, "window", self.limit.window),
        )


@dataclass(frozen=True, slots=True)
class AdmissionResult:
    """The decision about a request."""

    cost: Cost
    states: tuple[LimitState, ...]

    @property
    def refused_by(self) -> LimitState | None:
        """The refusing limit with the longest wait; None if the request was admitted."""
        refusing = [state for state in self.states if not state.decision.admitted]
        return max(refusing, key=lambda state: state.decision.retry_after_s or 0.0, default=None)

    def truth(self) -> dict[str, float]:
        """The limiter that refused the request, or else the one with the smallest share left: its index in the
        provider's list from 0, how much it has left, and whether it admitted the request (1) or not (0)."""
        if not self.states:
            return {}
        deciding = self.refused_by or min(self.states, key=lambda state: state.decision.left / state.limiter.limit)
        admitted = self.refused_by is None
        return {"limiter": deciding.index, "limit_left": deciding.decision.left, "limit_admitted": float(admitted)}


def limiter_of(limit: Limit) -> Limiter:
    """A new limiter for a limit."""
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
    """Applies the provider's limits. Its clock shows seconds since the epoch and never goes back."""

    def __init__(self, provider: Provider) -> None:
        self._limits = tuple(enumerate(provider.all_limits))
        self._throttling = provider.throttling
        self._limiters: dict[tuple[int, str, str], Limiter] = {}
        self._epoch = time.time() - time.monotonic()
        self.counts_tokens = any("tokens" in limit.resource for _, limit in self._limits)

    def now(self) -> float:
        return time.monotonic() + self._epoch

    def decide(self, key: str, model: str, cost: Cost, now: float) -> AdmissionResult:
        """Check every limit, then charge all of them, or none if one has no room."""
        applying = [
            (index, limit, self._limiter(index, limit, key, model), self._charge_ahead(limit, cost))
            for index, limit in self._limits
            if not limit.models or model in limit.models
        ]
        rooms = [
            limiter.has_room(now, max(charged, self._minimum(limit, cost))) for _, limit, limiter, charged in applying
        ]
        admitted = all(rooms)
        states = []
        for (index, limit, limiter, charged), room in zip(applying, rooms, strict=True):
            if admitted:
                limiter.charge(now, charged)
            else:
                limiter.refuse(now, charged)
            needed = max(charged, self._minimum(limit, cost))
            states.append(LimitState(index, limit, limiter, charged, limiter.decision(now, needed, room)))
        return AdmissionResult(cost, tuple(states))

    def settle(self, result: AdmissionResult, written: int, now: float) -> None:
        """An admitted request has ended; `written` is the number of its output tokens."""
        after = Cost(result.cost.input_tokens, written, result.cost.images)
        for state in result.states:
            state.limiter.release(now, state.cost)
            if state.limit.charge == "after" and (used := after.of(state.limit)):
                state.limiter.charge(now, used)

    def headers(self, result: AdmissionResult, now: float) -> dict[str, str]:
        """The headers about limits that an answer has."""
        throttling, refused = self._throttling, result.refused_by
        found: dict[str, str] = {}
        if throttling.headers_on in ("all", "admitted" if refused is None else "refused"):
            counters = [state.counter(stuck=throttling.counters == "stuck") for state in result.states]
            for style in throttling.headers:
                found |= limit_headers(style, counters, now)
        if refused is not None and throttling.retry_after is not None:
            found |= self._retry_after(refused.decision.retry_after_s, now)
        return found

    def refusal(self, refused: LimitState, model: str) -> ProviderError:
        """The answer to a refused request."""
        throttling, limit, status = self._throttling, refused.limit, self._throttling.status
        if status >= 500:
            return ProviderError(status)
        if throttling.vague:
            return ProviderError(status, "too many requests", reason="TOO_MANY_REQUESTS", kind="too_many_requests")
        if limit.kind == "concurrency":
            message = f"Too many concurrent requests for {model}: Limit {refused.stated_limit:g}"
            return ProviderError(status, message, kind="concurrency")
        resource = limit.resource.replace("_", " ")
        per = f"{resource} per {unit_of(limit.window, short=True)} ({ABBREVIATED[limit.resource]})"
        used = refused.stated_limit - refused.counter(stuck=False).remaining
        message = (
            f"Rate limit reached for {model} on {per}: Limit {refused.stated_limit:g}, Used {math.ceil(used)}, "
            f"Requested {refused.cost:g}."
        )
        if (wait := refused.decision.retry_after_s) is not None and math.isfinite(wait):
            message += f" Please try again in {wait:.3f}s."
        tokens = "tokens" in limit.resource
        reason = "TOKEN_LIMIT_EXCEEDED" if tokens else "RATE_LIMIT_EXCEEDED"
        return ProviderError(status, message, reason=reason, kind="tokens" if tokens else limit.resource)

    def _limiter(self, index: int, limit: Limit, key: str, model: str) -> Limiter:
        owner = (index, key if "key" in limit.per else "", model if "model" in limit.per else "")
        if (found := self._limiters.get(owner)) is None:
            found = self._limiters[owner] = limiter_of(limit)
        return found

    def _charge_ahead(self, limit: Limit, cost: Cost) -> float:
        """The charge when a request comes."""
        return 0.0 if limit.charge == "after" else cost.of(limit)

    def _minimum(self, limit: Limit, cost: Cost) -> float:
        """The amount that must be left for a request that is charged afterwards."""
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
