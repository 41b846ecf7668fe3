"""Looks at the pairs of a comparison: the same while it runs, to end a clear case, and afterwards, from its records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from bench.analysis import figures, gate
from bench.analysis.gate import Judged
from bench.analysis.numerals import count, dollars, duration
from bench.analysis.pairs import samples
from bench.analysis.statistics import Effect
from bench.experiments.compare.question import CompareScenario
from bench.plan.gate import Line

Z_ONE, Z_BOTH = 1.96, 3.29
"""Standard normal quantiles: of one side at 2.5 %, and of both kinds of error at 5 % (their sum)."""
WIDE = 3.0
"""Log ratios beyond this say that so few pairs cannot tell."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a comparison is judged by."""

    arms: tuple[str, ...]  # the baseline first
    lines: tuple[Line, ...]
    most: int  # pairs
    block: int | None  # pairs that are judged together; None: each by itself

    @property
    def candidates(self) -> tuple[str, ...]:
        return self.arms[1:]

    @property
    def looks(self) -> list[tuple[int, float]]:
        """After how many pairs there is a look, and its share of the error probability, which the candidates share."""
        return [(pairs, alpha / max(1, len(self.candidates))) for pairs, alpha in gate.looks(self.most)]

    def judge(self, rows: pd.DataFrame, pairs: int, alpha: float) -> Verdicts:
        """Every line of each candidate at one look, by the first so many pairs."""
        found = {}
        for candidate in self.candidates:
            of = samples(rows, self.lines, self.arms[0], candidate, first=pairs, block=self.block)
            judged = gate.judge(self.lines, of, alpha, blocks=self.block is not None)
            if self.block is not None:  # each arm's own figure is that of its requests, not of its blocks
                each = samples(rows, self.lines, self.arms[0], candidate, first=pairs)
                judged = [replace(one, effect=with_own(one, each[one.line])) for one in judged]
            found[candidate] = judged
        return found

    def look(self, rows: pd.DataFrame, pairs: int, *, until_settled: bool) -> tuple[Verdicts, int]:
        """What the looks show of so many pairs that there are: every line of each candidate, and after how many pairs
        that was. With `until_settled` the looks end as soon as more pairs could change nothing.

        A run that was ended before its last look is judged once more by the pairs that it has.
        """
        judged: Verdicts = {candidate: [] for candidate in self.candidates}
        for most, alpha in [*((most, alpha) for most, alpha in self.looks if most < pairs), (pairs, self.last(pairs))]:
            now = self.judge(rows, most, alpha)
            judged = {candidate: gate.kept(lines, judged[candidate]) for candidate, lines in now.items()}
            if until_settled and settled(judged):
                return judged, most
        return judged, pairs

    def last(self, pairs: int) -> float:
        """The share of the error probability that a look at so many pairs has."""
        return dict(self.looks).get(pairs, self.looks[-1][1])


def with_own(judged: Judged, sample: gate.Sample) -> Effect:
    """The effect with the figure of each arm's requests."""
    own = gate.effect_of(judged.line, sample)
    return replace(judged.effect, baseline=own.baseline, candidate=own.candidate)


Verdicts = dict[str, list[Judged]]
"""Every line of each candidate, judged."""


def asked_of(scenario: CompareScenario) -> Asked:
    block = scenario.pairs.block if scenario.in_blocks else None
    return Asked(tuple(scenario.arms), scenario.lines, scenario.pairs.most, block)


def undecided(scenario: CompareScenario, parts: Sequence[pd.DataFrame], pairs: int) -> bool:
    """Whether more pairs than these could change a verdict. Without a gate there is none, and all pairs are wanted."""
    if scenario.gate is None:
        return True
    judged, _ = asked_of(scenario).look(pd.concat(parts, ignore_index=True), pairs, until_settled=True)
    return not settled(judged)


def settled(judged: Mapping[str, list[Judged]]) -> bool:
    """Whether a line of any candidate has failed, or all of all have passed."""
    return gate.decided([one for lines in judged.values() for one in lines])


# -- the pilot ------------------------------------------------------------------------------------------------


def forecast(scenario: CompareScenario, rows: pd.DataFrame) -> str:
    """How many pairs, minutes and dollars it may take to decide every line, in a sentence."""
    asked = asked_of(scenario)
    pairs = int(rows["pair"].nunique())
    judged = asked.judge(rows, pairs, asked.looks[-1][1])
    needs = {one.line.title: needed(one, pairs) for lines in judged.values() for one in lines}
    known = [need for need in needs.values() if need is not None]
    unknown = [title for title, need in needs.items() if need is None]
    told = f"After a pilot of {count(pairs)} pairs: "
    if known:
        most = max(known)
        spent = float(rows["done"].max() - rows["sent"].min())
        slowest = next(title for title, need in needs.items() if need == most)
        told += f"deciding {slowest} takes about {count(most)} pairs, {duration(spent / pairs * most)}"
        each = cost(rows, scenario)
        told += f" and {dollars(each / pairs * most)}" if each is not None else ""
        told += f"; at most {count(asked.most)} are sent"
        if most > asked.most:
            told += ", so it may end inconclusive"
        told += "." if not unknown else f". Not yet to be said of {', '.join(unknown)}."
        return told
    return told + "it cannot yet be said how many it takes."


def needed(one: Judged, pairs: int) -> int | None:
    """Pairs after which a difference of the margin would be shown, or ruled out, with 95 % probability; None if so few
    cannot tell."""
    effect, line = one.effect, one.line
    if line.is_difference:
        bad = (effect.baseline or 0.0) + (effect.candidate or 0.0)  # at most so many pairs have one that failed
        return math.ceil((Z_BOTH**2 * bad / line.margin + Z_ONE**2) / line.margin)
    if effect.smallest is None or not 0.0 < (size := math.log(effect.smallest)) < WIDE:
        return None
    return max(1, math.ceil(pairs * (size / math.log1p(line.margin)) ** 2))


def cost(rows: pd.DataFrame, scenario: CompareScenario) -> float | None:
    """What requests cost, in dollars; None if the price of an arm's model is not known."""
    total = 0.0
    for name, arm in scenario.arms.items():
        price = arm.prices.get(arm.models[0])
        each = None if price is None else figures.cost(rows[rows["arm"] == name], price, online=False)
        if each is None:
            return None
        total += each
    return total
