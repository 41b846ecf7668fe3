"""The times over which rates are taken: of each measured stage and model, the part in which it was loaded.

If a number of requests ends the load, each model gets its share of them, and a fast model is idle while a slow one goes
on; that time is not in the window of the fast one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from bench.analysis.facts import Asked
from bench.records import StepLine


@dataclass(frozen=True, slots=True)
class Window:
    """A measured part of the run, seconds from its start; the end itself is outside."""

    stage: str
    place: int  # of the stage among all stages of the run, those not measured among them
    begin: float
    end: float

    @property
    def length(self) -> float:
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of the measured stages, in their order, and for each of them those of the models."""

    whole: tuple[Window, ...]
    by_model: Mapping[str, Mapping[str, Window]]  # by stage, then by model

    def of(self, models: Iterable[str], stages: Collection[str] = ()) -> tuple[Window, ...]:
        """The windows of these models together, in these stages or in all: each ends when the last of the models was
        no longer loaded."""
        models, found = list(models), []
        for window in self.whole:
            if not stages or window.stage in stages:
                mine = self.by_model[window.stage]
                ends = [mine[model].end for model in models if model in mine]
                found.append(replace(window, end=max(ends, default=window.end)))
        return tuple(found)


def windows_of(rows: pd.DataFrame, scenario: Asked, stages: Sequence[StepLine]) -> Windows:
    """The windows of each measured stage. `rows` are the requests of all stages.

    A model that got all its share of a stage's requests was loaded until its own last request ended; any other model
    was loaded until the stage's end.
    """
    whole = [Window(one.name, place, one.began, one.ended) for place, one in enumerate(stages) if one.measured]
    models = scenario.models
    found: dict[str, dict[str, Window]] = {}
    for window in whole:
        total = scenario.load.requests_of(window.stage)
        shares = [None if total is None else share_of(total, place, len(models)) for place in range(len(models))]
        found[window.stage] = {
            model: window_of(model, rows, share, window) for model, share in zip(models, shares, strict=True)
        }
    return Windows(tuple(whole), found)


def window_of(model: str, rows: pd.DataFrame, share: int | None, whole: Window) -> Window:
    """One model's window in a stage; `share` is how many measured requests it was to get, None if only time bounds
    them."""
    mine = rows[(rows["model"] == model) & rows["loaded"]]
    measured = mine[mine["stage"] == whole.stage]
    if share is None or not len(measured) or measured["seq"].nunique() < share:  # a second turn shares its seq
        return whole
    begun = mine[mine["sent"].fillna(mine["done"]) < whole.end]  # a warm-up's last answers are load, too
    last = float(begun["done"].max())
    return replace(whole, end=max(whole.begin, min(whole.end, math.nextafter(last, math.inf))))


def share_of(total: int, place: int, models: int) -> int:
    """How many of `total` requests the model at this place gets: as many as any other, or one more."""
    return total // models + (place < total % models)
