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
from bench.analysis.comparison_charts import by_arm, distributions, over_time, paired_differences
from bench.analysis.conclusion import Conclusion
from bench.analysis.numerals import count, counted
from bench.analysis.pairs import figures_of, matched, values
from bench.analysis.run import Run
from bench.analysis.sections import Chart, Part, Section, Sentence
from bench.analysis.summary import Verdict, believed
from bench.experiments.compare.arm_figures import figures_table, not_judged, samples_of
from bench.experiments.compare.classes import class_sections, of_classes, told_of_classes
from bench.experiments.compare.doubts import doubts_of, other_differences
from bench.experiments.compare.question import Order, check_slo, lines_of, takes_turns
from bench.experiments.compare.verdict import Asked
from bench.plan.gate import Line, parse_gate


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
    slo: dict[str, float] | None = None

    @property
    def asked(self) -> Asked:
        """The criteria of the comparison."""
        streams = all(request.stream for arm in self.arms.values() for request in arm.requests)
        engines = [arm.target for arm in self.arms.values() if arm.target.get("llama.cpp")]
        block = self.pairs.block if takes_turns(self.pairs.order, engines) else None
        lines = lines_of(self.gate, streams=streams, slo=self.slo is not None)
        return Asked(tuple(self.arms), lines, self.pairs.most, block, self.slo or {})


def findings(run: Run) -> Conclusion:
    """The findings of a comparison, from its run's folder."""
    return conclude(run, kept_of(run))


def kept_of(run: Run) -> Kept:
    """The scenario, with the limits of a good answer as the run's other figures have them."""
    kept = msgspec.json.decode(run.understood.scenario_text, type=Kept)
    return msgspec.structs.replace(kept, slo=run.facts.scenario.slo)


def conclude(run: Run, kept: Kept) -> Conclusion:
    """The findings for a scenario, whose gate may differ from the gate of the run."""
    asked, gated = kept.asked, kept.gate is not None
    rows = run.requests
    pairs = complete(rows, asked)
    rows = rows[rows["pair"] < pairs]
    found = comparisons_of(asked, rows, pairs, gated=gated)
    arms = samples_of(run, rows, asked)
    shown = [*found, *not_judged(arms, rows, asked, pairs, gated=gated)]
    verdict: Verdict | None = gate.worst({str(one.verdict) for one in found}) if gated else None
    doubts = list(doubts_of(rows, asked))
    failing = verdict == "fail" and run.summary.failing is not None  # a fact, however busy the client was
    if run.summary.validity.verdict == "invalid" and verdict is not None and not failing:
        verdict = believed(verdict, run.summary.validity)
        doubts.insert(0, "The measurement is invalid, so it proves nothing")
    classes = of_classes(rows, asked, pairs)
    notes = [what_was_done(run, asked, kept, pairs), *other_differences(rows, asked)]
    notes += told_of_classes(classes)
    told = headlines(shown)
    opening = sections_of(shown, notes=[f"{note}." for note in notes], doubts=[f"{doubt}." for doubt in doubts], told=1)
    return Conclusion(
        sections=(
            *opening,
            *class_sections(classes),
            Section("arms", "Figures of each arm", (figures_table(run, arms, asked),)),
            charts(rows, asked),
        ),
        verdict=verdict,
        headline=told[0] if told else None,
        document={
            "verdict": verdict,
            "pairs": pairs,
            "looks": [{"pairs": most, "alpha": alpha} for most, alpha in asked.looks],
            "in_blocks": asked.block is not None,
            "comparisons": [asdict(one) for one in shown],
            "classes": [asdict(one) for one in classes],
            "doubts": doubts,
        },
        checks=tuple(checks_of_comparisons(found)),
        general=("errors", "validity", "circumstances"),
    )


def judged_again(run: Run, lines: Sequence[Line]) -> Conclusion:
    """The findings of the same run with another gate. Raises ValueError for a line that cannot be used for pairs."""
    kept = kept_of(run)
    given = {line.title: line.allowed for line in lines}
    check_slo(parse_gate(given), slo=kept.slo is not None)
    return conclude(run, msgspec.structs.replace(kept, gate=given))


def complete(rows: pd.DataFrame, asked: Asked) -> int:
    """Number of pairs, from the first, up to the last one with an answer of every arm; only whole blocks count."""
    first = rows[rows["pair"].notna() & (rows["outcome"] != "censored") & (rows["turn"] == 0)]
    arms_of_pair = first.groupby("pair")["arm"].nunique()
    whole = arms_of_pair.index[arms_of_pair == len(asked.arms)].to_numpy(np.int64)
    if asked.block is None or not len(whole):
        return int(whole.max()) + 1 if len(whole) else 0
    return (int(whole.max()) + 1) // asked.block * asked.block


def comparisons_of(asked: Asked, rows: pd.DataFrame, pairs: int, *, gated: bool) -> list[Comparison]:
    """The comparison of each line of each candidate."""
    judged, used = asked.look(rows, pairs, until_settled=gated)
    unit: Literal["blocks", "pairs"] = "pairs" if asked.block is None else "blocks"
    return [
        comparison(one, arm=candidate, against=asked.arms[0], unit=unit, decided=gated, by_failures=failures)
        for candidate, lines in judged.items()
        for one, failures in zip(lines, asked.failures(rows, candidate, used, lines), strict=True)
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


def charts(rows: pd.DataFrame, asked: Asked) -> Section:
    """Distributions side by side, differences within pairs, and all arms over time."""
    metric = next(
        (name for name in ("ttft", "e2e") if any(map(len, figures_of(rows, asked.arms, name).values()))), "e2e"
    )
    found: list[Chart | None] = [distributions(metric, figures_of(rows, asked.arms, metric), about=by_arm(asked.arms))]
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
    found.append(over_time(metric, timed, about=by_arm(asked.arms)))
    parts: list[Part] = [chart for chart in found if chart is not None]
    return Section("side-by-side", "Side by side", tuple(parts) or (Sentence("There is nothing to draw."),))
