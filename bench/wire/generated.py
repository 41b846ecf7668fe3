"""Finds the generated output in OpenAI-style choices: content, reasoning under its many names, tool calls, sound."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from bench.wire.exchange import Read
from bench.wire.fields import as_text

_STRINGS = msgspec.json.Decoder(list[str])


class Piece(NamedTuple):
    """The generated output of one delta, message or text. `any(piece)` says whether there is any."""

    content: str  # may hold reasoning too, inside <think> tags
    reasoning: str = ""
    other: str = ""  # refusal, tool calls, transcript
    audio: bool = False  # whether it holds sound


class Run(NamedTuple):
    """Reads that begin and end like plain chunks and follow each other."""

    length: int  # number of reads
    arrivals: list[float]  # of each chunk; empty if there is anything else than plain chunks in them
    texts: list[str] | None  # of each chunk; None in that case


class Pattern(NamedTuple):
    """The bytes before and after the text in a stream's plain chunks, which differ only in their text.

    The same bytes around a valid JSON string mean the same JSON, so only the text of each chunk has to be parsed.
    """

    before: bytes  # from the read's first byte to the quote that opens the text
    after: bytes  # from the quote that closes it to the read's last byte

    def run(self, reads: list[Read], begin: int) -> Run:
        """The texts of the reads from index `begin` on that begin and end like plain chunks, up to the first read that
        does not. A read may hold several chunks."""
        before, after = self
        start, end, between = len(before), -len(after), after + before
        arrivals: list[float] = []
        pieces: list[bytes] = []
        length = 0
        for at, data in islice(reads, begin, None):
            if not (data.startswith(before) and data.endswith(after)):
                break
            length += 1
            piece = data[start:end]
            if len(piece) < len(between):
                arrivals.append(at)
                pieces.append(piece)
            else:
                several = piece.split(between)
                arrivals += [at] * len(several)
                pieces += several
        texts = strings_of(pieces)
        if texts is None or "" in texts:
            return Run(length, [], None)
        return Run(length, arrivals, texts)


def strings_of(pieces: list[bytes]) -> list[str] | None:
    """JSON strings that come without their quotes, all parsed at once; None if one of them is not a string.

    No piece ends in half an escape, so the quotes that are added here are real quotes. Then there are as many strings
    as pieces only if no piece has an unescaped quote inside.
    """
    array = b'["%s"]' % b'","'.join(pieces)
    if b'\\"' in array and any((len(piece) - len(piece.rstrip(b"\\"))) % 2 for piece in pieces):
        return None
    try:
        strings = _STRINGS.decode(array)
    except ValueError:
        return None
    return strings if len(strings) == len(pieces) else None


def pattern_of(data: bytes, text: str) -> Pattern | None:
    """The pattern of a read that holds one event with this text as its only content; None for any other read."""
    key, content = data.find(b'"content":'), text.encode()
    begin = data.find(b'"', key + 10) + 1
    end = begin + len(content)
    plain = data[begin:end] == content and data[end : end + 1] == b'"' and not data[key + 10 : begin - 1].strip()
    if key < 0 or not plain or data.count(b'"content"') != 1 or data.count(b"\n") != 2 or not data.endswith(b"\n\n"):
        return None
    return Pattern(data[:begin], data[end:])


_RARE = frozenset({"refusal", "tool_calls", "function_call", "audio"})


def plain_text(choice: Mapping[str, Any]) -> str | None:
    """The text of a delta that holds only text, as nearly all do; None for any other delta, see `piece_of`."""
    delta = choice.get("delta")
    if delta and len(delta) == 1 and isinstance(text := delta.get("content"), str):
        return text
    return None


def piece_of(choice: Mapping[str, Any]) -> Piece:
    """The generated output of a choice. Roles, ids and empty strings do not count as output."""
    part = choice.get("delta")
    if part is None:
        part = choice.get("message") or choice
    content = _text(part.get("content")) or _text(part.get("text"))
    if _RARE.isdisjoint(part):
        return Piece(content, _reasoning(part))
    sound = bool((part.get("audio") or {}).get("data"))
    return Piece(content, _reasoning(part), _other(part), sound)


def arrival_of(position: int, texts: list[tuple[float, str]]) -> float | None:
    """When the character at this position of the joined texts arrived; None if they end before."""
    end = 0
    for at, piece in texts:
        end += len(piece)
        if end > position:
            return at
    return None


def thoughts_end(text: str) -> int:
    """Where inline reasoning ends: 0 if there is none, the text's length if there is nothing else.

    If the server does not remove the tags, reasoning ends with </think>. Some chat templates put the opening tag into
    the prompt, so that the text has only the closing one.
    """
    thoughts, closing, answer = text.partition("</think>")
    if text.lstrip().startswith("<think>") or (closing and "<think>" not in thoughts):
        return len(text) - len(answer.lstrip())
    return 0


def _reasoning(part: Mapping[str, Any]) -> str:
    """Reasoning under any of its names; a text that comes under two names counts once."""
    if text := _text(part.get("reasoning_content")) or _text(part.get("reasoning")):
        return text
    if details := part.get("reasoning_details"):
        return "".join(detail.get("text") or detail.get("summary") or "" for detail in details)
    parts = part.get("content")  # Mistral: {"type": "thinking", "thinking": [{"type": "text", "text": …}]}
    return "".join(_text(one.get("thinking")) for one in parts) if isinstance(parts, list) else ""


def _other(part: Mapping[str, Any]) -> str:
    calls = [call.get("function") for call in part.get("tool_calls") or ()] + [part.get("function_call")]
    texts = [part.get("refusal"), (part.get("audio") or {}).get("transcript")]
    for call in filter(None, calls):
        texts += [call.get("name"), as_text(call.get("arguments") or "")]
    return "".join(text for text in texts if text)


def _text(value: Any) -> str:
    """Text given as a string or as a list of parts."""
    if isinstance(value, str):
        return value
    return "".join(part.get("text") or "" for part in value) if value else ""
