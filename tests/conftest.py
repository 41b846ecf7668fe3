"""Servers and commands that several tests use."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, settings

from bench.cli import RARELY
from tests.forks import Command

STARTING = re.compile(r"\b(bench_run|llama|new_simulator|serving|simulator|subprocess|forks|conftest|chromium)\b")
"""Words of a module whose tests start processes; the other modules' take milliseconds."""


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a suite in the background; what it starts would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


sys.dont_write_bytecode = (
    False  # a hundred processes would compile the package, where the environment forbids to keep it
)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
gc.set_threshold(RARELY, *gc.get_threshold()[1:])
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")  # a busy one makes examples late, which says nothing about what is tested


def pytest_collection_finish() -> None:
    """Modules and tests are no garbage, so the collector need not look at them each time."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow all tests of a module that starts processes."""
    for item in items:
        if starts_processes(item.path):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def unpatched() -> Iterator[None]:
    """What Locust patches stays patched for all tests after it, and their process would wait for ever: run in another."""
    yield
    monkey = sys.modules.get("gevent.monkey")
    assert monkey is None or not monkey.is_module_patched("threading"), "this test made Locust patch this process"


@cache
def starts_processes(path: Path) -> bool:
    return STARTING.search(path.read_text("utf-8")) is not None


@contextmanager
def serving(folder: Path, **provider: object) -> Iterator[str]:
    """A simulated provider as a process; yields its URL."""
    config = folder / "provider.json"
    config.write_text(json.dumps(provider))
    command = [sys.executable, "-m", "bench.simulator", "--until-eof", "--config", str(config)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.stdin.close()
            process.wait(10)


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[], str]) -> str:
    """What `make` returns, which takes seconds: one of the processes that run the tests makes it, the others read it.
    With worksteal a module's tests are run by several."""
    folder = tmp_path_factory.getbasetemp()
    file = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / name
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            file.write_text(make(), "utf-8")
    return file.read_text("utf-8")


@pytest.fixture(scope="session")
def simulator(tmp_path_factory):
    """The simulated provider as it comes, with its five models."""
    with serving(tmp_path_factory.mktemp("simulator")) as url:
        yield url


def plainly_simulated(scenario: str | Path) -> bool:
    """Whether a scenario's target is the simulator as it comes, so that one that is there does as well."""
    return yaml.safe_load(Path(scenario).read_text("utf-8"))["target"] == "simulator"


@pytest.fixture
def new_simulator(tmp_path):
    """A simulated provider of the test's own: `with new_simulator(key="k") as url`."""
    return lambda **provider: serving(tmp_path, **provider)


class Done:
    """A `bench run` that has ended."""

    def __init__(self, process: subprocess.CompletedProcess[str], folder: Path | None) -> None:
        self.code, self.err, self.folder = process.returncode, process.stderr, folder
        self.stdout = process.stdout
        self.out = " ".join(process.stdout.split())  # however wide the terminal was

    @property
    def run(self):
        """The run it left behind."""
        from bench import open_run

        return open_run(self.folder)

    @property
    def passed(self) -> bool:
        """Whether it says so; on a machine at other work a measurement may be invalid, which is not what is tested."""
        summary = self.run.summary
        if summary.validity.verdict == "invalid":
            kept = all(one.verdict == "pass" for one in summary.thresholds)
            return kept and summary.failing is None and self.code == 3
        return summary.verdict in ("pass", "measured") and self.code == 0

    @property
    def requests(self):
        return self.run.requests


def bench(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own that has imported everything before."""
    return Command(arguments, **options).wait()


def bench_from_scratch(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command as a user's shell starts it, which takes a second of CPU longer."""
    command = [sys.executable, "-m", "bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def bench_run(tmp_path, simulator):
    """`bench run` of a scenario given as values; small, quick and without pictures unless the test says otherwise. A
    simulator of its own is started only for what the test says of it; else all have the one that is there.

    With pictures it is a process that a shell could have started."""
    return runs_in(tmp_path, target={"url": simulator})


def runs_in(folder: Path, **usual: object) -> Callable[..., Done]:
    """`bench run` of a scenario given as values, with the scenario and its runs in this folder."""

    def run(*arguments: object, drawn: bool = False, **scenario: object) -> Done:
        plain = {
            "models": ["sim/instant"],
            "requests": [{"prompt": "Hello", "max_tokens": 5}],
            "load": {"users": 2, "requests": 20},
            "seed": 1,
        }
        file = folder / "scenario.yaml"
        file.write_text(yaml.safe_dump(plain | usual | scenario, allow_unicode=True))
        out = folder / "out"
        before = set(out.glob("*")) if out.exists() else set()
        if drawn:
            process = bench_from_scratch("run", file, "--out", out, *arguments)
        else:
            process = bench("run", file, "--out", out, *arguments, "--no-report")
        made = sorted(set(out.glob("*")) - before) if out.exists() else []
        return Done(process, made[-1] if made else None)

    return run
