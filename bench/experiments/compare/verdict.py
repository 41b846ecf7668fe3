"""Judges the pairs of a comparison, in the same way during the run, to end a clear case, and after it, from the
records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from bench.analysis import gate
from bench.analysis.charges import cost
from bench.analysis.gate import Judged
from bench.analysis.numerals import count, counted, dollars, duration
from bench.analysis.pairs import samples
from bench.analysis.statistics import CONFIDENCE, POWER, Effect, normal_quantile
from bench.experiments.compare.question import CompareScenario
from bench.plan.gate import Line

Z_ONE = normal_quantile(0.5 + CONFIDENCE / 2)
"""Standard deviations from the middle to either end of an interval."""
Z_BOTH = normal_quantile(CONFIDENCE) + normal_quantile(POWER)
"""Standard deviations between no difference and one that is shown with the probability POWER."""
WIDE = 3.0
"""A larger log ratio means that there are too few pairs to estimate anything."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The criteria of a comparison."""

    arms: tuple[str, ...]  # the baseline first
    lines: tuple[Line, ...]
    most: int  # the largest number of pairs
    block: int | None  # number of pairs that are judged together; None: each pair is judged alone
    slo: Mapping[str, float] = field(default_factory=dict)  # the limits of a good answer, s by metric

    @property
    def candidates(self) -> tuple[str, ...]:
        return self.arms[1:]

    @property
    def looks(self) -> list[tuple[int, float]]:
        """The number of pairs at each look, and the share of the error probability of each candidate at it."""
        return [(pairs, alpha / max(1, len(self.candidates))) for pairs, alpha in gate.looks(self.most)]

    def judge(self, rows: pd.DataFrame, pairs: int, alpha: float) -> Verdicts:
        """Judge every line of each candidate by the first `pairs` pairs; `alpha` is the error probability."""
        found = {}
        for candidate in self.candidates:
            of = self.samples(rows, candidate, pairs, self.block)
            judged = gate.judge(self.lines, of, alpha, blocks=self.block is not None)
            if self.block is not None:  # the figure of each arm comes from its requests, not from its blocks
                each = self.samples(rows, candidate, pairs, None)
                judged = [replace(one, effect=with_own(one, each[one.line])) for one in judged]
            found[candidate] = judged
        return found

    def samples(
        self, rows: pd.DataFrame, candidate: str, pairs: int, block: int | None, *, answered: bool = False
    ) -> dict[Line, gate.Sample]:
        """The values of each line in the first `pairs` pairs; with `answered`, in those of which no request failed."""
        return samples(
            rows, self.lines, self.arms[0], candidate, first=pairs, block=block, slo=self.slo, answered=answered
        )

    def failures(self, rows: pd.DataFrame, candidate: str, pairs: int, judged: Sequence[Judged]) -> list[int]:
        """For each judged line, the number of failed requests without which its difference would not show."""
        every = self.samples(rows, candidate, pairs, None)
        answered = self.samples(rows, candidate, pairs, self.block, answered=True)
        blocks = self.block is not None
        return [gate.only_by_failures(one, every[one.line], answered[one.line], blocks=blocks) for one in judged]

    def look(self, rows: pd.DataFrame, pairs: int, *, until_settled: bool) -> tuple[Verdicts, int]:
        """Every line of each candidate after all looks at the first `pairs` pairs, and the number of pairs at the last
        look. With `until_settled` the looks end as soon as more pairs could not change the verdict.

        A run that ended before its last look is judged once more with the pairs that it has.
        """
        judged: Verdicts = {candidate: [] for candidate in self.candidates}
        for most, alpha in [*((most, alpha) for most, alpha in self.looks if most < pairs), (pairs, self.last(pairs))]:
            now = self.judge(rows, most, alpha)
            judged = {candidate: gate.kept(lines, judged[candidate]) for candidate, lines in now.items()}
            if until_settled and settled(judged):
                return judged, most
        return judged, pairs

    def last(self, pairs: int) -> float:
        """The share of the error probability of a look at this number of pairs."""
        return dict(self.looks).get(pairs, self.looks[-1][1])


def with_own(judged: Judged, sample: gate.Sample) -> Effect:
    """The effect with the figure of each arm's requests."""
    own = gate.effect_of(judged.line, sample)
    return replace(judged.effect, baseline=own.baseline, candidate=own.candidate)


Verdicts = dict[str, list[Judged]]
"""Every line of each candidate, judged."""


def asked_of(scenario: CompareScenario) -> Asked:
    block = scenario.pairs.block if scenario.in_blocks else None
    slo = {} if scenario.slo is None else scenario.slo.limits
    return Asked(tuple(scenario.arms), scenario.lines, scenario.pairs.most, block, slo)


def undecided(scenario: CompareScenario, parts: Sequence[pd.DataFrame], pairs: int) -> bool:
    """Whether more pairs could change the verdict. Without a gate there is no verdict, and all pairs are wanted."""
    if scenario.gate is None:
        return True
    judged, _ = asked_of(scenario).look(pd.concat(parts, ignore_index=True), pairs, until_settled=True)
    return not settled(judged)


def settled(judged: Mapping[str, list[Judged]]) -> bool:
    """Whether a line of any candidate has failed, or all lines of all candidates have passed."""
    return gate.decided([one for lines in judged.values() for one in lines])


# -- the pilot ------------------------------------------------------------------------------------------------


def forecast(scenario: CompareScenario, rows: pd.DataFrame) -> str:
    """A sentence that estimates how many pairs, minutes and dollars are needed to decide every line."""
    asked = asked_of(scenario)
    pairs = int(rows["pair"].nunique())
    judged = asked.judge(rows, pairs, asked.looks[-1][1])
    first, alpha = asked.looks[0]
    if scenario.gate is not None and pairs < first and settled(asked.judge(rows, pairs, alpha)):
        return (
            f"After a pilot of {counted(pairs, 'pairs')}: the verdict is clear; it is judged after "
            f"{counted(first, 'pairs')}, and the run ends there if they agree."
        )
    needs = {result.line.title: needed(result, pairs) for lines in judged.values() for result in lines}
    known = [need for need in needs.values() if need is not None]
    unknown = [title for title, need in needs.items() if need is None]
    text = f"After a pilot of {counted(pairs, 'pairs')}: "
    if known:
        most = max(known)
        spent = float(rows["done"].max() - rows["sent"].min())
        slowest = next(title for title, need in needs.items() if need == most)
        text += f"deciding {slowest} takes about {counted(most, 'pairs')}, {duration(spent / pairs * most)}"
        each = cost_of_arms(rows, scenario)
        text += f" and {dollars(each / pairs * most)}" if each is not None else ""
        text += f"; at most {count(asked.most)} are sent"
        if most > asked.most:
            text += ", so it may end inconclusive"
        text += "." if not unknown else f". There is no estimate yet for {', '.join(unknown)}."
        return text
    return text + "there is no estimate yet of how many are needed."


def needed(judged: Judged, pairs: int) -> int | None:
    """Number of pairs that show or rule out a difference of the margin with 95 % probability; None if `pairs` pairs are
    too few for an estimate."""
    effect, line = judged.effect, judged.line
    if line.is_difference:
        bad = (effect.baseline or 0.0) + (effect.candidate or 0.0)  # the largest possible share of pairs with a failure
        return math.ceil((Z_BOTH**2 * bad / line.margin + Z_ONE**2) / line.margin)
    if effect.smallest is None or not 0.0 < (size := math.log(effect.smallest)) < WIDE:
        return None
    return max(1, math.ceil(pairs * (size / math.log1p(line.margin)) ** 2))


def cost_of_arms(rows: pd.DataFrame, scenario: CompareScenario) -> float | None:
    """The cost of these requests in US dollars; None if the price of an arm's model is unknown."""
    total = 0.0
    for name, arm in scenario.arms.items():
        price = arm.prices.get(arm.models[0])
        each = None if price is None else cost(rows[rows["arm"] == name], price, online=False)
        if each is None:
            return None
        total += each
    return total
