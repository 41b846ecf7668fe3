"""Anthropic's message batches: one body holds all requests, and the provider answers them at its own pace."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bench.simulator import anthropic
from bench.simulator.batches import MOST_LINES, STEP_S, NoExchange
from bench.simulator.config import Provider
from bench.simulator.errors import ProviderError, error_object
from bench.simulator.exchange import Exchange
from bench.simulator.generation import Generator
from bench.simulator.requests import object_of, require

Json = dict[str, Any]

LIFE_S = 24 * 3600.0


@dataclass(slots=True)
class Batch:
    """One batch."""

    requests: list[Json]
    expires: float
    id: str = field(default_factory=lambda: f"msgbatch_{uuid.uuid4().hex}")
    status: str = "in_progress"
    results: list[Json] = field(default_factory=list)
    created: float = field(default_factory=time.time)
    ended: float | None = None
    cancelled: float | None = None


class MessageBatches:
    """Handles the routes of message batches."""

    def __init__(self, provider: Provider, generator: Generator) -> None:
        self._provider, self._generator = provider, generator
        self._batches: dict[str, Batch] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def serve(self, exchange: Exchange, body: bytes, rest: str) -> None:
        """Answer a request to messages/batches or below."""
        wanted, _, part = rest.partition("/")
        if not wanted:
            if exchange.method == "POST":
                await exchange.send_value(batch_json(self._create(object_of(body)), exchange))
            else:
                data = [batch_json(batch, exchange) for batch in reversed(self._batches.values())]
                ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
                await exchange.send_value({"data": data, "has_more": False, "first_id": None, "last_id": None} | ends)
            return
        if (batch := self._batches.get(wanted)) is None:
            raise ProviderError(404, f"message batch {wanted} not found")
        if part == "results":
            if batch.status != "ended":
                raise ProviderError(400, f"message batch {wanted} has not ended")
            content = "".join(json.dumps(result) + "\n" for result in batch.results).encode()
            await exchange.start(200, "application/x-jsonl", {"content-length": str(len(content))})
            await exchange.end(content)
            return
        if part == "cancel" and batch.status == "in_progress":
            batch.status, batch.cancelled = "canceling", time.time()
        elif exchange.method == "DELETE":
            if batch.status != "ended":
                raise ProviderError(400, f"message batch {wanted} has not ended; cancel it first")
            del self._batches[wanted]
            await exchange.send_value({"id": wanted, "type": "message_batch_deleted"})
            return
        await exchange.send_value(batch_json(batch, exchange))

    def _create(self, params: Json) -> Batch:
        requests = require(params, "requests", list)
        if len(requests) > MOST_LINES:
            raise ProviderError(400, f"requests: there are {len(requests)}; at most {MOST_LINES} are allowed")
        for request in requests:
            if not isinstance(request, dict) or not isinstance(request.get("params"), dict):
                raise ProviderError(400, "requests: each needs custom_id and params")
            require(request, "custom_id", str)
        if len({request["custom_id"] for request in requests}) < len(requests):
            raise ProviderError(400, "requests: custom_id must be unique within the batch")
        expiry = self._provider.batch_expiry
        batch = Batch(requests, time.time() + (LIFE_S if expiry is None else expiry))
        self._batches[batch.id] = batch
        task = asyncio.get_running_loop().create_task(self._run(batch))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return batch

    async def _run(self, batch: Batch) -> None:
        """Run a batch from its creation to its end."""
        begun = time.time()
        for number, request in enumerate(batch.requests):
            while (time.time() - begun) * self._provider.batch_rate < number and batch.status == "in_progress":
                await asyncio.sleep(STEP_S)
            if batch.status == "canceling":
                result: Json = {"type": "canceled"}
            elif time.time() > batch.expires:
                result = {"type": "expired"}
            else:
                result = self._answer(request["params"])
            batch.results.append({"custom_id": request["custom_id"], "result": result})
        batch.status, batch.ended = "ended", time.time()

    def _answer(self, given: Json) -> Json:
        try:
            params = anthropic.chat_params(given)
            engine = self._generator.engine(params["model"])
            faults = self._generator.faults(params, engine, "batches")
            if "task_fails" in faults:
                raise ProviderError(500, "simulated failure")
            seed = zlib.crc32(json.dumps(given).encode())
            generation = self._generator.generation(NoExchange(), params, engine, faults, seed=seed, chat=True)
        except ProviderError as error:
            return {"type": "errored", "error": error_object(error, "anthropic")}
        generation.charge(completion=generation.completion, share=engine.model.prices.batch)
        message = anthropic.message_json(generation, anthropic.usage_of(generation))
        if "no_usage" in faults:
            del message["usage"]
        return {"type": "succeeded", "message": message}


def batch_json(batch: Batch, exchange: Exchange) -> Json:
    kinds = [result["result"]["type"] for result in batch.results] if batch.status == "ended" else []
    counts = {kind: kinds.count(kind) for kind in ("succeeded", "errored", "canceled", "expired")}
    path = exchange.path[: exchange.path.index("messages/batches")] + f"messages/batches/{batch.id}/results"
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": batch.status,
        "request_counts": {"processing": len(batch.requests) - len(kinds)} | counts,
        "created_at": stamp(batch.created),
        "expires_at": stamp(batch.expires),
        "ended_at": stamp(batch.ended),
        "cancel_initiated_at": stamp(batch.cancelled),
        "archived_at": None,
        "results_url": f"{exchange.scheme}://{exchange.header('host')}{path}" if batch.status == "ended" else None,
    }


def stamp(moment: float | None) -> str | None:
    """A time as RFC 3339 in UTC."""
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat()
