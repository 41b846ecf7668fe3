"""What a scenario about a prompt cache says beside who is asked: what is to be learned of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import Field

from bench.plan.classes import Request
from bench.plan.credentials import Key
from bench.plan.inquiry import Inquiry
from bench.plan.mix import Messages
from bench.plan.requests import CONVERSING
from bench.plan.syntax import Location
from bench.plan.values import Count

Part = Literal["savings", "granularity", "lifetime", "scope", "workload"]
APIS = CONVERSING | {"completions"}
SHORTEST = 64  # tokens of a prompt, a few blocks of most caches


class PromptCacheScenario(Inquiry):
    """What does the prompt cache do?"""

    kind: Literal["prompt_cache"] = Field("prompt_cache", description="the question asked")
    learn: tuple[Part, ...] = Field(
        ("savings", "granularity", "lifetime"),
        min_length=1,
        description="savings: what hits save; granularity: smallest prefix and block; lifetime: how long a prompt is "
        "kept, beside other prompts and in parallel; scope: whether other_key reads what key wrote; workload: "
        "what the scenario's own mix gets of it",
    )
    new_prompts: ClassVar[bool] = True

    other_key: Key | None = Field(None, description="a second API key, for scope, as ${NAME} from the environment")
    workload: Count = Field(60, le=10_000, description="requests of the scenario's mix, for workload")

    @property
    def asked(self) -> Request:
        """The request class that prompts are made for: the first."""
        return self.requests[0]

    @property
    def tokens(self) -> int:
        """Of the longest prompt."""
        prompt = self.asked.prompt
        assert prompt is not None
        assert prompt.tokens is not None
        return prompt.tokens

    @property
    def arms(self) -> Mapping[str, PromptCacheScenario]:
        """The second key's."""
        if self.other_key is None:
            return {}
        target = self.target.model_copy(update={"key": self.other_key})
        return {"other": self.model_copy(update={"target": target, "other_key": None})}

    def mistakes(self) -> Iterator[tuple[Location, str]]:
        yield from super().mistakes()
        asked, where = self.asked, ("requests", 0)
        if asked.api not in APIS:
            told = f"requests.0.api is {asked.api}; prompt_cache asks {', '.join(sorted(APIS))}"
            yield (*where, "api"), told
        elif asked.prompt is None or asked.prompt.tokens is None:
            yield (
                (*where, "prompt"),
                "requests.0.prompt has no tokens; prompt: {tokens: 4000} says how long prompts are",
            )
        elif asked.prompt.tokens < SHORTEST:
            yield (
                (*where, "prompt", "tokens"),
                f"requests.0.prompt.tokens is {asked.prompt.tokens}; at least {SHORTEST} are needed to see a cache",
            )
        if isinstance(asked, Messages) and asked.cache_control is None:
            yield where, "requests.0 has no cache_control; messages cache nothing without it: write cache_control: 5m"
        if "scope" in self.learn and self.other_key is None:
            yield ("learn",), "learn: scope needs a second key; write other_key: ${NAME}"
        if len(set(self.learn)) < len(self.learn):
            yield ("learn",), "learn names a part twice; each is learned once"
