"""How many words make a token? Asked of the server itself, before every other question."""

from bench.experiments.fit.steps import announcement, planned, steps

__all__ = ["announcement", "planned", "steps"]
