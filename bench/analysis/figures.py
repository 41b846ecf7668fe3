"""Every formula of many requests, once: a Sample comes in, a number goes out; a figure's name is the same everywhere.
The formulas of a single request are in `bench.analysis.per_request`, those of dollars in `bench.analysis.charges`.

A percentile is one of the measured values: the smallest with at least that share of all values not above it (the
inverse of the empirical distribution; Hyndman and Fan 1996, definition 1). Below the number of values at which a
99 % confidence bound of it exists (MLPerf LoadGen's early stopping), it is withheld.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.charges import cache_savings, cache_write_cost, cost, input_cost, miscounted
from bench.analysis.statistics import rank
from bench.analysis.table import Gaps, Table
from bench.analysis.windows import Window
from bench.metrics import FLOORS, METRICS, PERCENTILES, UNFAILED
from bench.plan.prices import Price, sum_of

Values = npt.NDArray[np.floating[Any]]


class Statistics(msgspec.Struct, frozen=True):
    """A distribution in a few numbers, in the unit of its values; None if there are no values, or too few."""

    n: int
    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p99_9: float | None = msgspec.field(default=None, name="p99.9")
    max: float | None = None

    def stat(self, name: str) -> float | None:
        """The number of this name, one of `bench.metrics.STATISTICS`."""
        found: float | None = getattr(self, name.replace(".", "_"))
        return found


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many."""

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        """The share of 1; None if `of` is 0."""
        return self.hits / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class Sample:
    """The requests that a figure is made of. Every figure of the table, of a threshold and of a chart is a function of
    one of these."""

    offered: pd.DataFrame
    """Measured requests, however they ended."""
    good: pd.DataFrame
    """The requests that ended ok; latencies are computed from them."""
    gaps: Gaps
    """Seconds between one arrival and the next, of the good requests."""
    loaded: pd.DataFrame
    """Requests of all stages, warm-up included: what ends inside a window counts as throughput, whenever it was
    sent."""
    windows: Sequence[Window]
    """The measured parts of the run."""
    slo: Mapping[str, float]
    """The limits of a good answer, s by metric; empty if none was stated."""
    prices: Mapping[str, Price | None]
    """The price of each model; None if it is unknown."""

    @property
    def length(self) -> float:
        """The length of all windows together, s."""
        return sum(window.length for window in self.windows)


def sample(
    table: Table,
    rows: pd.DataFrame,
    chosen: pd.Series[bool],
    windows: Sequence[Window],
    slo: Mapping[str, float],
    prices: Mapping[str, Price | None],
) -> Sample:
    """The chosen ones of a run's derived rows, in the stages of the windows; what is sent in bursts is in no figure."""
    measured = chosen & rows["measured"] & rows["stage"].isin([window.stage for window in windows])
    good = measured & (rows["outcome"] == "ok")
    return Sample(
        offered=rows[measured],
        good=rows[good],
        gaps=table.gaps_of(good.to_numpy()),
        loaded=rows[chosen & rows["loaded"]],
        windows=windows,
        slo=slo,
        prices=prices,
    )


def error_rate(of: Sample) -> Share:
    """Requests that failed / requests offered; those still open at the end of the run are left out."""
    return share_of_hits(failures(of))


def goodput(of: Sample) -> Share:
    """Requests that met every limit / requests offered; of no request if no limit was stated."""
    return share_of_hits(met(of))


def share_of_hits(each: pd.Series[bool]) -> Share:
    return Share(int(each.sum()), len(each))


def failures(of: Sample) -> pd.Series[bool]:
    """Whether each offered request failed; those still open at the end of the run are left out."""
    return failures_in(of.offered)


def failures_in(offered: pd.DataFrame) -> pd.Series[bool]:
    """Whether each of these requests failed; those still open at the end of the run are left out."""
    outcomes = offered["outcome"]
    return is_failure(outcomes[outcomes != "censored"])


def is_failure(outcomes: pd.Series[str]) -> pd.Series[bool]:
    """Whether each request failed, by its outcome."""
    return ~outcomes.isin(UNFAILED)


def met(of: Sample) -> pd.Series[bool]:
    """Whether each request offered met every limit; of none if no limit was stated."""
    return meets_slo(of.offered if of.slo else of.offered.iloc[:0], of.slo)


def zero_gap_share(of: Sample) -> Share:
    """Gaps that are 0 / all gaps."""
    return Share(int(of.good["zero_gaps"].sum()), len(of.gaps))


def valid_tool_calls(of: Sample) -> Share:
    """Tool calls whose arguments are as declared / all tool calls."""
    return Share(int(of.good["valid_tool_calls"].sum()), int(of.good["tool_calls"].sum()))


def json_valid(of: Sample) -> Share:
    """Answers that are JSON / answers that should be JSON."""
    return Share(int(of.good["json_valid"].sum()), int(of.good["json_valid"].count()))


def schema_valid(of: Sample) -> Share:
    """Answers that fit the wanted schema / answers that should fit one."""
    return Share(int(of.good["schema_valid"].sum()), int(of.good["schema_valid"].count()))


def reasoning_share(of: Sample) -> Share:
    """Reasoning tokens / completion tokens, of the answers whose server counts both."""
    return share_of(of.good, "reasoning_tokens", "completion_tokens")


def cached_share(of: Sample) -> Share:
    """Prompt tokens read from the server's cache / prompt tokens, of the answers whose server counts both. Unknown if
    one of them is counted as it can't be."""
    return Share(0, 0) if miscounted(of.good).any() else share_of(of.good, "cached_tokens", "prompt_tokens")


def share_of(rows: pd.DataFrame, part: str, whole: str) -> Share:
    """One count / another, summed over the requests that have both."""
    known = rows[part].notna() & (rows[whole] > 0)
    return Share(int(rows[part][known].sum()), int(rows[whole][known].sum()))


def failed_item_rate(of: Sample) -> Share:
    """Requests of batches that brought no answer / all requests of batches."""
    if not of.good["failed_items"].notna().any():
        return Share(0, 0)
    failed = int(of.good["failed_items"].sum())
    return Share(failed, failed + int(of.good["items"].sum()))


def attempts_per_request(of: Sample) -> float | None:
    """Tries that were sent / requests offered; None without any request."""
    return float(of.offered["attempts"].sum()) / len(of.offered) if len(of.offered) else None


def mean_prompt_tokens(of: Sample) -> float | None:
    """Prompt tokens of an answer without error; None if no server counts them."""
    return mean_of(of.good["prompt_tokens"])


def mean_completion_tokens(of: Sample) -> float | None:
    """Completion tokens of an answer without error; None if neither a server nor its events count them."""
    return mean_of(of.good["completion_tokens"])


def mean_of(values: pd.Series[float]) -> float | None:
    """The mean of the values that are known; None if there is none."""
    return float(values.mean()) if values.notna().any() else None


def cost_usd(of: Sample) -> float | None:
    """US dollars for the requests offered; None if a model of them has no price."""
    return priced(of, online=False)


def priced(of: Sample, *, online: bool) -> float | None:
    """US dollars for the requests offered; `online`: as if none of them had been in a batch."""
    if any(price is None for price in of.prices.values()):
        return None
    each = ((offered_to(of, model), price) for model, price in of.prices.items())
    return sum_of(cost(rows, price, online=online) for rows, price in each if price is not None)


def offered_to(of: Sample, model: str) -> pd.DataFrame:
    """The requests that were offered to one of the sample's models."""
    return of.offered if len(of.prices) == 1 else of.offered[of.offered["model"] == model]


def cost_per_1000_usd(of: Sample) -> float | None:
    """US dollars for a thousand requests like those offered."""
    total = cost_usd(of)
    return total / len(of.offered) * 1000 if total is not None and len(of.offered) else None


def cost_per_good_usd(of: Sample) -> float | None:
    """US dollars for each answer that is good: that met every SLO or, where none was stated, that ended ok."""
    total, good = cost_usd(of), int(good_answers(of).sum())
    return total / good if total is not None and good else None


def good_answers(of: Sample) -> pd.Series[bool]:
    """Whether each request offered met every limit or, if none was stated, ended ok."""
    return met(of) if of.slo else of.offered["outcome"] == "ok"


def input_price_usd(of: Sample) -> float | None:
    """US dollars for a million prompt tokens at the share of them that came from the cache."""
    total, tokens = of_prompts(of, input_cost), float(of.offered["prompt_tokens"].sum())
    return total / tokens * 1e6 if total is not None and tokens else None


def cache_saved_usd(of: Sample) -> float | None:
    """US dollars that the prompt cache saved, less what its writes cost more; None where that is unknown."""
    told = len(of.offered) and of.offered["cached_tokens"].notna().any()
    return of_prompts(of, cache_savings) if told else None


def cache_write_usd(of: Sample) -> float | None:
    """US dollars for tokens written to the prompt cache; None where no server says that it charges them."""
    told = len(of.offered) and of.offered["cache_write_tokens"].notna().any()
    return of_prompts(of, cache_write_cost) if told else None


def requests_per_s(of: Sample) -> float | None:
    """Answers without error that ended inside the windows, per second; None of a window without length."""
    return answers_in(of.loaded, of.windows) / of.length if of.length > 0 else None


def good_requests_per_s(of: Sample) -> float | None:
    """Answers that met every limit and ended inside the windows, per second; None if no limit was stated, and of a
    window without length."""
    if not of.slo or of.length <= 0:
        return None
    return int((answered(of.loaded, of.windows) & meets_slo(of.loaded, of.slo)).sum()) / of.length


def output_tokens_per_s(of: Sample) -> float | None:
    """Completion tokens that arrived inside the windows, per second; None of a window without length."""
    return output_tokens_in(of.loaded, of.windows) / of.length if of.length > 0 else None


def stream_tokens_per_s(of: Sample) -> float | None:
    """Tokens per second of a typical stream; None where the p50 of TPOT is withheld."""
    middle = statistics(latencies(of, "tpot")).p50
    return 1.0 / middle if middle else None


def items_per_min(of: Sample) -> float | None:
    """Images and other items of answers that ended inside the windows, per minute; None if no answer brought any."""
    if of.length <= 0 or not of.good["item"].notna().any():
        return None
    return items_in(of.loaded, of.windows) / of.length * 60


SHARES: Mapping[str, Callable[[Sample], Share]] = {
    "error_rate": error_rate,
    "goodput": goodput,
    "zero_gap_share": zero_gap_share,
    "reasoning_share": reasoning_share,
    "cached_share": cached_share,
    "valid_tool_calls": valid_tool_calls,
    "json_valid": json_valid,
    "schema_valid": schema_valid,
    "failed_item_rate": failed_item_rate,
}
RATES: Mapping[str, Callable[[Sample], float | None]] = {
    "requests_per_s": requests_per_s,
    "good_requests_per_s": good_requests_per_s,
    "output_tokens_per_s": output_tokens_per_s,
    "stream_tokens_per_s": stream_tokens_per_s,
    "items_per_min": items_per_min,
}
AMOUNTS: Mapping[str, Callable[[Sample], float | None]] = {
    "attempts_per_request": attempts_per_request,
    "mean_prompt_tokens": mean_prompt_tokens,
    "mean_completion_tokens": mean_completion_tokens,
    "cost_usd": cost_usd,
    "cost_per_1000_usd": cost_per_1000_usd,
    "cost_per_good_usd": cost_per_good_usd,
    "input_price_usd": input_price_usd,
    "cache_saved_usd": cache_saved_usd,
    "cache_write_usd": cache_write_usd,
}


def itl(of: Sample) -> Values:
    """The gaps between content arrivals of all answers, pooled."""
    return of.gaps


OF_TOKENS: Mapping[str, Callable[[Sample], Values]] = {"itl": itl}
"""Latencies with many values per request, s."""


def latencies(of: Sample, metric: str) -> Values:
    """The measured values of a latency, s, of answers without error."""
    return OF_TOKENS[metric](of) if metric in OF_TOKENS else of.good[METRICS[metric].key].dropna().to_numpy()


def statistics(values: npt.ArrayLike) -> Statistics:
    """Statistics of the values that are not NaN."""
    measured = np.asarray(values)
    measured = measured[~np.isnan(measured)]
    n = len(measured)
    if n == 0:
        return Statistics(n=0)
    stated = [name for name in PERCENTILES if n >= FLOORS[name]]
    found = dict(zip((name.replace(".", "_") for name in stated), percentiles(measured, stated), strict=True))
    return Statistics(n=n, mean=float(measured.mean(dtype=np.float64)), max=float(measured.max()), **found)


def percentiles(values: npt.NDArray[Any], names: Sequence[str]) -> list[float]:
    """Percentiles by name of values without NaN, at least one of them; infinite ones are the slowest."""
    if not names:
        return []
    places = [rank(PERCENTILES[name], len(values)) for name in names]
    ordered = np.partition(values, sorted(set(places)))
    return [float(ordered[place]) for place in places]


def output_tokens_in(rows: pd.DataFrame, windows: Sequence[Window]) -> float:
    """Completion tokens that arrived inside the windows: of a stream by its arrivals, of other answers at their end.

    Where the server's count differs from the tokens in the arrivals, each arrival stands for its share of that count.
    """
    counted = rows["completion_tokens"].fillna(rows["arrived_tokens"])
    total = 0.0
    for window in windows:
        arrived = rows[f"window_tokens.{window.place}"]
        streamed = (arrived * rows["tokens_each"]).where(rows["stream"] & (rows["arrived_tokens"] > 0))
        at_once = counted.where((rows["done"] >= window.begin) & (rows["done"] < window.end), 0.0)
        total += float(streamed.fillna(at_once.where(rows["arrived_tokens"] == 0, 0.0)).sum())
    return total


def answers_in(rows: pd.DataFrame, windows: Sequence[Window]) -> int:
    """Answers without error that ended inside the windows."""
    return int(answered(rows, windows).sum())


def answered(rows: pd.DataFrame, windows: Sequence[Window]) -> pd.Series[bool]:
    """Which rows are answers without error that ended inside one of the windows."""
    inside = pd.Series(False, index=rows.index)
    for window in windows:
        inside |= (rows["done"] >= window.begin) & (rows["done"] < window.end)
    return inside & (rows["outcome"] == "ok")


class Dispersion(msgspec.Struct, frozen=True):
    """Index of dispersion of events: variance / mean of their counts in bins of ten events on average."""

    index: float  # 1 for a Poisson process, 0 for an even one
    error: float  # standard error of it for a Poisson process: √(2 / (bins − 1)) (Cox and Lewis 1966)
    bins: int


def dispersion(times: npt.ArrayLike, window: tuple[float, float]) -> Dispersion | None:
    """How evenly events in the window are spread; None for fewer than a hundred."""
    inside = np.asarray(times)
    inside = inside[(inside >= window[0]) & (inside < window[1])]
    bins = len(inside) // 10
    if bins < 10:
        return None
    counts, _ = np.histogram(inside, bins, window)
    return Dispersion(index=float(counts.var(ddof=1) / counts.mean()), error=(2 / (bins - 1)) ** 0.5, bins=bins)


def meets_slo(rows: pd.DataFrame, slo: Mapping[str, float]) -> pd.Series[bool]:
    """Which requests ended ok and met every limit; a limit on tokens of a stream does not bind other answers."""
    good = rows["outcome"] == "ok"
    for name, limit in slo.items():
        value = rows[f"{name}_s"]
        unbound = value.isna() if name in ("ttft", "ttfa", "tpot") else pd.Series(False, index=rows.index)
        good &= (value <= limit) | (unbound & (~rows["stream"] if name != "tpot" else True))
    return good


def items_in(rows: pd.DataFrame, windows: Sequence[Window]) -> float:
    """Images, vectors and so on, of answers without error that ended inside the windows."""
    return float(rows["items"].where(answered(rows, windows), 0.0).sum())


def of_prompts(of: Sample, dollars: Callable[[pd.DataFrame, Price], float | None]) -> float | None:
    """What the prompts of the requests offered come to in dollars, in a batch its share; None where a model of them has
    no price."""
    total = []
    for model, price in of.prices.items():
        if price is None:
            return None
        mine = offered_to(of, model)
        in_batch = mine["api"] == "batch"
        total.append(dollars(mine[~in_batch], price))
        batch = dollars(mine[in_batch], price)
        total.append(None if batch is None else batch * price.batch)
    return sum_of(total)
