"""How much a scenario would send and cost; nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.plan.classes import Request
from bench.plan.limits import CHARS_PER_TOKEN
from bench.plan.media import Flux, Images, Media, Painting
from bench.plan.mix import Batch
from bench.plan.prices import cost_usd
from bench.plan.requests import Planned, RequestPlan, plain_text
from bench.plan.scenario import Scenario
from bench.plan.steps import Stage

SAMPLE = 200  # requests per model that are planned to estimate the mix


@dataclass(frozen=True, slots=True)
class Forecast:
    """One model and request class. Counts are expected values; None if they depend on the speed of the answers."""

    model: str
    name: str
    requests: float | None
    prompt_tokens: float  # per request, estimated from the text: about four characters per token
    max_tokens: int | None  # of one answer; None if the model decides
    images: int  # per request
    turns: float  # of a conversation, on average; 1 if there is none
    dollars: float | None  # at most, for all of them; None without prices or bounds


def forecast(scenario: Scenario, stages: Sequence[Stage], seed: int) -> list[Forecast]:
    """One row for each model and request class. Raises Mistakes if a data file is not what it should be."""
    plan = RequestPlan(scenario, seed, {})
    sample = [plan.request(0, k) for k in range(SAMPLE)]
    total = expected_requests(stages)
    rows = []
    for request in scenario.requests:
        mine = [planned for planned in sample if planned.name == request.name]
        share = request.weight / sum(other.weight for other in scenario.requests)
        answer, painted = request.answer_tokens, images(request)
        asked = [tokens_of_turns(planned, answer or 0) for planned in mine]
        sent = max(sum(map(len, asked)), 1)
        tokens, turns = sum(map(sum, asked)) / sent, sent / max(len(mine), 1)
        lines = request.requests if isinstance(request, Batch) else 1
        for model in scenario.models:
            count = None if total is None else total * share * turns / len(scenario.models)
            price = scenario.prices.get(model)
            dollars = None
            if price is not None and count is not None and answer is not None:
                each = cost_usd(price, prompt=tokens, completion=answer * request.choices * lines)
                pieces = painted or int(isinstance(request, Media))
                piece = price.of_piece("image" if painted else "item") if pieces else 0.0
                if each is not None and piece is not None:
                    each *= price.batch if isinstance(request, Batch) else 1.0
                    dollars = count * (each + pieces * piece)
            rows.append(Forecast(model, request.name, count, tokens, answer, painted, turns, dollars))
    return rows


def forecasts(scenario: Scenario, stages: Sequence[Stage], seed: int) -> list[Forecast]:
    """The same for each arm of the scenario, under the arm's name; of a scenario without arms, its own. Raises
    Mistakes."""
    if not scenario.arms:
        return forecast(scenario, stages, seed)
    return [replace(row, model=name) for name, arm in scenario.arms.items() for row in forecast(arm, stages, seed)]


def expected_requests(stages: Sequence[Stage]) -> float | None:
    """Number of requests, warm-ups included; None if only time ends a closed stage."""
    each = [requests_of(stage) for stage in stages]
    known = [count for count in each if count is not None]
    return sum(known) if len(known) == len(each) else None


def requests_of(stage: Stage) -> float | None:
    """Number of requests of a stage; None if it depends on the speed of the answers."""
    if stage.rate is None:
        return None if stage.requests is None else float(stage.requests)
    by_time = None if stage.duration is None else stage.rate.total(stage.duration)
    return float(min(bound for bound in (by_time, stage.requests) if bound is not None))


def images(request: Request) -> int:
    """Number of images that a request asks for; providers limit images per minute."""
    if isinstance(request, Images):
        return request.n or 1
    return request.image_num or 1 if isinstance(request, Painting | Flux) else 0


def prompt_tokens(planned: Planned) -> float:
    """Estimated prompt tokens of a request."""
    if planned.input is None:
        return 0.0
    if planned.api == "batch":
        return sum(map(estimate_tokens, planned.input))
    return estimate_tokens(planned.input)


def tokens_of_turns(planned: Planned, answer: int) -> list[float]:
    """Prompt tokens of each turn of a conversation, if every answer has its largest length."""
    found = [prompt_tokens(planned)]
    for turn in planned.later:
        found.append(found[-1] + (answer if planned.own_answers else 0) + estimate_tokens(turn.said))
    return found


def estimate_tokens(content: Any) -> float:
    """Tokens of a conversation, a text or several: about four characters per token, the rule of thumb for English."""
    if isinstance(content, dict):
        first = content.get("query") or content.get("prompt") or ""
        return estimate_tokens(first) + sum(map(estimate_tokens, content.get("documents", ())))
    if isinstance(content, str):
        return len(content) / CHARS_PER_TOKEN
    texts = (one if isinstance(one, str) else plain_text(one.get("content")) for one in content)
    return sum(len(text) for text in texts) / CHARS_PER_TOKEN
