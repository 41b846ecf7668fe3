"""Files and batches: a client uploads a file of requests, and the provider answers its lines at its own pace."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bench.simulator.config import Provider
from bench.simulator.errors import ProviderError, error_object
from bench.simulator.exchange import Exchange
from bench.simulator.generation import Generator
from bench.simulator.openai import completion
from bench.simulator.requests import form_of, object_of, parse, require

Json = dict[str, Any]

ENDPOINTS = {"/v1/chat/completions": True, "/v1/completions": False}
WINDOWS = {"24h": 24 * 3600.0, "48h": 48 * 3600.0}
MOST_LINES, MOST_BYTES = 50_000, 100_000_000
STEP_S = 0.02  # how often a batch checks whether its next line is due
NOVITA_STATUS = {"in_progress": "PROGRESS"}


@dataclass(slots=True)
class File:
    """A file that a client uploaded or a batch made."""

    id: str
    name: str
    purpose: str
    content: bytes
    created: float = field(default_factory=time.time)


@dataclass(slots=True)
class Batch:
    """A batch with its results so far."""

    id: str
    endpoint: str
    input_file: str
    window: str
    lines: list[Json]
    metadata: Json | None
    expires: float
    status: str = "validating"
    good: list[bytes] = field(default_factory=list)
    bad: list[bytes] = field(default_factory=list)
    output_file: str | None = None
    error_file: str | None = None
    times: dict[str, float] = field(default_factory=lambda: {"created": time.time()})

    @property
    def ended(self) -> bool:
        return self.status in ("completed", "failed", "expired", "cancelled")


class Batches:
    """Handles the routes of files and batches."""

    def __init__(self, provider: Provider, generator: Generator) -> None:
        self._provider, self._generator = provider, generator
        self._files: dict[str, File] = {}
        self._batches: dict[str, Batch] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def files(self, exchange: Exchange, body: bytes, rest: str) -> None:
        """Answer a request to /files or below."""
        wanted, _, part = rest.partition("/")
        if not wanted:
            answer = self._upload(exchange, body) if exchange.method == "POST" else self._list_files()
            await exchange.send_value(answer)
            return
        if (file := self._files.get(wanted)) is None:
            raise ProviderError(404, f"file {wanted} not found", reason="FILE_NOT_FOUND")
        if part == "content":
            await exchange.start(200, "application/octet-stream", {"content-length": str(len(file.content))})
            await exchange.end(file.content)
        elif exchange.method == "DELETE":
            del self._files[wanted]
            await exchange.send_value({"deleted": True, "id": wanted, "object": "file"})
        else:
            await exchange.send_value(self._file_json(file))

    async def batches(self, exchange: Exchange, body: bytes, rest: str) -> None:
        """Answer a request to /batches or below."""
        wanted, _, part = rest.partition("/")
        if not wanted:
            if exchange.method == "POST":
                await exchange.send_value(self._batch_json(self._create(object_of(body))))
                return
            data = [self._batch_json(batch) for batch in self._batches.values()]
            ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
            await exchange.send_value({"object": "list", "data": data, "has_more": False} | ends)
            return
        if (batch := self._batches.get(wanted)) is None:
            raise ProviderError(404, f"batch {wanted} not found", reason="BATCH_NOT_FOUND")
        if part == "cancel":
            if batch.ended:
                raise ProviderError(400, f"batch {wanted} is {batch.status}", reason="INVALID_REQUEST_BODY")
            batch.status = "cancelling"
            batch.times["cancelling"] = time.time()
        await exchange.send_value(self._batch_json(batch))

    # -- files ----------------------------------------------------------------------------------------

    def _upload(self, exchange: Exchange, body: bytes) -> Json:
        form, files = form_of(exchange, body)
        if "file" not in files or "purpose" not in form:
            raise ProviderError(400, "file and purpose are required")
        content = files["file"].read()
        if len(content) > MOST_BYTES:
            raise ProviderError(400, f"the file has {len(content)} bytes; at most {MOST_BYTES} are allowed")
        return self._file_json(self._keep(files["file"].filename or "file", form["purpose"], content))

    def _keep(self, name: str, purpose: str, content: bytes) -> File:
        file = File(f"file_{uuid.uuid4().hex}", name, purpose, content)
        self._files[file.id] = file
        return file

    def _file_json(self, file: File) -> Json:
        members: Json = {
            "id": file.id,
            "object": "file",
            "bytes": len(file.content),
            "filename": file.name,
            "created_at": int(file.created),
            "purpose": file.purpose,
        }
        if self._provider.dialect == "openai":
            return members | {"status": "processed"}
        return members | {"metadata": {"total_requests": sum(1 for line in file.content.splitlines() if line.strip())}}

    def _list_files(self) -> Json:
        data = [self._file_json(file) for file in self._files.values()]
        if self._provider.dialect == "openai":
            return {"object": "list", "data": data, "has_more": False}
        return {"code": "0", "message": "success", "data": data}

    # -- batches --------------------------------------------------------------------------------------

    def _create(self, params: Json) -> Batch:
        endpoint, window = require(params, "endpoint", str), params.get("completion_window") or "48h"
        if endpoint not in ENDPOINTS:
            raise ProviderError(400, f"endpoint must be one of {', '.join(ENDPOINTS)}")
        if window not in WINDOWS:
            raise ProviderError(400, f"completion_window must be one of {', '.join(WINDOWS)}")
        if (file := self._files.get(require(params, "input_file_id", str))) is None:
            raise ProviderError(400, "input_file_id: there is no such file")
        lines = [json.loads(line) for line in file.content.splitlines() if line.strip()]
        if not 1 <= len(lines) <= MOST_LINES:
            raise ProviderError(400, f"the file has {len(lines)} requests; from 1 to {MOST_LINES} are allowed")
        if self._provider.dialect == "openai" and not all({"method", "url"} <= line.keys() for line in lines):
            raise ProviderError(400, "each line needs method and url")
        expiry = self._provider.batch_expiry
        expires = time.time() + (WINDOWS[window] if expiry is None else expiry)
        batch_id = f"batch_{uuid.uuid4().hex}"
        batch = Batch(batch_id, endpoint, file.id, window, lines, params.get("metadata"), expires)
        self._batches[batch.id] = batch
        task = asyncio.get_running_loop().create_task(self._run(batch))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return batch

    async def _run(self, batch: Batch) -> None:
        """Run a batch from its creation to its end."""
        await asyncio.sleep(STEP_S)
        if batch.status == "validating":
            batch.status = "in_progress"
        batch.times["in_progress"] = begun = time.time()
        for number, line in enumerate(batch.lines):
            while (time.time() - begun) * self._provider.batch_rate < number and batch.status == "in_progress":
                await asyncio.sleep(STEP_S)
                if time.time() > batch.expires:
                    batch.status = "expired"
            if batch.status != "in_progress":
                break
            self._answer(batch, line)
        self._finish(batch)

    def _finish(self, batch: Batch) -> None:
        batch.status = {"in_progress": "completed", "cancelling": "cancelled"}.get(batch.status, batch.status)
        batch.times[batch.status] = time.time()
        if batch.good:
            batch.output_file = self._keep("output.jsonl", "batch_output", b"\n".join(batch.good) + b"\n").id
        if batch.bad:
            batch.error_file = self._keep("errors.jsonl", "batch_output", b"\n".join(batch.bad) + b"\n").id

    def _answer(self, batch: Batch, line: Json) -> None:
        """Answer one line of the file with one line of output or of errors."""
        error, status, body = None, 200, {}
        try:
            body = self._completion(json.dumps(line.get("body")).encode(), chat=ENDPOINTS[batch.endpoint])
        except ProviderError as refused:
            status, body = refused.status, error_object(refused, self._provider.errors)
            error = {"code": refused.reason, "message": refused.message}
        answer = {"status_code": status, "request_id": line.get("custom_id"), "body": body}
        result = {"id": f"batch_req_{uuid.uuid4().hex[:12]}", "custom_id": line.get("custom_id"), "response": answer}
        (batch.bad if error else batch.good).append(json.dumps(result | {"error": error}).encode())

    def _completion(self, body: bytes, *, chat: bool) -> Json:
        params = parse(body, chat=chat)
        engine = self._generator.engine(params["model"])
        faults = self._generator.faults(params, engine, "batches")
        if "task_fails" in faults:
            raise ProviderError(500, "simulated failure")
        seed = zlib.crc32(body)
        generation = self._generator.generation(NoExchange(), params, engine, faults, seed=seed, chat=chat)
        generation.charge(completion=generation.completion, share=engine.model.prices.batch)
        return completion(generation)

    def _batch_json(self, batch: Batch) -> Json:
        counts = {"total": len(batch.lines), "completed": len(batch.good), "failed": len(batch.bad)}
        names = ("created", "in_progress", "completed", "failed", "expired", "cancelling", "cancelled")
        times = batch.times | {"expires": batch.expires}
        members: Json = {
            "id": batch.id,
            "object": "batch",
            "endpoint": batch.endpoint,
            "input_file_id": batch.input_file,
            "completion_window": batch.window,
            "metadata": batch.metadata,
            "request_counts": counts,
        }
        if self._provider.dialect == "openai":
            members |= {"status": batch.status, "errors": None}
            members |= {"output_file_id": batch.output_file, "error_file_id": batch.error_file}
            stamps = {f"{name}_at": times.get(name) for name in (*names, "expires")}
            return members | {name: None if moment is None else int(moment) for name, moment in stamps.items()}
        members |= {"status": NOVITA_STATUS.get(batch.status, batch.status.upper()), "errors": "", "version": 0}
        members |= {"output_file_id": batch.output_file or "", "error_file_id": batch.error_file or "", **counts}
        return members | {f"{name}_at": stamp(times.get(name)) for name in (*names, "expires")}


class NoExchange(Exchange):
    """Stands in for an HTTP exchange: a line of a batch has none of its own."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex[:8]
        self.arrived = time.monotonic()
        self.written = 0
        self._headers = []


def stamp(moment: float | None) -> str | None:
    """RFC 3339 with nine digits and an offset, as the provider writes it."""
    if moment is None:
        return None
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%S.%f}000+00:00"
