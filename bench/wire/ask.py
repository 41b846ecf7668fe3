"""What a request is made of, whichever API it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request before it has a body."""

    model: str
    stream: bool = False  # whether the answer is to come piece by piece
    input: Any = None  # messages, a text, texts, a query with documents: as the API's object expects it
    parameters: Mapping[str, Any] = field(default_factory=dict)  # members of the body under the APIs' own names
    extra_body: Mapping[str, Any] = field(default_factory=dict)  # further members, which have the last word
    webhook: str | None = None  # where a job's result is to be told; None: it is polled for
