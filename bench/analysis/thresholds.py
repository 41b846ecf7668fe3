"""Thresholds: is the condition met, is it broken, or were there too few requests to say?

A percentile below a limit is a claim about a share: of all requests, at most 5 % are slower than the limit. So is an
error rate. Each is judged by the exact binomial test (Clopper and Pearson 1934) at 99 % confidence, which takes the
requests as independent. Means, maxima and rates are one number, compared as it is.

A failed request is one without a figure: it counts as slower than any limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from bench.analysis.metrics import (
    PERCENTILES,
    answers_in_window,
    items_in_window,
    meets_slo,
    output_tokens_in_window,
    percentiles,
)
from bench.analysis.table import Table
from bench.analysis.windows import Windows
from bench.plan.thresholds import LATENCIES, QUALITIES, Threshold, parse_threshold

Verdict = Literal["pass", "fail", "inconclusive"]
DOUBT = 0.01  # how often a claim that is only just wrong may pass all the same


def judge_thresholds(
    expressions: list[str],
    table: Table,
    everything: pd.DataFrame,
    *,
    windows: Windows,
    slo: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Each threshold's value, verdict and reason. `everything` are the derived rows of all stages."""
    return [judge(parse_threshold(one), table, everything, windows=windows, slo=slo) for one in expressions]


def judge(
    threshold: Threshold,
    table: Table,
    everything: pd.DataFrame,
    *,
    windows: Windows,
    slo: Mapping[str, float],
) -> dict[str, Any]:
    """One threshold against the requests in its scope."""
    chosen = in_scope(everything, threshold.scope)
    rows = everything[chosen & (everything["stage"] == "measure") & (everything["outcome"] != "censored")]
    n = len(rows)
    value: float | None
    if threshold.metric == "error_rate":
        bad = int((rows["outcome"] != "ok").sum())
        value = bad / len(rows) if len(rows) else None
        verdict = judge_share(threshold, bad, len(rows), threshold.limit)
    elif threshold.metric == "goodput":
        good = int(meets_slo(rows, slo).sum())
        value = good / len(rows) if len(rows) else None
        verdict = judge_share(threshold, good, len(rows), threshold.limit)
    elif threshold.metric in QUALITIES:
        good, n = promised(threshold.metric, rows)
        value = good / n if n else None
        verdict = judge_share(threshold, good, n, threshold.limit)
    elif threshold.metric in LATENCIES:
        sample = latencies(threshold, table, everything, rows)
        n = len(sample)
        value, verdict = judge_latency(threshold, sample)
    else:
        window = windows.of(map(str, everything.loc[chosen, "model"].unique()))
        value = rate(threshold.metric, table, everything[chosen], rows, window)
        verdict = ("pass" if threshold.holds(value) else "fail") if value is not None else "inconclusive"
    if value is not None and math.isinf(value):
        value = None  # so many failed that the percentile itself is a failure
    return {
        "expression": threshold.expression,
        "value": value,
        "verdict": verdict,
        "n": n,
        "reason": reason(threshold, value, verdict, n),
    }


def promised(metric: str, rows: pd.DataFrame) -> tuple[int, int]:
    """How many answers (or tool calls) are as promised, and of how many; of answers without error."""
    good = rows[rows["outcome"] == "ok"]
    of = good["tool_calls"].sum() if metric == "valid_tool_calls" else good[metric].count()
    return int(good[metric].sum()), int(of)


def in_scope(rows: pd.DataFrame, scope: tuple[str, ...]) -> pd.Series[bool]:
    """The rows of the models and of the request classes that the scope names; a kind not named is not restricted."""
    models, names = set(rows["model"].cat.categories), set(rows["name"].cat.categories)
    wanted_models = [word for word in scope if word in models] or list(models)
    wanted_names = [word for word in scope if word in names] or list(names)
    return rows["model"].isin(wanted_models) & rows["name"].isin(wanted_names)


def latencies(threshold: Threshold, table: Table, everything: pd.DataFrame, rows: pd.DataFrame) -> Any:
    """The figures of the requests to which the metric applies, infinite for those that failed."""
    if threshold.metric == "itl":
        chosen = everything.index.isin(rows.index[rows["outcome"] == "ok"])
        return table.gaps_of(chosen)
    figures = rows[f"{threshold.metric}_s"]
    failed = rows["outcome"] != "ok"
    if threshold.metric in ("ttft", "ttfa", "tpot"):
        figures, failed = figures[rows["stream"]], failed[rows["stream"]]
    return figures.where(~failed, math.inf).dropna().to_numpy()


def judge_latency(threshold: Threshold, sample: Any) -> tuple[float | None, Verdict]:
    """The statistic of the sample, and what it says about the limit."""
    if len(sample) == 0:
        return None, "inconclusive"
    assert threshold.stat is not None
    if threshold.stat not in PERCENTILES:
        value = float(np.mean(sample, dtype=np.float64) if threshold.stat == "mean" else np.max(sample))
        return value, "pass" if threshold.holds(value) else "fail"
    [value] = percentiles(sample, [threshold.stat])
    above = int((sample > threshold.limit if threshold.operator in ("<=", ">") else sample >= threshold.limit).sum())
    allowed = 1.0 - PERCENTILES[threshold.stat]
    return value, judge_share(threshold, above, len(sample), allowed)


def judge_share(threshold: Threshold, hits: int, n: int, limit: float) -> Verdict:
    """Whether a share, seen as `hits` of `n`, is on the wanted side of the limit."""
    at_most_is_wanted = threshold.operator in ("<", "<=")
    surely_below = n > 0 and at_most(hits, n, limit) < DOUBT
    surely_above = n > 0 and at_most(n - hits, n, 1.0 - limit) < DOUBT
    if surely_below or surely_above:
        return "pass" if surely_below == at_most_is_wanted else "fail"
    return "inconclusive"


def at_most(hits: int, n: int, share: float) -> float:
    """The chance of at most so many hits in n tries with this share: the binomial distribution function."""
    if hits >= n or share <= 0.0:
        return 1.0
    if share >= 1.0:
        return 0.0
    steps = np.arange(1, hits + 1)
    ways = np.concatenate([[0.0], np.cumsum(np.log((n - steps + 1) / steps))])  # ln of n over k
    k = np.arange(hits + 1)
    logs = ways + k * math.log(share) + (n - k) * math.log1p(-share)
    top = float(logs.max())
    return min(1.0, math.exp(top) * float(np.exp(logs - top).sum()))


def rate(
    metric: str, table: Table, chosen: pd.DataFrame, rows: pd.DataFrame, window: tuple[float, float]
) -> float | None:
    """Metrics that are one number of the whole run."""
    length = window[1] - window[0]
    if metric == "zero_gap_share":
        gaps = float((rows["arrived_tokens"] > 0).sum()) and float(
            np.maximum(np.diff(table.gap_ends, prepend=0)[rows.index], 0).sum()
        )
        return float(rows["zero_gaps"].sum()) / gaps if gaps else None
    if length <= 0 or not len(rows):
        return None
    if metric == "items_per_min":
        return items_in_window(chosen, window) / length * 60
    count = answers_in_window(chosen, window) if metric == "requests_per_s" else output_tokens_in_window(chosen, window)
    return count / length


def reason(threshold: Threshold, value: float | None, verdict: Verdict, n: int) -> str | None:
    """Why it is not simply passed or failed by the value; None where the value says it all."""
    if n == 0:
        return "no request was measured in its scope"
    if verdict == "inconclusive":
        needed = fewest(threshold)
        if needed is not None and n < needed:
            return f"{n} requests cannot show it with 99 % confidence; at least {needed} are needed, all of them good"
        return f"{n} requests are too few to tell on which side of the limit it is, with 99 % confidence"
    if value is None and verdict == "fail":
        return "more requests failed than the percentile leaves room for"
    return None


def fewest(threshold: Threshold) -> int | None:
    """The number of requests with which the threshold can be passed at all."""
    if threshold.stat in PERCENTILES:
        return math.ceil(math.log(DOUBT) / math.log(PERCENTILES[threshold.stat]))
    share = threshold.limit if threshold.operator in ("<", "<=") else 1.0 - threshold.limit
    if threshold.metric in ("error_rate", "goodput", *QUALITIES) and 0.0 < share < 1.0:
        return math.ceil(math.log(DOUBT) / math.log(1.0 - share))
    return None
