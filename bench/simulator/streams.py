"""Writing streams on time: one clock for all of them, bytes straight to the kernel.

A token costs a heap operation and one write, not a task: asyncio's transport hands a write to the kernel at once
while its buffer is empty, so the moment stamped just before is the moment of sending.
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
    """What really happened to a request, monotonic seconds."""

    arrived: float  # its last byte, by the kernel's stamp where there is one
    first_token: float | None = None  # handed to the kernel
    last_token: float | None = None
    cached: int | None = None  # prompt tokens that were read from the cache, whatever the answer tells of it
    port: int | None = None  # at which it was asked; whoever asked at another one was answered through something else
    limiter: float | None = None  # see bench.simulator.admission.Verdict.truth
    limit_left: float | None = None
    limit_admitted: float | None = None


class Frame(NamedTuple):
    """One event of a stream and when it is due."""

    due: float  # monotonic seconds
    payload: bytes | Callable[[Truth], bytes]  # of the data line; or what makes it once the truth is known
    kind: Literal["token", "event", "terminator", "comment", "reset", "end"] = "event"
    name: bytes = b""  # of the event, where the API names them


@dataclass(frozen=True, slots=True)
class Style:
    """How events are put into bytes."""

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
    """A stream under way."""

    frames: Iterator[Frame]
    transport: asyncio.Transport
    style: Style
    truth: Truth
    done: asyncio.Future[bool]  # True where the answer is to be ended as HTTP says
    held: list[bytes] = field(default_factory=list)  # events that wait to be merged
    dues: list[float] = field(default_factory=list)  # of the tokens among them
    next: Frame | None = None

    @property
    def plain(self) -> bool:
        """Whether events go out one by one and as they are: the path that has to be fast."""
        return self.style is PLAIN


class Clock:
    """Writes the frames of all streams when they are due, with one timer of the loop."""

    def __init__(self) -> None:
        self.tokens = 0
        self.open = 0
        self.lateness: deque[float] = deque(maxlen=100_000)  # of the latest token writes, s
        self.ttft: deque[float] = deque(maxlen=100_000)  # of the latest streams, from arrival to handing over, s
        self._loop = asyncio.get_running_loop()
        self._heap: list[tuple[float, int, Stream]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = float("inf")

    async def play(self, stream: Stream) -> bool:
        """Write a stream's frames to their end; False where the connection is to be left alone afterwards."""
        self.open += 1
        try:
            self._advance(stream)
            self._arm()
            return await stream.done
        finally:
            self.open -= 1

    def forget(self) -> None:
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
        """A frame of any kind, of a stream of any style."""
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
        """The tokens that were handed to the kernel together."""
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
        """Write one frame; False where the stream ends with it."""
        if frame.kind in ("reset", "end"):
            self._flush(stream)
            if frame.kind == "reset":
                stream.transport.abort()
            self._finish(stream, frame.kind == "end")
            return False
        tells = not isinstance(frame.payload, bytes)
        if tells:  # what is held goes out with it, at once, so that it tells when
            self._note_all(stream, time.monotonic())
        payload = frame.payload if isinstance(frame.payload, bytes) else frame.payload(stream.truth)
        event = payload if frame.kind == "comment" else stream.style.event(payload, frame.name)
        if frame.kind == "token":
            stream.dues.append(frame.due)
        stream.held.append(event)
        if tells or len(stream.held) >= stream.style.merge:
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
            time.sleep(SPLIT_PAUSE_S)  # holds all streams up: a fault for tests of one
        self._note_all(stream, now)  # an event is there with its last piece

    def _finish(self, stream: Stream, clean: bool) -> None:
        if not stream.done.done():
            stream.done.set_result(clean)
