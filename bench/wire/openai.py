"""OpenAI's chat and legacy completions, and every server that speaks like them.

Shapes: OpenAI's API reference. Where Novita, DeepSeek, vLLM, SGLang, llama.cpp, Groq and OpenRouter spell things
otherwise, all spellings are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from bench.records import TokensFrom
from bench.wire.answer import UNREADABLE, Answer, ToolCall, Usage, broken_off, timings_of, unreadable
from bench.wire.ask import Ask
from bench.wire.errors import ErrorObject, error_in_body, find_error
from bench.wire.exchange import Read
from bench.wire.fields import count, numbers, word
from bench.wire.generated import (
    Pattern,
    Piece,
    answer_starts_at,
    pattern_of,
    piece_of,
    plain_text,
    without_thoughts,
)
from bench.wire.sse import Decoder, Event, timed_events

DONE = b"[DONE]"
GIVEN_UP = frozenset({"error", "abort", "insufficient_system_resource"})
"""Finish reasons by which OpenRouter, SGLang and DeepSeek say that the server broke off."""

_GROQ_TIMES = ("queue_time", "prompt_time", "completion_time", "total_time")  # inside usage, s
_EMPTY: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class OpenAI:
    """One of the two APIs: they differ in path and in what they call the input."""

    name: str
    path: str
    input_name: str
    family: str = "llm"  # see wire.paths

    def body(self, ask: Ask) -> dict[str, Any]:
        """The request's JSON. Streams are asked for their usage: token counts are made of it."""
        streaming = {"stream": True, "stream_options": {"include_usage": True}} if ask.stream else {}
        return (
            {"model": ask.model, self.input_name: ask.input} | streaming | dict(ask.parameters) | dict(ask.extra_body)
        )

    def read(self, reads: list[Read], *, stream: bool) -> Answer:
        """What the reads of one exchange say."""
        reading = Reading()
        if stream and is_event_stream(reads):
            decoder = Decoder()
            reading.add_stream(reads, decoder)
            return reading.answer(
                missing=reading.missing_from_stream(decoder.rest), unterminated=reading.unterminated(decoder.rest)
            )
        if reads:
            reading.add_whole(b"".join(data for _, data in reads))
        return reading.answer(missing=reading.missing_from_whole())

    def reply(self, answer: Answer, results: Mapping[str, str]) -> list[dict[str, Any]]:
        """An answer as the next turn says it again: the first choice, and what the tools returned that it called."""
        if answer.message is None:
            return [{"role": "assistant", "content": answer.contents[0] if answer.contents else ""}]
        tools = [
            {"role": "tool", "tool_call_id": call.id, "content": results.get(call.name, "")}
            for call in answer.tool_calls
        ]
        return [answer.message, *tools]

    def token_times(self, reads: list[Read]) -> tuple[float | None, float | None]:
        """Arrivals of the first and the last token so far."""
        events = list(timed_events(reads, Decoder()))
        first = next((at for at, _, event in events if bears_token(event.data)), None)
        last = next((at for at, _, event in reversed(events) if bears_token(event.data)), None)
        return first, last


def is_event_stream(reads: Iterable[Read]) -> bool:
    """Whether a body holds events; a server asked to stream may answer with one JSON object or a page all the same."""
    start = next((data.lstrip() for _, data in reads if data.strip()), b"")
    return not start.startswith((b"{", b"[", b"<"))


def bears_token(data: bytes) -> bool:
    """Whether an event's data holds generated output of any kind."""
    try:
        return any(any(piece_of(choice)) for choice in orjson.loads(data).get("choices") or ())
    except UNREADABLE:
        return False


class Reading:
    """Puts an answer together from its chunks, first to last."""

    def __init__(self) -> None:
        self._arrivals: list[tuple[float, int]] = []
        self._tokens = 0  # in those arrivals
        self._merged = 0
        self._contents: dict[int, list[tuple[float, str]]] = {}  # by choice; where first_answer_at is looked for
        self._pattern: Pattern | None = None  # of this stream's plain chunks, once one has been seen
        self._pattern_texts: list[tuple[float, str]] = []  # of their choice
        self._last_texts: list[tuple[float, str]] = []  # of the choice just taken
        self._last_plain: str | None = None  # the text of the event just taken, where it held that and nothing else
        self._other_at: float | None = None  # first arrival of an answer that is not content: a tool call, say
        self._other_chars = 0  # of anything but content
        self._calls: dict[tuple[int, int], list[str]] = {}  # id, name and arguments so far, by choice and place
        self._finish: dict[int, str | None] = {}  # by choice
        self._done = False
        self._usage: dict[str, Any] = {}  # as last stated
        self._stated: int | None = None  # completion tokens so far, as the chunk at hand states them
        self._counting = False  # the server states them with every chunk
        self._model: str | None = None
        self._id: str | None = None
        self._server: dict[str, float] = {}
        self._error: str | None = None
        self._garbled: str | None = None

    def add_stream(self, reads: list[Read], decoder: Decoder) -> None:
        """All reads of a stream: those of plain chunks are taken together, as many as follow each other."""
        place = 0
        while place < len(reads):
            plain = self._pattern.run(reads, place) if self._pattern is not None and decoder.between else []
            if plain:
                self._add_plain(plain, decoder)
            else:
                at, data = reads[place]
                self.add_read(data, at, decoder)
            place += len(plain) or 1

    def add_read(self, data: bytes, at: float, decoder: Decoder) -> None:
        """The events that one read completes; learns the pattern of plain ones."""
        begins = decoder.between and self._pattern is None
        events = list(timed_events([(at, data)], decoder))
        for _, last, event in events:
            self.add_event(event, at, last=last)
        if begins and len(events) == 1 and decoder.between and self._last_plain is not None:
            self._pattern = pattern_of(data, self._last_plain)
            self._pattern_texts = self._last_texts

    def _add_plain(self, reads: list[Read], decoder: Decoder) -> None:
        """Reads that begin and end as plain chunks do."""
        assert self._pattern is not None
        texts = self._pattern.texts(reads)
        if texts is None:  # something else stands between
            for at, data in reads:
                self.add_read(data, at, decoder)
            return
        self._pattern_texts += texts
        self._arrivals += [(at, 1) for at, _ in texts]
        self._tokens += len(texts)
        self._merged += len(texts) - len(reads)

    def add_event(self, event: Event, at: float, *, last: bool) -> None:
        """One event of a stream."""
        self._last_plain = None
        data, name = event
        if data == DONE:
            self._done = True
        elif name == "error":
            self._fail(error_in_body(data))
        elif data and (generated := self._add(data, at)):
            tokens = generated if self._stated is None else self._new_tokens(generated, self._stated)
            self._arrivals.append((at, tokens))
            self._tokens += tokens
            self._merged += not last

    def add_whole(self, body: bytes) -> None:
        """A body that does not stream; some servers send blank lines first, to keep the connection alive."""
        self._add(body, 0.0)

    def missing_from_stream(self, rest: bytes) -> str | None:
        """What the stream lacks, its undispatched rest being known."""
        missing = self.missing_from_whole() or (None if self._done else "its terminator, data: [DONE]")
        return broken_off(missing, rest)

    def unterminated(self, rest: bytes) -> bool:
        """Whether the stream lacks its terminator alone, as some servers' always do, or that one's blank line."""
        if self._done or rest.removeprefix(b"data:").strip() not in (b"", DONE):
            return False
        return self.missing_from_whole() is None and read_usage(self._usage).completion is not None

    def missing_from_whole(self) -> str | None:
        """An answer needs a choice, and every choice a finish reason."""
        return "a finish reason" if not self._finish or None in self._finish.values() else None

    def answer(self, *, missing: str | None, unterminated: bool = False) -> Answer:
        usage, tokens_from = self._count()
        texts = ["".join([text for _, text in pieces]) for pieces in self._contents.values()]
        return Answer(
            arrivals=self._arrivals,
            first_token_at=self._arrivals[0][0] if self._arrivals else None,
            first_answer_at=self._first_answer_at() if self._arrivals else None,
            merged=self._merged,
            usage=usage,
            tokens_from=tokens_from,
            output_chars=self._other_chars + sum(map(len, texts)),
            empty=not self._contents and not self._other_chars and self._other_at is None,
            finish_reason=self._finish.get(0),
            response_model=self._model,
            response_id=self._id,
            error=self._error,
            garbled=self._garbled,
            missing=missing,
            unterminated=unterminated,
            server=self._server,
            tool_calls=tuple(ToolCall(*call) for call in self._calls.values()),
            contents=tuple(map(without_thoughts, texts)),
            message=self._message() if self._calls else None,
        )

    def _message(self) -> dict[str, Any]:
        """The first choice as a message of the next turn."""
        calls = [
            {"id": one[0], "type": "function", "function": {"name": one[1], "arguments": one[2]}}
            for (choice, _), one in self._calls.items()
            if choice == 0
        ]
        text = "".join(text for _, text in self._contents.get(0, ()))
        return {"role": "assistant", "content": text or None, "tool_calls": calls}

    def _count(self) -> tuple[Usage, TokensFrom]:
        """Tokens as the server states them, else one a content event."""
        usage = read_usage(self._usage)
        if usage.completion is not None:
            return usage, "usage"
        return (replace(usage, completion=self._tokens), "events") if self._arrivals else (usage, "none")

    def _first_answer_at(self) -> float | None:
        times = [self._other_at, *(answer_starts_at(texts) for texts in self._contents.values())]
        return min((at for at in times if at is not None), default=None)

    def _new_tokens(self, generated: int, stated: int) -> int:
        """Tokens of a content event by the server's running count, where it keeps one; else one a choice.

        A count that first comes late is the whole answer's, and no reason to credit one event with all of it. With
        several choices the count is one choice's on some servers and all choices' on others, so it is left alone.
        """
        if not self._arrivals:
            self._counting = stated > 0
        return max(0, stated - self._tokens) if self._counting and len(self._finish) == 1 else generated

    def _add(self, data: bytes, at: float) -> int:
        """Take in a chunk or a whole answer; returns in how many of its choices something was generated."""
        try:
            return self._take(orjson.loads(data), at)
        except UNREADABLE as error:
            self._garbled = self._garbled or unreadable(data, error)
        return 0

    def _take(self, chunk: dict[str, Any], at: float) -> int:
        choices = chunk.get("choices")
        if not choices or "error" in chunk:
            self._fail(find_error(chunk))
        generated = 0
        for choice in choices or ():
            generated += self._take_choice(choice, at)
        if self._id is None:
            self._model, self._id = chunk.get("model"), chunk.get("id")
        self._stated = None
        if usage := chunk.get("usage") or (chunk.get("x_groq") or _EMPTY).get("usage"):
            self._take_usage(usage)
            self._last_plain = None
        if "timings" in chunk or "simulator" in chunk:
            self._server |= timings_of(chunk)
        return generated

    def _take_choice(self, choice: dict[str, Any], at: float) -> bool:
        index = choice.get("index") or 0
        if reason := choice.get("finish_reason"):
            self._finish[index] = reason  # where several are stated the last one counts, as official clients have it
            if isinstance(reason, str) and reason in GIVEN_UP:
                self._fail(ErrorObject("", "", f"the server broke off with finish_reason {reason}"))
        elif index not in self._finish:
            self._finish[index] = None
        if (text := plain_text(choice)) is None:
            self._take_calls((choice.get("delta") or choice.get("message") or _EMPTY).get("tool_calls") or (), index)
            return self._take_piece(piece_of(choice), index, at)
        if text:
            self._last_texts = self._contents.setdefault(index, [])
            self._last_texts.append((at, text))
            self._last_plain = None if reason else text
        return bool(text)

    def _take_piece(self, piece: Piece, index: int, at: float) -> bool:
        if piece.content:
            self._contents.setdefault(index, []).append((at, piece.content))
        if (piece.other or piece.audio) and self._other_at is None:
            self._other_at = at
        self._other_chars += len(piece.reasoning) + len(piece.other)
        return any(piece)

    def _take_calls(self, fragments: Iterable[dict[str, Any]], choice: int) -> None:
        """Put streamed tool calls together: id and name come first, then the arguments in pieces."""
        for place, fragment in enumerate(fragments):
            stated = fragment.get("index")
            call = self._calls.setdefault((choice, place if stated is None else stated), ["", "", ""])
            function = fragment.get("function") or _EMPTY
            call[0] = call[0] or word(fragment.get("id")) or ""
            call[1] += function.get("name") or ""
            call[2] += function.get("arguments") or ""

    def _take_usage(self, usage: dict[str, Any]) -> None:
        """Some servers state it once, some with every chunk, and then the last one counts."""
        self._usage, self._stated = usage, count(usage.get("completion_tokens"))
        self._server |= numbers({key: usage[key] for key in _GROQ_TIMES if key in usage})

    def _fail(self, error: ErrorObject | None) -> None:
        if error is not None and self._error is None:
            self._error = str(error)


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Token counts in any server's spelling. Cached tokens are already inside the prompt's here."""
    prompt_details, completion_details = (
        details if isinstance(details := usage.get(f"{part}_tokens_details"), dict) else {}
        for part in ("prompt", "completion")
    )
    return Usage(
        prompt=count(usage.get("prompt_tokens")),
        completion=count(usage.get("completion_tokens")),
        reasoning=_first(completion_details.get("reasoning_tokens"), usage.get("reasoning_tokens")),
        cached=_first(
            prompt_details.get("cached_tokens"),
            usage.get("prompt_cache_hit_tokens"),
            usage.get("cached_tokens"),
            usage.get("cache_read_input_tokens"),
        ),
        cache_write=_first(
            prompt_details.get("cache_write_tokens"),
            prompt_details.get("cache_creation_tokens"),
            prompt_details.get("created_cache_tokens"),
            prompt_details.get("cache_creation_input_tokens"),
            usage.get("created_cache_tokens"),
            usage.get("cache_creation_input_tokens"),
            usage.get("cache_creation_tokens"),
        ),
    )


def _first(*spellings: object) -> int | None:
    """The first that is a count; servers leave out, or set to null, what they do not count."""
    return next((known for value in spellings if (known := count(value)) is not None), None)
