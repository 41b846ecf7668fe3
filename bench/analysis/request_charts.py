"""Charts of all answers at once: a heat map of latency over time, the shares within a time, TTFT by prompt length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

import bench.analysis.timeline as timeline
from bench.analysis.axes import is_log, thinned, without_dot
from bench.analysis.bins import places_in
from bench.analysis.charts import (
    answers_of,
    classes_of,
    extent,
    labelled,
    numbers,
    role_of,
    sample_of,
    spans,
    stage_spans,
    time_axis,
    told,
)
from bench.analysis.figures import percentiles
from bench.analysis.groups import Group
from bench.analysis.kinds import kinds_of
from bench.analysis.numerals import counted, number, percent
from bench.analysis.run import Run
from bench.analysis.sections import About, Axis, Chart, Kind, Numbers, Series
from bench.analysis.statistics import CONFIDENCE, ecdf_reach
from bench.metrics import METRICS

LEVELS = (8, 36)  # of a heat map: the fewest and the most
CROWD = 2.0  # answers in one of its cells, on average, unless there are that many levels
ROOM = 0.08  # share of the axis that is left free at the top, for the names of stages
ANSWERS = 20  # before a band says anything: it reaches 30 % up and down
NAMED = 6  # lines that are left out
LINES = 8  # that can be told apart by their colours
POINTS = 240  # of a line through all answers
DOTS = 1200  # requests of a model in a scatter
BINS = 10  # of prompts by their length
FEW = 11  # answers in one of them, before its middle is drawn
VARIED = 1.2  # longest prompt / shortest, before the length can tell anything

Labelled = Sequence[tuple[str, Group]]
"""Groups, each with its name in a chart."""


# -- heat map -------------------------------------------------------------------------------------------------


def heat_map(run: Run) -> Chart | None:
    """How many answers took how long, over time: the shape that percentiles hide."""
    metric, good = timed(run)
    if metric is None:
        return None
    values = numbers(good[METRICS[metric].key]) * 1e3
    good, values = good[values > 0], values[values > 0]
    if not len(values):
        return None
    title = METRICS[metric].title
    series, low, ratio = cells_of(run, good, values)
    high, length = float(values.max()), timeline.lengths_told(timeline.bins(run))
    note = (
        f"The stronger the colour, the more answers; a cell is {length} wide, and its upper edge "
        f"{number(ratio)} times its lower; answers without error, by the moment of their sending"
    )
    return Chart(
        name="heat",
        title=f"How many answers had which {title}, over time",
        says=f"{title} of {counted(len(values), 'answers')}, from {number(low)} to {number(high)} ms. "
        f"{fullest(series)}",
        x=time_axis(run),
        y=Axis(title, "ms", scale="log", begin=low, end=high * (high / low) ** ROOM),
        series=(series,),
        spans=spans(run),
        note=note,
        time=True,
        stages=stage_spans(run),
    )


def cells_of(run: Run, good: pd.DataFrame, values: Numbers) -> tuple[Series, float, float]:
    """The answers counted in cells of time and latency, ms, told apart by their kinds; where the lowest begins, and the
    ratio of a cell's edges."""
    bins = timeline.bins(run)
    columns = places_in(bins, numbers(good["begun"]))
    levels = int(np.clip(len(values) / max(1, len(np.unique(columns))) / CROWD, LEVELS[0], LEVELS[1]))
    low, high = 0.99 * float(values.min()), 1.01 * float(values.max())
    edges = np.geomspace(low, high, levels + 1)
    rows = np.clip(np.searchsorted(edges, values, "right") - 1, 0, levels - 1)
    kinds, kind = kinds_of(run, good, Kind)
    (columns, rows, kind), amounts = np.unique(np.stack([columns, rows, kind]), axis=1, return_counts=True)
    middles = ((bins[1:] + bins[:-1]) / 2)[columns]
    series = Series(
        "", middles, edges[rows + 1], form="cells", base=edges[rows], kinds=kinds, kind=kind,
        width=np.diff(bins)[columns], amount=amounts.astype(np.float64), role="accent",
    )  # fmt: skip
    return series, low, float(edges[1] / edges[0])


def fullest(series: Series) -> str:
    """The fullest cell in words."""
    cells = series.added()
    assert cells.base is not None
    assert cells.amount is not None
    place = int(np.argmax(cells.amount))
    return (
        f"The fullest cell, at {number(float(cells.x[place]))} s, has {counted(float(cells.amount[place]), 'answers')} "
        f"of {number(float(cells.base[place]))} to {number(float(cells.y[place]))} ms."
    )


def timed(run: Run) -> tuple[str | None, pd.DataFrame]:
    """The latency that charts over time show, TTFT where anything streams, and the answers that have it."""
    rows = timeline.loaded(run)
    metric = "ttft" if len(rows) and rows["ttft_s"].notna().any() else "e2e"
    good = rows[(rows["outcome"] == "ok") & rows[METRICS[metric].key].notna()]
    return (metric if len(good) else None), good


# -- shares within a time ---------------------------------------------------------------------------------------


def within_time(run: Run, metric: str) -> Chart | None:
    """The share of the answers that came within each time (ECDF), with a band that holds for the whole line at once."""
    every = [(label, group) for label, group in labelled(run.summary.groups) if group.latency(metric).n]
    rows = [(label, group) for label, group in every if group.latency(metric).n >= ANSWERS]
    if not rows:
        return None
    shown, title = rows[:LINES], METRICS[metric].title
    by_model = len({group.model for _, group in shown}) == len(shown)
    samples = [np.sort(sample_of(run, group, metric)) for _, group in shown]
    fastest, slowest = extent(samples)
    log = is_log(fastest, slowest)
    series = []
    for place, ((label, group), values) in enumerate(zip(shown, samples, strict=True)):
        role = role_of(run, group.model) if by_model else f"model:{place}"
        series.append(shares(label, values, role, answers_of(group)))
        series += parts_of(run, group, metric, label, role)
    beyond = sum(int((values > slowest).sum()) for values in samples)
    note = within_note(len(rows) - len(shown), few_of(run, every, shown, metric), beyond)
    return Chart(
        name=f"within-{metric}",
        title=f"Share of answers within a time ({title})",
        says=f"Which share of the answers had a {title} of at most so much. "
        f"{'; '.join(told(label, group.latency(metric)) for label, group in shown)}.",
        x=Axis(title, "ms", scale="log" if log else "linear", begin=first_of(fastest, slowest, log=log), end=slowest),
        y=Axis("share of answers", "%", begin=0.0, end=102.0),
        series=tuple(series),
        note=note,
    )


def few_of(run: Run, every: Labelled, shown: Labelled, metric: str) -> tuple[list[str], list[str]]:
    """The groups that have answers, but too few for a line; and the request classes of the groups shown, which a reader
    who leaves out some classes would look for."""
    few = [label for label, group in every if group.latency(metric).n < ANSWERS]
    parts = [(f"{label}, {one.name}", one) for label, group in shown for one in classes_of(run, group)]
    return few, [label for label, one in parts if 0 < one.latency(metric).n < ANSWERS]


def within_note(further: int, few: tuple[list[str], list[str]], beyond: int) -> str:
    """What the shares leave out, in words."""
    told = [
        f"The band holds the true line, as a whole, with {percent(CONFIDENCE)} confidence if answers are independent"
    ]
    told += [f"{counted(further, 'further lines', 'are')} left out"] if further else []
    for names, where in zip(few, ("", " where single request classes are shown"), strict=True):
        told += [f"Left out{where} for fewer than {ANSWERS} answers: {some_named(names)}"] if names else []
    told += [f"Slower answers beyond the right edge: {beyond:,}"] if beyond else []
    return ". ".join(told)


def some_named(names: Sequence[str]) -> str:
    """Some of the names, and how many there are besides."""
    more = len(names) - NAMED
    return "; ".join(names) if more <= 1 else f"{'; '.join(names[:NAMED])}; and {more} more"


def first_of(fastest: float, slowest: float, *, log: bool) -> float:
    """The beginning of the axis: 0, unless that would leave most of the axis empty."""
    return 0.95 * fastest if log or fastest > 0.4 * slowest else 0.0


def shares(title: str, values: Numbers, role: str, about: About, *, part: bool = False) -> Series:
    """The line of sorted values, ms, and its band."""
    places = thinned(len(values), POINTS)
    share = (places + 1) / len(values)
    reach = ecdf_reach(len(values))
    return Series(
        title, values[places], share * 100, form="step", role=role, about=about, part=part,
        low=np.clip(share - reach, 0.0, 1.0) * 100, high=np.clip(share + reach, 0.0, 1.0) * 100,
    )  # fmt: skip


def parts_of(run: Run, group: Group, metric: str, label: str, role: str) -> Iterator[Series]:
    """The lines of the request classes that are together in a model's."""
    for one in classes_of(run, group):
        if one.latency(metric).n >= ANSWERS:
            yield shares(f"{label}, {one.name}", np.sort(sample_of(run, one, metric)), role, answers_of(one), part=True)


# -- by the length of the prompt ----------------------------------------------------------------------------------


def first_token_by_prompt(run: Run) -> Chart | None:
    """TTFT against the tokens of the prompt, if prompts differ in length."""
    rows = run.requests
    good = rows[(rows["outcome"] == "ok") & rows["ttft_s"].notna() & (rows["prompt_tokens"] > 0)]
    tokens, ttft = numbers(good["prompt_tokens"]), numbers(good["ttft_s"]) * 1e3
    if not len(good) or tokens.max() < VARIED * tokens.min():
        return None
    dots = thinned(len(good), DOTS * len(run.facts.scenario.models))
    lines = [line for model in run.facts.scenario.models for line in lines_of(run, good, model)]
    if not any(len(line.x) > 1 for line in lines):  # too few answers of each length to tell anything
        return None
    slowest = 1.05 * float(np.quantile(ttft, 0.995))
    above = int((ttft > slowest).sum())
    note = f"A line is the p50 of prompts of about the same length, of at least {FEW} answers each"
    log = is_log(float(tokens.min()), float(tokens.max()))
    begin, end = 0.95 * float(tokens.min()), 1.05 * float(tokens.max())
    said = "TTFT of each answer by the tokens of its prompt, as the server counts them."
    return Chart(
        name="prompts",
        title="TTFT against the length of the prompt",
        says=" ".join([said, *(ends_told(line) for line in lines if not line.part)]),
        x=Axis("prompt", "tokens", scale="log" if log else "linear", begin=begin, end=end),
        y=Axis("TTFT", "ms", begin=0.0, end=slowest),
        series=(dots_of(run, good.iloc[dots]), *lines),
        note="; ".join([note, *without_dot(len(dots), len(good), above)]),
    )


def dots_of(run: Run, rows: pd.DataFrame) -> Series:
    """A dot for each answer."""
    kinds, kind = kinds_of(run, rows, lambda about: Kind(about, role_of(run, str(about.model))))
    x, y = numbers(rows["prompt_tokens"]), numbers(rows["ttft_s"]) * 1e3
    return Series("", x, y, form="points", kinds=kinds, kind=kind, ids=numbers(rows["seq"]))


def lines_of(run: Run, good: pd.DataFrame, model: str) -> Iterator[Series]:
    """The middle of a model by prompt length, and of each of its request classes."""
    mine, role = good[good["model"] == model], role_of(run, model)
    if (line := middles(f"{model} p50", mine, About(model=model, outcome="ok"), role)) is None:
        return
    yield line
    classes = list(mine.groupby("name", observed=True)) if good["name"].nunique() > 1 else []
    for name, some in classes:
        about = About(model, str(name), outcome="ok")
        if (line := middles(f"{model}, {name} p50", some, about, role, part=True)) is not None:
            yield line


def ends_told(line: Series) -> str:
    """Both ends of a line in words."""
    first, last = (f"{number(float(line.y[at]))} ms at {counted(float(line.x[at]), 'tokens')}" for at in (0, -1))
    return f"{line.title}: {first}, {last}."


def middles(title: str, rows: pd.DataFrame, about: About, role: str, *, part: bool = False) -> Series | None:
    """p50 of TTFT for prompts of about the same length; None if there are too few."""
    tokens, ttft = numbers(rows["prompt_tokens"]), numbers(rows["ttft_s"]) * 1e3
    if len(rows) < FEW:
        return None
    edges = np.unique(np.quantile(tokens, np.linspace(0.0, 1.0, min(BINS, len(rows) // FEW) + 1)))
    places = np.clip(np.searchsorted(edges, tokens, "right") - 1, 0, max(0, len(edges) - 2))
    bins = [places == place for place in np.unique(places)]
    found = [(middle(tokens[one]), middle(ttft[one])) for one in bins if one.sum() >= FEW]
    if not found:
        return None
    x, y = np.array(found).T
    return Series(title, x, y, role=role, about=about, part=part)


def middle(values: Sequence[float] | npt.NDArray[np.float64]) -> float:
    return percentiles(np.asarray(values, np.float64), ["p50"])[0]
