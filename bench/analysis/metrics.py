"""Every formula, once. Requests come in as columns, seconds go out; a figure's name is the same everywhere.

A percentile is one of the measured values: the smallest with at least that share of all values not above it (the
inverse of the empirical distribution; Hyndman and Fan 1996, definition 1). Below the number of values at which a
99 % confidence bound of it exists (MLPerf LoadGen's early stopping), it is withheld.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.table import Gaps, Table
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
    "ITL": "inter-token latency: the gaps between content arrivals of all answers without error, pooled; streams",
    "TPOT": "time per output token: (last token − first token) / (completion tokens − tokens in the first arrival), "
    "for each stream; reasoning that was not streamed is left out of the tokens",
    "E2E": "end-to-end latency: arrival of the answer's last byte − sent",
    "from due": "the same latencies with the clock started when the schedule wanted the request sent; open loops",
    "send lag": "the first attempt's sent (or the beginning of its fresh connection) − due; open loops",
    "requests/s": "answers without error that ended inside the measured window / length of the window; the window of a "
    "model that got its share of load.requests ends with its last answer",
    "tokens/s": "completion tokens that arrived inside the measured window / length of the window",
    "error rate": "requests that failed / requests offered; those still open at the end of the run are left out",
    "goodput": "requests that ended ok and met every SLO / requests offered, those that failed or were still open at "
    "the end of the run included",
    "zero gaps": "gaps that are 0, of tokens that came in one read / all gaps, of answers without error",
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


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many."""

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        """As a share of 1; None of nothing."""
        return self.hits / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class Sample:
    """The requests that a figure is made of. Every figure of the table, of a threshold and of a chart is a function of
    one of these."""

    offered: pd.DataFrame
    """Measured requests, however they ended."""
    good: pd.DataFrame
    """Those of them that ended ok; latencies are theirs."""
    gaps: Gaps
    """Seconds between one arrival and the next, of the good ones."""
    loaded: pd.DataFrame
    """Measured and warm-up requests: what ends inside the window counts as throughput, whenever it was sent."""
    window: tuple[float, float]
    """The measured part of the run, s from its start."""
    slo: Mapping[str, float]
    """Limits that a good answer keeps, s by metric; empty where none was stated."""

    @property
    def length(self) -> float:
        return self.window[1] - self.window[0]


def sample(
    table: Table, rows: pd.DataFrame, chosen: pd.Series[bool], window: tuple[float, float], slo: Mapping[str, float]
) -> Sample:
    """The chosen ones of a run's derived rows; requests that only fit the prompts are in no figure."""
    measured = chosen & (rows["stage"] == "measure")
    good = measured & (rows["outcome"] == "ok")
    return Sample(
        offered=rows[measured],
        good=rows[good],
        gaps=table.gaps_of(good.to_numpy()),
        loaded=rows[chosen & (rows["stage"] != "fit")],
        window=window,
        slo=slo,
    )


def error_rate(of: Sample) -> Share:
    """Requests that failed, of those offered; those still open at the end of the run are left out."""
    ended = of.offered["outcome"] != "censored"
    return Share(int((ended & (of.offered["outcome"] != "ok")).sum()), int(ended.sum()))


def goodput(of: Sample) -> Share:
    """Requests that met every limit, of all offered; of nothing where no limit was stated."""
    return Share(int(meets_slo(of.offered, of.slo).sum()), len(of.offered)) if of.slo else Share(0, 0)


def zero_gap_share(of: Sample) -> Share:
    """Gaps that are 0, of all gaps."""
    return Share(int(of.good["zero_gaps"].sum()), len(of.gaps))


def valid_tool_calls(of: Sample) -> Share:
    """Tool calls whose arguments are as declared, of all tool calls."""
    return Share(int(of.good["valid_tool_calls"].sum()), int(of.good["tool_calls"].sum()))


def json_valid(of: Sample) -> Share:
    """Answers that are JSON, of those that had to be."""
    return Share(int(of.good["json_valid"].sum()), int(of.good["json_valid"].count()))


def schema_valid(of: Sample) -> Share:
    """Answers that fit the schema asked for, of those that had to."""
    return Share(int(of.good["schema_valid"].sum()), int(of.good["schema_valid"].count()))


def requests_per_s(of: Sample) -> float | None:
    """Answers without error that ended inside the window, per second; None of a window without length."""
    return answers_in_window(of.loaded, of.window) / of.length if of.length > 0 else None


def output_tokens_per_s(of: Sample) -> float | None:
    """Completion tokens that arrived inside the window, per second; None of a window without length."""
    return output_tokens_in_window(of.loaded, of.window) / of.length if of.length > 0 else None


def items_per_min(of: Sample) -> float | None:
    """Images and so on, of answers that ended inside the window, per minute; None where no answer brought any."""
    if of.length <= 0 or not of.good["item"].notna().any():
        return None
    return items_in_window(of.loaded, of.window) / of.length * 60


SHARES: Mapping[str, Callable[[Sample], Share]] = {
    "error_rate": error_rate,
    "goodput": goodput,
    "zero_gap_share": zero_gap_share,
    "valid_tool_calls": valid_tool_calls,
    "json_valid": json_valid,
    "schema_valid": schema_valid,
}
RATES: Mapping[str, Callable[[Sample], float | None]] = {
    "requests_per_s": requests_per_s,
    "output_tokens_per_s": output_tokens_per_s,
    "items_per_min": items_per_min,
}


def latencies(of: Sample, metric: str) -> npt.NDArray[Any]:
    """The measured values of a latency, s: one a good request that has it, of `itl` one a gap."""
    return of.gaps if metric == "itl" else of.good[f"{metric}_s"].dropna().to_numpy()


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
    measured = np.asarray(values)
    measured = measured[~np.isnan(measured)]
    n = len(measured)
    if n == 0:
        return {"n": 0, "mean": None, **dict.fromkeys(PERCENTILES), "max": None}
    stated = [name for name in PERCENTILES if n >= FLOORS[name]]
    found = dict.fromkeys(PERCENTILES) | dict(zip(stated, percentiles(measured, stated), strict=True))
    return {"n": n, "mean": float(measured.mean(dtype=np.float64)), **found, "max": float(measured.max())}


def percentiles(values: npt.NDArray[Any], names: Sequence[str]) -> list[float]:
    """Percentiles by name of values without NaN, at least one of them; infinite ones are the slowest."""
    if not names:
        return []
    places = [max(0, int(np.ceil(PERCENTILES[name] * len(values) - 1e-9)) - 1) for name in names]
    ordered = np.partition(values, sorted(set(places)))
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
