"""`bench`, or a program, in a process of its own that need not import anything: forked from one that has imported it all.

A command takes a second of CPU until it does something; a fork of a process that is ready takes a hundredth of it. All
else is as a user's: arguments, environment, folder, output, signals, exit code. `python -m tests.forks FD` is the process
that is ready; it reads orders from a socket, one message each, and ends with whoever holds the other end.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import inspect
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Self

MOST = 1 << 20  # bytes of an order
STREAMS = 3  # standard ones that come with an order, and then the pipe that is told how it ends
MODULES = ("bench.cli.run", "bench.cli.results", "bench.cli.plan", "bench.cli.models", "bench.cli.report", "bench.cli.send",
           "bench.cli.scenario", "bench.cli.init", "bench.cli.compare", "bench.load", "bench.analysis",
           "bench.analysis.certificate", "bench.experiments", "bench.experiments.fit", "bench.report.live",
           "bench.report.page", "bench.report.pictures", "bench.report.markdown", "bench.report.terminal",
           "bench.report.junit", "bench.simulator.config")  # fmt: skip
LATE = (
    "httpcore",
    "gevent.fileobject",
    "gevent.threadpool",
    "gevent.resolver.thread",
    "pyarrow.pandas_compat",
    "scipy.special",
)
"""What libraries import only when it is used."""
SCENARIO = Path(__file__).parents[1] / "scenarios" / "quickstart.yaml"


class Command:
    """`bench` with these arguments, or a program with these, that runs."""

    def __init__(
        self,
        arguments: Iterable[object],
        *,
        program: str | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        limits: Mapping[int, tuple[int, int]] | None = None,
        stdin: Path = Path(os.devnull),
    ) -> None:
        """`limits` of the system, such as resource.RLIMIT_FSIZE: what holds, and how far the process may raise it."""
        order = {
            "arguments": list(map(str, arguments)),
            "program": program,
            "cwd": str(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "limits": list((limits or {}).items()),
        }
        pipes = [os.pipe() for _ in range(STREAMS)]  # of output, errors, and the end
        with stdin.open("rb") as given:
            socket.send_fds(ready(), [json.dumps(order).encode()], [given.fileno(), *(write for _, write in pipes)])
        for _, write in pipes:
            os.close(write)
        self.arguments, self.returncode = order["arguments"], None
        self._streams = [os.fdopen(read, encoding="utf-8", errors="backslashreplace") for read, _ in pipes]
        self._said = ["", ""]
        self._readers = [threading.Thread(target=self._read, args=(place,), daemon=True) for place in (0, 1)]
        for reader in self._readers:
            reader.start()
        self.pid = int(self._streams[2].readline())

    def _read(self, place: int) -> None:
        self._said[place] = self._streams[place].read()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """It has ended, or does now."""
        self.kill()
        self.wait()

    def poll(self) -> int | None:
        """How it ended; None while it runs."""
        return self.returncode if self.returncode is not None else self._ended(0.0)

    def _ended(self, timeout: float) -> int | None:
        end = self._streams[2]
        if select.select([end], [], [], timeout)[0] and (told := end.readline()):
            self.returncode = int(told)
        return self.returncode

    def wait(self, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """What it said, once it has ended. Raises subprocess.TimeoutExpired, and then it is killed."""
        if self.poll() is None and self._ended(timeout) is None:
            self.kill()
            raise subprocess.TimeoutExpired(self.arguments, timeout)
        for reader in self._readers:
            reader.join()
        for stream in self._streams:
            stream.close()
        return subprocess.CompletedProcess(self.arguments, self.returncode, *self._said)


def python(program: str, *arguments: object, limits: Mapping[int, tuple[int, int]] | None = None) -> str:
    """What a program says that finds the standard library patched for gevent, and bench imported; it must not fail."""
    done = Command(arguments, program=program, limits=limits).wait(60)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@cache
def ready() -> socket.socket:
    """Where the process that is ready takes orders; it is started for the first one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.forks", str(theirs.fileno())],
        pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


fork, waitpid, close, on_signal = os.fork, os.waitpid, os.close, signal.signal  # as they are before gevent patches them
CHILD = {signal.SIGCHLD}


def serve(orders: socket.socket) -> dict[str, object] | None:
    """Take orders; in the process of each one, return it. None where nobody gives orders any more."""
    ends: dict[int, int] = {}  # per command that runs: the pipe that is told how it ends

    def tell(*_: object) -> None:
        while ends and (ended := waitpid(-1, os.WNOHANG)) != (0, 0):
            child, status = ended
            end = ends.pop(child)
            with suppress(BrokenPipeError):  # nobody waits for it any more
                os.write(end, b"%d\n" % os.waitstatus_to_exitcode(status))
            close(end)

    on_signal(signal.SIGCHLD, tell)
    while True:
        message, descriptors, _, _ = socket.recv_fds(orders, MOST, STREAMS + 1)
        if not message:
            return None
        *standard, end = descriptors
        signal.pthread_sigmask(signal.SIG_BLOCK, CHILD)  # one that ends at once is told of when its end is known
        if (child := fork()) == 0:
            on_signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, CHILD)
            orders.close()
            for other in (end, *ends.values()):
                close(other)
            for place, descriptor in enumerate(standard):
                os.dup2(descriptor, place)
                close(descriptor)
            return json.loads(message)
        for descriptor in standard:
            close(descriptor)
        ends[child] = end
        os.write(end, b"%d\n" % child)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, CHILD)


def perform(order: dict) -> int:
    """Be the command; its exit code."""
    from bench.cli import main

    program: str | None = order["program"]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, value in order["limits"]:
        resource.setrlimit(name, tuple(value))
        sys.dont_write_bytecode = True  # a file that may not be written whole is half a module for all who come after
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    sys.argv = ["bench" if program is None else "-c", *order["arguments"]]
    sys.path[0] = ""
    try:
        if program is None:
            main(prog_name="bench")
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal that the tests run in
    with socket.socket(fileno=int(sys.argv[1])) as taken:
        for module in MODULES + LATE:
            importlib.import_module(module)
        importlib.import_module("bench.experiments").read_scenario(SCENARIO)  # classes are built when first used
        importlib.import_module("bench.plan.text").words("", 1)
        inspect.stack()  # Locust asks for it at the end of a load, and it looks for the file of every module
        gc.freeze()
        order = serve(taken)
    if order is not None:
        code = perform(order)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
