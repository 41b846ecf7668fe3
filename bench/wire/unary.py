"""APIs that answer with one JSON object: embeddings, rerank, the list of models, images in one exchange.

Source: OpenAI's and Novita's API references; for rerank those of Jina, Cohere and vLLM.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bench.wire.answer import UNREADABLE, Answer, Usage, parsed, timings_of, unreadable
from bench.wire.ask import Ask
from bench.wire.errors import find_error
from bench.wire.exchange import Read

Json = dict[str, Any]
ITEM_MEMBERS = ("url", "b64_json", "image_url", "video_url", "audio_url")
"""Names of the address or the bytes of an image, a video or a sound, OpenAI's and Novita's."""


@dataclass(frozen=True, slots=True)
class Unary:
    """One such API."""

    name: str
    path: str
    make_body: Callable[[str, Any], Json]  # the body's members, from model and input
    read_object: Callable[[Json], Answer]  # the answer; may raise UNREADABLE for JSON with another shape
    method: str = "POST"
    family: str = "llm"

    def body(self, ask: Ask) -> Json:
        made = self.make_body(ask.model, ask.input)
        if not isinstance(made, dict):
            raise TypeError(f"its body is {type(made).__name__}; a dict is expected")
        return made | dict(ask.parameters) | dict(ask.extra_body)

    def read(self, reads: list[Read], *, stream: bool) -> Answer:
        return read_json(b"".join(data for _, data in reads), self.read_object)

    def token_times(self, reads: list[Read]) -> tuple[float | None, float | None]:
        return None, None


def read_json(data: bytes, read_object: Callable[[Json], Answer]) -> Answer:
    """The answer in a body of one JSON object, which may be an error object."""
    if not data:
        return Answer(missing="a body")
    try:
        value = parsed(data)
        if (stated := find_error(value)) is not None:
            return Answer(error=str(stated), server=timings_of(value))
        answer = read_object(value)
        timings = timings_of(value)
    except UNREADABLE as error:
        return Answer(garbled=unreadable(data, error))
    if not timings or not isinstance(answer, Answer):  # a user's own function may have forgotten to return it
        return answer
    return replace(answer, server=answer.server | timings)


def answer_of(value: Json, item: str, items: list[Any]) -> Answer:
    """The answer with these items; `item` is the name of one of them."""
    stated, task = value.get("usage") or {}, value.get("task") or {}
    usage = usage_of(stated)
    return Answer(
        item=item,
        items=len(items),
        empty=not items,
        usage=usage,
        tokens_from="none" if usage.prompt is None else "usage",
        response_model=value.get("model"),
        response_id=value.get("id") or task.get("task_id"),
    )


def usage_of(stated: Json) -> Usage:
    """Token counts. OpenAI's images state input and output; where there is only a total, all of it is input."""
    if "input_tokens" in stated:
        return Usage(prompt=stated["input_tokens"], completion=stated.get("output_tokens"))
    prompt = stated.get("prompt_tokens")
    return Usage(prompt=stated.get("total_tokens") if prompt is None else prompt)


def list_in(value: Json, *names: str) -> list[Any]:
    """The list under the first of these names that has one. Raises TypeError if there is no list."""
    for name in names:
        if isinstance(found := value.get(name), list):
            return found
    raise TypeError(f"no list of {' or '.join(names)}")


def embeddings(value: Json) -> Answer:
    return answer_of(value, "embedding", [entry for entry in list_in(value, "data") if entry["embedding"]])


def ranks(value: Json | list[Any]) -> Answer:
    """Most servers say {"results": […]}, Voyage says {"data": […]}; SGLang sends the list alone, with score."""
    value = {"results": value} if isinstance(value, list) else value
    found = list_in(value, "results", "data")
    return answer_of(value, "document", [entry for entry in found if score_of(entry) is not None])


def score_of(entry: Json) -> object:
    """A document's score, null if the server could not rank it. Raises KeyError if there is none."""
    return entry["relevance_score"] if "relevance_score" in entry else entry["score"]


def models(value: Json | list[Any]) -> Answer:
    """Most servers say {"data": […]}, Together sends the list alone."""
    value = {"data": value} if isinstance(value, list) else value
    return answer_of(value, "model", list_in(value, "data"))


def images(value: Json) -> Answer:
    """OpenAI says {"data": […]}, Novita {"images": […]}."""
    return answer_of(value, "image", [entry for entry in list_in(value, "data", "images") if has_item(entry)])


def has_item(entry: Any) -> bool:
    """Whether an image, a video or a sound is there. A filter may leave an entry that says null in its place."""
    stated = [entry[name] for name in ITEM_MEMBERS if name in entry] if isinstance(entry, dict) else []
    return any(stated) if stated else bool(entry)


EMBEDDINGS = Unary("embeddings", "embeddings", lambda model, texts: {"model": model, "input": texts}, embeddings)
RERANK = Unary("rerank", "rerank", lambda model, members: {"model": model} | members, ranks)
MODELS = Unary("models", "models", lambda model, _: {}, models, method="GET")
IMAGES = Unary("images", "images/generations", lambda model, text: {"model": model, "prompt": text}, images)
FLUX = Unary("flux", "v3beta/flux-1-schnell", lambda model, text: {"prompt": text}, images, family="media")
