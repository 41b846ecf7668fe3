"""A scenario from the command line alone: the options' values in, a scenario's text out, which is read like a file's.

It remembers which option said what, so that a mistake is told by the option's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.plan.addresses import host_of, shown
from bench.plan.document import Given, read_document, spelled_out
from bench.plan.scenario import LONGEST_FOLDER, Scenario
from bench.plan.secrecy import secrets
from bench.plan.syntax import Location, yaml_text

USERS, REQUESTS, TOKENS, MAX_TOKENS = 5, 100, 300, 200
"""What is asked where the command line leaves it open: a load that any provider carries, over in half a minute."""

EMBEDDED = ("simulator", "llama.cpp")
SOURCE = "the command line"


@dataclass(frozen=True, slots=True)
class OneLine:
    """What a command line without a file asks."""

    target: str  # a URL, simulator or llama.cpp
    models: tuple[str, ...]
    users: int | None = None  # None: 5, unless there is a rate
    rate: float | None = None  # requests per second; None: users
    requests: int | None = None  # None: 100, unless there is a duration
    duration: str | None = None  # as it was written, such as 30s; None: no limit
    prompt: str | None = None  # a text; None: synthetic words
    tokens: int | None = None  # of synthetic words; None: 300, unless there is a prompt
    max_tokens: int | None = None  # None: 200
    stream: bool = True
    key_env: str | None = None  # name of the environment variable with the key; None: no key
    settings: tuple[str, ...] = field(default=())  # KEY=VALUE on top, as of --set

    @property
    def path(self) -> Path:
        """Stands for the file: mistakes name it, and files of --set are looked for beside it."""
        return Path(SOURCE)


def given(asked: OneLine) -> Given:
    """The scenario that the options stand for, as text."""
    return Given(yaml_text(values(asked)), OPTIONS)


def values(asked: OneLine) -> dict[str, Any]:
    """The scenario that the options stand for, as the values of a file."""
    more: dict[str, Any] = {} if asked.key_env is None else {"key": f"${{{asked.key_env}}}"}
    target: Any = asked.target
    if more or any(setting.startswith("target.") for setting in asked.settings):
        target = spelled_out(asked.target) | more
    users = USERS if asked.users is None and asked.rate is None else asked.users
    requests = REQUESTS if asked.requests is None and asked.duration is None else asked.requests
    load = {"users": users, "rate": asked.rate, "requests": requests, "duration": asked.duration}
    tokens = TOKENS if asked.tokens is None and asked.prompt is None else asked.tokens
    prompt = {"text": asked.prompt, "tokens": tokens}
    request = {
        "api": "chat",
        "stream": asked.stream,
        "prompt": {name: value for name, value in prompt.items() if value is not None},
        "max_tokens": MAX_TOKENS if asked.max_tokens is None else asked.max_tokens,
    }
    return {
        "name": name_of(asked.target),
        "target": target,
        "models": list(asked.models),
        "requests": [request],
        "load": {name: value for name, value in load.items() if value is not None},
    }


OPTIONS: dict[Location, str] = {
    ("target",): "URL",
    ("target", "url"): "URL",
    ("models",): "--model",
    ("requests", 0, "prompt"): "--prompt",
    ("requests", 0, "prompt", "tokens"): "--tokens",
    ("requests", 0, "max_tokens"): "--max-tokens",
    ("load",): "--users and --rate",
    ("load", "users"): "--users",
    ("load", "rate"): "--rate",
    ("load", "requests"): "--requests",
    ("load", "duration"): "--duration",
    ("target", "key"): "--key-env",
}
"""Which option a value comes from, for messages."""


def name_of(target: str) -> str:
    """The run's name: who is asked, such as api.example.com."""
    try:
        host = target if target in EMBEDDED else host_of(target)
    except ValueError:  # a broken address, which gets a message when it is read
        host = ""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", host).strip("-._")[:LONGEST_FOLDER] or "one-line"


def stands_for(asked: OneLine, scenario: Scenario) -> tuple[str, bool]:
    """The scenario with its settings as the text of a file, secrets removed; whether there were any."""
    document = read_document(asked.path, asked.settings, {}, given=given(asked))
    whole = yaml_text(document.written)
    text = shown(whole)
    for secret in secrets(scenario):
        text = text.replace(secret, "***")
    return text, text != whole
