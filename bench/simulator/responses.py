"""OpenAI's responses API: items and named events. The answer is generated as in the chat API."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from bench.simulator.errors import ProviderError
from bench.simulator.exchange import Exchange
from bench.simulator.faults import Faults
from bench.simulator.generation import Generation, Generator, send_answer
from bench.simulator.requests import check_images, check_parameters, object_of, require
from bench.simulator.streams import Frame, Truth

Json = dict[str, Any]


async def responses(generator: Generator, exchange: Exchange, body: bytes) -> None:
    """Answer one request with the timing of its model and with its faults."""
    given = object_of(body)
    params = chat_params(given)
    async with generator.admitted(exchange, params, "responses") as slot:
        if slot is None:
            return
        engine, faults = slot
        generation = generator.generation(exchange, params, engine, faults, seed=zlib.crc32(body), chat=True)
        truth = exchange.truth()
        if given.get("stream"):
            sent = await generator.stream(exchange, frames(generation, given, faults), truth, faults)
            generation.note(truth, sent=sent)
        else:
            answer = finished_response(generation, given)
            if "no_usage" in faults:
                answer["usage"] = None
            await send_answer(exchange, answer, generation, truth, faults)


def chat_params(given: Json) -> Json:
    """The request in the form of the chat API. Raises ProviderError."""
    require(given, "model", str)
    value = require(given, "input", (str, list))
    items = [{"role": "user", "content": value}] if isinstance(value, str) else value
    front = [{"role": "system", "content": given["instructions"]}] if given.get("instructions") else []
    limit = given.get("max_output_tokens")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ProviderError(400, f"max_output_tokens must be at least 1, got {limit!r}")
    params: Json = {name: given[name] for name in ("temperature", "top_p", "simulator") if given.get(name) is not None}
    extras = ("ignore_eos", "min_tokens", "enable_thinking", "prompt_cache_key", "user")
    for name in extras:  # members that the chat API has too
        if name in given:
            params[name] = given[name]
    check_parameters(params)
    messages = [*front, *map(message, items)]
    check_images(messages)
    params |= {"model": given["model"], "messages": messages, "max_tokens": limit}
    effort = (given.get("reasoning") or {}).get("effort")
    if effort is not None:
        params["enable_thinking"] = effort != "none"
    if given.get("tools"):
        params["tools"] = [tool(one) for one in given["tools"]]
        choice = given.get("tool_choice") or "auto"
        params["tool_choice"] = choice if isinstance(choice, str) else {"function": {"name": choice.get("name")}}
    form = (given.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        if not isinstance(form.get("schema"), dict):
            raise ProviderError(400, "text.format.schema is required")
        named = {name: form[name] for name in ("name", "schema", "strict") if name in form}
        params["response_format"] = {"type": "json_schema", "json_schema": named}
    elif form.get("type") == "json_object":
        params["response_format"] = {"type": "json_object"}
    return params


def tool(given: Any) -> Json:
    """A tool in the form of the chat API. Raises ProviderError."""
    if not isinstance(given, dict) or given.get("type") != "function" or not given.get("name"):
        raise ProviderError(400, "tools must be of type function, with a name")
    return {"type": "function", "function": {"name": given["name"], "parameters": given.get("parameters") or {}}}


def message(item: Any) -> Json:
    """An item as a message of the chat API. Raises ProviderError."""
    if not isinstance(item, dict):
        raise ProviderError(400, "input: each item must be an object")
    kind = item.get("type") or "message"
    if kind == "function_call":
        return {"role": "assistant", "content": f"{item.get('name')} {item.get('arguments')}"}
    if kind == "function_call_output":
        return {"role": "tool", "content": item.get("output") or ""}
    if kind == "reasoning":
        return {"role": "assistant", "content": ""}
    if kind != "message" or item.get("role") not in ("user", "assistant", "system", "developer"):
        raise ProviderError(400, f"input: an item of type {kind} with role {item.get('role')!r} is unknown")
    content = item.get("content")
    if isinstance(content, list):
        content = [part(one) for one in content if isinstance(one, dict)]
    return {"role": item["role"], "content": content or ""}


def part(given: Json) -> Json:
    if given.get("type") == "input_image":
        detail = {"detail": given["detail"]} if given.get("detail") else {}
        return {"type": "image_url", "image_url": {"url": given.get("image_url") or ""} | detail}
    return {"type": "text", "text": given.get("text") or ""}


# -- the response as one object -------------------------------------------------------------------------------


def new_response(generation: Generation, given: Json) -> Json:
    """A response before any output."""
    return {
        "id": f"resp_{generation.id}",
        "object": "response",
        "created_at": generation.created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": given.get("instructions"),
        "max_output_tokens": given.get("max_output_tokens"),
        "metadata": given.get("metadata") or {},
        "model": generation.model,
        "output": [],
        "parallel_tool_calls": given.get("parallel_tool_calls", True),
        "previous_response_id": given.get("previous_response_id"),
        "reasoning": given.get("reasoning") or {"effort": None, "summary": None},
        "service_tier": "default",
        "store": given.get("store", True),
        "temperature": given.get("temperature", 1.0),
        "text": given.get("text") or {"format": {"type": "text"}},
        "tool_choice": given.get("tool_choice") or "auto",
        "tools": given.get("tools") or [],
        "top_p": given.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": None,
        "user": given.get("user"),
    }


def finished_response(generation: Generation, given: Json) -> Json:
    """The whole response."""
    cut = generation.answers[0].finish == "length"
    status = {"status": "incomplete" if cut else "completed"}
    details = {"incomplete_details": {"reason": "max_output_tokens"} if cut else None}
    result = {"output": output(generation), "usage": usage_of(generation)}
    return new_response(generation, given) | status | details | result


def usage_of(generation: Generation) -> Json:
    stated = generation.stated
    usage: Json = {
        "input_tokens": generation.prompt,
        "output_tokens": generation.completion,
        "output_tokens_details": {"reasoning_tokens": generation.reasoning},
        "total_tokens": generation.prompt + generation.completion,
    }
    if stated.cached is None:
        return usage
    details = {"cached_tokens": stated.cached, "cache_write_tokens": stated.written or 0}
    return usage | {"input_tokens_details": details}


def output(generation: Generation) -> list[Json]:
    """The items of an answer: its reasoning, then a message or a call."""
    answer = generation.answers[0]
    words, items = answer.words[answer.reasoning :], []
    if answer.reasoning and answer.words:
        items.append(reasoning_item(generation, "".join(answer.words[: answer.reasoning])))
    if answer.call is not None and words:
        items.append(call_item(generation, "".join(words[1:]), "completed"))
    elif words:
        items.append(message_item(generation, [text_part("".join(words))], "completed"))
    return items


def reasoning_item(generation: Generation, text: str) -> Json:
    parts = [{"type": "reasoning_text", "text": text}] if text else []
    return {"id": f"rs_{generation.id}", "type": "reasoning", "summary": [], "content": parts}


def call_item(generation: Generation, arguments: str, status: str) -> Json:
    identity = {"id": f"fc_{generation.id}", "type": "function_call", "call_id": f"call_{generation.id}_0"}
    return identity | {"name": generation.answers[0].call, "arguments": arguments, "status": status}


def message_item(generation: Generation, content: list[Json], status: str) -> Json:
    identity = {"id": f"msg_{generation.id}", "type": "message", "role": "assistant"}
    return identity | {"status": status, "content": content}


def text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


# -- the stream ---------------------------------------------------------------------------------------------------


class Events:
    """Numbers the events of a stream."""

    def __init__(self) -> None:
        self._next = 0

    def frame(self, due: float, kind: str, event: Json, *, token: bool = False) -> Frame:
        return Frame(
            due, json.dumps(self._numbered(kind, event)).encode(), "token" if token else "event", kind.encode()
        )

    def last(self, due: float, kind: str, event: Json) -> Frame:
        """The last event of a stream, with the truth in it."""
        numbered = self._numbered(kind, event)

        def payload(truth: Truth) -> bytes:
            return json.dumps(numbered | {"simulator": asdict(truth)}).encode()

        return Frame(due, payload, "terminator", kind.encode())

    def _numbered(self, kind: str, event: Json) -> Json:
        self._next += 1
        return {"type": kind, "sequence_number": self._next - 1} | event


def frames(generation: Generation, given: Json, faults: Faults) -> Iterator[Frame]:
    """The stream's events in order."""
    answer, dues, events = generation.answers[0], generation.dues, Events()
    first = time.monotonic() if "early_role" in faults or not dues else dues[0]
    start = new_response(generation, given)
    yield events.frame(first, "response.created", {"response": start})
    yield events.frame(first, "response.in_progress", {"response": start})
    edge, index = min(answer.reasoning, len(answer.words)), 0
    if edge:
        yield from reasoning_frames(events, generation, dues[:edge], answer.words[:edge])
        index = 1
    words = answer.words[edge:]
    if words and answer.call is not None:
        yield from call_frames(events, generation, dues[edge:], words, index)
    elif words:
        yield from message_frames(events, generation, dues[edge:], words, index)
    response = finished_response(generation, given)
    if "no_usage" in faults:
        response["usage"] = None
    yield events.last(generation.ends, f"response.{response['status']}", {"response": response})


def reasoning_frames(events: Events, generation: Generation, dues: list[float], words: list[str]) -> Iterator[Frame]:
    where = {"item_id": f"rs_{generation.id}", "output_index": 0, "content_index": 0}
    added = {"output_index": 0, "item": reasoning_item(generation, "")}
    yield events.frame(dues[0], "response.output_item.added", added)
    for due, word in zip(dues, words, strict=True):
        yield events.frame(due, "response.reasoning_text.delta", where | {"delta": word}, token=True)
    text = "".join(words)
    yield events.frame(dues[-1], "response.reasoning_text.done", where | {"text": text})
    done = {"output_index": 0, "item": reasoning_item(generation, text)}
    yield events.frame(dues[-1], "response.output_item.done", done)


def message_frames(
    events: Events, generation: Generation, dues: list[float], words: list[str], index: int
) -> Iterator[Frame]:
    where = {"item_id": f"msg_{generation.id}", "output_index": index, "content_index": 0}
    added = {"output_index": index, "item": message_item(generation, [], "in_progress")}
    yield events.frame(dues[0], "response.output_item.added", added)
    yield events.frame(dues[0], "response.content_part.added", where | {"part": text_part("")})
    for due, word in zip(dues, words, strict=False):
        yield events.frame(due, "response.output_text.delta", where | {"delta": word, "logprobs": []}, token=True)
    text = "".join(words)
    end = generation.ends
    yield events.frame(end, "response.output_text.done", where | {"text": text, "logprobs": []})
    yield events.frame(end, "response.content_part.done", where | {"part": text_part(text)})
    done = {"output_index": index, "item": message_item(generation, [text_part(text)], "completed")}
    yield events.frame(end, "response.output_item.done", done)


def call_frames(
    events: Events, generation: Generation, dues: list[float], words: list[str], index: int
) -> Iterator[Frame]:
    """The events of a tool call. The first word is the function's name and comes with the item; the others are its
    arguments."""
    where = {"item_id": f"fc_{generation.id}", "output_index": index}
    added = {"output_index": index, "item": call_item(generation, "", "in_progress")}
    yield events.frame(dues[0], "response.output_item.added", added, token=True)
    for due, word in zip(dues[1:], words[1:], strict=False):
        yield events.frame(due, "response.function_call_arguments.delta", where | {"delta": word}, token=True)
    arguments = "".join(words[1:])
    end = generation.ends
    named = {"name": generation.answers[0].call, "arguments": arguments}
    yield events.frame(end, "response.function_call_arguments.done", where | named)
    done = {"output_index": index, "item": call_item(generation, arguments, "completed")}
    yield events.frame(end, "response.output_item.done", done)
