"""The same questions as in rate_limits.py, over HTTP and in real time: `bench run` against the simulator.

    python -m benchmarks.rate_limits --real

Twelve limiters, each kind with a short and a longer window, and contracts about requests, tokens, images and
concurrency, each with a provider that keeps it and with one that breaks it. Several runs go on at a time: nearly all
of it is waiting.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

WINDOWS = ("fixed_window", "fixed_window_from_first", "sliding_log", "sliding_log_counting_rejects", "sliding_counter")
WINDOWS_S = (1.0, 10.0)
NEAR = 0.03  # relative: of windows and rates
TEXT = {"prompt": "hi", "max_tokens": 1, "stream": False}
PICTURES = {"api": "images", "prompt": "hi"}
EVERYTHING = ("discoveries", "contracts")
HEADERS = {"headers": ["openai"], "retry_after": "seconds"}


@dataclass(frozen=True, slots=True)
class Case:
    """One run of bench, and what it should say."""

    name: str
    scenario: dict[str, Any]
    limit: dict[str, Any]  # the provider's
    broken: str | None = None  # words of the clause of a contract that has to fail


# -- the cases ------------------------------------------------------------------------------------------------


def discoveries(seed: int) -> Iterator[Case]:
    """Each kind with a short and a longer window."""
    rng = random.Random(seed)
    for window in WINDOWS_S:
        for kind in WINDOWS:
            limit = {"kind": kind, "limit": rng.randint(5, 40), "window": window}
            yield discovery(f"{kind} of {window:g} s", limit)
        rate = round(rng.uniform(1.0, 8.0), 1)
        yield discovery(
            f"token_bucket of {rate:g}/s", {"kind": "token_bucket", "limit": rng.randint(5, 40), "rate": rate}
        )


def discovery(name: str, limit: dict[str, Any]) -> Case:
    asked = scenario("sim/instant", TEXT, [limit], {}) | {"discover": ["requests"], "budget": {"requests": 600}}
    return Case(name, asked, limit)


def contracts() -> Iterator[Case]:
    """Each promise, kept and broken."""
    log = {"kind": "sliding_log", "window": 60.0}
    rpm = {"rpm": 60, "headers": "openai", "retry_after": True}
    yield promise("rpm 60", rpm, TEXT, log | {"limit": 60})
    yield promise("rpm 60", rpm, TEXT, log | {"limit": 60}, broken="is a 429", status=500)
    tpm, tokens = {"tpm": 20000, "headers": "openai", "retry_after": True}, {"resource": "tokens", "limit": 20000}
    yield promise("tpm 20,000", tpm, TEXT, log | tokens)
    yield promise("tpm 20,000", tpm, TEXT, log | tokens | {"enforced": 0.8}, broken="refused share")
    ipm, images = {"ipm": 60, "retry_after": True}, {"resource": "images", "limit": 60}
    yield promise("ipm 60", ipm, PICTURES, log | images, model="sim/painter")
    yield promise("ipm 60", ipm, PICTURES, log | images, "sent at Retry-After", "sim/painter", retry_after_factor=0.3)
    streams = {"kind": "concurrency", "limit": 4}
    yield promise("concurrency 4", {"concurrency": 4}, TEXT, streams, model="sim/exact")
    less = streams | {"limit": 3}
    yield promise("concurrency 4", {"concurrency": 4}, TEXT, less, "as many at a time", "sim/exact")


def promise(
    name: str,
    contract: dict[str, Any],
    request: dict[str, Any],
    limit: dict[str, Any],
    broken: str | None = None,
    model: str = "sim/instant",
    **throttling: Any,
) -> Case:
    asked = scenario(model, request, [limit], HEADERS | throttling) | {"contract": contract}
    return Case(f"{name}, {'kept' if broken is None else 'broken'}", asked, limit, broken)


def scenario(
    model: str, request: dict[str, Any], limits: list[dict[str, Any]], throttling: dict[str, Any]
) -> dict[str, Any]:
    simulator = {"limits": limits, "throttling": throttling}
    return {"kind": "rate_limit", "target": {"simulator": simulator}, "models": [model], "requests": [request]}


# -- what was said of them ------------------------------------------------------------------------------------


def findings(case: Case, folder: Path, number: int) -> dict[str, Any]:
    """What bench says."""
    name = f"case-{number}"
    file = folder / f"{name}.yaml"
    file.write_text(json.dumps(case.scenario | {"name": name}), "utf-8")
    command = [sys.executable, "-m", "bench", "run", str(file), "--out", str(folder), "--no-report"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        [run] = folder.glob(f"{name}-2*")
        told: dict[str, Any] = json.loads((run / "findings.json").read_text("utf-8"))
    except (ValueError, OSError):
        raise click.ClickException(done.stderr[-2000:]) from None
    return told


def is_right(case: Case, told: dict[str, Any]) -> bool:
    """Whether a limiter was told right: its kind, its limit within one, its window or rate within 3 %."""
    name, said = ("rate", "rate_per_s") if case.limit["kind"] == "token_bucket" else ("window", "window_s")
    near = told[said] is not None and abs(told[said] / case.limit[name] - 1) <= NEAR
    return told["kind"] == case.limit["kind"] and abs(told["limit"] - case.limit["limit"]) <= 1 and near


def print_discovery(case: Case, told: dict[str, Any]) -> bool:
    right = is_right(case, told)
    click.echo(
        f"{'right' if right else 'WRONG':6}{case.name:42} limit {case.limit['limit']:<4} told: {told['says']} "
        f"({'sure' if told['sure'] else 'not sure'}, {told['requests']} requests)"
    )
    return right


def print_contract(case: Case, clauses: list[dict[str, Any]]) -> bool:
    failed = [one for one in clauses if one["verdict"] == "fail"]
    hit = [one for one in failed if case.broken is not None and case.broken in one["clause"]]
    right = bool(hit) if case.broken is not None else not failed
    verdicts = {word: sum(one["verdict"] == word for one in clauses) for word in ("pass", "fail", "inconclusive")}
    click.echo(f"{'right' if right else 'WRONG':6}{case.name:24} {verdicts}")
    for one in failed:
        click.echo(f"      {one['clause']}: {one['evidence']}")
    return right


def over_http(seed: int, processes: int, parts: tuple[str, ...] = EVERYTHING) -> None:
    """Run every case and print what was said of it."""
    found = [*(discoveries(seed) if "discoveries" in parts else ()), *(contracts() if "contracts" in parts else ())]
    right = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(processes) as pool:
        said = pool.map(findings, found, [Path(folder)] * len(found), range(len(found)))
        for case, told in zip(found, said, strict=True):
            if "contract" in case.scenario:
                right += print_contract(case, told["clauses"])
            else:
                right += print_discovery(case, told["limits"][0])
    click.echo(f"told right {right}/{len(found)}")
