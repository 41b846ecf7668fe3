"""Models side by side as parts of a report: sentences that a person can repeat, the table, and what was not tested."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.columns import WITH_WAITS
from bench.analysis.comparison import (
    DOES,
    Comparison,
    at,
    change,
    figure,
    interval,
    nothing_shown,
    points,
    title_of,
    words_of,
)
from bench.analysis.model_comparison import FIGURES, LEFT_OUT
from bench.analysis.numerals import WITHHELD
from bench.analysis.sections import About, Cell, Column, Part, Row, Sentence, Table, Tone, capital
from bench.analysis.unpaired import PARTS
from bench.metrics import METRICS

FIRST = (("e2e_from_due", "p50"), ("ttft", "p50"), ("e2e", "p50"))
"""The figures that a sentence begins with: the first of them that exists."""
THEN = (
    "attempts_per_request", "requests_per_s", "ttft", "stream_tokens_per_s", "e2e", "error_rate", "goodput",
    "cost_per_1000_usd",
)  # fmt: skip
"""The figures that it goes on with if they differ."""
OF_ONE_ATTEMPT = ("ttft", "e2e")
"""The latencies that leave out earlier attempts and waits."""
HOW = (
    "In brackets are 95 % intervals, from how much the figures vary between "
    f"{PARTS} equal parts of the time. Latencies are of answers without error; how many failed stands beside them."
)
CLASSES_DIFFER = "Request classes ask for different things: a shorter answer is complete sooner, and that is no merit."
NOT_TESTED = (
    "Not tested: whether a difference is large enough to matter, and whether it stays. For a pass or a fail, ask with "
    "kind: compare, which sends every prompt to both, in random order."
)


def of_models(found: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons of models."""
    return [one for one in found if one.model is None]


def of_classes(found: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons of the request classes of one model."""
    return [one for one in found if one.model is not None]


def comparison_parts(found: Sequence[Comparison]) -> list[Part]:
    """The table of several models, and what was not tested; nothing of one. What can be repeated is at the top of the
    report, see bench.analysis.glance."""
    if not found:
        return []
    notes = [*not_compared(found), *left_out(found), NOT_TESTED]
    return [comparison_table(found), *map(Sentence, notes)]


# -- in a sentence --------------------------------------------------------------------------------------------


def said(found: Sequence[Comparison], *, during: str = "") -> dict[str, str]:
    """The sentences on one stage by model, of each but the first that can be compared; `during` says which stage."""
    told = {}
    for arm in dict.fromkeys(one.arm for one in found):
        mine = [one for one in found if one.arm == arm]
        if text := clauses(mine):
            told[arm] = capital(f"{during}compared with {mine[0].against}, {'; '.join(text)}.")
    return told


def clauses(mine: Sequence[Comparison]) -> list[str]:
    """The most important latency first, then everything else that differs."""
    known = {(one.metric, one.statistic): one for one in mine if one.ratio is not None}
    first = next((known[key] for key in FIRST if key in known), None)
    if first is None:
        return []
    rest = [
        one
        for (metric, statistic), one in known.items()
        if metric in THEN and one is not first and one.shown and statistic != "p95"
    ]
    told = [leading(first), *(following(one) for one in rest)]
    if first.metric == "e2e_from_due":
        place = next((place for place, one in enumerate(rest, start=1) if one.metric in OF_ONE_ATTEMPT), None)
        if place is not None:
            told[place] = f"of the answered attempts alone, {told[place]}"
    return told


def leading(one: Comparison) -> str:
    if not one.shown:
        return f"{title_of(one)} of {one.arm}: {nothing_shown(one)}"
    says, *_ = words_of(one.metric)
    return f"{one.arm}'s {says} {change(one)}{at(one)}"


def following(one: Comparison) -> str:
    if one.difference:
        assert one.ratio is not None
        return (
            f"it {DOES[one.metric]} {'more' if one.ratio > 0 else 'less'} often, by {points(one.ratio)} {interval(one)}"
        )
    says, *_ = words_of(one.metric)
    return f"its {says} {change(one)}{at(one)}"


def not_compared(found: Sequence[Comparison]) -> list[str]:
    """Why some figures have no difference, a sentence for each reason, with the stages where it is not that of all."""
    reasons: dict[str, dict[str, None]] = {}
    places: dict[str, dict[str | None, None]] = {}
    for one in found:
        if one.ratio is None:
            reasons.setdefault(one.reason, {})[name_of(one)] = None
            places.setdefault(one.reason, {})[one.stage] = None
    every = {one.stage for one in found}
    told = []
    for reason, names in reasons.items():
        where = "" if places[reason].keys() == every else f" at {', '.join(filter(None, places[reason]))}"
        told.append(f"Not compared{where}: {', '.join(names)}; {reason}.")
    return told


def left_out(found: Sequence[Comparison]) -> list[str]:
    """Which figures of these models are not compared where there are several stages."""
    if len({one.stage for one in found}) < 2:
        return []
    metrics = {one.metric for one in found}
    names = [f"{METRICS[metric].title} {stat}" for metric, stat in FIGURES if stat == LEFT_OUT and metric in metrics]
    which = " and ".join(names)
    return [f"Left out, since there are several stages: {which}, which the table of figures has."] if names else []


# -- as a table -----------------------------------------------------------------------------------------------


def comparison_table(found: Sequence[Comparison]) -> Table:
    """A row for each figure that one of them has; where there are more than two models, or several stages, of each."""
    several = len({one.arm for one in found}) > 1
    staged = len({one.stage for one in found}) > 1
    against, what = found[0].against, "model" if found[0].model is None else "class"
    columns = (
        Column("figure", text=True),
        *([Column(what, text=True)] if several else []),
        *([Column("stage", text=True)] if staged else []),
        Column(against),
        Column(f"this {what}" if several else found[0].arm),
        Column("difference", "95 % interval", text=True),
        Column("beyond chance", text=True, rank=1, meaning="whether the interval leaves out that there is none"),
    )
    shown = [one for one in found if one.baseline is not None or one.candidate is not None]
    rows = tuple(comparison_row(one, several=several, staged=staged) for one in shown)
    notes = [HOW]
    notes += [CLASSES_DIFFER] if found[0].model is not None else []
    notes += [WITH_WAITS] if any(one.metric == "e2e_from_due" for one in found) else []
    return Table(
        "models" if found[0].model is None else "classes-side-by-side",
        f"Each figure beside that of {against}",
        columns,
        rows,
        " ".join(notes),
    )


def comparison_row(one: Comparison, *, several: bool, staged: bool) -> Row:
    return Row(
        (
            Cell(name_of(one), meaning=METRICS[one.metric].formula),
            *([Cell(one.arm)] if several else []),
            *([Cell(one.stage or "")] if staged else []),
            Cell(figure(one, one.baseline), one.baseline),
            Cell(figure(one, one.candidate), one.candidate),
            Cell(change(one), one.ratio, tone_of(one) if one.model is None else "plain"),
            Cell(WITHHELD if one.ratio is None else "yes" if one.shown else "no"),
        ),
        About(model=one.arm, stage=one.stage) if one.model is None else About(one.model, one.arm, one.stage),
    )


def name_of(one: Comparison) -> str:
    """TTFT p50, error rate."""
    title = METRICS[one.metric].title
    return f"{title} {one.statistic}" if METRICS[one.metric].kind == "latency" else title


def tone_of(one: Comparison) -> Tone:
    """Whether a difference beyond chance is for the better."""
    if not one.shown or one.ratio is None or one.better == "neither":
        return "plain"
    higher = one.ratio > (0.0 if one.difference else 1.0)
    return "good" if higher == (one.better == "higher") else "bad"
