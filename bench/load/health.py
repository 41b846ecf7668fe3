"""How well this process kept up while it measured: one line per second in its health.jsonl.

Hub lag is how late a greenlet wakes that asked for ten milliseconds; with CPU and garbage collection it says
whether the client was the bottleneck. Analysis turns these facts into a verdict.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import gevent
import orjson

from bench.records import write_whole
from bench.wire.clock import KernelClock

TICK_S = 0.01
LINE_S = 1.0
RARELY = 100_000
"""How many objects more than before there must be until garbage is looked for. What a request takes is given back as
soon as it is done with, without the collector; Python's own 700 is reached by tokens alone, and then every answer in
flight is gone through while nothing is sent. Exceptions and an API of the user's own may still leave garbage."""


class Health:
    """Samples until killed; `in_flight` and `users` are asked once a second."""

    def __init__(
        self,
        path: Path,
        *,
        started: float,
        worker: int,
        clock: KernelClock,
        users: Callable[[], int],
        in_flight: Callable[[], int],
        refused: Callable[[OSError], None],
    ) -> None:
        """`refused` is told of the disk's error, and nothing is written any more."""
        self._refused = refused
        self._path, self._started, self._worker, self._clock = path, started, worker, clock
        self._users, self._in_flight = users, in_flight
        self._collected = 0.0
        self._collecting_since = 0.0

    def sample(self) -> None:
        """The sampling greenlet's whole life, in which garbage is collected rarely."""
        gc.callbacks.append(self._on_collection)
        before = gc.get_threshold()
        gc.set_threshold(RARELY, *before[1:])
        try:
            with self._path.open("ab", buffering=0) as lines:
                while True:
                    self._second(lines)
        except OSError as error:
            self._refused(error)
        finally:
            gc.set_threshold(*before)
            gc.callbacks.remove(self._on_collection)

    def _second(self, lines: IO[bytes]) -> None:
        """Write one line, of a whole second or of what there was of it when the load ended."""
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

    def _line(self, now: float, lags: list[float], began: float, cpu: float, collected: float) -> dict[str, object]:
        return {
            "t": round(now - self._started, 3),
            "worker": self._worker,
            "hub_lag_s": lags,
            "cpu": round((time.process_time() - cpu) / (time.monotonic() - began), 3),
            "gc_s": round(self._collected - collected, 6),
            "users": self._users(),
            "in_flight": self._in_flight(),
            "clock_step_s": self._clock.sync(),
        }

    def _on_collection(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_since = time.monotonic()
        else:
            self._collected += time.monotonic() - self._collecting_since
