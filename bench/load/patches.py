"""Imports Locust, which patches the standard library for gevent; this must come before anything else of a load."""

from __future__ import annotations

import importlib.metadata
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def metadata_read_once() -> Iterator[None]:
    """Read the metadata of the installed packages once. While gevent patches, it asks 25 times for entry points, and
    each time all metadata would be read: more than a third of the time that importing Locust takes."""
    read, known = importlib.metadata.entry_points, importlib.metadata.entry_points()
    importlib.metadata.entry_points = known.select
    try:
        yield
    finally:
        importlib.metadata.entry_points = read


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Let a Ctrl-C come afterwards. An exception while threads and their locks are patched would leave locks that
    nobody can release."""
    pressed: list[int] = []
    try:
        before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    except ValueError:  # not the main thread, which alone is interrupted
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        signal.raise_signal(signal.SIGINT)


with interrupts_held_back(), metadata_read_once():
    import locust  # noqa: F401
