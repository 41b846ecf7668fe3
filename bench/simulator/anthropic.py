"""Anthropic's messages on the wire: named events, blocks, its own usage and errors."""

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
from bench.simulator.generation import Generation, Generator, whole
from bench.simulator.requests import check_image, object_of, prompt_tokens, require
from bench.simulator.streams import Frame
from bench.simulator.tokens import MESSAGE_TOKENS

Json = dict[str, Any]

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
SIGNATURE = "c2ltdWxhdGVk"  # of thoughts, which a client sends back as it came


async def messages(generator: Generator, exchange: Exchange, body: bytes) -> None:
    """Answer one request, as its model and its faults have it."""
    given = object_of(body)
    asked = translated(given)
    async with generator.admitted(exchange, asked, "messages") as place:
        if place is None:
            return
        engine, faults = place
        generation = generator.generation(exchange, asked, engine, faults, seed=zlib.crc32(body), chat=True)
        truth, usage = exchange.truth(), usage_of(generation)
        if given.get("stream"):
            sent = await generator.stream(exchange, frames(generation, usage, faults), truth, faults)
            generation.note(truth, sent=sent)
        else:
            answer = answered(generation, usage)
            if "no_usage" in faults:
                del answer["usage"]
            await whole(exchange, answer, generation, truth, faults)


def answered(generation: Generation, usage: Json) -> Json:
    """The whole message."""
    answer = message_of(generation) | {"content": blocks_of(generation), "usage": usage}
    return answer | {"stop_reason": STOP_REASONS[generation.answers[0].finish]}


def count_tokens(body: bytes) -> Json:
    """How many tokens a request's prompt has."""
    asked = translated(object_of(body) | {"max_tokens": 1})
    return {"input_tokens": len(prompt_tokens(asked)) + MESSAGE_TOKENS * len(asked["messages"])}


def translated(given: Json) -> Json:
    """The request as chat has it. Raises ProviderError."""
    require(given, "model", str)
    require(given, "messages", list)
    if not isinstance(given.get("max_tokens"), int) or given["max_tokens"] < 1:
        raise ProviderError(400, "max_tokens: Field required, at least 1")
    for name, high in (("temperature", 1), ("top_p", 1)):
        if (value := given.get(name)) is not None and not 0 <= value <= high:
            raise ProviderError(400, f"{name}: should be from 0 to {high}, got {value!r}")
    system = given.get("system")
    front = [{"role": "system", "content": system}] if system else []
    asked: Json = {
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
        asked["tools"] = [
            {"function": {"name": tool["name"], "parameters": tool.get("input_schema") or {}}}
            for tool in given["tools"]
        ]
        choice = given.get("tool_choice") or {"type": "auto"}
        words = {"auto": "auto", "any": "required", "none": "none"}
        asked["tool_choice"] = words.get(choice["type"]) or {"function": {"name": choice.get("name")}}
    return asked


def cache_marks(given: Json) -> Json:
    """Whether a request may use the cache, which a mark says, and for how long what it writes is kept."""
    text = json.dumps(given)
    return {"may_cache": '"cache_control"' in text, "cache_ttl": "1h" if '"ttl": "1h"' in text else "5m"}


def format_of(given: Json) -> Json | None:
    """What the answer has to fit, as chat has it; the older name is `output_format`. Raises ProviderError."""
    form = (given.get("output_config") or {}).get("format") or given.get("output_format")
    if form is None:
        return None
    if not isinstance(form, dict) or form.get("type") != "json_schema" or not isinstance(form.get("schema"), dict):
        raise ProviderError(400, "output_config.format: has the type json_schema, and a schema")
    return {"type": "json_schema", "json_schema": {"schema": form["schema"]}}


def message(given: Any) -> Json:
    """One message as chat has it; one that brings a tool's result is the tool's."""
    if not isinstance(given, dict) or given.get("role") not in ("user", "assistant"):
        raise ProviderError(400, "messages: each has the role user or assistant")
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
    """Anthropic's counts: what came from the cache or went into it is not in input_tokens."""
    told = generation.told
    read, written, hour = told.cached or 0, told.written or 0, told.written_1h or 0
    usage: Json = {
        "input_tokens": generation.prompt - read - written - hour,
        "output_tokens": generation.completion,
        "output_tokens_details": {"thinking_tokens": generation.reasoning},
    }
    if told.cached is None:
        return usage
    each = {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": hour}
    counts = {"cache_creation_input_tokens": written + hour, "cache_read_input_tokens": read}
    return usage | counts | {"cache_creation": each}


def message_of(generation: Generation) -> Json:
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
    """The content of a body that does not stream."""
    one = generation.answers[0]
    said = one.words[one.reasoning :]
    blocks: list[Json] = []
    if thoughts := "".join(one.words[: one.reasoning]):
        blocks.append({"type": "thinking", "thinking": thoughts, "signature": SIGNATURE})
    if one.call is None:
        return [*blocks, {"type": "text", "text": "".join(said)}] if said else blocks
    if said:
        blocks.append(call_of(generation, arguments("".join(said[1:]))))
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
    one, dues = generation.answers[0], generation.dues
    first = time.monotonic() if "early_role" in faults or not dues else dues[0]
    start = message_of(generation) | {"usage": usage | {"output_tokens": 1}}
    yield named(first, {"type": "message_start", "message": start})
    yield named(first, {"type": "ping"})
    index = -1
    for place, word in enumerate(one.words):
        if place == 0 or place == one.reasoning:
            if index >= 0:
                yield from closed(dues[place], index, thinking=True)
            index += 1
            yield named(
                dues[place], opened(generation, index, thinking=place < one.reasoning), token=is_call(one, place)
            )
            if is_call(one, place):
                continue
        yield named(
            dues[place], {"type": "content_block_delta", "index": index, "delta": delta(one, place, word)}, token=True
        )
    if index >= 0:
        yield from closed(generation.ends, index, thinking=len(one.words) <= one.reasoning)
    stop = {"stop_reason": STOP_REASONS[one.finish], "stop_sequence": None}
    ended: Json = {"type": "message_delta", "delta": stop}
    if "no_usage" not in faults:
        ended["usage"] = {name: usage[name] for name in ("output_tokens", "output_tokens_details")}
    yield named(generation.ends, ended, truthful=True)
    yield named(generation.ends, {"type": "message_stop"})._replace(kind="terminator")


def is_call(one: Any, place: int) -> bool:
    """Whether this word is the name of a function, which begins a block and is no delta."""
    return one.call is not None and place == one.reasoning


def opened(generation: Generation, index: int, *, thinking: bool) -> Json:
    block: Json = {"type": "text", "text": ""}
    if thinking:
        block = {"type": "thinking", "thinking": "", "signature": ""}
    elif generation.answers[0].call is not None:
        block = call_of(generation, {})
    return {"type": "content_block_start", "index": index, "content_block": block}


def closed(due: float, index: int, *, thinking: bool) -> Iterator[Frame]:
    if thinking:
        signed = {"type": "signature_delta", "signature": SIGNATURE}
        yield named(due, {"type": "content_block_delta", "index": index, "delta": signed})
    yield named(due, {"type": "content_block_stop", "index": index})


def delta(one: Any, place: int, word: str) -> Json:
    if place < one.reasoning:
        return {"type": "thinking_delta", "thinking": word}
    if one.call is not None:
        return {"type": "input_json_delta", "partial_json": word}
    return {"type": "text_delta", "text": word}


def named(due: float, event: Json, *, token: bool = False, truthful: bool = False) -> Frame:
    """An event under its own name."""
    name = event["type"].encode()
    if truthful:
        return Frame(due, lambda truth: json.dumps(event | {"simulator": asdict(truth)}).encode(), name=name)
    return Frame(due, json.dumps(event, ensure_ascii=False).encode(), "token" if token else "event", name)
