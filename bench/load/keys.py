"""Keys that are renewed while they are used: a process of its own runs the command, here its words come in.

The load's process reads a line once in a while and takes the new key apart for what removes it from texts, in steps so
short that no request is late for them.
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
    """Run each command once, so that every target has its key. A Ctrl-C ends that. Raises KeyCommandError."""
    interrupts_without_traceback()
    first_keys(targets)


@contextmanager
def renewed_keys(targets: Iterable[Target], scrub: Scrubber, warn: Callable[[str], None]) -> Iterator[None]:
    """While this is entered, the keys that commands print are renewed in time; `warn` is told where that fails."""
    with ExitStack() as stack:
        for same in key_commands(targets):
            process = stack.enter_context(asking(same[0], once=False))
            assert process.stdin is not None
            stack.callback(process.stdin.close)  # which ends it
            reader = gevent.spawn(listen, process.stdout, same, scrub, warn)
            stack.callback(reader.kill)
        yield


def listen(lines: Iterable[bytes], same: list[KeyCommand], scrub: Scrubber, warn: Callable[[str], None]) -> None:
    """The whole life of the greenlet that hears of new keys for the same command."""
    failing = False
    for line in lines:
        try:
            key = key_in(line)
        except ValueError as error:
            if not failing:  # the rest of a row of failures says nothing new
                warn(scrub(f"target.key: {same[0].shown} gave no new key: {error}; the old one is used on"))
            failing = True
            continue
        if failing:
            warn(f"target.key: {same[0].shown} gives keys again")
        failing = False
        give(same, key, scrub)
    warn(f"target.key: {same[0].shown} is not run any more, since the process that did it has ended")


def told_keys(targets: Iterable[Target], tell: Callable[[int, str], None]) -> Callable[[], None]:
    """What to call again and again: it tells each key that is new since this call, and the place of its command."""
    commands = key_commands(targets)
    known = [len(same[0].given) for same in commands]

    def look() -> None:
        for place, same in enumerate(commands):
            for key in same[0].given[known[place] :]:
                tell(place, key)
            known[place] = len(same[0].given)

    return look


def give(same: Iterable[KeyCommand], key: str, scrub: Scrubber) -> None:
    """From now on this is the key; no text is to hold it before it is used for the first time."""
    known = list(same)
    if all(one.present == key for one in known):
        return
    for _ in scrub.learn(key):
        gevent.sleep(0)
    for one in known:
        one.give(key)
