"""Checks parameters against the ranges that providers accept before anything is sent.

Sources: Novita's API reference (chat, media, batch), OpenAI's and Anthropic's. A request class with `unchecked: true`
is sent anyway, because people also test errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.plan.classes import Request
from bench.plan.media import Img2Img
from bench.plan.mix import Batch, Messages, Responses, Talking
from bench.plan.schemas import Schema

CHARS_PER_TOKEN = 4.3  # of English text, roughly
LARGEST_BATCH = 100_000_000  # bytes of one input file (Novita; OpenAI takes twice that)
LARGEST_IMAGE_PIXELS = 16_000_000


@dataclass(frozen=True, slots=True)
class Range:
    """A number from low to high."""

    low: float
    high: float
    besides: tuple[float, ...] = ()  # special values outside the range

    def refuses(self, value: Any) -> str | None:
        if self.low <= value <= self.high or value in self.besides:
            return None
        return f"is {value}; from {self.low:g} to {self.high:g} is expected"


@dataclass(frozen=True, slots=True)
class Above:
    """A number above low, at most high."""

    low: float
    high: float

    def refuses(self, value: Any) -> str | None:
        expected = f"above {self.low:g}, at most {self.high:g} is expected"
        return None if self.low < value <= self.high else f"is {value}; {expected}"


@dataclass(frozen=True, slots=True)
class AtMost:
    """A list with a largest length."""

    high: int

    def refuses(self, value: Any) -> str | None:
        return f"has {len(value)} entries; at most {self.high} are expected" if len(value) > self.high else None


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these words."""

    words: tuple[str, ...]

    def refuses(self, value: Any) -> str | None:
        if value in self.words:
            return None
        return f"is {value!r}; {', '.join(self.words[:-1])} or {self.words[-1]} is expected"


Accepted = Range | Above | AtMost | OneOf

_WRITING: dict[str, Accepted] = {
    "temperature": Range(0, 2),
    "top_p": Above(0, 1),
    "top_k": Range(1, 128, besides=(-1,)),
    "min_p": Range(0, 1),
    "presence_penalty": Range(-2, 2),
    "frequency_penalty": Range(-2, 2),
    "repetition_penalty": Above(0, 2),
    "stop": AtMost(4),
    "n": Range(1, 128),
}
_CHAT = _WRITING | {"top_logprobs": Range(0, 20)}
_PAINTING: dict[str, Accepted] = {
    "width": Range(128, 2048),
    "height": Range(128, 2048),
    "image_num": Range(1, 8),
    "steps": Range(1, 100),
    "guidance_scale": Range(1, 30),
    "loras": AtMost(5),
    "embeddings": AtMost(5),
}

ACCEPTED: dict[str, dict[str, Accepted]] = {
    "chat": _CHAT,
    "completions": _WRITING | {"logprobs": Range(0, 5)},
    "batch": _CHAT | {"requests": Range(1, 50_000), "window": OneOf(("24h", "48h"))},
    "responses": {"temperature": Range(0, 2), "top_p": Above(0, 1), "top_logprobs": Range(0, 20)},
    "messages": {"temperature": Range(0, 1), "top_p": Above(0, 1)},
    "txt2img": _PAINTING,
    "img2img": _PAINTING | {"strength": Range(0, 1)},
    "txt2video": {"steps": Range(1, 100)},
    "txt2speech": {
        "voice_id": OneOf(("Emily", "James", "Olivia", "Michael", "Sarah", "John")),
        "language": OneOf(("en-US", "zh-CN", "ja-JP")),
        "volume": Range(1, 2),
        "speed": Range(0.8, 3),
    },
    "flux": {
        "width": Range(64, 2048),
        "height": Range(64, 2048),
        "image_num": Range(1, 8),
        "steps": Range(1, 100),
        "seed": Range(0, 2**32 - 1),
    },
    "images": {"n": Range(1, 10)},
}
"""By API and parameter."""

PROMPT_LENGTHS = {"txt2img": 1024, "img2img": 1024, "txt2speech": 512}
"""The longest prompt that an API accepts, in characters."""


def out_of_range(request: Request) -> Iterator[tuple[str, str]]:
    """The parameters that the provider would refuse: name or path, and what is wrong with the value."""
    for name, accepted in ACCEPTED.get(request.api, {}).items():
        value = getattr(request, name)
        if value is not None and not (isinstance(accepted, AtMost) and isinstance(value, str)):
            yield from problems_of(name, accepted.refuses(value))
    longest = PROMPT_LENGTHS.get(request.api)
    if longest is not None and request.prompt is not None and request.prompt.file is None:
        length = prompt_length(request)
        if not 1 <= length <= longest:
            yield "prompt", f"has {length} characters; from 1 to {longest} are expected"
    for token, bias in (getattr(request, "logit_bias", None) or {}).items():
        yield from problems_of(f"logit_bias.{token}", Range(-100, 100).refuses(bias))
    if isinstance(request, Img2Img):
        yield from problems_of("image", too_large(request.image.pixels))
    if isinstance(request, Batch):
        size = request.requests * (prompt_length(request) + 200)
        if size > LARGEST_BATCH:
            yield "requests", f"make a file of about {size / 1e6:.0f} MB; at most 100 MB are expected"
    yield from broken_schemas(request)
    if isinstance(request, Messages) and request.thinking is not None:
        yield from problems_of("thinking.budget_tokens", thinking(request.thinking.budget_tokens, request.max_tokens))


def broken_schemas(request: Request) -> Iterator[tuple[str, str]]:
    """Invalid JSON Schemas."""
    if isinstance(request, Talking):
        if request.response_format is not None and (named := request.response_format.json_schema) is not None:
            yield from problems_of("response_format.json_schema.schema", Schema(named.schema_).problem())
        for number, tool in enumerate(request.tools or ()):
            yield from problems_of(f"tools.{number}.function.parameters", Schema(tool.function.parameters).problem())
    if isinstance(request, Responses):
        if request.text is not None and request.text.format is not None and request.text.format.schema_ is not None:
            yield from problems_of("text.format.schema", Schema(request.text.format.schema_).problem())
        for number, flat in enumerate(request.tools or ()):
            yield from problems_of(f"tools.{number}.parameters", Schema(flat.parameters).problem())
    if isinstance(request, Messages):
        for number, own in enumerate(request.tools or ()):
            yield from problems_of(f"tools.{number}.input_schema", Schema(own.input_schema).problem())


def problems_of(name: str, problem: str | None) -> Iterator[tuple[str, str]]:
    if problem is not None:
        yield name, problem


def too_large(pixels: tuple[int, int]) -> str | None:
    width, height = pixels
    if width * height <= LARGEST_IMAGE_PIXELS:
        return None
    return f"has {width * height / 1e6:.0f} megapixels; at most 16 are expected"


def thinking(budget: int | None, max_tokens: int) -> str | None:
    if budget is None or 1024 <= budget < max_tokens:
        return None
    return f"is {budget}; at least 1024 and less than max_tokens ({max_tokens}) is expected"


def prompt_length(request: Request) -> int:
    """Characters of a prompt, estimated if it is synthetic; 0 if it comes from a data file."""
    prompt = request.prompt
    if prompt is None:
        return 0
    if prompt.text is not None:
        return len(prompt.text)
    if prompt.tokens is not None:
        return round(prompt.tokens * CHARS_PER_TOKEN)
    return sum(len(str(message.content)) for message in prompt.messages or ())
