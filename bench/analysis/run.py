"""A run's folder, opened: its requests and its summary, computed from its files alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from bench.analysis.metrics import LATENCIES, derive
from bench.analysis.stretches import read_large_table
from bench.analysis.summary import summarize
from bench.analysis.table import Table
from bench.analysis.validity import read_health, within
from bench.records import files_of


class NotARunError(ValueError):
    """A folder that holds no run, or a broken one; the message says what is wrong with it."""


@dataclass(frozen=True)
class Run:
    """What a run left behind, and what it means."""

    folder: Path
    facts: dict[str, Any]
    """run.json: the scenario, machine, versions, commit."""
    end: dict[str, Any]
    """end.json: how the load ended, with the measured window."""
    table: Table
    records: pd.DataFrame
    """Every request, warm-up included, one row each; see bench.analysis.metrics.derive for the derived columns."""

    @property
    def requests(self) -> pd.DataFrame:
        """The measured requests."""
        return self.records[self.records["stage"] == "measure"]

    @property
    def window(self) -> tuple[float, float]:
        """The measured part of the run, seconds from its start."""
        begin, end = self.end["measure"]
        return begin, end

    @cached_property
    def health(self) -> list[dict[str, Any]]:
        """How the client kept up, second by second, drain included; of each worker, one after the other."""
        return [line for path in files_of(self.folder, "health") for line in read_health(path)]

    @cached_property
    def summary(self) -> dict[str, Any]:
        """As in summary.json."""
        return summarize(self.facts, self.end, self.table, self.records, within(self.health, self.window))

    @property
    def groups(self) -> pd.DataFrame:
        """The summary's groups: one row a model and entry of the mix, a column a figure, such as ttft_s.p95."""
        rows = []
        for group in self.summary["groups"]:
            row = {key: value for key, value in group.items() if not isinstance(value, dict)}
            for metric in LATENCIES:
                row |= {f"{metric}_s.{name}": value for name, value in group[f"{metric}_s"].items()}
            rows.append(row)
        return pd.DataFrame(rows).set_index(["model", "name"])


def open_run(folder: str | Path) -> Run:
    """Read a run's folder. Raises NotARunError where there is none, or where its records are broken."""
    folder = Path(folder)
    facts = read_json(folder / "run.json", "is this the folder of a run?")
    end = read_end(folder)
    table = read_records_of(folder, tuple(end["measure"]), end["load_started"])
    return Run(folder, facts, end, table, derive(table.rows))


def read_end(folder: Path) -> dict[str, Any]:
    """end.json; where the run was killed before it could write one, what its records say."""
    path = folder / "end.json"
    if path.exists():
        end: dict[str, Any] = read_json(path, "run again")
        return settled(end, folder)
    rows = read_records_of(folder, (0.0, 0.0), 0.0).rows
    measured = rows[rows["stage"] == "measure"]
    last = float(rows["done"].max()) if len(rows) else 0.0
    first = float(measured["sent"].min()) if len(measured) else last
    return {
        "duration_s": last,
        "load_started": first,
        "measure": [first, last],
        "planned": len(measured),
        "sent": len(measured),
        "stopped_by": "killed",
    }


def read_records_of(folder: Path, window: tuple[float, float], origin: float) -> Table:
    try:
        if not (paths := files_of(folder, "records")):
            raise NotARunError(f"{folder / 'records.jsonl'} is missing; the run never began")
        return read_large_table(paths, window, origin=origin)
    except (ValueError, KeyError) as error:
        raise NotARunError(str(error)) from None


def settled(end: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A load of so many requests is measured until the last of them is answered: its window has no other end."""
    if end["stopped_by"] == "requests":
        end["measure"][1] = max(end["measure"][1], end["duration_s"])
    return end


def read_json(path: Path, remedy: str) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise NotARunError(f"{path} is missing; {remedy}") from None
    except (orjson.JSONDecodeError, NotADirectoryError) as error:
        raise NotARunError(f"{path} cannot be read: {error}; {remedy}") from None
