"""What a spike cost, and whether the server was as quick afterwards: of stages whose load comes back to a level of
before.

The stages are of different moments, so each is cut into parts of its time, and what is counted within a part is one
observation, as in bench.analysis.unpaired. Of stages that are alike, fewer than 1 in 40 are then said to differ, and of
those that are a quarter slower, about 7 in 100 are said to be as quick, which is looked for in four parts of the stage;
more of them where a server is slow or quick for longer than such a part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from bench.analysis.curve import curve_of, level_of
from bench.analysis.drift import CHANGE, is_held
from bench.analysis.facts import AskedLoad
from bench.analysis.groups import ALL, Group
from bench.analysis.likeness import same_length
from bench.analysis.numerals import count, counted, duration, in_digits, milliseconds, number, share
from bench.analysis.run import Run
from bench.analysis.sections import Sentence
from bench.analysis.statistics import Interval
from bench.analysis.unpaired import Timed, part_of, quantile_ratio, share_difference
from bench.metrics import FLOORS, METRICS, UNFAILED
from bench.records import StepLine

TAIL = 0.9  # the quantile that shows whether a server was slow for a while
TAIL_CHANGE = 1.5  # of that quantile, which varies more than p50: less is as quick as before
MORE_FAIL = 0.02  # of the requests: fewer than these more are about as many as before
SLOW_AT_FIRST = (0.0, 0.25, 0.5, 0.75)  # of the stage after a spike may be left out until the server is quick again
LEVELS = 2  # of a load that is a spike and no sweep: the usual one, and that of the spike

Answer = Literal["yes", "no", "unclear"]


@dataclass(frozen=True, slots=True)
class Spike:
    """Stages before, in and after a spike, all of one kind of client."""

    before: StepLine  # the first of its level
    top: StepLine  # the highest load between the two, measured or not
    after: StepLine  # the last of its level
    client: str = ""


@dataclass(frozen=True, slots=True)
class Requests:
    """One model's measured requests of a stage, or of a part of it."""

    rows: pd.DataFrame
    stage: StepLine
    group: Group | None  # the figures of the stage; None if it is not measured, or nothing was asked
    metric: str = "ttft"  # or e2e, if nothing streams

    @property
    def answers(self) -> pd.DataFrame:
        """Those that tell how quick the server was: later turns ask more than first ones."""
        return self.rows[(self.rows["outcome"] == "ok") & (self.rows["turn"] == 0) & self.rows[self.key].notna()]

    @property
    def title(self) -> str:
        return METRICS[self.metric].title

    @property
    def key(self) -> str:
        return METRICS[self.metric].key

    def timed(self, rows: pd.DataFrame, values: pd.Series[float]) -> Timed:
        """Values of some of the requests, by the part of the stage in which each was sent."""
        sent = rows["sent"].fillna(rows["done"]).to_numpy(np.float64)
        return Timed(np.asarray(values, np.float64), part_of(sent, self.stage.began, self.stage.ended))

    def without(self, share: float) -> Requests:
        """Those of the stage without this share of its time, from its beginning."""
        began = self.stage.began + share * (self.stage.ended - self.stage.began)
        rows = self.rows[self.rows["sent"] >= began] if share else self.rows
        return replace(self, rows=rows, stage=replace(self.stage, began=began))


# -- which stages ---------------------------------------------------------------------------------------------------


def spikes_of(stages: Sequence[StepLine], load: AskedLoad) -> list[Spike]:
    """The spike of each kind of client, if its load comes back to a level after a higher one."""
    found: dict[str, list[StepLine]] = {}
    for stage in stages:
        found.setdefault(load.client_of(stage.name) or "", []).append(stage)
    return [one for client, mine in found.items() if (one := spike_of(mine, client)) is not None]


def spike_of(stages: Sequence[StepLine], client: str) -> Spike | None:
    """The first level that is left for a higher one and comes back, until it comes for the last time."""
    for place, before in enumerate(stages):
        again = [later for later in range(place + 1, len(stages)) if is_back(before, stages[later])]
        between = [one for one in stages[place + 1 : again[-1]] if same_unit(before, one)] if again else []
        top = max(between, key=level_of, default=before)
        if level_of(top) > level_of(before):
            return Spike(before, top, stages[again[-1]], client)
    return None


def is_back(before: StepLine, after: StepLine) -> bool:
    """Whether both are measured and hold the same load."""
    same = same_unit(before, after) and level_of(before) == level_of(after)
    return same and all(one.measured and is_held(one) for one in (before, after))


def same_unit(one: StepLine, other: StepLine) -> bool:
    return (one.users is None) == (other.users is None)


def is_only_a_spike(run: Run) -> bool:
    """Whether the load goes up to one level and comes back: of so few, no limit of the server can be told."""
    return len(curve_of(run).loads) <= LEVELS and bool(spikes_of(run.stages, run.facts.scenario.load))


# -- what is said ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Passage:
    """One model's requests before, in and after a spike, and how the loads are called."""

    whose: str  # the model, and the kind of client; empty if there is one only
    level: str  # 30 users
    rise: str  # from 30 to 90 users
    before: Requests
    top: Requests
    after: Requests


def recovery(run: Run) -> list[Sentence]:
    """What the spike cost each model, and how quick the server was afterwards, with the figures of each stage below;
    nothing if the load has no spike."""
    return [
        Sentence(
            f"{f'{one.whose}: ' if one.whose else ''}{cost(one)} {afterwards(one)}",
            details=tuple(
                figures(word, of)
                for word, of in (("Before", one.before), ("In the spike", one.top), ("Afterwards", one.after))
                if of.group is not None
            ),
        )
        for one in passages(run)
    ]


def after_a_spike(run: Run) -> Iterator[str]:
    """What to do where a spike leaves a question."""
    found = {"yes" if slow_for(one) is not None else recovered(one.before, last_of(one)) for one in passages(run)}
    if "no" in found:
        yield "Let the stage after the spike last longer, to see when the server recovers."
    elif "unclear" in found:
        yield "Let the stages before and after the spike last longer, to see whether the server recovers."


def passages(run: Run) -> list[Passage]:
    """Each model's, of each kind of client; none of a model of which nothing was answered before the spike."""
    scenario = run.facts.scenario
    found = spikes_of(run.stages, scenario.load)
    pairs = [(model, spike) for model in scenario.models for spike in found]
    every = [passage(run, model, spike, named=len(pairs) > 1) for model, spike in pairs]
    return [one for one in every if one.before.group is not None and one.before.group.e2e_s.n]


def passage(run: Run, model: str, spike: Spike, *, named: bool) -> Passage:
    """One model's passage through a spike; `named` says whether there are others."""
    before = requests_of(run, spike.before, model)
    streams = before.group is not None and before.group.ttft_s.n > 0
    before, top, after = (
        replace(requests_of(run, stage, model), metric="ttft" if streams else "e2e")
        for stage in (spike.before, spike.top, spike.after)
    )
    unit = "users" if spike.before.users is not None else "requests/s"
    shared = " in all" if len(run.facts.scenario.models) > 1 else ""
    return Passage(
        ", ".join(filter(None, (model, spike.client))) if named else "",
        f"{counted(level_of(spike.before), unit)}{shared}",
        f"from {in_digits(level_of(spike.before))} to {counted(level_of(spike.top), unit)}{shared}",
        before, top, after,
    )  # fmt: skip


def requests_of(run: Run, stage: StepLine, model: str) -> Requests:
    rows = run.requests
    mine = (one for one in run.summary.groups if (one.stage, one.model, one.name) == (stage.name, model, ALL))
    return Requests(rows[(rows["stage"] == stage.name) & (rows["model"] == model)], stage, next(mine, None))


def figures(word: str, of: Requests) -> str:
    """The latency and the failures of a stage, in a line without a full stop."""
    assert of.group is not None
    latency, ended = of.group.latency(of.metric), failures(of)
    told = [f"{milliseconds(at)} ms ({name})" for name in ("p50", "p95") if (at := latency.stat(name)) is not None]
    told = told or ([f"{milliseconds(latency.mean)} ms (mean)"] if latency.n else ["unknown"])
    lost = f"{count(ended.values.sum()) if ended.values.any() else 'none'} of {counted(len(ended), 'requests')} failed"
    met = "" if of.group.goodput is None else f", {share(of.group.goodput)} met the SLO"
    return f"{word} ({of.stage.name}): {of.title} {', '.join(told)}; {lost}{met}"


def cost(one: Passage) -> str:
    """What the spike did to the wait for an answer, and to how many requests fail, as a sentence."""
    longer, ratio = slower(one.before, one.top), ratio_of(one.before, one.top)
    told = [f"made {one.before.title} p50 {number(ratio.estimate)} times as long"] if longer == "yes" and ratio else []
    if fails_more(one.before, one.top) == "yes":
        told.append(f"made {share(failed_share(one.top))} of the requests fail")
    if told:
        return f"The spike {one.rise} {' and '.join(told)}."
    if longer == "no":
        return f"The spike {one.rise} did not make {one.before.title} p50 clearly longer."
    return f"What the spike {one.rise} cost is not clear{why_unclear(one.before, one.top)}."


def afterwards(one: Passage) -> str:
    """Whether the server was as quick after the spike as before, as a sentence."""
    if (seconds := slow_for(one)) is not None:
        took = f"it took the server at most {duration(seconds)} to be" if seconds else "the server was"
        return f"Back at {one.level}, {took} about as quick as before."
    last = last_of(one)
    if recovered(one.before, last) != "no":
        reason = why_unclear(one.before, one.after)
        return f"Whether the server was as quick as before when back at {one.level} is not clear{reason}."
    ratio, told = ratio_of(one.before, last), list[str]()
    if slower(one.before, last) == "yes" and ratio is not None:
        told.append(f"{last.title} p50 was {number(ratio.estimate)} times that of before")
    if fails_more(one.before, last) == "yes":
        told.append(f"{share(failed_share(last))} of the requests failed")
    length, end = (duration(of.stage.ended - of.stage.began) for of in (one.after, last))
    told_of_end = " and ".join(told)
    return f"Back at {one.level}, the server did not recover within {length}: in the last {end}, {told_of_end}."


def slow_for(one: Passage) -> float | None:
    """After how many seconds, at most, a server is about as quick as before; None if that does not show."""
    length = one.after.stage.ended - one.after.stage.began
    return next(
        (part * length for part in SLOW_AT_FIRST if recovered(one.before, one.after.without(part)) == "yes"), None
    )


def last_of(one: Passage) -> Requests:
    """The end of the stage after the spike."""
    return one.after.without(SLOW_AT_FIRST[-1])


# -- comparisons ----------------------------------------------------------------------------------------------------


def recovered(before: Requests, after: Requests) -> Answer:
    """Whether answers come about as soon as before, those that come late as well, and hardly more requests fail."""
    found = {slower(before, after), fails_more(before, after)}
    if "yes" in found or "unclear" in found:
        return "no" if "yes" in found else "unclear"
    late = ratio_of(before, after, TAIL)
    return "yes" if late is not None and late.high <= TAIL_CHANGE else "unclear"


def slower(before: Requests, after: Requests) -> Answer:
    """Whether p50 is clearly longer, by a quarter or more; "no" if it is clearly not as much longer."""
    ratio = ratio_of(before, after)
    if ratio is None or not same_prompts(before, after):
        return "unclear"
    if ratio.low > 1.0 and ratio.estimate >= CHANGE:
        return "yes"
    return "no" if ratio.high <= CHANGE else "unclear"


def ratio_of(before: Requests, after: Requests, q: float = 0.5) -> Interval | None:
    """The ratio of a quantile; None for too few answers."""
    first, second = (one.timed(one.answers, one.answers[one.key]) for one in (before, after))
    return None if min(len(first), len(second)) < FLOORS["p50"] else quantile_ratio(first, second, q)


def same_prompts(before: Requests, after: Requests) -> bool:
    """Whether the answers are of the same work: of prompts of one length, and if nothing streams as long themselves."""
    counted_tokens = ["prompt_tokens", *(["completion_tokens"] if before.metric == "e2e" else [])]
    means = [(float(before.answers[name].mean()), float(after.answers[name].mean())) for name in counted_tokens]
    return all(same_length(*both) for both in means if min(both) > 0)


def fails_more(before: Requests, after: Requests) -> Answer:
    """Whether clearly more of the requests fail; "no" if about as many do."""
    found = share_difference(failures(before), failures(after))
    if found is None:
        return "unclear"
    return "yes" if found.low > 0.0 else "no" if found.estimate <= MORE_FAIL else "unclear"


def failures(of: Requests) -> Timed:
    """Whether each request failed, as 1 and 0; without those that were open at the end."""
    ended = of.rows[of.rows["outcome"] != "censored"]
    return of.timed(ended, (~ended["outcome"].isin(UNFAILED)).astype(float))


def failed_share(of: Requests) -> float | None:
    found = failures(of).values
    return float(found.mean()) if len(found) else None


def why_unclear(before: Requests, after: Requests) -> str:
    """The reason, after a colon."""
    few = ratio_of(before, after) is None
    if not few and not same_prompts(before, after):
        return ": what was asked is not of the same length"
    return ": too few answers tell"
