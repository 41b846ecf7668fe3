"""The keys of a scenario of kind compare: its arms, the number of pairs, and how much worse a candidate may be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from bench.metrics import METRICS
from bench.plan.arms import BASELINE, ArmSettings
from bench.plan.arrivals import Arrivals, Ramp
from bench.plan.budget import Budget
from bench.plan.gate import TAIL, Line, parse_gate
from bench.plan.load import (
    SCHEDULE,
    Burstiness,
    Rate,
    Users,
    check_burstiness,
    check_loop,
    check_rate,
    check_unscheduled,
)
from bench.plan.pauses import Think
from bench.plan.scenario import OF_SLO, Scenario, Slo, slo_missing
from bench.plan.syntax import Location
from bench.plan.values import Count, JsonObject, Seconds, Value, Whole

FEWEST = 20
"""The smallest number of pairs that can show anything."""
STREAMED = {"ttft p50": "5%", "ttft p95": "10%", "tpot p50": "5%", "e2e p50": "5%", "error_rate": "1%"}
WHOLE = {"e2e p50": "5%", "e2e p95": "10%", "error_rate": "1%"}
GOOD = {"goodput": "1%"}
"""The figures that are compared, but not judged, if the scenario has no gate: STREAMED if every arm streams, and GOOD
if it has an SLO."""


Order = Literal["auto", "prompts", "blocks"]


def takes_turns(order: Order, engines: Sequence[object]) -> bool:
    """Whether the arms take turns in blocks. `engines` are the llama.cpp targets of the arms."""
    if order != "auto":
        return order == "blocks"
    return any(one == other for place, one in enumerate(engines) for other in engines[:place])


def lines_of(gate: Mapping[str, object] | None, *, streams: bool, slo: bool) -> tuple[Line, ...]:
    """The lines of a gate, or the default lines without one; `streams` says whether every arm streams, `slo` whether
    there is an SLO."""
    return parse_gate(gate if gate is not None else (STREAMED if streams else WHOLE) | (GOOD if slo else {}))


def without_slo(lines: Iterable[Line]) -> Iterator[tuple[str, str]]:
    """The lines that need an SLO, where there is none: the title and the message of each."""
    return ((line.title, f"gate.{line.title}: {slo_missing(line.metric)}") for line in lines if line.metric in OF_SLO)


def check_slo(lines: Iterable[Line], *, slo: bool) -> None:
    """Raises ValueError for a line that needs an SLO, if there is none."""
    for _, problem in () if slo else without_slo(lines):
        raise ValueError(problem)


def without_streams(lines: Iterable[Line], arms: Mapping[str, Scenario]) -> Iterator[tuple[str, str]]:
    """The lines about streams that an arm without streams can never show: the title and the message of each."""
    whole = [name for name, arm in arms.items() if not any(request.stream for request in arm.requests)]
    for line in lines:
        if whole and METRICS[line.metric].streams_only:
            title = METRICS[line.metric].title
            yield line.title, f"gate.{line.title}: arm {whole[0]} does not stream, and only streams have a {title}"


class Pairs(Value):
    """The number of pairs, and their order."""

    most: Count = Field(1000, ge=FEWEST, description="the largest number of pairs; a clear case ends earlier")
    pilot: Whole = Field(
        50, ge=0, le=100_000, description="number of pairs before the first estimate of how many are needed"
    )
    order: Order = Field(
        "auto",
        description="prompts: each prompt goes to every arm, one after the other; blocks: the arms take turns with "
        "short loads, for arms that slow each other down; auto: blocks if they are one llama.cpp, else prompts",
    )
    block: Count = Field(20, le=10_000, description="pairs of one block")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"most": value} if isinstance(value, int) and not isinstance(value, bool) else value


class CompareLoad(Value):
    """The load. A user sends the requests of a pair one after the other, and then those of the next pair."""

    users: Users | None = Field(None, description="number of pairs in flight at the same time; default: 1")
    rate: Rate | None = Field(None, description="pairs per second, sent without waiting for answers")
    arrivals: Arrivals = Field("poisson", description="for a rate: poisson, constant, or gamma with a burstiness")
    burstiness: Burstiness = Field(1.0, description="for gamma arrivals: 1 is Poisson, below 1 comes in bursts")
    think_time: Think | None = Field(None, description="pause of a user between two pairs")
    impatient: bool = Field(False, description="whether a user who is refused sends again at once")
    warmup: Seconds = Field(0.0, description="time under load before the measurement")
    drain: Seconds = Field(30.0, description="time to wait for open requests after the load")

    @model_validator(mode="before")
    @classmethod
    def _one_user(cls, value: object) -> object:
        return value | {"users": 1} if isinstance(value, dict) and not {"users", "rate"} & value.keys() else value

    @model_validator(mode="after")
    def _is_one_loop(self) -> CompareLoad:
        check_loop(self.users, self.rate, None, FEWEST)
        if self.rate is not None:
            check_rate(self.rate, self.warmup)
            if self.impatient or self.think_time is not None:
                raise ValueError("impatient and think_time are for users; arrivals of a rate never wait")
        else:
            check_unscheduled(name for name in SCHEDULE if name in self.model_fields_set)
        if "burstiness" in self.model_fields_set:
            check_burstiness(self.arrivals)
        return self

    @property
    def level(self) -> Ramp:
        """The users or the rate."""
        return Ramp(float(self.users if self.users is not None else self.rate or 0.0))


_ARM = {"anyOf": [ArmSettings.model_json_schema(), {"type": "string", "description": "its target"}, {"type": "null"}]}
GivenArms = Annotated[JsonObject, WithJsonSchema({"type": "object", "additionalProperties": _ARM})]
"""The arms as they are in the file. They are checked later, each as a scenario."""


class CompareScenario(Scenario):
    """Which is faster, and did it get worse?"""

    takes_arms: ClassVar[bool] = True

    kind: Literal["compare"] = Field("compare", description="the question asked")
    given_arms: GivenArms = Field({}, alias="arms", description="how each differs; default: one for each of the models")
    load: CompareLoad = CompareLoad(users=1)
    pairs: Pairs = Pairs()
    gate: dict[str, object] | None = Field(
        None, description="how much worse a candidate may be, such as ttft p50: 5%; a worse one exits 1"
    )
    slo: Slo | None = Field(None, description="limits of a good answer, for goodput; or mlperf/llama2-70b")
    budget: Budget | None = Field(None, description="the largest cost")

    @field_validator("gate")
    @classmethod
    def _can_be_judged(cls, value: dict[str, object] | None) -> dict[str, object] | None:
        if value is not None:
            parse_gate(value)
        return value

    @property
    def allowance(self) -> Budget | None:
        return self.budget

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines of the gate, or the default lines without one."""
        streams = all(request.stream for arm in self.arms.values() for request in arm.requests)
        return lines_of(self.gate, streams=streams, slo=self.slo is not None)

    @property
    def in_blocks(self) -> bool:
        """Whether the arms take turns in blocks."""
        return takes_turns(self.pairs.order, [arm.target for arm in self.arms.values() if arm.target.llama_cpp])

    def mistakes(self) -> Iterator[tuple[Location, str]]:
        yield from super().mistakes()
        if len(self.arms) < 2:
            got = f"there is one arm, {next(iter(self.arms))}" if self.arms else "there are no arms"
            yield ("arms",), f"{got}; two or more are expected, such as {BASELINE} and candidate, or two models"
        for name, arm in self.arms.items():
            if len(arm.models) > 1:
                yield ("arms", name), f"arms.{name} has {len(arm.models)} models; one is expected, such as model: NAME"
        if self.slo is None and self.gate is not None:
            yield from ((("gate", title), problem) for title, problem in without_slo(self.lines))
        if self.gate is not None:
            yield from ((("gate", title), problem) for title, problem in without_streams(self.lines, self.arms))
        if self.in_blocks:
            for key in self.gate or ():
                if key.split()[-1] == TAIL:
                    yield ("gate", key), f"gate.{key}: tail needs pairs of prompts; pairs.order is blocks"
            if self.pairs.most < 12 * self.pairs.block:
                got = f"pairs.most is {self.pairs.most} and pairs.block {self.pairs.block}"
                yield ("pairs",), f"{got}; at least 12 blocks are expected"
