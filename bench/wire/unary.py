"""APIs that answer with one JSON object: embeddings, rerank, models, images at once.

Shapes: OpenAI's and Novita's API references; rerank as Jina, Cohere and vLLM have it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from bench.wire.answer import UNREADABLE, Answer, Usage, timings_of, unreadable
from bench.wire.ask import Ask
from bench.wire.errors import find_error
from bench.wire.exchange import Read

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Whole:
    """One such API: where it is, how a body is made, and what an answer holds."""

    name: str
    path: str
    asked: Callable[[str, Any], Json]  # the body's members from model and input
    found: Callable[[Json], Answer]  # may raise UNREADABLE for JSON of another shape
    method: str = "POST"
    family: str = "llm"

    def body(self, ask: Ask) -> Json:
        return self.asked(ask.model, ask.input) | dict(ask.parameters) | dict(ask.extra_body)

    def read(self, reads: list[Read], *, stream: bool) -> Answer:
        return read_json(b"".join(data for _, data in reads), self.found)

    def token_times(self, reads: list[Read]) -> tuple[float | None, float | None]:
        return None, None


def read_json(data: bytes, found: Callable[[Json], Answer]) -> Answer:
    """What a body of one JSON object says."""
    if not data:
        return Answer(missing="a body")
    try:
        value = orjson.loads(data)
        if (told := find_error(value)) is not None:
            return Answer(error=str(told), server=timings_of(value))
        answer = found(value)
        timings = timings_of(value)
    except UNREADABLE as error:
        return Answer(garbled=unreadable(data, error))
    return replace(answer, server=answer.server | timings) if timings else answer


def counted(value: Json, item: str, items: list[Any]) -> Answer:
    """An answer that brought these items."""
    stated, task = value.get("usage") or {}, value.get("task") or {}
    usage = Usage(prompt=stated.get("prompt_tokens", stated.get("total_tokens")))
    return Answer(
        item=item,
        items=len(items),
        empty=not items,
        usage=usage,
        tokens_from="none" if usage.prompt is None else "usage",
        response_model=value.get("model"),
        response_id=value.get("id") or task.get("task_id"),
    )


def listed(value: Json, *names: str) -> list[Any]:
    """The list under the first of these names that the answer has. Raises TypeError if none is."""
    found = next((value[name] for name in names if name in value), None)
    if not isinstance(found, list):
        raise TypeError(f"no list of {' or '.join(names)}")
    return found


def embeddings(value: Json) -> Answer:
    return counted(value, "embedding", [one for one in listed(value, "data") if one["embedding"]])


def ranks(value: Json) -> Answer:
    return counted(value, "document", [one for one in listed(value, "results") if "relevance_score" in one])


def models(value: Json) -> Answer:
    return counted(value, "model", listed(value, "data"))


def images(value: Json) -> Answer:
    """OpenAI says {"data": […]}, Novita {"images": […]}."""
    return counted(value, "image", listed(value, "data", "images"))


EMBEDDINGS = Whole("embeddings", "embeddings", lambda model, texts: {"model": model, "input": texts}, embeddings)
RERANK = Whole("rerank", "rerank", lambda model, asked: {"model": model} | asked, ranks)
MODELS = Whole("models", "models", lambda model, _: {}, models, method="GET")
IMAGES = Whole("images", "images/generations", lambda model, text: {"model": model, "prompt": text}, images)
FLUX = Whole("flux", "v3beta/flux-1-schnell", lambda model, text: {"prompt": text}, images, family="media")
