"""A scenario: the target, the requests, and what counts as a good answer. Frozen values from strict YAML, which
`bench.plan.scenario_file` reads.

The descriptions are the documentation: they go into the JSON Schema that editors show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    PrivateAttr,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from bench.plan.addresses import host_problem, problem
from bench.plan.budget import Budget
from bench.plan.mix import AnyRequest
from bench.plan.presets import PRESETS, is_preset, slo_of
from bench.plan.prices import Price
from bench.plan.syntax import Location
from bench.plan.target import Target
from bench.plan.values import JsonObject, Name, PositiveSeconds, Value, Whole

KeepBodies = Literal["failed", "all", "none"]

HIDDEN_KEYS = frozenset({"extra", "extra_body", "metadata", "user"})
"""Keys of a request whose values from the environment are hidden in all files."""


class Timeouts(Value):
    """Time limits of a request."""

    connect: PositiveSeconds = Field(5.0, description="time to make a connection")
    first_token: PositiveSeconds = Field(60.0, description="time from sending to the first token of a stream")
    gap: PositiveSeconds = Field(30.0, description="time between two tokens of a stream")
    total: PositiveSeconds = Field(300.0, description="time from sending to the end of the answer")


class Bounds(Value):
    """Size limits of an answer, in bytes; beyond them the request fails."""

    head: int = Field(65_536, gt=0, description="limit for headers, trailers and framing")
    answer: int = Field(67_108_864, gt=0, description="limit for one answer, plus 128 bytes for each read")


class Retries(Value):
    """Retries; off by default, since they hide failures and limits."""

    attempts: Whole = Field(3, ge=1, le=100, description="number of tries, the first included")
    backoff: PositiveSeconds = Field(0.5, description="longest wait before the first retry; doubles with every retry")
    max_backoff: PositiveSeconds = Field(8.0, description="the longest wait")
    obey_retry_after: bool = Field(True, description="wait as long as the server asks, if it does")


class Webhook(Value):
    """The address for webhooks, for requests with result: webhook."""

    host: str = Field("127.0.0.1", description="address of this machine to listen on")
    port: Whole = Field(0, ge=0, le=65535, description="port to listen on; 0: any free one")
    url: str | None = Field(None, description="URL by which the provider reaches it; default: that address")

    @field_validator("url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None and (wrong := problem(value)) is not None:
            raise ValueError(wrong)
        return value

    @field_validator("host")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if (wrong := host_problem(value)) is not None:
            raise ValueError(wrong)
        return value


MOST_BARE_S = 60.0  # the largest number without a unit, which then is seconds


class Slo(Value):
    """The limits of a good answer; a request within all of them counts for goodput. Or the name of a preset, such as
    mlperf/llama2-70b-interactive."""

    ttft: PositiveSeconds | None = Field(None, description="time to first token, of streams")
    ttfa: PositiveSeconds | None = Field(None, description="time to first answer token, of streams")
    tpot: PositiveSeconds | None = Field(None, description="time per output token, of streams")
    e2e: PositiveSeconds | None = Field(None, description="time to the end of the answer")

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: object) -> object:
        """mlperf/llama2-70b stands for its limits."""
        return slo_of(str(value)) if is_preset(value) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonObject:
        return {"anyOf": [handler(core), {"enum": list(PRESETS)}]}

    @field_validator("*", mode="before")
    @classmethod
    def _has_a_unit(cls, value: object) -> object:
        """Refuse a large number without a unit: 500 hardly means eight minutes."""
        bare = isinstance(value, int | float) or (isinstance(value, str) and value.replace(".", "", 1).isdecimal())
        if bare and float(value) > MOST_BARE_S:  # type: ignore[arg-type]  # it is a number
            raise ValueError(f"{value} has no unit, and as seconds it is long: did you mean {value}ms or {value}s?")
        return value

    @model_validator(mode="after")
    def _says_what_good_is(self) -> Slo:
        if not self.limits:
            raise ValueError("is empty; a limit such as ttft: 500ms is expected")
        return self

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are stated, s by metric."""
        return {name: limit for name in type(self).model_fields if (limit := getattr(self, name)) is not None}


OF_SLO = ("goodput", "good_requests_per_s")
"""The metrics that need an SLO."""


def slo_missing(metric: str) -> str:
    """What is wrong where one of these is asked for without an SLO."""
    return f"{metric} needs the limits of a good answer; add them, such as slo: {{ttft: 500ms}}"


LONGEST_FOLDER = 150  # characters of a name; the start time follows it, and file systems take 255


class Scenario(Value):
    """What all kinds of question have in common: the target and the requests. Each kind adds its own keys."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=LONGEST_FOLDER)] = Field(
        description="name of the run's folder: letters, digits, dots, dashes"
    )
    kind: str = Field("load", description="the question asked")
    target: Target
    models: tuple[Name, ...] = Field(min_length=1, description="the models to test; all get the same requests")
    requests: tuple[AnyRequest, ...] = Field(min_length=1, description="the request classes, the mix")
    timeouts: Timeouts = Timeouts()
    bounds: Bounds = Bounds()
    retries: Retries | None = Field(None, description="trying again; default: not at all")
    webhook: Webhook = Webhook()
    prices: dict[str, Price] = Field({}, description="prices by model, in US dollars per million tokens")
    tokenizers: dict[str, str] = Field(
        {},
        description="tokenizer.json by model, relative to the scenario: synthetic texts then have exactly as many "
        "tokens as is asked, without those of a chat's template",
    )
    keep_bodies: KeepBodies = Field(
        "none", description="which texts to keep beside the records: of failed requests, of all, or of none"
    )
    fit: bool = Field(
        True,
        description="before the load, send two short requests per model and API to learn how it counts the tokens of "
        "synthetic prompts; false: estimate their length",
    )
    seed: Whole | None = Field(
        None, ge=0, lt=2**32, description="the same seed gives the same requests; default: random, and recorded"
    )

    takes_arms: ClassVar[bool] = False
    """Whether a file of this kind may have arms."""

    new_prompts: ClassVar[bool] = False
    """Whether the prompts of a run begin alike, and as in no other run: a cache may still know those."""

    _arms: dict[str, Scenario] = PrivateAttr(default_factory=dict)
    """The arms of the file, each as a scenario."""

    _originals: dict[Location, tuple[str, tuple[str, ...]]] = PrivateAttr(default_factory=dict)
    """For values that may be secret: the place of each, its text in the file, and the variables put into it."""

    @property
    def processes(self) -> int:
        """Number of processes that send its requests."""
        return 1

    @property
    def arms(self) -> Mapping[str, Scenario]:
        """The arms by name: each is a scenario with another target, key or model."""
        return self._arms

    @property
    def allowance(self) -> Budget | None:
        """The largest cost of its run; None if the scenario itself states how much it sends."""
        return None

    def mistakes(self) -> Iterator[tuple[Location, str]]:
        """Mistakes in the combination of several values: the place and the message of each."""
        yield from ()
