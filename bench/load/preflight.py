"""Every request class built as it will be sent, before anything is sent: what cannot be is a mistake of the scenario.

The same path as under load, from the plan to the bytes of an HTTP request; only the sending is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import orjson

from bench.load.caller import asked, request_of
from bench.load.connections import scrub_for
from bench.load.mishaps import UNFORESEEN, words_of
from bench.plan import Mistake, Mistakes, Planned, RequestPlan, Scenario
from bench.targets.envelope import provider
from bench.wire.job import Call
from bench.wire.protocols import Job, protocol
from bench.wire.provider import Provider
from bench.wire.transport import encode

ENOUGH = 100_000_000  # bytes of bodies of a class that are built from its data file; more takes too long
MOST = 10  # mistakes of one request class that are told
SOMEWHERE = "http://127.0.0.1:1"  # stands for an embedded target, which has no address before it is started
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # what no header may hold (RFC 9110, section 5.5)


def rehearse(scenario: Scenario, source: str, seed: int) -> None:
    """Build what the run would send: each class for each model, and every row of data files.

    Raises Mistakes, and UnknownApiError if an API of the user's own is none. `source` is the scenario's file.
    """
    for arm in scenario.arms.values():
        rehearse(arm, source, seed)
    for request in scenario.requests:
        protocol(request.api)
    ours = provider(scenario.target, scenario.target.url or SOMEWHERE, scrub_for(scenario))
    mistakes = []
    for index, request in enumerate(scenario.requests):
        for why in distinct(problems(scenario, ours, index, seed)):
            where = f"requests.{index} ({request.name}) cannot be sent"
            mistakes.append(Mistake(source, None, ours.scrub(f"{where}: {why}")))
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
            check_bytes(first_request(ours, planned))
        except UNFORESEEN as error:
            yield reason(planned, error)
    built = 0
    for row, planned in plan.rows(index):
        try:
            built += len(orjson.dumps(first_body(planned)))
        except UNFORESEEN as error:
            yield f"with row {row} of its data file: {reason(planned, error)}"
        if built > ENOUGH:
            return


def distinct(found: Iterator[str]) -> list[str]:
    """The first few of the reasons, each once, and how many there are."""
    told = list(dict.fromkeys(found))
    return told if len(told) <= MOST else [*told[:MOST], f"and {len(told) - MOST} more reasons like these"]


def first_request(ours: Provider, planned: Planned) -> httpx.Request:
    """What goes out first."""
    api = protocol(planned.api)
    return ours.call(first_call(api, planned), api.family) if isinstance(api, Job) else request_of(ours, planned)


def first_body(planned: Planned) -> object:
    """The JSON of what goes out first."""
    api = protocol(planned.api)
    return first_call(api, planned).body if isinstance(api, Job) else api.body(asked(planned))


def first_call(api: Job, planned: Planned) -> Call:
    """A job's first call."""
    call = next(api.steps(asked(planned, SOMEWHERE if planned.webhook else None)))
    if not isinstance(call, Call):
        raise TypeError(f"a job begins with a Call; its first step is a {type(call).__name__}")
    return call


def check_bytes(request: httpx.Request) -> None:
    """Whether a request can be put on the wire. Raises ValueError."""
    encode(request)
    if request.url.scheme not in ("http", "https") or not request.url.host:
        raise ValueError(f"{str(request.url)!r} is no http:// or https:// address")
    try:
        request.url.raw_host.decode("ascii").encode("idna")
    except UnicodeError as error:
        raise ValueError(f"the host {request.url.host!r} cannot be looked up: {error}") from None
    for name, value in request.headers.raw:
        if _CONTROL.search(name) or _CONTROL.search(value):
            raise ValueError(f"the header {name.decode('ascii', 'replace')} holds a line break or a control character")


def reason(planned: Planned, error: BaseException) -> str:
    """An exception in the words of the person who wrote the scenario."""
    if isinstance(error, UnicodeEncodeError):
        where = f"{error.object[error.start : error.end]!r}" if isinstance(error.object, str) else "a character"
        return f"{where} does not fit into a header, which holds ASCII only"
    if isinstance(error, StopIteration):
        return "its API has no step at all"
    if isinstance(error, httpx.InvalidURL):
        return f"its address is none: {error}"
    if isinstance(error, ValueError | orjson.JSONEncodeError):  # messages for people, whoever wrote them
        return str(error)
    return f"{planned.api.rpartition('/')[2]} raised {words_of(error)}"
