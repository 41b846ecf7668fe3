"""What has to come before anything else of a load: Locust, which patches the standard library for gevent."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def metadata_read_once() -> Iterator[None]:
    """Read once what the installed packages say of themselves. While it patches, gevent asks 25 times whether one of
    them wants to know, and each time all of it is read: more than a third of the time that importing Locust takes."""
    read, known = importlib.metadata.entry_points, importlib.metadata.entry_points()
    importlib.metadata.entry_points = known.select
    try:
        yield
    finally:
        importlib.metadata.entry_points = read


with metadata_read_once():
    import locust  # noqa: F401
