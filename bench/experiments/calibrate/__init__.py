"""Up to which load does this machine measure well? Rising loads against a simulator that knows the truth."""

from bench.experiments.calibrate.steps import Trial, scenario_of, trials

__all__ = ["Trial", "scenario_of", "trials"]
