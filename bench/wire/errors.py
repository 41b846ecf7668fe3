"""Error objects in all the shapes that servers give them, read into one value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

LONGEST = 300  # characters of a message that are kept


@dataclass(frozen=True, slots=True)
class ErrorObject:
    """An error as a server puts it."""

    code: str  # number or word, as given; empty where there is none
    kind: str  # type or reason, as given; empty where there is none
    message: str

    def __str__(self) -> str:
        label = " ".join(dict.fromkeys(word for word in (self.code, self.kind) if word))
        return f"{label}: {self.message}" if label and self.message else label or self.message


def find_error(value: Any) -> ErrorObject | None:
    """The error object that a JSON value is or holds; None for an answer.

    OpenAI, vLLM, OpenRouter, Groq {"error": {…}} · Anthropic {"type": "error", "error": {…}} · Novita
    {"code", "reason", "message"} · SGLang {"object": "error", …} · FastAPI {"detail": …} · RFC 9457 problem+json.
    """
    if not isinstance(value, dict):
        return None
    if inner := value.get("error"):
        return _from_fields(inner) if isinstance(inner, dict) else ErrorObject("", "", _short(inner))
    if value.get("object") == "error" or value.get("type") == "error" or ("reason" in value and "choices" not in value):
        return _from_fields(value)
    if "detail" in value and "choices" not in value:
        detail, title = value["detail"], value.get("title", "")
        return ErrorObject(_word(value.get("status")), _word(title), _short(detail))
    return None


def error_in_body(body: bytes) -> ErrorObject:
    """Whatever an error answer's body says: an error object, or its first line of text."""
    try:
        found = find_error(orjson.loads(body))
    except orjson.JSONDecodeError:
        found = None
    if found is not None:
        return found
    text = re.sub(r"<[^>]*>", " ", body.decode(errors="replace"))
    return ErrorObject("", "", _short(" ".join(text.split())))


def _from_fields(fields: dict[str, Any]) -> ErrorObject:
    kind = fields.get("reason") or fields.get("type") or ""
    message = fields.get("message") or fields.get("detail") or ""
    return ErrorObject(_word(fields.get("code")), _word(kind), _short(message))


def _word(value: object) -> str:
    return "" if value is None else str(value)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
