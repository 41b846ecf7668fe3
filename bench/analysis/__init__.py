"""Metrics, validity and verdicts of a run: pure functions over its folder; nothing here sends anything."""

from bench.analysis.facts import NotARunError
from bench.analysis.figures import statistics
from bench.analysis.run import Run, UncomputableError, open_run
from bench.analysis.summary import Summary, exit_code
from bench.metrics import FORMULAS

__all__ = ["FORMULAS", "NotARunError", "Run", "Summary", "UncomputableError", "exit_code", "open_run", "statistics"]
