"""How many tokens does a server count per word? A few requests find it out before every other experiment."""

from bench.experiments.fit.steps import announcement, planned, steps

__all__ = ["announcement", "planned", "steps"]
