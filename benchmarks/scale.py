"""How long and how much memory does `bench report` take for a run of so many records? Writes such a run first.

python benchmarks/scale.py 100000 [--arrivals 100] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson

SHAPES = 500  # different records; each is written again and again at other times


def write(folder: Path, records: int, arrivals: int) -> None:
    """A run of two models and two request classes with streamed answers of `arrivals` tokens."""
    facts = {
        "schema": 1, "seed": 1, "started_at": "2026-01-01T00:00:00+00:00", "scenario_file": "scale.yaml", "git": None,
        "scenario": {
            "name": "scale", "kind": "load", "target": {"url": "http://127.0.0.1"}, "models": ["a", "b"],
            "requests": [{"name": "x"}, {"name": "y"}], "load": {"users": 400, "duration": 3600.0, "warmup": 10.0},
            "thresholds": ["ttft p99 < 1s", "error_rate < 1%"], "slo": {"ttft": 0.5},
            "prices": {"a": {"input": 1.0, "output": 2.0}},
        },
        "target": {"kind": "url", "url": "http://127.0.0.1"}, "versions": {}, "command": [], "records_version": 1,
        "machine": {"system": "", "python": "", "cpus": 2, "cpu_model": "", "memory_gb": 8},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(facts))
    end = {"duration_s": 3700.0, "load_started": 0.0, "measure": [10.0, 3610.0], "planned": records, "sent": records,
           "stopped_by": "duration"}  # fmt: skip
    (folder / "end.json").write_text(json.dumps(end))
    (folder / "health.jsonl").write_text("")
    rng = random.Random(1)
    step = 3600.0 / records
    with (folder / "records.jsonl").open("wb") as out:
        for first in range(0, records, SHAPES):
            block = [record(n, 10.0 + n * step, arrivals, rng) for n in range(first, min(first + SHAPES, records))]
            out.write(b"".join(orjson.dumps(one) + b"\n" for one in block))


def record(number: int, sent: float, arrivals: int, rng: random.Random) -> dict[str, object]:
    first = sent + rng.uniform(0.1, 0.5)
    times = [[round(first + 0.01 * n + rng.random() * 0.001, 7), 1] for n in range(arrivals)]
    ok = rng.random() > 0.002
    return {
        "seq": number, "worker": 0, "user": number % 400, "stage": "measure", "name": "xy"[number % 3 == 0],
        "model": "ab"[number % 2], "api": "chat", "stream": True, "due": None, "sent": round(sent, 7),
        "connect_started": None, "connected": None, "headers_at": times[0][0], "done": times[-1][0], "arrivals": times,
        "first_token_at": times[0][0], "first_answer_at": times[0][0], "merged": 0, "read_delay": 0.0001,
        "clock": "kernel", "status": 200 if ok else 500, "outcome": "ok" if ok else "server_error", "error": None,
        "attempts": 1, "earlier": [], "reopened": False, "retry_after": None, "limits": {}, "prompt_tokens": 200,
        "completion_tokens": arrivals, "reasoning_tokens": 0, "cached_tokens": 0, "cache_write_tokens": None,
        "tokens_from": "usage", "output_chars": 600, "finish_reason": "length", "response_model": "a",
        "request_id": f"chatcmpl-{number:08x}", "http": "HTTP/1.1", "bytes_received": 20000, "server": {},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=int)
    parser.add_argument("--arrivals", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where the run is written; default: a temporary folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        write(folder, given.records, given.arrivals)
        size = (folder / "records.jsonl").stat().st_size
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "bench", "report", str(folder)], check=True, stdout=subprocess.DEVNULL)
        took = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(f"{given.records:,} records, {size / 1e9:.2f} GB: report in {took:.1f} s, {peak:.2f} GB at most")


if __name__ == "__main__":
    main()
