"""Sends the pairs of a comparison in parts. After each part the pairs are judged, and a clear case ends the run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.experiments.compare.question import CompareScenario
from bench.plan.load import MEASURE, WARMUP
from bench.plan.steps import Note, Stage, Steps

if TYPE_CHECKING:
    import pandas as pd

    from bench.records import Record


def steps(scenario: CompareScenario) -> Steps[None]:
    """A warm-up, a pilot that estimates the number of pairs, and then the pairs up to each look."""
    from bench.experiments.compare.verdict import asked_of, forecast, undecided

    looks, pilot, arms = asked_of(scenario).looks, scenario.pairs.pilot, tuple(scenario.arms)
    if scenario.load.warmup:
        yield stage(scenario, WARMUP, arms, 0, None)
    parts: list[pd.DataFrame] = []
    done = 0
    if pilot and pilot < looks[0][0]:
        parts.append((yield from pairs(scenario, done, pilot)))
        done = pilot
        yield Note(text=forecast(scenario, parts[0]))
    for most, _ in looks:
        parts.append((yield from pairs(scenario, done, most)))
        done = most
        if not undecided(scenario, parts, done):
            return


def pairs(scenario: CompareScenario, first: int, end: int) -> Steps[pd.DataFrame]:
    """The pairs from number `first` up to, but without, `end`. Returns their requests as rows."""
    from bench.analysis.pairs import rows_of

    records: list[Record] = []
    for arms, begin, count in parts_of(scenario, first, end):
        records += yield stage(scenario, MEASURE, arms, begin, count)
    return rows_of(records)


def parts_of(scenario: CompareScenario, first: int, end: int) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """The arms of each part, its first pair, and its number of pairs. A part has all arms, or with blocks one arm, in
    random order."""
    arms = list(scenario.arms)
    if not scenario.in_blocks:
        yield tuple(arms), first, end - first
        return
    for begin in range(first, end, scenario.pairs.block):
        random.Random(f"{scenario.seed}:block:{begin}").shuffle(arms)
        for arm in arms:
            yield (arm,), begin, min(scenario.pairs.block, end - begin)


def stage(scenario: CompareScenario, name: str, arms: tuple[str, ...], first: int, requests: int | None) -> Stage:
    """A stage with this number of pairs of these arms; the warm-up if `requests` is None."""
    load = scenario.load
    return Stage(
        name=name,
        measured=requests is not None,
        users=load.level if load.users is not None else None,
        rate=load.level if load.rate is not None else None,
        arrivals=load.arrivals,
        burstiness=load.burstiness,
        think=load.think_time.pause() if load.think_time else None,
        impatient=load.impatient,
        duration=load.warmup if requests is None else None,
        requests=requests,
        drain=load.drain,
        returns=requests is not None,
        arms=arms,
        first=first,
    )


def all_stages(scenario: CompareScenario) -> tuple[Stage, ...]:
    """The largest possible load, with all pairs in one stage."""
    arms = tuple(scenario.arms)
    warmup = (stage(scenario, WARMUP, arms, 0, None),) if scenario.load.warmup else ()
    return (*warmup, stage(scenario, MEASURE, arms, 0, scenario.pairs.most))
