"""Models that one run asked at the same time, each beside the first: the difference of each figure, with its interval.
For a single model the request classes stand side by side.

The figures are those of the table; the intervals are of `bench.analysis.unpaired`. Nothing is judged here: requests
were not paired, and where models got other prompts, or at other moments, that is part of the difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bench.analysis.charges import CHARGED
from bench.analysis.columns import waits_much
from bench.analysis.comparison import Comparison, unjudged
from bench.analysis.figures import Sample, answered, cost_usd, failures, good_answers, met
from bench.analysis.groups import ALL, Group
from bench.analysis.per_request import OF_REQUESTS
from bench.analysis.statistics import Interval
from bench.analysis.unpaired import (
    PARTS,
    Places,
    Timed,
    Totals,
    part_of,
    quantile_ratio,
    ratio_of_ratios,
    share_difference,
    sums,
)
from bench.analysis.windows import Window
from bench.metrics import FLOORS, METRICS, PERCENTILES

FIGURES = (
    ("ttft", "p50"),
    ("ttft", "p95"),
    ("tpot", "p50"),
    ("stream_tokens_per_s", "rate"),
    ("e2e", "p50"),
    ("e2e", "p95"),
    ("error_rate", "share"),
    ("goodput", "share"),
    ("cost_per_1000_usd", "amount"),
    ("cost_per_good_usd", "amount"),
)
"""The compared figures: a metric and its statistic."""
WITH_ATTEMPTS = (("e2e_from_due", "p50"), ("attempts_per_request", "amount"), ("requests_per_s", "rate"))
"""What comes before them where many requests were sent again, or users waited long: the others are of the attempt that
was answered."""
LEFT_OUT = "p95"  # of several stages
OF_STAGES = tuple(figure for figure in FIGURES if figure[1] != LEFT_OUT)
"""The same for several stages, which have a row each."""
OF_CLASSES = (
    ("ttft", "p50"), ("tpot", "p50"), ("e2e", "p50"), ("error_rate", "share"), ("cost_per_1000_usd", "amount"),
)  # fmt: skip
"""The same for the request classes of one model."""
MOST_CLASSES = 6  # the largest number of request classes that are compared


@dataclass(frozen=True, slots=True)
class Side:
    """One model's requests of one stage, as far as a comparison needs them."""

    group: Group
    latencies: Mapping[str, Timed]  # by metric, s, of answers without error
    shares: Mapping[str, Timed]  # by metric: 1 is a hit
    amounts: Mapping[str, Totals]  # by metric; without dollars where a price is unknown


def side(group: Group, of: Sample, window: Window, figures: Sequence[tuple[str, str]] = FIGURES) -> Side:
    """What a comparison needs of a group's requests; `window` is the stage's."""
    wanted = {metric for metric, _ in (*WITH_ATTEMPTS, *figures)}
    parts = parts_of(of.offered, window)
    priced = "cost_per_1000_usd" in wanted and group.cost_usd is not None
    return Side(
        group,
        latencies={metric: latency(of.good, metric, window) for metric in wanted if metric in OF_REQUESTS},
        shares={
            "error_rate": timed(failures(of), window, of.offered),
            "goodput": timed(met(of), window, of.offered),
        },
        amounts=totals(of, parts) | (spent(of, parts) if priced else {}),
    )


def parts_of(rows: pd.DataFrame, window: Window) -> Places:
    """The part of the window in which each request was sent, or ended if it was never sent."""
    return part_of(rows["sent"].fillna(rows["done"]).to_numpy(np.float64), window.begin, window.end)


def latency(good: pd.DataFrame, metric: str, window: Window) -> Timed:
    values = good[METRICS[metric].key].dropna()
    return Timed(values.to_numpy(np.float64), parts_of(good.loc[values.index], window))


def timed(each: pd.Series[bool], window: Window, offered: pd.DataFrame) -> Timed:
    """Whether each of some of the requests is a hit, as 1 and 0."""
    return Timed(np.asarray(each, np.float64), parts_of(offered.loc[each.index], window))


def totals(of: Sample, parts: Places) -> dict[str, Totals]:
    """Attempts and requests in each part of the time; answers and seconds in each part of the model's own window."""
    attempts = Totals(sums(of.offered["attempts"].to_numpy(np.float64), parts), sums(np.ones(len(parts)), parts))
    [window] = of.windows
    ended = of.loaded.loc[answered(of.loaded, of.windows), "done"].to_numpy(np.float64)
    answers = sums(np.ones(len(ended)), part_of(ended, window.begin, window.end))
    pace = Totals(answers, np.full(PARTS, window.length / PARTS))
    return {"attempts_per_request": attempts, "requests_per_s": pace}


def spent(of: Sample, parts: Places) -> dict[str, Totals]:
    """Dollars, and what they are for, in each part of the time; nothing where a price is unknown in one of them."""
    charged = of.offered[list(CHARGED)]
    paid = [cost_usd(replace(of, offered=charged[parts == part])) for part in range(PARTS)]
    dollars = np.array([one for one in paid if one is not None])
    if len(dollars) < PARTS:
        return {}
    good, offered = sums(np.asarray(good_answers(of), np.float64), parts), sums(np.ones(len(parts)), parts)
    return {"cost_per_1000_usd": Totals(dollars, offered), "cost_per_good_usd": Totals(dollars, good)}


def compare_sides(sides: Sequence[Side], figures: Sequence[tuple[str, str]] = FIGURES) -> list[Comparison]:
    """Every model beside the first, of one stage: a comparison for each figure that one of them has, or would have
    with more answers."""
    first, others, groups = sides[0], sides[1:], [one.group for one in sides]
    wanted = (*WITH_ATTEMPTS, *figures) if any(map(waits_much, groups)) else figures
    return [
        compare_figure(first, other, *figure)
        for other in others
        for figure in wanted
        if any(has(one, *figure) for one in (first, other))
    ]


def has(one: Side, metric: str, statistic: str) -> bool:
    """Whether a model has the figure, or would have it with more answers."""
    return figure_of(one.group, metric, statistic) is not None or bool(values_behind(one, metric))


def values_behind(one: Side, metric: str) -> int:
    """How many values the figure is made of; 0 if it is none of a latency."""
    return len(one.latencies.get("tpot" if metric == "stream_tokens_per_s" else metric, ()))


def compare_figure(a: Side, b: Side, metric: str, statistic: str) -> Comparison:
    """One figure of two models."""
    found = interval_of(a, b, metric, statistic)
    return unjudged(
        metric,
        statistic,
        found,
        figures=(figure_of(a.group, metric, statistic), figure_of(b.group, metric, statistic)),
        arms=(label(a.group), label(b.group)),
        model=None if b.group.name == ALL else b.group.model,
        stage=b.group.stage,
        reason=why_none(a, b, metric, statistic) if found is None else "",
    )


def label(group: Group) -> str:
    """The name of a group beside others: a model, or a request class of it."""
    return group.model if group.name == ALL else group.name


def figure_of(group: Group, metric: str, statistic: str) -> float | None:
    """A group's figure as in the summary's table."""
    if METRICS[metric].kind == "latency":
        return group.latency(metric).stat(statistic)
    found: float | None = getattr(group, metric)
    return found


def interval_of(a: Side, b: Side, metric: str, statistic: str) -> Interval | None:
    """b's figure as a ratio of a's, or of shares the difference; None where one has none, or too few requests."""
    if figure_of(a.group, metric, statistic) is None or figure_of(b.group, metric, statistic) is None:
        return None
    if metric == "stream_tokens_per_s":
        return inverse(quantile_ratio(a.latencies["tpot"], b.latencies["tpot"], 0.5))
    kind = METRICS[metric].kind
    if kind == "latency":
        return quantile_ratio(a.latencies[metric], b.latencies[metric], PERCENTILES[statistic])
    if kind == "share":
        return share_difference(a.shares[metric], b.shares[metric])
    if metric not in a.amounts or metric not in b.amounts:
        return None
    first, second = a.amounts[metric], b.amounts[metric]
    found = ratio_of_ratios(first, second)
    if found is None or kind != "rate":
        return found
    return replace(found, n=int(first.above.sum() + second.above.sum()))  # answers, not seconds


def inverse(found: Interval | None) -> Interval | None:
    """The interval of a pace, from that of its time."""
    if found is None:
        return None
    return Interval(found.n, 1 / found.estimate, 1 / found.high, 1 / found.low if found.low else math.inf)


def why_none(a: Side, b: Side, metric: str, statistic: str) -> str:
    """Why there is no interval, in a sentence without its full stop."""
    for one in (a, b):
        if figure_of(one.group, metric, statistic) is None:
            return missing(one, metric, statistic)
        if METRICS[metric].kind == "latency" and not figure_of(one.group, metric, statistic):
            return f"that of {label(one.group)} is 0"
    return "too few requests, or all of them within too short a time, to say how exact that is"


def missing(one: Side, metric: str, statistic: str) -> str:
    """Why a model does not have the figure."""
    name = label(one.group)
    if METRICS[metric].unit == "USD":
        return f"no price is known for {name}, or none of its answers is good"
    place = "p50" if metric == "stream_tokens_per_s" else statistic
    if place in FLOORS and 0 < (had := values_behind(one, metric)) < FLOORS[place]:
        return f"{place} needs {FLOORS[place]} successful requests of {name}, had {had:,}"
    return f"{name} has no {METRICS[metric].title}"
