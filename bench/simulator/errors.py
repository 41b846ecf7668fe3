"""Errors in the forms of several providers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bench.simulator.config import ErrorStyle

REASONS = {
    400: "INVALID_REQUEST_BODY",
    401: "FAILED_TO_AUTH",
    402: "NOT_ENOUGH_BALANCE",
    403: "INVALID_API_KEY",
    404: "MODEL_NOT_FOUND",
    429: "RATE_LIMIT_EXCEEDED",
    503: "SERVICE_NOT_AVAILABLE",
}


ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class ProviderError(Exception):
    """An answer with an error status."""

    def __init__(
        self,
        status: int,
        message: str = "",
        *,
        reason: str | None = None,
        headers: dict[str, str] | None = None,
        kind: str | None = None,  # OpenAI's `type`; default: the reason
    ) -> None:
        self.status = status
        self.reason = reason or REASONS.get(status, "SERVER_ERROR")
        self.message = message or self.reason.lower().replace("_", " ")
        self.headers = headers or {}
        self.kind = kind or self.reason.lower()
        super().__init__(self.message)


def error_object(error: ProviderError, style: ErrorStyle | str) -> dict[str, Any]:
    """The JSON of an error: Novita's is flat, OpenAI's is inside `error`, OpenRouter's comes with a choice."""
    if style == "novita":
        return {"code": error.status, "reason": error.reason, "message": error.message, "metadata": {}}
    if style == "anthropic":
        kind = ANTHROPIC_TYPES.get(error.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": None}
    if style == "responses":  # an event of a stream
        return {"type": "error", "code": error.reason.lower(), "message": error.message, "param": None}
    if style == "openrouter":
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
        return {"error": {"code": error.status, "message": error.message}, "choices": [choice]}
    code = error.reason.lower() if error.kind != "tokens" else "rate_limit_exceeded"  # one code for both types
    return {"error": {"message": error.message, "type": error.kind, "param": None, "code": code}}


def error_json(error: ProviderError, style: ErrorStyle | str, truth: Mapping[str, Any] | None = None) -> bytes:
    return json.dumps(error_object(error, style) | ({"simulator": truth} if truth else {})).encode()
