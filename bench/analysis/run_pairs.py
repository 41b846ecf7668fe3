"""Pairs of requests with the same prompt, one of either run: two runs of one seed ask the same, number by number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.extract import Z
from bench.analysis.gate import effect_of
from bench.analysis.groups import ALL
from bench.analysis.pairs import ranked
from bench.analysis.run_comparison import Key, Paired
from bench.metrics import METRICS
from bench.plan.gate import Line

Floats = npt.NDArray[np.float64]
PLACE = ["stage", "model", "name", "seq", "turn"]
"""The columns that identify requests with the same prompt."""


def pairs_of(baseline: pd.DataFrame, candidate: pd.DataFrame, models: Mapping[str, str]) -> pd.DataFrame:
    """The measured requests of two runs side by side, with the endings _a and _b, in the order in which the baseline's
    were sent. `models` is the candidate's model for each of the baseline's. Requests that were still open when their
    run ended are left out, with their partners."""
    names = {theirs: ours for ours, theirs in models.items()}
    sides = []
    for rows in (baseline, candidate):
        columns = [*PLACE, "outcome", "stream", "sent", *keys_in(rows)]
        side = rows.loc[rows["outcome"] != "censored", columns]
        sides.append(side.astype(dict.fromkeys(("stage", "model", "name", "outcome"), object)))
    sides[1] = sides[1].assign(model=sides[1]["model"].map(lambda model: names.get(model, model)))
    sides = [side.drop_duplicates(PLACE) for side in sides]
    return sides[0].merge(sides[1], on=PLACE, suffixes=("_a", "_b")).sort_values("sent_a", kind="stable")


def keys_in(rows: pd.DataFrame) -> list[str]:
    """The latencies with one value per request."""
    return [one.key for one in METRICS.values() if one.kind == "latency" and one.key in rows]


def sample_in(pairs: pd.DataFrame, metric: str) -> tuple[Floats, Floats]:
    """A latency of both requests of each pair, s, infinite where one failed; without pairs that have no such figure."""
    key, streams_only = METRICS[metric].key, METRICS[metric].streams_only
    if f"{key}_a" not in pairs:
        return np.empty(0), np.empty(0)
    values = [
        ranked(
            pairs[f"{key}_{side}"].to_numpy(np.float64),
            pairs[f"outcome_{side}"],
            pairs[f"stream_{side}"],
            streams_only=streams_only,
        )
        for side in ("a", "b")
    ]
    whole = ~(np.isnan(values[0]) | np.isnan(values[1]))
    return values[0][whole], values[1][whole]


def paired(
    lines: Sequence[Line], keys: Mapping[str, Sequence[Key]], pairs: pd.DataFrame
) -> dict[tuple[str, Key], Paired]:
    """The result of the pairs for each line and each of its parts; `keys` are a line's parts by its title."""
    found = {}
    for line in lines:
        if line.is_difference or line.metric == "itl":
            continue
        for key in keys[line.title]:
            stage, model, name = key
            mine = pairs[(pairs["stage"] == stage) & (pairs["model"] == model)]
            mine = mine if name == ALL else mine[mine["name"] == name]
            a, b = sample_in(mine, line.metric)
            if not len(a):
                continue
            effect = effect_of(line, (a, b))
            if effect.ratio and effect.low and effect.high and math.isfinite(effect.high):
                error = math.log(effect.high / effect.low) / (2.0 * Z)
                found[line.title, key] = Paired(effect.pairs, math.log(effect.ratio), error)
    return found
