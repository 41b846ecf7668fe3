"""The account of a model: the tokens that its answers stated, and their price in dollars."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

from bench.simulator.config import Prices

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one request as its answer states them; the provider charges these."""

    prompt: int  # all tokens of the prompt
    cached: int | None = None  # prompt tokens read from the cache; None if the answer does not state them
    written: int | None = None  # prompt tokens written to the cache for its usual time; None if not stated
    written_1h: int | None = None  # prompt tokens written to the cache for one hour; None if not stated
    completion: int = 0


@dataclass(slots=True)
class Ledger:
    """One model's account. Its dollars are exact fractions until they are shown."""

    prices: Prices
    requests: int = 0
    prompt: int = 0
    cached: int = 0
    written: int = 0
    written_1h: int = 0
    completion: int = 0
    usd: Fraction = field(default_factory=Fraction)

    def charge(self, tokens: Tokens, share: float = 1.0) -> None:
        """Charge one answer; `share` is the share of the normal price."""
        self.requests += 1
        self.prompt += tokens.prompt
        self.cached += tokens.cached or 0
        self.written += tokens.written or 0
        self.written_1h += tokens.written_1h or 0
        self.completion += tokens.completion
        self.usd += self._cost(tokens) * Fraction(str(share))

    def reset(self) -> None:
        """Begin a new account."""
        self.__init__(self.prices)  # type: ignore[misc]  # back to the initial values

    def as_json(self) -> dict[str, Any]:
        """Counts, dollars and prices for JSON."""
        counts = {name: value for name, value in asdict(self).items() if name != "prices"}
        return counts | {"usd": float(self.usd), "prices": self.prices.model_dump()}

    def _cost(self, tokens: Tokens) -> Fraction:
        prices = self.prices
        write = prices.input if prices.cache_write is None else prices.cache_write
        write_1h = write if prices.cache_write_1h is None else prices.cache_write_1h
        cached, written, hour = tokens.cached or 0, tokens.written or 0, tokens.written_1h or 0
        parts = (
            (tokens.prompt - cached - written - hour, prices.input),
            (cached, prices.cached_input),
            (written, write),
            (hour, write_1h),
            (tokens.completion, prices.output),
        )
        return sum((count * Fraction(str(price)) for count, price in parts), Fraction()) / MILLION
