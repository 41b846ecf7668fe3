"""summary.json: what a run means, under names that stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.calibration import cited
from bench.analysis.facts import Asked, Understood
from bench.analysis.metrics import (
    LATENCIES,
    answers_in_window,
    cost,
    dispersion,
    items_in_window,
    meets_slo,
    output_tokens_in_window,
    statistics,
)
from bench.analysis.table import Table
from bench.analysis.thresholds import judge_thresholds
from bench.analysis.truth import engine, truth
from bench.analysis.validity import assess, doubts, told_by_load, with_new_nonces
from bench.analysis.windows import windows_of
from bench.plan.mix import recorded_names
from bench.plan.prices import Price
from bench.records import End, HealthLine

SCHEMA = 1


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
    thresholds = judge_thresholds(list(scenario.thresholds), table, rows, windows=windows, slo=slo)
    validity = assess(measured, health, end, load=scenario.load, certificate=certificate, new=with_new_nonces(facts))
    counts = {
        "planned": end.planned,
        "sent": end.sent,
        "recorded": len(measured),
        "ok": int((measured["outcome"] == "ok").sum()),
        "failed": int((~measured["outcome"].isin(["ok", "censored"])).sum()),
        "censored": int((measured["outcome"] == "censored").sum()),
    }
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
        "truth": truth(measured),
        "engine": engine(measured),
        "counts": counts,
        "groups": groups,
        "thresholds": thresholds,
        "verdict": verdict(counts, thresholds),
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
    measured = chosen & (rows["stage"] == "measure")
    offered, mine = rows[measured], rows[chosen]
    good = offered[offered["outcome"] == "ok"]
    counts = offered["outcome"].value_counts()
    outcomes = {str(word): int(count) for word, count in counts.items() if count}
    censored = outcomes.get("censored", 0)
    length = window[1] - window[0]
    gaps = table.gaps_of((measured & (rows["outcome"] == "ok")).to_numpy())
    slo = scenario.slo
    return {
        "model": model,
        "name": name,
        "requests": len(offered),
        "outcomes": outcomes,
        "error_rate": share(len(offered) - len(good) - censored, len(offered) - censored),
        **{f"{metric}_s": statistics(gaps if metric == "itl" else good[f"{metric}_s"]) for metric in LATENCIES},
        "first_attempt_s": statistics(good["first_attempt_s"]) if (offered["attempts"] > 1).any() else None,
        "attempts": int(offered["attempts"].sum()),
        "zero_gap_share": share(int(good["zero_gaps"].sum()), len(gaps)),
        "requests_per_s": answers_in_window(mine, window) / length if length > 0 else None,
        "output_tokens_per_s": output_tokens_in_window(mine, window) / length if length > 0 else None,
        "goodput": share(int(meets_slo(offered, slo).sum()), len(offered)) if slo else None,
        "prompt_tokens": total(offered["prompt_tokens"]),
        "completion_tokens": total(offered["completion_tokens"]),
        "reasoning_tokens": total(offered["reasoning_tokens"]),
        "cached_tokens": total(offered["cached_tokens"]),
        "cost_usd": cost(offered, price) if price else None,
        "online_cost_usd": cost(offered, price, online=True) if price else None,
        "output_chars": int(offered["output_chars"].sum()),
        **quality(good),
        **production(good, mine, window),
        "job": job(good),
    }


def quality(good: pd.DataFrame) -> dict[str, Any]:
    """How answers fared against what was promised; None where nothing was."""
    return {
        "tool_calls": total(good["tool_calls"]),
        "valid_tool_calls": share(float(good["valid_tool_calls"].sum()), float(good["tool_calls"].sum())),
        "json_valid": share(float(good["json_valid"].sum()), int(good["json_valid"].count())),
        "schema_valid": share(float(good["schema_valid"].sum()), int(good["schema_valid"].count())),
    }


def production(good: pd.DataFrame, mine: pd.DataFrame, window: tuple[float, float]) -> dict[str, Any]:
    """Images, vectors and so on; `item` is None where there are none, or several kinds."""
    length = window[1] - window[0]
    words = list(good["item"].dropna().unique())
    brought, failed = total(good["items"]), total(good["failed_items"])
    return {
        "item": words[0] if len(words) == 1 else None,
        "items": brought,
        "failed_items": failed,
        "failed_item_rate": share(failed or 0, (brought or 0) + (failed or 0)) if failed is not None else None,
        "items_per_min": items_in_window(mine, window) / length * 60 if words and length > 0 else None,
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


def share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def total(values: pd.Series[float]) -> int | None:
    """The sum; None where no server ever said a number."""
    return int(np.nansum(values)) if values.notna().any() else None


def verdict(counts: dict[str, int], thresholds: list[dict[str, Any]]) -> str:
    """Of the run as a whole. A run in which nothing succeeded fails, whatever was asked of it."""
    words = {threshold["verdict"] for threshold in thresholds}
    if "fail" in words or (counts["recorded"] and not counts["ok"]):
        return "fail"
    return "inconclusive" if "inconclusive" in words or not counts["ok"] else "pass"


def exit_code(summary: dict[str, Any]) -> int:
    """0 pass, 1 fail, 3 inconclusive or not to be believed."""
    if summary["validity"]["verdict"] == "invalid":
        return 3
    return {"pass": 0, "fail": 1, "inconclusive": 3}[summary["verdict"]]
