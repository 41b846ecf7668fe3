"""Unexpected exceptions, which are mistakes in bench: no record is lost, and the first one ends the run with one
message."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent

from bench.plan.redaction import Scrub

UNFORESEEN = (Exception, SystemExit, gevent.Timeout)
"""The exceptions that are caught as mistakes. The end of a greenlet (GreenletExit) and Ctrl-C are not mistakes."""

NOT_FOUND = (socket.gaierror, socket.herror)
"""What gevent's threads raise for a name that does not resolve: whoever waits for the name gets it, too."""

LONGEST = 300  # characters of an exception's message
_PACKAGE = str(Path(__file__).parents[1])


class MishapError(Exception):
    """There is a mistake in bench itself; the message says what and where."""


class Mishaps:
    """The mistakes in bench itself that showed during a run."""

    def __init__(self, scrub: Scrub) -> None:
        self.first: str | None = None  # the first mistake in one line, with its place; None if there is none
        self.at_first: Callable[[], None] = lambda: None  # ends the run
        self._scrub = scrub

    def add(self, doing: str, error: BaseException) -> str:
        """Note an exception. `doing` says what was being done. Returns the message."""
        text = self._scrub(f"a mistake in bench while {doing}: {words_of(error)}, at {place_of(error)}")
        if self.first is None:
            self.first = text
            self.at_first()
        return text


def words_of(error: BaseException) -> str:
    """An exception as one line of limited length."""
    message = " ".join(str(error)[: 4 * LONGEST].split())
    name = type(error).__name__
    return f"{name}: {message[:LONGEST]}" if message else name


def place_of(error: BaseException) -> str:
    """The last line of bench that an exception went through, or of any code if there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_PACKAGE)] or frames
    if not ours:
        return "an unknown place"
    path = ours[-1].filename.replace(_PACKAGE, "bench", 1)
    return f"{path}:{ours[-1].lineno} in {ours[-1].name}"


def interrupts_without_traceback() -> None:
    """Stop gevent from printing the traceback of a Ctrl-C. It is still raised in the main greenlet."""
    hub = gevent.get_hub()
    hub.NOT_ERROR = (*type(hub).NOT_ERROR, KeyboardInterrupt)


@contextmanager
def catch_greenlet_errors(mishaps: Mishaps) -> Iterator[None]:
    """Note an exception that escapes from a greenlet or a callback of gevent's hub, and print no traceback."""
    hub = gevent.get_hub()
    usual = hub.handle_error

    def handle(context: object, kind: type[BaseException], error: BaseException | None, trace: object) -> None:
        if isinstance(error, UNFORESEEN) and not isinstance(error, NOT_FOUND):
            mishaps.add("working in the background", error)
        else:
            usual(context, kind, error, trace)

    hub.handle_error = handle
    try:
        yield
    finally:
        del hub.handle_error
