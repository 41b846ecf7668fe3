"""How far a percentile may be off because the client read late.

The kernel stamps a read with the arrival of its last byte. A token that shared its read with a later one is known only
to be no later than stamped. Was it earlier? A gateway that sends tokens together makes them share a read too, and then
the stamp is right. So the client's own lateness at that moment decides, as its samples of hub lag tell it: a token
cannot have waited longer for us than we were late, nor arrived before its request's head or before it was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.figures import percentiles
from bench.analysis.table import Table
from bench.metrics import FLOORS
from bench.records import HealthLine

Floats = npt.NDArray[np.float64]

TICK_S = 0.01  # between two samples of hub lag, when there is none
STALL_S = 0.002  # a timer is late by up to a millisecond anyway; above this the loop was busy
JUDGED = ("p50", "p95", "p99")
STREAMS = 20_000  # gaps that are examined; more make no difference
MOVED = 0.01  # the client is blamed if late reads alone make at least this share of the gaps 0


@dataclass(frozen=True, slots=True)
class Bound:
    """The largest possible error of a percentile."""

    metric: str  # "ttft", "e2e" or "itl"
    stat: str  # "p50", "p95" or "p99"
    value: float  # as measured, s
    error: float  # s
    direction: Literal["high", "low"]  # the measured value may be too high, or too low


class Lateness:
    """How late the client's loop was, for each process and moment."""

    def __init__(self, health: Iterable[HealthLine]) -> None:
        """`health` are the lines of health.jsonl: each has the time of its last sample, and the samples in order."""
        samples: dict[int, list[tuple[Floats, Floats]]] = {}
        for line in health:
            lags = np.asarray(line.hub_lag_s, np.float64)
            spans = lags + TICK_S
            ends = line.t - (spans.sum() - np.cumsum(spans))
            samples.setdefault(line.worker, []).append((ends, lags))
        self._by_worker = {worker: _in_order(parts) for worker, parts in samples.items()}

    def at(self, workers: npt.NDArray[np.int64], times: Floats) -> Floats:
        """The sample at each moment, s, or the one before or after it where that is more: a loop that was late for
        less than a tick may have been late between two of them. NaN where a process has no samples; where its samples
        have ended, the most of all."""
        found = np.full(len(times), np.nan)
        for worker, (ends, lags) in self._by_worker.items():
            if not len(lags):
                continue
            mine = workers == worker
            around = np.max([lags, np.append(lags[1:], 0.0), np.insert(lags[:-1], 0, 0.0)], axis=0)
            places = np.searchsorted(ends, times[mine])
            found[mine] = np.append(around, lags.max())[places]
        return found

    @property
    def mean(self) -> float | None:
        """How late the loop was on average over time, s; None without samples."""
        lags = np.concatenate([lags for _, lags in self._by_worker.values()] or [np.array([])])
        spans = lags + TICK_S
        return float((lags * spans).sum() / spans.sum()) if len(lags) else None


def _in_order(parts: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    ends, lags = (np.concatenate(values) for values in zip(*parts, strict=True))
    order = np.argsort(ends, kind="stable")
    return ends[order], lags[order]


def too_late(table: Table, good: pd.DataFrame, lateness: Lateness) -> pd.Series[float]:
    """How much too late each stream's first token may have been stamped, s. `good` are answers without error."""
    streams = good[good["first_token_at"].notna()]
    first, lengths = streams["first_token_at"], np.diff(table.gap_ends, prepend=0)
    starts, counts = (table.gap_ends - lengths)[streams.index], lengths[streams.index]
    second = np.full(len(streams), np.inf)
    second[counts > 0] = table.gaps[starts[counts > 0]]
    shared = (streams["clock"] != "kernel") | (second <= 0.0) | (streams["done"] <= first)
    asked = streams["headers_at"].where(streams["headers_at"] < first, streams["sent"])
    late = pd.Series(lateness.at(streams["worker"].to_numpy(), first.to_numpy()), index=streams.index)
    late = late.fillna(streams["read_delay"]).fillna(0.0)
    least = late.where(late < first - asked, first - asked)
    return least.where(shared & (least > 0.0), 0.0)


def bounds(table: Table, good: pd.DataFrame, lateness: Lateness) -> list[Bound]:
    """The largest error that late reads may have caused in each stated percentile; 0 if they caused none."""
    late = too_late(table, good, lateness)
    ttft = good.loc[late.index, "ttft_s"]
    found = lowered("ttft", ttft.to_numpy(), late.to_numpy())
    unstamped = good[good["clock"] != "kernel"]
    if len(unstamped) and len(unstamped) == len(good):
        late_ends = np.nan_to_num(lateness.at(good["worker"].to_numpy(), good["done"].to_numpy()))
        found += lowered("e2e", good["e2e_s"].to_numpy(), late_ends)
    return found + evened(table, good[good["first_token_at"].notna()], lateness)


def lowered(metric: str, values: npt.NDArray[Any], late: npt.NDArray[Any]) -> list[Bound]:
    """How far the percentiles of some values fall if each value is lower by as much as it was late."""
    stated = [stat for stat in JUDGED if len(values) >= FLOORS[stat]]
    measured = percentiles(values, stated)
    least = percentiles(values - late, stated)
    return [
        Bound(metric, stat, value, value - lower, "high")
        for stat, value, lower in zip(stated, measured, least, strict=True)
    ]


def evened(table: Table, streams: pd.DataFrame, lateness: Lateness) -> list[Bound]:
    """What late reads did to gaps: tokens that shared one have gaps of 0, and the gap before them is longer.

    Tokens share reads for other reasons too, so nothing is held against the client unless there is more of it when it
    was late. Then its late reads are taken to have held tokens evenly spread over the time that it was late.
    """
    if len(streams) < FLOORS["p50"]:
        return []
    thin = streams.iloc[:: len(streams) // STREAMS + 1]
    lengths = np.diff(table.gap_ends, prepend=0)[thin.index]
    chosen = np.zeros(len(table.gap_ends), bool)
    chosen[thin.index] = True
    gaps = table.gaps_of(chosen).astype(np.float64)
    stated = [stat for stat in JUDGED if len(gaps) >= FLOORS[stat]]
    ends, sums = np.cumsum(lengths), np.cumsum(gaps)
    before = np.concatenate([[0.0], sums])[ends - lengths]
    times = sums + np.repeat(thin["first_token_at"].to_numpy() - before, lengths)
    late = np.nan_to_num(lateness.at(np.repeat(thin["worker"].to_numpy(), lengths), times))
    even = gaps
    if merged_more(gaps <= 0.0, late > STALL_S) >= MOVED:
        even = spread_evenly(gaps, (ends - lengths)[lengths > 0], np.where(late > STALL_S, late, 0.0))
    return [
        Bound("itl", stat, value, abs(value - other), "high" if value >= other else "low")
        for stat, value, other in zip(stated, percentiles(gaps, stated), percentiles(even, stated), strict=True)
    ]


def merged_more(zero: npt.NDArray[np.bool_], late: npt.NDArray[np.bool_]) -> float:
    """The share of all gaps that are 0 because the client was late: what there is more of than at other times."""
    usual = float(zero[~late].mean()) if (~late).sum() >= FLOORS["p95"] else 0.0
    return max(0.0, float(zero[late].mean()) - usual) * float(late.mean()) if late.any() else 0.0


def spread_evenly(gaps: Floats, starts: npt.NDArray[np.int64], late: Floats) -> Floats:
    """The gaps as they would be, had the tokens of each read come evenly over the time that it was late, s, but not
    before the tokens of the read before. `starts` are the places of each stream's first gap."""
    head = gaps > 0.0  # the first token of each read
    head[starts] = True
    places = np.flatnonzero(head)
    sizes = np.diff(places, append=len(gaps))
    spread = np.minimum(late[places], gaps[places] * (sizes - 1) / sizes)
    even = np.repeat(spread / np.maximum(sizes - 1, 1), sizes)
    even[places] = gaps[places] - spread
    return even
