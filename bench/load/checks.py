"""Checks an answer: is it JSON, does it fit the schema, do the tool calls fit the declared tools?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bench.plan.requests import Expected, Planned
from bench.plan.schemas import Schema
from bench.wire.answer import Answer, ToolCall


@dataclass(frozen=True, slots=True)
class Checks:
    """The results, with the meaning of the same fields in Record. None: not checked."""

    tool_calls: int | None = None
    valid_tool_calls: int | None = None
    json_valid: bool | None = None
    schema_valid: bool | None = None


def check(answer: Answer, expected: Expected) -> Checks:
    """Check an answer whose outcome is ok."""
    calls = valid = None
    if (tools := expected.tools) is not None:
        calls = len(answer.tool_calls)
        valid = sum(is_valid_call(call, tools) for call in answer.tool_calls)
    if expected.schema is None or answer.tool_calls:
        return Checks(tool_calls=calls, valid_tool_calls=valid)
    values = [parse(text) for text in answer.contents]
    is_json = bool(values) and None not in values
    fits = is_json and all(expected.schema.fits(value[0]) for value in values if value is not None)
    return Checks(calls, valid, is_json, fits)


def miscounted(answer: Answer, planned: Planned) -> str | None:
    """Why embeddings are not one for each text, in words; None if they are."""
    texts = planned.input
    if planned.api != "embeddings" or "input" in planned.extra_body or not isinstance(texts, list):
        return None
    return None if answer.items == len(texts) else f"the answer has {answer.items} embeddings for {len(texts)} texts"


def is_valid_call(call: ToolCall, tools: Mapping[str, Schema]) -> bool:
    """Whether a call names a declared tool and its arguments fit the tool's schema."""
    if call.name not in tools or (arguments := parse(call.arguments or "{}")) is None:
        return False
    return tools[call.name].fits(arguments[0])


def parse(text: str) -> tuple[Any] | None:
    """The JSON value of a text, in a tuple because it may be null; None if the text is not JSON."""
    try:
        return (orjson.loads(text),)
    except orjson.JSONDecodeError:
        return None
