"""The questions that can be asked, a folder each.

A question is an experiment: a generator of steps that is given the records of each step. It knows no network, no clock
and no file, so its logic is tested against a simulated server in milliseconds (see `rehearsal`). What it found out is
computed later, from the run's folder alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.experiments.load.question import LoadScenario
from bench.experiments.load.steps import steps as load_steps
from bench.plan.scenario import Scenario, load_scenario
from bench.plan.scenario import schema as schema_of
from bench.plan.steps import Steps


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of question."""

    scenario: type[Scenario]  # what it is asked with
    steps: Callable[[Any], Steps[None]]  # of such a scenario
    findings: str  # module in which `findings(run)` answers it; imported when a report is made


KINDS: dict[str, Kind] = {
    "load": Kind(LoadScenario, load_steps, "bench.experiments.load.findings"),
}
"""The one table that scenario, run and report look into."""


def read_scenario(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
    target: str | None = None,
    simulator: Any = None,
    own_api: Callable[[str], str | None] | None = None,
) -> Scenario:
    """The scenario of a file, of whichever kind; see bench.plan.load_scenario. Raises Mistakes."""
    kinds = {name: kind.scenario for name, kind in KINDS.items()}
    return load_scenario(
        path, kinds, overrides=overrides, environ=environ, target=target, simulator=simulator, own_api=own_api
    )


def steps_of(scenario: Scenario) -> Steps[None]:
    """The experiment that answers a scenario's question."""
    return KINDS[scenario.kind].steps(scenario)


def schema() -> dict[str, Any]:
    """The JSON Schema of scenarios of every kind."""
    made = {name: schema_of(kind.scenario) for name, kind in KINDS.items()}
    if len(made) == 1:
        return made["load"]
    definitions: dict[str, Any] = {}
    for one in made.values():
        definitions |= one.pop("$defs", {})
    return {"$defs": definitions, "anyOf": list(made.values())}
