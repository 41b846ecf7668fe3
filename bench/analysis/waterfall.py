"""Requests one by one, as bars over time with their phases: wait, connect, first token, tokens, end."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

import bench.analysis.timeline as timeline
from bench.analysis.axes import thinned
from bench.analysis.charts import numbers, spans, stage_spans, time_axis
from bench.analysis.figures import is_failure, percentiles
from bench.analysis.kinds import kinds_of
from bench.analysis.numerals import count, counted, number
from bench.analysis.run import Run
from bench.analysis.sections import Axis, Chart, Kind, Numbers, Places, Series

REQUESTS = 1500  # that there is room for
FAILED = 500  # the largest number of failed requests among them
BAR = 0.8  # share of a lane's height that a bar takes


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a request's time."""

    name: str
    begin: str  # columns of the rows, s from the beginning of the load
    end: str
    shade: float


PHASES = (
    Phase("wait until it was sent", "at_due", "at_begun", 0.15),
    Phase("earlier attempts and waits between", "at_begun", "at_last", 0.22),
    Phase("connect", "at_connect", "at_connected", 0.3),
    Phase("to the first token", "at_sent", "at_first", 0.4),
    Phase("tokens", "at_first", "at_last_token", 1.0),
    Phase("from the last token to the end", "at_last_token", "at_done", 0.6),
    Phase("to the whole answer", "at_sent_whole", "at_done", 0.7),
)
"""Paler parts are waiting, the full colour is tokens."""


def waterfall(run: Run) -> Chart | None:
    """Requests as bars over time, each in the first lane that is free."""
    rows = timeline.loaded(run)
    if not len(rows):
        return None
    rows, shown = chosen(rows.sort_values("begun"))
    rows = phased(rows, run.end.load_started)
    lanes = lanes_of(numbers(rows["from"]), numbers(rows["until"]))
    deep = int(lanes.max()) + 1
    told = f"Each request as a bar over time, in the colour of its outcome: {outcomes_told(rows)}."
    note = (
        f"{shown}. Pale is waiting, for its turn or for the first token; full colour is tokens. A request takes the "
        "first lane that is free, so a lane is not a user"
    )
    return Chart(
        name="waterfall",
        title="Requests one by one",
        says=f"{told} {phases_told(rows)}",
        x=time_axis(run),
        y=Axis("", scale="category", begin=-0.3, end=1.08 * deep + 0.5),
        series=(bars(run, rows, lanes),),
        spans=spans(run),
        height=min(2.0, 0.45 + 0.03 * deep),
        note=note,
        hint="Point at a request for its number; bench show prints it",
        time=True,
        stages=stage_spans(run),
    )


def bars(run: Run, rows: pd.DataFrame, lanes: Places) -> Series:
    """A bar for each phase of each request."""
    kinds, kind = kinds_of(run, rows, lambda about: Kind(about, f"outcome:{about.outcome}", str(about.outcome)))
    columns = [bars_of(rows, lanes, kind, len(kinds) * place, phase) for place, phase in enumerate(PHASES)]
    x, width, base, places, ids = (np.concatenate(column) for column in zip(*columns, strict=True))
    every = [
        replace(one, label=f"{one.label}; {phase.name}", shade=phase.shade) for phase in PHASES for one in kinds
    ]  # fmt: skip
    used, places = np.unique(places, return_inverse=True)
    return Series(
        "", x, base + BAR, form="bars", base=base, width=width, kinds=tuple(every[place] for place in used),
        kind=places, ids=ids,
    )  # fmt: skip


def chosen(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """As many of the rows as there is room for, and a sentence about the others."""
    if len(rows) <= REQUESTS:
        return rows, f"All {counted(len(rows), 'requests')}"
    bad = is_failure(rows["outcome"]).to_numpy()
    failed, others = np.flatnonzero(bad), np.flatnonzero(~bad)
    failed_shown = failed[thinned(len(failed), max(FAILED, REQUESTS - len(others)))]
    others_shown = others[thinned(len(others), REQUESTS - len(failed_shown))]
    note = f"{count(len(failed_shown) + len(others_shown))} of {counted(len(rows), 'requests')}, evenly over the run"
    if len(failed):
        note += f": {count(len(failed_shown))} of {count(len(failed))} that failed, {count(len(others_shown))} of "
        note += counted(len(others), "others")
    return rows.iloc[np.sort(np.concatenate([failed_shown, others_shown]))], note


def phased(rows: pd.DataFrame, start: float) -> pd.DataFrame:
    """The rows with the moments between their phases, s from the beginning of the load; NaN where there was none."""
    moments = {name: rows[column] - start for name, column in (
        ("at_due", "due"), ("at_connect", "connect_started"), ("at_connected", "connected"), ("at_sent", "sent"),
        ("at_first", "first_token_at"), ("at_last_token", "last_token_at"), ("at_done", "done"),
    )}  # fmt: skip
    begun = rows["first_begun"].combine(rows["sent"], np.fmin) - start
    moments["at_begun"] = begun.fillna(moments["at_done"])
    moments["at_last"] = moments["at_sent"].where(rows["attempts"] > 1)
    moments["at_sent_whole"] = moments["at_sent"].where(rows["first_token_at"].isna())
    moments["from"] = moments["at_due"].combine(moments["at_begun"], np.fmin)
    moments["until"] = moments["at_done"].combine(moments["from"], np.fmax)
    return rows.assign(**moments)


def lanes_of(begins: Numbers, ends: Numbers) -> Places:
    """For each bar, in the order of their beginnings, the lowest lane that is free; those from 0."""
    order = np.argsort(begins, kind="stable")
    lanes, free, busy = np.zeros(len(begins), np.int64), list[int](), list[tuple[float, int]]()
    for place in order:
        while busy and busy[0][0] <= begins[place]:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (ends[place], lane))
        lanes[place] = lane
    return lanes


Bars = tuple[Numbers, Numbers, Numbers, Places, Numbers]


def bars_of(rows: pd.DataFrame, lanes: Places, kind: Places, first: int, phase: Phase) -> Bars:
    """One phase of all requests that have it: middles, widths, lanes, places of their kinds, numbers."""
    begin, end = numbers(rows[phase.begin]), numbers(rows[phase.end])
    there = end > begin
    return (
        (begin[there] + end[there]) / 2,
        end[there] - begin[there],
        lanes[there].astype(np.float64),
        first + kind[there],
        numbers(rows["seq"])[there],
    )


def outcomes_told(rows: pd.DataFrame) -> str:
    return ", ".join(f"{count(many)} {word}" for word, many in rows["outcome"].value_counts().items() if many)


def phases_told(rows: pd.DataFrame) -> str:
    """The p50 of each phase, in words."""
    said = []
    for phase in PHASES:
        lasted = numbers(rows[phase.end] - rows[phase.begin])
        lasted = lasted[lasted > 0]
        if len(lasted):
            said.append(f"{phase.name} {number(percentiles(lasted, ['p50'])[0] * 1e3)} ms")
    return f"p50 of each phase: {', '.join(said)}." if said else ""
