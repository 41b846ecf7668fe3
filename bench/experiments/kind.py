"""What a kind of question is, and how one of a user's own is read from a file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.plan.scenario import Scenario
from bench.plan.scenario_file import is_own_kind
from bench.plan.steps import Stage, Step, Steps, StepsError

if TYPE_CHECKING:
    from bench.analysis import Run
    from bench.analysis.conclusion import Conclusion


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of question."""

    scenario: type[Scenario]  # what it is asked with
    steps: Callable[[Any], Steps[None]]  # of such a scenario
    findings: Callable[[Run], Conclusion] | None = None  # of a run's folder; None: the general sections are the answer
    stages: Callable[[Any], Sequence[Stage]] | None = None  # what it sends at most; None if the answers decide that


def findings_in(module: str) -> Callable[[Run], Conclusion]:
    """The function `findings` of a module that is imported only when a run's findings are wanted: pandas and SciPy
    take their time, and a load should start at once."""

    def findings(run: Run) -> Conclusion:
        found: Conclusion = importlib.import_module(module).findings(run)
        return found

    return findings


class UnknownKindError(Exception):
    """There is no such kind; the message says what was found in its place."""


@cache
def own_kind(name: str) -> Kind:
    """The kind in a user's own file, named as FILE.py:OBJECT. Raises UnknownKindError."""
    path, _, wanted = name.rpartition(":")
    module_name = f"bench_kind:{path}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None or not Path(path).is_file():
        raise UnknownKindError(f"there is no Python file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # where dataclasses and Pydantic look for the names in annotations
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a file may do when it is run
        raise UnknownKindError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    found = getattr(module, wanted, None)
    if not isinstance(found, Kind):
        got = f"is a {type(found).__name__}" if hasattr(module, wanted) else "is not in it"
        raise UnknownKindError(f"{path}: {wanted} {got}; a bench.experiments.Kind is expected")
    if not (isinstance(found.scenario, type) and issubclass(found.scenario, Scenario)):
        raise UnknownKindError(
            f"{path}: {wanted}.scenario is not a class of scenarios; a subclass of Scenario is expected"
        )
    for member in ("steps", "findings"):
        function = getattr(found, member)
        if not callable(function) and not (member == "findings" and function is None):
            raise UnknownKindError(f"{path}: {wanted}.{member} is {function!r}; a function is expected")
    return found


def own_steps(name: str, scenario: Scenario) -> Steps[None]:
    """The steps of a kind in a user's own file. Raises StepsError for whatever they raise, and for what is no step."""
    path = name.rpartition(":")[0]
    try:
        steps = own_kind(name).steps(scenario)
        if not isinstance(steps, Generator):
            raise TypeError(f"steps returned {steps!r}; a generator that yields steps is expected")
        step = next(steps)
        while True:
            if not isinstance(step, Step):
                raise TypeError(f"{step!r} was yielded; a Stage, Burst, Wait or Note is expected")
            step = steps.send((yield step))
    except StopIteration:
        return
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        where = f"{path}:{lines[-1]}" if lines else path
        raise StepsError(f"{where}: the question's steps failed: {type(error).__name__}: {error}") from error


def kind_of(name: str, kinds: dict[str, Kind]) -> Kind:
    """The kind of that name: one of these, or a user's own. Raises UnknownKindError."""
    if name in kinds:
        return kinds[name]
    if is_own_kind(name):
        return own_kind(name)
    raise UnknownKindError(f"{name!r} is not a kind of question that this version knows: {', '.join(kinds)}")
