"""The budget of a question: requests, tokens, dollars and time. The question ends when one of them is used up."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from bench.plan.values import Count, Number, PositiveSeconds, Value


class Budget(Value):
    """The largest cost of a question."""

    requests: Count | None = Field(None, description="number of requests; each try counts")
    tokens: Count | None = Field(None, description="tokens of all prompts and answers, as the server counts them")
    usd: Annotated[Number, Field(gt=0, le=1e6)] | None = Field(
        None, description="US dollars, by the prices of the models"
    )
    duration: PositiveSeconds | None = Field(None, description="the longest time")

    @model_validator(mode="after")
    def _bounds_something(self) -> Budget:
        if all(value is None for value in (self.requests, self.tokens, self.usd, self.duration)):
            raise ValueError("is empty; one of requests, tokens, usd and duration is expected, such as requests: 500")
        return self

    @property
    def in_words(self) -> str:
        """The budget as text, such as 500 requests, 200,000 tokens, $1 and 15 min."""
        parts = [] if self.requests is None else [f"{self.requests:,} requests"]
        parts += [] if self.tokens is None else [f"{self.tokens:,} tokens"]
        parts += [] if self.usd is None else [f"${self.usd:,.2f}"]
        if self.duration is not None:
            parts.append(f"{self.duration / 60:,.3g} min" if self.duration >= 60 else f"{self.duration:g} s")
        return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
