"""A run for other tools: a table with one row per request, and llm-d's Benchmark Report (version 0.2.1)."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.figures import Statistics, percentiles
from bench.analysis.groups import ALL, Group
from bench.analysis.run import Run
from bench.analysis.statistics import own_quantile
from bench.metrics import FLOORS, METRICS

Floats = npt.NDArray[np.float64]

INNER = ("window_tokens.", "tokens_each", "server.", "first_tokens", "loaded", "end")
"""Beginnings of columns that only our own analysis understands."""
REPORT = "0.2.1"
QUANTILES = {"p0p1": 0.001, "p1": 0.01, "p5": 0.05, "p10": 0.10, "p25": 0.25, "p75": 0.75}
"""The quantiles of a Benchmark Report that our own figures do not have; the others are taken from our figures."""
LATENCIES = {
    "time_to_first_token": ("ttft", "s"),
    "time_per_output_token": ("tpot", "s/token"),
    "inter_token_latency": ("itl", "s/token"),
    "request_latency": ("e2e", "s"),
}


def rows(run: Run) -> pd.DataFrame:
    """Every request of every stage, warm-up included, with its figures. Times are s from the run's beginning, names
    that end in _s are durations in s; `measured` says whether the request is in the figures."""
    table = run.records
    return table[[name for name in table.columns if not name.startswith(INNER)]]


def groups(run: Run) -> list[Group]:
    """The groups with a Benchmark Report of their own: each model in each measured stage."""
    return [group for group in run.summary.groups if group.name == ALL]


def benchmark_report(run: Run, group: Group) -> dict[str, object]:
    """The Benchmark Report of one model in one stage; percentiles of too few answers are left out."""
    begun = datetime.fromisoformat(run.facts.started_at)
    mine = run.requests[(run.requests["model"] == group.model) & (run.requests["stage"] == group.stage)]
    good = mine[mine["outcome"] == "ok"]
    latency = {}
    for name, (metric, unit) in LATENCIES.items():
        figure, values = getattr(group, METRICS[metric].key), values_of(run, good, metric)
        if figure.n and len(values):
            latency[name] = statistics(values, figure, unit)
    whole = normalized(good)
    if len(whole):
        latency["normalized_time_per_output_token"] = statistics(whole, None, "s/token")
    return {
        "version": REPORT,
        "run": {
            "uid": f"{run.folder.resolve().name}:{group.stage}:{group.model}",
            "eid": run.facts.scenario.name,
            "time": {
                "start": begun.isoformat(),
                "end": (begun + timedelta(seconds=run.end.duration_s)).isoformat(),
                "duration": f"PT{run.end.duration_s:.3f}S",
            },
        },
        "scenario": {"load": load_of(run, group, good)},
        "results": {
            "request_performance": {
                "aggregate": {
                    "requests": requests_of(group, mine, good),
                    "latency": latency,
                    "throughput": throughput_of(group, good),
                }
            }
        },
    }


def values_of(run: Run, good: pd.DataFrame, metric: str) -> Floats:
    """A latency of each good answer, s; for ITL all gaps between tokens."""
    if metric == "itl":
        gaps: Floats = run.table.gaps_of(run.records.index.isin(good.index)).astype(np.float64)
        return gaps
    found: Floats = good[METRICS[metric].key].dropna().to_numpy(np.float64)
    return found


def normalized(good: pd.DataFrame) -> Floats:
    """E2E / completion tokens of each answer that has some, s."""
    tokens = good["completion_tokens"].to_numpy(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = good["e2e_s"].to_numpy(np.float64) / tokens
    return found[np.isfinite(found)]


def statistics(values: Floats, figure: Statistics | None, unit: str) -> dict[str, object]:
    """A distribution in the form of the report; `figure` is our own figure of the same values, or None."""
    found: dict[str, object] = {"units": unit, "mean": float(values.mean())}
    found |= {"stddev": float(values.std(ddof=1)) if len(values) > 1 else 0.0}
    found |= {"min": float(values.min()), "max": float(values.max())}
    for name, q in QUANTILES.items():
        if len(values) * min(q, 1.0 - q) >= 1.0:
            found[name] = own_quantile(values, q)
    named = ["p50", "p90", "p95", "p99", "p99.9"]
    own = percentiles(values, named) if figure is None else [figure.stat(name) for name in named]
    for name, value in zip(named, own, strict=True):
        if value is not None and np.isfinite(value) and len(values) >= FLOORS[name]:
            found[name.replace(".", "p")] = float(value)
    return found


def requests_of(group: Group, mine: pd.DataFrame, good: pd.DataFrame) -> dict[str, object]:
    """The requests: their number, their outcomes, their lengths."""
    censored = group.outcomes.get("censored", 0)
    found: dict[str, object] = {
        "total": len(mine),
        "failures": len(mine) - len(good) - censored,
        "incomplete": censored,
    }
    for name, column in (("input_length", "prompt_tokens"), ("output_length", "completion_tokens")):
        values = good[column].dropna().to_numpy(np.float64)
        if len(values):
            found[name] = statistics(values, None, "count")
    return found


def throughput_of(group: Group, good: pd.DataFrame) -> dict[str, object]:
    """Rates over the measured window; they have a mean only."""
    rates: dict[str, tuple[float | None, str]] = {
        "request_rate": (group.requests_per_s, "queries/s"),
        "output_token_rate": (group.output_tokens_per_s, "tokens/s"),
    }
    prompt = good["prompt_tokens"].sum(min_count=1)
    if group.requests_per_s and len(good) and not pd.isna(prompt):
        rates["input_token_rate"] = (group.requests_per_s * float(prompt) / len(good), "tokens/s")
        if group.output_tokens_per_s is not None:
            both = rates["input_token_rate"][0], group.output_tokens_per_s
            rates["total_token_rate"] = (sum(one for one in both if one is not None), "tokens/s")
    return {name: {"units": unit, "mean": float(rate)} for name, (rate, unit) in rates.items() if rate is not None}


def load_of(run: Run, group: Group, good: pd.DataFrame) -> dict[str, object]:
    """The load: in the words that all tools share, and as the scenario that was run, secrets left out."""
    load = run.facts.scenario.load
    names = list(dict.fromkeys(one.stage for one in run.summary.groups))
    found: dict[str, object] = {
        "tool": "bench",
        "tool_version": run.facts.versions.get("bench", "unknown"),
        "parallelism": load.processes,
        "source": "unknown",
        "stage": names.index(group.stage),
        "input_seq_len": length(good["prompt_tokens"]),
    }
    if good["completion_tokens"].notna().any():
        found["output_seq_len"] = length(good["completion_tokens"])
    for stage in run.stages:
        if stage.name == group.stage and stage.users:
            found["concurrency"] = max(1, round(stage.users))
        elif stage.name == group.stage and stage.rate:
            found["rate_qps"] = stage.rate
    return {
        "metadata": {"schema_version": "0.0.1"},
        "standardized": found,
        "native": {"config": msgspec.json.decode(run.understood.scenario_text)},
    }


def length(tokens: pd.Series[float]) -> dict[str, object]:
    """The length of prompts or answers: mean, spread, smallest and largest."""
    known = tokens.dropna().to_numpy(np.float64)
    if not len(known):
        return {"distribution": "other", "value": 0}
    if known.min() == known.max():
        return {"distribution": "fixed", "value": int(known[0])}
    ends = {"min": int(known.min()), "max": max(1, int(known.max()))}
    return {"distribution": "other", "value": float(known.mean()), "std_dev": float(known.std()), **ends}
