"""Runs of any kind that a folder may hold, made at random, and what must hold of every drawer for each.

For tests/test_drawers.py and for benchmarks/fuzz.py, which goes on for as long as one likes.
"""

from __future__ import annotations

import html
from dataclasses import fields, replace
from pathlib import Path
from random import Random
from typing import Any

import orjson

from bench.analysis import Run, open_run
from bench.analysis.sections import Cell, Column, Findings, Sentence, Table, charts
from bench.analysis.summary import summary_json
from bench.experiments.general import findings
from bench.metrics import OUTCOMES
from bench.records import Record
from bench.records.record import Attempt
from bench.report.markdown import markdown, written
from bench.report.page import page, shown, unbroken
from bench.report.terminal import terminal
from bench.report.words import in_markdown, shortened, visible
from tests.runs import failed, record, write_run

NAMES = (
    "m", "chat", "sim/fast", "$x$ ^_{", "<b>&amp;", "a|b", "`tick`", "*_~[]()#", "\x1b[31mred", "день 日本 🎉", "\u202eright",
    "n" * 200, "{{ 7 }}", "%d %s {0}", "\\frac", "line\nbreak", "'\"", "</script>", "1e5", "é" * 3,
)  # fmt: skip
APIS = ("chat", "completions", "messages", "responses", "embeddings", "rerank", "models", "batch", "images", "speech")
ITEMS = ("image", "video", "sound", "embedding", "document", "request")
THRESHOLDS = (
    "error_rate < 10%", "goodput > 50%", "ttft p50 < 1s", "ttft p95 < 700ms", "e2e p99 < 3s", "tpot p50 < 50ms",
    "itl p99 < 1s", "zero_gaps < 5%", "tokens_per_s > 3", "requests_per_s > 1", "cached_share > 10%", "cost_usd < 1",
)  # fmt: skip
COUNTS = (0, 1, 2, 7, 100, 4096, 2**31, 2**53)
TIMES = (0.0, 1e-9, 1e-4, 0.01, 0.1, 0.5, 1.0, 3.0, 9.0)


def random_run(rng: Random, folder: Path) -> Path:
    """A run's folder with some dozens of records: any outcome, API, name and size, one process or several stages."""
    models = rng.sample(NAMES, rng.randint(1, 3))
    names = rng.sample(NAMES, rng.randint(1, 3))
    stages = rng.choice((["measure"], ["warmup", "measure"], ["low", "high"], ["s 1", "s 2", "s 3"]))
    open_loop = rng.random() < 0.4
    kinds = {name: (rng.choice(APIS), rng.random() < 0.7) for name in names}
    records = [
        random_record(rng, seq, rng.choice(models), (name := rng.choice(names)), *kinds[name], rng.choice(stages), open_loop)
        for seq in range(rng.choice((0, 1, 2, 5, 30, 90)))
    ]  # fmt: skip
    load: dict[str, Any] = {"rate": 5.0} if open_loop else {"users": rng.choice((1, 2, 50))}
    scenario: dict[str, Any] = {
        "name": rng.choice(NAMES),
        "models": models,
        "requests": [{"name": name, "api": kinds[name][0], "stream": kinds[name][1]} for name in names],
        "load": load | {"duration": 10.0, "warmup": rng.choice((0.0, 1.0))},
        "thresholds": rng.sample(THRESHOLDS, rng.randint(0, 4)),
        "prices": {
            model: {"input": rng.choice((0.0, 0.1, 1e6)), "output": 1.0} for model in models[: rng.randint(0, 3)]
        },
    }
    if rng.random() < 0.5:
        scenario["slo"] = {"ttft": rng.choice((0.001, 0.5, 5.0))}
    end = {"planned": len(records), "sent": len(records),
           "stopped_by": rng.choice(("duration", "requests", "interrupt", "disk", "worker", "target"))}  # fmt: skip
    length = 10.0 / len(stages)
    steps: list[dict[str, Any]] = [
        {"name": stage, "measured": stage != "warmup", "began": 1.5 + length * n, "ended": 1.5 + length * (n + 1)}
        | ({"rate": 5.0, "arrivals": "poisson"} if open_loop else {"users": 2.0 * (n + 1)})
        for n, stage in enumerate(stages)
    ]
    target = rng.choice(
        (None, {"kind": "simulator", "url": "http://127.0.0.1:1"}, {"kind": "llama.cpp", "url": "http://127.0.0.1:1"})
    )
    health = rng.choice((None, []))
    return write_run(folder, records, scenario=scenario, end=end, steps=steps, target=target, health=health)


def random_record(
    rng: Random, seq: int, model: str, name: str, api: str, stream: bool, stage: str, open_loop: bool
) -> Record:
    """A record that a load may write: its times are in order, all else is any value that its fields may have."""
    outcome = "ok" if rng.random() < 0.7 else rng.choice(OUTCOMES)
    at = rng.uniform(1.5, 11.0)
    first, length, tokens = rng.choice(TIMES), rng.choice(TIMES), rng.choice((0, 1, 2, 5, 40))
    base = record(seq) if outcome == "ok" else failed(seq, outcome)
    arrivals = sorted((at + first + rng.random() * length, rng.choice((1, 1, 1, 2, 9))) for _ in range(tokens))
    if not stream or (outcome != "ok" and rng.random() < 0.6):
        arrivals = []
    begun = arrivals[0][0] if arrivals else None
    done = max(at + first + length, arrivals[-1][0] if arrivals else 0.0)
    facts: dict[str, Any] = {
        "model": model, "name": name, "api": api, "stream": stream, "stage": stage, "sent": at, "done": done,
        "worker": 0, "user": rng.randrange(3), "due": max(0.0, at - rng.choice(TIMES)) if open_loop else None,
        "arrivals": arrivals, "first_token_at": begun,
        "first_answer_at": rng.choice((begun, None)), "headers_at": rng.choice((None, at + first / 2)),
        "merged": rng.randint(0, len(arrivals)), "read_delay": rng.choice((None, 0.0, 1e-5, 0.3)),
        "clock": rng.choice(("kernel", "user")), "attempts": rng.choice((1, 1, 1, 3)),
        "status": rng.choice((None, 200, 429, 500, 2**53)), "reopened": rng.random() < 0.1,
        "retry_after": rng.choice((None, 0.0, 3.5, 1e9)),
        "limits": rng.choice(({}, {"requests_limit": 60.0, "requests_remaining": 3.0}, {"tokens_reset": 1e15})),
        "prompt_tokens": rng.choice((None, *COUNTS)), "cached_tokens": rng.choice((None, *COUNTS)),
        "completion_tokens": rng.choice((None, -5, *COUNTS)), "reasoning_tokens": rng.choice((None, *COUNTS)),
        "cache_write_tokens": rng.choice((None, *COUNTS)), "tokens_from": rng.choice(("usage", "events", "none")),
        "output_chars": rng.choice(COUNTS), "finish_reason": rng.choice((None, "stop", *NAMES)),
        "response_model": rng.choice((None, *NAMES)), "request_id": rng.choice((None, *NAMES)),
        "bytes_received": rng.choice(COUNTS), "unterminated": rng.random() < 0.1,
        "tool_calls": rng.choice((None, 0, 2)), "valid_tool_calls": rng.choice((None, 0, 1)),
        "json_valid": rng.choice((None, True, False)), "schema_valid": rng.choice((None, True, False)),
        "item": rng.choice((None, *ITEMS)), "items": rng.choice((None, 0, 8)), "failed_items": rng.choice((None, 0, 3)),
        "polls": rng.choice((None, 4)), "unfinished_at": rng.choice((None, at + first)),
        "steps": rng.choice(({}, {"upload": 0.5, "$fetch": 9.0})), "turn": rng.choice((0, 0, 3)),
        "conversation": rng.choice((None, None, 1, 2)),
        "server": rng.choice((
            {}, {"arrived": at, "first_token": at + first, "last_token": done, "sent": done},
            {"prompt_ms": 3.0, "predicted_ms": 50.0, "prompt_n": 7.0}, {"queue_s": 0.0, NAMES[3]: 1e300},
        )),
    }  # fmt: skip
    if outcome != "ok":
        facts |= {"error": rng.choice(("refused", *NAMES)), "sent": rng.choice((at, None))}
    if facts["attempts"] > 1:
        facts["earlier"] = [Attempt(at, at, 429, "throttled", None, 0.0)] * 2
    return replace(base, **{one.name: facts[one.name] for one in fields(Record) if one.name in facts})


# -- what must hold -------------------------------------------------------------------------------------


def hold_drawers(folder: Path, *, drawn: bool = True) -> None:
    """Every drawer takes the run, leaves nothing out, and shows the same numbers. Raises where one does not."""
    run = open_run(folder)
    told = findings(run)
    assert not told.left_out, told.left_out
    terminals, marked, whole = terminal(told, width=20_000), markdown(told), page(told)
    hold_counts(run, told)
    hold_texts(told, terminals, marked, whole)
    names = [chart.name for chart in charts(told.sections)]
    assert len(set(names)) == len(names), "a page has one chart of each name"
    for text in (terminals, marked):
        assert text.isprintable() or all(one.isprintable() or one in "\n\u00a0" for one in text), "an escape is obeyed"
    if drawn:
        from bench.report.pictures import pictures

        made, undrawn = pictures(charts(told.sections))
        assert not undrawn, undrawn
        assert all(picture.startswith(b"\x89PNG") for picture in made.values())


def hold_counts(run: Run, told: Findings) -> None:
    """The summary counts what is in the records, is JSON that can be read back, and the table has its numbers."""
    summary = orjson.loads(summary_json(run.summary))
    measured = run.requests["outcome"]
    failures = int((~measured.isin(["ok", "censored"])).sum())
    counts = summary["counts"]
    assert (counts["recorded"], counts["ok"], counts["failed"]) == (
        len(measured),
        int((measured == "ok").sum()),
        failures,
    )
    tables = [part for section in told.sections for part in section.parts if isinstance(part, Table)]
    figures = next(table for table in tables if table.name == "figures")
    place = [column.title for column in figures.columns].index("n")
    assert {row.cells[place].text for row in figures.rows} <= {f"{group['requests']:,}" for group in summary["groups"]}
    for judged in summary["thresholds"]:
        if judged["expression"].startswith("error_rate") and judged["value"] is not None:
            assert abs(judged["value"] - failures / (failures + counts["ok"])) < 1e-12, judged


def hold_texts(told: Findings, terminals: str, marked: str, whole: str) -> None:
    """What a sentence or a cell says is in each form, written as that form writes words."""
    flat, plain = " ".join(terminals.split()), html.unescape(whole)
    for section in told.sections:
        for part in section.parts:
            if isinstance(part, Sentence):
                assert in_markdown(part.text) in marked, part
                on_page = unbroken(part.text)
                assert part.tabled or visible(on_page) in plain or str(shown(on_page)) in plain, part
                if part.always:
                    assert " ".join(visible(part.text).split()) in flat, part
            elif isinstance(part, Table):
                for row in part.rows:
                    for column, cell in zip(part.columns, row.cells, strict=True):
                        hold_cell(column, cell, flat if part.always else None, None if part.paged else marked, plain)


def hold_cell(column: Column, cell: Cell, flat: str | None, marked: str | None, plain: str) -> None:
    assert marked is None or written(column, cell) in marked, cell
    assert visible(cell.text) in plain, cell
    if flat is not None and not column.code:
        assert " ".join(shortened(cell.text).split()) in flat, cell
