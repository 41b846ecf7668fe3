"""The load curve of a run with several measured stages: latency, throughput and goodput against the load, as charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from bench.analysis.drift import is_held, waits_grow
from bench.analysis.facts import AskedLoad
from bench.analysis.figures import Statistics
from bench.analysis.groups import ALL, Group
from bench.analysis.numerals import in_digits, listed, milliseconds, number
from bench.analysis.run import Run
from bench.analysis.sections import About, Axis, Chart, Kind, Mark, Series, Stroke, headroom
from bench.metrics import METRICS
from bench.records import StepLine

LoadUnit = Literal["users", "requests/s offered"]

PERCENTILES: dict[str, Stroke] = {"p50": "solid", "p95": "dashed", "p99": "dotted"}
SPREAD = 8.0  # levels further apart than this are shown on a logarithmic axis
NARROW = 0.85
AGAIN = "again"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The figures of one model at one level of the load."""

    stage: str
    model: str
    load: float  # users, or requests/s offered, of all models together
    latencies: Mapping[str, Statistics]  # seconds, by metric
    requests_per_s: float  # answered without error
    tokens_per_s: float
    goodput: float | None = None  # share of the requests offered that met every SLO; None if there is none
    good_per_s: float | None = None  # answered within every SLO; None if there is none
    part: str = ""  # what tells it from the model's other points of this load: its client, or that it is a repetition
    offered_per_s: float | None = None  # requests offered to the model; None of users
    error_rate: float = 0.0
    waits_grow: bool = False  # whether requests waited longer and longer while they were offered


@dataclass(frozen=True, slots=True)
class Line:
    """The points of a curve that are drawn as one line."""

    model: str
    part: str = ""  # raw or polite, where the load has both; or that its levels were there before

    @property
    def title(self) -> str:
        return ", ".join(filter(None, (self.model, self.part)))


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of a run, in the order of its models and levels."""

    unit: LoadUnit
    points: tuple[CurvePoint, ...]
    models: tuple[str, ...]  # the scenario's, in its order
    slo: Mapping[str, float] = field(default_factory=dict)  # seconds, by metric
    left_out: tuple[str, ...] = ()  # measured stages whose load changed

    @property
    def lines(self) -> list[Line]:
        """The lines, those of a model together."""
        found = dict.fromkeys(Line(point.model, point.part) for point in self.points)
        return sorted(found, key=lambda line: self.models.index(line.model))

    @property
    def first_lines(self) -> list[Line]:
        """The lines without repetitions."""
        return [line for line in self.lines if not line.part.startswith(AGAIN)]

    def of(self, line: Line) -> list[CurvePoint]:
        mine = (point for point in self.points if (point.model, point.part) == (line.model, line.part))
        return sorted(mine, key=lambda point: point.load)

    @property
    def loads(self) -> list[float]:
        return sorted({point.load for point in self.points})

    @property
    def load_title(self) -> str:
        """What its levels count."""
        return f"{self.unit} in all" if len(self.models) > 1 else self.unit


def curve_of(run: Run) -> Curve:
    """The measured stages of a run as points, those in which one level was held; none if the run has both stages of
    users and of arrivals."""
    scenario = run.facts.scenario
    known = [stage for stage in run.stages if stage.measured and (stage.users or stage.rate)]
    closed = {stage.users is not None for stage in known}
    if len(closed) != 1:
        return Curve("users", (), scenario.models)
    held = {stage.name: stage for stage in known if is_held(stage)}
    parts = parts_of(list(held.values()), scenario.load)
    points = [
        point_of(group, held[group.stage], parts[group.stage], run.records)
        for group in run.summary.groups
        if group.name == ALL and group.stage in held
    ]
    unit: LoadUnit = "users" if True in closed else "requests/s offered"
    left_out = tuple(stage.name for stage in known if stage.name not in held)
    return Curve(unit, tuple(points), scenario.models, scenario.slo or {}, left_out)


def parts_of(stages: Sequence[StepLine], load: AskedLoad) -> dict[str, str]:
    """What tells the points of each stage from others of the same level: the client, or how often the level was there
    before."""
    found, seen = {}, Counter[tuple[float, str]]()
    for stage in stages:
        client = load.client_of(stage.name) or ""
        level = level_of(stage), client
        seen[level] += 1
        times = seen[level]
        again = AGAIN if times == 2 else f"{AGAIN}, time {times}" if times > 2 else ""
        found[stage.name] = client or again
    return found


def level_of(stage: StepLine) -> float:
    """Its users, or requests per second; 0 if they are not known."""
    return stage.users or stage.rate or 0.0


def point_of(group: Group, stage: StepLine, part: str, records: pd.DataFrame) -> CurvePoint:
    """One model in one stage. `records` are the derived rows of the run."""
    due = records[(records["stage"] == stage.name) & records["due"].notna()]
    return CurvePoint(
        stage=stage.name,
        model=group.model,
        load=level_of(stage),
        latencies={metric: group.latency(metric) for metric in ("ttft", "tpot", "e2e")},
        requests_per_s=group.requests_per_s or 0.0,
        tokens_per_s=group.output_tokens_per_s or 0.0,
        goodput=group.goodput,
        good_per_s=group.good_requests_per_s,
        part=part,
        offered_per_s=None if stage.rate is None else offered_per_s(group, stage, due["due"]),
        error_rate=group.error_rate or 0.0,
        waits_grow=waits_grow(due[(due["model"] == group.model) & (due["outcome"] == "ok")]),
    )


def offered_per_s(group: Group, stage: StepLine, due: pd.Series[float]) -> float | None:
    """Requests offered to one model of an open stage / the time in which requests were offered: of a stage of so many
    requests until the last one was due, since its window is longer. None if that is no time."""
    end = float(due.max()) if stage.ended_by == "requests" and len(due) else stage.ended
    return group.requests / (end - stage.began) if end > stage.began else None


def without(curve: Curve) -> str | None:
    """Which stages have no place on the curve, and why; None if all have."""
    if not curve.left_out:
        return None
    names = listed(curve.left_out)
    if len(curve.loads) < 2:
        return (
            f"There is no load curve: it takes two loads that are held, and the load of {names} changes. A stage that "
            "is not measured, such as a warm-up, may have the ramp."
        )
    return f"Not on the load curve, since their load changes: {names}."


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
    series: list[Series] = []
    for line in curve.lines:
        for name, stroke in PERCENTILES.items():
            found = [(point, at) for point in curve.of(line) if (at := latency(point, metric, name)) is not None]
            series += drawn(curve, line, found, name, stroke)
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
        too_few(curve, metric),
    )


def too_few(curve: Curve, metric: str) -> str | None:
    """Which points are left out for too few answers, in words, of the percentiles that a line has elsewhere, and of
    p50."""
    told = []
    for line in curve.lines:
        for name in PERCENTILES:
            lacking = [point.load for point in curve.of(line) if latency(point, metric, name) is None]
            if lacking and (name == "p50" or len(lacking) < len(curve.of(line))):
                told.append(f"{line.title} {name} at {', '.join(map(in_digits, lacking))}")
    return f"Left out for too few answers: {'; '.join(told)}" if told else None


def tokens_curve(curve: Curve) -> Chart | None:
    """Tokens per second at each level."""
    if not any(point.tokens_per_s for point in curve.points):
        return None
    series = [
        one
        for line in curve.lines
        for one in drawn(curve, line, [(point, point.tokens_per_s) for point in curve.of(line)])
    ]
    title = "Tokens per second against load"
    return chart(curve, "curve-tokens", title, f"{title}.", Axis("tokens", "/s", begin=0.0, end=top(series)), series)


def requests_curve(curve: Curve) -> Chart | None:
    """Requests answered per second at each level, and those that met the SLO; beside the offered ones."""
    series: list[Series] = []
    for line in curve.lines:
        mine = curve.of(line)
        series += drawn(curve, line, [(point, point.requests_per_s) for point in mine], "answered")
        good = [(point, point.good_per_s) for point in mine if point.good_per_s is not None]
        series += drawn(curve, line, good, "within SLO", "dashed")
        offered = [(point, point.offered_per_s) for point in mine if point.offered_per_s is not None]
        series += drawn(curve, line, offered, "offered", "dotted")
    title = "Requests answered per second against load"
    y = Axis("requests", "/s", begin=0.0, end=top(series))
    return chart(curve, "curve-requests", title, f"{title}.", y, series)


def goodput_curve(curve: Curve) -> Chart | None:
    """The share of the requests that met every SLO, at each level."""
    series: list[Series] = []
    for line in curve.lines:
        found = [(point, 100 * point.goodput) for point in curve.of(line) if point.goodput is not None]
        series += drawn(curve, line, found)
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
    series: list[Series] = []
    for line in curve.lines:
        for name in ("p50", "p95"):
            found = [(point, at) for point in curve.of(line) if (at := latency(point, metric, name)) is not None]
            series += drawn(curve, line, found, name, PERCENTILES[name], against="requests_per_s")
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
        note=too_few(curve, metric),
    )


def user_curve(curve: Curve) -> Chart | None:
    """Tokens per second that one user sees (1 / TPOT) against those of all together: speed against use."""
    series: list[Series] = []
    for line in curve.lines:
        known = [(point, latency(point, "tpot", "p50")) for point in curve.of(line) if point.tokens_per_s]
        found = [(point, 1e3 / tpot) for point, tpot in known if tpot]
        series += drawn(curve, line, found, against="tokens_per_s")
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
        note=too_few(curve, "tpot"),
    )


# -- pieces -------------------------------------------------------------------------------------------------


def latency(point: CurvePoint, metric: str, name: str) -> float | None:
    """A percentile in ms; None if it is withheld."""
    statistics = point.latencies.get(metric)
    value = None if statistics is None else statistics.stat(name)
    return None if value is None else value * 1e3


def drawn(
    curve: Curve,
    line: Line,
    found: Sequence[tuple[CurvePoint, float]],
    what: str = "",
    stroke: Stroke = "solid",
    *,
    against: Literal["load", "requests_per_s", "tokens_per_s"] = "load",
) -> list[Series]:
    """One line through the levels, each about its stage; none where it has no value."""
    if not found:
        return []
    x, y = np.array([(getattr(point, against), value) for point, value in found], np.float64).T
    title, stages = f"{line.title} {what}".strip(), tuple(point.stage for point, _ in found)
    kinds = tuple(Kind(About(line.model, stage=stage), label=stage) for stage in stages)
    return [
        Series(
            title, x, y, role=role_of(curve, line), about=About(model=line.model), stroke=stroke, kinds=kinds,
            kind=np.arange(len(kinds)), labels=stages if against != "load" else (),
        )
    ]  # fmt: skip


def role_of(curve: Curve, line: Line) -> str:
    """The colour of the model; that of a further one where a model has several lines."""
    parts = list(dict.fromkeys(point.part for point in curve.points))
    return f"model:{parts.index(line.part) * len(curve.models) + curve.models.index(line.model)}"


def chart(
    curve: Curve,
    name: str,
    title: str,
    says: str,
    y: Axis,
    series: Sequence[Series],
    marks: tuple[Mark, ...] = (),
    note: str | None = None,
) -> Chart:
    """A chart over the levels of the load."""
    return Chart(
        name=name, title=title, says=says, x=load_axis(curve), y=y, series=tuple(series), marks=marks, note=note
    )


def load_axis(curve: Curve) -> Axis:
    """The levels; logarithmic where they are far apart."""
    first, last = curve.loads[0], curve.loads[-1]
    if first > 0 and last / first > SPREAD:
        return Axis(curve.load_title, scale="log", begin=first * NARROW, end=last / NARROW, ticks=tuple(curve.loads))
    return Axis(curve.load_title, begin=0.0, end=1.05 * last, ticks=tuple(curve.loads))


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
        f"{Line(point.model, point.part).title} at {in_digits(point.load)} {curve.load_title}: {number(at)} ms (p50)"
        for point in curve.points
        if (at := latency(point, metric, "p50")) is not None
    ]
    return f"{'; '.join(told)}." if told else ""
