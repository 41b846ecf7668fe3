"""Imports Locust, which patches the standard library for gevent; this must come before anything else of a load."""

from __future__ import annotations

import importlib.metadata
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


with metadata_read_once():
    import locust  # noqa: F401
