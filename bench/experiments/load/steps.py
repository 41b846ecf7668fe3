"""The steps of a load are its stages."""

from __future__ import annotations

from bench.experiments.load.question import LoadScenario
from bench.plan.steps import Stage, Steps, Wait


def steps(scenario: LoadScenario) -> Steps[None]:
    """All stages, with a pause before each level except the first."""
    first = True
    for stage in scenario.load.as_stages():
        if not first and scenario.load.pause and starts_a_level(stage, scenario.load.warmup):
            yield Wait(seconds=scenario.load.pause)
        first = False
        yield stage


def starts_a_level(stage: Stage, warmup: float) -> bool:
    """Whether a level begins with this stage: its warm-up, or its measured stage if it has no warm-up."""
    return stage.measured != bool(warmup)
