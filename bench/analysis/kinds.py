"""The kinds of requests in a chart: by what a reader can choose some of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from bench.analysis.run import Run
from bench.analysis.sections import About, Kind, Places

FACETS = ["model", "name", "stage", "outcome"]


def kinds_of(run: Run, rows: pd.DataFrame, kind: Callable[[About], Kind]) -> tuple[tuple[Kind, ...], Places]:
    """The kinds of requests among the rows, made by `kind`, and each row's place among them. A stage is told apart if
    several are measured; the label is what a reader sees of the kind."""
    staged = sum(stage.measured for stage in run.stages) > 1
    columns = [rows[facet].astype(str).to_numpy() for facet in FACETS]
    if not len(rows):
        return (), np.zeros(0, np.int64)
    codes = [np.unique(column, return_inverse=True)[1] for column in columns]
    _, firsts, places = np.unique(np.stack(codes), axis=1, return_index=True, return_inverse=True)
    found = []
    for first in firsts:
        model, name, stage, outcome = (str(column[first]) for column in columns)
        about = About(model, name, stage if staged else None, outcome)
        made = kind(about)
        found.append(replace(made, label=made.label or label_of(about)))
    return tuple(found), places.ravel().astype(np.int64)


def label_of(about: About) -> str:
    """A kind in words: chat of sim/fast, even: ok."""
    stage = f", {about.stage}" if about.stage else ""
    return f"{about.name} of {about.model}{stage}: {about.outcome}"
