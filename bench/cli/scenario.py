"""Reading the scenario that a verb was given, with the command line's own settings on top."""

from __future__ import annotations

import os
from pathlib import Path

from bench.plan import Scenario, load_scenario
from bench.simulator.config import Provider


def read_scenario(
    file: Path, target: str | None, settings: tuple[str, ...], *, processes: int | None = None
) -> Scenario:
    """The scenario with its overrides. Raises bench.plan.Mistakes."""
    chosen = (*settings, f"target={target}") if target else settings
    chosen = (*chosen, f"load.processes={processes}") if processes else chosen
    return load_scenario(file, overrides=chosen, environ=os.environ, simulator=Provider)
