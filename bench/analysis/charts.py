"""The charts of a run under load, as values: distributions, latency and throughput over time, outcomes, the load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

import bench.analysis.timeline as timeline
from bench.analysis.axes import DOTS, is_log, thinned, without_dot
from bench.analysis.bins import middles_of
from bench.analysis.figures import Statistics
from bench.analysis.groups import ALL, Group
from bench.analysis.kinds import kinds_of
from bench.analysis.numerals import counted, number
from bench.analysis.run import Run
from bench.analysis.sections import About, Axis, Chart, Kind, Series, Span, Stroke, capital, headroom
from bench.metrics import METRICS, UNFAILED

ENOUGH = 200_000  # values for the shape of a distribution
BINS = 120  # of a distribution
MARKED = ("p50", "p95", "p99")
STROKES: dict[str, Stroke] = {"p50": "solid", "p95": "dashed", "p99": "dotted"}
HEIGHT = 0.58  # of the highest place of a distribution, in rows


def role_of(run: Run, model: str) -> str:
    """The colour of a model, the same in every chart of a run."""
    models = list(run.facts.scenario.models)
    return f"model:{models.index(model) if model in models else len(models)}"


# -- distributions ----------------------------------------------------------------------------------------


def distribution(run: Run, metric: str) -> Chart | None:
    """How often each latency occurred: a row for each model, or for each request class of a single model."""
    title = METRICS[metric].title
    rows = [(label, group) for label, group in labelled(run.summary.groups) if group.latency(metric).n]
    if not rows:
        return None
    samples = [sample_of(run, group, metric) for _, group in rows]
    fastest, slowest = extent(samples)
    log = is_log(fastest, slowest)
    edges = np.geomspace(fastest, slowest, BINS + 1) if log else np.linspace(0.0, slowest, BINS + 1)
    series = []
    for place, ((_, group), sample) in enumerate(zip(reversed(rows), reversed(samples), strict=True)):
        series += shape(run, group, metric, sample, edges, place, log=log)
        for one in classes_of(run, group):
            if one.latency(metric).n:
                series += shape(run, one, metric, sample_of(run, one, metric), edges, place, log=log, part=True)
    categories = tuple(label for label, _ in reversed(rows))
    says = "; ".join(told(label, group.latency(metric)) for label, group in rows)
    return Chart(
        name=metric,
        title=f"{capital(METRICS[metric].formula.partition(':')[0])} ({title})",
        says=f"How often each {title} occurred. {says}.",
        x=Axis(title, "ms", scale="log" if log else "linear", begin=float(edges[0]), end=float(edges[-1])),
        y=Axis("", scale="category", begin=-0.25, end=len(rows) - 1 + 1.05, categories=categories),
        series=tuple(series),
        height=0.3 + 0.3 * len(rows),
        note=left_out(samples, float(edges[-1])),
    )


def classes_of(run: Run, group: Group) -> list[Group]:
    """The groups of a model's request classes; none of a request class."""
    if group.name != ALL:
        return []
    return [one for one in run.summary.groups
            if (one.model, one.stage) == (group.model, group.stage) and one.name != ALL]  # fmt: skip


def answers_of(group: Group) -> About:
    """What a group's latencies are about: its answers without error."""
    return About(group.model, None if group.name == ALL else group.name, group.stage, "ok")


def shape(
    run: Run,
    group: Group,
    metric: str,
    sample: npt.NDArray[np.floating],
    edges: npt.NDArray[np.float64],
    place: int,
    *,
    log: bool,
    part: bool = False,
) -> list[Series]:
    """How often each latency of a group occurred, and its percentiles, on a line of the chart."""
    about, role = answers_of(group), role_of(run, group.model)
    middles = np.sqrt(edges[1:] * edges[:-1]) if log else middles_of(edges)
    counts, _ = np.histogram(np.clip(sample, edges[0], edges[-1]), edges)
    smooth = np.convolve(counts, [0.25, 0.5, 0.25], "same")
    heights = HEIGHT * smooth / max(float(smooth.max()), 1.0)
    base = np.full(BINS, float(place))
    series = [Series("", middles, base + heights, form="area", role=role, about=about, base=base, part=part)]
    marked = {name: value for name in MARKED if (value := group.latency(metric).stat(name)) is not None}
    if marked:
        at = np.array([min(value * 1e3, edges[-1]) for value in marked.values()])
        labels = tuple(f"{name} {number(value * 1e3)}" for name, value in marked.items())
        on_line = np.full(len(at), float(place))
        series.append(Series("", at, on_line, form="ticks", role=role, about=about, labels=labels, part=part))
    return series


def told(label: str, statistics: Statistics) -> str:
    """A distribution in words."""
    stated = [f"{name} {number(value * 1e3)} ms" for name in MARKED if (value := statistics.stat(name)) is not None]
    mean = statistics.mean or 0.0
    return f"{label}: {', '.join(stated) or f'mean {number(mean * 1e3)} ms'}"


def left_out(samples: Sequence[npt.NDArray[np.floating]], end: float) -> str | None:
    """How many values lie beyond the right end of the axis, in words."""
    beyond = sum(int((sample > end).sum()) for sample in samples)
    slowest = max(float(sample.max()) for sample in samples)
    many = counted(beyond, "slower values", "are")
    return f"{many} drawn at the right edge, up to {number(slowest)} ms" if beyond else None


def labelled(groups: Sequence[Group]) -> list[tuple[str, Group]]:
    """The groups to compare, each with its label: the models, or the request classes of a single model, in every stage.
    A label leaves out what all of them share, since there is little room beside a chart."""
    classes = [group for group in groups if group.name != ALL]
    by_class = len({group.model for group in groups}) == 1 and classes
    chosen = classes if by_class else [group for group in groups if group.name == ALL]
    names = [group.name if by_class else group.model for group in chosen]
    stages = [group.stage for group in chosen]
    if len(set(stages)) < 2:
        return list(zip(names, chosen, strict=True))
    if len(set(names)) < 2:
        return list(zip(stages, chosen, strict=True))
    return [(f"{name}, {stage}", group) for name, stage, group in zip(names, stages, chosen, strict=True)]


def sample_of(run: Run, group: Group, metric: str) -> npt.NDArray[np.floating]:
    """A group's measured values, ms: all of them, or every n-th if there are more than a shape needs."""
    records = run.records
    chosen = (records["model"] == group.model) & (records["stage"] == group.stage) & (records["outcome"] == "ok")
    if group.name != ALL:
        chosen &= records["name"] == group.name
    if metric == "itl":
        values = run.table.gaps_of(chosen.to_numpy())
    else:
        values = records.loc[chosen, METRICS[metric].key].dropna().to_numpy()
    thinned: npt.NDArray[np.floating] = values[:: len(values) // ENOUGH + 1].astype(np.float64) * 1e3
    return thinned


def extent(samples: Sequence[npt.NDArray[np.floating]]) -> tuple[float, float]:
    """From the fastest to a little above the slowest p99.5, so that one outlier does not squeeze everything else."""
    fastest = min(float(np.quantile(sample, 0.001)) for sample in samples)
    slowest = max(float(np.quantile(sample, 0.995)) for sample in samples)
    return fastest, max(slowest * 1.06, 1e-3)


# -- over time --------------------------------------------------------------------------------------------

SECONDS = "seconds from the beginning of the load"


def spans(run: Run) -> tuple[Span, ...]:
    """The parts of the run that were not measured."""
    return tuple(Span(one.begin, one.end, one.name) for one in timeline.stages(run) if not one.measured)


def time_axis(run: Run) -> Axis:
    return Axis(SECONDS, begin=0.0, end=max((stage.end for stage in timeline.stages(run)), default=1.0))


def stage_spans(run: Run) -> tuple[Span, ...]:
    """Where each stage lies, if there are several that a reader can choose from."""
    start, measured = run.end.load_started, [stage for stage in run.stages if stage.measured]
    if len(measured) < 2:
        return ()
    return tuple(Span(stage.began - start, stage.ended - start, stage.name) for stage in run.stages)


def latency_over_time(run: Run) -> Chart | None:
    """Each request's latency at the moment of its sending, with percentiles of each bin."""
    rows = timeline.loaded(run)
    if not len(rows):
        return None
    metric = "ttft" if rows["ttft_s"].notna().any() else "e2e"
    key, title = METRICS[metric].key, METRICS[metric].title
    good = rows[(rows["outcome"] == "ok") & rows[key].notna()]
    if not len(good):
        return None
    dots = good.iloc[np.sort(np.concatenate([some_of(good, model) for model in run.facts.scenario.models]))]
    edges, series = timeline.latency_bins(run, good), list[Series]()
    for model in run.facts.scenario.models:
        mine = good[good["model"] == model]
        series += percentile_lines(run, mine, metric, edges, About(model=model, outcome="ok"))
        classes = list(mine.groupby("name", observed=True)) if good["name"].nunique() > 1 else []
        for name, some in classes:
            series += percentile_lines(run, some, metric, edges, About(model, str(name), outcome="ok"))
    top = float(np.quantile(good[key], 0.998)) * 1e3
    beyond = int((good[key] * 1e3 > 1.08 * top).sum())
    return Chart(
        name="timeline",
        title=f"{title} over time",
        says=f"{title} of each request by the moment of its sending, with percentiles over time.",
        x=time_axis(run),
        y=Axis(title, "ms", begin=0.0, end=max(1e-3, 1.08 * top)),
        series=(dots_over_time(run, dots, key, {str(line.about.model) for line in series}), *series),
        spans=spans(run),
        note=timeline_note(timeline.lengths_told(edges), len(dots), len(good), beyond),
        time=True,
        stages=stage_spans(run),
    )


def dots_over_time(run: Run, rows: pd.DataFrame, key: str, lined: set[str]) -> Series:
    """A dot for each answer; those of models without a line, whose colour nothing else names, are in the legend."""
    kinds, kind = kinds_of(
        run,
        rows,
        lambda about: Kind(about, role_of(run, str(about.model)), "" if about.model in lined else str(about.model)),
    )
    x, y = numbers(rows["begun"]), numbers(rows[key]) * 1e3
    return Series("", x, y, form="points", kinds=kinds, kind=kind, ids=numbers(rows["seq"]))


def some_of(good: pd.DataFrame, model: str) -> npt.NDArray[np.int64]:
    """The places of as many of a model's answers as there is room for dots, evenly spread."""
    mine = np.flatnonzero(good["model"] == model)
    return mine[thinned(len(mine), DOTS)]


def percentile_lines(
    run: Run, rows: pd.DataFrame, metric: str, edges: npt.NDArray[np.float64], about: About
) -> list[Series]:
    """Percentiles of these answers in bins of time; only those that two bins in a row have, or there is no line."""
    table, model = timeline.latency(rows, metric, edges), str(about.model)
    middle = table.index.to_numpy(np.float64)
    of = f"{model}, {about.name}" if about.name else model
    return [
        Series(f"{of} {name}", middle, numbers(table[name]) * 1e3, role=role_of(run, model), about=about,
               stroke=STROKES[name], part=about.name is not None)
        for name in timeline.FEWEST
        if (table[name].notna() & table[name].shift().notna()).any()
    ]  # fmt: skip


def timeline_note(length: str, shown: int, answers: int, beyond: int) -> str:
    """What the lines are and what the chart leaves out, in words."""
    needed = ", ".join(f"{fewest} for {name}" for name, fewest in timeline.FEWEST.items())
    told = [f"Percentiles of {length} each, of answers without error"]
    told += [f"a line has a gap where there are too few ({needed})"]
    return "; ".join([*told, *without_dot(shown, answers, beyond)])


def throughput_over_time(run: Run) -> Chart | None:
    """The throughput: tokens, or without tokens images and other items."""
    made, unit, title = timeline.throughput(run), "tokens/s", "Output tokens per second"
    if not made.to_numpy().sum() and (run.records["items"] > 0).any():
        made, unit, title = timeline.production(run), "items/min", "Items per minute"
    if not made.to_numpy().sum():
        return None
    edges, made = timeline.bins(run), timeline.while_loaded(run, made)
    series = [
        Series(
            str(model),
            edges[:-1],
            numbers(made[model]),
            form="step",
            role=role_of(run, str(model)),
            about=About(model=str(model)),
            width=np.diff(edges),
        )
        for model in sorted(made, key=lambda model: role_of(run, str(model)))
    ]
    return Chart(
        name="throughput",
        title=f"{title} over time",
        says=f"{title} by the moment of arrival, for each model, in bins of {timeline.lengths_told(edges)}.",
        x=time_axis(run),
        y=Axis(unit, begin=0.0, end=headroom(float(np.nanmax(made.to_numpy())))),
        series=tuple(series),
        spans=spans(run),
        height=0.8,
        note="A line stops where all requests of its model are answered" if made.isna().to_numpy().any() else None,
        time=True,
        stages=stage_spans(run),
    )


def outcomes_over_time(run: Run) -> Chart | None:
    """Requests that ended, stacked by outcome: the bad ones at the bottom, where their number can be read."""
    rows = timeline.loaded(run)
    if not len(rows):
        return None
    edges = timeline.bins(run)
    order = sorted(rows["outcome"].astype(str).unique(), key=lambda word: (word == "ok", word))
    series = tuple(outcome_stack(run, rows[rows["outcome"] == word], word, edges) for word in order)
    failed = [word for word in order if word not in UNFAILED]
    counts = {word: int((rows["outcome"] == word).sum()) for word in order}
    most = float((np.bincount(timeline.places_of(rows, edges), minlength=len(edges) - 1) / np.diff(edges)).max())
    return Chart(
        name="outcomes",
        title="Requests by outcome over time" if failed else "Requests by outcome over time: no failures",
        says="How many requests ended in each outcome: " + ", ".join(f"{word} {n:,}" for word, n in counts.items()),
        x=time_axis(run),
        y=Axis("requests that ended", "/s", begin=0.0, end=headroom(most)),
        series=series,
        spans=spans(run),
        height=0.8,
        time=True,
        stages=stage_spans(run),
    )


def outcome_stack(run: Run, rows: pd.DataFrame, word: str, edges: npt.NDArray[np.float64]) -> Series:
    """Requests per second with this outcome, in bins of this length, by model and request class."""
    role = f"outcome:{word}"
    kinds, kind = kinds_of(run, rows, lambda about: Kind(about, role))
    (bins, kind), many = np.unique(np.stack([timeline.places_of(rows, edges), kind]), axis=1, return_counts=True)
    width, middle = np.diff(edges)[bins], middles_of(edges)[bins]
    return Series(
        word, middle, many / width, form="stack", role=role, about=About(outcome=word), kinds=kinds,
        kind=kind, width=0.92 * width,
    )  # fmt: skip


def load_over_time(run: Run) -> Chart | None:
    """Requests in flight, and users where the loop is closed."""
    times, unanswered = timeline.in_flight(run)
    if not len(times):
        return None
    series = [
        Series("requests in flight", times, unanswered.astype(np.float64), form="step", role="muted"),
    ]
    says, title = f"Requests in flight over time, at most {int(unanswered.max()):,}.", "requests in flight"
    at, users = timeline.users(run)
    if run.facts.scenario.load.users and len(at):
        series.append(Series("users", at, users, form="step", role="ink", stroke="dashed"))
        says, title = f"{says} Users: at most {int(users.max()):,}.", "requests in flight, users"
    return Chart(
        name="load",
        title="The load over time",
        says=says,
        x=time_axis(run),
        y=Axis(title, begin=0.0, end=headroom(max(float(one.y.max()) for one in series))),
        series=tuple(series),
        spans=spans(run),
        height=0.7,
        time=True,
        stages=stage_spans(run),
    )


def numbers(values: pd.Series[Any]) -> npt.NDArray[np.float64]:
    return values.to_numpy(np.float64)
