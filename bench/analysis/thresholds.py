"""Judges thresholds: a condition is met, or broken, or there were too few requests to say.

A percentile below a limit is a claim about a share: of all requests, at most 5 % are slower than the limit. So is an
error rate. Each is judged by the exact binomial test (Clopper and Pearson 1934) at 99 % confidence, which takes the
requests as independent. Means, maxima and rates are one number, compared as it is.

The value told is the table's figure, by the same function, of answers without error. A failed request has no figure:
where a latency is judged it counts as slower than any limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.figures import (
    AMOUNTS,
    RATES,
    SHARES,
    Sample,
    cost_usd,
    is_failure,
    latencies,
    sample,
    statistics,
)
from bench.analysis.numerals import counted
from bench.analysis.statistics import Verdict, at_most
from bench.analysis.table import Table
from bench.analysis.windows import Windows
from bench.metrics import FLOORS, METRICS, PERCENTILES
from bench.plan.prices import Price
from bench.plan.scopes import scope_names
from bench.plan.thresholds import Threshold, parse_threshold

DEPENDENT = ("zero_gap_share", "reasoning_share", "cached_share", "failed_item_rate")
"""Shares of what is not independent (tokens and gaps of one answer, requests of one batch): compared as they are."""
OF_ANSWERS = ("itl", "send_lag", "ttft_hit", "ttft_miss")
"""Latencies in which no failure counts: it has no number of gaps, how late bench sent does not depend on the answer,
and only an answer says whether it was a hit."""
THINGS = {"itl": "gaps", "valid_tool_calls": "calls", "json_valid": "answers", "schema_valid": "answers"}
"""What is counted, where that is not requests."""
NUMBERS = {**RATES, **AMOUNTS}
"""Figures that are one number, and compared as it is."""
DOUBT = 0.01  # how often a claim that is only just wrong may still pass


@dataclass(frozen=True, slots=True)
class Judgement:
    """A threshold with its verdict."""

    expression: str  # as the scenario has it
    value: float | None  # the figure as the table has it; None if it has none
    verdict: Verdict
    n: int  # requests, calls or gaps that it was judged by
    reason: str | None  # the reason that the value alone does not show
    failed: int = 0  # failed requests among the n, which have no value


def judge_thresholds(
    expressions: Sequence[str],
    table: Table,
    everything: pd.DataFrame,
    *,
    prices: Mapping[str, Price | None],
    windows: Windows,
    slo: Mapping[str, float],
) -> list[Judgement]:
    """Each threshold's value, verdict and reason. `everything` are the derived rows of all stages,
    `prices` those of the scenario's models, None if nobody said."""
    wanted = [parse_threshold(one) for one in expressions]
    judged: dict[str, Judgement] = {}
    known = {*prices, *(window.stage for window in windows.whole), *map(str, everything["name"].unique())}
    for parts in {one.scope for one in wanted}:
        scope = scope_names(parts, known)
        models = [word for word in scope if word in prices] or list(prices)
        stages = [window.stage for window in windows.whole if window.stage in scope]
        chosen = in_scope(everything, [word for word in scope if word not in stages], list(prices))
        within = windows.of(map(str, everything.loc[chosen, "model"].unique()), stages)
        of = sample(table, everything, chosen, within, slo, {model: prices[model] for model in models})
        judged |= {one.expression: judge(one, of) for one in wanted if one.scope == parts}
    return [judged[one.expression] for one in wanted]


def judge(threshold: Threshold, of: Sample) -> Judgement:
    """The verdict on one threshold, by the requests in its scope."""
    metric = threshold.metric
    value: float | None
    failed = 0
    if metric in SHARES:
        share = SHARES[metric](of)
        value, n = share.value, share.of
        if metric in DEPENDENT:
            verdict = compare(threshold, value)
        else:
            verdict = judge_share(threshold, share.hits, n, threshold.limit)
    elif metric in NUMBERS:
        value, n = NUMBERS[metric](of), concerned(metric, of)
        verdict = compare(threshold, (in_its_place(metric, of) if value is None else value) if n else None)
    else:
        assert threshold.stat is not None
        value = statistics(latencies(of, metric)).stat(threshold.stat)
        judged = with_failures(of, metric)
        n, verdict, failed = len(judged), judge_latency(threshold, judged), int(np.isinf(judged).sum())
    told = Judgement(threshold.expression, value, verdict, n, None, failed)
    return replace(told, reason=reason(threshold, of, told))


def concerned(metric: str, of: Sample) -> int:
    """The number of requests that a rate or an amount is about."""
    if metric == "stream_tokens_per_s":
        return len(latencies(of, "tpot"))
    if metric == "items_per_min" and len(of.good) and not of.good["item"].notna().any():
        return 0
    return len(of.offered)


def in_its_place(metric: str, of: Sample) -> float | None:
    """What stands for a rate or an amount that the requests do not have: where none was answered nothing came, and
    where no answer was good a good one costs more than any limit. None if nothing does."""
    if metric == "items_per_min" and of.length > 0:
        return 0.0
    if metric == "cost_per_good_usd" and cost_usd(of) is not None:
        return math.inf
    return None


def compare(threshold: Threshold, value: float | None) -> Verdict:
    """The verdict on a figure of one number, which is compared as it is."""
    return "inconclusive" if value is None else "pass" if threshold.holds(value) else "fail"


def in_scope(rows: pd.DataFrame, scope: Sequence[str], models: Sequence[str]) -> pd.Series[bool]:
    """The rows of the models and of the request classes that the scope names; a kind not named is not restricted.
    `models` are the scenario's: one that left no request is one all the same."""
    wanted_models = [word for word in scope if word in models] or list(models)
    names = [word for word in scope if word not in models]
    chosen = rows["model"].isin(wanted_models)
    return chosen & rows["name"].isin(names) if names else chosen


def with_failures(of: Sample, metric: str) -> npt.NDArray[Any]:
    """The values of a latency, and an infinite one for each request that failed and should have had one."""
    values = latencies(of, metric)
    return np.concatenate([values, np.full(failed_without_value(of, metric), math.inf)])


def failed_without_value(of: Sample, metric: str) -> int:
    """Failed requests that should have had a value of this latency; of tokens, those that were to stream."""
    if metric in OF_ANSWERS:
        return 0
    failed = is_failure(of.offered["outcome"])
    if METRICS[metric].streams_only:
        failed &= of.offered["stream"]
    return int(failed.sum())


def judge_latency(threshold: Threshold, judged: npt.NDArray[Any]) -> Verdict:
    """The verdict on a latency from its values, failures included."""
    if len(judged) == 0:
        return "inconclusive"
    assert threshold.stat is not None
    if threshold.stat not in PERCENTILES:
        value = float(np.mean(judged, dtype=np.float64) if threshold.stat == "mean" else np.max(judged))
        return compare(threshold, value)
    return judge_share(threshold, beyond(threshold, judged), len(judged), 1.0 - PERCENTILES[threshold.stat])


def beyond(threshold: Threshold, judged: npt.NDArray[Any]) -> int:
    """How many values are above the limit, or on it where that is the wrong side."""
    limit = threshold.limit
    return int((judged > limit if threshold.operator in ("<=", ">") else judged >= limit).sum())


def judge_share(threshold: Threshold, hits: int, n: int, limit: float) -> Verdict:
    """Whether a share, seen as `hits` of `n`, is on the wanted side of the limit."""
    at_most_is_wanted = threshold.operator in ("<", "<=")
    surely_below = n > 0 and at_most(hits, n, limit) < DOUBT
    surely_above = n > 0 and at_most(n - hits, n, 1.0 - limit) < DOUBT
    if surely_below or surely_above:
        return "pass" if surely_below == at_most_is_wanted else "fail"
    return "inconclusive"


def reason(threshold: Threshold, of: Sample, told: Judgement) -> str | None:
    """Why the value alone does not decide the verdict; None if it does."""
    value, n, failed = told.value, told.n, told.failed
    if n == 0:
        return "no request that it is about was measured"
    if value is None and threshold.metric in NUMBERS:
        return unknown(threshold.metric, of, n)
    if told.verdict == "inconclusive":
        return undecided(threshold, of, told)
    if METRICS[threshold.metric].kind != "latency":
        return None
    if value is None and threshold.stat in FLOORS and failed < n:
        return unshown(threshold, with_failures(of, threshold.metric), failed)
    if failed and (value is None or (told.verdict == "pass") != threshold.holds(value)):
        return count_as_slower(failed, n)
    return None


def unknown(metric: str, of: Sample, n: int) -> str:
    """Why the requests do not have a rate or an amount."""
    if metric == "stream_tokens_per_s":
        return f"it is shown from {FLOORS['p50']} streams on, had {n}"
    if metric in RATES:
        return "no answer brought any" if of.length > 0 else "no time was measured"
    if METRICS[metric].unit == "tokens":
        return "no answer without error has a count of its tokens"
    if metric == "cost_per_good_usd" and cost_usd(of) is not None:
        return "no answer was good"
    return "a price is not known, or the server does not say what it charges for; add prices: to the scenario"


def needs_more(one: Judgement) -> bool:
    """Whether more requests may decide what was inconclusive."""
    metric = parse_threshold(one.expression).metric
    counts = METRICS[metric].kind in ("latency", "share") or metric == "stream_tokens_per_s"
    return one.verdict == "inconclusive" and one.n > 0 and counts


def undecided(threshold: Threshold, of: Sample, told: Judgement) -> str:
    """Why there is no verdict on a share or a percentile."""
    needed, stat, things = fewest(threshold), threshold.stat, THINGS.get(threshold.metric, "requests")
    if needed is not None and told.n < needed:
        slow_are_wanted = stat is not None and threshold.operator in (">", ">=")
        least = counted(needed, things if slow_are_wanted else f"good {things}")
        return f"it needs at least {least} to be shown with 99 % confidence, had {counted(told.n, things)}"
    if not told.failed or stat is None:
        return f"it is too close to the limit to say with 99 % confidence; had {counted(told.n, things)}, send more"
    slow = beyond(threshold, with_failures(of, threshold.metric)) - told.failed
    more = f", and {slow:,} took {too_long(threshold)}" if slow else ""
    return (
        f"{count_as_slower(told.failed, told.n)}{more}; {stat} allows {100 * (1.0 - PERCENTILES[stat]):.3g} % of them, "
        "which is too close to say with 99 % confidence; mend the failures, or send more"
    )


def count_as_slower(failed: int, n: int) -> str:
    return f"{failed:,} of {counted(n, 'requests')} failed, and count as slower than any limit"


def unshown(threshold: Threshold, judged: npt.NDArray[Any], failed: int) -> str:
    """What decided about a percentile that has too few answers to be shown."""
    assert threshold.stat is not None
    many, stat = beyond(threshold, judged), threshold.stat
    things = THINGS.get(threshold.metric)
    what, needed = (things, things) if things else ("requests", "answers")
    ended = f"{'failed or ' if failed else ''}took {too_long(threshold)}"
    return f"{many:,} of {counted(len(judged), what)} {ended}; {stat} itself is shown from {FLOORS[stat]:,} {needed} on"


def too_long(threshold: Threshold) -> str:
    """What is on the wrong side of the limit, in words."""
    limit = threshold.expression.rpartition(threshold.operator)[2].strip()
    return f"longer than {limit}" if threshold.operator in ("<=", ">") else f"{limit} or longer"


def fewest(threshold: Threshold) -> int | None:
    """The smallest number of requests with which the threshold can pass."""
    limit = threshold.limit
    if threshold.stat in PERCENTILES:
        limit = 1.0 - PERCENTILES[threshold.stat]
    elif threshold.metric not in SHARES or threshold.metric in DEPENDENT:
        return None
    share = limit if threshold.operator in ("<", "<=") else 1.0 - limit
    return math.ceil(math.log(DOUBT) / math.log(1.0 - share)) if 0.0 < share < 1.0 else None
