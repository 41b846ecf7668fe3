"""Builds a request of every class before anything is sent. A request that cannot be built is a mistake in the scenario.

The requests take the same path as under load, from the plan to the bytes of an HTTP request, but are not sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson

from bench.load.caller import ask_of, body_of, request_of
from bench.load.connections import scrub_for
from bench.load.mishaps import UNFORESEEN, words_of
from bench.plan import Mistake, Mistakes, Planned, RequestPlan, Scenario
from bench.plan.syntax import read_yaml
from bench.targets.envelope import provider
from bench.wire.job import Call
from bench.wire.own_api import api_name
from bench.wire.protocols import PROTOCOLS, Job, protocol
from bench.wire.provider import Provider
from bench.wire.transport import encode

ENOUGH = 100_000_000  # bytes of bodies that are built from the data file of a class; more would take too long
MOST = 10  # mistakes of one request class that are reported
PLACEHOLDER = "http://127.0.0.1:1"  # an embedded target has no address before it is started
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # forbidden in headers (RFC 9110, section 5.5)


def rehearse(scenario: Scenario, source: str, seed: int) -> None:
    """Build what the run would send: each class for each model, and every row of data files.

    Raises Mistakes, and UnknownApiError if a user's own API is not valid. `source` is the scenario's file.
    """
    for arm in scenario.arms.values():
        rehearse(arm, source, seed)
    for request in scenario.requests:
        protocol(request.api)
    ours = provider(scenario.target, scenario.target.url or PLACEHOLDER, scrub_for(scenario))
    mistakes = []
    for index, request in enumerate(scenario.requests):
        for why in distinct(problems(scenario, ours, index, seed)):
            where = f"requests.{index} ({request.name}) cannot be sent"
            mistakes.append(Mistake(source, line_of(source, index), ours.scrub(f"{where}: {why}")))
    if mistakes:
        raise Mistakes(mistakes)


def problems(scenario: Scenario, ours: Provider, index: int, seed: int) -> Iterator[str]:
    """Why requests of a class cannot be sent."""
    try:
        plan = RequestPlan(scenario, seed, {})
        firsts = [plan.request_of_class(index, model, 0) for model in range(len(scenario.models))]
    except Mistakes:
        raise
    except UNFORESEEN as error:
        yield f"it cannot be planned: {words_of(error)}"
        return
    for planned in firsts:
        try:
            orjson.dumps(first_body(planned))
        except UNFORESEEN as error:
            yield reason(planned, error)
            continue
        try:
            check_bytes(first_request(ours, planned))
        except UNFORESEEN as error:
            yield reason_of_bytes(error)
    built = 0
    for row, planned in plan.rows(index):
        try:
            built += len(orjson.dumps(first_body(planned)))
        except UNFORESEEN as error:
            yield f"with row {row} of its data file: {reason(planned, error)}"
        if built > ENOUGH:
            return


def line_of(source: str, index: int) -> int | None:
    """The line of a request class in the scenario's file; None without a file."""
    try:
        text = Path(source).read_text("utf-8-sig")
    except (OSError, ValueError):
        return None
    return read_yaml(text).lines.get(("requests", index))


def distinct(found: Iterator[str]) -> list[str]:
    """The first MOST different reasons, and how many more there are."""
    reasons = list(dict.fromkeys(found))
    return reasons if len(reasons) <= MOST else [*reasons[:MOST], f"and {len(reasons) - MOST} more reasons like these"]


def first_request(ours: Provider, planned: Planned) -> httpx.Request:
    """The first HTTP request of a planned request."""
    api = protocol(planned.api)
    return ours.call(first_call(api, planned), api.family) if isinstance(api, Job) else request_of(ours, planned)


def first_body(planned: Planned) -> object:
    """The JSON of the first HTTP request."""
    api = protocol(planned.api)
    return first_call(api, planned).body if isinstance(api, Job) else body_of(api, planned)


def first_call(api: Job, planned: Planned) -> Call:
    """A job's first call. Raises TypeError if its first step is not a call."""
    call = next(api.steps(ask_of(planned, PLACEHOLDER if planned.webhook else None)))
    if not isinstance(call, Call):
        raise TypeError(f"a job begins with a Call; its first step is a {type(call).__name__}")
    return call


def check_bytes(request: httpx.Request) -> None:
    """Check that a request can be sent. Raises ValueError with the reason."""
    encode(request)
    if request.url.scheme not in ("http", "https") or not request.url.host:
        raise ValueError(f"{str(request.url)!r} is not an http:// or https:// address")
    try:
        request.url.raw_host.decode("ascii").encode("idna")
    except UnicodeError as error:
        raise ValueError(f"the host {request.url.host!r} cannot be looked up: {error}") from None
    for name, value in request.headers.raw:
        if _CONTROL.search(name) or _CONTROL.search(value):
            raise ValueError(f"the header {name.decode('ascii', 'replace')} has a line break or a control character")


def reason(planned: Planned, error: BaseException) -> str:
    """Why a body cannot be made, in words that the author of the scenario understands."""
    if isinstance(error, StopIteration):
        return f"{api_name(planned.api)} has no steps"
    if planned.api in PROTOCOLS and isinstance(error, ValueError | orjson.JSONEncodeError):
        return str(error)  # its messages are written for people
    return f"{api_name(planned.api)} raised {words_of(error)}"


def reason_of_bytes(error: BaseException) -> str:
    """Why an HTTP request cannot be made, in words that the author of the scenario understands."""
    if isinstance(error, UnicodeEncodeError):
        where = f"{error.object[error.start : error.end]!r}" if isinstance(error.object, str) else "a character"
        return f"{where} is not ASCII; a header can hold only ASCII"
    if isinstance(error, httpx.InvalidURL):
        return f"its address is not valid: {error}"
    return str(error) if isinstance(error, ValueError) else words_of(error)
