"""Conversations turn by turn: the latency of turns that send everything said before, and how much of it was cached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from bench.analysis.charts import role_of
from bench.analysis.columns import percentiles
from bench.analysis.figures import Share, Statistics, failures_in, share_of, share_of_hits, statistics
from bench.analysis.numerals import count, number, share
from bench.analysis.run import Run
from bench.analysis.sections import About, Axis, Cell, Chart, Column, Row, Series, Table, headroom
from bench.metrics import METRICS

PERCENTILES = ("p50", "p95")


@dataclass(frozen=True, slots=True)
class TurnFigures:
    """The figures of all turns at the same place of a conversation, for a model and a stage."""

    stage: str
    model: str
    turn: int  # from 0
    requests: int  # however they ended
    errors: Share  # failed, of those that ended
    ttft: Statistics  # s; this and the next three are of answers without error
    e2e: Statistics  # s
    prompt_tokens: float | None  # on average; None if no server states it
    cached: Share  # prompt tokens read from the server's cache, of all

    @property
    def about(self) -> About:
        return About(model=self.model, stage=self.stage)


def turns_of(run: Run) -> tuple[TurnFigures, ...]:
    """The measured turns in the order of stages, models and turns; none where no conversation had a second one."""
    rows = run.requests[run.requests["conversation"].notna()]
    if not (rows["turn"] > 0).any():
        return ()
    stages = [stage.name for stage in run.stages if stage.measured]
    found = []
    for stage in stages:
        for model in run.facts.scenario.models:
            mine = rows[(rows["stage"] == stage) & (rows["model"] == model)]
            found += [figures_of(stage, model, turn, mine[mine["turn"] == turn]) for turn in sorted(set(mine["turn"]))]
    return tuple(found)


def figures_of(stage: str, model: str, turn: int, rows: pd.DataFrame) -> TurnFigures:
    """The figures of these turns."""
    good = rows[rows["outcome"] == "ok"]
    tokens = good["prompt_tokens"].mean()
    return TurnFigures(
        stage=stage,
        model=model,
        turn=int(turn),
        requests=len(rows),
        errors=share_of_hits(failures_in(rows)),
        ttft=statistics(good["ttft_s"]),
        e2e=statistics(good["e2e_s"]),
        prompt_tokens=None if np.isnan(tokens) else float(tokens),
        cached=share_of(good, "cached_tokens", "prompt_tokens"),
    )


def turn_table(turns: Sequence[TurnFigures]) -> Table:
    """One row for each turn; people count them from 1."""
    stages, models = {turn.stage for turn in turns}, {turn.model for turn in turns}
    words = [*(["stage"] if len(stages) > 1 else []), *(["model"] if len(models) > 1 else [])]
    columns = [Column(word, text=True) for word in words]
    columns += [
        Column("turn"),
        Column("n"),
        Column("errors", rank=2, meaning=METRICS["error_rate"].formula),
        Column("TTFT", "ms, p50 / p95", meaning=METRICS["ttft"].formula),
        Column("E2E", "ms, p50 / p95", rank=3, meaning=METRICS["e2e"].formula),
        Column("prompt tokens", "mean", rank=1),
        Column("cached", meaning=METRICS["cached_share"].formula),
    ]
    rows = []
    for one in turns:
        named = {"stage": one.stage, "model": one.model}
        cells = [Cell(named[word]) for word in words]
        cells += [
            Cell(str(one.turn + 1), one.turn),
            Cell(count(one.requests), one.requests),
            Cell(share(one.errors.value), one.errors.value, "bad" if one.errors.hits else "plain"),
            percentiles(one.ttft, PERCENTILES),
            percentiles(one.e2e, PERCENTILES),
            Cell(count(one.prompt_tokens), one.prompt_tokens),
            Cell(share(one.cached.value), one.cached.value),
        ]
        rows.append(Row(tuple(cells), one.about))
    note = "Each turn sends all that was said before. Where no percentile can be shown, the mean stands in its place."
    return Table("turns", "Conversations, turn by turn", tuple(columns), tuple(rows), note)


def turn_charts(run: Run, turns: Sequence[TurnFigures]) -> dict[str, Callable[[], Chart | None]]:
    """The functions that make the charts, by the chart's name; none if there are no turns."""
    if not turns:
        return {}
    return {"turns-ttft": partial(ttft_chart, run, turns), "turns-cached": partial(cached_chart, run, turns)}


def ttft_chart(run: Run, turns: Sequence[TurnFigures]) -> Chart | None:
    """The median TTFT of each turn; None if too few streamed."""
    pairs = [(one, one.ttft.p50 * 1e3) for one in turns if one.ttft.p50 is not None]
    return chart(run, "turns-ttft", "TTFT (p50) by turn", pairs, Axis("TTFT", "ms", begin=0.0), "ms")


def cached_chart(run: Run, turns: Sequence[TurnFigures]) -> Chart | None:
    """The cached share of each turn; None if no server said it."""
    pairs = [(one, one.cached.value * 100) for one in turns if one.cached.value is not None]
    axis = Axis("prompt tokens from the cache", "%", begin=0.0, end=105.0)
    return chart(run, "turns-cached", "Cached share of the prompt by turn", pairs, axis, "%")


def chart(
    run: Run, name: str, title: str, pairs: Sequence[tuple[TurnFigures, float]], y: Axis, unit: str
) -> Chart | None:
    """A line through the turns for each model and stage; None if there is no value."""
    if not pairs:
        return None
    several = len({one.stage for one, _ in pairs}) > 1
    lines: dict[tuple[str, str], list[tuple[TurnFigures, float]]] = {}
    for one, value in pairs:
        lines.setdefault((one.model, one.stage), []).append((one, value))
    series = [
        Series(
            f"{model}, {stage}" if several else model,
            np.array([one.turn + 1.0 for one, _ in line]),
            np.array([value for _, value in line]),
            role=role_of(run, model),
            about=About(model=model, stage=stage),
        )
        for (model, stage), line in lines.items()
    ]
    told = "; ".join(f"{one.title}: {', '.join(f'{number(value)} {unit}' for value in one.y[:12])}" for one in series)
    last = max(one.turn + 1 for one, _ in pairs)
    ticks = tuple(float(turn) for turn in range(1, last + 1)) if last <= 20 else ()
    x = Axis("turn", begin=0.8, end=last + 0.2, ticks=ticks)
    top = y if y.end is not None else Axis(y.title, y.unit, begin=0.0, end=headroom(max(value for _, value in pairs)))
    return Chart(name=name, title=title, says=f"{title}, first to last. {told}.", x=x, y=top, series=tuple(series))
