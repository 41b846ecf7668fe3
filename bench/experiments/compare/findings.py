"""The findings of a comparison: each line of its gate, its meaning in words, and the doubts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

import msgspec
import numpy as np
import pandas as pd
from msgspec import Struct

from bench.analysis import gate
from bench.analysis.checks import checks_of_comparisons
from bench.analysis.comparison import Comparison, comparison, headlines, sections_of
from bench.analysis.comparison_charts import distributions, over_time, paired_differences
from bench.analysis.conclusion import Conclusion
from bench.analysis.figures import (
    Sample,
    cost_per_1000_usd,
    cost_per_good_usd,
    error_rate,
    latencies,
    mean_completion_tokens,
    sample,
    statistics,
    stream_tokens_per_s,
)
from bench.analysis.numerals import WITHHELD, count, counted, dollars, milliseconds, number, share
from bench.analysis.pairs import figures_of, matched, values
from bench.analysis.run import Run
from bench.analysis.sections import About, Cell, Chart, Column, Part, Row, Section, Sentence, Table
from bench.analysis.windows import Windows, windows_of
from bench.experiments.compare.doubts import doubts_of, other_differences
from bench.experiments.compare.question import Order, lines_of, takes_turns
from bench.experiments.compare.verdict import Asked
from bench.metrics import FORMULAS
from bench.plan.gate import Line, parse_gate

GOOD = "cost / answers that ended ok; a comparison has no SLO"
DOLLARS = "Dollars are shown, not tested: a gate has no line for them."


class KeptPairs(Struct, frozen=True):
    """The setting `pairs` of the scenario."""

    most: int = 1000
    order: Order = "auto"
    block: int = 20


class KeptRequest(Struct, frozen=True):
    """A request class of an arm."""

    stream: bool = False


class KeptArm(Struct, frozen=True):
    """An arm of the scenario."""

    requests: tuple[KeptRequest, ...] = ()
    target: dict[str, object] = {}


class Kept(Struct, frozen=True):
    """The scenario of a comparison as run.json has it."""

    arms: dict[str, KeptArm]
    pairs: KeptPairs = KeptPairs()
    gate: dict[str, object] | None = None

    @property
    def asked(self) -> Asked:
        """The criteria of the comparison."""
        streams = all(request.stream for arm in self.arms.values() for request in arm.requests)
        engines = [arm.target for arm in self.arms.values() if arm.target.get("llama.cpp")]
        block = self.pairs.block if takes_turns(self.pairs.order, engines) else None
        return Asked(tuple(self.arms), lines_of(self.gate, streams=streams), self.pairs.most, block)


def findings(run: Run) -> Conclusion:
    """The findings of a comparison, from its run's folder."""
    kept = msgspec.json.decode(run.understood.scenario_text, type=Kept)
    return conclude(run, kept)


def conclude(run: Run, kept: Kept) -> Conclusion:
    """The findings for a scenario, whose gate may differ from the gate of the run."""
    asked, gated = kept.asked, kept.gate is not None
    rows = run.requests
    pairs = complete(rows, asked)
    rows = rows[rows["pair"] < pairs]
    found = compared(asked, rows, pairs, gated=gated)
    verdict = gate.worst({str(one.verdict) for one in found}) if gated else None
    doubts = list(doubts_of(rows, asked))
    if run.summary.validity.verdict == "invalid" and verdict == "pass":
        verdict = "inconclusive"
        doubts.insert(0, "The measurement is invalid, so it proves nothing")
    notes = [what_was_done(run, asked, kept, pairs), *other_differences(rows, asked)]
    told = headlines(found)
    opening = sections_of(found, notes=[f"{note}." for note in notes], doubts=[f"{doubt}." for doubt in doubts], told=1)
    return Conclusion(
        sections=(
            *opening,
            Section("arms", "Figures of each arm", (figures_table(run, rows, asked),)),
            charts(rows, asked),
        ),
        verdict=verdict,
        headline=told[0] if told else None,
        document={
            "verdict": verdict,
            "pairs": pairs,
            "looks": [{"pairs": most, "alpha": alpha} for most, alpha in asked.looks],
            "in_blocks": asked.block is not None,
            "comparisons": [asdict(one) for one in found],
            "doubts": doubts,
        },
        checks=tuple(checks_of_comparisons(found)),
        general=("errors", "validity", "circumstances"),
    )


def judged_again(run: Run, lines: Sequence[Line]) -> Conclusion:
    """The findings of the same run with another gate. Raises ValueError for a line that cannot be used for pairs."""
    kept = msgspec.json.decode(run.understood.scenario_text, type=Kept)
    given = {line.title: line.margin for line in lines}
    parse_gate(given)
    return conclude(run, msgspec.structs.replace(kept, gate=given))


def complete(rows: pd.DataFrame, asked: Asked) -> int:
    """Number of pairs, from the first, up to the last one with an answer of every arm; only whole blocks count."""
    first = rows[rows["pair"].notna() & (rows["outcome"] != "censored") & (rows["turn"] == 0)]
    arms_of_pair = first.groupby("pair")["arm"].nunique()
    whole = arms_of_pair.index[arms_of_pair == len(asked.arms)].to_numpy(np.int64)
    if asked.block is None or not len(whole):
        return int(whole.max()) + 1 if len(whole) else 0
    return (int(whole.max()) + 1) // asked.block * asked.block


def compared(asked: Asked, rows: pd.DataFrame, pairs: int, *, gated: bool) -> list[Comparison]:
    """The comparison of each line of each candidate."""
    judged, _ = asked.look(rows, pairs, until_settled=gated)
    unit: Literal["blocks", "pairs"] = "pairs" if asked.block is None else "blocks"
    return [
        comparison(one, arm=candidate, against=asked.arms[0], unit=unit, decided=gated)
        for candidate, lines in judged.items()
        for one in lines
    ]


def what_was_done(run: Run, asked: Asked, kept: Kept, pairs: int) -> str:
    """A sentence without a full stop about what was sent, and under which load."""
    text = sent(
        run, f"{count(pairs)} of at most {count(asked.most)} pairs", "pair" if asked.block is None else "request"
    )
    if pairs < asked.most and kept.gate is not None and pairs in dict(gate.looks(asked.most)):
        text += ", because more could not have changed the verdict"
    if asked.block is not None:
        text += f"; the arms share a server, so they took turns in blocks of {asked.block}"
        return f"{text}, in random order"
    return f"{text}; each prompt went to every arm, one after the other, in random order"


def sent(run: Run, pairs: str, one: str) -> str:
    """Who sent the pairs, or at which rate; `one` is what a user sends at a time: a pair, or a request of one arm."""
    level = next((stage for stage in run.stages if stage.measured and (stage.users or stage.rate)), None)
    if level is None:
        return f"{pairs} were sent"
    if level.users is None:
        return f"{pairs} were sent at {counted(level.rate, f'{one}s/s')}"
    if level.users == 1:
        return f"1 user with one {one} at a time sent {pairs}"
    return f"{counted(level.users, 'users')}, each with one {one} at a time, sent {pairs}"


# -- tables and charts ------------------------------------------------------------------------------------------


def figures_table(run: Run, requests: pd.DataFrame, asked: Asked) -> Table:
    """One row per arm. Some figures depend on the tokenizer, and some do not."""
    named = any(described(run, arm) for arm in asked.arms)
    columns = (
        Column("", text=True),
        *([Column("model", text=True)] if named else []),
        Column("n", meaning="requests that ended, failed ones included"),
        Column("errors", meaning=FORMULAS["error rate"]),
        Column("TTFT", "ms, p50 / p95", meaning=FORMULAS["TTFT"]),
        Column("TPOT", "ms, p50", meaning=FORMULAS["TPOT"]),
        Column("E2E", "ms, p50 / p95", meaning=FORMULAS["E2E"]),
        Column("tokens", "/s of a stream", rank=1, meaning=FORMULAS["tokens/s of a stream"]),
        Column("characters", "/s of an answer", rank=1, meaning="characters of an answer / its E2E, p50"),
        Column("answer", "tokens", rank=2, meaning=FORMULAS["tokens out"]),
        Column("cost", "per 1,000", rank=2, meaning=FORMULAS["cost of 1,000 requests"]),
        Column("cost", "per good answer", rank=2, meaning=GOOD),
    )
    windows = windows_of(run.records, run.facts.scenario, run.stages)
    rows = tuple(figures_row(run, sample_of(run, requests, arm, windows), arm, named=named) for arm in asked.arms)
    priced = any(run.understood.prices.get(arm) is not None for arm in asked.arms)
    note = "Latencies of answers without error." + (f" {DOLLARS}" if priced else "")
    return Table("arms", "Figures of each arm", columns, rows, note)


def sample_of(run: Run, requests: pd.DataFrame, arm: str, windows: Windows) -> Sample:
    """The requests of one arm, of those that are judged."""
    mine = requests.index[requests["arm"] == arm]
    chosen = pd.Series(run.records.index.isin(mine), index=run.records.index)
    price = run.understood.prices.get(arm)
    return sample(run.table, run.records, chosen, windows.of([arm]), {}, {arm: price})


def figures_row(run: Run, of: Sample, arm: str, *, named: bool) -> Row:
    """The figures of one arm's requests; with its model if the models are `named`."""
    errors = error_rate(of)
    chars = (of.good["output_chars"] / of.good["e2e_s"]).replace([np.inf], np.nan)
    cells = (
        Cell(arm),
        *([Cell(described(run, arm) or arm)] if named else []),
        Cell(count(errors.of), errors.of),
        Cell(share(errors.value)),
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


def charts(rows: pd.DataFrame, asked: Asked) -> Section:
    """Distributions side by side, differences within pairs, and all arms over time."""
    metric = next(
        (name for name in ("ttft", "e2e") if any(map(len, figures_of(rows, asked.arms, name).values()))), "e2e"
    )
    found: list[Chart | None] = [distributions(metric, figures_of(rows, asked.arms, metric))]
    for place, candidate in enumerate(asked.candidates):
        name = f"{metric}-differences-{place}" if place else ""
        a, b = matched(rows, asked.arms[0], candidate)
        left, right = values(a, metric), values(b, metric)
        known = ~(np.isnan(left) | np.isnan(right))
        arms = (asked.arms[0], candidate)
        found.append(paired_differences(metric, left[known], right[known], arms=arms, name=name))
    begin = float(rows["sent"].min()) if len(rows) else 0.0
    timed = {}
    for arm in asked.arms:
        mine = rows[rows["arm"] == arm]
        timed[arm] = ((mine["sent"] - begin).to_numpy(np.float64), values(mine, metric))
    found.append(over_time(metric, timed))
    parts: list[Part] = [chart for chart in found if chart is not None]
    return Section("side-by-side", "Side by side", tuple(parts) or (Sentence("There is nothing to draw."),))
