"""The lines of a comparison: the values of findings.json, and the sentences, table and verdict made from them.

A `Comparison` is made of a line of a gate, judged, whoever judged it: pairs of requests of one run, or runs kept on
disk. The wording says sooner and later, more and less; whether that is good is the line's `better`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bench.analysis.gate import Judged
from bench.analysis.numerals import WITHHELD, count, dollars, milliseconds, number, share
from bench.analysis.sections import MARKS, TONES, About, Badge, Cell, Column, Row, Section, Sentence, Table, capital
from bench.analysis.statistics import Effect, Interval, Verdict
from bench.metrics import METRICS, Better
from bench.plan.gate import TAIL, is_difference

COMPARED = "compared, not judged"
URGENCY = {"fail": 0, "inconclusive": 1}  # of a verdict; any other is last
NO_END = "no end"  # of an interval: so many requests failed that nothing bounds it
TIMES = 2.0  # from this ratio on the text is "2.1 times", not "110 % more"
Unit = Literal["pairs", "blocks", "runs", "requests"]

WORDS: dict[str, tuple[str, str, str, str]] = {
    "ttft": ("first token comes", "sooner", "later", "late"),
    "ttfa": ("first answer token comes", "sooner", "later", "late"),
    "e2e": ("answer is complete", "sooner", "later", "late"),
    "ttft_from_due": ("first token, from when the request was due, comes", "sooner", "later", "late"),
    "e2e_from_due": ("answer, from when the request was due, is complete", "sooner", "later", "late"),
    "tpot": ("time per output token is", "shorter", "longer", "long"),
    "itl": ("gap between tokens is", "shorter", "longer", "long"),
    "send_lag": ("send lag is", "shorter", "longer", "long"),
    "stream_tokens_per_s": ("text comes", "slower", "faster", "fast"),
    "requests_per_s": ("answers per second are", "fewer", "more", "many"),
    "attempts_per_request": ("attempts per request are", "fewer", "more", "many"),
    "cost_per_1000_usd": ("requests cost", "less", "more", "much"),
    "cost_per_good_usd": ("good answers cost", "less", "more", "much"),
}
"""What is said of an arm; the word for a smaller value, for a larger one, and for one so many times as large."""
DOES = {"error_rate": "fails", "goodput": "meets the SLO"}
"""What the requests that a share counts do."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of a candidate beside its baseline's. The first ten fields are the contract of findings.json."""

    metric: str  # as in bench.metrics
    statistic: str  # p50 … p99.9, mean or tail of a latency; share
    baseline: float | None  # the figure, s or a share of 1; None where it is that of a failed request, or there is none
    candidate: float | None
    ratio: float | None  # candidate / baseline; of a `difference` candidate − baseline; None: nothing to compare
    low: float | None  # of the 95 % interval of `ratio`
    high: float | None  # infinite if nothing bounds it; findings.json has null
    pairs: int  # pairs of requests that it was judged by; 0 where the runs have none in common
    smallest: float | None  # the ratio (or difference) that so many would probably have shown, such as 1.04
    verdict: Verdict | None  # None: compared, not judged
    reason: str  # of the verdict, in a sentence without its full stop; empty where there is none
    title: str  # as a gate writes it: ttft p50
    margin: float | None  # how much worse the candidate may be: 0.05 of a ratio, 0.005 of a difference; None: not asked
    better: Better
    difference: bool  # whether ratio, low, high, smallest and margin are differences of shares: 0.01 is one point
    arm: str = "candidate"  # the name of the candidate
    against: str = "baseline"
    unit: Unit = "pairs"  # what `of` counts
    of: int = 0  # how many of them it was judged by
    model: str | None = None  # that it is about; None: all of them
    stage: str | None = None  # that it is about, where a run has several
    request: str | None = None  # the request class that it is about; None: all of them
    spread: float | None = None  # standard deviation from run to run that it was judged by: 0.02 is 2 %, of a
    # `difference` 2 points; None of pairs within one run
    alone: str = ""  # the change that too few runs show by themselves; empty if they show none
    by_failures: int = 0  # failed requests without which the pairs would not show this difference; 0: they would, or
    # it is not shown
    assumed: bool = False  # whether that spread is assumed, since there are too few runs to measure it

    @property
    def shown(self) -> bool:
        """Whether the interval shows a difference."""
        if self.low is None or self.high is None:
            return False
        same = 0.0 if self.difference else 1.0
        return self.low > same or self.high < same


def comparison(
    judged: Judged,
    *,
    arm: str = "candidate",
    against: str = "baseline",
    unit: Unit = "pairs",
    decided: bool = True,
    by_failures: int = 0,
) -> Comparison:
    """The comparison that a judged line of pairs is; one that is not `decided` has no verdict."""
    line, effect = judged.line, judged.effect
    if line.is_difference and line.better == "higher":
        effect = of_good(effect)
    return Comparison(
        metric=line.metric,
        statistic=line.statistic,
        baseline=effect.baseline,
        candidate=effect.candidate,
        ratio=effect.ratio,
        low=effect.low,
        high=effect.high,
        pairs=effect.pairs,
        smallest=effect.smallest,
        verdict=judged.verdict if decided else None,
        reason=judged.reason if decided else "",
        title=line.title,
        margin=line.margin if decided else None,
        better=line.better,
        difference=line.is_difference,
        arm=arm,
        against=against,
        unit=unit,
        of=effect.pairs,
        by_failures=by_failures,
    )


def unjudged(
    metric: str,
    statistic: str,
    found: Interval | None,
    *,
    figures: tuple[float | None, float | None] = (None, None),
    arms: tuple[str, str] = ("baseline", "candidate"),
    unit: Unit = "requests",
    model: str | None = None,
    stage: str | None = None,
    reason: str = "",
) -> Comparison:
    """A comparison that nobody judges: the `figures` of the two `arms`, the baseline's first, and the ratio of the
    second to the first, or of shares their difference, with its interval; None if there is none."""
    return Comparison(
        metric=metric,
        statistic=statistic,
        baseline=figures[0],
        candidate=figures[1],
        ratio=None if found is None else found.estimate,
        low=None if found is None else found.low,
        high=None if found is None else found.high,
        pairs=found.n if found is not None and unit in ("pairs", "blocks") else 0,
        smallest=None,
        verdict=None,
        reason=reason,
        title=f"{metric} {statistic}" if METRICS[metric].kind == "latency" else metric,
        margin=None,
        better=METRICS[metric].better,
        difference=is_difference(statistic),
        arm=arms[1],
        against=arms[0],
        unit=unit,
        of=0 if found is None else found.n,
        model=model,
        stage=stage,
    )


def of_good(bad: Effect) -> Effect:
    """The effect on a share of good requests, from that on the share of bad ones."""

    def negative(value: float | None) -> float | None:
        return None if value is None else -value

    def rest(share: float | None) -> float | None:
        return None if share is None else 1.0 - share

    return replace(bad, baseline=rest(bad.baseline), candidate=rest(bad.candidate), ratio=negative(bad.ratio),
                   low=negative(bad.high), high=negative(bad.low))  # fmt: skip


# -- in words -------------------------------------------------------------------------------------------------


def headlines(comparisons: Sequence[Comparison]) -> list[str]:
    """What a person can repeat, a sentence for each arm, model, stage, request class and metric, without its full stop;
    what fails comes first, then what is inconclusive, otherwise they are in the gate's order:

    candidate's first token comes 12 % sooner [9 %, 15 %] at p50; no difference at p95 can be shown with 800 pairs
    """
    subjects: dict[tuple[str | None, ...], list[Comparison]] = {}
    for one in comparisons:
        subjects.setdefault(subject(one), []).append(one)
    several = len({one.model for one in comparisons}) > 1
    return [
        ": ".join(filter(None, (where(mine[0], models=several), sentence(mine))))
        for mine in sorted(subjects.values(), key=urgency)
    ]


def where(one: Comparison, *, models: bool) -> str:
    """The model, the stage and the request class that it is about; without the model where there is one."""
    return ", ".join(filter(None, (one.model if models else None, one.stage, one.request)))


def urgency(mine: Sequence[Comparison]) -> tuple[int, bool]:
    """The place of a sentence by the worst verdict in it: the lowest is said first. What is only so since requests
    failed comes after the failures themselves."""
    worst = min(URGENCY.get(one.verdict or "", len(URGENCY)) for one in mine)
    return worst, any(one.by_failures for one in mine)


def subject(one: Comparison) -> tuple[str | None, ...]:
    """The subject of a sentence; rare slow requests have sentences of their own."""
    return (
        one.arm,
        one.against,
        one.model,
        one.stage,
        one.request,
        f"{one.metric} {one.statistic}" if one.difference else one.metric,
    )


def sentence(mine: Sequence[Comparison]) -> str:
    """The comparisons of one metric in one sentence: first the differences, then the rest."""
    first = mine[0]
    if first.difference:
        return difference_told(first)
    told = [one for one in mine if one.shown]
    parts = []
    if told:
        says, *_ = words_of(first.metric)
        changes = dict.fromkeys(f"{change(one)}{at(one)}{since_failures(one)}" for one in told)
        parts.append(f"{first.arm}'s {says} " + ", ".join(changes))
    failing = [one for one in mine if failed_arm(one) is not None]
    for arm in dict.fromkeys(map(failed_arm, failing)):
        places = " and ".join(dict.fromkeys(one.statistic for one in failing if failed_arm(one) == arm))
        has = f"its {title_of(first)} at {places} is the time of a failure"
        has = has if METRICS[first.metric].kind == "latency" else f"it has no {title_of(first)}"
        parts.append(f"{'so' if parts else 'So'} many of {arm}'s requests fail that {has}")
    for quiet in dict.fromkeys(nothing_shown(one) for one in mine if not one.shown and one not in failing):
        parts.append(quiet if parts else f"{capital(title_of(first))} of {first.arm}: {quiet}")
    return "; ".join(parts)


def since_failures(one: Comparison) -> str:
    """That the difference is one of failures alone; empty if answers show it."""
    if not one.by_failures:
        return ""
    arm = one.arm if (one.ratio or math.inf) > 1.0 else one.against
    many = one.by_failures
    whose = f"a failed request of {arm} counts" if many == 1 else f"{many:,} failed requests of {arm} count"
    return f" since {whose} as slower than any answer (answers alone show no such difference)"


def failed_arm(one: Comparison) -> str | None:
    """The arm that has no figure since its requests fail, while the other one has it; None if there is none. A figure
    that nothing was judged by is missing for other reasons."""
    if not one.of or (one.baseline is None) == (one.candidate is None):
        return None
    return one.against if one.baseline is None else one.arm


def nothing_shown(one: Comparison) -> str:
    """What is known if no difference was found."""
    if one.ratio is None and one.of and one.baseline and one.candidate:
        return f"so many requests fail that a difference{at(one)} has no size"
    if one.ratio is None:
        return f"nothing{at(one)} can be compared"
    if one.verdict == "pass" and one.margin is not None:
        return f"no more than {percent(one.margin)} worse{at(one)}, as {judged_by(one)} show"
    return f"no difference{at(one)} can be shown with {judged_by(one)}"


def at(one: Comparison) -> str:
    """The percentile in words; empty for a figure of one number."""
    return f" at {one.statistic}" if METRICS[one.metric].kind == "latency" else ""


def difference_told(one: Comparison) -> str:
    """A difference of shares, in points: failures, and requests that are much slower than their partner."""
    what = "is by far the slower one" if one.statistic == TAIL else DOES.get(one.metric, f"has {title_of(one)}")
    worse = "less" if one.better == "higher" else "more"
    where = f" ({title_of(one)})" if one.statistic == TAIL else ""
    if one.ratio is None:
        return f"Whether {one.arm} {what} {worse} often{where} cannot be said"
    if one.shown:
        word = "more" if one.ratio > 0 else "less"
        return f"{one.arm} {what} {word} often{where}: by {points(abs(one.ratio))} {interval(one)}"
    if one.verdict == "pass" and one.margin is not None:
        return f"{one.arm} {what} at most {points(one.margin)} {worse} often{where}, as {judged_by(one)} show"
    return f"Whether {one.arm} {what} {worse} often{where} cannot be shown with {judged_by(one)}"


def change(one: Comparison) -> str:
    """How the candidate's figure differs: 12 % sooner [9 %, 15 %], or 2.1 times as long [1.9, 2.3]; where failures
    leave one end of the interval open, what is sure of it: at least 9 % sooner."""
    if one.ratio is None:
        return WITHHELD
    if one.shown and not one.difference and (one.low == 0.0 or one.high == math.inf):
        nearest = one.high if one.low == 0.0 else one.low
        return f"at least {change(replace(one, ratio=nearest, low=None, high=None))}"
    if one.difference:
        ends = "" if one.low is None or one.high is None else f" [{signed(one.low)}, {signed(one.high)}]"
        return f"{signed(one.ratio)} {'point' if signed(abs(one.ratio)) == '+1' else 'points'}{ends}"
    _, smaller, larger, large = words_of(one.metric)
    if one.ratio >= TIMES:
        return f"{number(one.ratio)} times as {large} {interval(one)}".rstrip()
    word = smaller if one.ratio < 1.0 else larger
    return f"{percent(abs(one.ratio - 1.0))} {word} {interval(one)}".rstrip()


def interval(one: Comparison) -> str:
    """The 95 % interval in the words of the change itself, its smaller end first; empty without an interval."""
    if one.ratio is None or one.low is None or one.high is None:
        return ""
    if one.difference:
        low, high = (one.low, one.high) if one.ratio >= 0 else (-one.high, -one.low)
        return f"[{signed(low).removeprefix('+')}, {signed(high).removeprefix('+')}]"
    if one.ratio >= TIMES:
        return f"[{number(one.low)}, {NO_END if math.isinf(one.high) else number(one.high)}]"
    low, high = (one.low - 1.0, one.high - 1.0) if one.ratio >= 1.0 else (1.0 - one.high, 1.0 - one.low)
    return f"[{', '.join(NO_END if math.isinf(end) else percent(end) for end in (low, high))}]"


def words_of(metric: str) -> tuple[str, str, str, str]:
    return WORDS.get(metric, (f"{METRICS[metric].title} is", "lower", "higher", "high"))


def title_of(one: Comparison) -> str:
    return METRICS[one.metric].title


def judged_by(one: Comparison) -> str:
    return f"{count(one.of)} {one.unit}"


def percent(value: float) -> str:
    """A share of 1 as people say it: 12 %, 4.8 %, 0.31 %."""
    size = abs(value) * 100
    told = f"{size:,.{0 if size >= 9.95 else 1 if size >= 0.95 else 2}f}"
    told = told.rstrip("0").rstrip(".") if "." in told else told
    return f"{'−' if value < 0 and told != '0' else ''}{told} %"


def points(value: float) -> str:
    """A difference of shares without its sign: 1.5 points."""
    told = signed(abs(value)).removeprefix("+")
    return f"{told} {'point' if told == '1' else 'points'}"


def signed(value: float) -> str:
    """A difference of shares in points with its sign, two digits: +1.5."""
    size = abs(value) * 100
    told = f"{size:.0f}" if size >= 9.95 or size < 0.005 else f"{size:.2g}"
    return told if told == "0" else f"{'−' if value < 0 else '+'}{told}"


# -- as parts of a report -------------------------------------------------------------------------------------


def badge(verdict: Verdict | None) -> Badge:
    """The verdict of all lines together."""
    return Badge(COMPARED) if verdict is None else Badge(verdict, TONES[verdict])


def sections_of(
    comparisons: Sequence[Comparison],
    *,
    notes: Sequence[str] = (),
    doubts: Sequence[str] = (),
    told: int = 0,
) -> tuple[Section, ...]:
    """The part of a report that every comparison opens with: what can be repeated, what to know, and the table.

    `notes` are sentences on how it was compared, `doubts` what weakens it; the first `told` headlines are left out,
    since the report's heading has them.
    """
    said = tuple(Sentence(f"{one}.") for one in headlines(comparisons)[told:])
    parts = (
        *said,
        *(Sentence(note) for note in notes),
        *(Sentence(doubt, "doubt") for doubt in doubts),
        *((table(comparisons),) if comparisons else ()),
    )
    return (Section("comparison", "Comparison", parts),)


def table(comparisons: Sequence[Comparison]) -> Table:
    """A row for each comparison."""
    arms = len({(one.arm, one.against) for one in comparisons}) > 1
    models, stages = (len({getattr(one, name) for one in comparisons}) > 1 for name in ("model", "stage"))
    first = comparisons[0]
    judged, alone = (any(getattr(one, name) for one in comparisons) for name in ("verdict", "alone"))
    columns = [
        *([Column("verdict", text=True)] if judged else []),
        Column("figure", text=True, code=True),
        *([Column("of", text=True)] if arms else []),
        *([Column("model", text=True)] if models else []),
        *([Column("stage", text=True)] if stages else []),
        Column("baseline" if arms else first.against),
        Column("candidate" if arms else first.arm),
        Column("change", "95 % interval", text=True),
        *([Column("margin", rank=1)] if judged else []),
        Column("smallest", "that would show", rank=3, meaning=SMALLEST),
        *([Column("alone", "by these runs", text=True, rank=4)] if alone else []),
        Column(first.unit, rank=2, meaning=f"{first.unit} that it was judged by"),
    ]
    if judged:
        columns.append(Column("why", text=True, rank=9))
    rows = tuple(row(one, judged=judged, arms=arms, models=models, stages=stages, alone=alone) for one in comparisons)
    return Table("comparison", "Each figure", tuple(columns), rows)


SMALLEST = "the smallest change that so many would have shown with 95 % probability"


def row(one: Comparison, *, judged: bool, arms: bool, models: bool, stages: bool, alone: bool) -> Row:
    verdict = (
        Cell("not judged")
        if one.verdict is None
        else Cell(f"{MARKS[one.verdict]} {one.verdict}", tone=TONES[one.verdict])
    )
    return Row(
        (
            *([verdict] if judged else []),
            Cell(one.title, detail=one.reason or None if one.ratio is None and not judged else None),
            *([Cell(f"{one.arm} against {one.against}")] if arms else []),
            *([Cell(one.model or "all")] if models else []),
            *([Cell(one.stage or "all")] if stages else []),
            Cell(figure(one, one.baseline), one.baseline),
            Cell(figure(one, one.candidate), one.candidate),
            Cell(change(one), one.ratio),
            *([Cell(size(one, one.margin), one.margin)] if judged else []),
            Cell(size(one, smallest(one)), one.smallest),
            *([Cell(one.alone)] if alone else []),
            Cell(count(one.of), one.of),
            *([Cell(one.reason)] if judged else []),
        ),
        About(model=one.model, stage=one.stage, name=one.request),
    )


def figure(one: Comparison, value: float | None) -> str:
    """An arm's figure with its unit."""
    if value is None:
        return WITHHELD
    if one.difference:
        return share(value)
    metric = METRICS[one.metric]
    if metric.unit == "USD":
        return dollars(value)
    return f"{milliseconds(value)} ms" if metric.kind == "latency" else f"{number(value)}{metric.unit}"


def smallest(one: Comparison) -> float | None:
    """The smallest effect as a change: 0.04 where the ratio is 1.04."""
    if one.smallest is None:
        return None
    return one.smallest if one.difference else one.smallest - 1.0


def size(one: Comparison, value: float | None) -> str:
    if value is None:
        return WITHHELD
    return points(value) if one.difference else percent(value)
