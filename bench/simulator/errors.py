"""Errors as the provider words them."""

from __future__ import annotations

import json
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


class ProviderError(Exception):
    """An answer with an error status."""

    def __init__(
        self, status: int, message: str = "", *, reason: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        self.status = status
        self.reason = reason or REASONS.get(status, "SERVER_ERROR")
        self.message = message or self.reason.lower().replace("_", " ")
        self.headers = headers or {}
        super().__init__(self.message)


def error_object(error: ProviderError, style: ErrorStyle | str) -> dict[str, Any]:
    """The JSON of an error; Novita's is flat, OpenAI's is inside `error`, OpenRouter's comes with a choice."""
    if style == "novita":
        return {"code": error.status, "reason": error.reason, "message": error.message, "metadata": {}}
    if style == "openrouter":
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
        return {"error": {"code": error.status, "message": error.message}, "choices": [choice]}
    return {
        "error": {"message": error.message, "type": error.reason.lower(), "param": None, "code": error.reason.lower()}
    }


def error_json(error: ProviderError, style: ErrorStyle | str) -> bytes:
    return json.dumps(error_object(error, style)).encode()
