"""Limiters that nobody here wrote, over real time: what each was told to do, and what was found.

    python -m benchmarks.real_limiters [--litellm PATH_TO_ITS_COMMAND] [--only nginx|llama|litellm]

nginx's limit_req without a burst, with one, with one that is not delayed, in front of the simulator and of llama.cpp; the
request limit and the token limit of LiteLLM's proxy (`pip install 'litellm[proxy]'` in an environment of its own).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import httpx

from bench.targets.servers import llama_cpp

NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log crit;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {zones}
  {servers}
}}
"""
RULES = {
    "limit_req rate=5r/s": ("5r/s", ""),
    "limit_req rate=5r/s burst=10 nodelay": ("5r/s", "burst=10 nodelay"),
    "limit_req rate=5r/s burst=10": ("5r/s", "burst=10"),
    "limit_req rate=120r/m burst=20 nodelay": ("120r/m", "burst=20 nodelay"),
}
BEFORE_LLAMA = {"limit_req rate=2r/s burst=6 nodelay": ("2r/s", "burst=6 nodelay")}
LITELLM = {"rpm: 12": ({"rpm": 12}, "requests"), "tpm: 4000": ({"tpm": 4000}, "tokens")}
"""The limits of a deployment, and what they limit."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def listens(port: int, seconds: float) -> bool:
    """Whether somebody answers there within so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return True
        time.sleep(0.1)
    return False


@contextlib.contextmanager
def process(command: list[str], port: int, *, seconds: float = 20.0, **more: str) -> Iterator[None]:
    """A server that is ended afterwards."""
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | more)
    try:
        if not listens(port, seconds):
            raise click.ClickException(f"{command[0]} does not listen on port {port}")
        yield
    finally:
        running.terminate()
        running.wait(20)


@contextlib.contextmanager
def simulator() -> Iterator[int]:
    port = free_port()
    with process([sys.executable, "-m", "bench", "simulate", "--port", str(port)], port):
        yield port


@contextlib.contextmanager
def nginx(upstream: int, rules: dict[str, tuple[str, str]]) -> Iterator[dict[str, int]]:
    """One nginx with a server for each rule; their ports."""
    ports = {name: free_port() for name in rules}
    with tempfile.TemporaryDirectory() as folder:
        zones, servers = "", ""
        for number, (name, (rate, more)) in enumerate(rules.items()):
            zones += f"limit_req_zone $binary_remote_addr zone=z{number}:1m rate={rate};\n"
            rule = f"limit_req zone=z{number} {more}; limit_req_status 429;"
            servers += f"server {{ listen 127.0.0.1:{ports[name]}; location / {{ {rule} "
            servers += f"proxy_pass http://127.0.0.1:{upstream}; proxy_buffering off; }} }}\n"
        file = Path(folder) / "nginx.conf"
        file.write_text(NGINX.format(folder=folder, zones=zones, servers=servers), "utf-8")
        Path(folder).chmod(0o755)
        binary = shutil.which("nginx") or "/usr/sbin/nginx"
        with process([binary, "-c", str(file), "-p", folder], next(iter(ports.values()))):
            yield ports


@contextlib.contextmanager
def litellm(command: str, upstream: int, limits: dict[str, int]) -> Iterator[int]:
    """LiteLLM's proxy with limits on a deployment."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        model = {
            "model_name": "sim/instant",
            "litellm_params": {
                "model": "openai/sim/instant", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "none", **limits,
            },
        }  # fmt: skip
        settings = {"optional_pre_call_checks": ["enforce_model_rate_limits"], "num_retries": 0}
        file = Path(folder) / "config.yaml"
        file.write_text(json.dumps({"model_list": [model], "router_settings": settings}), "utf-8")
        started = [command, "--config", str(file), "--port", str(port), "--host", "127.0.0.1"]
        alone = {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}  # it serves this machine only
        with process(started, port, seconds=300.0, **alone):
            yield port


def found(url: str, folder: Path, discover: str = "requests", model: str = "sim/instant") -> dict[str, object]:
    """What bench says of the limiter at this address."""
    name = f"limiter-{url.rpartition(':')[2]}"
    scenario = {
        "name": name, "kind": "rate_limit", "target": {"url": url}, "models": [model],
        "requests": [{"prompt": "hi", "max_tokens": 1, "stream": False}], "discover": [discover],
        "budget": {"requests": 600, "duration": "15m"},
    }  # fmt: skip
    file = folder / f"{name}.yaml"
    file.write_text(json.dumps(scenario), "utf-8")
    command = [sys.executable, "-m", "bench", "run", str(file), "--out", str(folder), "--no-report"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        [run] = folder.glob(f"{name}-2*")
        told: dict[str, object] = json.loads((run / "findings.json").read_text("utf-8"))["limits"][0]
    except (ValueError, OSError):
        raise click.ClickException(done.stderr[-2000:]) from None
    return told


def before_simulator(folder: Path) -> None:
    with simulator() as upstream, nginx(upstream, RULES) as ports:
        for name, port in ports.items():
            tell(f"nginx, {name}", found(f"http://127.0.0.1:{port}", folder))


def before_llama(folder: Path) -> None:
    with llama_cpp(slots=4) as served:
        model = httpx.get(f"{served.url}/v1/models", timeout=10.0).json()["data"][0]["id"]
        with nginx(int(served.url.rpartition(":")[2]), BEFORE_LLAMA) as ports:
            for name, port in ports.items():
                tell(f"llama.cpp, {name}", found(f"http://127.0.0.1:{port}", folder, model=model))


def before_litellm(folder: Path, command: str) -> None:
    with simulator() as upstream:
        for name, (limits, discover) in LITELLM.items():
            with litellm(command, upstream, limits) as port:
                tell(f"LiteLLM, {name}", found(f"http://127.0.0.1:{port}", folder, discover))


@click.command()
@click.option(
    "--litellm", "command", type=click.Path(exists=True), help="LiteLLM's command, of an environment of its own."
)
@click.option("--only", type=click.Choice(["nginx", "llama", "litellm"]), multiple=True)
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Where the runs are kept.")
def main(command: str | None, only: tuple[str, ...], keep: Path | None) -> None:
    """Print what each was told to do and what was found."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not only or "nginx" in only:
            before_simulator(folder)
        if not only or "llama" in only:
            before_llama(folder)
        if command is not None and (not only or "litellm" in only):
            before_litellm(folder, command)


def tell(name: str, limit: dict[str, object]) -> None:
    sure = "sure" if limit["sure"] else "not sure"
    click.echo(f"{name:45} {limit['says']} ({sure}; {limit['requests']} requests, {limit['refused']} refused)")


if __name__ == "__main__":
    main()
