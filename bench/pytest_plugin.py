"""For pytest: the fixture `bench_run`, which runs a scenario in a test and gives its run. The package registers it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bench.analysis import Run

WRONG = 2


@pytest.fixture
def bench_run(tmp_path: Path) -> Callable[..., Run]:
    """`bench_run(scenario, *arguments)`: the run of `bench run` with these arguments, in a folder of the test's own,
    as `bench.open_run` gives it; its `summary.verdict` is pass, fail, inconclusive or measured. A scenario with a
    mistake fails the test with the command's own message, and so does a run that could not be made."""

    def run(scenario: str | Path, *arguments: str) -> Run:
        from bench.analysis import open_run

        name = f"bench-run-{sum(1 for one in tmp_path.iterdir() if one.name.startswith('bench-run-')) + 1}"
        command = [sys.executable, "-m", "bench", "run", str(scenario), "--out", str(tmp_path), "--name", name]
        command += ["--no-report", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
        if done.returncode == WRONG or not (tmp_path / name / "end.json").exists():
            pytest.fail(done.stderr, pytrace=False)
        return open_run(tmp_path / name)

    return run
