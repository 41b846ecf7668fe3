"""How long and how much memory does `bench report` take for a run of so many records? Writes such a run first.

python benchmarks/scale.py 100000 [--arrivals 100] [--folder DIR]
python benchmarks/scale.py 1000000 --limits   what judging rate-limit headers and refusals adds to the analysis: every
                                              answer states two limits, one in fifty is refused with words of its own
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


def write(folder: Path, records: int, arrivals: int, *, limits: bool = False) -> None:
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
            block = [limited(one, rng) for one in block] if limits else block
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


def limited(answer: dict[str, object], rng: random.Random) -> dict[str, object]:
    """The same, with what a provider's headers state of requests and tokens; or refused, with words of its own."""
    left = rng.randrange(1000)
    stated = {"requests.limit": 1000, "requests.remaining": left, "requests.reset_s": rng.random() * 60,
              "tokens.limit": 1e6, "tokens.remaining": 1000 * left, "tokens.reset_s": rng.random() * 60}  # fmt: skip
    if rng.random() > 0.02:
        return answer | {"limits": stated}
    resource = rng.choice(["requests", "tokens"])
    error = (
        f"HTTP 429 rate_limit_exceeded {resource}: Rate limit reached for m on {resource} per min: Limit 1000, Used "
    )
    error += f"1000, Requested 1. Please try again in {rng.random():.3f}s."
    nothing = {"arrivals": [], "first_token_at": None, "first_answer_at": None, "completion_tokens": None}
    refused = {"status": 429, "outcome": "throttled", "error": error, "retry_after": 1.0, "limits": stated}
    return answer | nothing | refused


def judged(folder: Path) -> str:
    """How much CPU time an analysis takes, whatever else this machine does, and which part of it is for the limits."""
    from bench.analysis import open_run
    from bench.analysis.rate_limits import limit_doubts, rate_limits
    from bench.analysis.windows import windows_of

    began = time.process_time()
    run = open_run(folder)
    found = run.summary.rate_limits
    whole = time.process_time() - began
    scenario = run.facts.scenario
    began = time.process_time()
    windows = windows_of(run.records, scenario, run.stages)
    again = rate_limits(run.table, run.records, windows, scenario.models, {"measure": 400.0})
    limit_doubts(again, run.records)
    took = time.process_time() - began
    refused = sum(sum(one.refused.values()) for one in found)
    return (
        f"analysis of {len(run.records):,} records, {refused:,} of them refused: {whole:.1f} s of CPU, of which limits "
        f"{took:.2f} s: {took / (whole - took):.1%} on top of the rest"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=int)
    parser.add_argument("--arrivals", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where the run is written; default: a temporary folder")
    parser.add_argument("--limits", action="store_true", help="measure what rate limits add to the analysis")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        write(folder, given.records, given.arrivals, limits=given.limits)
        if given.limits:
            print(judged(folder))
            return
        size = (folder / "records.jsonl").stat().st_size
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "bench", "report", str(folder)], check=True, stdout=subprocess.DEVNULL)
        took = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(f"{given.records:,} records, {size / 1e9:.2f} GB: report in {took:.1f} s, {peak:.2f} GB at most")


if __name__ == "__main__":
    main()
