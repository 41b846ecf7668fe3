"""The common part of all request classes: a name, a weight, an API, and parameters that are sent under their own
names."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from bench.plan.prompt import Prompt
from bench.plan.values import JsonObject, Name, Number, PositiveSeconds, Value

_PLAN = ("name", "weight", "api", "stream", "prompt", "system", "extra_body", "unchecked")


class Request(Value):
    """A class of requests, which is one entry of the mix; the common part of all APIs."""

    name: Name = Field("", description="its name in reports; default: the API")
    weight: Number = Field(
        1.0, ge=1e-6, le=1e6, description="its share of the requests, relative to the other classes' weights"
    )
    api: str = Field("chat", description="the API to call")
    stream: bool = Field(False, description="stream the answer piece by piece")
    prompt: Prompt | None = Field(None, description="the prompt: a text, or where texts come from")
    extra_body: JsonObject = Field({}, description="more members of the request's JSON, sent unchanged")
    unchecked: bool = Field(False, description="send it even if the provider is known to refuse it")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if isinstance(value, dict) and not value.get("name"):
            return {**value, "name": str(value.get("api", "chat"))}
        return value

    def parameters(self) -> JsonObject:
        """The members of the request's JSON except model, input and stream."""
        hidden = {*_PLAN, *self.hidden()}
        names = [name for name in type(self).model_fields if name not in hidden]
        given = self.model_dump(mode="json", include=set(names), exclude_none=True)
        return {name: given[name] for name in names if name in given}

    def hidden(self) -> tuple[str, ...]:
        """Names of the fields that are not sent to the provider."""
        return ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names under which its requests are recorded."""
        return (self.name,)

    @property
    def choices(self) -> int:
        """Number of answers to one request."""
        return 1

    @property
    def answer_tokens(self) -> int | None:
        """The largest number of tokens in one answer; None if there is no limit, 0 if the API makes no tokens."""
        return 0


class Streamless(Request):
    """A request whose answer does not stream."""

    stream: Literal[False] = Field(False, description="this API does not stream")


class Poll(Value):
    """How often and how long to ask for the result of a job."""

    interval: PositiveSeconds = Field(0.5, ge=0.001, description="time between two polls")
    jitter: Number = Field(0.1, ge=0, lt=1, description="random change of each interval, as a share of it")
    timeout: PositiveSeconds = Field(600.0, description="time limit for the result")


class Job(Streamless):
    """A job: it is started with one request, and its result is fetched later."""

    poll: Poll = Field(Poll(), description="polling for the result")

    def hidden(self) -> tuple[str, ...]:
        return ("poll",)
