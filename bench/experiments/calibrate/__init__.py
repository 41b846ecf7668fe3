"""Up to which load does this machine measure well? Sends rising loads to a simulator that knows the true times."""

from bench.experiments.calibrate.steps import Trial, scenario_of, trials

__all__ = ["Trial", "scenario_of", "trials"]
