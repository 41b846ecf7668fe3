"""Charts of a comparison, as values: distributions side by side, differences within pairs, and all arms over time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bench.analysis.figures import percentiles
from bench.analysis.numerals import counted, number
from bench.analysis.sections import Axis, Chart, Mark, Series, capital
from bench.analysis.statistics import log_ratios
from bench.metrics import METRICS

Floats = npt.NDArray[np.float64]
Timed = tuple[Floats, Floats]
"""The times at which requests were sent, s from the beginning of the load, and their figures, in the same order."""

STEPS = 400  # points of a distribution's line
LOG_FROM = 30.0  # a spread of more than this between fast and slow is shown on a logarithmic axis
BARS = 60  # of the differences
BINS, IN_A_BIN = 40, 10  # the largest number of parts of the time; requests that a part should have
FEWEST = 5  # requests of a bin that has a p50
DOTS = 2000  # the largest number of requests of one arm in the chart over time
EDGE, BEYOND = 0.995, 3  # quantile up to which an axis goes; of few requests so many of the slowest may lie beyond


def distributions(metric: str, arms: Mapping[str, Floats], *, name: str = "") -> Chart | None:
    """The share of each arm's requests that was answered within each time; failed requests are infinite: never."""
    values = {arm: np.sort(one) for arm, one in arms.items() if np.isfinite(one).any()}
    if not values:
        return None
    title = METRICS[metric].title
    finite = {arm: one[np.isfinite(one)] * 1e3 for arm, one in values.items()}
    begin = min(float(one[0]) for one in finite.values())
    end = 1.02 * max(edge_of(one) for one in finite.values())
    log = begin > 0 and end / begin > LOG_FROM
    series, told, failing = [], [], False
    beyond = sum(int((one > end).sum()) for one in finite.values())
    for place, arm in enumerate(arms):
        if arm not in values:
            continue
        n, mine = len(values[arm]), finite[arm]
        rank = np.unique(np.linspace(0, len(mine) - 1, min(STEPS, len(mine))).astype(int))
        series.append(Series(arm, mine[rank], 100.0 * (rank + 1) / n, role=f"model:{place}"))
        failing = failing or len(mine) < n
        told.append(f"{arm}: half within {number(float(np.quantile(values[arm], 0.5, method='lower')) * 1e3)} ms")
    return Chart(
        name=name or f"{metric}-side-by-side",
        title=f"{title} side by side",
        says=f"Which share of the requests had a {title} of at most so much. {'; '.join(told)}.",
        x=Axis(title, "ms", scale="log" if log else "linear", begin=begin if log else 0.0, end=end),
        y=Axis("requests", "%", begin=0.0, end=101.0),
        series=tuple(series),
        note=capital(
            "; ".join(
                [f"{beyond:,} slower request{'s lie' if beyond != 1 else ' lies'} beyond the right edge"] * bool(beyond)
                + ["a line that ends below 100 % has failed requests"] * failing
            )
        )
        or None,
    )


def paired_differences(
    metric: str,
    baseline: Floats,
    candidate: Floats,
    *,
    arms: tuple[str, str] = ("baseline", "candidate"),
    name: str = "",
) -> Chart | None:
    """By how much the candidate's request was slower than the baseline's of the same pair; pairs of which one failed
    are left out and counted. `arms` are the names of the two."""
    d = log_ratios(baseline, candidate)
    whole = np.isfinite(baseline) & np.isfinite(candidate)
    if not whole.any():
        return None
    percent = 100.0 * np.expm1(d[whole])
    middle = float(np.median(percent))
    low, high = -edge_of(-percent), edge_of(percent)
    reach = max(abs(low), abs(high), 1.0)
    low, high = max(-100.0, -reach), reach
    counts, edges = np.histogram(np.clip(percent, low, high), BARS, (low, high))
    title, (first, second) = METRICS[metric].title, arms
    beyond = int(((percent < low) | (percent > high)).sum())
    notes = [f"left out: {counted(len(d) - len(percent), 'pairs')} with a failed request"] * bool((~whole).any())
    notes += [f"{counted(beyond, 'pairs')} beyond the edges, drawn at them"] * bool(beyond)
    return Chart(
        name=name or f"{metric}-differences",
        title=f"{title} within pairs",
        says=f"By how much {second}'s {title} differs from {first}'s within each of {counted(len(percent), 'pairs')}; "
        f"half of them lie above {number(middle)} %.",
        x=Axis(f"{title} of {second} against {first}", "%", begin=low, end=high),
        y=Axis("pairs", begin=0.0, end=1.12 * float(max(counts.max(), 1))),
        series=(
            Series(
                "", (edges[:-1] + edges[1:]) / 2, counts.astype(np.float64), form="bars", role="muted",
                width=np.diff(edges) * 0.92,
            ),
        ),
        marks=(Mark(0.0, "", "x", "ink"), Mark(middle, f"half above {number(middle)} %", "x", "bad")),
        height=0.8,
        note=capital("; ".join(notes)) or None,
    )  # fmt: skip


def over_time(metric: str, arms: Mapping[str, Timed], *, name: str = "") -> Chart | None:
    """Each request's figure by the moment of its sending, with the p50 of each bin, an arm a colour."""
    measured = {arm: _finite(timed) for arm, timed in arms.items()}
    measured = {arm: timed for arm, timed in measured.items() if len(timed[0])}
    if not measured:
        return None
    title = METRICS[metric].title
    end = max(float(at.max()) for at, _ in measured.values()) or 1.0
    top = 1.08 * max(edge_of(values) for _, values in measured.values()) * 1e3
    parts = max(1, min(BINS, min(len(at) for at, _ in measured.values()) // IN_A_BIN))
    edges = np.linspace(0.0, end, parts + 1)
    series, beyond = [], 0
    for place, arm in enumerate(arms):
        if arm not in measured:
            continue
        at, values = measured[arm]
        beyond += int((values * 1e3 > top).sum())
        every = len(at) // DOTS + 1
        bins = np.clip(np.digitize(at, edges) - 1, 0, parts - 1)
        full = [one for one in range(parts) if (bins == one).sum() >= FEWEST]
        dots = Series("" if full else arm, at[::every], values[::every] * 1e3, form="points", role=f"model:{place}")
        series.append(dots)
        if full:
            middles = (edges[full] + edges[[one + 1 for one in full]]) / 2
            p50 = np.array([percentiles(values[bins == one], ["p50"])[0] for one in full]) * 1e3
            series.append(Series(f"{arm} p50", middles, p50, role=f"model:{place}"))
    return Chart(
        name=name or f"{metric}-over-time",
        title=f"{title} over time",
        says=f"{title} of each request by the moment of its sending, with the p50 of each part of the time.",
        x=Axis("seconds from the beginning of the load", begin=0.0, end=end),
        y=Axis(title, "ms", begin=0.0, end=max(top, 1e-3)),
        series=tuple(series),
        note=f"{beyond:,} slower request{'s lie' if beyond != 1 else ' lies'} above" if beyond else None,
        time=True,
    )


def edge_of(values: Floats) -> float:
    """The end of an axis: the slowest few values lie beyond it, else they would press all others together."""
    return float(np.quantile(values, max(0.9, min(EDGE, 1.0 - BEYOND / len(values)))))


def _finite(timed: Timed) -> Timed:
    at, values = timed
    good = np.isfinite(values) & np.isfinite(at)
    order = np.argsort(at[good], kind="stable")
    return at[good][order], values[good][order]
