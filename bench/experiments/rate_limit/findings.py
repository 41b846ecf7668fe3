"""What a run says about a provider's rate limits, from its folder alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from pydantic import ValidationError

from bench.analysis.conclusion import BARE, Conclusion
from bench.analysis.gate import worst
from bench.analysis.numerals import count, counted, duration, number
from bench.analysis.run import Run
from bench.analysis.sections import (
    MARKS,
    TONES,
    Axis,
    Cell,
    Chart,
    Column,
    Mark,
    Row,
    Section,
    Sentence,
    Series,
    Table,
    Tone,
    capital,
)
from bench.analysis.stages import read_steps
from bench.analysis.stops import stop_of
from bench.analysis.summary import Verdict
from bench.experiments.rate_limit.candidates import Candidate, search
from bench.experiments.rate_limit.clauses import clauses_of
from bench.experiments.rate_limit.limits import Limit, limits_of
from bench.experiments.rate_limit.promise import Clause, is_let_in
from bench.experiments.rate_limit.question import RateLimitScenario
from bench.experiments.rate_limit.replay import CANDIDATE_KINDS, Trials, readings, rows
from bench.experiments.rate_limit.requests import Costs
from bench.records import Record, files_of, read_records
from bench.records.steps import STEPS_FILE

ON_LABEL = 0.25  # of a category axis: where the labels stand
FAILURES = 3  # clauses that the headline names

ADVICE: dict[str, str] = {
    "fixed_window": "Windows begin by the provider's clock. A full burst at the beginning of one is fine; who comes "
    "when it is used up waits until it ends.",
    "fixed_window_from_first": "A window begins with the first request after the last one is over. A full burst is "
    "fine; who comes when it is used up waits until it ends.",
    "sliding_log": "Each request counts for one window from its own moment. Room comes back as earlier ones grow old.",
    "sliding_log_counting_rejects": "Refused requests count too. Never try again at once; wait a whole window.",
    "sliding_counter": "Room comes back little by little. Spread requests evenly.",
    "token_bucket": "Room comes back at a steady rate. A burst above the limit is refused, however little was sent "
    "before.",
    "concurrency": "What counts is how many requests are under way. A new one is admitted as soon as one has ended.",
}
"""What each kind of limiter means for who sends requests."""


def findings(run: Run) -> Conclusion:
    """The limits found and the clauses judged."""
    written = json.loads(run.understood.scenario_text)
    records = [one for path in files_of(run.folder, "records") for one in read_records(path)]
    scenario = asked(written)
    if scenario is None:
        return Conclusion()
    model = scenario.models[0]
    costs = Costs(scenario, records)
    found = limits_of(scenario.discover, model, records, costs)
    judged = [] if scenario.contract is None else clauses_of(scenario, records, planned(run))
    limits = [limit for limit, _ in found]
    ended = run.end.stopped_by
    return Conclusion(
        sections=tuple(sections(found, judged, records, ended, run.end.because)),
        verdict=verdict(limits, judged),
        document={
            "limits": [entry(one) for one in limits],
            "clauses": [asdict(one) for one in judged],
            "ended_by": ended,
        },
        headline=headline(limits, judged, begun=(stop := stop_of(ended)) is not None and bool(stop.headline)),
        general=BARE,
    )


def planned(run: Run) -> dict[str, int]:
    """How many requests the steps of each name were to send."""
    found: dict[str, int] = {}
    for step in read_steps(run.folder / STEPS_FILE):
        found[step.name] = found.get(step.name, 0) + step.planned
    return found


def asked(written: dict[str, Any]) -> RateLimitScenario | None:
    """The scenario of a run, whose secrets are hidden; None if this version cannot read it."""
    known = {name: value for name, value in written.items() if name in RateLimitScenario.model_fields}
    try:
        return RateLimitScenario.model_validate({name: value for name, value in known.items() if value is not None})
    except ValidationError:
        return None


def entry(limit: Limit) -> dict[str, Any]:
    """A limit as findings.json has it."""
    told = {name: getattr(limit, name) for name in Limit.__slots__ if name != "candidates"}
    return told | {"candidates": [candidate(one) for one in limit.candidates]}


def candidate(one: Candidate) -> dict[str, Any]:
    """A candidate as findings.json has it: its ranges, in the words of a limit."""
    window = None if one.kind in ("token_bucket", "concurrency") else one.span
    return {
        "kind": one.kind,
        "unexplained": one.unexplained,
        "far": one.far,
        "limit": one.limit,
        "window_s": window,
        "rate_per_s": one.span if one.kind == "token_bucket" else None,
        "odd": one.odd,
    }


def verdict(limits: Sequence[Limit], clauses: Sequence[Clause]) -> Verdict:
    """The verdict of the run: by its clauses or, without any, by whether the limits are known."""
    if clauses:
        return worst({one.verdict for one in clauses})
    return "measured" if all(limit.sure for limit in limits) else "inconclusive"


def headline(limits: Sequence[Limit], clauses: Sequence[Clause], *, begun: bool = False) -> str:
    """The answer in sentences; `begun`: the first goes on from what ended the run early."""
    told = [one.says for one in limits]
    if clauses:
        failed = [one for one in clauses if one.verdict == "fail"]
        open_ = [one for one in clauses if one.verdict == "inconclusive"]
        text = f"{len(clauses) - len(failed) - len(open_)} of {counted(len(clauses), 'clauses')} of the contract hold"
        text += f", {len(failed)} {'does' if len(failed) == 1 else 'do'} not" if failed else ""
        text += f", {len(open_)} could not be told" if open_ else ""
        told.insert(0, text)
        more = [f"and {len(failed) - FAILURES} more"] if len(failed) > FAILURES else []
        told[1:1] = ["Broken: " + "; ".join([one.clause for one in failed[:FAILURES]] + more)] if failed else []
    return ". ".join(text if begun and not place else capital(text) for place, text in enumerate(told))


# -- the report -----------------------------------------------------------------------------------------------


def sections(
    found: Sequence[tuple[Limit, Trials]],
    clauses: Sequence[Clause],
    records: Sequence[Record],
    ended: str,
    why: str | None,
) -> list[Section]:
    """The answer, with what it is told from."""
    made = []
    if (stop := stop_of(ended)) is not None:
        reason = stop.sentence + (f": {why.rstrip('.')}" if why else "")
        text = f"{capital(reason)}. What was learned up to then follows."
        made.append(Section("ended", "Ended early", (Sentence(text, "doubt"),)))
    if clauses:
        made.append(Section("contract", "The contract", (contract_table(clauses),)))
    for limit, trials in found:
        name = limit.asked
        parts: list[Any] = [Sentence(f"{capital(limit.says)}.", "good" if limit.sure else "doubt")]
        if limit.kind is not None:
            parts.append(Sentence(ADVICE[limit.kind]))
            parts.append(Sentence(within(trials)))
        if limit.unless_round_s is not None:
            shortest, longest = map(duration, limit.unless_round_s)
            text = (
                f"Windows of no round length, from {shortest} to {longest}, would explain as much; few limits have one."
            )
            parts.append(Sentence(text, "doubt"))
        if limit.candidates:
            parts.append(candidates_table(limit))
        if len(trials):
            parts.append(chart(limit, trials))
        made.append(Section(f"limit-{name}", f"Limit of {name}", tuple(parts)))
    if clauses:
        made.append(Section("tests", "What was sent", tuple(test_charts(records))))
    return [section for section in made if section.parts]


def within(trials: Trials) -> str:
    """Of what the answer is told, and what it cannot tell."""
    text = f"This is told from {counted(int(trials.admitted.sum()), 'admitted requests')} within "
    text += f"{duration(float(trials.at[-1] - trials.at[0]))}. "
    return text + "A second limit with a longer window, of a minute or a day, shows only if it is reached."


def contract_table(clauses: Sequence[Clause]) -> Table:
    """A row for each clause, its evidence below it."""
    columns = (Column("verdict", text=True), Column("clause", text=True))
    made = tuple(
        Row(
            (
                Cell(f"{MARKS[one.verdict]} {one.verdict}", tone=TONES[one.verdict]),
                Cell(one.clause, detail=one.evidence),
            )
        )
        for one in clauses
    )
    return Table("clauses", "Clauses", columns, made)


def candidates_table(limit: Limit) -> Table:
    """A row for each kind of limiter."""
    columns = (
        Column("limiter", text=True),
        Column("unexplained", meaning="requests that even its best parameters do not explain"),
        Column("by far", meaning="those of them that it is more than two requests from explaining"),
        Column("limit"),
        Column("window", "s"),
        Column("rate", "/s"),
    )
    made = []
    for place, one in enumerate(limit.candidates):
        bucket, at_once = one.kind == "token_bucket", one.kind == "concurrency"
        window = "" if bucket or at_once else span_told(one.span) + (", not round" if one.odd else "")
        rate = span_told(one.span) if bucket else ""
        tone: Tone = "good" if place == 0 and limit.sure else "plain"
        made.append(Row((
            Cell(CANDIDATE_KINDS[one.kind], tone=tone),
            Cell(count(one.unexplained), one.unexplained),
            Cell(count(one.far), one.far),
            Cell(span_told(one.limit), one.limit[0]),
            Cell(window),
            Cell(rate),
        )))  # fmt: skip
    note = f"Of {counted(limit.requests, 'requests')} {count(limit.refused)} were refused. "
    note += "A request unexplained by far counts as three, a window that is not round as two."
    return Table(f"candidates-{limit.asked}", "What would explain it", columns, tuple(made), note)


def span_told(values: tuple[float, float]) -> str:
    """60, or 58 to 62."""
    low, high = (f"{one:,.4g}" if one < 10000 else f"{one:,.0f}" for one in values)
    return low if low == high else f"{low} to {high}"


def chart(limit: Limit, trials: Trials) -> Chart:
    """Admitted and refused requests over time, each as high as what the fitted limiter had used with it."""
    fitted = None
    if limit.candidates and limit.limit is not None and limit.kind not in (None, "concurrency"):
        fitted = fitted_use(limit, trials)
    series, place = list[Series](), np.cumsum(np.ones(len(trials))) if fitted is None else fitted
    for title, chosen, role in (("admitted", trials.admitted, "good"), ("refused", ~trials.admitted, "bad")):
        series.append(Series(title, trials.at[chosen], place[chosen], "points", role))
    says = f"Of {counted(len(trials), 'requests')} {int(trials.admitted.sum())} were admitted."
    height = "requests so far" if fitted is None else "used, as fitted"
    marks = () if fitted is None or limit.limit is None else (Mark(limit.limit, f"limit {limit.limit:,.0f}"),)
    return Chart(
        f"limit-{limit.asked}", f"Admitted and refused: {limit.asked}", says,
        Axis("time", "s", begin=float(trials.at[0]) - 0.5, end=float(trials.at[-1]) + 0.5),
        Axis(height, begin=0.0, end=1.08 * float(place.max()) + 0.5),
        tuple(series), marks, time=True,
    )  # fmt: skip


def fitted_use(limit: Limit, trials: Trials) -> np.ndarray | None:
    """What the fitted limiter would have used with each request, the request included."""
    best = limit.candidates[0]
    found = search(trials, [best.kind])[best.kind].best(0.0)
    row = found.rows[:1]
    shown = readings(rows(best.kind, row.span, row.phase), trials)
    return np.asarray((shown.low[0] + shown.high[0]) / 2)


def test_charts(records: Sequence[Record]) -> list[Chart]:
    """Of each promise what was admitted and refused per second."""
    made = []
    for name in dict.fromkeys(one.stage.split(": ")[0] for one in records if ": " in one.stage):
        mine = [one for one in records if one.stage.startswith(f"{name}: ") and one.sent is not None]
        begin, last = min(one.sent or 0.0 for one in mine), max(one.sent or 0.0 for one in mine)
        stages = list(dict.fromkeys(one.stage for one in sorted(mine, key=lambda one: one.sent or 0.0)))[::-1]
        series = []
        for title, role, ok in (("admitted", "good", True), ("refused", "bad", False)):
            chosen = [one for one in mine if is_let_in(one) == ok]
            series.append(Series(
                title, np.array([(one.sent or 0.0) for one in chosen]),
                np.array([stages.index(one.stage) + ON_LABEL for one in chosen]), "points", role,
            ))  # fmt: skip
        words = tuple(stage.split(": ")[1] for stage in stages)
        made.append(Chart(
            f"tests-{name}", f"The tests of {name}",
            f"{counted(len(mine), 'requests')} in {counted(len(stages), 'tests')}, from {number(begin)} s on.",
            Axis("time", "s", begin=begin - 1.0, end=last + 1.0),
            Axis("test", scale="category", begin=-0.25, end=len(words) - 0.25, categories=words),
            tuple(series), time=True,
        ))  # fmt: skip
    return made
