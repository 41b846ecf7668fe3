"""Estimates how much a scenario would send and cost. Sends nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.plan.classes import Request
from bench.plan.media import Flux, Images, Media, Painting
from bench.plan.mix import Batch, Embeddings
from bench.plan.parameter_ranges import CHARS_PER_TOKEN
from bench.plan.prices import cost_usd, sum_of
from bench.plan.requests import Planned, RequestPlan, counting_api, plain_text
from bench.plan.scenario import Scenario
from bench.plan.steps import Stage

LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""Parameters that bound an answer's tokens."""
SAMPLE = 200  # requests per model that are planned to estimate the mix


@dataclass(frozen=True, slots=True)
class Forecast:
    """One model and request class. Counts are expected values; None if they depend on the speed of the answers."""

    model: str
    name: str
    requests: float | None
    prompt_tokens: float  # per request: as asked for, or estimated from the text, about four characters per token
    max_tokens: int | None  # of one answer; None if the model decides
    images: int  # per request
    turns: float  # of a conversation, on average; 1 if there is none
    share: float  # of its model's requests
    dollars: float | None  # for all of them, of the longest answers; None without prices or bounds


def forecast(scenario: Scenario, stages: Sequence[Stage], seed: int) -> list[Forecast]:
    """One row for each model and request class. Raises Mistakes if a data file is broken."""
    plan = RequestPlan(scenario, seed, {})
    sample = [plan.request(0, k) for k in range(SAMPLE)]
    total = expected_requests(stages)
    rows = []
    for place, request in enumerate(scenario.requests):
        mine = [planned for planned in sample if planned.name == request.name] or [plan.request_of_class(place, 0, 0)]
        share = request.weight / sum(other.weight for other in scenario.requests)
        answer, painted = request.answer_tokens, images(request)
        asked = [tokens_of_turns(request, planned, answer or 0) for planned in mine]
        sent = sum(map(len, asked))
        tokens, turns = sum(map(sum, asked)) / sent, sent / len(mine)
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
            rows.append(Forecast(model, request.name, count, tokens, answer, painted, turns, share * turns, dollars))
    return rows


def forecasts(scenario: Scenario, stages: Sequence[Stage], seed: int) -> list[Forecast]:
    """One row for each arm and request class, with the arm's name as the model; without arms the rows of `forecast`.
    Raises Mistakes."""
    if not scenario.arms:
        return forecast(scenario, stages, seed)
    return [replace(row, model=name) for name, arm in scenario.arms.items() for row in forecast(arm, stages, seed)]


def merged(rows: Sequence[Forecast], name: str) -> list[Forecast]:
    """One row for each model, under this name."""
    found = []
    for model in dict.fromkeys(row.model for row in rows):
        mine = [row for row in rows if row.model == model]
        numbers, bounds = [row.requests for row in mine], [row.max_tokens for row in mine]
        tokens = sum(row.prompt_tokens * row.share for row in mine) / sum(row.share for row in mine)
        longest = None if None in bounds else max(bound for bound in bounds if bound is not None)
        images, turns = max(row.images for row in mine), max(row.turns for row in mine)
        dollars = sum_of(row.dollars for row in mine)
        found.append(Forecast(model, name, sum_of(numbers), tokens, longest, images, turns, 1.0, dollars))
    return found


def of_requests(requests: Sequence[Planned], scenario: Scenario) -> list[Forecast]:
    """One row for each of these requests."""
    found = []
    for planned in requests:
        prompt, answer = prompt_tokens(planned), answer_tokens(planned.parameters)
        price = scenario.prices.get(planned.model)
        dollars = None if price is None else cost_usd(price, prompt=prompt, completion=answer)
        found.append(Forecast(planned.model, planned.name, 1.0, prompt, int(answer), 0, 1.0, 1.0, dollars))
    return found


def answer_tokens(parameters: Mapping[str, Any]) -> float:
    """How many tokens all answers to a request may have; 0 if nothing bounds them."""
    longest = next((parameters[name] for name in LENGTHS if isinstance(parameters.get(name), int)), 0)
    choices = parameters.get("n")
    return float(longest * (choices if isinstance(choices, int) else 1))


def expected_requests(stages: Sequence[Stage]) -> float | None:
    """Number of requests; None if only time ends a closed stage."""
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
    """Number of images that a request asks for."""
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


def wanted_tokens(request: Request, planned: Planned) -> float:
    """Prompt tokens of a request of this class: as many as its synthetic text is made to have, or the estimate."""
    prompt = request.prompt
    if prompt is None or prompt.tokens is None or counting_api(request) is None:
        return prompt_tokens(planned)
    several = isinstance(request, Batch | Embeddings)
    return float(prompt.tokens * (len(planned.input) if several else 1))


def tokens_of_turns(request: Request, planned: Planned, answer: int) -> list[float]:
    """Prompt tokens of each turn of a conversation, if every answer has its largest length."""
    found = [wanted_tokens(request, planned)]
    for turn in planned.later:
        found.append(found[-1] + (answer if planned.own_answers else 0) + estimate_tokens(turn.said))
    return found


def estimate_tokens(content: Any) -> float:
    """Tokens of a conversation, a text or several: about four characters per token, the rule of thumb for English. A
    text that is not empty has at least one."""
    if isinstance(content, dict):
        first = content.get("query") or content.get("prompt") or ""
        return estimate_tokens(first) + sum(map(estimate_tokens, content.get("documents", ())))
    if isinstance(content, str):
        return max(1.0, len(content) / CHARS_PER_TOKEN) if content else 0.0
    return sum(estimate_tokens(one if isinstance(one, str) else plain_text(one.get("content"))) for one in content)
