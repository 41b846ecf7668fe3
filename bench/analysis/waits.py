"""The chart of requests that wait between their attempts, and of users that wait after a refusal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.charts import numbers, role_of, spans, stage_spans, time_axis
from bench.analysis.numerals import count, duration
from bench.analysis.run import Run
from bench.analysis.sections import About, Axis, Chart, Series, Stroke, headroom

Floats = npt.NDArray[np.float64]

POINTS = 5000  # of one line
KINDS: tuple[tuple[str, Stroke], ...] = (("between attempts", "solid"), ("before the next request", "dashed"))
"""When one waits, and its line."""


def waits(run: Run) -> pd.DataFrame:
    """Every wait of the load: `model`, `kind` (one of KINDS), `begin` and `end`, s from the beginning of the load."""
    rows, tries = run.records[run.records["loaded"]], run.table.tries
    start = run.end.load_started
    tries = tries[tries["row"].isin(rows.index) & (tries["waited"] > 0.0)]
    between = pd.DataFrame({
        "model": rows.loc[tries["row"], "model"].astype(str).to_numpy(),
        "begin": tries["done"].to_numpy() - start,
        "end": (tries["done"] + tries["waited"]).to_numpy() - start,
    })  # fmt: skip
    held = rows[(rows["held_back"] > 0.0) & rows["first_begun"].notna()]
    before = pd.DataFrame({
        "model": held["model"].astype(str).to_numpy(),
        "begin": (held["first_begun"] - held["held_back"]).to_numpy() - start,
        "end": held["first_begun"].to_numpy() - start,
    })  # fmt: skip
    (first, _), (second, _) = KINDS
    return pd.concat([between.assign(kind=first), before.assign(kind=second)], ignore_index=True)


def waiting_chart(run: Run) -> Chart | None:
    """The number of requests and users that waited at each moment; None if none did."""
    found = waits(run)
    if not len(found):
        return None
    series, told = [], []
    for model in run.facts.scenario.models:
        for kind, stroke in KINDS:
            mine = found[(found["model"] == model) & (found["kind"] == kind)]
            if not len(mine):
                continue
            x, y = at_once(numbers(mine["begin"]), numbers(mine["end"]))
            title, role = f"{model}, {kind}", role_of(run, model)
            series.append(Series(title, x, y, form="step", role=role, about=About(model=model), stroke=stroke))
            seconds, most = float((mine["end"] - mine["begin"]).sum()), float(y.max())
            told.append(f"{title}: {count(len(mine))} waits, {duration(seconds)} in all, at most {count(most)} at once")
    if not series:
        return None
    return Chart(
        name="waiting",
        title="Who waits after a failed attempt",
        says=f"How many requests and users wait at each moment. {'; '.join(told)}.",
        x=time_axis(run),
        y=Axis("waiting", begin=0.0, end=headroom(max(float(one.y.max()) for one in series))),
        series=tuple(series),
        spans=spans(run),
        height=0.7,
        note="; ".join(told),
        time=True,
        stages=stage_spans(run),
    )


def at_once(begins: Floats, ends: Floats) -> tuple[Floats, Floats]:
    """Moments at which the number of open intervals changes (of very many, some), and the number from then on."""
    times = np.concatenate([begins, ends])
    order = np.argsort(times, kind="stable")
    open_ones = np.cumsum(np.repeat([1.0, -1.0], len(begins))[order])
    thin = slice(None, None, len(times) // POINTS + 1)
    x = np.concatenate([[0.0], times[order][thin]])
    return x, np.concatenate([[0.0], open_ones[thin]])
