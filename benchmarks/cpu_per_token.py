"""CPU per token of `bench run` beside the leanest client that we can write in C, in turns on the same simulator.

    python benchmarks/cpu_per_token.py [--streams 400] [--pairs 3]

Needs a C compiler. With both on one machine the simulator has its share of it; what the C client reaches is what the
simulator can give.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 8
SCENARIO = """\
target: {url: "%s"}
models: [sim/exact]
requests: [{prompt: "word word word", max_tokens: 100, extra_body: {ignore_eos: true}}]
load: {users: %d, spawn_rate: 1000, duration: %ds, warmup: 2s}
seed: 1
"""


def lean(binary: Path, url: str, streams: int, folder: Path) -> dict[str, float]:
    body = {
        "model": "sim/exact", "messages": [{"role": "user", "content": "word word word"}], "max_tokens": 100,
        "stream": True, "stream_options": {"include_usage": True}, "ignore_eos": True,
    }  # fmt: skip
    (folder / "body.json").write_text(json.dumps(body))
    command = [binary, url.rpartition(":")[2], str(streams), str(SECONDS), folder / "body.json"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    tokens = found["events"] * 100 / 104  # role, finish, usage and [DONE] are events too
    return {"us": found["cpu_s"] / tokens * 1e6, "tokens": tokens / found["seconds"], "ttft_p99": found["ttft_p99_ms"]}


def ours(url: str, streams: int, folder: Path) -> dict[str, float]:
    (folder / "cpu.yaml").write_text(SCENARIO % (url, streams, SECONDS))
    command = [sys.executable, "-m", "bench", "run", str(folder / "cpu.yaml"), "--out", str(folder)]
    subprocess.run(command, capture_output=True, check=False)
    newest = max((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    summary = json.loads((newest / "summary.json").read_bytes())
    tokens = summary["groups"][0]["output_tokens_per_s"]
    error = summary["truth"]["ttft_error_s"]["sample_p99"] * 1e3
    return {"us": summary["validity"]["cpu"] / tokens * 1e6, "tokens": tokens, "error_p99": error}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=400)
    parser.add_argument("--pairs", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        binary = folder / "lean_client"
        subprocess.run(["cc", "-O2", "-o", binary, Path(__file__).with_name("lean_client.c")], check=True)
        ratios = []
        with subprocess.Popen(
            [sys.executable, "-m", "bench.simulator", "--until-eof"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as simulator:
            url = json.loads(simulator.stdout.readline())["url"]
            for _ in range(given.pairs):
                c, bench = lean(binary, url, given.streams, folder), ours(url, given.streams, folder)
                ratios.append(bench["us"] / c["us"])
                print(f"C client {c['us']:5.1f} µs/token at {c['tokens']:,.0f} tokens/s   "
                      f"bench {bench['us']:5.1f} µs/token at {bench['tokens']:,.0f} tokens/s "
                      f"(TTFT error p99 {bench['error_p99']:.3f} ms)   ratio {ratios[-1]:.2f}")  # fmt: skip
            simulator.stdin.close()
    print(f"ratio, median: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
