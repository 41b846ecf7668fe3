"""The times over which rates are taken: of each model, the part of the run in which it was loaded.

A load of so many requests gives each model its share of them, and the faster model is idle while the slower one goes
on; that time is none of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from bench.analysis.facts import Asked

Window = tuple[float, float]
"""Begin and end, seconds from the run's start; the end itself is outside."""


@dataclass(frozen=True, slots=True)
class Windows:
    """The measured window of a run and of each of its models."""

    whole: Window
    by_model: Mapping[str, Window]

    def of(self, models: Iterable[str]) -> Window:
        """The window of these models together: it ends when the last of them was no longer loaded."""
        ends = [self.by_model[model][1] for model in models if model in self.by_model]
        return self.whole[0], max(ends, default=self.whole[1])


def windows_of(rows: pd.DataFrame, scenario: Asked, whole: Window) -> Windows:
    """Each model's window. `rows` are the requests of all stages, `whole` the run's measured window.

    A model that got all its share of `load.requests` was loaded until its own last request ended; any other model was
    loaded until the end.
    """
    models, total = scenario.models, scenario.load.requests
    shares = [None if total is None else share_of(total, place, len(models)) for place in range(len(models))]
    return Windows(
        whole, {model: window_of(model, rows, share, whole) for model, share in zip(models, shares, strict=True)}
    )


def window_of(model: str, rows: pd.DataFrame, share: int | None, whole: Window) -> Window:
    """One model's window; `share` is how many measured requests it was to get, None where only time bounds them."""
    mine = rows[(rows["model"] == model) & (rows["stage"] != "fit")]
    measured = mine[mine["stage"] == "measure"]
    if share is None or not len(measured) or measured["seq"].nunique() < share:  # a second turn shares its seq
        return whole
    last = math.nextafter(float(mine["done"].max()), math.inf)  # the window's end is outside, the last answer inside
    return whole[0], max(whole[0], min(whole[1], last))


def share_of(total: int, place: int, models: int) -> int:
    """How many of `total` requests the model at this place gets: as many as any other, or one more."""
    return total // models + (place < total % models)
