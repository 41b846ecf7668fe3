"""Anthropic's messages API: named events, content blocks, and Anthropic's own usage and errors."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from bench.simulator.answers import Words
from bench.simulator.errors import ProviderError
from bench.simulator.exchange import Exchange
from bench.simulator.faults import Faults
from bench.simulator.generation import Generation, Generator, send_answer
from bench.simulator.requests import check_image, object_of, prompt_tokens, require
from bench.simulator.streams import Frame
from bench.simulator.tokens import MESSAGE_TOKENS

Json = dict[str, Any]

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
SIGNATURE = "c2ltdWxhdGVk"  # of thoughts; a client must send it back unchanged


async def messages(generator: Generator, exchange: Exchange, body: bytes) -> None:
    """Answer one request with the timing of its model and with its faults."""
    given = object_of(body)
    params = chat_params(given)
    async with generator.admitted(exchange, params, "messages") as slot:
        if slot is None:
            return
        engine, faults = slot
        generation = generator.generation(exchange, params, engine, faults, seed=zlib.crc32(body), chat=True)
        truth, usage = exchange.truth(), usage_of(generation)
        if given.get("stream"):
            sent = await generator.stream(exchange, frames(generation, usage, faults), truth, faults)
            generation.note(truth, sent=sent)
        else:
            answer = message_json(generation, usage)
            if "no_usage" in faults:
                del answer["usage"]
            await send_answer(exchange, answer, generation, truth, faults)


def message_json(generation: Generation, usage: Json) -> Json:
    """The answer as one message."""
    answer = message_start(generation) | {"content": blocks_of(generation), "usage": usage}
    return answer | {"stop_reason": STOP_REASONS[generation.answers[0].finish]}


def count_tokens(body: bytes) -> Json:
    """The number of tokens of a request's prompt."""
    params = chat_params(object_of(body) | {"max_tokens": 1})
    return {"input_tokens": len(prompt_tokens(params)) + MESSAGE_TOKENS * len(params["messages"])}


def chat_params(given: Json) -> Json:
    """The request in the form of the chat API. Raises ProviderError."""
    require(given, "model", str)
    require(given, "messages", list)
    if not isinstance(given.get("max_tokens"), int) or given["max_tokens"] < 1:
        raise ProviderError(400, "max_tokens: Field required, at least 1")
    for name, high in (("temperature", 1), ("top_p", 1)):
        if (value := given.get(name)) is not None and not 0 <= value <= high:
            raise ProviderError(400, f"{name}: should be from 0 to {high}, got {value!r}")
    system = given.get("system")
    front = [{"role": "system", "content": system}] if system else []
    params: Json = {
        "model": given["model"],
        "messages": [*front, *map(message, given["messages"])],
        "max_tokens": given["max_tokens"],
        "response_format": format_of(given),
        "stop": given.get("stop_sequences"),
        "simulator": given.get("simulator"),
        "enable_thinking": (given.get("thinking") or {}).get("type") in ("enabled", "adaptive"),
        **cache_marks(given),
    }
    if given.get("tools"):
        params["tools"] = tools_of(given)
        choice = given.get("tool_choice") or {"type": "auto"}
        words = {"auto": "auto", "any": "required", "none": "none"}
        params["tool_choice"] = words.get(choice["type"]) or {"function": {"name": choice.get("name")}}
    return params


def cache_marks(given: Json) -> Json:
    """Whether a request has a cache mark, without which it may not use the cache, the lifetime that it asks for, and
    the places up to which its prompt may be read: the end of each block up to the last marked one, in tokens."""
    at = len(prompt_tokens({"tools": tools_of(given), "messages": []}))
    ends, last, hour = [at], at if '"cache_control"' in json.dumps(given.get("tools")) else 0, False
    for content in (given.get("system"), *(one.get("content") for one in given["messages"] if isinstance(one, dict))):
        blocks: list[Json] = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        for block in blocks:
            at += len(prompt_tokens({"messages": [message({"role": "user", "content": [block]})]}))
            ends.append(at)
            if (mark := block.get("cache_control")) is not None:
                last, hour = at, hour or mark.get("ttl") == "1h"
    read = [end for end in ends if 0 < end <= last]
    return {"may_cache": bool(read), "cache_ends": read, "cache_ttl": "1h" if hour else "5m"}


def tools_of(given: Json) -> list[Json]:
    """The tools in the form of the chat API."""
    return [
        {"function": {"name": tool["name"], "parameters": tool.get("input_schema") or {}}}
        for tool in given.get("tools") or ()
    ]


def format_of(given: Json) -> Json | None:
    """The format of the answer in the form of the chat API; its older name is `output_format`. Raises
    ProviderError."""
    form = (given.get("output_config") or {}).get("format") or given.get("output_format")
    if form is None:
        return None
    if not isinstance(form, dict) or form.get("type") != "json_schema" or not isinstance(form.get("schema"), dict):
        raise ProviderError(400, "output_config.format: the type json_schema and a schema are required")
    return {"type": "json_schema", "json_schema": {"schema": form["schema"]}}


def message(given: Any) -> Json:
    """One message in the form of the chat API; with a tool's result its role is tool. Raises ProviderError."""
    if not isinstance(given, dict) or given.get("role") not in ("user", "assistant"):
        raise ProviderError(400, "messages: each needs the role user or assistant")
    content = given.get("content")
    if isinstance(content, str):
        return {"role": given["role"], "content": content}
    parts, role = [], given["role"]
    for block in content or ():
        if block.get("type") == "tool_result":
            role = "tool"
        source = block.get("source") or {}
        if block.get("type") == "image" and source.get("type") == "base64":
            check_image(source.get("data", ""))
        text = block.get("text") or block.get("thinking") or block.get("content")
        parts.append(block if block.get("type") == "image" else {"type": "text", "text": text_in(text)})
    return {"role": role, "content": parts}


def text_in(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part.get("text") or "" for part in content or () if isinstance(part, dict))


def usage_of(generation: Generation) -> Json:
    """Anthropic's counts: input_tokens do not include tokens that were read from the cache or written to it."""
    stated = generation.stated
    read, written, hour = stated.cached or 0, stated.written or 0, stated.written_1h or 0
    usage: Json = {
        "input_tokens": generation.prompt - read - written - hour,
        "output_tokens": generation.completion,
        "output_tokens_details": {"thinking_tokens": generation.reasoning},
    }
    if stated.cached is None:
        return usage
    each = {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": hour}
    counts = {"cache_creation_input_tokens": written + hour, "cache_read_input_tokens": read}
    return usage | counts | {"cache_creation": each}


def message_start(generation: Generation) -> Json:
    """A message before any content."""
    return {
        "id": f"msg_{generation.id}",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": generation.model,
        "stop_reason": None,
        "stop_sequence": None,
    }


def blocks_of(generation: Generation) -> list[Json]:
    """The content of an answer that does not stream."""
    answer = generation.answers[0]
    words = answer.words[answer.reasoning :]
    blocks: list[Json] = []
    if thoughts := "".join(answer.words[: answer.reasoning]):
        blocks.append({"type": "thinking", "thinking": thoughts, "signature": SIGNATURE})
    if answer.call is None:
        return [*blocks, {"type": "text", "text": "".join(words)}] if words else blocks
    if words:
        blocks.append(call_of(generation, arguments("".join(words[1:]))))
    return blocks


def call_of(generation: Generation, given: Any) -> Json:
    name = generation.answers[0].call
    return {"type": "tool_use", "id": f"toolu_{generation.id}", "name": name, "input": given}


def arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {}


def frames(generation: Generation, usage: Json, faults: Faults) -> Iterator[Frame]:
    """The stream's events in order."""
    answer, dues = generation.answers[0], generation.dues
    first = time.monotonic() if "early_role" in faults or not dues else dues[0]
    start = message_start(generation) | {"usage": usage | {"output_tokens": 1}}
    yield event_frame(first, {"type": "message_start", "message": start})
    yield event_frame(first, {"type": "ping"})
    index = -1
    for position, word in enumerate(answer.words):
        due = dues[position]
        if position == 0 or position == answer.reasoning:
            if index >= 0:
                yield from block_stop(due, index, thinking=True)
            index += 1
            start = block_start(generation, index, thinking=position < answer.reasoning)
            yield event_frame(due, start, token=is_call(answer, position))
            if is_call(answer, position):
                continue
        event = {"type": "content_block_delta", "index": index, "delta": delta(answer, position, word)}
        yield event_frame(due, event, token=True)
    if index >= 0:
        yield from block_stop(generation.ends, index, thinking=len(answer.words) <= answer.reasoning)
    stop = {"stop_reason": STOP_REASONS[answer.finish], "stop_sequence": None}
    end: Json = {"type": "message_delta", "delta": stop}
    if "no_usage" not in faults:
        end["usage"] = {name: usage[name] for name in ("output_tokens", "output_tokens_details")}
    yield event_frame(generation.ends, end, truthful=True)
    yield event_frame(generation.ends, {"type": "message_stop"})._replace(kind="terminator")


def is_call(answer: Words, position: int) -> bool:
    """Whether this word is the name of a function, which comes with the start of a block, not in a delta."""
    return answer.call is not None and position == answer.reasoning


def block_start(generation: Generation, index: int, *, thinking: bool) -> Json:
    block: Json = {"type": "text", "text": ""}
    if thinking:
        block = {"type": "thinking", "thinking": "", "signature": ""}
    elif generation.answers[0].call is not None:
        block = call_of(generation, {})
    return {"type": "content_block_start", "index": index, "content_block": block}


def block_stop(due: float, index: int, *, thinking: bool) -> Iterator[Frame]:
    if thinking:
        signed = {"type": "signature_delta", "signature": SIGNATURE}
        yield event_frame(due, {"type": "content_block_delta", "index": index, "delta": signed})
    yield event_frame(due, {"type": "content_block_stop", "index": index})


def delta(answer: Words, position: int, word: str) -> Json:
    if position < answer.reasoning:
        return {"type": "thinking_delta", "thinking": word}
    if answer.call is not None:
        return {"type": "input_json_delta", "partial_json": word}
    return {"type": "text_delta", "text": word}


def event_frame(due: float, event: Json, *, token: bool = False, truthful: bool = False) -> Frame:
    """An event with its type as its name; a truthful one includes the truth about the request."""
    name = event["type"].encode()
    if truthful:
        return Frame(due, lambda truth: json.dumps(event | {"simulator": asdict(truth)}).encode(), name=name)
    return Frame(due, json.dumps(event, ensure_ascii=False).encode(), "token" if token else "event", name)
