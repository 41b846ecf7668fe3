"""Batches: upload a file of requests, create a batch, wait for its end, fetch its results and errors.

Source: OpenAI's Batch API and Novita's dialect of it (lines without method and url, upper-case statuses, PROGRESS,
an empty text for a missing file).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from bench.wire.answer import Answer, Usage, parsed, unreadable
from bench.wire.ask import Ask
from bench.wire.errors import find_error
from bench.wire.exchange import Exchange
from bench.wire.fields import as_text, count, excerpt, word
from bench.wire.job import Awaited, Call, Finished, Reply, Steps, UnexpectedAnswerError, json_of, text_at
from bench.wire.openai import read_usage

Json = dict[str, Any]

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
ENDPOINTS = {"chat": ("chat/completions", "messages"), "completions": ("completions", "prompt")}


@dataclass(frozen=True, slots=True)
class Batch:
    """POST files, POST batches, GET batches/ID, GET files/ID/content."""

    name: str = "batch"
    path: str = "batches"
    family: str = "openai"

    def steps(self, ask: Ask) -> Steps:
        """The calls of one batch. `ask.input` lists the inputs of all its requests; parameters["batch"] has
        endpoint, window, dialect and cancel_after."""
        options = ask.parameters["batch"]
        own = {name: value for name, value in ask.parameters.items() if name != "batch"} | dict(ask.extra_body)
        lines = b"\n".join(lines_of(ask.model, ask.input, own, options["endpoint"], options["dialect"])) + b"\n"
        upload = Call("upload", "files", file=("batch_input.jsonl", lines, {"purpose": "batch"}))
        file = text_at(json_of((yield upload)), "id")
        path, _ = ENDPOINTS[options["endpoint"]]
        body = {"input_file_id": file, "endpoint": f"/v1/{path}", "completion_window": options["window"]}
        batch = text_at(json_of((yield Call("create", "batches", body=body))), "id")
        poll = Call("poll", f"batches/{quote(batch, safe='')}", "GET")
        ended = yield Awaited(poll, is_ended, key=batch, until=options["cancel_after"])
        assert isinstance(ended, Finished)
        if not ended.in_time:
            yield Call("cancel", f"{poll.path}/cancel", needed=False)
            ended = yield Awaited(poll, is_ended, key=batch)
        state = json_of(ended)
        results = []
        for key in ("output_file_id", "error_file_id"):
            if state.get(key):
                fetched = yield Call("fetch", f"files/{quote(text_at(state, key), safe='')}/content", "GET")
                results += json_lines(fetched)
        return read_batch(state, results, size=len(ask.input), cancelling=options["cancel_after"] is not None)


def lines_of(model: str, inputs: list[Any], own: Json, endpoint: str, dialect: str) -> Iterator[bytes]:
    """The lines of the input file, one per request."""
    path, input_name = ENDPOINTS[endpoint]
    for number, value in enumerate(inputs, start=1):
        line: Json = {"custom_id": f"request-{number}"}
        if dialect == "openai":
            line |= {"method": "POST", "url": f"/v1/{path}"}
        yield orjson.dumps(line | {"body": {"model": model, input_name: value} | own})


def status_of(state: Any) -> str:
    """The status in OpenAI's words. Novita writes them in capitals, and PROGRESS for in_progress."""
    status = (word(state.get("status") if isinstance(state, dict) else None) or "").lower()
    return "in_progress" if status == "progress" else status


def is_ended(body: bytes) -> bool:
    """Whether a batch has ended. Also True for a body that is not a batch: `read_batch` then reports the error."""
    try:
        state = parsed(body)
    except orjson.JSONDecodeError:
        return True
    return status_of(state) in ENDED or not status_of(state)


def json_lines(reply: Reply) -> list[Json]:
    """The objects of a file with one JSON object per line. Raises UnexpectedAnswerError."""
    assert isinstance(reply, Exchange)
    return [object_of(line) for line in b"".join(data for _, data in reply.reads).splitlines() if line.strip()]


def object_of(line: bytes) -> Json:
    try:
        value = parsed(line)
    except orjson.JSONDecodeError as error:
        raise UnexpectedAnswerError(unreadable(line, error)) from None
    if not isinstance(value, dict) or "custom_id" not in value:
        raise UnexpectedAnswerError(f"a line that is not the result of a request: {excerpt(value)}")
    return value


def reason_of(state: Json) -> str:
    """Why a batch failed: OpenAI lists what is wrong with which line, Novita has one text."""
    if (error := find_error(state)) is not None:
        return str(error)
    errors = state.get("errors")
    listed = errors.get("data") if isinstance(errors, dict) else None
    if isinstance(listed, list) and listed and isinstance(first := listed[0], dict):
        place = f"line {first['line']}: " if count(first.get("line")) is not None else ""
        more = f" (and {len(listed) - 1} more)" if len(listed) > 1 else ""
        return f"{place}{find_error({'error': first})}{more}"
    return as_text(errors or "no reason given")


def own_results(results: Iterable[Json], size: int) -> list[Json]:
    """The results of a batch's own requests, one for each; a server may repeat a line, or send another batch's."""
    wanted = {f"request-{number}" for number in range(1, size + 1)}
    found: dict[str, Json] = {}
    for result in results:
        if (name := word(result["custom_id"])) in wanted:
            found.setdefault(name, result)
    return list(found.values())


def body_in(result: Json) -> Json | None:
    """The body of a request's good answer; None if the request failed."""
    response = result.get("response")
    if result.get("error") or not isinstance(response, dict) or str(response.get("status_code")) != "200":
        return None
    body = response.get("body")
    return body if isinstance(body, dict) and find_error(body) is None else None


def failure_in(result: Json) -> str:
    """Why a request of a batch failed, in words; as JSON if it does not say."""
    response = result.get("response")
    body = response.get("body") if isinstance(response, dict) else None
    error = find_error(result) or find_error(body)
    return str(error) if error is not None else excerpt(response)


def read_batch(state: Json, results: list[Json], *, size: int, cancelling: bool) -> Answer:
    """The answer of a batch of `size` requests: the sum of their tokens, and how many failed."""
    status, own = status_of(state), own_results(results, size)
    good = [body for result in own if (body := body_in(result)) is not None]
    usages = [read_usage(body.get("usage") or {}) for body in good]
    error = None
    if status != "completed" and not (status == "cancelled" and cancelling):
        ended = f"is {status}" if status else "has no status"
        error = f"the batch {ended}, {len(good)} of {size} requests done: {reason_of(state)}"
    elif own and not good:
        error = f"all requests of the batch failed, the first with {failure_in(own[0])}"
    elif results and not own:
        raise UnexpectedAnswerError(f"results of other requests: {excerpt(results[0])}")
    return Answer(
        item="request",
        items=len(good),
        failed_items=max(0, size - len(good)),
        empty=not good and status == "completed",
        finish_reason=status,
        response_id=state.get("id"),
        usage=Usage(
            prompt=whole_total([usage.prompt for usage in usages]),
            completion=whole_total([usage.completion for usage in usages]),
            reasoning=total(usage.reasoning for usage in usages),
            cached=total(usage.cached for usage in usages),
            cache_write=total(usage.cache_write for usage in usages),
        ),
        tokens_from="usage" if usages else "none",
        error=error,
    )


def total(numbers: Iterator[int | None]) -> int | None:
    """The sum of the known numbers; None if no number is known."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def whole_total(numbers: list[int | None]) -> int | None:
    """The sum; None if a number is unknown, because the rest would pass for the whole."""
    return None if None in numbers else total(iter(numbers))
