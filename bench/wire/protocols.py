"""One object per API: it builds a request's body and reads the answer.

Most APIs are one exchange (`Api`); a `Job` takes several. To add an API, write an object with these members. Put it
into a file of your own, which a scenario names as `api: my_apis.py:NAME`, or into `PROTOCOLS` here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol, cast, runtime_checkable

from bench.wire.answer import Answer
from bench.wire.anthropic import Messages
from bench.wire.ask import Ask
from bench.wire.batch import Batch
from bench.wire.exchange import Read
from bench.wire.job import Steps
from bench.wire.openai import OpenAI
from bench.wire.own_api import UnknownApiError, load_api
from bench.wire.responses import Responses
from bench.wire.speech import Speech
from bench.wire.tasks import IMG2IMG, TASK, TXT2IMG, TXT2SPEECH, TXT2VIDEO
from bench.wire.unary import EMBEDDINGS, FLUX, IMAGES, MODELS, RERANK

__all__ = [
    "PROTOCOLS",
    "Answer",
    "Api",
    "Conversing",
    "Job",
    "UnknownApiError",
    "api_of",
    "conversing_of",
    "job_of",
    "method_of",
    "protocol",
]


class Api(Protocol):
    """An API of one exchange. An API that does not use POST also has `method`, see wire.own_api; one that supports
    conversations has `reply`, see wire.openai. Only one that is asked for streams needs `token_times`."""

    @property
    def name(self) -> str:
        """How records call it."""

    @property
    def family(self) -> str:
        """Which of a provider's base paths it lives under, see wire.paths."""

    @property
    def path(self) -> str:
        """The path below that base path; may contain {model}."""

    def body(self, ask: Ask) -> dict[str, Any]:
        """The request's JSON: parameters are copied as they are, and extra_body overrides everything."""

    def read(self, reads: list[Read], *, stream: bool) -> Answer:
        """The answer that these reads hold. Never raises, whatever the server sends."""

    def token_times(self, reads: list[Read]) -> tuple[float | None, float | None]:
        """Arrival times of the first and the last token so far, None before the first; called only when a timeout may
        have passed."""


class Conversing(Api, Protocol):
    """An API whose conversations can have several turns."""

    def reply(self, answer: Answer, results: Mapping[str, str]) -> list[dict[str, Any]]:
        """The messages that the next turn puts after an answer: the answer, and the result of each tool that it called.
        `results` has the results by the tool's name."""


@runtime_checkable
class Job(Protocol):
    """An API of several exchanges: see wire.job."""

    @property
    def name(self) -> str:
        """How records call it."""

    @property
    def family(self) -> str:
        """Which of a provider's base paths it lives under, see wire.paths."""

    def steps(self, ask: Ask) -> Steps:
        """The calls to send and the results to wait for, in order."""


_APIS: tuple[Api | Job, ...] = (
    OpenAI("chat", "chat/completions", "messages"),
    OpenAI("completions", "completions", "prompt"),
    Messages(),
    Responses(),
    EMBEDDINGS,
    RERANK,
    MODELS,
    TXT2IMG,
    IMG2IMG,
    TXT2VIDEO,
    TXT2SPEECH,
    TASK,
    FLUX,
    IMAGES,
    Speech(),
    Batch(),
)
PROTOCOLS: dict[str, Api | Job] = {api.name: api for api in _APIS}


@cache
def protocol(name: str) -> Api | Job:
    """The API of that name, or the object in a user's own file (FILE.py:OBJECT). Raises UnknownApiError."""
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    path, _, wanted = name.rpartition(":")
    return cast(Api | Job, load_api(path, wanted))  # its members are checked


@cache  # isinstance with a Protocol is slow, so all three functions are cached
def job_of(name: str) -> Job | None:
    """The API of that name if it is a job, else None. Raises UnknownApiError."""
    api = protocol(name)
    return api if isinstance(api, Job) else None


@cache
def conversing_of(name: str) -> Conversing | None:
    """The API of that name if it supports several turns, else None. Raises UnknownApiError."""
    api = protocol(name)
    return cast(Conversing, api) if callable(getattr(api, "reply", None)) else None


@cache
def api_of(name: str) -> Api:
    """The API of that name. Raises UnknownApiError, also for a job."""
    api = protocol(name)
    if isinstance(api, Job):
        raise UnknownApiError(f"{name} takes several exchanges")
    return api


def method_of(api: Api) -> str:
    """The HTTP method of an API."""
    return str(getattr(api, "method", "POST"))
