"""An API of a user's own, out of a Python file: what it lacks or has wrong is found before anything is sent."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType

from bench.wire.paths import FAMILIES
from bench.wire.unary import Unary

METHODS = {"POST": True, "PUT": True, "PATCH": True, "GET": False, "DELETE": False}
"""The HTTP methods of APIs, and whether a request has a body."""

_TEXTS = ("name", "family")
_CALLS: dict[str, Callable[[inspect.Signature], object]] = {
    "body": lambda signature: signature.bind("ask"),
    "read": lambda signature: signature.bind("reads", stream=True),
    "token_times": lambda signature: signature.bind("reads"),
    "reply": lambda signature: signature.bind("answer", "results"),
    "steps": lambda signature: signature.bind("ask"),
}
"""How bench calls the functions of an API."""
_PARAMETERS = {
    "body": "(ask)", "read": "(reads, *, stream)", "token_times": "(reads)", "reply": "(answer, results)",
    "steps": "(ask)",
}  # fmt: skip


class UnknownApiError(Exception):
    """A file does not contain the API that a scenario names; the message says what is missing."""


def api_name(api: str) -> str:
    """How records and messages call an API: by its name, or as FILE.py:OBJECT without the folder."""
    return api.rpartition("/")[2]


def load_api(path: str, wanted: str) -> object:
    """The object of this name in a Python file, with all members of an API. Raises UnknownApiError."""
    module = _module(path)
    if not hasattr(module, wanted):
        raise UnknownApiError(f"{path} has no {wanted}")
    found: object = getattr(module, wanted)
    if isinstance(found, type):
        raise UnknownApiError(f"{path}: {wanted} is a class; an object is expected, such as api = {wanted}(…)")
    if (wrong := next(_mistakes(found), None)) is not None:
        raise UnknownApiError(f"{path}: {wanted}{wrong}")
    return found


def _module(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_own_api", path)
    if spec is None or spec.loader is None:
        raise UnknownApiError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a user's file may raise anything
        raise UnknownApiError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _mistakes(api: object) -> Iterator[str]:
    """What is wrong with an object that should be an API; each follows the object's name in a sentence."""
    is_job = hasattr(api, "steps")
    texts = _TEXTS if is_job else (*_TEXTS, "path")
    functions = ("steps",) if is_job else ("body", "read")
    if lacking := [member for member in (*texts, *functions) if not hasattr(api, member)]:
        yield f" is not an API; it lacks {', '.join(lacking)}, see bench.wire.protocols"
        return
    for name in texts:
        if not isinstance(text := getattr(api, name), str):
            yield f".{name} is {text!r}; text is expected"
    for name in functions if is_job else (*functions, "token_times", "reply"):
        if (function := getattr(api, name, None)) is not None or name in functions:
            yield from _mistakes_of_function(name, function)
    if api.family not in FAMILIES:  # type: ignore[attr-defined]  # it was looked for above
        yield f".family is {api.family!r}; {', '.join(FAMILIES)} are known"  # type: ignore[attr-defined]
    if (method := getattr(api, "method", "POST")) not in METHODS:
        yield f".method is {method!r}; {', '.join(METHODS)} are known"
    if not is_job:
        yield from _mistakes_of_path(api.path)  # type: ignore[attr-defined]


def _mistakes_of_function(name: str, function: object) -> Iterator[str]:
    if not callable(function):
        yield f".{name} is {function!r}; a function is expected"
        return
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions of C have none
        return
    try:
        _CALLS[name](signature)
    except TypeError:
        yield f".{name} takes {signature}; it is called with {_PARAMETERS[name]}"


def _mistakes_of_path(path: str) -> Iterator[str]:
    try:
        path.format(model="m")
    except (LookupError, ValueError, AttributeError):
        yield f".path is {path!r}; {{model}} is the only part in braces that is filled in"


def unfit(api: object, name: str, request: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The keys of a request class that an API cannot serve or has no use for, each with the reason."""
    is_job = hasattr(api, "steps")
    if request.get("stream") is True and getattr(type(api), "token_times", None) is Unary.token_times:
        yield "stream", f"{name} is a Unary, so it answers at once"
    elif request.get("stream") is True and not is_job and not callable(getattr(api, "token_times", None)):
        yield (
            "stream",
            f"{name} has no function token_times, which tells a stream that stands still from one that goes on",
        )
    if request.get("conversation") is not None and (is_job or not callable(getattr(api, "reply", None))):
        yield "conversation", f"{name} has {'steps' if is_job else 'no function reply'}, so it has one turn"
    if "poll" in request and not is_job:
        yield "poll", f"{name} has no steps, so nothing is polled for"
