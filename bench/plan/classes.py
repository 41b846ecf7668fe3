"""What all request classes share: a name, a weight, an API, and parameters that go out under their own names."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from bench.plan.prompt import Prompt
from bench.plan.values import Name, Number, PositiveSeconds, Value

Json = dict[str, Any]

_PLAN = ("name", "weight", "api", "stream", "prompt", "system", "extra_body", "unchecked")


class Request(Value):
    """A class of requests, one entry of the mix; what all APIs have in common."""

    name: Name = Field("", description="how tables call it; default: the API")
    weight: Number = Field(1.0, ge=1e-6, le=1e6, description="its share in the mix, relative to the others' weights")
    api: str = Field("chat", description="which API is asked")
    stream: bool = Field(False, description="whether the answer comes piece by piece")
    prompt: Prompt | None = Field(None, description="what is asked: a text, or where texts come from")
    extra_body: Json = Field({}, description="further members of the request's JSON, sent untouched")
    unchecked: bool = Field(False, description="send it even where the provider is known to refuse it")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if isinstance(value, dict) and not value.get("name"):
            return {**value, "name": str(value.get("api", "chat"))}
        return value

    def parameters(self) -> Json:
        """What goes into the request's JSON beside model, input and stream."""
        hidden = {*_PLAN, *self.hidden()}
        names = [name for name in type(self).model_fields if name not in hidden]
        given = self.model_dump(mode="json", include=set(names), exclude_none=True)
        return {name: given[name] for name in names if name in given}

    def hidden(self) -> tuple[str, ...]:
        """Fields that are for us and not for the provider."""
        return ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names under which its requests are recorded."""
        return (self.name,)

    @property
    def choices(self) -> int:
        """Answers to one request."""
        return 1

    @property
    def answer_tokens(self) -> int | None:
        """At most so many tokens of one answer; None if nothing bounds them, 0 if the API makes none."""
        return 0


class Poll(Value):
    """How a result is waited for."""

    interval: PositiveSeconds = Field(0.5, ge=0.001, description="from one question to the next")
    jitter: Number = Field(0.1, ge=0, lt=1, description="how far each interval may be off, as a share of it")
    timeout: PositiveSeconds = Field(600.0, description="how long to wait for the result")


class Job(Request):
    """Something that is ordered and fetched later."""

    poll: Poll = Field(Poll(), description="how the result is waited for")

    def hidden(self) -> tuple[str, ...]:
        return ("poll",)
