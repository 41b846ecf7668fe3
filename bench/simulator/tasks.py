"""Media: asynchronous tasks with polls and webhooks, and images and speech in one exchange.

A model makes as many items at the same time as it has slots, each in `task_seconds`; further tasks queue.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import time
import urllib.parse
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.simulator.admission import Cost
from bench.simulator.config import Model
from bench.simulator.engine import Engine
from bench.simulator.errors import ProviderError
from bench.simulator.exchange import Exchange
from bench.simulator.generation import Generator, send_body
from bench.simulator.requests import check_bytes, check_image, check_ranges, form_of, object_of, params_of_form, require
from bench.simulator.streams import Frame
from bench.simulator.tokens import tokenize

Json = dict[str, Any]

WEBHOOK_TRIES, WEBHOOK_TIMEOUT_S, WEBHOOK_PAUSE_S = 5, 5.0, 0.5
SOUND_PIECES = 12  # number of pieces of a streamed speech
MOST_TASKS = 10_000  # older tasks are forgotten

_SIZES = {
    "width": (128, 2048),
    "height": (128, 2048),
    "image_num": (1, 8),
    "steps": (1, 100),
    "guidance_scale": (1, 30),
}
_FLUX = {"width": (64, 2048), "height": (64, 2048), "image_num": (1, 8), "steps": (1, 100)}
_SPEECH = {"volume": (1, 2), "speed": (0.8, 3)}


@dataclass(slots=True)
class Task:
    """One task, running or done."""

    kind: str  # "TXT_TO_IMG", ...
    items: int
    medium: str  # "images", "videos" or "audios"
    webhook: str | None
    fails: bool = False
    sends_webhook: bool = True
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "TASK_STATUS_QUEUED"
    submitted: float = field(default_factory=time.time)
    begun: float | None = None
    done: float | None = None


class Media:
    """Handles the routes of the media API."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._tasks: dict[str, Task] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, exchange: Exchange, body: bytes, route: str) -> None:
        """Accept a task, answer with its id, and run it."""
        params = object_of(body)
        model, task = read_task(params, route)
        own = params.get("simulator") or (params.get("request") or {}).get("simulator")
        cost = Cost(images=task.items if task.medium == "images" else 0)
        given = {"model": model, "simulator": own}
        async with self._generator.admitted(exchange, given, "tasks", cost=cost) as slot:
            if slot is None:
                return
            engine, faults = slot
        task.fails, task.sends_webhook = "task_fails" in faults, "no_webhook" not in faults
        self._tasks[task.id] = task
        while len(self._tasks) > MOST_TASKS:
            self._tasks.pop(next(iter(self._tasks)))
        running = asyncio.get_running_loop().create_task(self._run(task, engine))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        await exchange.send_value({"task_id": task.id})

    async def result(self, exchange: Exchange) -> None:
        """Answer with the state of a task."""
        wanted = exchange.query.get("task_id", "")
        if (task := self._tasks.get(wanted)) is None:
            raise ProviderError(404, "task not found", reason="TASK_NOT_FOUND")
        await exchange.send_value(result_of(task))

    async def flux(self, exchange: Exchange, body: bytes) -> None:
        """FLUX.1 [schnell]: images in one exchange."""
        params = object_of(body)
        require(params, "prompt", str)
        check_ranges(params, _FLUX)
        count = params.get("image_num") or 1
        images = [
            {"image_url": image_url(exchange.id, number), "image_url_ttl": "3600", "image_type": "png"}
            for number in range(count)
        ]
        answer = {"task": {"task_id": exchange.id}, "images": images}
        await self._paint(exchange, params | {"model": params.get("model") or self._painter()}, answer, count)

    async def images(self, exchange: Exchange, body: bytes) -> None:
        """OpenAI's images/generations."""
        await self._draw(exchange, object_of(body))

    async def edits(self, exchange: Exchange, body: bytes) -> None:
        """OpenAI's images/edits: a form with one or more images."""
        fields, files = form_of(exchange, body)
        images = [*files.getlist("image"), *files.getlist("image[]")]
        if not images:
            raise ProviderError(400, "image is required")
        for image in images:
            check_bytes(image.read())
        params = params_of_form(fields)
        if not str(params.get("n", "1")).isascii() or not str(params.get("n", "1")).isdigit():
            raise ProviderError(400, f"n must be between 1 and 10, got {params['n']!r:.40}")
        await self._draw(exchange, params | {"n": int(str(params.get("n", "1"))[:9])})

    async def _draw(self, exchange: Exchange, params: Json) -> None:
        require(params, "model", str)
        require(params, "prompt", str)
        count = 1 if params.get("n") is None else params["n"]
        if not 1 <= count <= 10:
            raise ProviderError(400, f"n must be between 1 and 10, got {count}")
        as_bytes = params.get("response_format") == "b64_json"
        data = [{"b64_json": PIXEL} if as_bytes else {"url": image_url(exchange.id, number)} for number in range(count)]
        answer = {"created": int(time.time()), "data": data}
        await self._paint(exchange, params, answer, count)

    async def speak(self, exchange: Exchange, body: bytes, model: str) -> None:
        """MiniMax speech: a stream of hexadecimal sound, or one object."""
        params = object_of(body) | {"model": model}
        cost = Cost(input_tokens=len(tokenize(require(params, "text", str))))
        async with self._generator.admitted(exchange, params, "speech", cost=cost) as slot:
            if slot is None:
                return
            engine, faults = slot
            rng = self._generator.draw()
            began = engine.begins(exchange.arrived)
            dues = [began + offset for offset in engine.offsets(rng, prefill=0, tokens=SOUND_PIECES)]
            truth = exchange.truth()
            if params.get("stream"):
                await self._generator.stream(exchange, sound_frames(dues), truth, faults)
                return
            await asyncio.sleep(max(0.0, dues[-1] - time.monotonic()))
            await send_body(exchange, {"audio": SOUND * SOUND_PIECES, "status": 2}, truth, faults)

    def _painter(self) -> str:
        """The model of a route that names no model: sim/painter, or else the first model."""
        models = self._generator.engines
        return "sim/painter" if "sim/painter" in models else next(iter(models))

    async def _paint(self, exchange: Exchange, params: Json, answer: Json, count: int) -> None:
        async with self._generator.admitted(exchange, params, "images", cost=Cost(images=count)) as slot:
            if slot is None:
                return
            engine, faults = slot
            began = engine.begins(exchange.arrived)
            await asyncio.sleep(max(0.0, began + self._duration(engine.model, count) - time.monotonic()))
            await send_body(exchange, answer, exchange.truth(), faults)

    def _duration(self, model: Model, count: int) -> float:
        rng = self._generator.draw()
        return sum(rng.uniform(*model.task_seconds) for _ in range(count))

    async def _run(self, task: Task, engine: Engine) -> None:
        """Run a task to its end, and send its webhook."""
        async with engine.slot():
            task.status, task.begun = "TASK_STATUS_PROCESSING", time.time()
            await asyncio.sleep(self._duration(engine.model, task.items))
            task.status = "TASK_STATUS_FAILED" if task.fails else "TASK_STATUS_SUCCEED"
            task.done = time.time()
        if task.webhook and task.sends_webhook:
            body = json.dumps({"event_type": "ASYNC_TASK_RESULT", "payload": result_of(task)}).encode()
            await send_webhook(task.webhook, body)


async def send_webhook(url: str, body: bytes) -> None:
    """Send a webhook, and try again if it is not accepted."""
    for _ in range(WEBHOOK_TRIES):
        if await asyncio.get_running_loop().run_in_executor(None, post, url, body):
            return
        await asyncio.sleep(WEBHOOK_PAUSE_S)


def post(url: str, body: bytes) -> bool:
    """Send a webhook once. Returns whether it was accepted."""
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=WEBHOOK_TIMEOUT_S)
    try:
        connection.request("POST", parts.path or "/", body, {"Content-Type": "application/json"})
        return connection.getresponse().status < 300
    except OSError:
        return False
    finally:
        connection.close()


def read_task(params: Json, route: str) -> tuple[str, Task]:
    """The model and the task of a request. Raises ProviderError."""
    extra = params.get("extra") or {}
    webhook = (extra.get("webhook") or {}).get("url")
    if route in ("txt2img", "img2img"):
        request = require(params, "request", dict)
        prompt = require(request, "prompt", str)
        if len(prompt) > 1024:
            raise ProviderError(400, "prompt must have 1 to 1024 characters")
        check_ranges(request, _SIZES)
        if route == "img2img":
            check_image(require(request, "image_base64", str))
        kind = "TXT_TO_IMG" if route == "txt2img" else "IMG_TO_IMG"
        return require(request, "model_name", str), Task(kind, request.get("image_num") or 1, "images", webhook)
    if route == "txt2video":
        require(params, "prompts", list)
        check_ranges(params, {"steps": (1, 100)})
        return require(params, "model_name", str), Task("TXT_TO_VIDEO", 1, "videos", webhook)
    if route == "txt2speech":
        request = require(params, "request", dict)
        texts = require(request, "texts", list)
        check_ranges(request, _SPEECH)
        if any(len(text) > 512 for text in texts):
            raise ProviderError(400, "texts must have at most 512 characters each")
        return request.get("model_name") or "sim/painter", Task("TXT_TO_SPEECH", len(texts), "audios", webhook)
    require(params, "prompt", str)
    medium = "videos" if "video" in route else "images"
    return params.get("model_name") or "sim/painter", Task("ASYNC_TASK", 1, medium, webhook)


def result_of(task: Task) -> Json:
    """The JSON of task-result; it has media if the task succeeded."""
    made: Json = {"images": [], "videos": [], "audios": []}
    if task.status == "TASK_STATUS_SUCCEED":
        singular = task.medium.removesuffix("s")
        made[task.medium] = [
            {
                f"{singular}_url": f"https://media.invalid/{task.id}/{number}",
                f"{singular}_url_ttl": "3600",
                f"{singular}_type": {"images": "png", "videos": "mp4", "audios": "wav"}[task.medium],
            }
            for number in range(task.items)
        ]
    debug = {
        "request_info": "",
        "submit_time_ms": milliseconds(task.submitted),
        "execute_time_ms": milliseconds(task.begun),
        "complete_time_ms": milliseconds(task.done),
    }
    state = {
        "task_id": task.id,
        "task_type": task.kind,
        "status": task.status,
        "reason": "simulated failure" if task.status == "TASK_STATUS_FAILED" else "",
        "eta": 0,
        "progress_percent": 100 if task.done else 0,
    }
    return {"extra": {"seed": "1", "enable_nsfw_detection": False, "debug_info": debug}, "task": state, **made}


def milliseconds(moment: float | None) -> str:
    return "" if moment is None else str(round(moment * 1e3))


def image_url(key: str, number: int) -> str:
    return f"https://media.invalid/{key}/{number}.png"


def sound_frames(dues: list[float]) -> Any:
    """Pieces of sound, then an event with status 2; there is no [DONE]."""
    for due in dues:
        yield Frame(due, json.dumps({"audio": SOUND, "status": 1}).encode(), "token")
    last = dues[-1]
    yield Frame(last, lambda truth: json.dumps({"status": 2, "simulator": asdict(truth)}).encode(), "terminator")


SOUND = "fffb90c4" * 64  # hexadecimal
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
