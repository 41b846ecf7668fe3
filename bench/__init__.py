"""bench: load tests for LLM APIs whose numbers can be believed, and that say so when they can't.

In a notebook:

>>> import bench
>>> run = bench.open_run("reports/quickstart")
>>> run.requests, run.groups  # pandas DataFrames

In a test:

>>> found = bench.compare("reports/monday", "reports/tuesday", gate={"ttft p50": "50%"})
>>> assert found.verdict == "pass", found.comparisons
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.version import __version__

if TYPE_CHECKING:
    from bench.analysis import open_run as open_run
    from bench.analysis.disk_comparison import compare as compare

__all__ = ["__version__", "compare", "open_run"]


def __getattr__(name: str) -> object:
    """Import pandas only for those who open a run or compare two: `bench --help` must be instant."""
    if name == "open_run":
        from bench.analysis import open_run

        return open_run
    if name == "compare":
        from bench.analysis.disk_comparison import compare

        return compare
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
