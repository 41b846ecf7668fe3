"""Server-sent events: bytes in, events out, no I/O.

Source: WHATWG HTML, section 9.2.6, "Interpreting an event stream".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bench.wire.exchange import Read

BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):  # there is one event per token, and a tuple is the cheapest object
    """One complete event."""

    data: bytes  # the data lines, joined by line feeds
    name: str = ""  # the event field; empty if there is none


class Decoder:
    """Takes a stream's bytes in pieces of any size and returns its events.

    Lines end with LF, CRLF or CR. The fields id and retry are ignored: they are for reconnecting, which a measured
    request never does. An event without its blank line is not complete; see `rest`.
    """

    def __init__(self) -> None:
        self.comments = 0  # lines that begin with a colon: keep-alives
        self._line: list[bytes] = []  # pieces of the current line
        self._data: list[bytes] = []  # data lines of the current event
        self._name = ""
        self._first_line = True
        self._after_cr = False
        self.between = False  # between two events, so the next byte begins one; False before the first line's end

    @property
    def rest(self) -> bytes:
        """The bytes of the event that is not complete yet."""
        return b"\n".join(filter(None, [*self._data, b"".join(self._line)]))

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        if self.between and data.startswith(b"data: ") and data.endswith(b"\n\n") and b"\r" not in data:
            pieces = data[6:-2].split(b"\n\ndata: ")
            if data.count(b"\n") == 2 * len(pieces):  # whole events of one line each, as in nearly every read
                return [Event(piece) for piece in pieces]
        if self._after_cr and data:
            data = data.removeprefix(b"\n")  # the second half of a CRLF that was split between two reads
            self._after_cr = False
        events = [event for line in self._lines(data) if (event := self._take(line)) is not None]
        self.between = not (self._first_line or self._after_cr or self._line or self._data or self._name)
        return events

    def _lines(self, data: bytes) -> list[bytes]:
        """The lines that these bytes complete; the bytes after the last line end are kept for later."""
        if b"\n" not in data and b"\r" not in data:
            if data:
                self._line.append(data)
            return []
        lines = b"".join([*self._line, data]).splitlines()  # bytes are split at LF, CR and CRLF only
        self._after_cr = data.endswith(b"\r")
        self._line = [] if data.endswith((b"\n", b"\r")) else [lines.pop()]
        if self._first_line:
            self._first_line = False
            lines[0] = lines[0].removeprefix(BOM)
        return lines

    def _take(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        if line.startswith(b"data:"):  # the most frequent line comes first
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
        return Event(b"\n".join(data), name) if data else None


def timed_events(reads: Iterable[Read], decoder: Decoder) -> Iterator[tuple[float, bool, Event]]:
    """For each event: the arrival of the read that completed it, whether it is the last event of that read, the event.

    The stamp of a read is the arrival of its last byte, so earlier events of the read came at that time or before.
    """
    for at, data in reads:
        if events := decoder.feed(data):
            last = events.pop()
            for event in events:
                yield at, False, event
            yield at, True, last
