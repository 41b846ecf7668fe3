"""The answers of a simulated model: reasoning, then words, a structured answer, or a tool call."""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

from bench.simulator.config import Model
from bench.simulator.faults import Faults
from bench.simulator.shapes import pieces, unfit, value_of
from bench.simulator.tokens import answer_words


class Words(NamedTuple):
    """One of n answers."""

    words: list[str]  # its tokens; after the reasoning of a tool call come the function's name and its arguments
    reasoning: int  # how many of the first words are reasoning
    finish: str
    call: str | None = None  # the function that is called; None without a call


def answer(
    params: dict[str, Any], model: Model, faults: Faults, *, seed: int, limit: int, chat: bool, keep_stop: bool
) -> Words:
    """An answer up to its limit or to the first stop sequence of the request; `keep_stop` includes the sequence."""
    rng = random.Random(seed)
    natural = rng.randint(*model.output_tokens)
    reasoning = 0 if params.get("enable_thinking") is False else model.reasoning_tokens
    if "empty" in faults:
        return Words([], reasoning, "stop")
    thoughts = answer_words(seed, reasoning)
    if chat and (function := function_to_call(params, rng)) is not None:
        arguments = structured_text(function.get("parameters") or {}, rng, faults)
        words = [*thoughts, function["name"], *pieces(arguments)]
        return Words(words[:limit], reasoning, "length" if len(words) > limit else "tool_calls", function["name"])
    if chat and (schema := schema_of(params)) is not None:
        words = [*thoughts, *pieces(structured_text(schema, rng, faults))]
        return Words(words[:limit], reasoning, "length" if len(words) > limit else "stop")
    least = params.get("min_tokens") or 0
    count = min(limit, limit if params.get("ignore_eos") else max(reasoning + natural, least))
    words = answer_words(seed, count)
    stops = [params["stop"]] if isinstance(params.get("stop"), str) else params.get("stop") or []
    text = ""
    for number in range(reasoning, len(words) if stops else 0):
        text += words[number]
        if number + 1 > least and any(stop in text for stop in stops):
            return Words(words[: number + keep_stop], reasoning, "stop")
    return Words(words, reasoning, "length" if count >= limit else "stop")


def function_to_call(params: dict[str, Any], rng: random.Random) -> dict[str, Any] | None:
    """The function that the model calls; None if it has no tools, may not call one, or just got a tool's result."""
    tools: list[dict[str, Any]] = [tool["function"] for tool in params.get("tools") or ()]
    choice = params.get("tool_choice") or "auto"
    if not tools or choice == "none" or (choice == "auto" and params["messages"][-1].get("role") == "tool"):
        return None
    if isinstance(choice, dict):
        wanted = (choice.get("function") or {}).get("name")
        return next((function for function in tools if function["name"] == wanted), tools[0])
    return rng.choice(tools)


def schema_of(params: dict[str, Any]) -> dict[str, Any] | None:
    """The schema that the answer must fit; None if the answer is plain text."""
    form = params.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema: dict[str, Any] = form["json_schema"]["schema"]
        return schema
    return {"type": "object"} if form.get("type") == "json_object" else None


def structured_text(schema: dict[str, Any], rng: random.Random, faults: Faults) -> str:
    """JSON that fits the schema; with a fault JSON that does not fit, or broken JSON."""
    if "unfit_json" in faults:
        return json.dumps(unfit(schema))
    text = json.dumps(value_of(schema, rng), ensure_ascii=False)
    return text[:-1] if "broken_json" in faults else text
