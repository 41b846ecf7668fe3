"""OpenAI's chat completions and legacy completions, also as other servers offer them.

Source: OpenAI's API reference. Novita, DeepSeek, vLLM, SGLang, llama.cpp, Groq and OpenRouter use other names for some
members; all of these names are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

from bench.records import TokensFrom
from bench.wire.answer import (
    UNREADABLE,
    Answer,
    ToolCall,
    Usage,
    followed,
    missing_part,
    parsed,
    timings_of,
    unreadable,
)
from bench.wire.ask import Ask
from bench.wire.errors import ErrorObject, error_in_body, find_error
from bench.wire.exchange import Read
from bench.wire.fields import as_text, count, numbers, word
from bench.wire.generated import (
    Pattern,
    Piece,
    Run,
    arrival_of,
    pattern_of,
    piece_of,
    plain_text,
    thoughts_end,
)
from bench.wire.sse import Decoder, Event, timed_events

DONE = b"[DONE]"
GIVEN_UP = frozenset({"error", "abort", "insufficient_system_resource"})
"""Finish reasons of OpenRouter, SGLang and DeepSeek that mean that the server gave up."""

_GROQ_TIMES = ("queue_time", "prompt_time", "completion_time", "total_time")  # inside usage, s
_EMPTY: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class OpenAI:
    """One of the two APIs: they differ in the path and in the name of the input."""

    name: str
    path: str
    input_name: str
    family: str = "llm"  # see wire.paths

    def body(self, ask: Ask) -> dict[str, Any]:
        """The request's JSON. A stream is asked to include its usage, because token counts come from it."""
        streaming = {"stream": True, "stream_options": {"include_usage": True}} if ask.stream else {}
        return (
            {"model": ask.model, self.input_name: ask.input} | streaming | dict(ask.parameters) | dict(ask.extra_body)
        )

    def read(self, reads: list[Read], *, stream: bool) -> Answer:
        """The answer that these reads hold."""
        reader = Reader()
        if stream and is_event_stream(reads):
            decoder = Decoder()
            reader.add_stream(reads, decoder)
            return reader.answer(
                missing=reader.missing_from_stream(decoder.rest), unterminated=reader.unterminated(decoder.rest)
            )
        if reads:
            reader.add_whole(b"".join(data for _, data in reads))
        return reader.answer(missing=reader.missing_from_whole())

    def reply(self, answer: Answer, results: Mapping[str, str]) -> list[dict[str, Any]]:
        """The messages that the next turn puts after an answer: its first choice, and the results of its tools."""
        if answer.message is None:
            return [{"role": "assistant", "content": answer.contents[0] if answer.contents else ""}]
        tools = [
            {"role": "tool", "tool_call_id": call.id, "content": results.get(call.name, "")}
            for call in answer.tool_calls
        ]
        return [answer.message, *tools]

    def token_times(self, reads: list[Read]) -> tuple[float | None, float | None]:
        """Arrival times of the first and the last token so far; None before the first."""
        events = list(timed_events(reads, Decoder()))
        first = next((at for at, _, event in events if has_output(event.data)), None)
        last = next((at for at, _, event in reversed(events) if has_output(event.data)), None)
        return first, last


def is_event_stream(reads: Iterable[Read]) -> bool:
    """Whether a body holds events. A server may answer a streaming request with one JSON object or an HTML page."""
    start = next((data.lstrip() for _, data in reads if data.strip()), b"")
    return not start.startswith((b"{", b"[", b"<"))


def has_output(data: bytes) -> bool:
    """Whether an event's data holds generated output of any kind."""
    try:
        return any(any(piece_of(choice)) for choice in parsed(data).get("choices") or ())
    except UNREADABLE:
        return False


class Reader:
    """Builds an answer from its chunks, in order."""

    def __init__(self) -> None:
        self._arrivals: list[tuple[float, int]] = []
        self._tokens = 0  # in those arrivals
        self._merged = 0
        self._contents: dict[int, list[tuple[float, str]]] = {}  # by choice; first_answer_at is found in them
        self._pattern: Pattern | None = None  # of this stream's plain chunks, once one has been seen
        self._pattern_texts: list[tuple[float, str]] = []  # the texts of the choice that the pattern belongs to
        self._last_texts: list[tuple[float, str]] = []  # the texts of the last choice
        self._last_plain: str | None = None  # the text of the last event, if the event held nothing else
        self._other_at: float | None = None  # first arrival of an answer other than content, such as a tool call
        self._other_chars = 0  # characters of everything other than content
        self._calls: list[tuple[int, list[str]]] = []  # choice; id, name and arguments so far
        self._open_calls: dict[tuple[int, int], list[str]] = {}  # the last of these calls, by choice and index
        self._finish: dict[int, str | None] = {}  # finish reason by choice
        self._done = False  # [DONE] came
        self._usage: dict[str, Any] = {}  # as last stated
        self._stated: int | None = None  # completion tokens so far, as the current chunk states them
        self._counting = False  # the server states them with every chunk
        self._model: str | None = None
        self._id: str | None = None
        self._server: dict[str, float] = {}
        self._error: str | None = None
        self._garbled: str | None = None

    def add_stream(self, reads: list[Read], decoder: Decoder) -> None:
        """Add all reads of a stream. Plain chunks that follow each other are read together, which is much faster."""
        index = 0
        while index < len(reads):
            plain = self._pattern if decoder.between and not self._done else None
            run = plain.run(reads, index) if plain is not None else Run(0, [], None)
            length = max(run.length, 1)
            if run.texts:
                self._add_plain(run.arrivals, run.texts, length)
            else:
                for at, data in reads[index : index + length]:
                    self.add_read(data, at, decoder)
            index += length

    def add_read(self, data: bytes, at: float, decoder: Decoder) -> None:
        """Add the events that one read completes, and learn the pattern of plain chunks."""
        begins = decoder.between and self._pattern is None
        events = decoder.feed(data)
        for place, event in enumerate(events, start=1):
            self.add_event(event, at, last=place == len(events))
        if begins and len(events) == 1 and decoder.between and self._last_plain is not None:
            self._pattern = pattern_of(data, self._last_plain)
            self._pattern_texts = self._last_texts

    def _add_plain(self, arrivals: list[float], texts: list[str], reads: int) -> None:
        """Add the texts of plain chunks that came in this number of reads."""
        self._pattern_texts += zip(arrivals, texts, strict=True)
        self._arrivals += zip(arrivals, repeat(1))
        self._tokens += len(texts)
        self._merged += len(texts) - reads

    def add_event(self, event: Event, at: float, *, last: bool) -> None:
        """Add one event of a stream."""
        self._last_plain = None
        data, name = event
        if data.startswith(DONE):  # as the official clients look for it
            self._done = True
        elif name == "error":
            self._fail(error_in_body(data))
        elif data and (generated := self._add(data, at)):
            if self._done:
                self._garbled = self._garbled or followed(data)
            tokens = generated if self._stated is None else self._new_tokens(generated, self._stated)
            self._arrivals.append((at, tokens))
            self._tokens += tokens
            self._merged += not last

    def add_whole(self, body: bytes) -> None:
        """Add an answer that does not stream. Some servers send blank lines first, to keep the connection alive."""
        self._add(body, 0.0)
        if not self._finish and self._error is None and self._garbled is None:
            self._garbled = unreadable(body, KeyError("choices"))

    def missing_from_stream(self, rest: bytes) -> str | None:
        """What the stream lacks, in words; None if it is complete. `rest` is what the decoder still holds."""
        missing = self.missing_from_whole() or (None if self._done else "its terminator, data: [DONE]")
        return missing_part(missing, rest)

    def unterminated(self, rest: bytes) -> bool:
        """Whether only the terminator, or the blank line after it, is missing: some servers never send it."""
        if self._done or rest.removeprefix(b"data:").strip() not in (b"", DONE):
            return False
        return self.missing_from_whole() is None and read_usage(self._usage).completion is not None

    def missing_from_whole(self) -> str | None:
        """What a whole answer lacks: it needs a choice, and every choice needs a finish reason. None if complete."""
        lacking = list(self._finish.values()).count(None)
        if lacking < len(self._finish):
            return f"the finish reason of {lacking} of its {len(self._finish)} choices" if lacking else None
        return "a finish reason"

    def answer(self, *, missing: str | None, unterminated: bool = False) -> Answer:
        usage, tokens_from = self._count()
        texts = ["".join([text for _, text in pieces]) for pieces in self._contents.values()]
        begins = [thoughts_end(text) for text in texts]  # of the answer in each text, after inline reasoning
        return Answer(
            arrivals=self._arrivals,
            first_token_at=self._arrivals[0][0] if self._arrivals else None,
            first_answer_at=self._first_answer_at(begins) if self._arrivals else None,
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
            tool_calls=tuple(ToolCall(*call) for _, call in self._calls),
            contents=tuple([text[begin:] for text, begin in zip(texts, begins, strict=True)]),
            message=self._message() if self._calls else None,
        )

    def _message(self) -> dict[str, Any]:
        """The first choice as a message of the next turn."""
        calls = [
            {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}
            for choice, (identifier, name, arguments) in self._calls
            if choice == 0
        ]
        text = "".join(text for _, text in self._contents.get(0, ()))
        return {"role": "assistant", "content": text or None, "tool_calls": calls}

    def _count(self) -> tuple[Usage, TokensFrom]:
        """Tokens as the server states them, or else one per content event. llama.cpp states the tokens of one of
        several choices only: fewer than there are events."""
        usage = read_usage(self._usage)
        of_one = len(self._finish) > 1 and usage.completion is not None and self._tokens > usage.completion
        if usage.completion is not None and not of_one:
            return usage, "usage"
        return (replace(usage, completion=self._tokens), "events") if self._arrivals else (usage, "none")

    def _first_answer_at(self, begins: list[int]) -> float | None:
        times = [self._other_at, *map(arrival_of, begins, self._contents.values())]
        return min((at for at in times if at is not None), default=None)

    def _new_tokens(self, generated: int, stated: int) -> int:
        """Tokens of a content event: the increase of the server's running count, or one per choice without a count.

        A count that first appears late belongs to the whole answer, so it is not credited to one event. With several
        choices some servers count one choice and others all of them, so the count is not used.
        """
        if not self._arrivals:
            self._counting = stated > 0
        return max(0, stated - self._tokens) if self._counting and len(self._finish) == 1 else generated

    def _add(self, data: bytes, at: float) -> int:
        """Read a chunk or a whole answer. Returns how many of its choices hold generated output."""
        try:
            return self._take(parsed(data), at)
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
        usage = chunk.get("usage")
        if "x_groq" in chunk:
            usage = self._take_groq(chunk["x_groq"] or _EMPTY) or usage
        if usage:
            self._take_usage(usage)
            self._last_plain = None
        if "timings" in chunk or "simulator" in chunk:
            self._server |= timings_of(chunk)
        return generated

    def _take_groq(self, groq: dict[str, Any]) -> Any:
        """Groq's own member of a chunk: why it ended the stream early, if it did. Returns the usage in it."""
        if groq.get("error"):
            self._fail(find_error(groq))
        return groq.get("usage")

    def _take_choice(self, choice: dict[str, Any], at: float) -> bool:
        index = choice.get("index") or 0
        if reason := choice.get("finish_reason"):
            self._finish[index] = reason  # if there are several the last one counts, as in the official clients
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
        """Join streamed tool calls: id and name come first, then the arguments in pieces.

        Some servers give all calls the same index, or none: then a new id with a name begins another call. Some repeat
        the name in every piece.
        """
        for position, fragment in enumerate(fragments):
            stated, function = fragment.get("index"), fragment.get("function") or _EMPTY
            identifier, name = word(fragment.get("id")) or "", function.get("name") or ""
            key = (choice, position if stated is None else stated)
            call = self._open_calls.get(key)
            if call is None or (name and identifier and call[0] not in ("", identifier)):
                call = self._open_calls[key] = ["", "", ""]
                self._calls.append((choice, call))
            call[0] = call[0] or identifier
            call[1] += "" if name == call[1] else name
            call[2] += as_text(function.get("arguments") or "")

    def _take_usage(self, usage: dict[str, Any]) -> None:
        """Take the usage. Some servers state it once, some with every chunk; the last one counts."""
        self._usage, self._stated = usage, count(usage.get("completion_tokens"))
        self._server |= numbers({key: usage[key] for key in _GROQ_TIMES if key in usage})

    def _fail(self, error: ErrorObject | None) -> None:
        if error is not None and self._error is None:
            self._error = str(error) or "the server gives no reason"


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Token counts under any server's names. The prompt tokens already include the cached ones."""
    prompt_details, completion_details = _details(usage, "prompt"), _details(usage, "completion")
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


def _details(usage: Mapping[str, Any], part: str) -> dict[str, Any]:
    """What the prompt's or the completion's tokens are; empty if the server does not say it."""
    details = usage.get(f"{part}_tokens_details")
    return details if isinstance(details, dict) else {}


def _first(*spellings: object) -> int | None:
    """The first value that is a count; None if there is none. Servers omit a count or set it to null."""
    for value in spellings:
        if (known := count(value)) is not None:
            return known
    return None
