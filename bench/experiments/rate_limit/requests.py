"""The requests of a question about rate limits: as the scenario has them, and with larger prompts, answers or more
images."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from bench.experiments.rate_limit.evidence import Cost
from bench.experiments.rate_limit.question import IMAGE_APIS, RateLimitScenario
from bench.plan import Planned, RequestPlan
from bench.plan.forecast import LENGTHS, answer_tokens
from bench.plan.requests import CONVERSING
from bench.plan.text import words
from bench.records import Record

Size = Literal["plain", "long", "longer", "longest", "wide", "many"]
WORDS: dict[Size, int] = {"long": 400, "longer": 1600, "longest": 6400}
"""What is put before a prompt, in words, to use up tokens."""
COUNTED: dict[str, tuple[Size, Size]] = {
    "requests": ("plain", "long"),
    "tokens": ("long", "wide"),
    "images": ("many", "plain"),
}
"""Of each resource, requests that use it up, and other ones, by which it shows what of a request is counted."""
WIDE_TOKENS = 512  # of max_tokens, more than the answer takes: whether they are charged ahead shows
LONG_ANSWER = 200  # tokens, of an answer that is to be under way for a while
SHORT_ANSWER = 16  # tokens at most, where it is the prompt that uses a limit up
IN_FRONT = re.compile(r"(.+), \d+ words in front")
"""The name of a request with a prompt of a chosen length."""
MANY_IMAGES = 4
COUNTS = ("n", "image_num")  # parameters that say how many images


@dataclass(frozen=True, slots=True)
class Basis:
    """What of a request a limiter may count."""

    resource: str  # requests, input_tokens, output_tokens, tokens, images
    charged: str | None  # "ahead" from max_tokens, "after" what was written; None: there is no such difference


BASES = (
    Basis("requests", None),
    Basis("input_tokens", None),
    Basis("output_tokens", "ahead"),
    Basis("output_tokens", "after"),
    Basis("tokens", "ahead"),
    Basis("tokens", "after"),
    Basis("images", None),
)


class Requests:
    """Makes the requests of a scenario, one after the other, in every size."""

    def __init__(self, scenario: RateLimitScenario) -> None:
        seed = 0 if scenario.seed is None else scenario.seed
        self._scenario, self._plan, self._seed = scenario, RequestPlan(scenario, seed, {}), seed
        self._numbers = itertools.count()

    def of(self, size: Size = "plain", *, model: int = 0, arm: str | None = None) -> Iterator[Planned]:
        """Requests of a size, without end. Their names tell sizes apart."""
        while True:
            k = next(self._numbers)
            yield replace(self.sized(self._plain(size, model, k), size), arm=arm)

    def _plain(self, size: Size, model: int, k: int) -> Planned:
        if size != "many":
            return replace(self._plan.request(model, k), later=(), conversation=None)
        index = next(place for place, one in enumerate(self._scenario.requests) if one.api in IMAGE_APIS)
        return self._plan.request_of_class(index, model, k)

    def sized(self, planned: Planned, size: Size) -> Planned:
        """A request with more of what may be limited."""
        if size == "plain":
            return planned
        if size in WORDS:
            text = words(f"{self._seed}:{planned.k}:{size}", WORDS[size])
            return replace(planned, name=f"{planned.name}, {size} prompt", input=in_front(text, planned))
        if size == "many":
            return replace(planned, name=f"{planned.name}, more images", parameters=with_images(planned.parameters))
        length = max(WIDE_TOKENS, 8 * int(answer_tokens(planned.parameters)))
        return replace(planned, name=f"{planned.name}, max_tokens {length}", parameters=with_length(planned, length))

    def long(self, count: int, *, model: int = 0, arm: str | None = None) -> Iterator[Planned]:
        """Endless requests with `count` words in front of the prompt and a short answer, so that it hardly matters
        whether a limit counts the tokens that an answer may have or those that it has."""
        classes = self._scenario.requests
        index = next((place for place, one in enumerate(classes) if one.api not in IMAGE_APIS), 0)
        while True:
            k = next(self._numbers)
            plain = replace(self._plan.request_of_class(index, model, k), later=(), conversation=None, arm=arm)
            text, name = words(f"{self._seed}:{k}:{count}", count), f"{plain.name}, {count} words in front"
            yield replace(shortened(plain), name=name, input=in_front(text, plain))

    def sizes(self) -> dict[str, Size]:
        """The size of a request by its name, of those that have text."""
        wanted: tuple[Size, ...] = ("plain", *WORDS, "wide")
        classes = [self._plan.request_of_class(index, 0, 0) for index in range(len(self._scenario.requests))]
        return {self.sized(one, size).name: size for one in classes for size in wanted}

    def streams(self, *, tokens: int = LONG_ANSWER, model: int = 0) -> Iterator[Planned]:
        """Requests whose answers take long."""
        for planned in self.of(model=model):
            name = f"{planned.name}, long answer"
            body = planned.extra_body | {"ignore_eos": True} if planned.api in ("chat", "completions") else {}
            yield replace(planned, name=name, parameters=with_length(planned, tokens), extra_body=body)


def shortened(planned: Planned) -> Planned:
    """The request with an answer of few tokens, if its answer has a length."""
    asked = answer_tokens(planned.parameters)
    if planned.api not in (*CONVERSING, "completions") or 0 < asked <= SHORT_ANSWER:
        return planned
    return replace(planned, parameters=with_length(planned, SHORT_ANSWER))


def with_length(planned: Planned, tokens: int) -> dict[str, Any]:
    """The parameters with another maximum length of the answer."""
    given = next((name for name in LENGTHS if name in planned.parameters), None)
    name = given or ("max_output_tokens" if planned.api == "responses" else "max_tokens")
    return planned.parameters | {name: tokens}


def with_images(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters with more images."""
    name = next((name for name in COUNTS if name in parameters), "n")
    return parameters | {name: MANY_IMAGES * int(parameters.get(name) or 1)}


def in_front(text: str, planned: Planned) -> Any:
    """The input with this text in front of it."""
    if planned.api in CONVERSING and isinstance(planned.input, list):
        first, *others = planned.input
        content = first.get("content")
        if isinstance(content, str):
            return [first | {"content": f"{text} {content}"}, *others]
    if isinstance(planned.input, str):
        return f"{text} {planned.input}"
    if isinstance(planned.input, list) and planned.input and isinstance(planned.input[0], str):
        return [f"{text} {planned.input[0]}", *planned.input[1:]]
    return planned.input


class Costs:
    """How much of a resource each request takes, from its name and from the records of those that were admitted."""

    def __init__(self, scenario: RateLimitScenario, records: Sequence[Record]) -> None:
        self._answers: dict[str, float] = {}
        self._short: dict[str, float] = {}  # of requests with a short answer
        self._images: dict[str, float] = {}
        requests = Requests(scenario)
        plan = RequestPlan(scenario, 0, {})
        for index in range(len(scenario.requests)):
            plain = plan.request_of_class(index, 0, 0)
            self._short[plain.name] = answer_tokens(shortened(plain).parameters)
            made = [plain, *(requests.sized(plain, size) for size in (*WORDS, "wide"))]
            made += [requests.sized(plain, "many")] if plain.api in IMAGE_APIS else []
            made.append(replace(plain, name=f"{plain.name}, long answer", parameters=with_length(plain, LONG_ANSWER)))
            for one in made:
                self._answers[one.name] = answer_tokens(one.parameters)
                counted = next((one.parameters[name] for name in COUNTS if one.parameters.get(name)), 1)
                self._images[one.name] = float(counted) if one.api in IMAGE_APIS else 0.0
        self._prompts = means((record.name, record.prompt_tokens) for record in records)
        self._answered = means((record.name, record.completion_tokens) for record in records)

    def of(self, basis: Basis) -> Cost:
        """What a request takes by this way of counting."""
        if basis.resource == "requests":
            return lambda record: 1.0
        if basis.resource == "images":
            return lambda record: self._images.get(record.name, 0.0)
        if basis.resource == "input_tokens":
            return self._prompt
        with_prompt = basis.resource == "tokens"
        answer = self._asked if basis.charged == "ahead" else self._written
        return lambda record: answer(record) + (self._prompt(record) if with_prompt else 0.0)

    def expected(self, record: Record) -> float:
        """Tokens of the prompt and of an answer as long as the others of its kind, for a server that knows before what
        it is going to write, or that looks at what was written last."""
        return self._prompt(record) + (record.completion_tokens or self._answered.get(record.name, 0.0))

    def _prompt(self, record: Record) -> float:
        return float(record.prompt_tokens or round(self._prompts.get(record.name, 0.0)))

    def _asked(self, record: Record) -> float:
        lengthened = IN_FRONT.fullmatch(record.name)
        return self._answers.get(record.name, 0.0) if lengthened is None else self._short.get(lengthened[1], 0.0)

    def _written(self, record: Record) -> float:
        return float(record.completion_tokens or 0)


def means(told: Iterable[tuple[str, int | None]]) -> dict[str, float]:
    """The mean of what is told of each name."""
    found: dict[str, list[int]] = {}
    for name, value in told:
        if value is not None:
            found.setdefault(name, []).append(value)
    return {name: sum(each) / len(each) for name, each in found.items()}
