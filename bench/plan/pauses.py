"""Think times of users: fixed or random."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.plan.values import PositiveSeconds, Seconds


@dataclass(frozen=True, slots=True)
class Pause:
    """The think time of a user before the next request, in seconds: fixed or random."""

    mean: float
    low: float | None = None  # of a uniform distribution
    high: float | None = None
    exponential: bool = False

    def draw(self, rng: random.Random) -> float:
        """One pause."""
        if self.low is not None and self.high is not None:
            return rng.uniform(self.low, self.high)
        return rng.expovariate(1.0 / self.mean) if self.exponential and self.mean > 0 else self.mean


class Think(BaseModel):
    """The think time in a scenario."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fixed: Seconds | None = Field(None, description="the same time always")
    between: tuple[Seconds, Seconds] | None = Field(None, description="uniform between two times")
    exponential: PositiveSeconds | None = Field(None, description="exponential with this mean")

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: object) -> object:
        if isinstance(value, list | tuple):
            return {"between": value}
        return value if isinstance(value, dict) else {"fixed": value}

    @model_validator(mode="after")
    def _is_one_thing(self) -> Think:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"got {' and '.join(given) or 'none'}; 2s, [1s, 3s] or {{exponential: 2s}} is expected")
        if self.between is not None and self.between[0] > self.between[1]:
            raise ValueError("the first of the two times must be the shorter one")
        return self

    def pause(self) -> Pause:
        if self.between is not None:
            return Pause(sum(self.between) / 2, *self.between)
        return Pause(self.fixed or self.exponential or 0.0, exponential=self.exponential is not None)
