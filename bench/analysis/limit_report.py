"""Rate limits as a report tells them: sentences, a table of what was admitted and refused, charts over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle

import numpy as np
import pandas as pd

from bench.analysis.charts import numbers, role_of, spans, stage_spans, time_axis
from bench.analysis.groups import ALL, Group
from bench.analysis.numerals import count, counted, duration, number, share
from bench.analysis.rate_limits import MINUTE, RateLimits, admitted, in_order
from bench.analysis.refusals import counters, limit_named, refusals, resource_of
from bench.analysis.run import Run
from bench.analysis.sections import (
    About,
    Axis,
    Cell,
    Chart,
    Column,
    Mark,
    Part,
    Row,
    Sentence,
    Series,
    Stroke,
    Table,
    headroom,
)

POINTS = 500  # the largest number of points of a line
ROOM = 1.25  # the axis ends this much above the limit and the admitted requests
FAR = 3.0  # times as high an axis may be for the refusals; more of them go beyond it
CLIENTS = ("raw", "polite")
AVERAGE = "on average over a stage of at least a minute"
WHY = {
    "requests": "by the request limit", "tokens": "by the token limit", "images": "by the image limit",
    "concurrency": "by the concurrency limit", "unknown": "for no stated cause", "quota": "for a used-up quota",
    "overload": "for overload (503, 529)",
}  # fmt: skip


def limit_parts(run: Run) -> list[Part]:
    """The sentences and tables; nothing where the run shows no limit."""
    found = run.summary.rate_limits
    if not found:
        return []
    stated = stated_table(found)
    return [*sentences(found), *clients(run.summary.groups), limit_table(found), *([stated] if stated else [])]


def sentences(found: Sequence[RateLimits]) -> list[Sentence]:
    """What was refused, and what that cost."""
    told = []
    for one in found:
        about, whose = About(model=one.model, stage=one.stage), named(one, found)
        if one.refused:
            text = f"{whose}: {refusals_told(one)}; {count(one.admitted)} admitted, "
            text += f"at most {count(one.most_per_min)} in a minute."
            told.append(Sentence(text, "doubt", about=about))
        if one.waited_s > 0:
            part = "" if one.waited_share is None else f", {share(one.waited_share)} of their time under load"
            text = f"{whose}: users waited {duration(one.waited_s)} in all because they had been refused{part}."
            told.append(Sentence(text, about=about))
        if one.on_time:
            text = f"{whose}: of {counted(one.on_time, 'attempts')} that were sent when Retry-After was over, "
            late = one.on_time_admitted < one.on_time
            text += f"{count(one.on_time_admitted)} were admitted."
            told.append(Sentence(text, "doubt" if late else "good", about=about))
    return told


def refusals_told(one: RateLimits) -> str:
    """How many attempts were refused by which limit, and what became of them."""
    many = sum(one.refused.values())
    parts = [f"{count(n)} {WHY[cause]}" for cause, n in one.refused.items()]
    if len(parts) == 1:
        parts = [f"{'all ' if many > 1 else ''}{WHY[cause]}" for cause in one.refused]
    again = many - one.refused_last
    then = f"{count(again)} tried again, {count(one.refused_last)} not"
    if not (again and one.refused_last):
        then = "none tried again" if one.refused_last else "each tried again"
    return f"{count(many)} of {counted(one.attempts, 'attempts', 'were')} refused, {', '.join(parts)} ({then})"


def named(one: RateLimits, among: Sequence[RateLimits]) -> str:
    """The model, and its stage where there are several."""
    return f"{one.model}, {one.stage}" if len({other.stage for other in among}) > 1 else one.model


CLIENT_COLUMNS = (
    Column("model", text=True),
    Column("clients", text=True),
    Column("answered", meaning="requests that ended ok / requests offered"),
    Column("goodput", rank=1, meaning="requests that ended ok and met every SLO / requests offered"),
    Column("attempts", "per request", meaning="tries that were sent / requests offered"),
    Column(
        "waited",
        "s, mean",
        meaning="of answers: time waited because of refusals, before the request and between its attempts",
    ),
    Column("whole time", "s, mean", rank=2, meaning="waited + E2E of the attempt that was answered, on average"),
    Column("answers", "/s", rank=3),
)


def clients(groups: Sequence[Group]) -> list[Part]:
    """The same load raw and polite, side by side; nothing where it was not run so."""
    pairs: dict[tuple[str, str], dict[str, Group]] = {}
    for group in groups:
        level, _, client = f", {group.stage}".rpartition(", ")
        if client in CLIENTS and group.name == ALL:
            pairs.setdefault((group.model, level.removeprefix(", ")), {})[client] = group
    rows = [
        Row(
            (
                Cell(model),
                Cell(", ".join(filter(None, (level, client)))),
                Cell(share(answered(one)), answered(one)),
                Cell(share(one.goodput), one.goodput),
                Cell(number(one.attempts_per_request), one.attempts_per_request),
                Cell(number(one.waited_s.mean), one.waited_s.mean),
                Cell(number(whole_time(one)), whole_time(one)),
                Cell(number(one.requests_per_s), one.requests_per_s),
            ),
            About(model=model, stage=one.stage),
        )
        for (model, level), both in pairs.items()
        if len(both) > 1
        for client, one in both.items()
    ]
    if not rows:
        return []
    note = "Raw clients never wait or try again; polite ones do both. The arrivals are the same."
    return [Table("clients", "Raw and polite clients", CLIENT_COLUMNS, tuple(rows), note)]


def answered(group: Group) -> float | None:
    return group.outcomes.get("ok", 0) / group.requests if group.requests else None


def whole_time(group: Group) -> float | None:
    """The time of an answer with all waits for it, s."""
    if group.waited_s.mean is None or group.e2e_s.mean is None:
        return None
    return group.waited_s.mean + group.e2e_s.mean


def limit_table(found: Sequence[RateLimits]) -> Table:
    """One row for each stage and model."""
    causes = list(dict.fromkeys(cause for one in found for cause in one.refused))
    waits = any(one.waited_s for one in found)
    staged = len({one.stage for one in found}) > 1
    minutes = any(one.admitted_per_min is not None for one in found)
    columns = [
        Column("model", text=True),
        *([Column("stage", text=True)] if staged else []),
        Column("attempts"),
        Column("admitted"),
        *([Column("admitted", "/min", rank=1, meaning=f"answered with a success, {AVERAGE}")] if minutes else []),
        Column("most", "in a minute", meaning="admitted within any 60 s; what a limit per minute bounds"),
        *(
            [Column("tokens", "/min", rank=3, meaning=f"prompt and completion, of what was admitted, {AVERAGE}")]
            if minutes
            else []
        ),
        Column("most tokens", "in a minute", rank=2),
        *(Column("refused", WHY[cause], meaning=f"attempts refused {WHY[cause]}") for cause in causes),
        *(
            [Column("waited", "s", rank=1, meaning="time that users waited in all because of refusals")]
            if waits
            else []
        ),
    ]
    rows = []
    for one in found:
        cells = [Cell(one.model), *([Cell(one.stage)] if staged else [])]
        cells += [Cell(count(value), value) for value in (one.attempts, one.admitted)]
        cells += [Cell(number(one.admitted_per_min), one.admitted_per_min)] if minutes else []
        cells += [Cell(count(one.most_per_min), one.most_per_min)]
        cells += [Cell(count(one.tokens_per_min), one.tokens_per_min)] if minutes else []
        cells += [Cell(count(one.most_tokens_per_min), one.most_tokens_per_min)]
        cells += [Cell(count(n), n, "bad" if n else "plain") for n in (one.refused.get(cause, 0) for cause in causes)]
        cells += [Cell(number(one.waited_s), one.waited_s)] if waits else []
        rows.append(Row(tuple(cells), About(model=one.model, stage=one.stage)))
    note = "Attempts are all that were sent: a request that was tried again counts each time."
    if "overload" in causes:
        note += " Overload is not your limit: the server has no room for anybody."
    return Table("rate-limits", "Admitted and refused", tuple(columns), tuple(rows), note)


def stated_table(found: Sequence[RateLimits]) -> Table | None:
    """What the headers of each model said, one row for each counter; None where no header states a limit."""
    rows = []
    staged = len({one.stage for one in found}) > 1
    for one in found:
        for stated in one.stated:
            values = " → ".join(map(count, stated.limits)) or number(None)
            cells = [Cell(one.model), *([Cell(one.stage)] if staged else []), Cell(stated.counter)]
            cells += [
                Cell(values, stated.limit),
                Cell("" if stated.window_s is None else duration(stated.window_s), stated.window_s),
                Cell(count(stated.lowest_remaining), stated.lowest_remaining),
                Cell(count(stated.fell), stated.fell),
                Cell(
                    "" if stated.longest_reset_s is None else duration(stated.longest_reset_s), stated.longest_reset_s
                ),
                Cell(count(stated.answers), stated.answers),
            ]
            rows.append(Row(tuple(cells), About(model=one.model, stage=one.stage)))
    if not rows:
        return None
    columns = (
        Column("model", text=True),
        *([Column("stage", text=True)] if staged else []),
        Column("counter", text=True, meaning="as the header names it"),
        Column("limit", meaning="as the headers say; several if it changed"),
        Column("window", rank=2, meaning="if the headers say it"),
        Column("least left", meaning="the lowest `remaining`"),
        Column("fell by", rank=1, meaning="how far `remaining` went down in all; what came back in between hides some"),
        Column("longest reset", rank=3, meaning="the longest wait until all of it is free again"),
        Column("answers", rank=2, meaning="answers that have the header"),
    )
    return Table("stated-limits", "What headers state", columns, tuple(rows), always=False).without_empty_columns()


def limit_charts(run: Run, declared: Mapping[str, float | None]) -> dict[str, Callable[[], Chart | None]]:
    """The functions that make the charts, by name; none if the run shows no limit. `declared` are the requests per
    minute that the scenario states, by model."""
    if not run.summary.rate_limits:
        return {}
    return {"limits": partial(admitted_chart, run, declared), "remaining": partial(remaining_chart, run)}


def admitted_chart(run: Run, declared: Mapping[str, float | None]) -> Chart | None:
    """Requests admitted in the 60 s before each moment, and refused in them, against the limit."""
    rows = run.records[run.records["loaded"]]
    if not len(rows):
        return None
    refused = refusals(run.table, rows)
    series, marks = [], []
    for model in run.facts.scenario.models:
        sent = rows.loc[(rows["model"] == model) & admitted(rows), "sent"]
        series += minute_line(run, model, "admitted", sent, "solid")
        series += minute_line(run, model, "refused", refused.loc[refused["model"] == model, "at"], "dashed")
        limit, source = limit_of(run, model, declared)
        marks += (
            []
            if limit is None
            else [
                Mark(
                    limit,
                    f"{count(limit) if limit == round(limit) else number(limit)}/min {source}",
                    about=About(model=model),
                )
            ]
        )
    if not series:
        return None
    peaks = [float(one.y.max()) for one in series if one.stroke == "solid"] + [mark.at for mark in marks]
    most = max(float(one.y.max()) for one in series)
    top = ROOM * (max(peaks, default=0.0) or most)
    top = max(top, headroom(most)) if most <= FAR * top else top
    totals = ", ".join(f"{one.title} at most {count(float(one.y.max()))}" for one in series)
    return Chart(
        name="limits",
        title="Admitted and refused in the last 60 s",
        says=f"Requests in the 60 s before each moment: {totals}.",
        x=time_axis(run),
        y=Axis("requests in 60 s", begin=0.0, end=max(1.0, top)),
        series=tuple(replace(one, y=np.minimum(one.y, 2 * top)) for one in series),
        marks=tuple(marks),
        spans=spans(run),
        note=f"Refusals go up to {count(most)} in 60 s, beyond the axis" if most > top else None,
        time=True,
        stages=stage_spans(run),
    )


def minute_line(run: Run, model: str, word: str, times: pd.Series[float], stroke: Stroke) -> list[Series]:
    """The number of these times in the 60 s before each moment; empty without any."""
    if not len(times):
        return []
    x, y = last_minute(times)
    start, role = run.end.load_started, role_of(run, model)
    return [Series(f"{model} {word}", x - start, y, form="step", role=role, about=About(model=model), stroke=stroke)]


def last_minute(times: pd.Series[float]) -> tuple[np.ndarray, np.ndarray]:
    """Some moments, and the number of these times in the 60 s before each of them."""
    at, _ = in_order(numbers(times), numbers(times))
    edges = np.unique(np.concatenate([at, at + MINUTE]))
    edges = edges[:: len(edges) // POINTS + 1]
    counted = np.searchsorted(at, edges, "right") - np.searchsorted(at, edges - MINUTE, "right")
    return edges, counted.astype(np.float64)


def limit_of(run: Run, model: str, declared: Mapping[str, float | None]) -> tuple[float | None, str]:
    """The model's limit of requests per minute, and who says so."""
    if (own := declared.get(model)) is not None:
        return own, "as the scenario declares"
    in_words = limit_in_words(run, model)
    for one in run.summary.rate_limits:
        for stated in one.stated:
            if one.model == model and stated.limit is not None and resource_of(stated.counter) == "requests":
                window = stated.window_s
                if window is None and (
                    in_words is not None or any(word in stated.counter for word in ("day", "hour", "second"))
                ):
                    continue
                told = "as headers state" if window is not None else "as headers state, if that is per minute"
                return stated.limit * MINUTE / (window or MINUTE), told
    return in_words, "as refusals say"


def limit_in_words(run: Run, model: str) -> float | None:
    """The limit of requests per minute that refusals of the model name in their message; None if none does, or if they
    do not agree."""
    rows = run.records[run.records["loaded"] & (run.records["model"] == model)]
    tries = run.table.tries
    words = pd.concat([rows["error"].astype(object), tries.loc[tries["row"].isin(rows.index), "error"].astype(object)])
    found = {limit for text in words.dropna().unique() if (limit := limit_named(str(text))) is not None}
    return found.pop() if len(found) == 1 else None


STROKES: tuple[Stroke, ...] = ("solid", "dashed", "dotted")


def remaining_of(run: Run, model: str) -> list[Series]:
    """What each counter of a model said was left, in percent of its limit."""
    rows = run.records[run.records["loaded"]]
    mine = (rows["model"] == model) & rows["headers_at"].notna()
    limits, found = counters(rows, "limit"), []
    for (key, remaining), stroke in zip(counters(rows, "remaining").items(), cycle(STROKES), strict=False):
        limit = limits.get(key)
        if limit is None or not (known := mine & remaining.notna() & limit.notna() & (limit > 0)).any():
            continue
        x, y = in_order(numbers(rows.loc[known, "headers_at"]), numbers(remaining[known] / limit[known] * 100))
        thin = slice(None, None, len(x) // POINTS + 1)
        found.append(
            Series(
                f"{model} {key.replace('_', ' ')}",
                x[thin] - run.end.load_started,
                y[thin],
                form="step",
                role=role_of(run, model),
                about=About(model=model),
                stroke=stroke,
            )
        )
    return found


def remaining_chart(run: Run) -> Chart | None:
    """How much headers said was left, as a share of the limit."""
    series = [one for model in run.facts.scenario.models for one in remaining_of(run, model)]
    if not series:
        return None
    told = ", ".join(f"{one.title} down to {number(float(one.y.min()))} %" for one in series)
    return Chart(
        name="remaining",
        title="What headers say is left",
        says=f"The rest of each limit as headers state it, in percent: {told}.",
        x=time_axis(run),
        y=Axis("left of the limit", "%", begin=0.0, end=105.0),
        series=tuple(series),
        spans=spans(run),
        height=0.8,
        time=True,
        stages=stage_spans(run),
    )
