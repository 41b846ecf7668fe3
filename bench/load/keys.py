"""Renews keys during a run: another process runs the command that prints the key, and this module reads its output.

The load's process only reads a line from time to time. It teaches the new key to the function that removes secrets, in
steps that are so short that no request is late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

import gevent

from bench.load.mishaps import interrupts_without_traceback
from bench.plan import Target
from bench.plan.credentials import KeyCommand
from bench.plan.redaction import Scrubber
from bench.targets.keys import asking, first_keys, key_commands, key_in


def fetch_keys(targets: Iterable[Target]) -> None:
    """Run each command once, so that every target has its key. A Ctrl-C ends it. Raises KeyCommandError."""
    interrupts_without_traceback()
    first_keys(targets)


@contextmanager
def renewed_keys(targets: Iterable[Target], scrub: Scrubber, warn: Callable[[str], None]) -> Iterator[None]:
    """Renew the keys of commands in time while this is entered. Calls `warn` with a message if that fails."""
    with ExitStack() as stack:
        for same in key_commands(targets):
            process = stack.enter_context(asking(same[0], once=False))
            assert process.stdin is not None
            stack.callback(process.stdin.close)  # this ends the process
            reader = gevent.spawn(listen, process.stdout, same, scrub, warn)
            stack.callback(reader.kill)
        yield


def listen(lines: Iterable[bytes], same: list[KeyCommand], scrub: Scrubber, warn: Callable[[str], None]) -> None:
    """Read new keys of one command until the process ends; `same` are all keys that use this command."""
    failing = False
    for line in lines:
        try:
            key = key_in(line)
        except ValueError as error:
            if not failing:  # warn only about the first of several failures in a row
                warn(scrub(f"target.key: {same[0].shown} gave no new key: {error}; the old one is used on"))
            failing = True
            continue
        if failing:
            warn(f"target.key: {same[0].shown} gives keys again")
        failing = False
        give(same, key, scrub)
    warn(f"target.key: {same[0].shown} is not run any more, since the process that did it has ended")


def told_keys(targets: Iterable[Target], tell: Callable[[int, str], None]) -> Callable[[], None]:
    """A function to call again and again: it calls `tell` for each new key, with the index of its command."""
    commands = key_commands(targets)
    known = [len(same[0].given) for same in commands]

    def look() -> None:
        for place, same in enumerate(commands):
            for key in same[0].given[known[place] :]:
                tell(place, key)
            known[place] = len(same[0].given)

    return look


def give(same: Iterable[KeyCommand], key: str, scrub: Scrubber) -> None:
    """Use this key from now on. First teach it to `scrub`, so that it is removed from every text."""
    known = list(same)
    if all(one.present == key for one in known):
        return
    for _ in scrub.learn(key):
        gevent.sleep(0)
    for one in known:
        one.give(key)
