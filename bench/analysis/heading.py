"""The heading of a run's report: the run in a sentence, its verdicts, and who was asked what."""

from __future__ import annotations

import pandas as pd

from bench.analysis.conclusion import Conclusion
from bench.analysis.curve import slo_in_words
from bench.analysis.glance import only_off
from bench.analysis.numerals import count, counted, duration, in_all, in_digits, listed
from bench.analysis.run import Run
from bench.analysis.sections import TONES as VERDICT_TONES
from bench.analysis.sections import (
    Badge,
    Heading,
    Tone,
)
from bench.analysis.stops import stop_of
from bench.analysis.summary import verdict_of
from bench.analysis.validity import Validity

NAMED = 2  # models that a heading names; of more it says how many
EMBEDDED = {"simulator": "the simulator", "llama.cpp": "llama.cpp"}
"""Targets that a run starts itself, in words."""
TONES: dict[str, Tone] = VERDICT_TONES | {"measured": "plain", "valid": "good", "suspect": "doubt", "invalid": "bad"}
JUDGED = {"measured": "not judged"}
"""Verdicts that a badge words otherwise."""


def heading(run: Run, conclusion: Conclusion) -> Heading:
    """The run in a sentence, and its verdicts."""
    summary = run.summary
    verdict, believed = verdict_of(summary, conclusion.verdict), summary.validity.verdict
    bare = conclusion.sections and nothing_measured(run) and believed != "invalid"
    return Heading(
        title=str(summary.scenario),
        badges=(
            Badge(JUDGED.get(verdict, verdict), TONES[verdict]),
            *(() if bare else (Badge(credibility_in_words(summary.validity), TONES[believed]),)),
            *conclusion.badges,
        ),
        headline=f"{ended_early(run)}{conclusion.headline or headline(run)}",
        detail=f"{asked(run)}Started {summary.started_at[:19].replace('T', ' ')} UTC, seed {summary.seed}.",
        alarm=summary.failing,
    )


def ended_early(run: Run) -> str:
    """How the headline begins if something ended the run before its time: what, and after how long. Else empty."""
    by, stop = run.end.stopped_by, stop_of(run.end.stopped_by)
    if stop is None:
        return ""
    in_a_stage = bool(run.stages) and run.stages[-1].ended_by == by
    return stop.headline.format(duration(run.stages[-1].ended if in_a_stage else run.end.duration_s))


def credibility_in_words(validity: Validity) -> str:
    """For a badge: measurement valid, or suspect: ITL."""
    off = only_off(validity)
    return f"measurement {validity.verdict}{f': {off}' if off else ''}"


def asked(run: Run) -> str:
    """Who was asked, in a sentence with a space after it, and how long each stage of a sweep took."""
    scenario, target = run.facts.scenario, run.facts.target
    names, many = list(scenario.models), len(scenario.models)
    what = " and ".join(names) if many <= NAMED else f"{many} {'arms' if scenario.arms else 'models'}"
    where = EMBEDDED.get(target.kind, target.url)
    told = f"Asked: {what}{f' at {where}' if where and not scenario.arms else ''}"
    told += f"{', each the same' if many > 1 else ''}{by_which_apis(run.requests)}. "
    told += f"SLO: {slo_in_words(scenario.slo)}. " if scenario.slo else ""
    lengths = [stage.ended - stage.began for stage in run.stages if stage.measured]
    if len(lengths) > 1 and max(lengths) < 1.1 * min(lengths):
        measured = "" if all(stage.measured for stage in run.stages) else "measured "
        told += f"{len(lengths)} {measured}stages of {duration(sum(lengths) / len(lengths))} each. "
    return told


def by_which_apis(rows: pd.DataFrame) -> str:
    """The APIs of some requests, and whether their answers were to stream; empty without a request."""
    if not len(rows):
        return ""
    apis = list(rows["api"].astype(object).value_counts().index)
    written = rows["completion_tokens"].notna() | rows["stream"]
    could_stream = rows["api"].isin(rows["api"][written].unique())
    streamed = float(rows["stream"][could_stream].mean()) if could_stream.any() else None
    ways = {1.0: ", streamed", 0.0: ", not streamed", None: ""}
    return f", by the API{'s' if len(apis) > 1 else ''} {listed(apis)}{ways.get(streamed, ', partly streamed')}"


def headline(run: Run) -> str:
    """The run in a sentence."""
    summary, counts = run.summary, run.summary.counts
    if nothing_measured(run) and len(run.records):
        return f"{counted(len(run.records), 'requests')}, none of them under load"
    told = f"{counted(counts.recorded, 'requests')} in {duration(summary.measured_s)}{how_hard(run)}"
    told += f": {count(counts.ok)} ok, {count(counts.failed)} failed"
    return told + (f", {count(counts.censored)} still open at the end" if counts.censored else "")


def how_hard(run: Run) -> str:
    """How hard the server was asked: from 10 users in all (5 for each model). Empty where nobody said."""
    levels = [stage for stage in run.stages if stage.measured]
    models = 1 if run.facts.scenario.arms else len(run.facts.scenario.models)
    told = []
    for what, word, found in (
        ("users", "from", [stage.users for stage in levels if stage.users]),
        ("requests/s", "at", [stage.rate for stage in levels if stage.rate]),
    ):
        if len(set(found)) == 1:
            told.append(f"{word} {in_all(found[0], what, models)}")
        elif found:
            shared = " in all, equal parts for each model" if models > 1 else ""
            told.append(f"{word} {in_digits(min(found))} to {in_digits(max(found))} {what}{shared}")
    return f" {' and '.join(told)}" if told else ""


def nothing_measured(run: Run) -> bool:
    """Whether no stage was measured: then the figures of a load would all be empty."""
    return not run.summary.counts.planned and not run.summary.counts.recorded
