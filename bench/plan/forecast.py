"""What a scenario would send and what that may cost, before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.plan.classes import Request
from bench.plan.limits import CHARS_PER_TOKEN
from bench.plan.media import Flux, Images, Media, Painting
from bench.plan.mix import Batch
from bench.plan.prices import cost_usd
from bench.plan.requests import Planned, RequestPlan, plain_text
from bench.plan.scenario import Scenario
from bench.plan.steps import Stage

SAMPLE = 200  # requests of a model that are planned to see the mix


@dataclass(frozen=True, slots=True)
class Forecast:
    """One model and request class. Counts are expectations; None if only the answers' speed bounds them."""

    model: str
    name: str
    requests: float | None
    prompt_tokens: float  # per request, estimated from the text: about four characters a token
    max_tokens: int | None  # of an answer; None if the model decides
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


def expected_requests(stages: Sequence[Stage]) -> float | None:
    """How many requests are sent, warm-ups included; None if a closed stage is bounded by time alone."""
    each = [requests_of(stage) for stage in stages]
    known = [count for count in each if count is not None]
    return sum(known) if len(known) == len(each) else None


def requests_of(stage: Stage) -> float | None:
    """How many requests a stage sends; None if that depends on how fast the answers come."""
    if stage.rate is None:
        return None if stage.requests is None else float(stage.requests)
    by_time = None if stage.duration is None else stage.rate.total(stage.duration)
    return float(min(bound for bound in (by_time, stage.requests) if bound is not None))


def images(request: Request) -> int:
    """Images that a request is for, by which providers limit: images per minute."""
    if isinstance(request, Images):
        return request.n or 1
    return request.image_num or 1 if isinstance(request, Painting | Flux) else 0


def prompt_tokens(planned: Planned) -> float:
    """Tokens of everything that a request asks, estimated."""
    if planned.input is None:
        return 0.0
    if planned.api == "batch":
        return sum(map(estimate_tokens, planned.input))
    return estimate_tokens(planned.input)


def tokens_of_turns(planned: Planned, answer: int) -> list[float]:
    """Prompt tokens of each turn of a conversation, the model's answers as long as they may be."""
    found = [prompt_tokens(planned)]
    for turn in planned.later:
        found.append(found[-1] + (answer if planned.own_answers else 0) + estimate_tokens(turn.said))
    return found


def estimate_tokens(content: Any) -> float:
    """About four characters a token, the rule of thumb for English; of a conversation, a text, or several."""
    if isinstance(content, dict):
        first = content.get("query") or content.get("prompt") or ""
        return estimate_tokens(first) + sum(map(estimate_tokens, content.get("documents", ())))
    if isinstance(content, str):
        return len(content) / CHARS_PER_TOKEN
    texts = (one if isinstance(one, str) else plain_text(one.get("content")) for one in content)
    return sum(len(text) for text in texts) / CHARS_PER_TOKEN
