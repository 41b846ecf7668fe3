"""Answers held against what was promised: is it JSON, does it fit the schema, are tools called as declared?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bench.plan.requests import Expected
from bench.plan.schemas import Schema
from bench.wire.answer import Answer, ToolCall


@dataclass(frozen=True, slots=True)
class Checked:
    """As in Record."""

    tool_calls: int | None = None
    valid_tool_calls: int | None = None
    json_valid: bool | None = None
    schema_valid: bool | None = None


def check(answer: Answer, expected: Expected) -> Checked:
    """How an answer without error fares."""
    calls = valid = None
    if (tools := expected.tools) is not None:
        calls = len(answer.tool_calls)
        valid = sum(fits_its_tool(call, tools) for call in answer.tool_calls)
    if expected.schema is None or answer.tool_calls:
        return Checked(tool_calls=calls, valid_tool_calls=valid)
    values = [parsed(text) for text in answer.contents]
    is_json = bool(values) and None not in values
    fitting = is_json and all(expected.schema.fits(value[0]) for value in values if value is not None)
    return Checked(calls, valid, is_json, fitting)


def fits_its_tool(call: ToolCall, tools: Mapping[str, Schema]) -> bool:
    """Whether a call is of a declared tool, with arguments that fit its schema."""
    if call.name not in tools or (arguments := parsed(call.arguments or "{}")) is None:
        return False
    return tools[call.name].fits(arguments[0])


def parsed(text: str) -> tuple[Any] | None:
    """The JSON value of a text, alone in a tuple since it may be null; None if it is not JSON."""
    try:
        return (orjson.loads(text),)
    except orjson.JSONDecodeError:
        return None
