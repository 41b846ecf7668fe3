"""Reads the scenario of a verb, with the settings of the command line on top."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bench.cli.examples import examples
from bench.experiments import read_scenario as read
from bench.plan import Mistake, Mistakes, Scenario
from bench.plan.document import Given
from bench.simulator.config import Provider


def read_scenario(
    file: Path,
    target: str | None,
    settings: tuple[str, ...],
    *,
    given: Given | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Scenario:
    """The scenario with its overrides; of the text `given`, if there is one. Raises bench.plan.Mistakes.

    Locust is not imported, so that mistakes are told at once, unless a file of the user's own is."""
    if given is None and not file.exists() and file.stem in examples():
        hint = f"bench examples {file.stem} copies the example of this name here"
        raise Mistakes([Mistake(str(file), None, f"there is no such file; {hint}")])
    return read(
        file,
        overrides=settings,
        environ=environ,
        target=target,
        simulator=Provider,
        own_api=patched_api_mistakes,
        before_own=patch,
        given=given,
    )


def patched_api_mistakes(name: str, request: Mapping[str, object]) -> list[tuple[str, str]]:
    """The same, after Locust has patched what the user's file may import."""
    patch()
    return api_mistakes(name, request)


def api_mistakes(name: str, request: Mapping[str, object]) -> list[tuple[str, str]]:
    """What is wrong with an API of the user's own, named as FILE.py:OBJECT, and with this request class of it: each
    with its key."""
    from bench.wire.own_api import api_name, unfit
    from bench.wire.protocols import UnknownApiError, protocol

    try:
        return list(unfit(protocol(name), api_name(name), request))
    except UnknownApiError as error:
        return [("api", str(error))]


def patch() -> None:
    """Let Locust patch the standard library, before a file of the user's own imports what uses it."""
    import bench.load  # noqa: F401
