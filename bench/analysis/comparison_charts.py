"""Charts of a comparison, as values: distributions side by side, differences within pairs, and all arms over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from bench.analysis.axes import DOTS, is_log, without_dot
from bench.analysis.bins import middles_of, places_in
from bench.analysis.figures import percentiles
from bench.analysis.numerals import counted, duration, number, share
from bench.analysis.sections import About, Axis, Chart, Mark, Series, capital
from bench.analysis.statistics import log_ratios
from bench.metrics import METRICS

Floats = npt.NDArray[np.float64]
Timed = tuple[Floats, Floats]
"""The times at which requests were sent, s from the beginning of the load, and their figures, in the same order."""

STEPS = 400  # points of a distribution's line
BARS = 60  # of the differences
BINS, IN_A_BIN = 40, 10  # the largest number of parts of the time; requests that a part should have
FEWEST = 5  # requests of a bin that has a p50
MIDDLE = "the line marks the pair in the middle; the change at p50 weighs all pairs, so the two may differ"
EDGE, BEYOND = 0.995, 3  # quantile up to which an axis goes; the slowest requests that may always lie beyond it


NOTHING: Mapping[str, About] = {}


def by_arm(arms: Iterable[str]) -> dict[str, About]:
    """What is about each arm, where a report's tables call the arms models."""
    return {arm: About(model=arm) for arm in arms}


def distributions(
    metric: str,
    arms: Mapping[str, Floats],
    *,
    name: str = "",
    about: Mapping[str, About] = NOTHING,
    counted_one_by_one: bool = True,
) -> Chart | None:
    """The share of each arm's requests that was answered within each time; failed requests are infinite: never.

    `about` says what each arm is about. Values that are not `counted_one_by_one` were drawn from
    quantiles: how many there are is not the number of requests.
    """
    values = {arm: np.sort(one) for arm, one in arms.items() if np.isfinite(one).any()}
    if not values:
        return None
    title = METRICS[metric].title
    finite = {arm: one[np.isfinite(one)] * 1e3 for arm, one in values.items()}
    begin = min(float(one[0]) for one in finite.values())
    end = 1.02 * max(edge_of(one) for one in finite.values())
    log = is_log(begin, end)
    series, told, failing = [], [], False
    beyond = beyond_told([one > end for one in finite.values()], counted_one_by_one=counted_one_by_one)
    for place, arm in enumerate(arms):
        if arm not in values:
            continue
        n, mine = len(values[arm]), finite[arm]
        rank = np.unique(np.linspace(0, len(mine) - 1, min(STEPS, len(mine))).astype(int))
        whose = about.get(arm, About())
        series.append(Series(arm, mine[rank], 100.0 * (rank + 1) / n, role=f"model:{place}", about=whose))
        failing = failing or len(mine) < n
        told.append(f"{arm}: half within {number(float(np.quantile(values[arm], 0.5, method='lower')) * 1e3)} ms")
    return Chart(
        name=name or f"{metric}-side-by-side",
        title=f"{title} side by side",
        says=f"Which share of the requests had a {title} of at most so much. {'; '.join(told)}.",
        x=Axis(title, "ms", scale="log" if log else "linear", begin=begin if log else 0.0, end=end),
        y=Axis("requests", "%", begin=0.0, end=101.0),
        series=tuple(series),
        note=capital("; ".join([*beyond, *["a line that ends below 100 % has failed requests"] * failing])) or None,
    )


def beyond_told(beyond: Sequence[npt.NDArray[np.bool_]], *, counted_one_by_one: bool) -> list[str]:
    """How many requests an axis leaves out, or up to which share of an arm's; empty if none."""
    many = sum(int(one.sum()) for one in beyond)
    if not many:
        return []
    if not counted_one_by_one:
        return [f"up to {share(max(float(one.mean()) for one in beyond))} of the requests lie beyond the right edge"]
    return [f"{counted(many, 'slower requests', 'lie')} beyond the right edge"]


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
    notes.append(MIDDLE)
    return Chart(
        name=name or f"{metric}-differences",
        title=f"{title} within pairs",
        says=f"By how much {second}'s {title} differs from {first}'s within each of {counted(len(percent), 'pairs')}; "
        f"half of them lie above {signed(middle)} %.",
        x=Axis(f"{title} of {second} against {first}", "%", begin=low, end=high),
        y=Axis("pairs", begin=0.0, end=1.12 * float(max(counts.max(), 1))),
        series=(
            Series(
                "", middles_of(edges), counts.astype(np.float64), form="bars", role="muted",
                width=np.diff(edges) * 0.92,
            ),
        ),
        marks=(Mark(0.0, "", "x", "ink"), Mark(middle, f"half above {signed(middle)} %", "x", "bad")),
        height=0.8,
        note=capital("; ".join(notes)),
    )  # fmt: skip


def over_time(
    metric: str, arms: Mapping[str, Timed], *, name: str = "", about: Mapping[str, About] = NOTHING
) -> Chart | None:
    """Each request's figure by the moment of its sending, with the p50 of each bin, an arm a colour. `about` says what
    each arm is about."""
    measured = {arm: _finite(timed) for arm, timed in arms.items()}
    measured = {arm: timed for arm, timed in measured.items() if len(timed[0])}
    if not measured:
        return None
    named = METRICS[metric].title
    end = max(float(at.max()) for at, _ in measured.values()) or 1.0
    top = 1.08 * max(edge_of(values) for _, values in measured.values()) * 1e3
    parts = max(1, min(BINS, min(len(at) for at, _ in measured.values()) // IN_A_BIN))
    edges = np.linspace(0.0, end, parts + 1)
    series, beyond, shown = [], 0, 0
    for place, arm in enumerate(arms):
        if arm not in measured:
            continue
        at, values = measured[arm]
        beyond += int((values * 1e3 > top).sum())
        every = len(at) // DOTS + 1
        whose, role = about.get(arm, About()), f"model:{place}"
        middles, p50 = middle_line(at, values, edges)
        title = "" if np.isfinite(p50).any() else arm
        shown += len(at[::every])
        series.append(Series(title, at[::every], values[::every] * 1e3, form="points", role=role, about=whose))
        if not title:
            series.append(Series(f"{arm} p50", middles, p50 * 1e3, role=role, about=whose))
    return Chart(
        name=name or f"{metric}-over-time",
        title=f"{named} over time",
        says=f"{named} of each request by the moment of its sending, with the p50 of each part of the time.",
        x=Axis("seconds from the beginning of the load", begin=0.0, end=end),
        y=Axis(named, "ms", begin=0.0, end=max(top, 1e-3)),
        series=tuple(series),
        note=over_time_note(end / parts, shown, sum(len(at) for at, _ in measured.values()), beyond),
        time=True,
    )


def middle_line(at: Floats, values: Floats, edges: Floats) -> tuple[Floats, Floats]:
    """The middle of each bin, and the p50 of the requests sent in it; NaN, a gap, where there are fewer than FEWEST."""
    bins = places_in(edges, at)
    mine = [values[bins == one] for one in range(len(edges) - 1)]
    p50 = [percentiles(one, ["p50"])[0] if len(one) >= FEWEST else np.nan for one in mine]
    return middles_of(edges), np.array(p50)


def over_time_note(length: float, shown: int, answers: int, beyond: int) -> str:
    """What the lines are and what the chart leaves out, in words."""
    told = f"A line is the p50 of each {duration(length)}, with a gap where fewer than {FEWEST} answers are"
    return "; ".join([told, *without_dot(shown, answers, beyond)])


def signed(value: float) -> str:
    """A number with the sign that a reader takes for one."""
    return f"−{number(-value)}" if value < 0 else number(value)


def edge_of(values: Floats) -> float:
    """The end of an axis: the slowest few values lie beyond it, else they would press all others together."""
    return float(np.quantile(values, max(0.9, min(EDGE, 1.0 - BEYOND / len(values)))))


def _finite(timed: Timed) -> Timed:
    at, values = timed
    good = np.isfinite(values) & np.isfinite(at)
    order = np.argsort(at[good], kind="stable")
    return at[good][order], values[good][order]
