"""Run folders written by hand, so that what a report says can be checked against what was put in."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson

from bench.records import Record, RecordWriter

SCENARIO: dict[str, Any] = {
    "name": "handmade",
    "kind": "load",
    "target": {"url": "http://127.0.0.1:1"},
    "models": ["m"],
    "requests": [{"name": "chat", "api": "chat", "stream": True}],
    "load": {"users": 2, "duration": 10.0, "warmup": 1.0},
    "thresholds": [],
    "prices": {},
}


SIMULATOR = {"kind": "simulator", "url": "http://127.0.0.1:1"}
"""The target of a run that was put on its own simulator."""


STEP: dict[str, Any] = {"kind": "stage", "measured": True, "ended_by": "duration", "planned": 0, "sent": 0}
"""What steps have in common, where a test does not say otherwise."""


def record(seq: int = 0, **changes: Any) -> Record:
    """A streamed answer of five tokens: sent at 2 s, first token after 0.5 s, then one every 0.1 s."""
    facts: dict[str, Any] = {
        "seq": seq, "worker": 0, "user": 0, "stage": "measure", "name": "chat", "model": "m", "api": "chat",
        "stream": True, "due": None, "sent": 2.0, "connect_started": None, "connected": None, "headers_at": 2.4,
        "done": 3.0, "arrivals": [(2.5, 1), (2.6, 1), (2.7, 1), (2.8, 1), (2.9, 1)], "first_token_at": 2.5,
        "first_answer_at": 2.5, "merged": 0, "read_delay": 0.0001, "clock": "kernel", "status": 200,
        "outcome": "ok", "error": None, "attempts": 1, "earlier": [], "reopened": False, "retry_after": None,
        "limits": {}, "prompt_tokens": 100, "completion_tokens": 5, "reasoning_tokens": None,
        "cached_tokens": None, "cache_write_tokens": None, "tokens_from": "usage", "output_chars": 20,
        "finish_reason": "length", "response_model": "m", "request_id": f"r{seq}", "http": "HTTP/1.1",
        "bytes_received": 900, "server": {},
    }  # fmt: skip
    return Record(**facts | changes)


def failed(seq: int, outcome: str, **changes: Any) -> Record:
    """A request without an answer."""
    nothing: dict[str, Any] = {
        "outcome": outcome, "error": f"{outcome}, as the test has it", "arrivals": [], "first_token_at": None,
        "first_answer_at": None, "completion_tokens": None, "prompt_tokens": None, "tokens_from": "none",
        "finish_reason": None, "status": None, "headers_at": None, "output_chars": 0,
    }  # fmt: skip
    return record(seq, **nothing | changes)


def shifted(base: Record, by: float, seq: int) -> dict[str, Any]:
    """Changes that make a record happen later."""
    times = ("sent", "headers_at", "done", "first_token_at", "first_answer_at")
    moved = {name: getattr(base, name) + by for name in times if getattr(base, name) is not None}
    return moved | {"seq": seq, "arrivals": [(at + by, tokens) for at, tokens in base.arrivals]}


def write_run(
    folder: Path,
    records: list[Record],
    *,
    scenario: dict[str, Any] | None = None,
    end: dict[str, Any] | None = None,
    health: list[dict[str, Any]] | None = None,
    target: dict[str, Any] | None = None,
    steps: list[dict[str, Any]] | None = None,
) -> Path:
    """The files that a load leaves behind; steps.jsonl only where there are `steps`, as in later versions."""
    folder.mkdir(parents=True, exist_ok=True)
    measured = sum(one.stage == "measure" for one in records)
    facts = {
        "schema": 1,
        "scenario": SCENARIO | (scenario or {}),
        "scenario_file": "handmade.yaml",
        "seed": 1,
        "started_at": "2026-01-02T03:04:05.000+00:00",
        "target": target or {"kind": "url", "url": "http://127.0.0.1:1"},
        "machine": {"system": "Linux", "python": "3.11", "cpus": 2, "cpu_model": "x", "memory_gb": 8.0},
        "versions": {"bench": "0"},
        "records_version": 1,
        "git": None,
        "command": ["bench", "run"],
    }
    ended = {
        "duration_s": 12.0,
        "load_started": 0.5,
        "measure": [1.5, 11.5],
        "planned": measured,
        "sent": measured,
        "stopped_by": "duration",
    } | (end or {})
    second = {"worker": 0, "hub_lag_s": [0.0002] * 50, "cpu": 0.1, "gc_s": 0.0, "users": 2, "in_flight": 2}
    lines = health if health is not None else [second | {"t": 2.0 + at, "clock_step_s": 0.0} for at in range(9)]
    (folder / "run.json").write_bytes(orjson.dumps(facts))
    (folder / "end.json").write_bytes(orjson.dumps(ended))
    (folder / "health.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    (folder / "steps.jsonl").unlink(missing_ok=True)
    if steps is not None:
        (folder / "steps.jsonl").write_bytes(b"".join(orjson.dumps(STEP | one) + b"\n" for one in steps))
    (folder / "records.jsonl").unlink(missing_ok=True)
    with RecordWriter(folder / "records.jsonl") as writer:
        for one in records:
            writer.append(one)
    return folder


def elements(page: str) -> list[tuple[str, dict[str, str]]]:
    """Every element of a page with its attributes, in order, as a browser's parser finds them."""
    found: list[tuple[str, dict[str, str]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, {name: value or "" for name, value in attrs}))

    Reader().feed(page)
    return found
