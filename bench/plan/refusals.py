"""Estimates how many 429s a load will get from the limits that a scenario declares. Sends nothing."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.plan.forecast import Forecast, expected_requests
from bench.plan.scenario import Scenario
from bench.plan.steps import Stage
from bench.plan.tiers import Limits

MINUTE = 60.0
MOST = 2_000_000  # arrivals that are simulated


@dataclass(frozen=True, slots=True)
class Refusals:
    """The expected refusals of one model."""

    model: str
    limits: Mapping[str, float]  # declared, by rpm, tpm, ipm, concurrency
    costs: Mapping[str, float]  # average cost of a request, by rpm, tpm, ipm
    offered: float | None  # requests of the open stages; None in a closed loop
    refused: float | None  # expected refusals among them, with one try each; None in a closed loop
    first_at: float | None  # when the first refusal is expected, s from the load's beginning; None if never
    slowest_user_s: float | None
    """The shortest time between two requests of a user without any refusal, s; None in an open loop."""

    @property
    def binding(self) -> str:
        """The limit that is reached first."""
        return min(
            (key for key in self.costs if self.costs[key] > 0 and key in self.limits),
            key=lambda key: self.limits[key] / self.costs[key],
            default="",
        )


def expected_refusals(
    scenario: Scenario,
    limits: Limits,
    stages: Sequence[Stage],
    rows: Sequence[Forecast],
    seed: int,
    *,
    pause: float = 0.0,
) -> list[Refusals]:
    """The expected refusals of each model that has a limit.

    A limit is assumed to hold for any span of a minute, as a sliding log counts it; fixed windows admit up to twice as
    much where two of them meet. Answers are assumed to have their largest length.
    """
    found = []
    apis = {request.api for request in scenario.requests}
    for model in scenario.models:
        mine = [row for row in rows if row.model == model]
        asked = limits.of(model, *apis) if len(apis) == 1 else limits.of(model)
        if "ipm" not in asked or not any(row.images for row in mine):
            asked.pop("ipm", None)
        costs = costs_of(mine)
        users = max((stage.most_users for stage in stages), default=0) / len(scenario.models)
        needed = max((cost / asked[key] for key, cost in costs.items() if key in asked), default=0.0)
        if not asked:
            continue
        if users:
            found.append(Refusals(model, asked, costs, None, None, None, users * needed * MINUTE))
        else:
            share, first = refused_of(stages, len(scenario.models), asked, costs, seed, pause=pause)
            total = expected_requests(stages)
            offered = None if total is None else total / len(scenario.models)
            found.append(
                Refusals(model, asked, costs, offered, None if offered is None else share * offered, first, None)
            )
    return found


def costs_of(rows: Sequence[Forecast]) -> dict[str, float]:
    """The average cost of a request, by rpm, tpm and ipm."""
    weights = [row.share for row in rows]
    total = sum(weights)

    def mean(values: Sequence[float]) -> float:
        return sum(value * weight for value, weight in zip(values, weights, strict=True)) / total

    tokens = mean([row.prompt_tokens + (row.max_tokens or 0) for row in rows])
    return {"rpm": 1.0, "tpm": tokens, "ipm": mean([float(row.images) for row in rows])}


def refused_of(
    stages: Sequence[Stage],
    models: int,
    limits: Mapping[str, float],
    costs: Mapping[str, float],
    seed: int,
    *,
    pause: float = 0.0,
) -> tuple[float, float | None]:
    """The share of the arrivals of one of `models` models that is refused, and when the first is, s (None if none is).
    After each measured stage there is a silence of `pause` s."""
    most = min((limits[key] / costs[key] for key in costs if key in limits and costs[key] > 0), default=math.inf)
    if math.isinf(most):  # concurrency alone: how many are under way depends on the answers
        return 0.0, None
    room = math.floor(most + 1e-9)  # requests in a minute
    log: deque[float] = deque()
    began, refused, first, seen = 0.0, 0, None, 0
    for stage in stages:
        if stage.rate is None:
            continue
        last = 0.0
        for number, due in enumerate(stage.dues(seed)):
            last = due
            if number % models or (seen := seen + 1) > MOST:
                continue
            at = began + due
            while log and log[0] <= at - MINUTE:
                log.popleft()
            if len(log) < room:
                log.append(at)
            else:
                refused += 1
                first = at if first is None else first
        began += (stage.duration if stage.duration is not None else last) + pause * stage.measured
    return refused / max(1, min(seen, MOST)), first
