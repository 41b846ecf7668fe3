"""A load is its stages."""

from __future__ import annotations

from bench.experiments.load.question import LoadScenario
from bench.plan.steps import Steps


def steps(scenario: LoadScenario) -> Steps[None]:
    """Each stage in turn."""
    for stage in scenario.load.as_stages():  # noqa: UP028 - a tuple could not be sent records
        yield stage
