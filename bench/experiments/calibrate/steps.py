"""Finds the largest load that this machine measures well: runs of rising load, compared with the simulator's times.

Unlike in other experiments each step is a whole run, because a certificate is for whole runs with all their processes.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from bench.analysis.calibration import Step
from bench.experiments.load.question import LoadScenario

TOKENS, GAP_S, TTFT_S = 100, 0.01, 0.05  # of sim/exact: an answer of 100 tokens takes 1.04 s on average
PER_STREAM = TOKENS / (TTFT_S + GAP_S * (TOKENS - 1))  # tokens per second
STREAMS = (25, 50, 100, 200, 400, 600, 800, 1200)
RATES = (100, 300, 1000, 2000, 4000)
MAX_BROKEN = 2  # broken steps in a row after which a load stops rising
QUICK = 2  # steps of each rising load in a quick calibration
REQUESTS: dict[str, dict[str, object]] = {
    "closed": {"max_tokens": TOKENS},
    "whole": {"max_tokens": TOKENS, "stream": False},
    "open": {"max_tokens": 10},
    "short": {"max_tokens": 1, "stream": False},
}
"""The requests of each kind of load. Two kinds have users, two have a rate."""
OPEN_LOOP = ("open", "short")

Trials = Generator["Trial", Step, None]


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of the calibration."""

    kind: str
    level: int  # users; in an open loop, requests per second
    processes: int = 1

    @property
    def open_loop(self) -> bool:
        return self.kind in OPEN_LOOP

    @property
    def wanted(self) -> float | None:
        """Expected tokens per second; None in an open loop, where requests are counted."""
        return None if self.open_loop else self.level * PER_STREAM

    def __str__(self) -> str:
        return f"{self.kind}, {self.level}{'/s' if self.open_loop else ' streams'}, {self.processes} process(es)"


def trials(*, quick: bool, processes: int) -> Trials:
    """The trials of each kind of load. The generator gets the result of each trial."""
    streams, rates = (STREAMS[:QUICK], RATES[:QUICK]) if quick else (STREAMS, RATES)
    tried = yield from rising("closed", streams)
    for level in tried[-processes - 1 :]:
        if level >= processes:  # each process needs a user
            yield Trial("closed", level, processes)
    yield Trial("whole", streams[-1] // 4)
    yield Trial("open", rates[1])
    yield from rising("short", rates)


def rising(kind: str, loads: Sequence[int]) -> Generator[Trial, Step, list[int]]:
    """Trials of a rising load, until two in a row are broken: one alone may come from another program on the machine.
    Returns the tried levels."""
    tried: list[int] = []
    broken = 0
    for level in loads:
        step = yield Trial(kind, level)
        tried.append(level)
        broken = broken + 1 if step.broken else 0
        if broken == MAX_BROKEN:
            break
    return tried


def scenario_of(trial: Trial, url: str, *, quick: bool) -> LoadScenario:
    """The scenario of a trial, for the simulator at this URL."""
    load: dict[str, object] = {"duration": 2 if quick else 6, "warmup": 1 if quick else 2, "processes": trial.processes}
    if trial.open_loop:
        load |= {"rate": trial.level, "arrivals": "poisson"}
    else:
        load |= {"users": trial.level, "spawn_rate": trial.level}
    request = REQUESTS[trial.kind] | {"prompt": "Hi", "extra_body": {"ignore_eos": True}}
    model = "sim/instant" if trial.kind == "short" else "sim/exact"
    return LoadScenario.model_validate(
        {"name": "calibrate", "target": {"url": url}, "models": [model], "requests": [request], "load": load}
    )
