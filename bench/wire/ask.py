"""What every API builds a request from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request before an API builds its body."""

    model: str
    stream: bool = False  # whether to ask for a stream
    input: Any = None  # messages, one text, several texts, or a query with documents: what the API's object expects
    parameters: Mapping[str, Any] = field(default_factory=dict)  # members of the body, under the API's own names
    extra_body: Mapping[str, Any] = field(default_factory=dict)  # more members; they override all others
    webhook: str | None = None  # URL that the server sends a job's result to; None: the result is polled for
