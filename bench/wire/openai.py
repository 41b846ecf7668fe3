"""OpenAI's chat and legacy completions, and every server that speaks like them.

Shapes: OpenAI's API reference. Where Novita, DeepSeek, vLLM, SGLang, llama.cpp, Groq and OpenRouter spell things
otherwise, all spellings are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bench.records import TokensFrom
from bench.wire.answer import Answer, Usage
from bench.wire.errors import find_error
from bench.wire.exchange import Read
from bench.wire.sse import Decoder, timed_events

DONE = b"[DONE]"
_SERVER_TIMES = ("queue_time", "prompt_time", "completion_time", "total_time")  # Groq, inside usage, s


@dataclass(frozen=True, slots=True)
class OpenAI:
    """One of the two APIs: they differ in path and in what they call the input."""

    name: str
    path: str
    input_name: str
    family: str = "llm"  # see wire.paths

    def body(
        self,
        *,
        model: str,
        stream: bool,
        input: Any,  # noqa: A002 - the APIs' own word
        parameters: Mapping[str, Any],
        extra_body: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The request's JSON. Streams are asked for their usage: token counts are made of it."""
        streaming = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        return {"model": model, self.input_name: input} | streaming | dict(parameters) | dict(extra_body)

    def read(self, reads: list[Read], *, stream: bool) -> Answer:
        """What the reads of one exchange say."""
        reading = Reading()
        if stream and looks_like_events(reads):
            for at, last, event in timed_events(reads, Decoder()):
                if event.data == DONE:
                    reading.terminated = True
                else:
                    reading.add_chunk(event.data, at, last=last)
        elif reads:
            reading.add_whole(b"".join(data for _, data in reads))
        return reading.answer()

    def token_times(self, reads: list[Read]) -> tuple[float | None, float | None]:
        """Arrivals of the first and the last token so far."""
        arrivals = self.read(reads, stream=True).arrivals
        return (arrivals[0][0], arrivals[-1][0]) if arrivals else (None, None)


def looks_like_events(reads: Iterable[Read]) -> bool:
    """Whether a body is an event stream; a server asked to stream may answer with one JSON object all the same."""
    start = next((data.lstrip() for _, data in reads if data.strip()), b"")
    return not start.startswith((b"{", b"[", b"<"))


class Reading:
    """Puts an answer together from its chunks, first to last."""

    def __init__(self) -> None:
        self.terminated = False
        self._arrivals: list[tuple[float, int]] = []
        self._tokens = 0  # in those arrivals
        self._first_answer_at: float | None = None
        self._merged = 0
        self._chars = 0
        self._thinking = False  # inside an inline <think>
        self._usage: dict[str, Any] = {}
        self._finish: dict[int, str | None] = {}
        self._error: str | None = None
        self._garbled: str | None = None
        self._model: str | None = None
        self._id: str | None = None
        self._server: dict[str, float] = {}

    def add_chunk(self, data: bytes, at: float, *, last: bool) -> None:
        """One event of a stream."""
        if (chunk := self._parse(data)) is None:
            return
        generated = answered = 0
        for choice in chunk.get("choices") or ():
            reasoning, text = self._texts(choice)
            generated += len(reasoning) + len(text)
            answered += len(text)
        before = self._usage.get("completion_tokens") or 0
        self._note(chunk)
        if not generated:
            return
        # A server that states its usage with every chunk says how many tokens each holds; others count as one.
        counted = (self._usage.get("completion_tokens") or 0) - before
        tokens = counted if counted > 0 and before == self._tokens else 1
        self._arrivals.append((at, tokens))
        self._tokens += tokens
        self._merged += not last
        self._chars += generated
        if answered and self._first_answer_at is None:
            self._first_answer_at = at

    def add_whole(self, body: bytes) -> None:
        """A body that does not stream; some servers send blank lines first, to keep the connection alive."""
        self.terminated = True
        if (chunk := self._parse(body)) is None:
            return
        self._chars = sum(len(text) for choice in chunk.get("choices") or () for text in self._texts(choice))
        self._note(chunk)

    def answer(self) -> Answer:
        usage = read_usage(self._usage)
        tokens_from: TokensFrom = "none" if usage.completion is None else "usage"
        if tokens_from == "none" and self._arrivals:
            tokens_from, usage = "events", Usage(completion=self._tokens)
        return Answer(
            arrivals=self._arrivals,
            first_token_at=self._arrivals[0][0] if self._arrivals else None,
            first_answer_at=self._first_answer_at,
            merged=self._merged,
            usage=usage,
            tokens_from=tokens_from,
            output_chars=self._chars,
            finish_reason=None if None in self._finish.values() else self._finish.get(min(self._finish, default=0)),
            response_model=self._model,
            response_id=self._id,
            error=self._error,
            garbled=self._garbled,
            terminated=self.terminated,
            server=self._server,
        )

    def _parse(self, data: bytes) -> dict[str, Any] | None:
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            self._garbled = self._garbled or f"not JSON: {data[:80]!r}: {error}"
            return None
        if (found := find_error(chunk)) is not None:
            self._error = self._error or str(found)
        if not isinstance(chunk, dict):
            self._garbled = self._garbled or f"not a JSON object: {data[:80]!r}"
            return None
        return chunk

    def _texts(self, choice: dict[str, Any]) -> tuple[str, str]:
        """Reasoning and answer in a choice's delta, message or text; notes its finish reason."""
        index = choice.get("index") or 0
        self._finish[index] = choice.get("finish_reason") or self._finish.get(index)
        part = choice.get("delta") or choice.get("message") or choice
        reasoning = reasoning_of(part)
        inline, content = self._split_thinking(part.get("content") or part.get("text") or "")
        return reasoning or inline, content + other_text(part)

    def _split_thinking(self, content: str) -> tuple[str, str]:
        """Inline reasoning and answer, where no parser of the server took the tags out."""
        if not self._thinking and not self._chars and content.lstrip().startswith("<think>"):
            self._thinking = True
        if not self._thinking:
            return "", content
        inline, tag, rest = content.partition("</think>")
        self._thinking = not tag
        return inline + tag, rest.lstrip()

    def _note(self, chunk: dict[str, Any]) -> None:
        """The facts beside the text; the last usage counts, since some servers state it again and again."""
        if (usage := chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage")) is not None:
            self._usage = usage
            self._server |= {key: usage[key] for key in _SERVER_TIMES if key in usage}
        for timings in (chunk.get("timings"), chunk.get("simulator")):
            if timings:
                self._server |= {key: value for key, value in timings.items() if isinstance(value, int | float)}
        self._model = chunk.get("model") or self._model
        self._id = chunk.get("id") or self._id


def reasoning_of(part: Mapping[str, Any]) -> str:
    """The reasoning in a delta or message; where two spellings carry the same text it counts once."""
    if text := part.get("reasoning_content") or part.get("reasoning"):
        return text if isinstance(text, str) else str(text)
    return "".join(detail.get("text") or "" for detail in part.get("reasoning_details") or ())


def other_text(part: Mapping[str, Any]) -> str:
    """What a model generates besides text: a refusal, tool calls, audio."""
    calls = [call.get("function") or {} for call in part.get("tool_calls") or ()]
    calls += [part["function_call"]] if part.get("function_call") else []
    audio = part.get("audio") or {}
    pieces = [part.get("refusal"), audio.get("transcript"), audio.get("data")]
    pieces += [text for call in calls for text in (call.get("name"), call.get("arguments"))]
    return "".join(piece for piece in pieces if piece)


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Token counts in any server's spelling. Cached tokens are already inside the prompt's here."""
    prompt_details = usage.get("prompt_tokens_details") or {}
    completion_details = usage.get("completion_tokens_details") or {}
    return Usage(
        prompt=usage.get("prompt_tokens"),
        completion=usage.get("completion_tokens"),
        reasoning=_first(completion_details.get("reasoning_tokens"), usage.get("reasoning_tokens")),
        cached=_first(
            prompt_details.get("cached_tokens"), usage.get("prompt_cache_hit_tokens"), usage.get("cached_tokens")
        ),
        cache_write=prompt_details.get("cache_write_tokens"),
    )


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
