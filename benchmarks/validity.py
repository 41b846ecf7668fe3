"""Does a run say so itself when it cannot be believed? A healthy run, one too heavy on purpose, one beside CPU hogs.

python benchmarks/validity.py
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCENARIO = """\
target: simulator
models: [sim/exact]
requests: [{prompt: Hi, max_tokens: 100, extra_body: {ignore_eos: true}}]
load: {users: 50, spawn_rate: 100, duration: 8s, warmup: 2s, drain: 5s}
seed: 1
"""


def hog(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def run(folder: Path, *settings: str) -> tuple[int, dict]:
    """Exit code and validity of a run."""
    (folder / "validity.yaml").write_text(SCENARIO)
    command = [sys.executable, "-m", "bench", "run", str(folder / "validity.yaml"), "--out", str(folder)]
    done = subprocess.run([*command, *settings], capture_output=True, text=True)
    newest = max((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    return done.returncode, json.loads((newest / "summary.json").read_bytes())["validity"]


def show(name: str, code: int, validity: dict) -> None:
    print(f"{name}: {validity['verdict']}, exit code {code}")
    for reason in validity["reasons"]:
        print(f"    {reason}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        show("50 streams", *run(Path(folder)))
        show("1,500 streams, too heavy on purpose", *run(Path(folder), "--set", "load.users=1500"))
        hogs = [multiprocessing.Process(target=hog, args=(25.0,)) for _ in range(4 * (os.cpu_count() or 1))]
        for process in hogs:
            process.start()
        show(f"50 streams beside {len(hogs)} CPU hogs", *run(Path(folder)))
        for process in hogs:
            process.kill()


if __name__ == "__main__":
    main()
