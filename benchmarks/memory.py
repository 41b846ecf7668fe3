"""Does memory grow with the length of a run? Samples the resident memory of `bench run` while it loads the simulator.

python benchmarks/memory.py [--minutes 10] [--users 100]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

SCENARIO = """\
target: simulator
models: [sim/exact]
requests: [{{prompt: {{tokens: 100}}, max_tokens: 100, extra_body: {{ignore_eos: true}}}}]
load: {{users: {users}, spawn_rate: 50, duration: {minutes}m}}
seed: 1
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--users", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scenario = Path(folder) / "memory.yaml"
        scenario.write_text(SCENARIO.format(users=given.users, minutes=given.minutes))
        command = [sys.executable, "-m", "bench", "run", str(scenario), "--out", folder]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            watched, began = psutil.Process(process.pid), time.monotonic()
            ends = began + 60.0 * given.minutes
            while process.poll() is None and time.monotonic() < ends:
                records = sum(path.stat().st_size for path in Path(folder).glob("*/records.jsonl"))
                megabytes = watched.memory_info().rss / 1e6
                print(
                    f"{time.monotonic() - began:5.0f} s  {megabytes:6.1f} MB  {records / 1e6:7.1f} MB of records",
                    flush=True,
                )
                time.sleep(30.0)


if __name__ == "__main__":
    main()
