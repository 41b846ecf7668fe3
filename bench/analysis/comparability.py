"""Finds differences between two sets of runs that make a verdict doubtful or meaningless.

The model, the server, the machine and the time may differ, since people compare those; differences are only named.
The requests and the load must be the same: otherwise the figures are about different things.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from bench.analysis.extract import Extract, Part, whole
from bench.analysis.likeness import same_caching, same_length
from bench.analysis.numerals import number, share
from bench.analysis.run_comparison import models_of, parts_of
from bench.analysis.statistics import unequal_shares
from bench.metrics import UNFAILED
from bench.plan.repetition import json_differences

STREAMED = 0.02  # largest difference of the shares of requests that streamed
BY_LENGTH = frozenset({"e2e", "e2e_from_due", "output_tokens_per_s", "requests_per_s", "good_requests_per_s"})
"""Figures that depend on how long answers are."""
OUTCOMES = 0.01  # chance that a change of the outcomes is reported although there is none
LOAD = ("users", "rate", "arrivals", "burstiness", "think_time", "spawn_rate", "ramp", "stages")
"""Keys of a load that state how heavy it is."""
LENGTH = ("duration", "requests", "warmup")
"""Keys of a load that state how long it takes."""


@dataclass(frozen=True, slots=True)
class Unlikeness:
    """One difference between runs."""

    text: str
    refused: bool  # whether a verdict would be meaningless


def unlike(
    baselines: Sequence[Extract], candidates: Sequence[Extract], *, metrics: Collection[str] = ()
) -> list[Unlikeness]:
    """The differences between the runs, those within the baseline included; each once, refused ones first.

    `metrics` are those to be judged: for some of them a verdict is meaningless if answers are longer.
    """
    first = baselines[0]
    found: dict[str, Unlikeness] = {}
    for other in (*baselines[1:], *candidates):
        for one in (*asked(first, other), *circumstances(first, other)):
            found.setdefault(one.text, one)
    for one in seeds((*baselines, *candidates)):
        found.setdefault(one.text, one)
    for one in answered(baselines, candidates, by_length=not BY_LENGTH.isdisjoint(metrics)):
        found.setdefault(one.text, one)
    return sorted(found.values(), key=lambda one: not one.refused)


def not_valid(runs: Sequence[Extract]) -> list[str]:
    """The measurements that cannot be believed, in sentences."""
    return [
        f"the measurement of {one.label} is invalid: {one.reasons[0] if one.reasons else 'bench itself was too slow'}"
        for one in runs
        if one.validity == "invalid"
    ]


# -- what was asked -------------------------------------------------------------------------------------------


def asked(a: Extract, b: Extract) -> Iterator[Unlikeness]:
    """Differences of question, models, requests, prompts and load; models and requests may be in any order."""
    if a.kind != b.kind:
        yield Unlikeness(f"the questions differ: {a.kind} and {b.kind}", True)
    if a.scenario != b.scenario:
        yield Unlikeness(f"the scenarios have different names: {a.scenario} and {b.scenario}", False)
    models, other_models = a.asked.models, b.asked.models
    if sorted(models) != sorted(other_models):
        alone = len(models) == len(other_models) == 1
        told = f"{', '.join(models)} and {', '.join(other_models)}"
        yield Unlikeness(f"the models differ: {told}", not alone)
    before, after = (sorted(of.asked.requests, key=lambda one: str(one.get("name"))) for of in (a, b))
    for one in json_differences(after, before, "requests", b.files, a.files):
        yield Unlikeness(f"what was asked differs: {one}", True)
    ours, theirs = a.asked.load or {}, b.asked.load or {}
    for keys, refused in ((LOAD, True), (LENGTH, False)):
        for key in keys:
            for one in json_differences(theirs.get(key), ours.get(key), f"load.{key}", {}, {}):
                yield Unlikeness(f"the load differs: {one}", refused)


def seeds(runs: Sequence[Extract]) -> Iterator[Unlikeness]:
    """That the prompts of all these runs are not drawn from one seed."""
    different = list(dict.fromkeys(one.seed for one in runs))
    if len(different) > 1:
        told = f"different seeds ({different[0]} and {different[1]})"
        told = told if len(different) == 2 else f"{len(different)} different seeds"
        yield Unlikeness(f"the prompts are drawn from {told}", False)


def circumstances(a: Extract, b: Extract) -> Iterator[Unlikeness]:
    """Differences of target, machine, clock and versions."""
    if a.target != b.target:
        yield Unlikeness(f"the targets are of different kinds: {a.target} and {b.target}", False)
    elif a.target == "url" and a.url != b.url:
        yield Unlikeness(f"the targets differ: {a.url} and {b.url}", False)
    for what, mine, other in (
        ("processor", a.machine.cpu_model, b.machine.cpu_model),
        ("number of CPUs", a.machine.cpus, b.machine.cpus),
        ("system", a.machine.system, b.machine.system),
    ):
        if mine != other:
            yield Unlikeness(f"they were measured on different machines; the {what} was {mine} and {other}", False)
            break
    if a.clock != b.clock:
        yield Unlikeness(f"arrivals were stamped by different clocks: {a.clock} and {b.clock}", False)
    if (old := a.versions.get("bench")) != (new := b.versions.get("bench")):
        yield Unlikeness(f"they were made by different versions of bench: {old} and {new}", False)


# -- what came back -------------------------------------------------------------------------------------------


def answered(baselines: Sequence[Extract], candidates: Sequence[Extract], *, by_length: bool) -> Iterator[Unlikeness]:
    """Differences of stages, streams, lengths, caches, the server's name for its model, and outcomes."""
    for runs, side in ((baselines, "baseline"), (candidates, "candidate")):
        if not any(part.requests for one in runs for part in one.parts):
            yield Unlikeness(f"the {side} has no measured requests", True)
            return
    alias = models_of(baselines, candidates)
    keys = dict.fromkeys((one.stage, one.model, one.name) for run in baselines for one in run.parts if whole(one))
    for key in keys:
        stage, model, name = key
        ours, theirs = (
            [one for one in parts_of(runs, (stage, of, name)) if one.requests]
            for runs, of in ((baselines, model), (candidates, alias.get(model, model)))
        )
        about = f" of {model}" if len(alias) > 1 else ""
        about += f" in {stage}" if len({stage for stage, _, _ in keys}) > 1 else ""
        if ours and theirs:
            yield from same_answers(ours, theirs, about, by_length=by_length)
        elif ours or theirs:
            side = "candidate" if ours else "baseline"
            yield Unlikeness(f"the {side} has no requests{about or f' in {stage}'}", True)


def same_answers(ours: Sequence[Part], theirs: Sequence[Part], about: str, *, by_length: bool) -> Iterator[Unlikeness]:
    streamed = [mean([one.streamed for one in side]) for side in (ours, theirs)]
    if abs(streamed[1] - streamed[0]) > STREAMED:
        yield Unlikeness(f"{share(streamed[0])} of the requests{about} streamed, and {share(streamed[1])}", True)
    tokens = [[one.tokens for one in side if one.tokens] for side in (ours, theirs)]
    if all(tokens):
        before, after = mean(tokens[0]), mean(tokens[1])
        if not same_length(before, after):
            yield Unlikeness(
                f"answers{about} have {number(before)} and {number(after)} tokens on average, so E2E and tokens/s are "
                "of different answers; TTFT and TPOT can be compared",
                by_length,
            )
    cached = [
        [hits / of for one in side for hits, of in [one.shares.get("cached_share", (0, 0))] if of]
        for side in (ours, theirs)
    ]
    if all(cached):
        before, after = mean(cached[0]), mean(cached[1])
        if not same_caching(before, after):
            yield Unlikeness(
                f"{share(before)} and {share(after)} of the prompt tokens{about} came from the server's prompt cache, "
                "so TTFT compares different work; nonces in the prompts keep caches out",
                True,
            )
    named = [sorted({name for one in side for name in one.response_models}) for side in (ours, theirs)]
    if all(named) and named[0] != named[1]:
        yield Unlikeness(f"the server calls its model{about} {', '.join(named[0])} and {', '.join(named[1])}", False)
    yield from same_outcomes(ours, theirs, about)


def same_outcomes(ours: Sequence[Part], theirs: Sequence[Part], about: str) -> Iterator[Unlikeness]:
    """Outcomes that occur more or less often, by Fisher's exact test with a correction for their number."""
    words = sorted({word for one in (*ours, *theirs) for word in one.outcomes} - set(UNFAILED))
    counts = [[sum(one.outcomes.get(word, 0) for one in side) for word in words] for side in (ours, theirs)]
    totals = [sum(one.requests for one in side) for side in (ours, theirs)]
    if not all(totals):
        return
    for word, before, after in zip(words, *counts, strict=True):
        if unequal_shares(before, totals[0], after, totals[1]) < OUTCOMES / len(words):
            shares = f"{share(before / totals[0])} and {share(after / totals[1])}"
            yield Unlikeness(f"requests{about} ended differently: {word} {shares}", False)


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
