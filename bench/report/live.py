"""What the terminal shows while the load runs; lines of text where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Literal, Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live as Refreshed
from rich.progress_bar import ProgressBar

from bench.analysis.numerals import count, duration, milliseconds, number
from bench.report.console import takes_colour
from bench.report.words import visible

LINE_S = 5.0  # between two lines where there is no terminal
Loudness = Literal["quiet", "usual", "verbose"]
"""Warnings alone; the progress too; each stage and what is written where too."""


class Progress(Protocol):
    """How far the load is."""

    @property
    def elapsed(self) -> float: ...
    @property
    def total(self) -> float | None: ...
    @property
    def stage(self) -> str: ...
    @property
    def sent(self) -> int: ...
    @property
    def ok(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def planned(self) -> int | None: ...
    @property
    def requests_per_s(self) -> float: ...
    @property
    def ttft_p50(self) -> float | None: ...
    @property
    def users(self) -> int: ...
    @property
    def in_flight(self) -> int: ...


class Live:
    """Shows progress on a stream for as long as it is entered."""

    def __init__(self, stream: TextIO, loudness: Loudness = "usual") -> None:
        self._console = Console(
            file=stream, no_color=not takes_colour(stream), highlight=False, markup=False, emoji=False
        )
        self._refreshed = Refreshed(console=self._console, auto_refresh=False, transient=True)
        self._loudness = loudness
        self._stage = ""
        self._next_line = 0.0
        self._gone = False

    def __enter__(self) -> Live:
        if self._console.is_terminal and self._loudness != "quiet":
            self._show(self._refreshed.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show(self._refreshed.stop)

    def progress(self, progress: Progress) -> None:
        if self._loudness == "quiet":
            return
        if self._loudness == "verbose" and progress.stage != self._stage:
            self._stage = progress.stage
            self.note(f"{datetime.now():%H:%M:%S} {self._stage}: {progress.users} users, {count(progress.sent)} sent")
        if self._console.is_terminal:
            self._show(lambda: self._refreshed.update(bar(progress), refresh=True))
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_S
            self._show(lambda: self._console.print(line(progress), soft_wrap=True))

    def warn(self, text: str) -> None:
        self._show(lambda: self._console.print(f"warning: {visible(text)}", style="yellow", soft_wrap=True))

    def note(self, text: str) -> None:
        if self._loudness == "quiet":
            return
        self._show(lambda: self._console.print(visible(text), soft_wrap=True))

    def _show(self, draw: Callable[[], None]) -> None:
        """A terminal that was closed, or a full disk behind stderr, must not end the load."""
        if not self._gone:
            try:
                draw()
            except OSError:
                self._gone = True


def line(progress: Progress) -> str:
    """Progress in a line."""
    parts = [f"{progress.stage:<8}", time_left(progress), f"{count(progress.sent)} sent", f"{count(progress.ok)} ok"]
    parts += [f"{count(progress.failed)} failed", f"{number(progress.requests_per_s)} answers/s"]
    parts += [f"TTFT p50 {milliseconds(progress.ttft_p50)} ms", f"{progress.in_flight} in flight"]
    return "  ".join(parts)


def time_left(progress: Progress) -> str:
    if progress.stage == "drain":
        return f"waiting for {progress.in_flight} answers"
    if progress.total is None:
        return f"{duration(progress.elapsed)}"
    return f"{duration(max(0.0, progress.total - progress.elapsed))} left"


def bar(progress: Progress) -> Group:
    """A bar, and below it the time left and the figures so far."""
    done, whole = progress.elapsed, progress.total
    if whole is None and progress.planned is not None:
        done, whole = float(progress.ok + progress.failed), float(progress.planned)
    return Group(ProgressBar(total=whole or 1.0, completed=min(done, whole or 1.0), width=60), line(progress))
