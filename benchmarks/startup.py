"""What the command takes beside the load: until --help is there, until the first request is sent, and after the last
answer; and its CPU outside the load, in a run of 1,000 requests.

python benchmarks/startup.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

SCENARIO = """\
target: {url: "%s"}
models: [sim/instant]
requests: [{prompt: Hi, max_tokens: 10}]
load: {users: %d, requests: %d}
seed: 1
"""
TIMES = 5


@dataclass(frozen=True)
class Run:
    """One run of the command; seconds."""

    until_first: float  # from the command to the first request sent
    after_last: float  # from the last answer to the command's end
    cpu: float  # of the command and what it started
    cpu_outside: float  # of that, what was not while the load ran


def run(url: str, users: int, requests: int) -> Run:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenario = folder / "startup.yaml"
        scenario.write_text(SCENARIO % (url, users, requests))
        command = [sys.executable, "-m", "bench", "run", str(scenario), "--out", name]
        began = datetime.now(UTC)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, _, used = os.wait4(process.pid, 0)
        ended = datetime.now(UTC)
        left = next(folder.glob("*/run.json")).parent
        started = datetime.fromisoformat(json.loads((left / "run.json").read_text())["started_at"])
        records = [json.loads(line) for line in (left / "records.jsonl").read_text().splitlines()]
        cpu = used.ru_utime + used.ru_stime
        return Run(
            until_first=(started - began).total_seconds() + min(record["sent"] for record in records),
            after_last=(ended - started).total_seconds() - max(record["done"] for record in records),
            cpu=cpu,
            cpu_outside=cpu - cpu_of_load(left),
        )


def cpu_of_load(folder: Path) -> float:
    """What the process says of itself, each second of the load; CPU seconds."""
    at = json.loads((folder / "end.json").read_text())["load_started"]
    used = 0.0
    for line in (folder / "health.jsonl").read_text().splitlines():
        health = json.loads(line)
        used += health["cpu"] * (health["t"] - at)
        at = health["t"]
    return used


def show(what: str, seconds: list[float]) -> None:
    print(f"{what}: {min(seconds):.2f} s at best, {max(seconds):.2f} s at worst of {len(seconds)}")


def main() -> None:
    helps = []
    for _ in range(TIMES):
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "bench", "--help"], check=True, stdout=subprocess.DEVNULL)
        helps.append(time.monotonic() - began)
    show("bench --help", helps)
    command = [sys.executable, "-m", "bench.simulator", "--until-eof"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as simulator:
        url = json.loads(simulator.stdout.readline())["url"]
        show("bench run, first request sent", [run(url, 1, 2).until_first for _ in range(TIMES)])
        runs = [run(url, 10, 1000) for _ in range(TIMES)]
        simulator.stdin.close()
    show("1,000 requests, last answer to exit", [one.after_last for one in runs])
    show("1,000 requests, CPU outside the load", [one.cpu_outside for one in runs])
    show("1,000 requests, CPU in all", [one.cpu for one in runs])


if __name__ == "__main__":
    main()
