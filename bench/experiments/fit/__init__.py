"""How many words make a token? Asked of the server itself, before every other question."""

from bench.experiments.fit.steps import steps

__all__ = ["steps"]
