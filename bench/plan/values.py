"""What all parts of a scenario are made of: frozen values, and types that read as people write them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from bench.plan.units import seconds

_DURATION_SCHEMA = {"anyOf": [{"type": "number"}, {"type": "string", "examples": ["500ms", "30s", "2m"]}]}
Seconds = Annotated[float, BeforeValidator(seconds), Field(ge=0), WithJsonSchema(_DURATION_SCHEMA)]
PositiveSeconds = Annotated[float, BeforeValidator(seconds), Field(gt=0), WithJsonSchema(_DURATION_SCHEMA)]
Tokens = Annotated[int, Field(gt=0)]
Size = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$")]


class Value(BaseModel):
    """Frozen, and closed to keys that nobody reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)
