"""How soon after the command is the first request sent, and how soon is --help there?

python benchmarks/startup.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

SCENARIO = 'target: {url: "%s"}\nmodels: [sim/instant]\nrequests: [{prompt: Hi, max_tokens: 1}]\nload: {users: 1, requests: 2}\n'


def main() -> None:
    helps = []
    for _ in range(5):
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "bench", "--help"], check=True, stdout=subprocess.DEVNULL)
        helps.append(time.monotonic() - began)
    print(f"bench --help: {min(helps):.2f} s at best, {max(helps):.2f} s at worst of {len(helps)}")
    command = [sys.executable, "-m", "bench.simulator", "--until-eof"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as simulator:
        url = json.loads(simulator.stdout.readline())["url"]
        firsts = []
        for _ in range(5):
            with tempfile.TemporaryDirectory() as folder:
                scenario = Path(folder) / "startup.yaml"
                scenario.write_text(SCENARIO % url)
                began = datetime.now(UTC)
                run = [sys.executable, "-m", "bench", "run", str(scenario), "--out", folder]
                subprocess.run(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
                lines = next(Path(folder).glob("*/records.jsonl")).read_text().splitlines()
                facts = json.loads(next(Path(folder).glob("*/run.json")).read_text())
                begun = (datetime.fromisoformat(facts["started_at"]) - began).total_seconds()
                firsts.append(begun + min(json.loads(line)["sent"] for line in lines))
        simulator.stdin.close()
    print(f"bench run, first request sent: {min(firsts):.2f} s at best, {max(firsts):.2f} s at worst of {len(firsts)}")


if __name__ == "__main__":
    main()
