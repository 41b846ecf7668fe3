"""The APIs embeddings, rerank and moderations."""

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
from bench.simulator.generation import Generator, send_body
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
    """Answer texts with vectors."""
    params = object_of(body)
    require(params, "model", str)
    texts = require(params, "input", (str, list))
    texts = [texts] if isinstance(texts, str) or isinstance(texts[0], int) else texts
    if len(texts) > MOST_INPUTS:
        raise ProviderError(400, f"input has {len(texts)} texts; at most {MOST_INPUTS} are allowed")
    dimensions = params.get("dimensions") or DIMENSIONS
    tokens = sum(len(tokenize(text)) if isinstance(text, str) else len(text) for text in texts)
    vectors = [vector(str(text), dimensions) for text in texts]
    coded = [base64_of(values) if params.get("encoding_format") == "base64" else values for values in vectors]
    data = [{"object": "embedding", "index": index, "embedding": values} for index, values in enumerate(coded)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    answer = {"object": "list", "data": data, "model": params["model"], "usage": usage}
    await send_after_reading(generator, exchange, params, answer, api="embeddings", tokens=tokens)


async def rerank(generator: Generator, exchange: Exchange, body: bytes) -> None:
    """Sort documents by how many of the query's words they contain."""
    params = object_of(body)
    require(params, "model", str)
    query = require(params, "query", str)
    documents = [one if isinstance(one, str) else one.get("text", "") for one in require(params, "documents", list)]
    wanted = set(tokenize(query))
    scores = [len(wanted & set(tokenize(text))) / max(1, len(wanted)) for text in documents]
    order = sorted(range(len(documents)), key=lambda index: -scores[index])[: params.get("top_n") or len(documents)]
    shown = bool(params.get("return_documents"))
    results = [
        {"index": index, "relevance_score": scores[index]} | ({"document": {"text": documents[index]}} if shown else {})
        for index in order
    ]
    tokens = sum(len(tokenize(text)) for text in documents) + len(documents) * len(tokenize(query))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    answer = {"id": f"rerank-{exchange.id}", "model": params["model"], "results": results, "usage": usage}
    await send_after_reading(generator, exchange, params, answer, api="rerank", tokens=tokens)


async def moderations(generator: Generator, exchange: Exchange, body: bytes) -> None:
    """Judge whether texts or images are harmful: a text that names a category is flagged for it."""
    params = object_of(body)
    params["model"] = params.get("model") or next(iter(generator.engines))
    given = require(params, "input", (str, list))
    parts = isinstance(given, list) and isinstance(given[0], dict)
    texts = [text_of(given)] if parts else [given] if isinstance(given, str) else given
    kinds = ["image" if part.get("type") == "image_url" else "text" for part in given] if parts else ["text"]
    answer = {
        "id": f"modr-{exchange.id}",
        "model": params["model"],
        "results": [judgement(str(text), sorted(set(kinds))) for text in texts],
    }
    await send_after_reading(
        generator, exchange, params, answer, api="moderations", tokens=sum(len(tokenize(str(text))) for text in texts)
    )


def judgement(text: str, kinds: list[str]) -> Json:
    found = {name: name.partition("/")[0] in text.lower() for name in HARMS}
    return {
        "flagged": any(found.values()),
        "categories": found,
        "category_scores": {name: 0.98 if hit else 0.0001 for name, hit in found.items()},
        "category_applied_input_types": dict.fromkeys(HARMS, kinds),
    }


async def send_after_reading(
    generator: Generator, exchange: Exchange, params: Json, answer: Json, *, api: str, tokens: int
) -> None:
    """Send the answer after the time that the model needs to read this number of tokens."""
    async with generator.admitted(exchange, params, api, cost=Cost(input_tokens=tokens)) as slot:
        if slot is None:
            return
        engine, faults = slot
        [reading] = engine.offsets(generator.draw(), prefill=tokens, tokens=1)
        await asyncio.sleep(max(0.0, engine.begins(exchange.arrived) + reading - time.monotonic()))
        await send_body(exchange, answer, exchange.truth(), faults)


def vector(text: str, dimensions: int) -> list[float]:
    """A unit vector; the same text always gets the same vector."""
    raw = hashlib.shake_128(text.encode()).digest(dimensions)
    centred = [byte - 127.5 for byte in raw]
    length = sum(value * value for value in centred) ** 0.5
    return [round(value / length, 6) for value in centred]


def base64_of(values: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
