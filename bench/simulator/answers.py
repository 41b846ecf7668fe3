"""What a simulated model says: reasoning, then words, a structured answer, or a call of a tool."""

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

    words: list[str]  # its tokens; of a call, the first is the function's name and the others are its arguments
    reasoning: int  # how many of the first words are reasoning
    finish: str
    call: str | None = None  # the function that is called


def answer(
    asked: dict[str, Any], model: Model, faults: Faults, *, seed: int, limit: int, chat: bool, keep_stop: bool
) -> Words:
    """An answer up to its limit or to the first of the request's stop sequences, that one kept or not."""
    rng = random.Random(seed)
    natural = rng.randint(*model.output_tokens)
    reasoning = 0 if asked.get("enable_thinking") is False else model.reasoning_tokens
    if "empty" in faults:
        return Words([], reasoning, "stop")
    thoughts = answer_words(seed, reasoning)
    if chat and (function := called(asked, rng)) is not None:
        arguments = structured(function.get("parameters") or {}, rng, faults)
        said = [function["name"], *pieces(arguments)]
        words = [*thoughts, *said]
        return Words(words[:limit], reasoning, "length" if len(words) > limit else "tool_calls", function["name"])
    if chat and (schema := schema_of(asked)) is not None:
        words = [*thoughts, *pieces(structured(schema, rng, faults))]
        return Words(words[:limit], reasoning, "length" if len(words) > limit else "stop")
    least = asked.get("min_tokens") or 0
    count = min(limit, limit if asked.get("ignore_eos") else max(reasoning + natural, least))
    words = answer_words(seed, count)
    stops = [asked["stop"]] if isinstance(asked.get("stop"), str) else asked.get("stop") or []
    text = ""
    for number in range(reasoning, len(words) if stops else 0):
        text += words[number]
        if number + 1 > least and any(stop in text for stop in stops):
            return Words(words[: number + keep_stop], reasoning, "stop")
    return Words(words, reasoning, "length" if count >= limit else "stop")


def called(asked: dict[str, Any], rng: random.Random) -> dict[str, Any] | None:
    """The function that the model calls: always one, unless it may not, or has just been told a result."""
    tools: list[dict[str, Any]] = [tool["function"] for tool in asked.get("tools") or ()]
    choice = asked.get("tool_choice") or "auto"
    if not tools or choice == "none" or (choice == "auto" and asked["messages"][-1].get("role") == "tool"):
        return None
    if isinstance(choice, dict):
        wanted = (choice.get("function") or {}).get("name")
        return next((function for function in tools if function["name"] == wanted), tools[0])
    return rng.choice(tools)


def schema_of(asked: dict[str, Any]) -> dict[str, Any] | None:
    """What the answer has to fit; None if it is plain text."""
    form = asked.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema: dict[str, Any] = form["json_schema"]["schema"]
        return schema
    return {"type": "object"} if form.get("type") == "json_object" else None


def structured(schema: dict[str, Any], rng: random.Random, faults: Faults) -> str:
    """JSON that fits, or, by a fault, does not."""
    if "unfit_json" in faults:
        return json.dumps(unfit(schema))
    text = json.dumps(value_of(schema, rng), ensure_ascii=False)
    return text[:-1] if "broken_json" in faults else text
