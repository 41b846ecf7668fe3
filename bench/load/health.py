"""How well this process kept up while it measured: writes one line per second to health.jsonl.

A greenlet sleeps for ten milliseconds again and again; hub lag is how late it wakes. Hub lag, CPU and garbage
collection show whether the client was the bottleneck. The analysis makes the verdict from these facts.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import gevent
import orjson

from bench.records import HealthLine, write_whole
from bench.wire.clock import KernelClock

TICK_S = 0.01
LINE_S = 1.0
GC_THRESHOLD = 100_000
"""How many new objects start the garbage collector. Requests free their memory without it; only exceptions and a user's
own API may leave garbage. With Python's default of 700 the tokens alone would start it, and it would go through every
answer in flight while nothing is sent."""


class Health:
    """Samples until its greenlet is killed. `in_flight` and `users` are called once a second."""

    def __init__(
        self,
        path: Path,
        *,
        started: float,
        worker: int,
        clock: KernelClock,
        users: Callable[[], int],
        in_flight: Callable[[], int],
        on_disk_error: Callable[[OSError], None],
    ) -> None:
        """`on_disk_error` is called if the disk refuses a line or the folder is gone; after that nothing more is
        written."""
        self._on_disk_error = on_disk_error
        self._path, self._started, self._worker, self._clock = path, started, worker, clock
        self._users, self._in_flight = users, in_flight
        self._collected = 0.0
        self._collecting_since = 0.0

    def sample(self) -> None:
        """Sample until the greenlet is killed. Meanwhile the garbage collector runs rarely."""
        gc.callbacks.append(self._on_collection)
        before = gc.get_threshold()
        gc.set_threshold(GC_THRESHOLD, *before[1:])
        try:
            with self._path.open("ab", buffering=0) as lines:
                while True:
                    self._second(lines)
                    self._path.parent.stat()  # a file of a folder that was removed can be written to for ever
        except OSError as error:
            self._on_disk_error(error)
        finally:
            gc.set_threshold(*before)
            gc.callbacks.remove(self._on_collection)

    def _second(self, lines: IO[bytes]) -> None:
        """Write one line, for a whole second, or for the part of it before the load ended."""
        began, cpu, collected = time.monotonic(), time.process_time(), self._collected
        now, lags = began, []
        try:
            while (now := time.monotonic()) - began < LINE_S:
                gevent.sleep(TICK_S)
                lags.append(round(max(0.0, time.monotonic() - now - TICK_S), 6))
        finally:
            if lags:
                line = self._line(now, lags, began, cpu, collected)
                write_whole(lines.fileno(), orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE), self._path)

    def _line(self, now: float, lags: list[float], began: float, cpu: float, collected: float) -> HealthLine:
        return HealthLine(
            t=round(now - self._started, 3),
            worker=self._worker,
            hub_lag_s=lags,
            cpu=round((time.process_time() - cpu) / (time.monotonic() - began), 3),
            gc_s=round(self._collected - collected, 6),
            users=self._users(),
            in_flight=self._in_flight(),
            clock_step_s=self._clock.sync(),
        )

    def _on_collection(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_since = time.monotonic()
        else:
            self._collected += time.monotonic() - self._collecting_since
