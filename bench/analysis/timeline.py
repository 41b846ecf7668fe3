"""A run over time, in bins of equal length, for the pictures. Times are seconds from the beginning of the load."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.figures import percentiles
from bench.analysis.run import Run
from bench.analysis.windows import windows_of
from bench.plan.load import MEASURE, WARMUP

FEWEST = {"p50": 5, "p95": 20, "p99": 100}
"""Answers that a bin needs before its percentiles are drawn."""
BINS, FEWEST_BINS = 150, 8  # so many of them at most; and at least, before percentiles get longer ones
STEPS = 4000  # that a picture can show
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


def latency_bin(run: Run, good: pd.DataFrame) -> int:
    """Seconds per bin of percentiles: as short as others, or longer until most bins have a p95."""
    shortest, models = bin_length(run), max(1, good["model"].nunique())
    lengths = [length for length in LENGTHS_S if shortest < length <= run.end.duration_s / FEWEST_BINS]
    per_second = len(good) / max(run.end.duration_s, SHORTEST) / models
    return next(
        (length for length in (shortest, *lengths) if length * per_second > FEWEST["p95"]), max([shortest, *lengths])
    )


def latency(good: pd.DataFrame, metric: str, length: int) -> pd.DataFrame:
    """Percentiles, s, of the answers whose request was sent in each bin of this length, a column each;
    measured values, as everywhere. NaN where a bin has fewer than FEWEST, so that a line has a gap there. `good` are
    answers with the metric."""
    grouped = good.groupby((good["begun"] // length * length).astype(int))[f"{metric}_s"]
    rows = {edge: stated(values.to_numpy()) for edge, values in grouped}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(FEWEST), dtype=np.float64)
    if not len(table):
        return table
    return table.reindex(range(int(table.index.min()), int(table.index.max()) + length, length))


def stated(values: npt.NDArray[np.float64]) -> list[float]:
    """The percentiles of a bin; NaN if there are too few values."""
    names = [name for name, fewest in FEWEST.items() if len(values) >= fewest]
    known = dict(zip(names, percentiles(values, names), strict=True))
    return [known.get(name, math.nan) for name in FEWEST]


def throughput(run: Run) -> pd.DataFrame:
    """Output tokens per second in each bin, one column per model: streams by arrivals, other answers at their end."""
    length, rows = bin_length(run), loaded(run)
    seconds = run.table.seconds
    streamed = seconds.groupby(seconds.index // length * length).sum()
    whole = rows[rows["arrived_tokens"] == 0]
    bins = (whole["ended"] // length * length).astype(int)
    at_once = whole.groupby([bins, whole["model"].astype(str)])["completion_tokens"].sum().unstack()
    table = streamed.add(at_once, fill_value=0.0).fillna(0.0) / length
    return table.reindex(bins_of(rows, length), fill_value=0.0)


def production(run: Run) -> pd.DataFrame:
    """Images and other items per minute, of the answers without error that ended in each bin, one column per model."""
    length, rows = bin_length(run), loaded(run)
    good = rows[rows["outcome"] == "ok"]
    bins = (good["ended"] // length * length).astype(int)
    table = good.groupby([bins, good["model"].astype(str)])["items"].sum().unstack().fillna(0.0) * 60 / length
    return table.reindex(bins_of(rows, length), fill_value=0.0)


def bins_of(rows: pd.DataFrame, length: int) -> range:
    """The edges of the bins from the load's beginning to the last answer, s."""
    return range(0, (int(rows["ended"].max()) if len(rows) else 0) + 1, length)


def while_loaded(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """The table of a bin's figures, one column per model, with NaN where a model is done: it got its share of a stage's
    requests and has answered them, while another model goes on."""
    edges = table.index.to_numpy(np.float64) + run.end.load_started
    windows = windows_of(run.records, run.facts.scenario, run.stages)
    found = table.copy()
    for whole in windows.whole:
        last = whole.end >= max(one.end for one in windows.whole)
        until = math.inf if last else whole.end - bin_length(run)
        for model, own in windows.by_model[whole.stage].items():
            if model in found and own.end < whole.end:
                done = (edges >= own.end) & (edges <= until) & (found[model] == 0.0)
                found.loc[done, model] = math.nan
    return found


def users(run: Run) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The users of all processes together: when a process told its own, and the sum of what each told last."""
    if not run.health:
        return np.empty(0), np.empty(0)
    told = pd.DataFrame([(line.t, line.worker, line.users) for line in run.health], columns=["t", "worker", "users"])
    each = told.pivot_table(index="t", columns="worker", values="users", aggfunc="last").ffill().bfill()
    return each.index.to_numpy(np.float64) - run.end.load_started, each.sum(axis=1).to_numpy(np.float64)


def in_flight(run: Run) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """How many requests were unanswered: times at which that changed (of very many, some) and the number then."""
    rows = loaded(run)
    times = np.concatenate([rows["begun"].to_numpy(), rows["ended"].to_numpy()])
    steps = np.repeat([1, -1], len(rows))
    order = np.argsort(times, kind="stable")
    times, numbers = times[order], np.cumsum(steps[order])
    thin = slice(None, None, len(times) // STEPS + 1)
    return times[thin], numbers[thin]
