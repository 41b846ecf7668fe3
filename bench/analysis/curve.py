"""The load curve of a run with several measured stages: latency, throughput and goodput against the load, as charts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np

from bench.analysis.figures import Statistics
from bench.analysis.groups import ALL, Group
from bench.analysis.numerals import milliseconds, number
from bench.analysis.run import Run
from bench.analysis.sections import About, Axis, Chart, Mark, Series, Stroke, headroom
from bench.metrics import METRICS
from bench.records import StepLine

LoadUnit = Literal["users", "requests/s offered"]

PERCENTILES: dict[str, Stroke] = {"p50": "solid", "p95": "dashed", "p99": "dotted"}
SPREAD = 8.0  # levels further apart than this are shown on a logarithmic axis
NARROW = 0.85


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The figures of one model at one level of the load."""

    stage: str
    model: str
    load: float  # users, or requests/s offered
    latencies: Mapping[str, Statistics]  # seconds, by metric
    requests_per_s: float  # answered without error
    tokens_per_s: float
    goodput: float | None = None  # share of the requests offered that met every SLO; None if there is none
    good_per_s: float | None = None  # answered within every SLO; None if there is none


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of a run, in the order of its models and levels."""

    unit: LoadUnit
    points: tuple[CurvePoint, ...]
    models: tuple[str, ...]  # the scenario's, in its order
    slo: Mapping[str, float] = field(default_factory=dict)  # seconds, by metric

    def of(self, model: str) -> list[CurvePoint]:
        return sorted((point for point in self.points if point.model == model), key=lambda point: point.load)

    @property
    def loads(self) -> list[float]:
        return sorted({point.load for point in self.points})


def curve_of(run: Run) -> Curve:
    """The measured stages of a run as points; none if the run has both stages of users and of arrivals."""
    stages = {stage.name: stage for stage in run.stages if stage.measured}
    closed = [stage.users is not None for stage in stages.values()]
    if len(set(closed)) != 1:
        return Curve("users", (), run.facts.scenario.models)
    points = [
        point_of(group, stages[group.stage])
        for group in run.summary.groups
        if group.name == ALL and group.stage in stages
    ]
    unit: LoadUnit = "users" if closed[0] else "requests/s offered"
    return Curve(unit, tuple(points), run.facts.scenario.models, run.facts.scenario.slo or {})


def point_of(group: Group, stage: StepLine) -> CurvePoint:
    """One model in one stage."""
    return CurvePoint(
        stage=stage.name,
        model=group.model,
        load=stage.users or stage.rate or 0.0,
        latencies={metric: group.latency(metric) for metric in ("ttft", "tpot", "e2e")},
        requests_per_s=group.requests_per_s or 0.0,
        tokens_per_s=group.output_tokens_per_s or 0.0,
        goodput=group.goodput,
        good_per_s=group.good_requests_per_s,
    )


def curve_charts(curve: Curve) -> dict[str, Callable[[], Chart | None]]:
    """The functions that make the charts of the curve, by the chart's name; none if there are fewer than two levels."""
    if len(curve.loads) < 2:
        return {}
    found: dict[str, Callable[[], Chart | None]] = {
        f"curve-{metric}": partial(latency_curve, curve, metric) for metric in ("ttft", "tpot", "e2e")
    }
    return found | {
        "curve-tokens": partial(tokens_curve, curve),
        "curve-requests": partial(requests_curve, curve),
        "curve-goodput": partial(goodput_curve, curve),
        "curve-achieved": partial(achieved_curve, curve),
        "curve-user": partial(user_curve, curve),
    }


def latency_curve(curve: Curve, metric: str) -> Chart | None:
    """Percentiles of a latency at each level."""
    title = METRICS[metric].title
    series = []
    for model in curve.models:
        for name, stroke in PERCENTILES.items():
            pairs = [(point.load, at) for point in curve.of(model) if (at := latency(point, metric, name)) is not None]
            series += lines(curve, model, pairs, f"{model} {name}", stroke)
    if not series:
        return None
    return chart(
        curve,
        f"curve-{metric}",
        f"{title} against load",
        f"{title} at each level of the load. {levels(curve, metric)}",
        Axis(title, "ms", begin=0.0, end=top(series, mark := slo_mark(curve, metric))),
        series,
        mark,
    )


def tokens_curve(curve: Curve) -> Chart | None:
    """Tokens per second at each level."""
    if not any(point.tokens_per_s for point in curve.points):
        return None
    series = [
        line
        for model in curve.models
        for line in lines(curve, model, [(point.load, point.tokens_per_s) for point in curve.of(model)], model)
    ]
    title = "Tokens per second against load"
    return chart(curve, "curve-tokens", title, f"{title}.", Axis("tokens", "/s", begin=0.0, end=top(series)), series)


def requests_curve(curve: Curve) -> Chart | None:
    """Requests answered per second at each level, and those that met the SLO; beside the offered ones."""
    series: list[Series] = []
    for model in curve.models:
        mine = curve.of(model)
        series += lines(curve, model, [(point.load, point.requests_per_s) for point in mine], f"{model} answered")
        good = [(point.load, point.good_per_s) for point in mine if point.good_per_s is not None]
        series += lines(curve, model, good, f"{model} within SLO", "dashed")
    end = top(series)
    if curve.unit != "users":  # the offered load, up to the end of the axis
        loads = np.array(curve.loads)
        series.append(Series("offered", loads, loads.copy(), role="muted", stroke="dotted"))
        end = max(end, 1.05 * curve.loads[-1])
    title = "Requests answered per second against load"
    return chart(curve, "curve-requests", title, f"{title}.", Axis("requests", "/s", begin=0.0, end=end), series)


def goodput_curve(curve: Curve) -> Chart | None:
    """The share of the requests that met every SLO, at each level."""
    series = []
    for model in curve.models:
        pairs = [(point.load, 100 * point.goodput) for point in curve.of(model) if point.goodput is not None]
        series += lines(curve, model, pairs, model)
    if not series:
        return None
    title = "Goodput against load"
    return chart(
        curve,
        "curve-goodput",
        title,
        f"{title}: the share of requests that met {slo_in_words(curve.slo) or 'every SLO'}.",
        Axis("goodput", "%", begin=0.0, end=105.0),
        series,
    )


def slo_in_words(slo: Mapping[str, float]) -> str:
    """TTFT at most 600 ms, E2E at most 2,000 ms. Empty without an SLO."""
    return ", ".join(f"{METRICS[name].title} at most {milliseconds(limit)} ms" for name, limit in slo.items())


def achieved_curve(curve: Curve) -> Chart | None:
    """TTFT (or E2E where nothing streams) against what was achieved: where the line bends upwards, more load brings
    no more answers."""
    metric = "ttft" if any(latency(point, "ttft", "p50") is not None for point in curve.points) else "e2e"
    title = METRICS[metric].title
    series = []
    for model in curve.models:
        mine = curve.of(model)
        for name in ("p50", "p95"):
            found = [(point, at) for point in mine if (at := latency(point, metric, name)) is not None]
            if found:
                series.append(
                    Series(
                        f"{model} {name}",
                        np.array([point.requests_per_s for point, _ in found]),
                        np.array([at for _, at in found]),
                        role=role_of(curve, model),
                        about=About(model=model),
                        stroke=PERCENTILES[name],
                        labels=tuple(point.stage for point, _ in found),
                    )
                )
    if not series:
        return None
    mark = slo_mark(curve, metric)
    heading = f"{title} against requests answered per second"
    return Chart(
        name="curve-achieved",
        title=heading,
        says=f"{heading}, a point for each level of the load.",
        x=Axis("requests answered", "/s", begin=0.0, end=headroom(max(float(one.x.max()) for one in series))),
        y=Axis(title, "ms", begin=0.0, end=top(series, mark)),
        series=tuple(series),
        marks=mark,
    )


def user_curve(curve: Curve) -> Chart | None:
    """Tokens per second that one user sees (1 / TPOT) against those of all together: speed against use."""
    series = []
    for model in curve.models:
        found = [point for point in curve.of(model) if latency(point, "tpot", "p50") and point.tokens_per_s]
        if found:
            series.append(
                Series(
                    model,
                    np.array([point.tokens_per_s for point in found]),
                    np.array([1e3 / (latency(point, "tpot", "p50") or 1.0) for point in found]),
                    role=role_of(curve, model),
                    about=About(model=model),
                    labels=tuple(point.stage for point in found),
                )
            )
    if not series:
        return None
    limit = curve.slo.get("tpot")
    mark = (Mark(1 / limit, f"SLO {number(1 / limit)} tokens/s"),) if limit else ()
    return Chart(
        name="curve-user",
        title="Tokens per second: one user against all together",
        says="How fast one user's answer is written (1 / TPOT p50) against how much is written for all of them.",
        x=Axis("tokens of all users", "/s", begin=0.0, end=headroom(max(float(one.x.max()) for one in series))),
        y=Axis("tokens of one user", "/s", begin=0.0, end=top(series, mark)),
        series=tuple(series),
        marks=mark,
    )


# -- pieces -------------------------------------------------------------------------------------------------


def latency(point: CurvePoint, metric: str, name: str) -> float | None:
    """A percentile in ms; None if it is withheld."""
    statistics = point.latencies.get(metric)
    value = None if statistics is None else statistics.stat(name)
    return None if value is None else value * 1e3


def lines(
    curve: Curve, model: str, pairs: Sequence[tuple[float, float]], title: str, stroke: Stroke = "solid"
) -> list[Series]:
    """One line through the levels; none where it has no value."""
    if not pairs:
        return []
    x, y = np.array(pairs, np.float64).T
    return [Series(title, x, y, role=role_of(curve, model), about=About(model=model), stroke=stroke)]


def role_of(curve: Curve, model: str) -> str:
    return f"model:{curve.models.index(model)}"


def chart(
    curve: Curve,
    name: str,
    title: str,
    says: str,
    y: Axis,
    series: Sequence[Series],
    marks: tuple[Mark, ...] = (),
) -> Chart:
    """A chart over the levels of the load."""
    return Chart(name=name, title=title, says=says, x=load_axis(curve), y=y, series=tuple(series), marks=marks)


def load_axis(curve: Curve) -> Axis:
    """The levels; logarithmic where they are far apart."""
    first, last = curve.loads[0], curve.loads[-1]
    if first > 0 and last / first > SPREAD:
        return Axis(curve.unit, scale="log", begin=first * NARROW, end=last / NARROW, ticks=tuple(curve.loads))
    return Axis(curve.unit, begin=0.0, end=1.05 * last, ticks=tuple(curve.loads))


def top(series: Sequence[Series], marks: Sequence[Mark] = ()) -> float:
    """The upper end of an axis that begins at 0; an SLO far above the values is left outside."""
    highest = max((float(one.y.max()) for one in series if len(one.y)), default=1.0)
    marked = [mark.at for mark in marks if mark.at < 3 * highest]
    return 1.12 * max(highest, *marked, 1e-3)


def slo_mark(curve: Curve, metric: str) -> tuple[Mark, ...]:
    """The SLO of a latency as a line."""
    limit = curve.slo.get(metric)
    return () if limit is None else (Mark(limit * 1e3, f"SLO {milliseconds(limit)} ms"),)


def levels(curve: Curve, metric: str) -> str:
    """The middle of each level in words."""
    told = [
        f"{point.model} at {point.load:,g} {curve.unit}: {number(at)} ms (p50)"
        for point in curve.points
        if (at := latency(point, metric, "p50")) is not None
    ]
    return f"{'; '.join(told)}." if told else ""
