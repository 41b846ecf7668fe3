"""A run over time, in bins, for the pictures. Times are seconds from the beginning of the load."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.bins import LENGTHS_S, SHORTEST, Phase, bin_length, edges_of, middles_of, phases_of, places_in
from bench.analysis.figures import percentiles
from bench.analysis.numerals import duration
from bench.analysis.run import Run
from bench.analysis.windows import windows_of

Edges = npt.NDArray[np.float64]

FEWEST = {"p50": 5, "p95": 20, "p99": 100}
"""Answers that a bin needs before its percentiles are drawn."""
FEWEST_BINS = 8  # of percentiles, before they get longer ones
STEPS = 4000  # that a picture can show
SAME = 0.05  # bins whose lengths differ by less than this share are told as equally long


def loaded(run: Run) -> pd.DataFrame:
    """The requests of the load, warm-up included, with `begun` and `ended`: seconds from its beginning."""
    rows = run.records[run.records["loaded"]]
    start = run.end.load_started
    return rows.assign(begun=rows["sent"].fillna(rows["done"]) - start, ended=rows["done"] - start)


def stages(run: Run) -> tuple[Phase, ...]:
    """The stages of the load, and what was between and after them."""
    return phases_of(run.stages, run.end)


def bins(run: Run) -> Edges:
    """The edges of the bins of time, s; no bin is of two stages."""
    return edges_of(stages(run), bin_length(run.end.duration_s))


def lengths_told(edges: Edges) -> str:
    """How long the bins are, in words: as most of them are, since a stage's are as long as fit into it."""
    widths = np.diff(edges)
    usual = float(np.median(widths))
    same = bool((np.abs(widths / usual - 1.0) < SAME).all())
    return duration(usual) if same else f"about {duration(float(f'{usual:.2g}'))}"


def latency_bins(run: Run, good: pd.DataFrame) -> Edges:
    """The edges of the bins of percentiles: as short as others, or longer until most bins have a p95."""
    shortest, models = bin_length(run.end.duration_s), max(1, good["model"].nunique())
    lengths = [length for length in LENGTHS_S if shortest < length <= run.end.duration_s / FEWEST_BINS]
    per_second = len(good) / max(run.end.duration_s, SHORTEST) / models
    enough = (length for length in (shortest, *lengths) if length * per_second > FEWEST["p95"])
    return edges_of(stages(run), next(enough, max([shortest, *lengths])))


def latency(good: pd.DataFrame, metric: str, edges: Edges) -> pd.DataFrame:
    """Percentiles, s, of the answers whose request was sent in each bin, a column each; measured values, as everywhere.
    The index is the middle of each bin, from the first that has answers to the last. NaN where a bin has fewer than
    FEWEST, so that a line has a gap there. `good` are answers with the metric."""
    places, values = places_in(edges, good["begun"].to_numpy(np.float64)), good[f"{metric}_s"].to_numpy(np.float64)
    rows = {int(place): stated(values[places == place]) for place in np.unique(places)}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(FEWEST), dtype=np.float64)
    if len(table):
        table = table.reindex(range(int(table.index.min()), int(table.index.max()) + 1))
    return table.set_axis(middles_of(edges)[table.index.to_numpy(np.int64)], axis="index")


def stated(values: npt.NDArray[np.float64]) -> list[float]:
    """The percentiles of a bin; NaN if there are too few values."""
    names = [name for name, fewest in FEWEST.items() if len(values) >= fewest]
    known = dict(zip(names, percentiles(values, names), strict=True))
    return [known.get(name, math.nan) for name in FEWEST]


def throughput(run: Run) -> pd.DataFrame:
    """Output tokens per second in each bin, one column per model: streams by arrivals, other answers at their end."""
    rows, edges = loaded(run), bins(run)
    whole = rows[rows["arrived_tokens"] == 0]
    at_once = whole.groupby([places_of(whole, edges), whole["model"].astype(str)])["completion_tokens"].sum().unstack()
    return per_second(run.table.tokens.add(at_once, fill_value=0.0), edges)


def production(run: Run) -> pd.DataFrame:
    """Images and other items per minute, of the answers without error that ended in each bin, one column per model."""
    rows, edges = loaded(run), bins(run)
    good = rows[rows["outcome"] == "ok"]
    return 60 * per_second(
        good.groupby([places_of(good, edges), good["model"].astype(str)])["items"].sum().unstack(), edges
    )


def places_of(rows: pd.DataFrame, edges: Edges) -> npt.NDArray[np.int64]:
    """The bin in which each request ended."""
    return places_in(edges, rows["ended"].to_numpy(np.float64))


def per_second(made: pd.DataFrame, edges: Edges) -> pd.DataFrame:
    """What was made in each bin, by its length; a row for every bin."""
    return made.reindex(range(len(edges) - 1)).fillna(0.0).div(np.diff(edges), axis="index")


def while_loaded(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """The table of a bin's figures, one column per model, with NaN where a model is done: it got its share of a stage's
    requests and has answered them, while another model goes on."""
    edges = bins(run) + run.end.load_started
    begins, ends = edges[:-1], edges[1:]
    windows = windows_of(run.records, run.facts.scenario, run.stages)
    found = table.copy()
    for whole in windows.whole:
        last = whole.end >= max(one.end for one in windows.whole)
        until = math.inf if last else whole.end
        for model, own in windows.by_model[whole.stage].items():
            if model in found and own.end < whole.end:
                done = (begins >= own.end) & (ends <= until) & (found[model] == 0.0)
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
