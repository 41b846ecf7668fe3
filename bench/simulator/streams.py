"""Writes streams on time: one clock serves all of them, and bytes go straight to the kernel.

A token needs one heap operation and one write, but no task. While its buffer is empty, asyncio's transport gives a
write to the kernel at once, so the time just before the write is the time of sending.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

SPLIT_PAUSE_S = 0.002  # between the pieces of a split event: enough to be separate reads


@dataclass(slots=True)
class Truth:
    """What really happened to a request. Times are monotonic seconds."""

    arrived: float  # arrival of its last byte, by the kernel's stamp if there is one
    first_token: float | None = None  # when it was given to the kernel
    last_token: float | None = None  # when it was given to the kernel
    cached: int | None = None  # prompt tokens that were read from the cache; the usage may state another number
    port: int | None = None  # the simulator's port; a client that used another port went through a proxy
    limiter: float | None = None  # see bench.simulator.admission.AdmissionResult.truth
    limit_left: float | None = None
    limit_admitted: float | None = None


class Frame(NamedTuple):
    """One event of a stream and when it is due."""

    due: float  # monotonic seconds
    payload: bytes | Callable[[Truth], bytes]  # of the data line; or a function that makes it from the truth
    kind: Literal["token", "event", "terminator", "comment", "reset", "end"] = "event"
    name: bytes = b""  # the event's name; empty for APIs without names


@dataclass(frozen=True, slots=True)
class Style:
    """How events become bytes."""

    newline: bytes = b"\n"
    prefix: bytes = b"data: "
    merge: int = 1  # events per write
    split: int = 0  # bytes per write; 0: whole events
    comments: bool = False

    def event(self, payload: bytes, name: bytes) -> bytes:
        comment = b": keep-alive" + self.newline * 2 if self.comments else b""
        named = b"event: " + name + self.newline if name else b""
        return comment + named + self.prefix + payload + self.newline * 2


PLAIN = Style()


def framed(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass(slots=True)
class Stream:
    """A stream while it is sent."""

    frames: Iterator[Frame]
    transport: asyncio.Transport
    style: Style
    truth: Truth
    done: asyncio.Future[bool]  # True if the answer should end as HTTP says
    held: list[bytes] = field(default_factory=list)  # events that wait to be merged
    dues: list[float] = field(default_factory=list)  # due times of the tokens among them
    next: Frame | None = None

    @property
    def plain(self) -> bool:
        """Whether events are sent one by one without changes; this case must be fast."""
        return self.style is PLAIN


class Clock:
    """Writes the frames of all streams when they are due, with one timer of the loop."""

    def __init__(self) -> None:
        self.tokens = 0
        self.open = 0
        self.lateness: deque[float] = deque(maxlen=100_000)  # how late the last tokens were written, s
        self.ttft: deque[float] = deque(maxlen=100_000)  # of the last streams, from arrival to the first write, s
        self._loop = asyncio.get_running_loop()
        self._heap: list[tuple[float, int, Stream]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = float("inf")

    async def play(self, stream: Stream) -> bool:
        """Write all frames of a stream. Returns False if nothing more may be sent on the connection."""
        self.open += 1
        try:
            self._advance(stream)
            self._arm()
            return await stream.done
        finally:
            self.open -= 1

    def reset(self) -> None:
        """Begin new statistics."""
        self.lateness.clear()
        self.ttft.clear()

    def _advance(self, stream: Stream) -> None:
        frame = next(stream.frames, None)
        if frame is None:
            self._flush(stream)
            self._finish(stream, True)
        else:
            stream.next = frame
            heapq.heappush(self._heap, (frame.due, next(self._numbers), stream))

    def _tick(self) -> None:
        self._timer, self._armed_for = None, float("inf")
        heap, monotonic = self._heap, time.monotonic
        while heap and heap[0][0] <= monotonic():
            due, number, stream = heap[0]
            frame = stream.next
            assert frame is not None
            if (
                stream.plain
                and isinstance(frame.payload, bytes)
                and frame.kind == "token"
                and not frame.name
                and not stream.transport.is_closing()
            ):
                now = monotonic()
                stream.transport.write(framed(b"data: %b\n\n" % frame.payload))
                self._note(stream.truth, now, due)
                if (following := next(stream.frames, None)) is not None:
                    stream.next = following
                    heapq.heapreplace(heap, (following.due, number, stream))
                    continue
            heapq.heappop(heap)
            self._step(stream, frame)
        self._arm()

    def _step(self, stream: Stream, frame: Frame) -> None:
        """Write a frame of any kind, of a stream in any style."""
        if stream.done.done():
            return
        if stream.transport.is_closing():
            self._finish(stream, False)
        elif self._write(stream, frame):
            self._advance(stream)

    def _note(self, truth: Truth, now: float, due: float) -> None:
        if truth.first_token is None:
            truth.first_token = now
            self.ttft.append(now - truth.arrived)
        truth.last_token = now
        self.tokens += 1
        self.lateness.append(now - due)

    def _note_all(self, stream: Stream, now: float) -> None:
        """Note the tokens that were given to the kernel together."""
        for due in stream.dues:
            self._note(stream.truth, now, due)
        stream.dues.clear()

    def _arm(self) -> None:
        if self._heap and self._heap[0][0] < self._armed_for:
            if self._timer is not None:
                self._timer.cancel()
            self._armed_for = self._heap[0][0]
            self._timer = self._loop.call_at(self._armed_for, self._tick)

    def _write(self, stream: Stream, frame: Frame) -> bool:
        """Write one frame. Returns False if the stream ends with it."""
        if frame.kind in ("reset", "end"):
            self._flush(stream)
            if frame.kind == "reset":
                stream.transport.abort()
            self._finish(stream, frame.kind == "end")
            return False
        truthful = not isinstance(frame.payload, bytes)
        if truthful:  # it states when the tokens were sent, so held tokens are sent together with it, at once
            self._note_all(stream, time.monotonic())
        payload = frame.payload if isinstance(frame.payload, bytes) else frame.payload(stream.truth)
        event = payload if frame.kind == "comment" else stream.style.event(payload, frame.name)
        if frame.kind == "token":
            stream.dues.append(frame.due)
        stream.held.append(event)
        if truthful or len(stream.held) >= stream.style.merge:
            self._flush(stream)
        return True

    def _flush(self, stream: Stream) -> None:
        if not stream.held:
            return
        data = stream.held[0] if len(stream.held) == 1 else b"".join(stream.held)
        now = time.monotonic()
        stream.held.clear()
        if not stream.style.split:
            stream.transport.write(framed(data))
            self._note_all(stream, now)
            return
        for begin in range(0, len(data), stream.style.split):
            piece = data[begin : begin + stream.style.split]
            now = time.monotonic()
            stream.transport.write(framed(piece))
            time.sleep(SPLIT_PAUSE_S)  # this stops all streams, so use this fault only with a single stream
        self._note_all(stream, now)  # an event is complete with its last piece

    def _finish(self, stream: Stream, clean: bool) -> None:
        if not stream.done.done():
            stream.done.set_result(clean)
