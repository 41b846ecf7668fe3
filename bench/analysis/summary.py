"""summary.json: the figures, doubts and verdict of a run, under names that stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import msgspec
import pandas as pd

from bench.analysis.causes import Cause, causes, causes_of_attempts
from bench.analysis.certificate import cited
from bench.analysis.comparison import Comparison
from bench.analysis.costs import cached_as_wanted, wanted_share
from bench.analysis.doubts import (
    doubts,
    never_loaded,
    other_lengths,
    short_stages,
    told_by_load,
    told_by_short_stages,
)
from bench.analysis.drift import drifts
from bench.analysis.facts import Asked, AskedLoad, Facts, Understood
from bench.analysis.figures import Dispersion, dispersion, is_failure, sample
from bench.analysis.groups import ALL, Group, group_of
from bench.analysis.model_comparison import FIGURES, MOST_CLASSES, OF_CLASSES, OF_STAGES, compare_sides, side
from bench.analysis.numerals import counted, percent, share
from bench.analysis.rate_limits import RateLimits, limit_doubts, rate_limits
from bench.analysis.table import Table
from bench.analysis.thresholds import Judgement, judge_thresholds
from bench.analysis.truth import Engine, Truth, direct, engine, truth
from bench.analysis.validity import Validity, assess, with_new_nonces
from bench.analysis.windows import Windows, windows_of
from bench.plan.mix import recorded_names
from bench.plan.prices import Price
from bench.plan.thresholds import parse_threshold
from bench.records import End, HealthLine, StepLine
from bench.records.json_file import indented

SCHEMA = 1
MOST = 0.5
"""Share of failed requests above which a run fails, whatever its figures; a threshold on error_rate that the scenario
states for the whole run stands in its place."""

Verdict = Literal["pass", "fail", "inconclusive", "measured"]


class Counts(msgspec.Struct, frozen=True):
    """Measured requests."""

    planned: int  # requests of the schedule, or requests that users began if only time limits them
    sent: int
    recorded: int
    ok: int
    failed: int
    censored: int


class ArrivalFigures(msgspec.Struct, frozen=True):
    """How evenly the requests of an open loop were due and were sent."""

    wanted: str  # "poisson", "constant", …
    wanted_per_s: float
    due_dispersion: Dispersion | None  # None for fewer than a hundred requests
    sent_dispersion: Dispersion | None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A run, as summary.json has it. Times are seconds."""

    schema: int
    scenario: str  # its name
    started_at: str  # UTC, ISO 8601
    duration_s: float  # until the last open request was answered or censored
    measured_s: float  # length of the measured windows, in all
    stopped_by: str  # as in End
    seed: int
    validity: Validity
    doubts: list[str]  # what else weakens the figures, in sentences
    arrivals: ArrivalFigures | None  # None in a closed loop, or with several stages
    truth: Truth | None  # None if the server does not state its own times
    engine: Engine | None  # None if the server has no timings of its own
    counts: Counts
    failing: str | None  # a sentence if most requests failed; else None
    causes: list[Cause]  # of all requests that failed
    retried: list[Cause]  # of all attempts that failed and were followed by another one of the same request
    groups: list[Group]
    comparisons: list[Comparison]  # of each model with the first, or of the classes of one model; empty of arms
    rate_limits: list[RateLimits]  # of each measured stage and model; empty where there is nothing to say
    thresholds: list[Judgement]  # in the scenario's order
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A run's files as they were read: all that its summary is computed from."""

    understood: Understood  # run.json
    end: End  # end.json
    stages: Sequence[StepLine]  # in the order in which they were performed
    table: Table
    rows: pd.DataFrame  # the derived requests of all stages
    health: list[HealthLine]  # of the measured stages
    told: tuple[str, ...] = ()  # what a reader should know of the files, in sentences

    @property
    def facts(self) -> Facts:
        return self.understood.facts

    @property
    def scenario(self) -> Asked:
        return self.facts.scenario

    @property
    def slo(self) -> Mapping[str, float]:
        return self.scenario.slo or {}

    @property
    def prices(self) -> dict[str, Price | None]:
        return {model: self.understood.prices.get(model) for model in self.scenario.models}

    @property
    def measured_stages(self) -> list[StepLine]:
        return [stage for stage in self.stages if stage.measured]

    @cached_property
    def measured(self) -> pd.DataFrame:
        """The requests of the measured stages."""
        return self.rows[self.rows["measured"]]

    @cached_property
    def windows(self) -> Windows:
        return windows_of(self.rows, self.scenario, self.stages)

    @property
    def seconds(self) -> float:
        """How long was measured, in all."""
        return sum(window.length for window in self.windows.whole)

    @property
    def is_open(self) -> bool:
        """Whether a measured stage has an open loop."""
        return any(stage.rate is not None for stage in self.measured_stages)

    @property
    def is_warm(self) -> bool:
        """Whether there was a warm-up, or the question has none."""
        load = self.scenario.load
        return load == AskedLoad() or bool(load.warmup) or any(not stage.measured for stage in self.stages)


def summarize(of: Measurement) -> Summary:
    """The summary of a run."""
    scenario, end = of.scenario, of.end
    groups, comparisons = measured_groups(of)
    thresholds = judge_thresholds(
        scenario.thresholds, of.table, of.rows, prices=of.prices, windows=of.windows, slo=of.slo
    )
    users = {stage.name: stage.users for stage in of.stages}
    limited = rate_limits(of.table, of.rows, of.windows, scenario.models, users)
    counts = counts_of(of)
    failing = end.because if end.stopped_by == "refused" else mostly_failed(counts, thresholds)
    validity = validity_of(of)
    return Summary(
        schema=SCHEMA,
        scenario=scenario.name,
        started_at=of.facts.started_at,
        duration_s=end.duration_s,
        measured_s=of.seconds,
        stopped_by=end.stopped_by,
        seed=of.facts.seed,
        validity=validity,
        doubts=doubts_of(of, groups, limited),
        arrivals=arrivals(of),
        truth=truth(of.measured, direct=direct(of.measured, of.facts)),
        engine=engine(of.measured),
        counts=counts,
        failing=failing,
        causes=causes(of.measured),
        retried=causes_of_attempts(of.table.tries, of.measured),
        groups=groups,
        comparisons=comparisons,
        rate_limits=limited,
        thresholds=thresholds,
        verdict=verdict(counts, thresholds, failing, validity),
    )


def counts_of(of: Measurement) -> Counts:
    """How many requests were planned, and how they ended."""
    outcomes = of.measured["outcome"]
    return Counts(
        planned=of.end.planned,
        sent=of.end.sent,
        recorded=len(of.measured),
        ok=int((outcomes == "ok").sum()),
        failed=int(is_failure(outcomes).sum()),
        censored=int((outcomes == "censored").sum()),
    )


def validity_of(of: Measurement) -> Validity:
    """Whether the client itself was in the way of the measurement."""
    return assess(
        of.measured,
        of.table,
        of.health,
        of.end,
        seconds=of.seconds,
        open_loop=of.is_open,
        processes=of.scenario.load.processes,
        certificate=cited(of.understood.certificate, of.facts.machine),
        new=with_new_nonces(of.facts),
    )


def doubts_of(of: Measurement, groups: Sequence[Group], limited: Sequence[RateLimits]) -> list[str]:
    """What else weakens the figures, in sentences."""
    return [
        *of.told,
        *told_by_load(of.facts),
        *other_lengths(of.measured, of.facts),
        *never_loaded(of.stages),
        *told_by_short_stages(short_stages(of.measured, of.stages)),
        *(drifts(of.measured, of.stages) if of.scenario.load != AskedLoad() and not of.scenario.arms else []),
        *wanted_share(groups, cached_as_wanted(of.facts)),
        *doubts(of.measured, groups, of.end.stopped_by, warm=of.is_warm),
        *of.end.key_warnings,
        *limit_doubts(limited, of.rows),
    ]


def measured_groups(of: Measurement) -> tuple[list[Group], list[Comparison]]:
    """The figures of each model and request class in each measured stage, and the models side by side, or the request
    classes of a model that is alone; arms are compared pair by pair instead."""
    scenario, windows, prices = of.scenario, of.windows, of.prices
    several, staged = len(scenario.models) > 1, len(windows.whole) > 1
    classes = not several and not staged and len(scenario.requests) <= MOST_CLASSES
    figures = OF_CLASSES if classes else OF_STAGES if staged else FIGURES
    groups, comparisons = [], []
    for window in windows.whole:
        sides = []
        for model, name, chosen in grouping(of.rows, scenario):
            within = windows.of([model], [window.stage])
            requests = sample(of.table, of.rows, chosen, within, of.slo, {model: prices[model]})
            groups.append(group_of(window.stage, model, name, requests))
            beside = several if name == ALL else classes
            sides += [side(groups[-1], requests, window, figures)] if beside and not scenario.arms else []
        comparisons += compare_sides(sides, figures) if sides else []
    return groups, comparisons


def summary_json(summary: Summary) -> bytes:
    """summary.json: the same names; the steps of a job stand beside its other times."""
    told = msgspec.to_builtins(summary)
    for group in told["groups"]:
        if group["job"] is not None:
            group["job"] |= group["job"].pop("steps")
    return indented(told) + b"\n"


def arrivals(of: Measurement) -> ArrivalFigures | None:
    """How evenly the requests were due and were sent, of a run with one measured stage, an open one; else None."""
    stages = of.measured_stages
    if len(stages) != 1 or (rate := stages[0].rate) is None:
        return None
    [window] = of.windows.whole
    return ArrivalFigures(
        wanted=stages[0].arrivals or "",
        wanted_per_s=rate,
        due_dispersion=dispersion(of.measured["due"], (window.begin, window.end)),
        sent_dispersion=dispersion(of.measured["first_begun"].dropna(), (window.begin, window.end)),
    )


def grouping(rows: pd.DataFrame, scenario: Asked) -> list[tuple[str, str, pd.Series[bool]]]:
    """Each model as a whole; then, if the mix has several request classes, each of them."""
    names = [name for request in scenario.requests for name in recorded_names(request.name, request.tool_results)]
    found = []
    for model in scenario.models:
        mine = (rows["model"] == model) & rows["loaded"]
        found.append((model, ALL, mine))
        found += [(model, name, mine & (rows["name"] == name)) for name in names if len(names) > 1]
    return found


def mostly_failed(counts: Counts, thresholds: Sequence[Judgement]) -> str | None:
    """A sentence if so many requests failed that the figures are only of the few others; else None."""
    ended = counts.ok + counts.failed
    if ended and not counts.ok:
        return f"none of {counted(ended, 'requests')} succeeded"
    asked = [parse_threshold(threshold.expression) for threshold in thresholds]
    own = any(one.metric == "error_rate" and not one.scope for one in asked)
    if own or counts.failed <= MOST * ended:
        return None
    requests = counted(ended, "requests")
    return (
        f"{counts.failed:,} of {requests} failed ({share(counts.failed / ended)}), more than {percent(MOST)}; "
        "the figures are of the others"
    )


def verdict(counts: Counts, thresholds: Sequence[Judgement], failing: str | None, validity: Validity) -> Verdict:
    """The verdict of the whole run; `measured` if there is no condition to pass."""
    if failing is not None:
        return "fail"
    words = {threshold.verdict for threshold in thresholds}
    if "fail" in words:
        return believed("fail", validity)
    if "inconclusive" in words or not counts.ok:
        return "inconclusive"
    return believed("pass", validity) if words else "measured"


def believed(verdict: Verdict, validity: Validity) -> Verdict:
    """What a verdict is worth: a measurement that is invalid proves neither pass nor fail."""
    return "inconclusive" if validity.verdict == "invalid" and verdict in ("pass", "fail") else verdict


def proves_nothing(summary: Summary) -> bool:
    """Whether the client itself was in the way. That most requests failed is a fact, however busy the client was."""
    return summary.failing is None and summary.validity.verdict == "invalid"


def verdict_of(summary: Summary, own: Verdict | None = None) -> Verdict:
    """The verdict to show of a run: its experiment's `own`, where it has one, unless most requests failed."""
    if own is None or summary.failing is not None:
        return summary.verdict
    return believed(own, summary.validity)


def exit_code(summary: Summary, verdict: Verdict | None = None) -> int:
    """0 pass or measured, 1 fail, 3 inconclusive or not to be believed. `verdict` is an experiment's, where it has one
    of its own."""
    if proves_nothing(summary):
        return 3
    return {"pass": 0, "measured": 0, "fail": 1, "inconclusive": 3}[verdict_of(summary, verdict)]
