"""Makes a scenario from command-line options: values of options in, the text of a scenario out, which is read like a
file. It keeps the option of each value, so that a message names the option.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.plan.addresses import host_of, shown
from bench.plan.document import Given, read_document, spelled_out
from bench.plan.file_names import moved
from bench.plan.scenario import LONGEST_FOLDER, Scenario
from bench.plan.secrecy import secrets
from bench.plan.syntax import Location, yaml_text
from bench.plan.values import JsonObject

USERS, REQUESTS, TOKENS, MAX_TOKENS = 5, 100, 300, 200
"""Default values: a load that is small enough for any provider, and takes about half a minute."""

EMBEDDED = ("simulator", "llama.cpp")
SOURCE = "the command line"


@dataclass(frozen=True, slots=True)
class Access:
    """The credentials on a command line."""

    key_env: str | None = None  # name of the environment variable with the key; None: none
    key_command: str | None = None  # prints the key; None: none
    key_header: str | None = None  # None: the usual one
    query: tuple[str, ...] = ()  # parameters, each as NAME=VALUE
    client_cert: str | None = None  # PEM file; None: none
    client_key: str | None = None  # PEM file; None: in that of the certificate

    def values(self) -> JsonObject:
        """The same as members of a target."""
        key: Any = None if self.key_env is None else f"${{{self.key_env}}}"
        if self.key_command is not None:
            key = {"command": self.key_command}
        shown = {"cert": self.client_cert, "key": self.client_key}
        found = {
            "key": key,
            "key_header": self.key_header,
            "query": dict(parameter(one) for one in self.query),
            "client_certificate": {name: path for name, path in shown.items() if path is not None},
        }
        return {name: value for name, value in found.items() if value}

    @property
    def options(self) -> dict[Location, str]:
        """The option of each member, for messages."""
        key = "--key-env" if self.key_command is None else "--key-command"
        return {
            ("target", "key"): key,
            ("target", "key", "command"): key,
            ("target", "key_header"): "--key-header",
            ("target", "query"): "--query",
            **{("target", "query", parameter(one)[0]): "--query" for one in self.query},
            ("target", "client_certificate"): "--client-cert",
            ("target", "client_certificate", "cert"): "--client-cert",
            ("target", "client_certificate", "key"): "--client-key",
        }


def parameter(text: str) -> tuple[str, str]:
    """Name and value of NAME=VALUE."""
    name, _, value = text.partition("=")
    return name, value


@dataclass(frozen=True, slots=True)
class OneLine:
    """The options of a command line without a file."""

    target: str  # a URL, simulator or llama.cpp
    models: tuple[str, ...]
    users: int | None = None  # None: 5, unless there is a rate
    rate: float | None = None  # requests per second; None: users
    requests: int | None = None  # None: 100, unless there is a duration
    duration: str | None = None  # as it was written, such as 30s; None: no limit
    prompt: str | None = None  # a text; None: synthetic words
    tokens: int | None = None  # of synthetic words; None: 300, unless there is a prompt
    max_tokens: int | None = None  # None: 200
    tokenizer: str | None = None  # file by which synthetic text has exactly this many tokens; None: the server's count
    stream: bool = True
    access: Access = Access()
    settings: tuple[str, ...] = field(default=())  # KEY=VALUE on top, as of --set

    @property
    def path(self) -> Path:
        """The path in place of a file's: mistakes name it, and files of --set are relative to it."""
        return Path(SOURCE)


def given(asked: OneLine) -> Given:
    """The scenario that the options stand for, as text."""
    files: dict[Location, str] = {("tokenizers", model): "--tokenizer" for model in asked.models}
    return Given(yaml_text(values(asked)), OPTIONS | files | asked.access.options)


def given_target(target: str, style: str | None, access: Access) -> Given:
    """The target that a URL and options stand for, as the text of a file that says nothing else."""
    more = access.values() | ({} if style is None else {"style": style})
    options: dict[Location, str] = {("target",): "TARGET", ("target", "url"): "TARGET", ("target", "style"): "--style"}
    return Given(yaml_text({"target": spelled_out(target) | more}), options | access.options)


def values(asked: OneLine) -> JsonObject:
    """The scenario that the options stand for, as the values of a file."""
    more = asked.access.values()
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
    exact = {} if asked.tokenizer is None else {"tokenizers": dict.fromkeys(asked.models, asked.tokenizer)}
    return {
        "name": name_of(asked.target),
        "target": target,
        "models": list(asked.models),
        "requests": [request],
        "load": {name: value for name, value in load.items() if value is not None},
    } | exact


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
}
"""The option of each value, for messages."""


def name_of(target: str) -> str:
    """The run's name: the target's host, such as api.example.com."""
    try:
        host = target if target in EMBEDDED else host_of(target)
    except ValueError:  # a broken address, which gets a message when it is read
        host = ""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", host).strip("-._")[:LONGEST_FOLDER] or "one-line"


def stands_for(asked: OneLine, scenario: Scenario, folder: Path | None = None) -> tuple[str, bool]:
    """The scenario with its settings as the text of a file in this folder (None: where the command runs), without
    secrets, and whether there were secrets."""
    document = read_document(asked.path, asked.settings, {}, given=given(asked))
    here = asked.path.parent
    elsewhere = folder is not None and folder.resolve() != here.resolve()
    whole = yaml_text(moved(document.written, here, folder) if folder is not None and elsewhere else document.written)
    text = shown(whole)
    for secret in secrets(scenario):
        text = text.replace(secret, "***")
    return text, text != whole
