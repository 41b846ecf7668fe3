"""The keys that only a scenario of kind load has: the load, and the limits that a good result must keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from bench.plan.document import dotted
from bench.plan.gate import parse_gate
from bench.plan.load import Load
from bench.plan.presets import is_preset, thresholds_of
from bench.plan.scenario import OF_SLO, Scenario, Slo, slo_missing
from bench.plan.scopes import scope_names
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
    """Thresholds, with each preset replaced by its thresholds."""
    if not isinstance(given, list | tuple):
        return given
    found: list[object] = []
    for one in given:
        found += thresholds_of(one) if is_preset(one) else [one]
    return found


class LoadScenario(Scenario):
    """How fast and how reliable is the target under load?"""

    kind: Literal["load"] = Field("load", description="the question asked")
    load: Load
    slo: Slo | None = Field(None, description="limits of a good answer, for goodput; or mlperf/llama2-70b")
    limits: Limits | None = Field(None, description="rate limits that the provider promises: rpm, tpm, ipm, or a tier")
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
        """Every user sends to one model, so each model needs a user in each process."""
        fewest, processes = self.load.fewest_users, self.load.processes
        least, where_each = len(self.models) * processes, " in each process" if processes > 1 else ""
        if fewest is not None and fewest < least:
            where: Location = ("load", "stages") if self.load.stages else ("load", "users")
            got = f"{dotted(where)} is {fewest}" if not self.load.stages else f"users of a stage is {fewest}"
            needs = f"every model needs one{where_each}: {least} or more are expected"
            yield where, f"{got}; every user sends to one model, and {needs}"

    def _threshold_problems(self, expression: str) -> Iterator[str]:
        threshold = parse_threshold(expression)
        stages = [stage.name for stage in self.load.as_stages() if stage.measured]
        classes = [name for request in self.requests for name in request.classes]
        kinds = {"a model": self.models, "a request class": classes, "a stage": stages}
        for word in scope_names(threshold.scope, (*self.models, *classes, *stages)):
            found = [kind for kind, names in kinds.items() if word in names]
            if not found:
                known = ", ".join((*self.models, *classes, *stages))
                yield f"{word!r} is not a model, a request class or a stage; known are {known}"
            if len(found) > 1:
                yield f"{word!r} is {' and '.join(found)}; give one of them another name"
        if threshold.metric in OF_SLO and self.slo is None:
            yield slo_missing(threshold.metric)
