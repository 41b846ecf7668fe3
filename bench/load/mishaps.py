"""Exceptions that nobody foresaw: none costs a record, and the first of them ends the run with one message."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent

from bench.plan.redaction import Scrub

UNFORESEEN = (Exception, SystemExit, gevent.Timeout)
"""What a net catches: the end of a greenlet (GreenletExit) and Ctrl-C are no mistakes."""

LONGEST = 300  # characters of an exception's own words
_PACKAGE = str(Path(__file__).parents[1])


class MishapError(Exception):
    """The harness itself made a mistake; the message says what and where."""


class Mishaps:
    """What went wrong in the harness itself during a run."""

    def __init__(self, scrub: Scrub) -> None:
        self.first: str | None = None  # what and where, in one line; None while nothing went wrong
        self.at_first: Callable[[], None] = lambda: None  # ends the run
        self._scrub = scrub

    def add(self, doing: str, error: BaseException) -> str:
        """Note an exception that came while we were doing this; returns what to say of it."""
        text = self._scrub(f"a mistake in bench while {doing}: {words_of(error)}, at {place_of(error)}")
        if self.first is None:
            self.first = text
            self.at_first()
        return text


def words_of(error: BaseException) -> str:
    """An exception in one line of bounded length."""
    said = " ".join(str(error)[: 4 * LONGEST].split())
    name = type(error).__name__
    return f"{name}: {said[:LONGEST]}" if said else name


def place_of(error: BaseException) -> str:
    """Where an exception was raised, as far as that is ours."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_PACKAGE)] or frames
    if not ours:
        return "a place unknown"
    path = ours[-1].filename.replace(_PACKAGE, "bench", 1)
    return f"{path}:{ours[-1].lineno} in {ours[-1].name}"


def interrupts_without_traceback() -> None:
    """A Ctrl-C that comes while gevent's hub runs is raised in the main greenlet as ever, but no longer printed too."""
    hub = gevent.get_hub()
    hub.NOT_ERROR = (*type(hub).NOT_ERROR, KeyboardInterrupt)


@contextmanager
def net_under_greenlets(mishaps: Mishaps) -> Iterator[None]:
    """What escapes from a greenlet or from a callback of gevent's hub is a mishap, and no traceback on the terminal."""
    hub = gevent.get_hub()
    usual = hub.handle_error

    def handle(context: object, kind: type[BaseException], error: BaseException | None, trace: object) -> None:
        if isinstance(error, UNFORESEEN):
            mishaps.add("working in the background", error)
        else:
            usual(context, kind, error, trace)

    hub.handle_error = handle
    try:
        yield
    finally:
        del hub.handle_error
