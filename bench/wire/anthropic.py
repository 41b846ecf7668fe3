"""Anthropic's messages API, also as other servers offer it: named events, blocks of content, no [DONE].

Source: Anthropic's API reference. Anthropic's input_tokens do not include cached tokens; the prompt tokens of bench
do, for every API.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from bench.records import TokensFrom
from bench.wire.answer import UNREADABLE, Answer, ToolCall, Usage, missing_part, parsed, timings_of, unreadable
from bench.wire.ask import Ask
from bench.wire.errors import find_error
from bench.wire.events import EventReader
from bench.wire.exchange import Read
from bench.wire.fields import as_text, count
from bench.wire.openai import is_event_stream
from bench.wire.sse import Decoder

Json = dict[str, Any]

THOUGHTS = ("thinking", "redacted_thinking")
PIECES = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
"""The types of delta that hold generated text, and the key of the text. Signatures and citations are not generated."""


@dataclass(frozen=True, slots=True)
class Messages:
    """POST messages."""

    name: str = "messages"
    path: str = "messages"
    family: str = "anthropic"

    def body(self, ask: Ask) -> Json:
        """The request's JSON. The messages may have OpenAI's form or Anthropic's."""
        own = {name: value for name, value in ask.parameters.items() if name != "cache_control"}
        system = system_of([message["content"] for message in ask.input if message["role"] == "system"])
        messages: list[Json] = [message_of(message) for message in ask.input if message["role"] != "system"]
        if (ttl := ask.parameters.get("cache_control")) is not None:
            mark = {"cache_control": {"type": "ephemeral", "ttl": ttl}}
            messages[-1] = messages[-1] | {"content": with_mark(messages[-1]["content"], mark)}
            system = with_mark(system, mark) if system else system
        body: Json = {"model": ask.model, "messages": messages} | ({"system": system} if system else {})
        return body | ({"stream": True} if ask.stream else {}) | own | dict(ask.extra_body)

    def read(self, reads: list[Read], *, stream: bool) -> Answer:
        """The answer that these reads hold."""
        reader = Reader()
        if stream and is_event_stream(reads):
            decoder = Decoder()
            reader.add_stream(reads, decoder)
            return reader.answer(missing=reader.missing(decoder.rest), unterminated=reader.unterminated(decoder.rest))
        if reads:
            reader.add_whole(b"".join(data for _, data in reads))
        return reader.answer(missing=None if reader.stop_reason else "a stop reason")

    def reply(self, answer: Answer, results: Mapping[str, str]) -> list[Json]:
        """The messages that the next turn puts after an answer.

        With tool calls: all blocks, signed thoughts included, and the tools' results. Otherwise only the text: the API
        ignores earlier thoughts once the user speaks again.
        """
        if answer.message is None:
            return [{"role": "assistant", "content": "".join(answer.contents)}]
        tools = [
            {"type": "tool_result", "tool_use_id": call.id, "content": results.get(call.name, "")}
            for call in answer.tool_calls
        ]
        return [answer.message, {"role": "user", "content": tools}]

    def token_times(self, reads: list[Read]) -> tuple[float | None, float | None]:
        """Arrival times of the first and the last token so far; None before the first."""
        return Reader().token_times(reads)


def message_of(message: Json) -> Json:
    """One message in Anthropic's form."""
    content = message["content"]
    if not isinstance(content, str):
        content = [part_of(part) for part in content]
    return {"role": message["role"], "content": content}


def part_of(part: Json) -> Json:
    """A part of a message: OpenAI's image_url becomes an image, any other part stays as it is."""
    if part.get("type") != "image_url":
        return part
    url = part["image_url"]["url"]
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


def system_of(contents: Sequence[Any]) -> str | list[Json]:
    """The system prompt: one text, or blocks if a message has them."""
    if all(isinstance(content, str) for content in contents):
        return "\n\n".join(contents)
    return [block for content in contents for block in blocks_of(content)]


def blocks_of(content: Any) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def with_mark(content: Any, mark: Json) -> list[Json]:
    """The content as blocks, with the mark in the last one, or as it is if a block has a mark: the text after that is
    sent only once, and to write it costs more than it saves."""
    blocks = blocks_of(content)
    if any("cache_control" in block for block in blocks):
        return blocks
    return [*blocks[:-1], blocks[-1] | mark]


class Reader(EventReader):
    """Builds an answer from its events, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.stop_reason: str | None = None
        self._blocks: dict[int, Json] = {}
        self._texts: dict[tuple[int, str], list[str]] = {}  # what deltas brought, by block and key
        self._usage: Json = {}
        self._model: str | None = None
        self._id: str | None = None

    def add_whole(self, body: bytes) -> None:
        """Read an answer that does not stream."""
        try:
            message = parsed(body)
            if (error := find_error(message)) is not None:
                self._error = str(error)
                return
            self._begin(message)
            self.stop_reason = message.get("stop_reason")
            for index, block in enumerate(message["content"]):
                self._blocks[index] = valid_block(block)
        except UNREADABLE as error:
            self._garbled = unreadable(body, error)

    def missing(self, rest: bytes) -> str | None:
        """What the stream lacks, in words; None if it is complete. `rest` is what the decoder still holds."""
        missing = None if self.stop_reason else "a stop reason"
        return missing_part(missing or (None if self._ended else "its terminator, event: message_stop"), rest)

    def unterminated(self, rest: bytes) -> bool:
        """Whether only the terminator is missing: some servers never send one."""
        whole = bool(self.stop_reason) and read_usage(self._usage).completion is not None
        return whole and not self._ended and not rest

    def answer(self, *, missing: str | None, unterminated: bool = False) -> Answer:
        blocks = [self._whole_block(index) for index in sorted(self._blocks)]
        usage = read_usage(self._usage)
        tokens_from: TokensFrom = "usage"
        if usage.completion is None:
            tokens_from = "events" if self.arrivals else "none"
            usage = replace(usage, completion=len(self.arrivals) or None)
        calls = tuple(
            ToolCall(block.get("id") or "", block.get("name") or "", self._arguments(index))
            for index, block in sorted(self._blocks.items())
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
        kind = event.get("type")
        self._server |= timings_of(event)
        if kind == "content_block_delta":
            return self._take_delta(block_index(event), event["delta"], at)
        if kind == "content_block_start":
            return self._take_block(block_index(event), event["content_block"], at)
        if kind == "message_start":
            self._begin(event["message"])
            self._usage.pop("output_tokens", None)  # a count of what was there then; the end's is in message_delta
        elif kind == "message_delta":
            self.stop_reason = event["delta"].get("stop_reason") or self.stop_reason
            self._usage |= {name: value for name, value in (event.get("usage") or {}).items() if value is not None}
        elif kind == "message_stop":
            self._ended = True
        elif (error := find_error(event)) is not None:
            self._error = self._error or str(error)
        return False

    def _begin(self, message: Json) -> None:
        self._model, self._id = message.get("model"), message.get("id")
        self._usage |= message.get("usage") or {}
        self._server |= timings_of(message)

    def _take_block(self, index: int, block: Json, at: float) -> bool:
        self._blocks[index] = valid_block(block)
        if block.get("type") in THOUGHTS or not (block.get("text") or block.get("name")):
            return bool(block.get("thinking"))
        if self._answer_at is None:
            self._answer_at = at
        return True

    def _take_delta(self, index: int, delta: Json, at: float) -> bool:
        key = PIECES.get(delta.get("type") or "")
        if key in ("text", "thinking"):  # some gateways leave out the event that begins a block
            self._blocks.setdefault(index, {"type": key})
        if delta.get("type") == "signature_delta":
            self._blocks[index] = valid_block(self._blocks[index] | {"signature": delta.get("signature")})
        if key is None or not (piece := delta.get(key)):
            return False
        if not isinstance(piece, str):
            raise TypeError(key)
        self._texts.setdefault((index, key), []).append(piece)
        if key != "thinking" and self._answer_at is None:
            self._answer_at = at
        return True

    def _whole_block(self, index: int) -> Json:
        """A block together with what its deltas brought. Only a tool's input is JSON, also that of the server's own."""
        block = dict(self._blocks[index])
        for key in ("text", "thinking"):
            if text := self._written(index, key):
                block[key] = (block.get(key) or "") + text
        if text := self._written(index, "partial_json"):
            block["input"] = parse_arguments(text)
        return block

    def _arguments(self, index: int) -> str:
        """A tool call's arguments as the model wrote them."""
        return self._written(index, "partial_json") or as_text(self._blocks[index].get("input") or {})

    def _written(self, index: int, key: str) -> str:
        return "".join(self._texts.get((index, key), ()))


def block_index(event: Json) -> int:
    """The number of the block that an event belongs to. Raises TypeError if the event states no number."""
    if (index := count(event["index"])) is None:
        raise TypeError("index")
    return index


def valid_block(block: Json) -> Json:
    """The same block. Raises TypeError if one of its texts is not text, or if the next turn could not send it."""
    if any(not isinstance(block.get(key, ""), str | None) for key in ("type", "id", "name", *PIECES.values(), "data")):
        raise TypeError("a block's text")
    orjson.dumps(_nested(block))  # orjson refuses a value that is nested too deep
    return block


def _nested(value: Any) -> Any:
    """The value at the depth it has in the body of the next turn, and a little deeper."""
    return [[[[[[[[value]]]]]]]]


def parse_arguments(text: str) -> Any:
    """A tool call's arguments as JSON; an empty object if they are not JSON or are nested too deep to be sent again."""
    try:
        value = orjson.loads(text)
        orjson.dumps(_nested(value))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return {}
    return value


def length_of(block: Json) -> int:
    """Number of generated characters in a block."""
    texts = (block.get("text"), block.get("thinking"), block.get("data"))
    written = as_text(block["input"]) if block.get("input") else ""
    return sum(len(text) for text in texts if isinstance(text, str)) + len(written)


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Token counts. The prompt is the sum of fresh input, input read from the cache, and input written to it."""
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
