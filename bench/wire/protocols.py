"""One object an API: how a request's body is made, and how an answer is read.

To add an API, write an object with these members and put it into `PROTOCOLS`; scenarios name it by its key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from bench.wire.answer import Answer
from bench.wire.exchange import Read
from bench.wire.openai import OpenAI

__all__ = ["PROTOCOLS", "Answer", "Api"]


class Api(Protocol):
    """What the load needs of an API."""

    @property
    def name(self) -> str:
        """Its key in `PROTOCOLS`."""

    @property
    def family(self) -> str:
        """Which of a provider's base paths it lives under, see wire.paths."""

    @property
    def path(self) -> str:
        """Below that base path."""

    def body(
        self,
        *,
        model: str,
        stream: bool,
        input: Any,  # noqa: A002 - the APIs' own word
        parameters: Mapping[str, Any],
        extra_body: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The request's JSON: parameters as they are, extra_body over everything."""

    def read(self, reads: list[Read], *, stream: bool) -> Answer:
        """What the reads of one exchange say. Never raises for what a server sends."""

    def token_times(self, reads: list[Read]) -> tuple[float | None, float | None]:
        """Arrivals of the first and the last token in the reads so far; asked only when a timeout may have run out."""


_APIS: tuple[Api, ...] = (
    OpenAI("chat", "chat/completions", "messages"),
    OpenAI("completions", "completions", "prompt"),
)
PROTOCOLS: dict[str, Api] = {api.name: api for api in _APIS}
