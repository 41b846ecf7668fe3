"""OpenAI's responses API, also as other servers offer it: items go in and come out, and events have names.

Source: OpenAI's API reference; vLLM and llama.cpp offer the same API. A stream ends with response.completed, incomplete
or failed; some servers send [DONE] after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

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

THOUGHT, TEXT, CALL = "reasoning", "text", "call"
PIECES = {
    "response.output_text.delta": TEXT,
    "response.refusal.delta": TEXT,
    "response.reasoning_text.delta": THOUGHT,
    "response.reasoning_summary_text.delta": THOUGHT,
    "response.function_call_arguments.delta": CALL,
    "response.custom_tool_call_input.delta": CALL,
    "response.mcp_call_arguments.delta": CALL,
    "response.code_interpreter_call_code.delta": CALL,
}
"""The events that hold generated output, and the kind of output."""
READ_ITEMS = ("message", "function_call", "reasoning")
"""The types of items whose content is read."""
ENDS = ("response.completed", "response.incomplete", "response.failed")


@dataclass(frozen=True, slots=True)
class Responses:
    """POST responses."""

    name: str = "responses"
    path: str = "responses"
    family: str = "llm"

    def body(self, ask: Ask) -> Json:
        """The request's JSON, from messages in the form of the chat API or from items."""
        items: list[Json] = [item_of(message) for message in ask.input]
        streaming = {"stream": True} if ask.stream else {}
        return {"model": ask.model, "input": items} | streaming | dict(ask.parameters) | dict(ask.extra_body)

    def read(self, reads: list[Read], *, stream: bool) -> Answer:
        """The answer that these reads hold."""
        reader = Reader()
        if stream and is_event_stream(reads):
            decoder = Decoder()
            reader.add_stream(reads, decoder)
            return reader.answer(missing=missing_part(reader.missing(), decoder.rest))
        if reads:
            reader.add_whole(b"".join(data for _, data in reads))
        return reader.answer(missing=reader.missing())

    def reply(self, answer: Answer, results: Mapping[str, str]) -> list[Json]:
        """The items that the next turn puts after an answer: its text, its tool calls, and their results."""
        text = "".join(answer.contents)
        items: list[Json] = [{"role": "assistant", "content": text}] if text or not answer.tool_calls else []
        for call in answer.tool_calls:
            items.append({"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments})
            items.append({"type": "function_call_output", "call_id": call.id, "output": results.get(call.name, "")})
        return items

    def token_times(self, reads: list[Read]) -> tuple[float | None, float | None]:
        """Arrival times of the first and the last token so far; None before the first."""
        return Reader().token_times(reads)


def item_of(message: Json) -> Json:
    """One message of the chat API as an item; an item stays as it is."""
    if "role" not in message or message.get("type") is not None:
        return message
    content = message.get("content")
    if isinstance(content, list | tuple):
        content = [part_of(part, message["role"]) for part in content]
    return {"role": message["role"], "content": content}


def part_of(part: Json, role: str) -> Json:
    """A part of a chat message as a part of an item."""
    if part.get("type") == "text":
        return {"type": "output_text" if role == "assistant" else "input_text", "text": part["text"]}
    if part.get("type") == "image_url":
        detail = {"detail": part["image_url"]["detail"]} if part["image_url"].get("detail") else {}
        return {"type": "input_image", "image_url": part["image_url"]["url"]} | detail
    return part


class Reader(EventReader):
    """Builds an answer from its events, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._chars = {THOUGHT: 0, TEXT: 0, CALL: 0}  # characters in deltas
        self._response: Json = {}  # the last whole response that the server stated

    def add_whole(self, body: bytes) -> None:
        """Read an answer that does not stream."""
        try:
            self._close(parsed(body))
            if not self._ended and self._error is None:
                raise KeyError("status")
        except UNREADABLE as error:
            self._garbled = self._garbled or unreadable(body, error)

    def missing(self) -> str | None:
        """What the answer lacks, in words; None if it is complete."""
        if not self._ended:
            return "its end, response.completed"
        if self._error or (status := self._status()) in ("completed", "incomplete"):
            return None
        return f"the status completed (it is {status})" if status else "a status"

    def answer(self, *, missing: str | None) -> Answer:
        texts, calls, thoughts = self._output()
        usage, tokens_from = self._count()
        written = sum(map(len, texts)) + thoughts + sum(len(call.name) + len(call.arguments) for call in calls)
        chars = max(written, sum(self._chars.values()))
        return Answer(
            arrivals=self.arrivals,
            first_token_at=self.arrivals[0][0] if self.arrivals else None,
            first_answer_at=self._answer_at,
            merged=self._merged,
            usage=usage,
            tokens_from=tokens_from,
            output_chars=chars,
            empty=not chars and not calls and not self._has_other_items(),
            finish_reason=self._finish_reason(bool(calls)),
            response_model=self._response.get("model"),
            response_id=self._response.get("id"),
            error=self._error,
            garbled=self._garbled,
            missing=missing,
            server=self._server,
            tool_calls=calls,
            contents=texts,
            message={"role": "assistant", "content": None} if calls else None,
        )

    def _take(self, event: Json, at: float) -> bool:
        kind = event.get("type")
        if kind in PIECES:
            piece, what = event.get("delta"), PIECES[kind]
            if not isinstance(piece, str) or not piece:
                return False
            self._chars[what] += len(piece)
            self._note(at, what)
            return True
        if kind == "response.output_item.added":
            item = event["item"]
            if item.get("type") in ("function_call", "custom_tool_call") and item.get("name"):
                self._note(at, CALL)
                return True
        elif kind in ENDS:
            self._server |= timings_of(event)
            self._close(event["response"])
        elif kind in ("response.created", "response.in_progress"):
            if isinstance(response := event["response"], dict):
                self._response = response
        elif kind == "error" or (kind is None and (error := find_error(event)) is not None):
            self._error = self._error or str(find_error(event) or error)
        return False

    def _note(self, at: float, what: str) -> None:
        if what != THOUGHT and self._answer_at is None:
            self._answer_at = at

    def _close(self, response: Json) -> None:
        """Take the whole response, which ends an answer."""
        self._server |= timings_of(response)
        status = response.get("status")
        error = response.get("error") if status == "failed" else None
        if (found := find_error({"error": error} if error else response)) is not None:
            self._error = self._error or str(found)
        elif status == "failed":
            self._error = self._error or "the response failed, and the server says no more"
        if status is not None:
            self._response, self._ended = response, True

    def _status(self) -> str | None:
        status = self._response.get("status")
        return status if isinstance(status, str) else None

    def _finish_reason(self, calls: bool) -> Any:
        """The finish reason in the words of the chat API where they mean the same; None before the end."""
        if not self._ended:
            return None
        if self._status() == "incomplete":
            details = self._response.get("incomplete_details")
            reason = details.get("reason") if isinstance(details, dict) else None
            return "length" if reason == "max_output_tokens" else reason or "incomplete"
        return "tool_calls" if calls else "stop" if self._status() == "completed" else self._status()

    def _output(self) -> tuple[tuple[str, ...], tuple[ToolCall, ...], int]:
        """The texts, the tool calls and the number of reasoning characters of the whole response."""
        texts, calls, thoughts = [], [], 0
        try:
            for item in self._response.get("output") or ():
                kind = item.get("type")
                if kind == "message":
                    parts = item.get("content") or ()
                    texts.append("".join(part.get("text") or part.get("refusal") or "" for part in parts))
                elif kind == "function_call":
                    calls.append(
                        ToolCall(*(as_text(item.get(name) or "") for name in ("call_id", "name", "arguments")))
                    )
                elif kind == "reasoning":
                    parts = [*(item.get("summary") or ()), *(item.get("content") or ())]
                    thoughts += sum(len(part.get("text") or "") for part in parts)
        except UNREADABLE:
            self._garbled = self._garbled or "JSON with another shape than this API's: output"
            return (), (), 0
        return (("".join(texts),) if texts else ()), tuple(calls), thoughts

    def _has_other_items(self) -> bool:
        """Whether the response holds anything else that was made, such as an image or a call of a custom tool."""
        items = self._response.get("output")
        kinds = [item.get("type") for item in items if isinstance(item, dict)] if isinstance(items, list) else []
        return any(kind not in READ_ITEMS for kind in kinds)

    def _count(self) -> tuple[Usage, TokensFrom]:
        """Tokens as the server states them, or else one per event with generated output."""
        usage = read_usage(self._response.get("usage") or {})
        if usage.completion is not None:
            return usage, "usage"
        return replace(usage, completion=len(self.arrivals) or None), "events" if self.arrivals else "none"


def read_usage(usage: object) -> Usage:
    """Token counts. Input tokens include cached ones, output tokens include reasoning."""
    if not isinstance(usage, dict):
        return Usage()
    read, written = (usage.get(f"{part}_tokens_details") for part in ("input", "output"))
    of_input: Json = read if isinstance(read, dict) else {}
    of_output: Json = written if isinstance(written, dict) else {}
    return Usage(
        prompt=count(usage.get("input_tokens")),
        completion=count(usage.get("output_tokens")),
        reasoning=count(of_output.get("reasoning_tokens")),
        cached=count(of_input.get("cached_tokens")),
        cache_write=count(of_input.get("cache_write_tokens")),
    )
