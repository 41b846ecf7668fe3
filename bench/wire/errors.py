"""Error objects: every shape that servers use becomes one value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from bench.wire.fields import as_text

LONGEST = 300  # characters of a message that are kept
LONGEST_PAGE = 65_536  # characters of a page in which its title or first line is looked for

_MESSAGES = ("message", "msg", "Message", "error_msg", "errorMessage", "faultstring")
"""Names of the message: most servers, envelopes, AWS, Baidu, AWS Lambda, Apigee."""

# [^<>] instead of [^>]: with [^>] a page of only < would take quadratic time.
_TAG = re.compile(r"<[^<>]*>")
_TITLE = re.compile(r"<title[^<>]*>", re.IGNORECASE)
_TITLE_END = re.compile(r"</title", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ErrorObject:
    """An error as the server states it. An empty text means that the server states none."""

    code: str  # number or word
    kind: str  # type or reason
    message: str  # one line

    def __str__(self) -> str:
        label = " ".join(dict.fromkeys(word for word in (self.code, self.kind) if word))
        return f"{label}: {self.message}" if label and self.message else label or self.message


def find_error(value: Any) -> ErrorObject | None:
    """The error object that a JSON value is or contains; None if the value is an answer.

    OpenAI, vLLM, OpenRouter, Groq {"error": {…}} · Anthropic {"type": "error", "error": {…}} · Novita
    {"code", "reason", "message"} · SGLang {"object": "error", …} · FastAPI {"detail": …} · RFC 9457 problem+json ·
    Cloudflare {"success": false, "errors": [{…}]} · Apigee {"fault": {"faultstring": …}} · {"status": "error", …}.
    """
    if not isinstance(value, dict):
        return None
    if inner := _first(value.get("error") or value.get("fault")):
        if isinstance(inner, dict):
            return _from_fields(inner)
        return _from_fields(value | {"title" if value.get("message") else "message": inner})
    if "error" in (value.get("object"), value.get("type")):
        return _from_fields(value)
    if value.get("choices") is not None:
        return None
    if isinstance(errors := value.get("errors"), list) and isinstance(first := _first(errors), dict):
        return _from_fields(first)
    if value.get("reason") or value.get("detail") or _is_flat(value) or _says_failed(value):
        return _from_fields(value)
    return None


def error_in_body(body: bytes) -> ErrorObject:
    """The error in the body of a failed request: its error object, or else its first line of text."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ErrorObject("", "", _line(_first_line(body[:LONGEST_PAGE].decode(errors="replace"))))
    if isinstance(value, list) and len(value) == 1:  # Google's API for clients of OpenAI
        value = value[0]
    if (found := find_error(value)) is not None:
        return found
    if isinstance(value, dict) and any(value.get(name) for name in _MESSAGES):
        return _from_fields(value)
    return ErrorObject("", "", _line(value))


def _first(value: Any) -> Any:
    """The first of a list of error objects; any other value as it is."""
    return value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else value


def _says_failed(value: dict[str, Any]) -> bool:
    return value.get("success") is False or value.get("status") == "error"


def _is_flat(value: dict[str, Any]) -> bool:
    """Whether this is {"code", "message"} of an error. Some servers report success in the same shape with code 0."""
    stated = value.get("code") not in (None, "", 0, "0", 200, "200") and ("message" in value or "msg" in value)
    return stated and value.get("data") in (None, "", {})


def _from_fields(fields: dict[str, Any]) -> ErrorObject:
    code = fields.get("code") or fields.get("status")
    kind = fields.get("reason") or fields.get("type") or fields.get("error_type")
    kind = fields.get("title") or kind  # in RFC 9457 the type is an address
    status = fields.get("status")
    if kind is None and isinstance(status, str) and not status.isdigit():  # Google: RESOURCE_EXHAUSTED
        kind = status
    message = next((fields[name] for name in _MESSAGES if fields.get(name)), None) or _detail(fields.get("detail"))
    found = ErrorObject(_word(code), _word(kind), _line(message or ""))
    return found if str(found) else ErrorObject("", "", _line(fields))  # an error without words is an error, too


def _detail(value: object) -> object:
    """FastAPI's list of what is wrong with a request as a sentence: each place with its message. Any other detail as
    it is."""
    if not isinstance(value, list) or not all(isinstance(one, dict) and one.get("msg") for one in value):
        return value
    return "; ".join(": ".join([*_place(one), str(one["msg"])]) for one in value)


def _place(one: dict[str, Any]) -> list[str]:
    loc = one.get("loc")
    return [".".join(map(str, loc))] if isinstance(loc, list) and loc else []


def _word(value: object) -> str:
    return "" if value is None else _line(value)


def _first_line(text: str) -> str:
    """The title of an HTML page, or else the first line that is not blank, without tags."""
    if title := _title(text):
        return title
    return next((line for line in _TAG.sub(" ", text).splitlines() if line.strip()), "")


def _title(page: str) -> str:
    """The text between <title …> and </title>; empty if there is none."""
    begin = _TITLE.search(page)
    end = _TITLE_END.search(page, begin.end()) if begin else None
    return page[begin.end() : end.start()] if begin and end else ""


def _line(value: object) -> str:
    """A value as one line of bounded length."""
    text = " ".join(as_text(value)[:LONGEST_PAGE].split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
