"""The worker processes of a run. They start with its first chain of stages, get one order after the other, and end with
the run: starting them anew would take seconds between two levels of a sweep."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

import gevent

from bench.environment import child_environment
from bench.load.job import LENGTH_BYTES, Order


class WorkerProcesses:
    """The workers of one run, by their number; none before the first order."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.log: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - what they write to standard error; see close
        self._writers: list[gevent.Greenlet] = []

    def give(self, orders: Sequence[Order]) -> None:
        """Give each worker its order, and start the workers if there are none yet."""
        if not self.processes:
            self.processes.extend(start(self.log) for _ in orders)
        # A worker that is stopped reads nothing: then only the writer waits, and the caller finds out.
        self._writers = [gevent.spawn(write, *pair) for pair in zip(self.processes, orders, strict=True)]

    def close(self) -> None:
        """End all workers."""
        gevent.killall(self._writers)
        for process in self.processes:
            process.kill()
            process.wait()
        self.log.close()


def start(log: IO[str]) -> subprocess.Popen[bytes]:
    """Start a worker. Its standard input stays open; when it closes, the worker ends."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench.load.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=log,
        env=child_environment(),
        start_new_session=True,  # only the master gets a Ctrl-C; it then informs the workers
    )


def write(process: subprocess.Popen[bytes], order: Order) -> None:
    """Write an order to a worker's standard input. It includes the key, which is in no file and no environment."""
    assert process.stdin is not None
    content = pickle.dumps(order)
    with suppress(OSError):  # the worker died; await_workers reports that
        process.stdin.write(len(content).to_bytes(LENGTH_BYTES) + content)
        process.stdin.flush()
