"""Other tools on the same simulator with the same load: what they report, and what was true.

    python benchmarks/peers.py [--streams 50] [--requests 1000] [--llmeter VENV] [--evalscope VENV]

Each VENV is a virtual environment with that tool from PyPI, nothing of ours in it. The truth is the simulator's own
record of the same requests; CPU and memory are of the tool's whole process tree.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

PROMPT = "word word word word word word word word"
LLMETER = """
import asyncio, json, sys
from llmeter.endpoints.openai import OpenAICompletionStreamEndpoint as Endpoint
from llmeter.runner import Runner
url, streams, requests = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
endpoint = Endpoint(model_id="sim/exact", api_key="x", base_url=url + "/v1", max_retries=0)
payload = Endpoint.create_payload({prompt!r}, max_tokens=100)
runner = Runner(endpoint=endpoint, clients=streams, n_requests=max(1, requests // streams), payload=payload)
result = asyncio.run(runner.run())
times = sorted(r.time_to_first_token for r in result.responses if r.time_to_first_token is not None)
print(json.dumps({{"p50": times[len(times) // 2] * 1e3, "p99": times[len(times) * 99 // 100] * 1e3}}))
"""


def llmeter(venv: Path, url: str, streams: int, requests: int, folder: Path) -> list[str]:
    script = folder / "llmeter_run.py"
    script.write_text(LLMETER.format(prompt=PROMPT))
    return [str(venv / "bin" / "python"), str(script), url, str(streams), str(requests)]


def evalscope(venv: Path, url: str, streams: int, requests: int, folder: Path) -> list[str]:
    return [
        str(venv / "bin" / "evalscope"), "perf", "--url", f"{url}/v1/chat/completions", "--api", "openai",
        "--model", "sim/exact", "--parallel", str(streams), "--number", str(requests), "--stream",
        "--prompt", PROMPT, "--max-tokens", "100", "--outputs-dir", str(folder),
    ]  # fmt: skip


def bench(_: Path, url: str, streams: int, requests: int, folder: Path) -> list[str]:
    scenario = folder / "peers.yaml"
    scenario.write_text(
        f'target: {{url: "{url}"}}\nmodels: [sim/exact]\nrequests: [{{prompt: "{PROMPT}", max_tokens: 100}}]\n'
        f"load: {{users: {streams}, requests: {requests}}}\nseed: 1\n"
    )
    return [sys.executable, "-m", "bench", "run", str(scenario), "--out", str(folder)]


def said_llmeter(out: str, _: Path) -> dict[str, float]:
    return json.loads(out[out.rindex("{") :])  # behind the progress bars


def said_evalscope(_: str, folder: Path) -> dict[str, float]:
    found = next(folder.rglob("benchmark_percentile.json"))
    rows = {row["Percentiles"]: row for row in json.loads(found.read_text())}
    key = next(key for key in rows["50%"] if key.startswith("TTFT"))
    scale = 1e3 if "(s)" in key else 1.0
    return {"p50": rows["50%"][key] * scale, "p99": rows["99%"][key] * scale}


def said_bench(_: str, folder: Path) -> dict[str, float]:
    found = json.loads(next(folder.rglob("summary.json")).read_text())
    ttft = found["groups"][0]["ttft_s"]
    return {name: ttft[name] * 1e3 for name in ("p50", "p99")}


TOOLS: dict[str, tuple[Callable[..., list[str]], Callable[[str, Path], dict[str, float]]]] = {
    "bench": (bench, said_bench),
    "llmeter": (llmeter, said_llmeter),
    "evalscope": (evalscope, said_evalscope),
}


class Watch(threading.Thread):
    """CPU seconds and peak memory of a process and its children, sampled."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.root, self.cpu, self.peak = psutil.Process(pid), {}, 0.0
        self.start()

    def run(self) -> None:
        while True:
            try:
                family = [self.root, *self.root.children(recursive=True)]
                self.peak = max(self.peak, sum(one.memory_info().rss for one in family))
                for one in family:
                    used = one.cpu_times()
                    self.cpu[one.pid] = used.user + used.system
            except psutil.Error:
                if not self.root.is_running() or self.root.status() == psutil.STATUS_ZOMBIE:
                    return
            time.sleep(0.2)


def measure(name: str, venv: Path, streams: int, requests: int) -> str:
    """One tool's row."""
    command_of, said = TOOLS[name]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-m", "bench.simulator", "--until-eof"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as simulator,
    ):
        url = json.loads(simulator.stdout.readline())["url"]
        command = command_of(venv, url, streams, requests, Path(folder))
        with (Path(folder) / "stdout.txt").open("w") as out:
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=folder)
            watch, tokens = Watch(process.pid), []
            while process.poll() is None:
                time.sleep(0.5)
                tokens.append((time.monotonic(), httpx.get(f"{url}/simulator/stats").json()["tokens"]))
        truth = httpx.get(f"{url}/simulator/stats").json()["ttft_s"]
        simulator.stdin.close()
        try:
            told = said((Path(folder) / "stdout.txt").read_text(), Path(folder))
        except (StopIteration, KeyError, ValueError, IndexError) as error:
            return f"| {name} | failed: {error!r}: {(Path(folder) / 'stdout.txt').read_text()[-300:]} |"
    busy = [one for one in tokens if 0.1 * tokens[-1][1] < one[1] < 0.9 * tokens[-1][1]]
    rate = (busy[-1][1] - busy[0][1]) / (busy[-1][0] - busy[0][0]) if len(busy) > 1 else float("nan")
    cpu = sum(watch.cpu.values())
    return (
        f"| {name} | {streams} | {truth['p50'] * 1e3:.1f} → {told['p50']:.1f} | {truth['p99'] * 1e3:.1f} → {told['p99']:.1f} "
        f"| {rate:,.0f} | {cpu:.1f} | {watch.peak / 1e6:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--requests", type=int, default=1000)
    for name in TOOLS:
        if name != "bench":
            parser.add_argument(f"--{name}", type=Path, metavar="VENV")
    given = parser.parse_args()
    print(
        "| tool | streams | TTFT p50 true → reported, ms | TTFT p99 true → reported, ms | tokens/s | CPU, s | memory, MB |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in TOOLS:
        venv = Path() if name == "bench" else getattr(given, name)
        if venv is not None:
            print(measure(name, venv.absolute(), given.streams, given.requests), flush=True)


if __name__ == "__main__":
    main()
