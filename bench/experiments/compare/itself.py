"""Compares a target with itself, to show what a gate says when there is no difference."""

from __future__ import annotations

from bench.experiments.compare.question import CompareLoad, CompareScenario, Pairs, check_slo
from bench.experiments.load.question import LoadScenario
from bench.plan.arms import BASELINE
from bench.plan.load import SCHEDULE
from bench.plan.scenario import Scenario

AGAIN = "again"
"""The name of the second arm."""
PAIRS = 1000


def against_itself(scenario: Scenario, gate: dict[str, object] | None = None) -> CompareScenario:
    """A comparison whose two arms are the same: the baseline of a comparison, or the first model of a load.

    `gate` replaces the scenario's own gate. Raises ValueError if there is no gate, or if the scenario is neither a
    comparison nor a load.
    """
    if isinstance(scenario, CompareScenario):
        arm = scenario.arms[next(iter(scenario.arms))]
        made = scenario.model_copy(update={"gate": gate or scenario.gate, "given_arms": {}})
    elif isinstance(scenario, LoadScenario):
        arm = scenario.model_copy(update={"models": scenario.models[:1]})
        shared = {name: getattr(arm, name) for name in Scenario.model_fields if name not in ("kind", "name")}
        load = scenario.load
        level = {"users": int(load.levels()[0])} if load.users is not None else {"rate": load.levels()[0]}
        schedule = {name: getattr(load, name) for name in SCHEDULE if name in load.model_fields_set}
        if load.stages:
            raise ValueError("a load of several stages cannot be compared with itself; a load with one level can")
        made = CompareScenario(
            **shared,
            name=f"{scenario.name}-aa",
            load=CompareLoad(**level, **schedule, think_time=load.think_time, warmup=load.warmup),
            pairs=Pairs(most=PAIRS),
            gate=gate,
            slo=scenario.slo,
        )
    else:
        raise ValueError(f"a question of kind {scenario.kind} cannot be compared with itself; load or compare can")
    if made.gate is None:
        raise ValueError("there is no gate; name one with --gate, or write one into the scenario")
    check_slo(made.lines, slo=made.slo is not None)
    made._originals = dict(scenario._originals)
    made._arms = {BASELINE: arm, AGAIN: arm}
    return made
