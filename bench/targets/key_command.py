"""Runs a command that prints a key, in its own process: `python -m bench.targets.key_command`.

It reads one line of JSON with its order from standard input, and writes one line of JSON per run of the command, with
`output` or `error`. It runs the command once, or again and again until its standard input closes, which happens when
its parent ends. So the load's process need not fork or wait. This module imports only what starts fast.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time

MOST = 65_536  # the largest output of a command, bytes
TOLD = 300  # characters of the command's standard error in a message
RETRY_S = 30.0  # the longest wait after a failure
LOOK_S = 0.02  # how often to check whether the command has ended


class GoneError(Exception):
    """Standard input was closed."""


def main() -> None:
    order = json.loads(sys.stdin.buffer.readline())
    wait = 0.0 if order["once"] else order["every"]
    try:
        while True:
            pause(wait)
            found = outcome(order["arguments"], order["folder"], order["timeout"])
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()
            if order["once"]:
                return
            wait = order["every"] if "output" in found else min(order["every"], RETRY_S)
    except (GoneError, BrokenPipeError):
        os._exit(0)


def pause(seconds: float) -> None:
    """Wait for this time. Raises GoneError if standard input closes before."""
    if select.select((sys.stdin,), (), (), seconds)[0] and seconds:
        raise GoneError


def outcome(arguments: list[str], folder: str | None, timeout: float) -> dict[str, str]:
    """What the command printed, as `output`, or what went wrong, as `error`."""
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command
            arguments,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that what it starts can be ended with it
        )
    except OSError as error:
        return {"error": not_started(error, arguments[0], folder)}
    with Output(process) as read:
        try:
            read.until(time.monotonic() + timeout)
        finally:
            end(process)
    if read.late:
        return {"error": f"it had not ended after its timeout of {timeout:g} s"}
    if read.too_long:
        return {"error": f"it printed more than {MOST:,} bytes; the key alone is expected"}
    if process.returncode:
        last = read.said.decode(errors="replace").strip().splitlines()[-1:]
        how = f"exit code {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
        return {"error": f"it ended with {how}{f': {last[0][:TOLD]}' if last else ' and said nothing'}"}
    return {"output": read.printed.decode(errors="replace")}


def not_started(error: OSError, program: str, folder: str | None) -> str:
    """Why a command could not be started."""
    if folder is not None and not os.path.isdir(folder):  # noqa: PTH112 - pathlib is another import
        return f"its folder {folder} is not a folder"
    if isinstance(error, FileNotFoundError):
        return f"there is no program {program}; its name or its path is expected, relative to its folder"
    return f"it cannot be started: {error.strerror}"


class Output:
    """Reads the standard output and standard error of a command until the command ends."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.printed = self.said = b""
        self.late = self.too_long = False
        assert process.stdout is not None
        assert process.stderr is not None
        self._process, self._stdout, self._stderr = process, process.stdout, process.stderr
        self._open = {process.stdout.fileno(), process.stderr.fileno()}

    def until(self, deadline: float) -> None:
        """Read until the command ends, until the deadline, or until it has printed too much. Raises GoneError if
        standard input closes before."""
        while True:
            ended = self._process.poll() is not None
            more = self._more(0.0 if ended else LOOK_S)
            if self.too_long or (ended and not more):
                return
            if time.monotonic() > deadline:
                self.late = not ended
                return

    def _more(self, wait: float) -> bool:
        """Read what is there. Returns whether there was anything."""
        parent = sys.stdin.fileno()
        ready: list[int] = select.select((*self._open, parent), (), (), wait)[0]
        if parent in ready:
            raise GoneError
        for one in ready:
            if not (piece := os.read(one, MOST)):
                self._open.discard(one)
            elif one == self._stdout.fileno():
                self.printed += piece
            else:
                self.said = (self.said + piece)[-MOST:]
        self.too_long = len(self.printed) > MOST
        return bool(ready)

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_: object) -> None:
        self._stdout.close()
        self._stderr.close()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a command that still runs, and all processes that it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    main()
