"""What a model has charged: tokens as its answers told them, and their dollars."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

from bench.simulator.config import Prices

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Tokens:
    """One request's, as its answer tells them: what the provider charges by."""

    prompt: int  # all of the prompt's
    cached: int | None = None  # of those, read from the cache; None: the answer says nothing about it
    written: int | None = None  # of those, written to the cache for 5 minutes, or as long as it keeps them
    written_1h: int | None = None  # of those, written for an hour
    completion: int = 0


@dataclass(slots=True)
class Ledger:
    """One model's account, exact until it is shown."""

    prices: Prices
    requests: int = 0
    prompt: int = 0
    cached: int = 0
    written: int = 0
    written_1h: int = 0
    completion: int = 0
    usd: Fraction = field(default_factory=Fraction)

    def charge(self, tokens: Tokens, share: float = 1.0) -> None:
        """One answer; in a batch it costs its share."""
        self.requests += 1
        self.prompt += tokens.prompt
        self.cached += tokens.cached or 0
        self.written += tokens.written or 0
        self.written_1h += tokens.written_1h or 0
        self.completion += tokens.completion
        self.usd += self._cost(tokens) * Fraction(str(share))

    def forget(self) -> None:
        """Begin a new account."""
        self.__init__(self.prices)  # type: ignore[misc]  # as at the beginning

    def shown(self) -> dict[str, Any]:
        """For JSON: counts, and dollars."""
        told = {name: value for name, value in asdict(self).items() if name != "prices"}
        return told | {"usd": float(self.usd), "prices": self.prices.model_dump()}

    def _cost(self, tokens: Tokens) -> Fraction:
        prices = self.prices
        write = prices.input if prices.cache_write is None else prices.cache_write
        write_1h = write if prices.cache_write_1h is None else prices.cache_write_1h
        cached, written, hour = tokens.cached or 0, tokens.written or 0, tokens.written_1h or 0
        each = (
            (tokens.prompt - cached - written - hour, prices.input),
            (cached, prices.cached_input),
            (written, write),
            (hour, write_1h),
            (tokens.completion, prices.output),
        )
        return sum((many * Fraction(str(price)) for many, price in each), Fraction()) / MILLION
