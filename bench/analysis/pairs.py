"""The pairs of a comparison as samples: for each line of a gate, one value of the baseline and one of the candidate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.figures import meets_slo, percentiles
from bench.analysis.gate import Sample
from bench.analysis.per_request import derive
from bench.analysis.table import table_of
from bench.metrics import METRICS
from bench.plan.gate import Line
from bench.records import Record

Floats = npt.NDArray[np.float64]
NO_SLO: Mapping[str, float] = {}


def rows_of(records: Sequence[Record]) -> pd.DataFrame:
    """Records in memory as the rows of a table, with the figures of each request."""
    return derive(table_of(records).rows)


def matched(
    rows: pd.DataFrame, baseline: str, candidate: str, *, first: int | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The requests of both arms whose partner exists, in the order of their pairs and turns: row by row the same pair.

    Requests that were still open at the end of the run are in no pair. With `first`, of so many pairs only.
    """
    rows = rows[rows["pair"].notna() & (rows["outcome"] != "censored")]
    if first is not None:
        rows = rows[rows["pair"] < first]
    both = [rows[rows["arm"] == arm].drop_duplicates(["pair", "turn"]).set_index(["pair", "turn"]) for arm in
            (baseline, candidate)]  # fmt: skip
    common = both[0].index.intersection(both[1].index).sort_values()
    return both[0].loc[common], both[1].loc[common]


def samples(
    rows: pd.DataFrame,
    lines: Iterable[Line],
    baseline: str,
    candidate: str,
    *,
    first: int | None = None,
    block: int | None = None,
    slo: Mapping[str, float] = NO_SLO,
    answered: bool = False,
) -> dict[Line, Sample]:
    """For each line the values of both arms, pair by pair; with `block`, one value for this many pairs together. `slo`
    is the limits of a good answer. With `answered`, without pairs of which a request failed."""
    a, b = matched(rows, baseline, candidate, first=first)
    found = {}
    for line in lines:
        left, right = (
            shortfall(side, slo) if line.metric == "goodput" else values(side, line.metric) for side in (a, b)
        )
        there = np.isfinite(left) & np.isfinite(right) if answered else ~(np.isnan(left) | np.isnan(right))
        left, right = left[there], right[there]
        if block is not None:
            blocks = (a.index.get_level_values("pair").to_numpy(np.int64)[there]) // block
            left, right = of_blocks(left, blocks, line), of_blocks(right, blocks, line)
        found[line] = (left, right)
    return found


def values(rows: pd.DataFrame, metric: str) -> Floats:
    """A figure of each request: seconds, infinite if it failed, NaN if it has no such figure; of the error rate, 1 if
    it failed and 0 if not."""
    if metric == "error_rate":
        return (rows["outcome"] != "ok").to_numpy().astype(np.float64)
    if metric == "itl":  # for one request: the mean of its gaps
        gaps = (rows["arrived_events"] - 1).where(rows["arrived_events"] > 1)
        own = ((rows["last_token_at"] - rows["first_token_at"]) / gaps).to_numpy(np.float64)
    else:
        own = rows[METRICS[metric].key].to_numpy(np.float64)
    return ranked(own, rows["outcome"], rows["stream"], streams_only=METRICS[metric].streams_only)


def shortfall(rows: pd.DataFrame, slo: Mapping[str, float]) -> Floats:
    """Of each request: 1 if it failed or broke a limit of a good answer, and 0 if not."""
    return (~meets_slo(rows, slo)).to_numpy().astype(np.float64)


def ranked(own: Floats, outcome: pd.Series[str], stream: pd.Series[bool], *, streams_only: bool) -> Floats:
    """Latencies, s, of which those of failed requests are infinite; NaN where there is none, as of a whole answer's
    first token."""
    good, streamed = (outcome == "ok").to_numpy(bool), stream.to_numpy(bool)
    failed = ~good & streamed if streams_only else ~good
    return np.where(failed, np.inf, np.where(good, np.maximum(own, 1e-9), np.nan))


def of_blocks(values: Floats, blocks: npt.NDArray[np.int64], line: Line) -> Floats:
    """The line's statistic of each block."""
    found = []
    for number in np.unique(blocks):
        mine = values[blocks == number]
        if line.statistic in ("share", "mean"):
            found.append(float(mine.mean()))
        else:
            found += percentiles(mine, [line.statistic])
    return np.array(found)


def figures_of(rows: pd.DataFrame, arms: Sequence[str], metric: str) -> Mapping[str, Floats]:
    """A figure of every request of each arm, without those that have none."""
    found = {}
    for arm in arms:
        own = values(rows[(rows["arm"] == arm) & (rows["outcome"] != "censored")], metric)
        found[arm] = own[~np.isnan(own)]
    return found
