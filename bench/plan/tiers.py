"""The rate limits that a provider promises: requests, tokens and images per minute, and requests at the same time. They
are written in the scenario, or are those of a tier.

The tiers are a table in this package; the part of each provider has its source and date.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from bench.plan.values import JsonObject, Number, Value

TIERS = Path(__file__).parents[1] / "tiers.json"
PER_MINUTE = ("rpm", "tpm", "ipm")

Amount = Annotated[Number, Field(gt=0, le=1e12)]


@dataclass(frozen=True, slots=True)
class Tier:
    """One line of a provider's table."""

    name: str  # such as novita/T1
    source: str
    date: str  # when the source said so
    limits: Mapping[str, float]  # rpm, tpm, ipm of a model that the table does not name
    by_model: Mapping[str, Mapping[str, float]]
    by_api: Mapping[str, Mapping[str, float]]  # of media

    def of(self, model: str, api: str = "chat") -> dict[str, float]:
        """The limits of a model, or of an API if the table has limits for it, by rpm, tpm, ipm."""
        return {**self.limits, **self.by_model.get(model, {}), **self.by_api.get(api, {})}


@cache
def tiers() -> Mapping[str, Tier]:
    """Every tier by name."""
    providers: JsonObject = json.loads(TIERS.read_text("utf-8"))
    return {
        f"{provider}/{name}": Tier(
            name=f"{provider}/{name}",
            source=table["source"],
            date=table["date"],
            limits={key: float(one[key]) for key in PER_MINUTE if key in one},
            by_model=one["models"],
            by_api=one["apis"],
        )
        for provider, table in providers.items()
        for name, one in table["tiers"].items()
    }


class Limits(Value):
    """The rate limits that the provider promises for each model."""

    tier: str | None = Field(None, description="a line of a provider's table, such as novita/T1")
    rpm: Amount | None = Field(None, description="requests per minute")
    tpm: Amount | None = Field(None, description="tokens per minute, of prompts and answers")
    ipm: Amount | None = Field(None, description="images per minute")
    concurrency: Amount | None = Field(None, description="requests at a time")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"tier": value} if isinstance(value, str) else value

    @field_validator("tier")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in tiers():
            raise ValueError(f"{value!r} is not a tier; one of {', '.join(tiers())} is expected")
        return value

    @model_validator(mode="after")
    def _says_something(self) -> Limits:
        if not self.model_fields_set:
            raise ValueError("is empty; rpm: 60, tpm: 100000 or a tier such as novita/T1 is expected")
        return self

    def of(self, model: str, api: str = "chat") -> dict[str, float]:
        """The limits of a model by rpm, tpm, ipm, concurrency; limits in the scenario win over those of the tier."""
        found = {} if self.tier is None else tiers()[self.tier].of(model, api)
        own = {name: getattr(self, name) for name in (*PER_MINUTE, "concurrency")}
        return found | {name: value for name, value in own.items() if value is not None}
