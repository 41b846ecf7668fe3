"""What a load's scenario says beside who is asked what: how hard, and what is good enough."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from bench.plan.document import dotted
from bench.plan.gate import parse_gate
from bench.plan.load import Load
from bench.plan.presets import is_preset, thresholds_of
from bench.plan.scenario import Scenario, Slo
from bench.plan.syntax import Location
from bench.plan.thresholds import parse_threshold
from bench.plan.tiers import Limits


def _is_threshold(expression: str) -> str:
    parse_threshold(expression)
    return expression


def _is_gate(given: dict[str, str | float]) -> dict[str, str | float]:
    parse_gate(given, runs=True)
    return given


def _written_out(given: object) -> object:
    """Thresholds with those of presets in the presets' place."""
    if not isinstance(given, list | tuple):
        return given
    found: list[object] = []
    for one in given:
        found += thresholds_of(one) if is_preset(one) else [one]
    return found


class LoadScenario(Scenario):
    """How does it fare under load?"""

    kind: Literal["load"] = Field("load", description="the question asked")
    load: Load
    slo: Slo | None = Field(None, description="what a good answer is, for goodput; or mlperf/llama2-70b")
    limits: Limits | None = Field(None, description="what the provider promises to take: rpm, tpm, ipm, or a tier")
    thresholds: Annotated[tuple[Annotated[str, AfterValidator(_is_threshold)], ...], BeforeValidator(_written_out)] = (
        Field((), description="conditions such as ttft p95 < 800ms, or mlperf/llama2-70b; one that fails exits 1")
    )
    gate: Annotated[dict[str, str | float], AfterValidator(_is_gate)] | None = Field(
        None, description="how much worse another run may be for bench compare to pass it, such as ttft p50: 5%"
    )

    @property
    def processes(self) -> int:
        return self.load.processes

    def mistakes(self) -> Iterator[tuple[Location, str]]:
        yield from super().mistakes()
        yield from self._too_few_users()
        for index, expression in enumerate(self.thresholds):
            where: Location = ("thresholds", index)
            yield from ((where, f"{dotted(where)}: {problem}") for problem in self._threshold_problems(expression))

    def _too_few_users(self) -> Iterator[tuple[Location, str]]:
        """Every user asks one model, so each model in each process needs one."""
        fewest, processes = self.load.fewest_users, self.load.processes
        if fewest is not None and fewest < len(self.models) * processes:
            many = f"{len(self.models)} models" + (f" in each of {processes} processes" if processes > 1 else "")
            where: Location = ("load", "stages") if self.load.stages else ("load", "users")
            told = f"{dotted(where)} is {fewest}" if not self.load.stages else f"a stage has {fewest} users"
            yield where, f"{told}; every user asks one model, so {many} need as many users"

    def _threshold_problems(self, expression: str) -> Iterator[str]:
        threshold = parse_threshold(expression)
        stages = [stage.name for stage in self.load.as_stages() if stage.measured]
        known = (*self.models, *(name for request in self.requests for name in request.classes), *stages)
        for word in threshold.scope:
            if word not in known:
                yield f"{word!r} is no model, no request class and no stage; known are {', '.join(known)}"
        if threshold.metric == "goodput" and self.slo is None:
            yield "goodput needs to know what good is; add slo: {ttft: 500ms} or the like"
