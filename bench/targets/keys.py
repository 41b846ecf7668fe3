"""Keys that commands print: gets the first keys before anything is sent, and starts the processes that renew them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import IO

from bench.plan import Scenario, Target, target_secrets
from bench.plan.credentials import KeyCommand, key_of
from bench.plan.redaction import scrubber

Source = tuple[tuple[str, ...], str | None, float, float]
"""The values that are equal if two commands are the same: arguments, folder, every, timeout."""


class KeyCommandError(Exception):
    """A command prints no key; the message says why."""


def targets_of(scenario: Scenario) -> Iterator[Target]:
    """The scenario's target and those of its arms."""
    yield scenario.target
    for arm in scenario.arms.values():
        yield from targets_of(arm)


def key_commands(targets: Iterable[Target]) -> list[list[KeyCommand]]:
    """The commands for the keys of these targets; equal commands are in one list."""
    found: dict[Source, list[KeyCommand]] = {}
    for key in (target.key for target in targets):
        if isinstance(key, KeyCommand):
            same = found.setdefault((key.arguments, key.folder, key.every, key.timeout), [])
            if not any(one is key for one in same):
                same.append(key)
    return list(found.values())


def first_keys(targets: Iterable[Target]) -> None:
    """Run each command once, so that every target has its key. Raises KeyCommandError."""
    targets = list(targets)
    scrub = scrubber(secret for target in targets for secret in target_secrets(target))
    for same in key_commands(targets):
        with asking(same[0], once=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
        try:
            key = key_in(line)
        except ValueError as error:
            raise KeyCommandError(scrub(f"target.key: {same[0].shown} gives no key: {error}")) from None
        for one in same:
            one.give(key)


def key_in(line: bytes) -> str:
    """The key in the process's report of one run of the command. Raises ValueError with what went wrong."""
    report = json.loads(line or b'{"error": "it was ended"}')
    if "error" in report:
        raise ValueError(report["error"])
    return key_of(report["output"])


def asking(command: KeyCommand, *, once: bool) -> subprocess.Popen[bytes]:
    """Start a process that runs the command: with `once` one time now, otherwise again and again while its standard
    input is open. It gets the whole environment, because such commands find their credentials there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.targets.key_command"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=dict(os.environ),
        start_new_session=True,  # a Ctrl-C is for the run
    )
    order = {
        "arguments": command.arguments,
        "folder": command.folder,
        "timeout": command.timeout,
        "every": command.every,
        "once": once,
    }
    say(process.stdin, json.dumps(order).encode() + b"\n")
    return process


def say(stdin: IO[bytes] | None, line: bytes) -> None:
    assert stdin is not None
    stdin.write(line)
    stdin.flush()
