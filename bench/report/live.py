"""What the terminal shows while the load runs; lines of text where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Literal, Protocol, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live as Refreshed
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from bench.analysis.numerals import count, counted, duration, milliseconds, number
from bench.report.console import takes_colour
from bench.report.words import visible

BETWEEN = "  "  # two figures of a line
SHORTEST_BAR, LONGEST_BAR = 5, 30  # characters
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
    def failures(self) -> Mapping[str, int]: ...
    @property
    def planned(self) -> int | None: ...
    @property
    def begun(self) -> int: ...
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
            users = counted(progress.users, "users")
            self.note(f"{datetime.now():%H:%M:%S} {self._stage}: {users}, {count(progress.sent)} sent")
        if self._console.is_terminal:
            self._show(lambda: self._refreshed.update(bar(progress, self._console.width), refresh=True))
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
    return BETWEEN.join([*first(progress), *rest(progress)])


def first(progress: Progress, *, median: str = "TTFT p50") -> list[str]:
    """What people look for first: how many were sent, how they ended, how long the first token takes, the time left."""
    return [
        f"{count(progress.sent)} sent",
        f"{count(progress.ok)} ok",
        failed(progress.failures),
        f"{median} {'–' if progress.ttft_p50 is None else f'{milliseconds(progress.ttft_p50)} ms'}",
        time_left(progress),
    ]


def rest(progress: Progress) -> list[str]:
    """What else there is to know, the most important first."""
    return [f"{number(progress.requests_per_s)} requests/s", f"{progress.in_flight} in flight", progress.stage]


def failed(failures: Mapping[str, int]) -> str:
    """How many requests failed, and of what most of them."""
    many = sum(failures.values())
    if not many:
        return "0 failed"
    commonest = max(failures, key=lambda outcome: failures[outcome])
    others = f" {count(failures[commonest])}" if len(failures) > 1 else ""
    return f"{count(many)} failed ({commonest}{others})"


def time_left(progress: Progress) -> str:
    """How long it may still take; how long it has taken where nobody knows that."""
    if progress.stage == "drain":
        return f"waiting for {counted(progress.in_flight, 'answers')}"
    if progress.total is not None:
        return f"{ticking(progress.total - progress.elapsed)} left"
    if progress.planned is not None and progress.requests_per_s:
        return f"about {ticking((progress.planned - progress.begun) / progress.requests_per_s)} left"
    return f"{ticking(progress.elapsed)} so far"


def ticking(seconds: float) -> str:
    """A time that changes while it is read: never below 0, and in tenths of a second."""
    return duration(round(max(0.0, seconds), 1))


def part(progress: Progress) -> float | None:
    """How much of the load is done, as a share of 1; None if nobody knows."""
    if progress.total is not None:
        return min(1.0, progress.elapsed / progress.total)
    return None if progress.planned is None else min(1.0, progress.begun / progress.planned)


def bar(progress: Progress, width: int) -> Grid:
    """One line: the figures, and a bar where there is room for one. `width` in characters."""
    words = first(progress)
    if cell_len(BETWEEN.join(words)) > width:
        words = first(progress, median="TTFT")
    done = part(progress)
    wanted = 0 if done is None else len(BETWEEN) + LONGEST_BAR
    for more in rest(progress):
        if cell_len(BETWEEN.join([*words, more])) + wanted <= width:
            words.append(more)
    text = Text(visible(BETWEEN.join(words)), no_wrap=True, overflow="ellipsis")
    room = min(LONGEST_BAR, width - text.cell_len - len(BETWEEN))
    grid = Grid.grid(padding=(0, len(BETWEEN), 0, 0), pad_edge=False)
    if done is None or room < SHORTEST_BAR:
        grid.add_row(text)
    else:
        grid.add_row(text, ProgressBar(total=1.0, completed=done, width=room))
    return grid
