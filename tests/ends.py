"""Runs that are ended from outside, at every phase: who is ended, how, and what is to be seen of it afterwards.

A part of the table is run by the tests, all of it by `python benchmarks/ends.py`.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from bench.analysis import open_run
from tests.forks import Command

SECONDS = 30.0  # from the signal to the end of every process, the report included, on a busy machine
STALLED = {"prompt": "Hi", "max_tokens": 5,
           "extra_body": {"simulator": {"faults": [{"kind": "stall", "after_tokens": 1, "seconds": 90}]}}}  # fmt: skip
PLAIN = {"prompt": "Hi", "max_tokens": 20}
COUNTED = {"prompt": {"tokens": 30}, "max_tokens": 20}  # its fit asks the target before the load
PHASES = {
    "fit": {"requests": [COUNTED], "load": {"duration": "90s"}},
    "warm-up": {"requests": [PLAIN], "load": {"warmup": "60s", "duration": "90s"}},
    "measuring": {"requests": [PLAIN], "load": {"duration": "90s"}},
    "draining": {"requests": [STALLED], "load": {"requests": 4, "drain": "90s"}},
}


@dataclass(frozen=True)
class Case:
    """One run and its end."""

    phase: str
    victim: str  # "master", "worker", "target", or "terminal": it is closed, and the kernel sends the signals
    signals: tuple[str, ...]
    says: str  # in what the run says, or in its report afterwards
    processes: int = 1
    code: int | None = 3  # of the exit; None: any
    quick: bool = False  # run by the tests

    def __str__(self) -> str:
        return f"{self.phase}, {self.processes} process(es), {self.victim} gets {' '.join(self.signals)}"


KILLED, STOPPED = (
    "the run was killed before its end",
    "the run was interrupted",
)
DEAD = "the target that the run had started died"
CASES = [
    Case("fit", "master", ("INT",), STOPPED, quick=True),
    Case("fit", "master", ("TERM",), STOPPED),
    Case("fit", "master", ("HUP",), STOPPED),
    Case("fit", "master", ("INT", "INT", "INT", "INT"), STOPPED),
    Case("fit", "master", ("KILL",), KILLED, code=-9),
    Case("warm-up", "master", ("INT",), STOPPED, code=None),
    Case("warm-up", "master", ("TERM",), STOPPED, code=None),
    Case("warm-up", "master", ("HUP",), STOPPED, code=None),
    Case("warm-up", "master", ("KILL",), KILLED, code=-9),
    Case("warm-up", "master", ("KILL",), KILLED, processes=2, code=-9),
    Case("warm-up", "target", ("KILL",), DEAD, code=None),
    Case("measuring", "master", ("INT",), STOPPED, code=None),
    Case("measuring", "master", ("INT",), STOPPED, processes=2, code=None),
    Case("measuring", "master", ("TERM",), STOPPED, code=None),
    Case("measuring", "master", ("TERM",), STOPPED, processes=2, code=None),
    Case("measuring", "master", ("HUP",), STOPPED, code=None),
    Case("measuring", "master", ("HUP",), STOPPED, processes=2, code=None, quick=True),
    Case("measuring", "terminal", ("HUP",), STOPPED, code=None, quick=True),
    Case("measuring", "terminal", ("HUP",), STOPPED, processes=2, code=None, quick=True),
    Case("warm-up", "terminal", ("HUP",), STOPPED, processes=2, code=None),
    Case("draining", "terminal", ("HUP",), "had no answer yet when the run ended", code=None),
    Case("draining", "terminal", ("HUP",), "had no answer yet when the run ended", processes=2, code=None),
    Case("measuring", "master", ("KILL",), KILLED, code=-9),
    Case("measuring", "master", ("KILL",), KILLED, processes=2, code=-9, quick=True),
    Case("measuring", "worker", ("KILL",), "a worker process died", processes=2, code=3),
    Case("measuring", "worker", ("TERM",), "a worker process died", processes=2, code=3),
    Case("measuring", "worker", ("STOP",), "a worker stopped answering and was ended", processes=2, code=3),
    Case("measuring", "target", ("KILL",), DEAD, code=None, quick=True),
    Case("measuring", "target", ("KILL",), DEAD, processes=2, code=None),
    Case("draining", "master", ("INT",), "had no answer yet when the run ended", code=None, quick=True),
    Case("draining", "master", ("INT",), "had no answer yet when the run ended", processes=2, code=None),
    Case("draining", "master", ("INT",) * 8, "had no answer yet when the run ended", code=None),
    Case("draining", "master", ("TERM",), "had no answer yet when the run ended", code=None),
    Case("draining", "master", ("HUP",), "had no answer yet when the run ended", processes=2, code=None),
    Case("draining", "master", ("KILL",), KILLED, code=-9),
    Case("draining", "master", ("KILL",), KILLED, processes=2, code=-9),
    Case("draining", "worker", ("KILL",), "a worker process died", processes=2, code=3),
    Case("draining", "target", ("KILL",), "failed", code=None),
]  # fmt: skip


def faults_of(case: Case, folder: Path) -> list[str]:
    """Run it, end it, and say what is not as expected."""
    with target_of(case) as target:
        load = PHASES[case.phase]["load"] | {"users": 4, "processes": case.processes}
        if case.victim == "worker" and case.phase == "measuring":
            load["duration"] = "4s"  # the others go on until then
        if case.victim == "worker" and case.phase == "draining":
            load["drain"] = "5s"
        scenario = {"target": target, "models": ["sim/exact"], "seed": 1, "requests": PHASES[case.phase]["requests"],
                    "load": load}  # fmt: skip
        file = folder / "scenario.yaml"
        file.write_text(yaml.safe_dump(scenario))
        arguments = ["run", str(file), "--out", str(folder / "out")]
        if case.victim == "terminal":
            code, said, took, family = in_a_closed_terminal(case, arguments, folder / "out")
        else:
            code, said, took, family = signalled(case, arguments, folder / "out")
        _, orphans = psutil.wait_procs(family, timeout=5.0)
    return list(judged(case, code, said, took, orphans, folder / "out"))


Ended = tuple[int, str, float, list[psutil.Process]]
"""Exit code, what was said, seconds from the signal to the end, and every process that there was."""


def signalled(case: Case, arguments: Sequence[str], out: Path) -> Ended:
    """The run, until it has got the case's signals and ended."""
    with Command(arguments) as process:
        await_phase(case, out, process)
        family = family_of(process)
        victim = find(case.victim, family)
        began = time.monotonic()
        first, *more = case.signals
        victim.send_signal(signal.Signals[f"SIG{first}"])
        with suppress(psutil.NoSuchProcess):  # it may have ended at the ones before
            for name in more:
                time.sleep(0.1)
                victim.send_signal(signal.Signals[f"SIG{name}"])
        done = process.wait(60)
    return done.returncode, done.stdout + done.stderr, time.monotonic() - began, family


def in_a_closed_terminal(case: Case, arguments: Sequence[str], out: Path) -> Ended:
    """The run as a shell in a terminal of its own starts it, until that terminal was closed and all have ended."""
    ours, theirs = pty.openpty()
    shell = ["/bin/sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-m", "bench", *arguments]
    with subprocess.Popen(
        shell, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    ) as process:  # fmt: skip
        os.close(theirs)
        try:
            said = bytearray()
            with read_meanwhile(ours, said):
                await_phase(case, out, process)
            family = family_of(process)
            began = time.monotonic()
            os.close(ours)
            process.wait(60)
            psutil.wait_procs(family, timeout=60)  # the shell does not wait for the run
        finally:
            process.kill()
    return process.returncode, said.decode(errors="replace"), time.monotonic() - began, family


@contextmanager
def read_meanwhile(terminal: int, into: bytearray) -> Iterator[None]:
    """Reads what is shown, as a terminal does: one that is full would hold the run up."""
    enough = threading.Event()

    def read() -> None:
        while not enough.is_set():
            if select.select([terminal], [], [], 0.05)[0]:
                into.extend(os.read(terminal, 65536))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        enough.set()
        reader.join()


def family_of(process: Command | subprocess.Popen[Any]) -> list[psutil.Process]:
    return [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]


def judged(case: Case, code: int, said: str, took: float, orphans: list[psutil.Process], out: Path) -> Iterator[str]:
    longest = SECONDS + (15.0 if case.victim == "worker" else 0.0)  # the others have to come to their end
    if took > longest:
        yield f"took {took:.1f} s"
    if orphans:
        yield f"still running: {orphans}"
    if case.code is not None and code != case.code:
        yield f"exit code {code}, not {case.code}"
    if "Traceback" in said:
        yield f"a traceback: {said[-1500:]}"
    [folder] = out.iterdir()
    if case.code != -9 and list(folder.glob("*.tmp")):
        yield f"left {list(folder.glob('*.tmp'))}"
    summary = open_run(folder).summary
    told = [*summary.doubts, *summary.validity.reasons]
    if case.says not in " ".join([*said.split(), *told]):
        yield f"{case.says!r} is not in: {said[-1000:]} {told}"


@contextmanager
def target_of(case: Case) -> Iterator[object]:
    """The embedded simulator; for the fit a server that never answers."""
    if case.phase != "fit":
        yield "simulator"
        return
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield {"url": f"http://127.0.0.1:{silent.getsockname()[1]}"}


def await_phase(case: Case, out: Path, process: Command | subprocess.Popen[Any]) -> None:
    """Until the run is where the case wants it."""
    wanted = {
        "fit": "*/run.json",
        "warm-up": "*/records*.jsonl",
        "measuring": "*/records*.jsonl",
        "draining": "*/health*.jsonl",
    }
    while not any(path.stat().st_size for path in out.glob(wanted[case.phase])):
        assert process.poll() is None
        time.sleep(0.05)


def find(victim: str, family: list[psutil.Process]) -> psutil.Process:
    if victim == "master":
        return family[0]
    part = {"worker": "bench.load.worker", "target": "bench.simulator"}[victim]
    return next(process for process in family if part in process.cmdline())
