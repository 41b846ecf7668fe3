"""How far the stopwatch goes: runs of rising load, each told apart from the simulator's own times.

Unlike other experiments, its steps are whole runs: a certificate is about runs as users make them, processes and all.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.calibration import Step
from bench.experiments.load.question import LoadScenario

TOKENS, GAP_S, TTFT_S = 100, 0.01, 0.05  # of sim/exact: an answer of 100 tokens takes 1.04 s on average
PER_STREAM = TOKENS / (TTFT_S + GAP_S * (TOKENS - 1))  # tokens per second
STREAMS = (25, 50, 100, 200, 400, 600, 800, 1200)
RATES = (100, 300, 1000, 2000, 4000)
PATIENCE = 2  # broken steps in a row before a load is raised no further
QUICK = 2  # steps of each rising load, where a look is enough
REQUESTS: dict[str, dict[str, Any]] = {
    "closed": {"max_tokens": TOKENS},
    "whole": {"max_tokens": TOKENS, "stream": False},
    "open": {"max_tokens": 10},
    "short": {"max_tokens": 1, "stream": False},
}
"""The kinds of load, by what is asked: two keep users busy, two send at a rate."""
OPEN_LOOP = ("open", "short")

Trials = Generator["Trial", Step, None]


@dataclass(frozen=True, slots=True)
class Trial:
    """One run to make."""

    kind: str
    many: int  # users; in an open loop, requests per second
    processes: int = 1

    @property
    def open_loop(self) -> bool:
        return self.kind in OPEN_LOOP

    @property
    def wanted(self) -> float | None:
        """Tokens per second that should come; None in an open loop, where requests are counted."""
        return None if self.open_loop else self.many * PER_STREAM

    def __str__(self) -> str:
        return f"{self.kind}, {self.many}{'/s' if self.open_loop else ' streams'}, {self.processes} process(es)"


def trials(*, quick: bool, processes: int) -> Trials:
    """Each kind of load in turn; each trial is answered with what was measured in it."""
    streams, rates = (STREAMS[:QUICK], RATES[:QUICK]) if quick else (STREAMS, RATES)
    tried = yield from rising("closed", streams)
    for many in tried[-processes - 1 :]:
        yield Trial("closed", many, processes)
    yield Trial("whole", streams[-1] // 4)
    yield Trial("open", rates[1])
    yield from rising("short", rates)


def rising(kind: str, loads: Sequence[int]) -> Generator[Trial, Step, list[int]]:
    """Trials of a rising load, until two in a row are broken: one may be a neighbour's doing. Returns those tried."""
    tried: list[int] = []
    broken = 0
    for many in loads:
        step = yield Trial(kind, many)
        tried.append(many)
        broken = broken + 1 if step.broken else 0
        if broken == PATIENCE:
            break
    return tried


def scenario_of(trial: Trial, url: str, *, quick: bool) -> LoadScenario:
    """What a trial asks the simulator at this address."""
    load: dict[str, Any] = {"duration": 2 if quick else 6, "warmup": 1 if quick else 2, "processes": trial.processes}
    if trial.open_loop:
        load |= {"rate": trial.many, "arrivals": "poisson"}
    else:
        load |= {"users": trial.many, "spawn_rate": trial.many}
    request = REQUESTS[trial.kind] | {"prompt": "Hi", "extra_body": {"ignore_eos": True}}
    model = "sim/instant" if trial.kind == "short" else "sim/exact"
    return LoadScenario.model_validate(
        {"name": "calibrate", "target": {"url": url}, "models": [model], "requests": [request], "load": load}
    )
