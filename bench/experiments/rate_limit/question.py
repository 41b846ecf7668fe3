"""What a question about rate limits says: which limits to look for, and which the provider promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field, model_validator

from bench.plan.credentials import Key
from bench.plan.inquiry import Inquiry
from bench.plan.scenario import Scenario
from bench.plan.syntax import Location
from bench.plan.tiers import tiers
from bench.plan.values import Count, Value

Resource = Literal["requests", "tokens", "images", "concurrency"]
HeaderStyle = Literal[
    "openai", "groq", "azure", "cerebras", "anthropic", "ietf", "ietf_old", "openrouter", "together", "litellm"
]
DECLARED: dict[str, Resource] = {"rpm": "requests", "tpm": "tokens", "ipm": "images", "concurrency": "concurrency"}
"""What each promise of a contract limits."""
OTHER_KEY = "other_key"  # the arm


class Contract(Value):
    """What the provider promises."""

    rpm: Count | None = Field(None, description="requests per minute")
    tpm: Count | None = Field(None, description="tokens per minute")
    ipm: Count | None = Field(None, description="images per minute")
    concurrency: Count | None = Field(None, description="requests under way at a time")
    headers: HeaderStyle | None = Field(None, description="answers state the limits, in headers of this style")
    retry_after: bool = Field(False, description="refusals say when to come back")
    tier: str | None = Field(None, description="a provider's table of limits, such as novita/T1")

    @model_validator(mode="after")
    def _promises_something(self) -> Contract:
        if self.tier is not None and self.tier not in tiers():
            raise ValueError(f"tier is {self.tier!r}; known are {', '.join(tiers())}")
        if self.tier is None and not any(getattr(self, name) for name in DECLARED):
            raise ValueError("promises no limit; rpm, tpm, ipm, concurrency or tier is expected, such as rpm: 60")
        return self

    def limits(self, model: str, api: str = "chat") -> dict[str, int]:
        """The limits promised for a model and an API, by name: what the contract says itself, else what its tier
        says."""
        stated = {} if self.tier is None else tiers()[self.tier].of(model, api)
        found = {name: getattr(self, name) or stated.get(name) for name in DECLARED}
        if self.ipm is None and api not in IMAGE_APIS:
            found["ipm"] = None  # of a tier's table, for other models than this one
        return {name: int(value) for name, value in found.items() if value is not None}


class RateLimitScenario(Inquiry):
    """Which rate limits does the provider have, and does it keep those that it promises?"""

    kind: Literal["rate_limit"] = Field(description="the question asked")
    discover: tuple[Resource, ...] = Field((), description="the limits to find out")
    contract: Contract | None = Field(None, description="the limits to test")
    other_key: Key | None = Field(None, description="a second API key, to see whether it has limits of its own")

    @property
    def arms(self) -> Mapping[str, Scenario]:
        """The same scenario with the other key, if there is one."""
        if self.other_key is not None and not self._arms:
            target = self.target.model_copy(update={"key": self.other_key})
            kept = {name: getattr(self, name) for name in Scenario.model_fields if name != "kind"}
            self._arms[OTHER_KEY] = Scenario.model_construct(**kept | {"target": target, "kind": "load"})
        return self._arms

    @property
    def promised(self) -> dict[str, int]:
        """The limits that the contract promises for the requests of the first model, by name; empty without one. A
        tier's limits for an API count where all requests are of that API."""
        apis = {item.api for item in self.requests}
        return {} if self.contract is None else self.contract.limits(self.models[0], *(apis if len(apis) == 1 else ()))

    def mistakes(self) -> Iterator[tuple[Location, str]]:
        yield from super().mistakes()
        if not self.discover and self.contract is None:
            yield (
                ("kind",),
                "discover and contract are missing; discover: [requests] or contract: {rpm: 60} is expected",
            )
        if len(set(self.discover)) < len(self.discover):
            yield ("discover",), "discover names a limit twice; once is enough"
        images = {"images"} & {*self.discover} or (self.contract is not None and self.contract.ipm is not None)
        if images and not any(item.api in IMAGE_APIS for item in self.requests):
            yield (
                ("requests",),
                "images are limited where they are made, and no request makes any; add one, api: images",
            )


IMAGE_APIS = frozenset({"images", "txt2img", "img2img", "flux"})
