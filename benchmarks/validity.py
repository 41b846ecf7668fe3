"""Does a run say so itself when it cannot be believed, and only then? A healthy run, few streams, a server that sends
tokens together as gateways do, a load too heavy on purpose, and a machine with CPU hogs.

    python benchmarks/validity.py

Prints for each the verdict, the true percentiles of TTFT, those told, and how far off the run itself says that they may
be. The exit code is 1 where one is further off than that, or where a run that is off by more than 5 % is called valid.
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


# Its clock tells when a token was made, not when the read that holds it was sent: the difference is its own delay.
MERGING = 'target={"simulator": {"models": {"sim/exact": {"faults": [{"kind": "merge", "size": 4}]}}}}'


def run(folder: Path, *settings: str) -> tuple[int, dict, dict]:
    """Exit code, validity and truth of a run."""
    (folder / "validity.yaml").write_text(SCENARIO)
    command = [sys.executable, "-m", "bench", "run", str(folder / "validity.yaml"), "--out", str(folder)]
    done = subprocess.run([*command, *settings], capture_output=True, text=True)
    newest = max((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    summary = json.loads((newest / "summary.json").read_bytes())
    return done.returncode, summary["validity"], summary["truth"]


SLACK_S = 0.0002  # the simulator's own stamps and the scheduler's grain
FAR = 0.05  # of a percentile: more may not be called valid


def show(name: str, code: int, validity: dict, truth: dict) -> bool:
    """Prints what a run said of itself and what is true; whether the two agree."""
    print(f"{name}: {validity['verdict']}, exit code {code}")
    right = True
    for bound in validity["bounds"]:
        true = truth["true_ttft_s"].get(bound["stat"])
        if bound["metric"] != "ttft" or true is None:
            continue
        off = abs(bound["value"] - true)
        kept = off <= bound["error"] + SLACK_S
        believed = validity["verdict"] != "valid" or off <= max(FAR * true, SLACK_S)
        right = right and kept and believed
        print(
            f"    TTFT {bound['stat']} true {true * 1e3:.2f} → told {bound['value'] * 1e3:.2f} ms, "
            f"may be off by {bound['error'] * 1e3:.2f} ms{'' if kept else ': IT IS FURTHER OFF'}"
            f"{'' if believed else ': NOT VALID'}"
        )
    for reason in validity["reasons"]:
        print(f"    {reason}")
    return right


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        right = [
            show("50 streams", *run(Path(folder))),
            show("5 streams", *run(Path(folder), "--set", "load={users: 5, requests: 5}")),
            show("50 streams, tokens sent four at a time", *run(Path(folder), "--set", MERGING)),
            show("1,500 streams, too heavy on purpose", *run(Path(folder), "--set", "load.users=1500")),
        ]
        hogs = [multiprocessing.Process(target=hog, args=(25.0,)) for _ in range(4 * (os.cpu_count() or 1))]
        for process in hogs:
            process.start()
        right.append(show(f"50 streams beside {len(hogs)} CPU hogs", *run(Path(folder))))
        for process in hogs:
            process.kill()
    sys.exit(not all(right))


if __name__ == "__main__":
    main()
