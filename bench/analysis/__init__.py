"""What a run means: metrics, validity, verdicts. Pure functions over a run's folder; nothing here sends anything."""

from bench.analysis.facts import NotARunError
from bench.analysis.metrics import FORMULAS, statistics
from bench.analysis.run import Run, UncomputableError, open_run
from bench.analysis.summary import exit_code

__all__ = ["FORMULAS", "NotARunError", "Run", "UncomputableError", "exit_code", "open_run", "statistics"]
