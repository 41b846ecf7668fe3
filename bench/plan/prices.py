"""What tokens cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from bench.plan.values import Number, Value

Dollars = Annotated[Number, Field(ge=0, le=1e6)]


class Price(Value):
    """US dollars per million tokens, or per piece."""

    input: Dollars = Field(0.0, description="prompt tokens, USD per million")
    output: Dollars = Field(0.0, description="completion tokens, reasoning included, USD per million")
    cached_input: Dollars | None = Field(None, description="prompt tokens read from the cache; default: as input")
    cache_write: Dollars | None = Field(None, description="prompt tokens written to the cache; default: as input")
    item: Dollars = Field(0.0, description="each image, video or sound, USD")
    batch: Annotated[Number, Field(ge=0, le=1)] = Field(
        1.0, description="price in a batch, as a share of the online one"
    )

    @model_validator(mode="after")
    def _says_a_price(self) -> Price:
        if not self.model_fields_set & {"input", "output", "item"}:
            raise ValueError("got no price; input and output (USD per million tokens), or item (USD), are expected")
        return self


def cost_usd(price: Price, *, prompt: float, completion: float, cached: float = 0, cache_write: float = 0) -> float:
    """Dollars for so many tokens. `prompt` includes the cached and the written ones, which have prices of their own."""
    plain = prompt - cached - cache_write
    return (
        plain * price.input
        + cached * (price.input if price.cached_input is None else price.cached_input)
        + cache_write * (price.input if price.cache_write is None else price.cache_write)
        + completion * price.output
    ) / 1e6
