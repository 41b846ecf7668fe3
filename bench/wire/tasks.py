"""Novita's asynchronous media tasks: submit, then poll or wait for a webhook until images, videos or sounds are ready.

Source: Novita's API reference (txt2img, img2img, txt2video, txt2speech, and newer routes with flat bodies).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.wire.answer import UNREADABLE, Answer, parsed
from bench.wire.ask import Ask
from bench.wire.errors import find_error
from bench.wire.fields import as_text, excerpt, number, word
from bench.wire.job import Awaited, Call, Finished, Steps, UnexpectedAnswerError, json_of, text_at
from bench.wire.unary import has_item

Json = dict[str, Any]

SUCCEEDED, FAILED = "TASK_STATUS_SUCCEED", "TASK_STATUS_FAILED"
ITEM_NAMES = {"videos": "video", "audios": "sound", "images": "image"}
"""What a task made, by the name of its list; a video may come with an image of its cover."""


@dataclass(frozen=True, slots=True)
class Task:
    """One of those APIs."""

    name: str
    path: str
    make_body: Callable[[str, Any, Json, Json], Json]  # from model, input, parameters and the member `extra`
    family: str = "media"

    def steps(self, ask: Ask) -> Steps:
        """Submit the task, wait for its end, read the result."""
        own = {name: value for name, value in ask.parameters.items() if name != "extra"}
        extra = dict(ask.parameters.get("extra") or {})
        if ask.webhook is not None:
            extra["webhook"] = {"url": ask.webhook} | (extra.get("webhook") or {})
        body = self.make_body(ask.model, ask.input, own, extra) | dict(ask.extra_body)
        submitted = json_of((yield Call("submit", self.path.format(model=ask.model), body=body)))
        in_envelope = isinstance(submitted, dict) and isinstance(submitted.get("data"), dict)
        task = text_at(submitted, *(("data", "task_id") if in_envelope else ("task_id",)))
        poll = Call("poll", "v3/async/task-result", "GET", query={"task_id": task})
        finished = yield Awaited(poll, is_finished, key=task)
        assert isinstance(finished, Finished)
        return read_result(json_of(finished))


def is_finished(body: bytes) -> bool:
    """Whether a task has ended. Also True for a body that is not a task: `read_result` then reports the error."""
    try:
        return str(result_of(parsed(body))["task"]["status"]) in (SUCCEEDED, FAILED)
    except UNREADABLE:
        return True


def result_of(value: Any) -> Any:
    """The result itself; a webhook wraps it in `payload`."""
    return value["payload"] if isinstance(value, dict) and "payload" in value else value


def read_result(value: Any) -> Answer:
    """The answer of a task that has ended. Raises UnexpectedAnswerError if the value is not a task."""
    result = result_of(value)
    task = result.get("task") if isinstance(result, dict) else None
    if not isinstance(task, dict):
        if (error := find_error(value)) is not None:
            return Answer(error=str(error))
        raise UnexpectedAnswerError(f"not the result of a task: {excerpt(value)}")
    if (status := word(task.get("status"))) is None:
        raise UnexpectedAnswerError(f"a task without a status: {excerpt(value)}")
    if status != SUCCEEDED:
        reason = as_text(task.get("reason") or status)
        return Answer(error=f"the task failed: {reason}", server=server_times(result))
    item, items = made_in(result)
    return Answer(
        item=item,
        items=items,
        empty=not items,
        finish_reason="succeed",
        response_id=task.get("task_id"),
        server=server_times(result),
    )


def made_in(result: Json) -> tuple[str, int]:
    """What a task made, and how many of it. A filter may leave an entry without an address, which does not count."""
    lists = {item: result.get(key) for key, item in ITEM_NAMES.items()}
    counts = {item: sum(map(has_item, values)) for item, values in lists.items() if isinstance(values, list)}
    return next(((item, count) for item, count in counts.items() if count), ("image", 0))


def server_times(result: Json) -> dict[str, float]:
    """The server's own queue and run times, s; empty if it does not state them, or not in their order."""
    extra = result.get("extra")
    debug = extra.get("debug_info") if isinstance(extra, dict) else None
    if not isinstance(debug, dict):
        return {}
    submitted, begun, done = (seconds(debug.get(f"{name}_time_ms")) for name in ("submit", "execute", "complete"))
    if submitted is None or begun is None or done is None or not 0.0 < submitted <= begun <= done:
        return {}
    return {"queue_s": begun - submitted, "run_s": done - begun}


def seconds(stated: object) -> float | None:
    """Milliseconds, as a number or as text, in seconds; None if the provider leaves them empty."""
    try:
        milliseconds = number(float(stated) if isinstance(stated, str) else stated)
    except ValueError:
        return None
    return None if milliseconds is None else milliseconds / 1e3


def image_body(model: str, value: Any, own: Json, extra: Json) -> Json:
    """{"extra", "request": {…}} of txt2img and img2img; the input is a prompt or a dictionary of members."""
    members = value if isinstance(value, dict) else {"prompt": value}
    return {"extra": extra, "request": {"model_name": model} | members | own}


def speech_body(_: str, text: Any, own: Json, extra: Json) -> Json:
    return {"extra": extra, "request": {"texts": [text]} | own}


def video_body(model: str, members: Any, own: Json, extra: Json) -> Json:
    """txt2video has no `request`."""
    return {"extra": extra, "model_name": model, **members, **own}


def flat_body(_: str, text: Any, own: Json, extra: Json) -> Json:
    return {"prompt": text} | own | ({"extra": extra} if extra else {})


TXT2IMG = Task("txt2img", "v3/async/txt2img", image_body)
IMG2IMG = Task("img2img", "v3/async/img2img", image_body)
TXT2VIDEO = Task("txt2video", "v3/async/txt2video", video_body)
TXT2SPEECH = Task("txt2speech", "v3/async/txt2speech", speech_body)
TASK = Task("task", "v3/async/{model}", flat_body)
