"""The requests of a run, each a pure function of the seed and its number: same seed, same requests, byte for byte.

Every model gets the same sequence: its k-th request has the same class and the same prompt for all of them, so
that models are compared on equal terms. Only where their tokenizers differ do synthetic prompts differ in length.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from bench.plan.datasets import Messages, read_dataset
from bench.plan.scenario import Request, Scenario
from bench.plan.text import Fit, words

DEFAULT_FIT = Fit()


@dataclass(frozen=True, slots=True)
class Planned:
    """A request before it has a body."""

    seq: int  # place in the stage, from 0
    k: int  # place in its model's sequence, from 0
    name: str  # of its class
    model: str
    api: str
    stream: bool
    input: str | Messages  # a text for completions, messages for chat
    parameters: dict[str, Any]
    extra_body: dict[str, Any]


class RequestPlan:
    """All requests of one stage. Raises Mistakes where a data file is not what it should be."""

    def __init__(self, scenario: Scenario, seed: int, fits: Mapping[str, Fit]) -> None:
        self._models, self._mix, self._seed, self._fits = scenario.models, scenario.requests, seed, fits
        self._weights = list(accumulate(request.weight for request in scenario.requests))
        self._parameters = [request.parameters() for request in scenario.requests]
        self._data = [
            read_dataset(Path(prompt.file), prompt.format, prompt.column) if prompt.file else []
            for prompt in (request.prompt for request in scenario.requests)
        ]

    def request(self, model: int, k: int) -> Planned:
        """The k-th request of a model, both from 0."""
        rng = random.Random(f"{self._seed}:{k}")
        index = rng.choices(range(len(self._mix)), cum_weights=self._weights)[0]
        request = self._mix[index]
        fit = self._fits.get(self._models[model], DEFAULT_FIT)
        messages = self._messages(request, index, k, rng, fit)
        return Planned(
            seq=k * len(self._models) + model,
            k=k,
            name=request.name,
            model=self._models[model],
            api=request.api,
            stream=request.stream,
            input=messages if request.api == "chat" else "\n\n".join(message["content"] for message in messages),
            parameters=self._parameters[index],
            extra_body=request.extra_body,
        )

    def _messages(self, request: Request, index: int, k: int, rng: random.Random, fit: Fit) -> Messages:
        prompt = request.prompt
        front = []
        if prompt.nonce:
            front.append(f"[{rng.getrandbits(64):016x}]")
        if prompt.prefix is not None:
            group = rng.randrange(prompt.prefix.groups)
            length = max(1, round(prompt.prefix.tokens / fit.tokens_per_word))
            front.append(words(f"{self._seed}:prefix:{index}:{group}", length))
        messages = self._source(request, index, k, rng, fit, taken=prompt.prefix.tokens if prompt.prefix else 0)
        if request.system is not None:
            messages = [{"role": "system", "content": request.system}, *messages]
        if front:  # before everything else, the system message included: caches compare from the first token on
            first = messages[0] | {"content": " ".join([*front, messages[0]["content"]])}
            messages = [first, *messages[1:]]
        return messages

    def _source(self, request: Request, index: int, k: int, rng: random.Random, fit: Fit, *, taken: int) -> Messages:
        prompt = request.prompt
        if prompt.messages is not None:
            return [message.model_dump(exclude_none=True) for message in prompt.messages]
        if prompt.file is not None:
            data = self._data[index]
            return data[self._order(index, k // len(data))[k % len(data)]]
        if prompt.text is not None:
            return [{"role": "user", "content": prompt.text}]
        assert prompt.tokens is not None
        text = words(f"{rng.getrandbits(64)}", fit.words(prompt.tokens - taken))
        return [{"role": "user", "content": text}]

    def _order(self, index: int, round_: int) -> list[int]:
        """A data file's rows in the order of one round through it, shuffled anew each time."""
        key = (index, round_)
        if key not in self._orders:
            self._orders.clear()
            order = list(range(len(self._data[index])))
            random.Random(f"{self._seed}:rows:{index}:{round_}").shuffle(order)
            self._orders[key] = order
        return self._orders[key]

    @cached_property
    def _orders(self) -> dict[tuple[int, int], list[int]]:
        return {}
