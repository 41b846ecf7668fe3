"""Writes the run's folder: run.json first, end.json last. Records and health come in between, from other modules."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil
from msgspec import UNSET, Struct, UnsetType

from bench.environment import child_environment
from bench.plan import shown_command
from bench.plan.repetition import KeptFit
from bench.records import End, Machine, TargetAddress
from bench.records.file import VERSION as RECORDS_VERSION
from bench.records.file import files_of
from bench.records.json_file import half_of, write_json
from bench.version import __version__

END_ROOM = 4096  # bytes that are reserved for end.json; it needs about 300
_LIBRARIES = ("locust", "gevent", "httpx", "httptools", "numpy", "pandas")


def new_folder(parent: Path, name: str, now: datetime) -> Path:
    """Create `parent/<name>-<UTC time>`. A second run within the same second gets a suffix. Raises FileExistsError."""
    stem = f"{name}-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    for attempt in range(1, 100):
        folder = parent / (stem if attempt == 1 else f"{stem}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(f"{parent / stem} and 98 more folders of this name exist already")


def named_folder(parent: Path, name: str) -> Path:
    """Create `parent/name`, or use it if it is empty. Raises FileExistsError if it holds files."""
    folder = parent / name
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds files already")
    return folder


def kept(folder: Path) -> int:
    """Number of records in the run's folder."""
    return sum(line.endswith(b"\n") for path in files_of(folder, "records") for line in path.open("rb"))


def reserve_end(folder: Path) -> None:
    """Reserve room for end.json, so that it can be written even if the records fill the disk."""
    half_of(folder / "end.json").write_bytes(b" " * END_ROOM)


def release_end(folder: Path) -> None:
    """Give the room back if no end.json was written."""
    half_of(folder / "end.json").unlink(missing_ok=True)


def write_end(folder: Path, end: End) -> None:
    write_json(folder / "end.json", end)


class RunFile(Struct, frozen=True, kw_only=True):
    """run.json: what was asked, of whom, where and with what. It is written when the run begins, and again when its
    fits are known."""

    schema: int = 1
    scenario: dict[str, object]  # resolved, without its secrets
    scenario_file: str
    seed: int
    nonce_seed: int
    repeats: str | None  # the run whose requests are sent again; None if they are the run's own
    files: dict[str, str]  # digests of the files that the requests are made of, by path
    started_at: str  # UTC, ISO 8601
    target: TargetAddress
    arms: dict[str, TargetAddress]
    machine: Machine
    versions: dict[str, str]
    records_version: int = RECORDS_VERSION
    git: str | None  # the commit; None outside a checkout
    command: list[str]  # that made the run, without secrets
    certificate: Mapping[str, object] | None  # of this machine; None if it has none
    prompt_fits: list[KeptFit] | UnsetType = UNSET  # not known yet at the beginning
    terminator: str | UnsetType = UNSET  # not known yet at the beginning


def write_run(folder: Path, content: RunFile) -> None:
    write_json(folder / "run.json", content)


def versions() -> dict[str, str]:
    """The versions of bench and of the libraries that send and measure."""
    return {"bench": __version__} | {name: importlib.metadata.version(name) for name in _LIBRARIES}


def command_line(hidden: Sequence[str]) -> list[str]:
    """The command that runs now, without its secrets; `hidden` are secrets that it may have."""
    return ["bench", *shown_command(sys.argv[1:], hidden)]


def machine() -> Machine:
    """This machine."""
    return Machine(
        system=platform.platform(),
        python=platform.python_version(),
        cpus=os.cpu_count(),
        cpu_model=_cpu_model(),
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def git_commit() -> str | None:
    """The git commit of the current folder; None outside a checkout."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - whichever git the user has
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
            env=child_environment(),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
