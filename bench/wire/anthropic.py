"""Anthropic's messages, and every server that speaks like them: named events, blocks of content, no [DONE].

Shapes: Anthropic's API reference. Its input_tokens leave cached tokens out; here they are part of the prompt's, as
everywhere in bench.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bench.records import TokensFrom
from bench.wire.answer import UNREADABLE, Answer, ToolCall, Usage, broken_off, timings_of, unreadable
from bench.wire.ask import Ask
from bench.wire.errors import find_error
from bench.wire.events import EventReading
from bench.wire.exchange import Read
from bench.wire.fields import as_text, count
from bench.wire.openai import is_event_stream
from bench.wire.sse import Decoder, timed_events

Json = dict[str, Any]

THOUGHTS = ("thinking", "redacted_thinking")
PIECES = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
"""Deltas that bring something generated, and under which key; signatures and citations are none."""


@dataclass(frozen=True, slots=True)
class Messages:
    """POST messages."""

    name: str = "messages"
    path: str = "messages"
    family: str = "anthropic"

    def body(self, ask: Ask) -> Json:
        """The request's JSON, from messages in OpenAI's form or in Anthropic's."""
        own = {name: value for name, value in ask.parameters.items() if name != "cache_control"}
        system = "\n\n".join(str(message["content"]) for message in ask.input if message["role"] == "system")
        messages: list[Json] = [message_of(message) for message in ask.input if message["role"] != "system"]
        body: Json = {"model": ask.model, "messages": messages}
        if (kept := ask.parameters.get("cache_control")) is not None:
            mark = {"cache_control": {"type": "ephemeral", "ttl": kept}}
            messages[-1] = messages[-1] | {"content": marked(messages[-1]["content"], mark)}
            body |= {"system": marked(system, mark)} if system else {}
        elif system:
            body["system"] = system
        return body | ({"stream": True} if ask.stream else {}) | own | dict(ask.extra_body)

    def read(self, reads: list[Read], *, stream: bool) -> Answer:
        """What the reads of one exchange say."""
        reading = Reading()
        if stream and is_event_stream(reads):
            decoder = Decoder()
            for at, last, event in timed_events(reads, decoder):
                reading.add_event(event, at, last=last)
            return reading.answer(
                missing=reading.missing(decoder.rest), unterminated=reading.unterminated(decoder.rest)
            )
        if reads:
            reading.add_whole(b"".join(data for _, data in reads))
        return reading.answer(missing=None if reading.stop_reason else "a stop reason")

    def reply(self, answer: Answer, results: Mapping[str, str]) -> list[Json]:
        """An answer as the next turn says it again: with tool calls its blocks, signed thoughts included, and what the
        tools returned; else its text, since thoughts count for nothing once a user speaks."""
        if answer.message is None:
            return [{"role": "assistant", "content": "".join(answer.contents)}]
        tools = [
            {"type": "tool_result", "tool_use_id": call.id, "content": results.get(call.name, "")}
            for call in answer.tool_calls
        ]
        return [answer.message, {"role": "user", "content": tools}]

    def token_times(self, reads: list[Read]) -> tuple[float | None, float | None]:
        """Arrivals of the first and the last token so far."""
        reading = Reading()
        for at, last, event in timed_events(reads, Decoder()):
            reading.add_event(event, at, last=last)
        times = [at for at, _ in reading.arrivals]
        return (times[0], times[-1]) if times else (None, None)


def message_of(message: Json) -> Json:
    """One message in Anthropic's form; only what differs is changed."""
    content = message["content"]
    if not isinstance(content, str):
        content = [part_of(part) for part in content]
    return {"role": message["role"], "content": content}


def part_of(part: Json) -> Json:
    """A part of a message: OpenAI's image_url becomes an image, all else is left as it is."""
    if part.get("type") != "image_url":
        return part
    url = part["image_url"]["url"]
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


def marked(content: Any, mark: Json) -> list[Json]:
    """The content as blocks, the last of which carries the mark."""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    return [*blocks[:-1], blocks[-1] | mark]


class Reading(EventReading):
    """Puts an answer together from its events, first to last."""

    def __init__(self) -> None:
        super().__init__()
        self.stop_reason: str | None = None
        self._blocks: dict[int, Json] = {}
        self._texts: dict[int, list[str]] = {}  # what deltas brought, by block
        self._usage: Json = {}
        self._stopped = False
        self._model: str | None = None
        self._id: str | None = None

    def add_whole(self, body: bytes) -> None:
        """A body that does not stream."""
        try:
            message = orjson.loads(body)
            if (error := find_error(message)) is not None:
                self._error = str(error)
                return
            self._begin(message)
            self.stop_reason = message.get("stop_reason")
            for index, block in enumerate(message["content"]):
                self._blocks[index] = checked(block)
        except UNREADABLE as error:
            self._garbled = unreadable(body, error)

    def missing(self, rest: bytes) -> str | None:
        """What the stream lacks, its undispatched rest being known."""
        lacking = None if self.stop_reason else "a stop reason"
        return broken_off(lacking or (None if self._stopped else "its terminator, event: message_stop"), rest)

    def unterminated(self, rest: bytes) -> bool:
        """Whether the stream lacks its terminator alone, as some servers' always do."""
        whole = bool(self.stop_reason) and read_usage(self._usage).completion is not None
        return whole and not self._stopped and not rest

    def answer(self, *, missing: str | None, unterminated: bool = False) -> Answer:
        blocks = [self._whole_block(index) for index in sorted(self._blocks)]
        usage = read_usage(self._usage)
        tokens_from: TokensFrom = "usage"
        if usage.completion is None:
            tokens_from = "events" if self.arrivals else "none"
            usage = Usage(prompt=usage.prompt, completion=len(self.arrivals) or None)
        calls = tuple(
            ToolCall(block.get("id") or "", block.get("name") or "", arguments_of(block))
            for block in blocks
            if block.get("type") == "tool_use"
        )
        return Answer(
            arrivals=self.arrivals,
            first_token_at=self.arrivals[0][0] if self.arrivals else None,
            first_answer_at=self._answer_at,
            merged=self._merged,
            usage=usage,
            tokens_from=tokens_from,
            output_chars=sum(map(length_of, blocks)),
            empty=not any(map(length_of, blocks)) and not calls,
            finish_reason=self.stop_reason,
            response_model=self._model,
            response_id=self._id,
            error=self._error,
            garbled=self._garbled,
            missing=missing,
            unterminated=unterminated,
            server=self._server,
            tool_calls=calls,
            contents=("".join(block.get("text") or "" for block in blocks),),
            message={"role": "assistant", "content": blocks} if calls else None,
        )

    def _take(self, event: Json, at: float) -> bool:
        """Take in an event; returns whether something was generated."""
        kind = event.get("type")
        self._server |= timings_of(event)
        if kind == "content_block_delta":
            return self._take_delta(place(event), event["delta"], at)
        if kind == "content_block_start":
            return self._take_block(place(event), event["content_block"], at)
        if kind == "message_start":
            self._begin(event["message"])
        elif kind == "message_delta":
            self.stop_reason = event["delta"].get("stop_reason") or self.stop_reason
            self._usage |= {name: value for name, value in (event.get("usage") or {}).items() if value is not None}
        elif kind == "message_stop":
            self._stopped = True
        elif (error := find_error(event)) is not None:
            self._error = self._error or str(error)
        return False

    def _begin(self, message: Json) -> None:
        self._model, self._id = message.get("model"), message.get("id")
        self._usage |= message.get("usage") or {}
        self._server |= timings_of(message)

    def _take_block(self, index: int, block: Json, at: float) -> bool:
        self._blocks[index] = checked(block)
        if block.get("type") in THOUGHTS or not (block.get("text") or block.get("name")):
            return bool(block.get("thinking"))
        if self._answer_at is None:
            self._answer_at = at
        return True

    def _take_delta(self, index: int, delta: Json, at: float) -> bool:
        key = PIECES.get(delta.get("type") or "")
        if delta.get("type") == "signature_delta":
            self._blocks[index] = checked(self._blocks[index] | {"signature": delta.get("signature")})
        if key is None or not (piece := delta.get(key)):
            return False
        if not isinstance(piece, str):
            raise TypeError(key)
        self._texts.setdefault(index, []).append(piece)
        if key != "thinking" and self._answer_at is None:
            self._answer_at = at
        return True

    def _whole_block(self, index: int) -> Json:
        """A block with what its deltas brought."""
        block, brought = self._blocks[index], "".join(self._texts.get(index, ()))
        kind = block.get("type")
        if kind == "tool_use" and brought:
            return block | {"input": parsed(brought), "partial_json": brought}
        key = "thinking" if kind == "thinking" else "text"
        return block | {key: (block.get(key) or "") + brought} if brought else block


def place(event: Json) -> int:
    """Which block an event is about. Raises TypeError if it does not say so with a number."""
    if (index := count(event["index"])) is None:
        raise TypeError("index")
    return index


def checked(block: Json) -> Json:
    """A block whose texts are text and that can be said again in a next turn. Raises TypeError for any other."""
    if any(not isinstance(block.get(key, ""), str | None) for key in ("type", "id", "name", *PIECES.values(), "data")):
        raise TypeError("a block's text")
    orjson.dumps(_as_in_a_turn(block))  # too deep to be written is too deep to be a block
    return block


def _as_in_a_turn(value: Any) -> Any:
    """The value as deep as a next turn's body holds it, and a little deeper."""
    return [[[[[[[[value]]]]]]]]


def parsed(text: str) -> Any:
    """Arguments as JSON; an empty object where they are none, or too deep to be said again."""
    try:
        value = orjson.loads(text)
        orjson.dumps(_as_in_a_turn(value))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return {}
    return value


def arguments_of(block: Json) -> str:
    """A call's arguments as the model wrote them, taken out of the block, in which the API has no such key."""
    written = block.pop("partial_json", None)
    return written if isinstance(written, str) else as_text(block.get("input") or {})


def length_of(block: Json) -> int:
    """Characters that were generated for a block."""
    texts = (block.get("text"), block.get("thinking"), block.get("data"))
    written = as_text(block["input"]) if block.get("input") else ""
    return sum(len(text) for text in texts if isinstance(text, str)) + len(written)


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Token counts; all of the input is the prompt, whether it came from the cache, went into it, or neither."""
    fresh, read, written = (
        count(usage.get(name)) for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    details, each = usage.get("output_tokens_details"), usage.get("cache_creation")
    return Usage(
        prompt=None if fresh is None else fresh + (read or 0) + (written or 0),
        completion=count(usage.get("output_tokens")),
        reasoning=count(details.get("thinking_tokens")) if isinstance(details, dict) else None,
        cached=read,
        cache_write=written,
        cache_write_1h=count(each.get("ephemeral_1h_input_tokens")) if isinstance(each, dict) else None,
    )
