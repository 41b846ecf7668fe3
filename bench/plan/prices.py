"""Prices: those of the scenario, completed from the table that ships with this package."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Annotated

from pydantic import Field, model_validator

from bench.plan.values import Number, Value

Dollars = Annotated[Number, Field(ge=0, le=1e6)]
OF_INPUT = ("cached_input", "cache_write", "cache_write_1h")
"""Prices that the shipped table knows as shares of the input price."""


class Price(Value):
    """US dollars per million tokens, or per piece. What is not said is unknown, never 0."""

    input: Dollars | None = Field(None, description="prompt tokens, USD per million")
    output: Dollars | None = Field(None, description="completion tokens, reasoning included, USD per million")
    cached_input: Dollars | None = Field(
        None, description="prompt tokens read from the cache; default: the price of input"
    )
    cache_write: Dollars | None = Field(
        None, description="prompt tokens written to the cache; default: the price of input"
    )
    cache_write_1h: Dollars | None = Field(
        None, description="prompt tokens written to the cache for an hour; default: as cache_write"
    )
    reasoning: Dollars | None = Field(None, description="reasoning tokens, USD per million; default: as output")
    item: Dollars | None = Field(None, description="price of each image, video or sound, USD")
    image: Dollars | None = Field(None, description="each image, USD; default: as item")
    batch: Annotated[Number, Field(ge=0, le=1)] = Field(
        1.0, description="price in a batch, as a share of the usual one"
    )
    source: str | None = Field(None, description="who said so, and when")

    @model_validator(mode="after")
    def _says_a_price(self) -> Price:
        if all(getattr(self, name) is None for name in ("input", "output", "item", "image")):
            raise ValueError("got no price; input and output (USD per million tokens), or item (USD), are expected")
        return self

    @property
    def by_piece(self) -> bool:
        """Whether the price is per piece and not per token."""
        return self.input is None and self.output is None

    def of_piece(self, item: str) -> float | None:
        """The price of one image, video or sound, USD; None if it is unknown."""
        return self.image if item == "image" and self.image is not None else self.item


def cost_usd(
    price: Price,
    *,
    prompt: float,
    completion: float,
    cached: float = 0,
    cache_write: float = 0,
    cache_write_1h: float = 0,
    reasoning: float = 0,
) -> float | None:
    """The cost of tokens in US dollars; None if some of them have no known price.

    `prompt` includes the cached and the written ones, `cache_write` those written for an hour, `completion` the
    reasoning; each of them has a price of its own.
    """
    if price.by_piece:
        return 0.0
    parts = [of_input(price, prompt=prompt, cached=cached, cache_write=cache_write, cache_write_1h=cache_write_1h)]
    parts.append(of_tokens(completion - reasoning, price.output))
    parts.append(of_tokens(reasoning, price.output if price.reasoning is None else price.reasoning))
    return sum_of(parts)


def of_input(
    price: Price, *, prompt: float, cached: float = 0, cache_write: float = 0, cache_write_1h: float = 0
) -> float | None:
    """The cost of a prompt's tokens in US dollars; None if some of them have no known price."""
    write = price.input if price.cache_write is None else price.cache_write
    read = price.input if price.cached_input is None else price.cached_input
    return sum_of((
        of_tokens(prompt - cached - cache_write, price.input),
        of_tokens(cached, read),
        of_writes(price, cache_write=cache_write, cache_write_1h=cache_write_1h, default=write),
    ))  # fmt: skip


def of_writes(
    price: Price, *, cache_write: float, cache_write_1h: float = 0, default: float | None = None
) -> float | None:
    """The cost of tokens that were written to the cache, in US dollars; None if they have no known price."""
    write = default if price.cache_write is None else price.cache_write
    hour = write if price.cache_write_1h is None else price.cache_write_1h
    return sum_of((of_tokens(cache_write - cache_write_1h, write), of_tokens(cache_write_1h, hour)))


def of_tokens(tokens: float, price: float | None) -> float | None:
    """The cost of tokens at a price per million, in US dollars; 0.0 without tokens; None if the price is unknown."""
    if not tokens:
        return 0.0
    return None if price is None else tokens * price / 1e6


def sum_of(parts: Iterable[float | None]) -> float | None:
    """The sum of the parts; None if a part is unknown."""
    total = 0.0
    for part in parts:
        if part is None:
            return None
        total += part
    return total


class Known(Value):
    """An entry of the shipped table."""

    models: tuple[str, ...]
    hosts: tuple[str, ...] = ()
    input: Dollars | None = None
    output: Dollars | None = None
    cached_input: Dollars | None = None
    cache_write: Dollars | None = None
    cache_write_1h: Dollars | None = None
    cached_input_share: Number | None = None
    cache_write_share: Number | None = None
    cache_write_1h_share: Number | None = None
    image: Dollars | None = None
    image_pixel_steps: int | None = None
    source: str
    date: datetime.date  # on which it was taken from there
    read: bool = True  # False: nobody read the source itself; somebody told what it says

    @property
    def said(self) -> str:
        """Who says so, and when."""
        return f"{self.source} ({self.date}{'' if self.read else ', at second hand'})"

    def is_of(self, model: str, host: str) -> bool:
        """Whether the entry is for this model at this host."""
        there = not self.hosts or any(host == one or host.endswith(f".{one}") for one in self.hosts)
        return there and any(fnmatchcase(model.lower(), pattern) for pattern in self.models)

    def share(self, name: str) -> float | None:
        """One of OF_INPUT as a share of the input price; None if it is unknown."""
        told: float | None = getattr(self, f"{name}_share")
        price: float | None = getattr(self, name)
        return price / self.input if told is None and price is not None and self.input else told

    @property
    def price(self) -> Price | None:
        """Its prices of tokens; None if only shares are known."""
        if self.input is None or self.output is None:
            return None
        kept = {name: getattr(self, name) for name in ("input", "output", *OF_INPUT)}
        return Price(**kept, source=self.said)


class Shipped(Value):
    """The shipped table."""

    prices: tuple[Known, ...]


@cache
def shipped() -> Shipped:
    """The table in prices.yaml, which ships with this package."""
    from bench.plan.syntax import read_yaml

    return Shipped.model_validate(read_yaml(files("bench.plan").joinpath("prices.yaml").read_text("utf-8")).value)


def known_of(model: str, host: str) -> Known | None:
    """The entry of the shipped table for a model at a host; None if there is none."""
    return next((one for one in shipped().prices if one.is_of(model, host)), None)


def complete_price(model: str, price: Price, host: str) -> Price:
    """A scenario's price, with missing values from the shipped table."""
    known = known_of(model, host)
    if known is None or price.input is None:
        return price
    found = {
        name: price.input * share
        for name in OF_INPUT
        if getattr(price, name) is None and (share := known.share(name)) is not None
    }
    if not found:
        return price
    names = " and ".join(found)
    said = f"{price.source}; " if price.source else ""
    return price.model_copy(update=found | {"source": f"{said}{names}: {known.said}"})


def of_table(model: str, host: str) -> Price | None:
    """The price of a model in the shipped table, for a scenario without its price; None if the table has no price."""
    known = known_of(model, host)
    return None if known is None else known.price


def image_price(model: str, host: str, pixel_steps: Sequence[int]) -> Price | None:
    """The price of an image by its pixels · steps, from the shipped table; None if images have different prices."""
    known = known_of(model, host)
    if known is None or known.image is None or known.image_pixel_steps is None or len(set(pixel_steps)) != 1:
        return None
    image = known.image * pixel_steps[0] / known.image_pixel_steps
    return Price(image=image, source=known.said)
