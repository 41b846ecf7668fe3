"""A baseline: runs kept under a name, in a file that a team can commit. Each run is a line of about 20 kB.

baselines/main.json    {"schema": 1, "name": "main", "runs": [ … ]}
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.analysis.extract import Extract
from bench.records.file import BYTE_ORDER_MARK, place
from bench.records.json_file import write_file
from bench.records.record import Count

SCHEMA = 1
FOLDER = Path("baselines")
ENDING = ".json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class BaselineError(ValueError):
    """A baseline does not exist, is broken, or cannot take a run; the message says which."""


class Baseline(msgspec.Struct, frozen=True):
    """Runs that candidates are compared with."""

    name: str
    runs: list[Extract]
    schema: Count = SCHEMA


class _Version(msgspec.Struct):
    schema: Count


def path_of(folder: Path, name: str) -> Path:
    """The file of the baseline with this name. Raises BaselineError."""
    if not NAME.fullmatch(name):
        raise BaselineError(f"{name!r} cannot be the name of a baseline; letters, digits, dots and dashes are expected")
    return folder / f"{name}{ENDING}"


def names_in(folder: Path) -> list[str]:
    """The names of all baselines in a folder."""
    return sorted(path.name.removesuffix(ENDING) for path in folder.glob(f"*{ENDING}"))


def read_baseline(folder: Path, name: str) -> Baseline:
    """The baseline with this name. Raises BaselineError."""
    path = path_of(folder, name)
    try:
        data = path.read_bytes().removeprefix(BYTE_ORDER_MARK)
    except FileNotFoundError:
        there = ", ".join(names_in(folder))
        others = f"there is {there}" if there else "bench baseline add RUN makes one"
        raise BaselineError(f"there is no baseline {name} in {folder}; {others}") from None
    except OSError as error:
        raise BaselineError(f"{path} cannot be read: {error.strerror}") from None
    try:
        version = msgspec.json.decode(data, type=_Version).schema
        if version > SCHEMA:
            raise BaselineError(f"{path}: schema is {version}, and this version of bench reads up to {SCHEMA}")
        found = msgspec.json.decode(data, type=Baseline)
    except (ValueError, RecursionError) as error:
        if isinstance(error, BaselineError):
            raise
        raise BaselineError(f"{path} is not a baseline: {place(error)}; take it from your history again") from None
    if not found.runs:
        raise BaselineError(f"{path} holds no run; bench baseline add RUN puts one there")
    return found


def with_runs(known: Baseline | None, name: str, runs: Sequence[Extract]) -> Baseline:
    """The baseline with these runs in it, in the order in which they were made. Raises BaselineError for a run that is
    there already."""
    kept = list(known.runs) if known is not None else []
    for run in runs:
        if any(run.is_run(other) for other in kept):
            raise BaselineError(f"{run.label} is in the baseline {name} already; a run counts once")
        kept.append(run)
    return Baseline(name, sorted(kept, key=lambda run: run.started_at))


def without(known: Baseline, run: str) -> Baseline:
    """The baseline without the run of that folder's name, or of that time. Raises BaselineError."""
    rest = [one for one in known.runs if run not in (one.label, one.started_at)]
    if len(rest) == len(known.runs):
        raise BaselineError(f"{run} is not in the baseline {known.name}: {', '.join(one.label for one in known.runs)}")
    return Baseline(known.name, rest)


def write_baseline(folder: Path, baseline: Baseline) -> Path:
    """Write the baseline's file, a line for each run, whole or not at all. Raises OSError."""
    path = path_of(folder, baseline.name)
    folder.mkdir(parents=True, exist_ok=True)
    head = msgspec.json.encode({"schema": baseline.schema, "name": baseline.name})[:-1]
    runs = b",\n".join(msgspec.json.encode(run) for run in baseline.runs)
    write_file(path, head + b',"runs":[\n' + runs + b"\n]}\n")
    return path
