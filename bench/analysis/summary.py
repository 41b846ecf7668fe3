"""summary.json: what a run means, under names that stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.calibration import cited
from bench.analysis.causes import causes
from bench.analysis.facts import Asked, Understood
from bench.analysis.metrics import (
    LATENCIES,
    SHARES,
    Sample,
    cost,
    dispersion,
    items_per_min,
    latencies,
    output_tokens_per_s,
    requests_per_s,
    sample,
    statistics,
)
from bench.analysis.table import Table
from bench.analysis.thresholds import judge_thresholds
from bench.analysis.truth import direct, engine, truth
from bench.analysis.validity import assess, doubts, told_by_load, with_new_nonces
from bench.analysis.windows import windows_of
from bench.plan.mix import recorded_names
from bench.plan.prices import Price
from bench.plan.thresholds import parse_threshold
from bench.records import End, HealthLine

SCHEMA = 1
MOST = 0.5
"""Share of failed requests above which a run fails, whatever its figures; a threshold on error_rate that the scenario
states for the whole run stands in its place."""


def summarize(
    understood: Understood,
    end: End,
    table: Table,
    rows: pd.DataFrame,
    health: list[HealthLine],
    *,
    told: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The summary of a run: `understood` is its run.json, `end` its end.json, `rows` its derived requests of all
    stages, `told` what a reader should know of its files."""
    facts, scenario, window = understood.facts, understood.facts.scenario, end.measure
    slo = scenario.slo or {}
    machine = {"cpu_model": facts.machine.cpu_model, "cpus": facts.machine.cpus}
    certificate = cited(understood.certificate, machine)
    measured = rows[rows["stage"] == "measure"]
    windows = windows_of(rows, scenario, window)
    groups = [
        summarize_group(model, name, rows, chosen, table, scenario, windows.of([model]), understood.prices.get(model))
        for model, name, chosen in grouping(rows, scenario)
    ]
    thresholds = judge_thresholds(
        list(scenario.thresholds), table, rows, models=scenario.models, windows=windows, slo=slo
    )
    new = with_new_nonces(facts)
    validity = assess(measured, table, health, end, load=scenario.load, certificate=certificate, new=new)
    counts = {
        "planned": end.planned,
        "sent": end.sent,
        "recorded": len(measured),
        "ok": int((measured["outcome"] == "ok").sum()),
        "failed": int((~measured["outcome"].isin(["ok", "censored"])).sum()),
        "censored": int((measured["outcome"] == "censored").sum()),
    }
    failing = end.because if end.stopped_by == "refused" else mostly_failed(counts, thresholds)
    return {
        "schema": SCHEMA,
        "scenario": scenario.name,
        "started_at": facts.started_at,
        "duration_s": end.duration_s,
        "measured_s": window[1] - window[0],
        "stopped_by": end.stopped_by,
        "seed": facts.seed,
        "validity": validity,
        "doubts": [*told, *told_by_load(facts), *doubts(measured, groups, scenario.load, end.stopped_by)],
        "arrivals": arrivals(measured, scenario, window),
        "truth": truth(measured, direct=direct(measured, facts)),
        "engine": engine(measured),
        "counts": counts,
        "failing": failing,
        "groups": groups,
        "thresholds": thresholds,
        "verdict": verdict(counts, thresholds, failing),
    }


def arrivals(measured: pd.DataFrame, scenario: Asked, window: tuple[float, float]) -> dict[str, Any] | None:
    """How evenly the requests of an open loop were due and were sent; None in a closed loop."""
    if scenario.load.rate is None:
        return None
    return {
        "wanted": scenario.load.arrivals,
        "wanted_per_s": scenario.load.rate,
        "due_dispersion": dispersion(measured["due"], window),
        "sent_dispersion": dispersion(measured["first_begun"].dropna(), window),
    }


def grouping(rows: pd.DataFrame, scenario: Asked) -> list[tuple[str, str, pd.Series[bool]]]:
    """Each model as a whole, then, where the mix has several entries, each of them."""
    names = [name for request in scenario.requests for name in recorded_names(request.name, request.tool_results)]
    found = []
    for model in scenario.models:
        mine = (rows["model"] == model) & (rows["stage"] != "fit")
        found.append((model, "all", mine))
        found += [(model, name, mine & (rows["name"] == name)) for name in names if len(names) > 1]
    return found


def summarize_group(
    model: str,
    name: str,
    rows: pd.DataFrame,
    chosen: pd.Series[bool],
    table: Table,
    scenario: Asked,
    window: tuple[float, float],
    price: Price | None,
) -> dict[str, Any]:
    """One model and entry of the mix. Latencies are of answers without error; rates are of the model's window."""
    of = sample(table, rows, chosen, window, scenario.slo or {})
    offered, good = of.offered, of.good
    counts = offered["outcome"].value_counts()
    outcomes = {str(word): int(count) for word, count in counts.items() if count}
    return {
        "model": model,
        "name": name,
        "requests": len(offered),
        "outcomes": outcomes,
        "causes": [asdict(cause) for cause in causes(offered)],
        **{f"{metric}_s": statistics(latencies(of, metric)) for metric in LATENCIES},
        "first_attempt_s": statistics(good["first_attempt_s"]) if (offered["attempts"] > 1).any() else None,
        "attempts": int(offered["attempts"].sum()),
        **{metric: share(of).value for metric, share in SHARES.items()},
        "requests_per_s": requests_per_s(of),
        "output_tokens_per_s": output_tokens_per_s(of),
        "prompt_tokens": total(offered["prompt_tokens"]),
        "completion_tokens": total(offered["completion_tokens"]),
        "reasoning_tokens": total(offered["reasoning_tokens"]),
        "cached_tokens": total(offered["cached_tokens"]),
        "cost_usd": cost(offered, price) if price else None,
        "online_cost_usd": cost(offered, price, online=True) if price else None,
        "output_chars": int(offered["output_chars"].sum()),
        "tool_calls": total(good["tool_calls"]),
        **production(of),
        "job": job(good),
    }


def production(of: Sample) -> dict[str, Any]:
    """Images, vectors and so on; `item` is None where there are none, or several kinds."""
    words = list(of.good["item"].dropna().unique())
    brought, failed = total(of.good["items"]), total(of.good["failed_items"])
    return {
        "item": words[0] if len(words) == 1 else None,
        "items": brought,
        "failed_items": failed,
        "failed_item_rate": ratio(failed or 0, (brought or 0) + (failed or 0)) if failed is not None else None,
        "items_per_min": items_per_min(of),
    }


def job(good: pd.DataFrame) -> dict[str, Any] | None:
    """Of jobs: what lies before E2E, by our polls and by the server's own times. None where there is none."""
    jobs = good[good["polls"].notna()]
    if not len(jobs):
        return None
    steps = {name: jobs[name] for name in jobs if str(name).startswith("steps.") and jobs[name].notna().any()}
    server = {name: jobs[f"server.{name}"] for name in ("queue_s", "run_s") if f"server.{name}" in jobs}
    return {
        "polls": float(jobs["polls"].mean()),
        "unfinished_s": statistics(jobs["unfinished_s"]),
        "uncertainty_s": statistics(jobs["e2e_s"] - jobs["unfinished_s"]),
        **{name: statistics(values) for name, values in server.items()},
        **{str(name).removeprefix("steps."): statistics(values) for name, values in steps.items()},
    }


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def total(values: pd.Series[float]) -> int | None:
    """The sum; None where no server ever said a number."""
    return int(np.nansum(values)) if values.notna().any() else None


def mostly_failed(counts: Mapping[str, int], thresholds: list[dict[str, Any]]) -> str | None:
    """That so many requests failed that the figures are of the few that did not; None where that is not so."""
    ended = counts["ok"] + counts["failed"]
    if ended and not counts["ok"]:
        return f"not one of {ended:,} requests succeeded"
    asked = [parse_threshold(threshold["expression"]) for threshold in thresholds]
    own = any(one.metric == "error_rate" and not one.scope for one in asked)
    if own or counts["failed"] <= MOST * ended:
        return None
    return (
        f"{counts['failed']:,} of {ended:,} requests failed ({counts['failed'] / ended:.1%}), more than {MOST:.0%}; "
        "the figures are of the others"
    )


def verdict(counts: Mapping[str, int], thresholds: list[dict[str, Any]], failing: str | None) -> str:
    """Of the run as a whole: `measured` where nothing was asked of it, since there is no condition to pass."""
    words = {threshold["verdict"] for threshold in thresholds}
    if "fail" in words or failing is not None:
        return "fail"
    if "inconclusive" in words or not counts["ok"]:
        return "inconclusive"
    return "pass" if words else "measured"


def exit_code(summary: Mapping[str, Any]) -> int:
    """0 pass or measured, 1 fail, 3 inconclusive or not to be believed. That most requests failed is a fact, however
    busy the client was."""
    if summary["failing"] is not None:
        return 1
    if summary["validity"]["verdict"] == "invalid":
        return 3
    return {"pass": 0, "measured": 0, "fail": 1, "inconclusive": 3}[summary["verdict"]]
