"""The common part of the two APIs with named events: OpenAI's responses and Anthropic's messages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from bench.wire.answer import UNREADABLE, followed, parsed, unreadable
from bench.wire.errors import error_in_body
from bench.wire.exchange import Read
from bench.wire.openai import DONE
from bench.wire.sse import Decoder, Event, timed_events


class EventReader(ABC):
    """Collects the facts of a stream, event by event. Times are absolute monotonic seconds."""

    def __init__(self) -> None:
        self.arrivals: list[tuple[float, int]] = []  # time of each event with generated content, and 1 token
        self._merged = 0  # how many of them came no later than their time; the exact time is unknown
        self._answer_at: float | None = None  # arrival of the first content that is not reasoning
        self._server: dict[str, float] = {}  # the server's own timings
        self._error: str | None = None  # the first error that the server sent
        self._garbled: str | None = None  # the first event that could not be read
        self._ended = False  # the event came that ends an answer of this API

    def add_stream(self, reads: list[Read], decoder: Decoder) -> None:
        """Read all events of a stream. What is left of an event that did not end stays in the decoder."""
        for at, last, event in timed_events(reads, decoder):
            self.add_event(event, at, last=last)

    def token_times(self, reads: list[Read]) -> tuple[float | None, float | None]:
        """Arrival times of the first and the last token of a stream; None if there is none yet."""
        self.add_stream(reads, Decoder())
        return (self.arrivals[0][0], self.arrivals[-1][0]) if self.arrivals else (None, None)

    def add_event(self, event: Event, at: float, *, last: bool) -> None:
        """Read one event of a stream. Its data repeat the type that its name gives, so the name is not needed.

        Some gateways send events with empty data to keep the connection alive, and [DONE] as in the chat API.
        """
        if event.name == "error":
            self._error = self._error or str(error_in_body(event.data)) or "the server gives no reason"
            return
        if not event.data or event.data.startswith(DONE):
            return
        try:
            if self._take(parsed(event.data), at):
                if self._ended:
                    self._garbled = self._garbled or followed(event.data)
                self.arrivals.append((at, 1))
                self._merged += not last
        except UNREADABLE as error:
            self._garbled = self._garbled or unreadable(event.data, error)

    @abstractmethod
    def _take(self, event: dict[str, Any], at: float) -> bool:
        """Read the data of one event. Returns whether it holds generated content. Raises one of UNREADABLE."""
