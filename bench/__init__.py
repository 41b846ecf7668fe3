"""bench: load tests for LLM APIs whose numbers can be believed, and that say so when they can't.

In a notebook:

>>> import bench
>>> run = bench.open_run("reports/quickstart")
>>> run.requests, run.groups  # pandas DataFrames
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.version import __version__

if TYPE_CHECKING:
    from bench.analysis import open_run as open_run

__all__ = ["__version__", "open_run"]


def __getattr__(name: str) -> object:
    """Import pandas only for those who open a run: `bench --help` must be instant."""
    if name == "open_run":
        from bench.analysis import open_run

        return open_run
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
