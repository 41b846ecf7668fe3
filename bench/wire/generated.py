"""What is generated text in OpenAI-style choices: content, reasoning under its many names, tool calls, sound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Piece(NamedTuple):
    """What one delta, message or text of a choice holds; `any(piece)` says whether anything was generated."""

    content: str  # may hold reasoning too, inside <think> tags
    reasoning: str = ""
    other: str = ""  # refusal, tool calls, transcript
    audio: bool = False  # has sound in it


_RARE = frozenset({"refusal", "tool_calls", "function_call", "audio"})


def plain_text(choice: Mapping[str, Any]) -> str | None:
    """The text of a delta that holds nothing else, as nearly all do; None for any other, see `piece_of`."""
    delta = choice.get("delta")
    if delta and len(delta) == 1 and isinstance(text := delta.get("content"), str):
        return text
    return None


def piece_of(choice: Mapping[str, Any]) -> Piece:
    """The generated parts of a choice. Roles, ids and empty strings are not generated."""
    part = choice.get("delta")
    if part is None:
        part = choice.get("message") or choice
    content = _text(part.get("content")) or _text(part.get("text"))
    if _RARE.isdisjoint(part):
        return Piece(content, _reasoning(part))
    sound = bool((part.get("audio") or {}).get("data"))
    return Piece(content, _reasoning(part), _other(part), sound)


def answer_starts_at(texts: list[tuple[float, str]]) -> float | None:
    """When the first content came that is no inline reasoning; None where none did.

    Where no parser of the server took the tags out, reasoning ends with </think>. Some chat templates put the opening
    tag into the prompt, so that the text has the closing one alone.
    """
    text = "".join(piece for _, piece in texts)
    thoughts, closing, answer = text.partition("</think>")
    start = 0
    if text.lstrip().startswith("<think>") or (closing and "<think>" not in thoughts):
        start = len(text) - len(answer.lstrip())
    end = 0
    for at, piece in texts:
        end += len(piece)
        if end > start:
            return at
    return None


def _reasoning(part: Mapping[str, Any]) -> str:
    """Reasoning under any of its names; where two carry the same text it counts once."""
    if text := _text(part.get("reasoning_content")) or _text(part.get("reasoning")):
        return text
    details = part.get("reasoning_details") or ()
    return "".join(detail.get("text") or detail.get("summary") or "" for detail in details)


def _other(part: Mapping[str, Any]) -> str:
    calls = [call.get("function") for call in part.get("tool_calls") or ()] + [part.get("function_call")]
    texts = [part.get("refusal"), (part.get("audio") or {}).get("transcript")]
    texts += [call.get(key) for call in calls if call for key in ("name", "arguments")]
    return "".join(text for text in texts if text)


def _text(value: Any) -> str:
    """Text given as a string or as a list of parts."""
    if isinstance(value, str):
        return value
    return "".join(part.get("text") or "" for part in value) if value else ""
