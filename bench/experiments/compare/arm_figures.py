"""The figures of each arm: in one table, and those that a gate has no line for, each beside the baseline's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.comparison import Comparison, unjudged
from bench.analysis.figures import (
    Sample,
    cost_per_1000_usd,
    cost_per_good_usd,
    error_rate,
    goodput,
    latencies,
    mean_completion_tokens,
    sample,
    statistics,
    stream_tokens_per_s,
)
from bench.analysis.gate import effect_of
from bench.analysis.model_comparison import inverse, spent
from bench.analysis.numerals import WITHHELD, count, dollars, milliseconds, number, share
from bench.analysis.pairs import samples
from bench.analysis.run import Run
from bench.analysis.sections import About, Cell, Column, Row, Table
from bench.analysis.statistics import Interval
from bench.analysis.unpaired import PARTS, Totals, ratio_of_ratios
from bench.analysis.windows import Windows, windows_of
from bench.experiments.compare.verdict import Asked
from bench.metrics import FORMULAS, METRICS
from bench.plan.gate import Line

FIGURES = {
    "stream_tokens_per_s": stream_tokens_per_s,
    "cost_per_1000_usd": cost_per_1000_usd,
    "cost_per_good_usd": cost_per_good_usd,
}
"""The figures that are compared though a gate has no line for them."""
NO_LINE = "not judged: a gate has no line for it"
PACE = Line("tpot", "p50", 0.05, "lower")
"""The line of which tokens/s of a stream are the inverse; its margin does not matter."""


def samples_of(run: Run, rows: pd.DataFrame, asked: Asked) -> dict[str, Sample]:
    """The requests of each arm, of those that are judged."""
    windows = windows_of(run.records, run.facts.scenario, run.stages)
    return {arm: sample_of(run, rows, arm, windows, asked.slo) for arm in asked.arms}


def not_judged(
    arms: Mapping[str, Sample], rows: pd.DataFrame, asked: Asked, pairs: int, *, gated: bool
) -> Iterator[Comparison]:
    """Tokens/s of a stream and dollars of each candidate beside the baseline's, as far as they are known."""
    first = asked.arms[0]
    paid = {arm: spent(of, parts_of(of, pairs)) for arm, of in arms.items()}
    for candidate in asked.candidates:
        found = {"stream_tokens_per_s": pace(rows, asked, candidate)}
        for metric in ("cost_per_1000_usd", "cost_per_good_usd"):
            found[metric] = dollars_apart(paid[first], paid[candidate], metric, pairs // (asked.block or 1))
        for metric, interval in found.items():
            a, b = FIGURES[metric](arms[first]), FIGURES[metric](arms[candidate])
            if interval is None or a is None or b is None:
                continue
            yield unjudged(
                metric,
                METRICS[metric].kind,
                interval,
                figures=(a, b),
                arms=(first, candidate),
                unit="pairs" if asked.block is None else "blocks",
                reason=NO_LINE if gated else "",
            )


def parts_of(of: Sample, pairs: int) -> npt.NDArray[np.intp]:
    """The part of the comparison that the pair of each request is in; both arms sent the same in each part."""
    return (of.offered["pair"].to_numpy(np.int64) * PARTS // max(pairs, 1)).astype(np.intp)


def pace(rows: pd.DataFrame, asked: Asked, candidate: str) -> Interval | None:
    """The candidate's tokens/s of a stream as a ratio of the baseline's, from the pairs of which both were answered;
    `n` is how many there are. A failed request has no pace."""
    a, b = samples(rows, [PACE], asked.arms[0], candidate, block=asked.block)[PACE]
    both = np.isfinite(a) & np.isfinite(b)
    effect = effect_of(PACE, (a[both], b[both]), blocks=asked.block is not None)
    if effect.ratio is None or effect.low is None or effect.high is None:
        return None
    return inverse(Interval(effect.pairs, effect.ratio, effect.low, effect.high))


def dollars_apart(a: Mapping[str, Totals], b: Mapping[str, Totals], metric: str, n: int) -> Interval | None:
    """The candidate's dollars as a ratio of the baseline's, with the spread between parts of the comparison; `n` is how
    many pairs, or blocks of them, there are."""
    found = ratio_of_ratios(a[metric], b[metric]) if metric in a and metric in b else None
    return None if found is None else replace(found, n=n)


def figures_table(run: Run, arms: Mapping[str, Sample], asked: Asked) -> Table:
    """One row per arm. Some figures depend on the tokenizer, and some do not."""
    named = any(described(run, arm) for arm in asked.arms)
    columns = (
        Column("", text=True),
        *([Column("model", text=True)] if named else []),
        Column("n", meaning="requests that ended, failed ones included"),
        Column("errors", meaning=FORMULAS["error rate"]),
        *([Column("goodput", meaning=FORMULAS["goodput"])] if asked.slo else []),
        Column("TTFT", "ms, p50 / p95", meaning=FORMULAS["TTFT"]),
        Column("TPOT", "ms, p50", meaning=FORMULAS["TPOT"]),
        Column("E2E", "ms, p50 / p95", meaning=FORMULAS["E2E"]),
        Column("tokens", "/s of a stream", rank=1, meaning=FORMULAS["tokens/s of a stream"]),
        Column("characters", "/s of an answer", rank=1, meaning="characters of an answer / its E2E, p50"),
        Column("answer", "tokens", rank=2, meaning=FORMULAS["tokens out"]),
        Column("cost", "per 1,000", rank=2, meaning=FORMULAS["cost of 1,000 requests"]),
        Column("cost", "per good answer", rank=2, meaning=FORMULAS["cost of a good answer"]),
    )
    rows = tuple(figures_row(run, of, arm, named=named) for arm, of in arms.items())
    table = Table("arms", "Figures of each arm", columns, rows, "Latencies of answers without error.")
    return table.without_empty_columns(WITHHELD)


def sample_of(run: Run, requests: pd.DataFrame, arm: str, windows: Windows, slo: Mapping[str, float]) -> Sample:
    """The requests of one arm, of those that are judged."""
    mine = requests.index[requests["arm"] == arm]
    chosen = pd.Series(run.records.index.isin(mine), index=run.records.index)
    price = run.understood.prices.get(arm)
    return sample(run.table, run.records, chosen, windows.of([arm]), slo, {arm: price})


def figures_row(run: Run, of: Sample, arm: str, *, named: bool) -> Row:
    """The figures of one arm's requests; with its model if the models are `named`."""
    errors = error_rate(of)
    chars = (of.good["output_chars"] / of.good["e2e_s"]).replace([np.inf], np.nan)
    cells = (
        Cell(arm),
        *([Cell(described(run, arm) or arm)] if named else []),
        Cell(count(errors.of), errors.of),
        Cell(share(errors.value)),
        *([Cell(share(goodput(of).value))] if of.slo else []),
        Cell(quantiles(of, "ttft", "p50", "p95")),
        Cell(quantiles(of, "tpot", "p50")),
        Cell(quantiles(of, "e2e", "p50", "p95")),
        Cell(number(stream_tokens_per_s(of))),
        Cell(number(statistics(chars).p50)),
        Cell(number(mean_completion_tokens(of))),
        Cell(dollars(cost_per_1000_usd(of))),
        Cell(dollars(cost_per_good_usd(of))),
    )
    return Row(cells, About(model=arm))


def described(run: Run, arm: str) -> str | None:
    """The model of an arm; None if the arm has the model's name."""
    known = run.facts.scenario.arms.get(arm)
    return known.models[0] if known is not None and known.models[0] != arm else None


def quantiles(of: Sample, metric: str, *names: str) -> str:
    found = statistics(latencies(of, metric))
    return " / ".join(milliseconds(found.stat(name)) for name in names) if found.n else WITHHELD
