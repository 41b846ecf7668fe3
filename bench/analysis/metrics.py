"""Every formula, once. Requests come in as columns, seconds go out; a figure's name is the same everywhere.

A percentile is one of the measured values: the smallest with at least that share of all values not above it (the
inverse of the empirical distribution; Hyndman and Fan 1996, definition 1). Below the number of values at which a
99 % confidence bound of it exists (MLPerf LoadGen's early stopping), it is withheld.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.plan.prices import Price, cost_usd

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
FLOORS = {"p50": 11, "p90": 64, "p95": 130, "p99": 662, "p99.9": 6636}
"""Values needed before a percentile is stated."""

LATENCIES = ("ttft", "ttfa", "itl", "tpot", "e2e", "ttft_from_due", "e2e_from_due", "send_lag")

PRICED_ITEMS = ("image", "video", "sound")
"""Things that are paid for one by one."""

FORMULAS = {
    "TTFT": "time to first token: arrival of the first generated token (text, reasoning, tool call, sound) − sent; "
    "streams",
    "TTFA": "time to first answer token: arrival of the first token that is not reasoning − sent; streams",
    "ITL": "inter-token latency: the gaps between content arrivals of all requests, pooled; streams",
    "TPOT": "time per output token: (last token − first token) / (completion tokens − tokens in the first arrival), "
    "for each stream; reasoning that was not streamed is left out of the tokens",
    "E2E": "end-to-end latency: arrival of the answer's last byte − sent",
    "from due": "the same latencies with the clock started when the schedule wanted the request sent; open loops",
    "send lag": "the first attempt's sent (or the beginning of its fresh connection) − due; open loops",
    "requests/s": "answers without error that ended inside the measured window / length of the window; the window of a "
    "model that got its share of load.requests ends with its last answer",
    "tokens/s": "completion tokens that arrived inside the measured window / length of the window",
    "error rate": "requests that did not end ok / requests offered; censored ones count as neither",
    "goodput": "requests that ended ok and met every SLO / requests offered, failed and censored ones included",
    "zero gaps": "share of the gaps that are 0: tokens that came in one read",
    "reasoning": "reasoning tokens / completion tokens, both as the server counts them",
    "cached": "prompt tokens read from the server's prompt cache / prompt tokens",
    "valid calls": "tool calls whose arguments are JSON and fit the declared schema / tool calls",
    "valid JSON": "answers that are JSON / answers without error that had to be",
    "fits schema": "answers that are JSON and fit the schema asked for / answers without error that had to",
    "items/min": "images, videos, sounds, vectors, ranked documents or requests of a batch that came with answers "
    "inside the measured window / its length in minutes; a request for eight images counts eight",
    "unfinished": "of a job: when the last poll was sent that found it unfinished − sent; its end lies between that "
    "and E2E",
    "queue, run": "of a job: how long the server says that it waited, and that it worked on it",
    "failed items": "requests of a batch that brought no answer / requests of the batch",
    "cost": "prompt tokens · input price + cached tokens · their price + completion tokens · output price "
    "+ images, videos and sounds · their price; in a batch, its share of that",
}
"""Definition of each figure, in the words that every report prints."""


def derive(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of a Table with each request's figures: ttft_s, ttfa_s, tpot_s, e2e_s, first_attempt_s, connect_s,
    send_lag_s, ttft_from_due_s, e2e_from_due_s, unfinished_s; NaN where a request has no such figure.
    Durations in seconds."""
    figures = {
        "ttft_s": rows["first_token_at"] - rows["sent"],
        "ttfa_s": rows["first_answer_at"] - rows["sent"],
        "tpot_s": time_per_output_token(rows),
        "e2e_s": rows["done"] - rows["sent"],
        "first_attempt_s": rows["first_done"] - rows["first_sent"],
        "connect_s": rows["connected"] - rows["connect_started"],
        "send_lag_s": rows["first_begun"] - rows["due"],
        "ttft_from_due_s": rows["first_token_at"] - rows["due"],
        "e2e_from_due_s": rows["done"] - rows["due"],
        "unfinished_s": rows["unfinished_at"] - rows["sent"],
    }
    return rows.assign(**figures)


def time_per_output_token(rows: pd.DataFrame) -> pd.Series[float]:
    """(last token − first token) / (tokens that came after the first arrival), s; NaN where none did.

    Reasoning that the server counts but does not stream came before the first arrival, so it is not among them.
    """
    hidden = rows["reasoning_tokens"].where(rows["first_answer_at"] <= rows["first_token_at"], 0.0).fillna(0.0)
    hidden = hidden.where(hidden < rows["completion_tokens"] - rows["arrived_tokens"] + 1, 0.0)
    later = rows["completion_tokens"] - hidden - rows["first_tokens"]
    return (rows["last_token_at"] - rows["first_token_at"]) / later.where(later > 0)


def statistics(values: npt.ArrayLike) -> dict[str, Any]:
    """n, mean, each percentile (None where withheld) and max of the values that are not NaN."""
    sample = np.asarray(values)
    sample = sample[~np.isnan(sample)]
    n = len(sample)
    if n == 0:
        return {"n": 0, "mean": None, **dict.fromkeys(PERCENTILES), "max": None}
    stated = [name for name in PERCENTILES if n >= FLOORS[name]]
    found = dict.fromkeys(PERCENTILES) | dict(zip(stated, percentiles(sample, stated), strict=True))
    return {"n": n, "mean": float(sample.mean(dtype=np.float64)), **found, "max": float(sample.max())}


def percentiles(sample: npt.NDArray[Any], names: list[str]) -> list[float]:
    """Percentiles by name of a sample without NaN; infinite values are the slowest."""
    if not names:
        return []
    places = [max(0, int(np.ceil(PERCENTILES[name] * len(sample) - 1e-9)) - 1) for name in names]
    ordered = np.partition(sample, sorted(set(places)))
    return [float(ordered[place]) for place in places]


def output_tokens_in_window(rows: pd.DataFrame, window: tuple[float, float]) -> float:
    """Completion tokens that arrived inside the window: of a stream by its arrivals, of other answers at their end.

    Where the server's count differs from the tokens in the arrivals, each arrival stands for its share of that count.
    """
    counted = rows["completion_tokens"].fillna(rows["arrived_tokens"])
    share = counted / rows["arrived_tokens"].where(rows["arrived_tokens"] > 0)
    streamed = (rows["window_tokens"] * share).where(rows["stream"] & (rows["arrived_tokens"] > 0))
    at_once = counted.where((rows["done"] >= window[0]) & (rows["done"] < window[1]), 0.0)
    return float(streamed.fillna(at_once.where(rows["arrived_tokens"] == 0, 0.0)).sum())


def answers_in_window(rows: pd.DataFrame, window: tuple[float, float]) -> int:
    """Answers without error that ended inside the window."""
    return int(answered(rows, window).sum())


def answered(rows: pd.DataFrame, window: tuple[float, float]) -> pd.Series[bool]:
    """Which rows are answers without error that ended inside the window."""
    return (rows["outcome"] == "ok") & (rows["done"] >= window[0]) & (rows["done"] < window[1])


def dispersion(times: npt.ArrayLike, window: tuple[float, float]) -> dict[str, float] | None:
    """Index of dispersion of events in the window: variance / mean of their counts in bins of ten events on average.

    1 for a Poisson process, 0 for an even one; `error` is its standard error for a Poisson process, √(2 / (bins − 1))
    (Cox and Lewis 1966). None for fewer than a hundred events.
    """
    inside = np.asarray(times)
    inside = inside[(inside >= window[0]) & (inside < window[1])]
    bins = len(inside) // 10
    if bins < 10:
        return None
    counts, _ = np.histogram(inside, bins, window)
    return {"index": float(counts.var(ddof=1) / counts.mean()), "error": (2 / (bins - 1)) ** 0.5, "bins": bins}


def meets_slo(rows: pd.DataFrame, slo: Mapping[str, float]) -> pd.Series[bool]:
    """Which requests ended ok and met every limit; a limit on tokens of a stream does not bind other answers."""
    good = rows["outcome"] == "ok"
    for name, limit in slo.items():
        value = rows[f"{name}_s"]
        unbound = value.isna() if name in ("ttft", "ttfa", "tpot") else pd.Series(False, index=rows.index)
        good &= (value <= limit) | (unbound & (~rows["stream"] if name != "tpot" else True))
    return good


def items_in_window(rows: pd.DataFrame, window: tuple[float, float]) -> float:
    """Images, vectors and so on, of answers without error that ended inside the window."""
    return float(rows["items"].where(answered(rows, window), 0.0).sum())


def cost(rows: pd.DataFrame, price: Price, *, online: bool = False) -> float:
    """US dollars for the tokens that the server counted and for the things it made; `online`: as if not in a batch."""
    in_batch = rows["api"] == "batch"
    made = rows["items"].where(rows["item"].isin(PRICED_ITEMS), 0.0).sum()
    return (
        _cost(rows[~in_batch], price)
        + _cost(rows[in_batch], price) * (1.0 if online else price.batch)
        + (float(made) * price.item)
    )


def _cost(rows: pd.DataFrame, price: Price) -> float:
    total = {name: float(rows[f"{name}_tokens"].sum()) for name in ("prompt", "completion", "cached", "cache_write")}
    return cost_usd(price, **total)
