"""Server-sent events: bytes in, events out, no I/O (WHATWG HTML, section 9.2.6, "Interpreting an event stream")."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.wire.exchange import Read

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Event:
    """One dispatched event."""

    data: bytes  # the data lines, joined by line feeds
    name: str = ""  # the event field; empty where there is none


class Decoder:
    """Takes a stream's bytes in any pieces and gives its events. Lines end in LF, CRLF or CR, and in nothing else.

    An event whose blank line never comes is not an event; `rest` then tells that something was begun.
    """

    def __init__(self) -> None:
        self.comments = 0  # lines that begin with a colon: keep-alives
        self._line = b""  # the line under way
        self._at_start = True
        self._after_cr = False
        self._data: list[bytes] = []
        self._name = ""

    @property
    def rest(self) -> bool:
        """Whether bytes have come that belong to no dispatched event yet."""
        return bool(self._line or self._data)

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        if self._after_cr and data:  # the second half of a CRLF that was split between two reads
            data = data.removeprefix(b"\n")
            self._after_cr = False
        data = self._line + data
        if self._at_start:
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._line = data
                return []
            data = data.removeprefix(_BOM)
            self._at_start = False
        lines = data.splitlines()  # of bytes: at LF, CR and CRLF only
        self._after_cr = data.endswith(b"\r")
        self._line = b"" if self._after_cr or data.endswith(b"\n") or not lines else lines.pop()
        return [event for line in lines if (event := self._take(line)) is not None]

    def _take(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        if line.startswith(b"data:"):  # nearly every line
            self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            return None
        field, _, value = line.partition(b":")
        if not field:
            self.comments += 1
        elif field == b"event":
            self._name = value.removeprefix(b" ").decode(errors="replace")
        elif field == b"data":
            self._data.append(b"")
        return None

    def _dispatch(self) -> Event | None:
        data, name = self._data, self._name
        self._data, self._name = [], ""
        if not data:
            return None
        return Event(data[0] if len(data) == 1 else b"\n".join(data), name)


def timed_events(reads: Iterable[Read], decoder: Decoder) -> Iterator[tuple[float, bool, Event]]:
    """Arrival of each event, which is that of the read that completed it; whether it was its read's last; the event.

    An event that was not its read's last came no later than stamped: the stamp is that of the read's last byte.
    """
    for at, data in reads:
        events = decoder.feed(data)
        for number, event in enumerate(events, start=1):
            yield at, number == len(events), event
