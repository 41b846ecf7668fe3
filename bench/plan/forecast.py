"""What a scenario would send and what that may cost, before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass

from bench.plan.prices import cost_usd
from bench.plan.requests import RequestPlan
from bench.plan.scenario import Scenario

SAMPLE = 200  # requests of a model that are planned to see the mix


@dataclass(frozen=True, slots=True)
class Forecast:
    """One model and request class. Counts are expectations; None where only the answers' speed bounds them."""

    model: str
    name: str
    requests: float | None
    prompt_tokens: float  # per request, estimated from the text: about four characters a token
    max_tokens: int | None  # of an answer; None where the model decides
    dollars: float | None  # at most, for all of them; None without prices or bounds


def forecast(scenario: Scenario, seed: int) -> list[Forecast]:
    """One row a model and request class. Raises Mistakes where a data file is not what it should be."""
    plan = RequestPlan(scenario, seed, {})
    sample = [plan.request(0, k) for k in range(SAMPLE)]
    total = expected_requests(scenario)
    rows = []
    for request in scenario.requests:
        mine = [planned for planned in sample if planned.name == request.name]
        share = request.weight / sum(other.weight for other in scenario.requests)
        tokens = sum(estimate_tokens(planned.input) for planned in mine) / max(len(mine), 1)
        for model in scenario.models:
            count = None if total is None else total * share / len(scenario.models)
            price = scenario.prices.get(model)
            dollars = None
            if price is not None and count is not None and request.max_tokens is not None:
                dollars = count * cost_usd(price, prompt=tokens, completion=request.max_tokens * (request.n or 1))
            rows.append(Forecast(model, request.name, count, tokens, request.max_tokens, dollars))
    return rows


def expected_requests(scenario: Scenario) -> float | None:
    """How many requests are sent, warm-up included; None in a closed loop that only time bounds."""
    load = scenario.load
    if load.rate is not None:
        by_time = None if load.duration is None else load.duration * load.rate
        measured = min(bound for bound in (by_time, load.requests) if bound is not None)
        return measured + load.warmup * load.rate
    return None if load.requests is None or load.warmup else float(load.requests)


def estimate_tokens(content: object) -> float:
    """About four characters a token, the rule of thumb for English."""
    text = content if isinstance(content, str) else "".join(m["content"] for m in content)  # type: ignore[attr-defined]
    return len(text) / 4.3
