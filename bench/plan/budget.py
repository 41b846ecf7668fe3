"""What a question may cost at most: requests, tokens, dollars and time. It ends when the first of them is used up."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from bench.plan.values import Count, Number, PositiveSeconds, Value


class Budget(Value):
    """The most that a question may cost."""

    requests: Count | None = Field(None, description="requests in all, each try of a request counted")
    tokens: Count | None = Field(None, description="tokens of prompts and answers in all, as the server counts them")
    usd: Annotated[Number, Field(gt=0, le=1e6)] | None = Field(
        None, description="US dollars in all, by the prices of the models"
    )
    duration: PositiveSeconds | None = Field(None, description="how long it may take")

    @model_validator(mode="after")
    def _bounds_something(self) -> Budget:
        if all(value is None for value in (self.requests, self.tokens, self.usd, self.duration)):
            raise ValueError("is empty; one of requests, tokens, usd and duration is expected, such as requests: 500")
        return self

    @property
    def in_words(self) -> str:
        """Such as: 500 requests, 200,000 tokens, $1 and 15 min."""
        told = [] if self.requests is None else [f"{self.requests:,} requests"]
        told += [] if self.tokens is None else [f"{self.tokens:,} tokens"]
        told += [] if self.usd is None else [f"${self.usd:,.2f}"]
        if self.duration is not None:
            told.append(f"{self.duration / 60:,.3g} min" if self.duration >= 60 else f"{self.duration:g} s")
        return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"
