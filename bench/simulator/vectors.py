"""Embeddings, rerank and moderations."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
import time
from typing import Any

from bench.simulator.admission import Cost
from bench.simulator.errors import ProviderError
from bench.simulator.exchange import Exchange
from bench.simulator.generation import Generator, deliver
from bench.simulator.requests import object_of, require
from bench.simulator.tokens import text_of, tokenize

Json = dict[str, Any]

DIMENSIONS = 64
MOST_INPUTS = 2048
HARMS = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip


async def embeddings(generator: Generator, exchange: Exchange, body: bytes) -> None:
    """Texts as vectors."""
    asked = object_of(body)
    require(asked, "model", str)
    texts = require(asked, "input", (str, list))
    texts = [texts] if isinstance(texts, str) or isinstance(texts[0], int) else texts
    if len(texts) > MOST_INPUTS:
        raise ProviderError(400, f"input has {len(texts)} texts; at most {MOST_INPUTS} are allowed")
    dimensions = asked.get("dimensions") or DIMENSIONS
    tokens = sum(len(tokenize(text)) if isinstance(text, str) else len(text) for text in texts)
    vectors = [vector(str(text), dimensions) for text in texts]
    coded = [packed(one) if asked.get("encoding_format") == "base64" else one for one in vectors]
    data = [{"object": "embedding", "index": index, "embedding": one} for index, one in enumerate(coded)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    answer = {"object": "list", "data": data, "model": asked["model"], "usage": usage}
    await measured(generator, exchange, asked, answer, api="embeddings", tokens=tokens)


async def rerank(generator: Generator, exchange: Exchange, body: bytes) -> None:
    """Documents by how many of the query's words are in them."""
    asked = object_of(body)
    require(asked, "model", str)
    query = require(asked, "query", str)
    documents = [one if isinstance(one, str) else one.get("text", "") for one in require(asked, "documents", list)]
    wanted = set(tokenize(query))
    scores = [len(wanted & set(tokenize(text))) / max(1, len(wanted)) for text in documents]
    order = sorted(range(len(documents)), key=lambda index: -scores[index])[: asked.get("top_n") or len(documents)]
    shown = bool(asked.get("return_documents"))
    results = [
        {"index": index, "relevance_score": scores[index]} | ({"document": {"text": documents[index]}} if shown else {})
        for index in order
    ]
    tokens = sum(len(tokenize(text)) for text in documents) + len(documents) * len(tokenize(query))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    answer = {"id": f"rerank-{exchange.id}", "model": asked["model"], "results": results, "usage": usage}
    await measured(generator, exchange, asked, answer, api="rerank", tokens=tokens)


async def moderations(generator: Generator, exchange: Exchange, body: bytes) -> None:
    """Whether texts or images are harmful: a text that names a category is flagged for it."""
    asked = object_of(body)
    asked["model"] = asked.get("model") or next(iter(generator.engines))
    given = require(asked, "input", (str, list))
    parts = isinstance(given, list) and isinstance(given[0], dict)
    texts = [text_of(given)] if parts else [given] if isinstance(given, str) else given
    kinds = ["image" if part.get("type") == "image_url" else "text" for part in given] if parts else ["text"]
    answer = {
        "id": f"modr-{exchange.id}",
        "model": asked["model"],
        "results": [judgement(str(text), sorted(set(kinds))) for text in texts],
    }
    await measured(
        generator, exchange, asked, answer, api="moderations", tokens=sum(len(tokenize(str(text))) for text in texts)
    )


def judgement(text: str, kinds: list[str]) -> Json:
    found = {name: name.partition("/")[0] in text.lower() for name in HARMS}
    return {
        "flagged": any(found.values()),
        "categories": found,
        "category_scores": {name: 0.98 if hit else 0.0001 for name, hit in found.items()},
        "category_applied_input_types": dict.fromkeys(HARMS, kinds),
    }


async def measured(
    generator: Generator, exchange: Exchange, asked: Json, answer: Json, *, api: str, tokens: int
) -> None:
    """Send the answer when the model has read so many tokens."""
    async with generator.admitted(exchange, asked, api, cost=Cost(input_tokens=tokens)) as place:
        if place is None:
            return
        engine, faults = place
        [reading] = engine.offsets(generator.draw(), prefill=tokens, tokens=1)
        await asyncio.sleep(max(0.0, engine.begins(exchange.arrived) + reading - time.monotonic()))
        await deliver(exchange, answer, exchange.truth(), faults)


def vector(text: str, dimensions: int) -> list[float]:
    """A unit vector; the same text gives the same."""
    raw = hashlib.shake_128(text.encode()).digest(dimensions)
    centred = [byte - 127.5 for byte in raw]
    length = sum(value * value for value in centred) ** 0.5
    return [round(value / length, 6) for value in centred]


def packed(values: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
