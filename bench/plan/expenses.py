"""Counts what a run has spent of its budget, before anything is sent, so that no experiment can spend more.

A request is counted by an estimate before it is sent: its prompt by its length, and the longest answer that it allows.
When its record is ready, the server's counts replace the estimate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.plan.budget import Budget
from bench.plan.forecast import answer_tokens, prompt_tokens
from bench.plan.prices import Price, cost_usd
from bench.plan.requests import Planned
from bench.plan.scenario import Scenario

if TYPE_CHECKING:
    from bench.records import Record


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of requests, or an estimate of it."""

    requests: int = 0
    tokens: float = 0.0
    usd: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.requests + other.requests, self.tokens + other.tokens, self.usd + other.usd)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.requests - other.requests, self.tokens - other.tokens, self.usd - other.usd)


class Expenses:
    """Keeps the account of a budget. Times are monotonic seconds."""

    def __init__(self, budget: Budget, scenario: Scenario, *, now: Callable[[], float] = time.monotonic) -> None:
        self._budget, self._now = budget, now
        self._prices: dict[str | None, Mapping[str, Price]] = {None: scenario.prices}
        self._prices |= {name: arm.prices for name, arm in scenario.arms.items()}
        self._spent = Cost()
        self._open: dict[tuple[str | None, int, str, int], list[Cost]] = {}  # estimates of requests in flight
        self.deadline = math.inf if budget.duration is None else now() + budget.duration

    @property
    def is_over(self) -> bool:
        """Whether the time of the budget is up."""
        return self._now() >= self.deadline

    def reserve(self, *requests: Planned) -> bool:
        """Count requests before they are sent. Returns False and counts none if the budget has no room for all."""
        costs = [self._estimate(planned) for planned in requests]
        total = sum(costs, self._spent)
        budget = self._budget
        if (
            self.is_over
            or (budget.requests is not None and total.requests > budget.requests)
            or (budget.tokens is not None and total.tokens > budget.tokens)
            or (budget.usd is not None and total.usd > budget.usd)
        ):
            return False
        self._spent = total
        for planned, cost in zip(requests, costs, strict=True):
            self._open.setdefault(_key(planned), []).append(cost)
        return True

    def settle(self, planned: Planned, record: Record) -> None:
        """Replace the estimate of a request by its real cost."""
        waiting = self._open.get(_key(planned))
        if waiting:
            estimate = waiting.pop()
            self._spent = self._spent - estimate + self._cost(planned, record, estimate)

    def _estimate(self, planned: Planned) -> Cost:
        prompt, answer = prompt_tokens(planned), answer_tokens(planned.parameters)
        ttl = planned.parameters.get("cache_control")  # the whole prompt may be written to the cache
        written = {"cache_write": prompt if ttl else 0.0, "cache_write_1h": prompt if ttl == "1h" else 0.0}
        return Cost(1, prompt + answer, self._usd(planned, prompt, answer, **written))

    def _cost(self, planned: Planned, record: Record, estimate: Cost) -> Cost:
        """The cost by the server's counts. Without counts a refused request costs no tokens, and any other request
        costs its estimate."""
        if record.prompt_tokens is None and record.completion_tokens is None:
            free = record.outcome not in ("ok", "censored", "truncated", "stream_error", "timeout", "protocol")
            return Cost(record.attempts, 0.0 if free else estimate.tokens, 0.0 if free else estimate.usd)
        prompt, answer = record.prompt_tokens or 0, record.completion_tokens or 0
        usd = self._usd(
            planned,
            prompt,
            answer,
            cached=record.cached_tokens or 0,
            cache_write=record.cache_write_tokens or 0,
            cache_write_1h=record.cache_write_1h_tokens or 0,
            reasoning=record.reasoning_tokens or 0,
        )
        return Cost(record.attempts, float(prompt + answer), usd)

    def _usd(self, planned: Planned, prompt: float, answer: float, **kinds: float) -> float:
        """US dollars; 0 if a price is unknown."""
        price = self._prices[planned.arm].get(planned.model)
        return 0.0 if price is None else cost_usd(price, prompt=prompt, completion=answer, **kinds) or 0.0


def _key(planned: Planned) -> tuple[str | None, int, str, int]:
    return planned.arm, planned.seq, planned.model, planned.turn
