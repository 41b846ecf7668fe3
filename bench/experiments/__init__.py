"""The questions that can be asked, a folder each.

A question is an experiment: a generator of steps that is given the records of each step. It knows no network, no clock
and no file, so its logic is tested against a simulated server in milliseconds (see `simulated_performer`). What it
found out is computed later, from the run's folder alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.experiments.compare.question import CompareScenario
from bench.experiments.compare.steps import all_stages
from bench.experiments.compare.steps import steps as compare_steps
from bench.experiments.kind import Kind, UnknownKindError, findings_in, kind_of, own_kind, own_steps
from bench.experiments.load.question import LoadScenario
from bench.experiments.load.steps import steps as load_steps
from bench.experiments.prompt_cache.question import PromptCacheScenario
from bench.experiments.prompt_cache.steps import steps as prompt_cache_steps
from bench.experiments.rate_limit.question import RateLimitScenario
from bench.plan.document import Given
from bench.plan.json_schema import schema as schema_of
from bench.plan.scenario import Scenario
from bench.plan.scenario_file import OwnApi, is_own_kind, load_scenario
from bench.plan.steps import Stage, Steps
from bench.plan.values import JsonObject

if TYPE_CHECKING:
    from bench.analysis import Run
    from bench.analysis.conclusion import Conclusion

__all__ = [
    "KINDS",
    "Kind",
    "LoadScenario",
    "UnknownKindError",
    "conclusion_of",
    "findings_in",
    "read_scenario",
    "schema",
    "stages_of",
    "steps_of",
]


def rate_limit_steps(scenario: RateLimitScenario) -> Steps[None]:
    """The steps, imported when they are begun: they reckon with numpy, and a load should start at once."""
    from bench.experiments.rate_limit.steps import steps

    yield from steps(scenario)


KINDS: dict[str, Kind] = {
    "load": Kind(LoadScenario, load_steps, stages=lambda scenario: scenario.load.as_stages()),
    "compare": Kind(CompareScenario, compare_steps, findings_in("bench.experiments.compare.findings"), all_stages),
    "rate_limit": Kind(RateLimitScenario, rate_limit_steps, findings_in("bench.experiments.rate_limit.findings")),
    "prompt_cache": Kind(
        PromptCacheScenario, prompt_cache_steps, findings_in("bench.experiments.prompt_cache.findings")
    ),
}
"""The one table that scenario, run and report look into."""


def read_scenario(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
    target: str | None = None,
    simulator: Any = None,
    own_api: OwnApi | None = None,
    before_own: Callable[[], None] = lambda: None,
    given: Given | None = None,
) -> Scenario:
    """The scenario of a file, of whichever kind; see bench.plan.load_scenario. `before_own` is called before the file
    of a kind of the user's own is imported. Raises Mistakes."""

    def own_scenario(name: str) -> type[Scenario]:
        before_own()
        try:
            return own_kind(name).scenario
        except UnknownKindError as error:
            raise ValueError(str(error)) from None

    kinds = {name: kind.scenario for name, kind in KINDS.items()}
    return load_scenario(
        path,
        kinds,
        overrides=overrides,
        environ=environ,
        target=target,
        simulator=simulator,
        own_api=own_api,
        own_kind=own_scenario,
        given=given,
    )


def steps_of(scenario: Scenario) -> Steps[None]:
    """The experiment that answers a scenario's question."""
    if is_own_kind(scenario.kind):
        return own_steps(scenario.kind, scenario)
    return kind_of(scenario.kind, KINDS).steps(scenario)


def stages_of(scenario: Scenario) -> Sequence[Stage] | None:
    """What a scenario's experiment sends at most; None if the answers decide that."""
    stages = kind_of(scenario.kind, KINDS).stages
    return None if stages is None else stages(scenario)


def conclusion_of(run: Run, kind: str) -> Conclusion:
    """What the experiment of this kind finds in a run, for bench.report. Raises UnknownKindError, and whatever a user's
    own findings raise."""
    from bench.analysis.conclusion import Conclusion

    findings = kind_of(kind, KINDS).findings
    found = Conclusion() if findings is None else findings(run)
    if not isinstance(found, Conclusion):
        raise TypeError(
            f"findings returned a {type(found).__name__}; a bench.analysis.conclusion.Conclusion is expected"
        )
    return found


def schema() -> JsonObject:
    """The JSON Schema of scenarios of every kind."""
    definitions: JsonObject = {}
    chosen: JsonObject = {"$ref": "#/$defs/LoadScenario"}  # without a kind, or with one that is no other's
    for name, kind in KINDS.items():
        made = schema_of(kind.scenario)
        definitions |= made.pop("$defs", {}) | {kind.scenario.__name__: made}
        if name != "load":
            asked = {"properties": {"kind": {"const": name}}, "required": ["kind"]}
            chosen = {"if": asked, "then": {"$ref": f"#/$defs/{kind.scenario.__name__}"}, "else": chosen}
    dialect = "https://json-schema.org/draft/2020-12/schema"  # else an editor takes it for an older one
    return {"$schema": dialect, "title": "Scenario", "$defs": definitions} | chosen
