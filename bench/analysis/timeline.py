"""A run over time, in bins of equal length, for the pictures. Times are seconds from the beginning of the load."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.figures import percentiles
from bench.analysis.run import Run
from bench.plan.load import MEASURE, WARMUP

FEWEST = 5  # answers in a bin, before it is drawn
MARKED = ("p50", "p95")
BINS = 150  # at most so many of them
STEPS = 10_000  # that a picture can show
NAMES = {WARMUP: "warm-up", MEASURE: "measured"}
"""Of the stages of a load that has but one measured."""
SHORTEST = 0.05  # s
LENGTHS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)


def bin_length(run: Run) -> int:
    """Seconds per bin, a round number."""
    needed = run.end.duration_s / BINS
    return next((length for length in LENGTHS_S if length >= needed), math.ceil(needed))


def loaded(run: Run) -> pd.DataFrame:
    """The requests of the load, warm-up included, with `begun` and `ended`: seconds from its beginning."""
    rows = run.records[run.records["loaded"]]
    start = run.end.load_started
    return rows.assign(begun=rows["sent"].fillna(rows["done"]) - start, ended=rows["done"] - start)


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a run over time, s from the beginning of the load."""

    name: str
    begin: float
    end: float
    measured: bool


def stages(run: Run) -> tuple[Phase, ...]:
    """The stages of the load, and what was between and after them: waiting for answers. In the order of time; those
    that took no time are left out."""
    start, found = run.end.load_started, []
    at = 0.0
    for number, stage in enumerate(run.stages):
        begin, end = stage.began - start, stage.ended - start
        found.append(Phase("drain" if number else "warm-up", at, begin, measured=False))
        found.append(Phase(NAMES.get(stage.name, stage.name), begin, end, measured=stage.measured))
        at = end
    found.append(Phase("drain", at, run.end.duration_s - start, measured=False))
    return tuple(phase for phase in found if phase.end - phase.begin > SHORTEST)


def outcomes(run: Run) -> pd.DataFrame:
    """Requests that ended in each bin, per second: a column an outcome, the index is the bin's beginning."""
    length, rows = bin_length(run), loaded(run)
    bins = (rows["ended"] // length * length).astype(int)
    table = pd.crosstab(bins, rows["outcome"].astype(str)) / length
    return table.reindex(range(0, int(bins.max()) + length, length), fill_value=0.0) if len(table) else table


def latency(run: Run, metric: str) -> dict[str, pd.DataFrame]:
    """Of each model, p50 and p95 of the answers whose request was sent in each bin, where there are at least FEWEST;
    measured values, as everywhere."""
    length, rows = bin_length(run), loaded(run)
    found = {}
    good = rows[(rows["outcome"] == "ok") & rows[f"{metric}_s"].notna()]
    for model, mine in good.groupby("model", observed=True):
        grouped = mine.groupby((mine["begun"] // length * length).astype(int))[f"{metric}_s"]
        bins = {edge: percentiles(values.to_numpy(), MARKED) for edge, values in grouped if len(values) >= FEWEST}
        found[str(model)] = pd.DataFrame.from_dict(bins, orient="index", columns=list(MARKED))
    return found


def throughput(run: Run) -> pd.DataFrame:
    """Output tokens per second in each bin, a column a model: streams by their arrivals, other answers at their end."""
    length, rows = bin_length(run), loaded(run)
    seconds = run.table.seconds
    streamed = seconds.groupby(seconds.index // length * length).sum()
    whole = rows[rows["arrived_tokens"] == 0]
    bins = (whole["ended"] // length * length).astype(int)
    at_once = whole.groupby([bins, whole["model"].astype(str)])["completion_tokens"].sum().unstack()
    table = streamed.add(at_once, fill_value=0.0).fillna(0.0) / length
    last = int(rows["ended"].max()) if len(rows) else 0
    return table.reindex(range(0, last + 1, length), fill_value=0.0)


def production(run: Run) -> pd.DataFrame:
    """Images and so on, per minute, of the answers without error that ended in each bin, a column a model."""
    length, rows = bin_length(run), loaded(run)
    good = rows[rows["outcome"] == "ok"]
    bins = (good["ended"] // length * length).astype(int)
    table = good.groupby([bins, good["model"].astype(str)])["items"].sum().unstack().fillna(0.0) * 60 / length
    return table.reindex(range(0, int(rows["ended"].max()) + length, length), fill_value=0.0)


def in_flight(run: Run) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """How many requests were unanswered: times at which that changed (of very many, some) and the number then."""
    rows = loaded(run)
    times = np.concatenate([rows["begun"].to_numpy(), rows["ended"].to_numpy()])
    steps = np.repeat([1, -1], len(rows))
    order = np.argsort(times, kind="stable")
    times, numbers = times[order], np.cumsum(steps[order])
    thin = slice(None, None, len(times) // STEPS + 1)
    return times[thin], numbers[thin]
