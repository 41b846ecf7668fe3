"""A run's folder, opened: its requests and its summary, computed from its files alone."""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import pandas as pd

from bench.analysis.bins import bin_length, edges_of, phases_of
from bench.analysis.facts import Facts, NotARunError, Understood, read_end, read_facts, read_health
from bench.analysis.file_parts import read_large_table
from bench.analysis.per_request import derive
from bench.analysis.stages import killed, only_stage, read_steps, stages_of, untold
from bench.analysis.summary import Measurement, Summary, summarize
from bench.analysis.table import Span, Table
from bench.analysis.validity import within
from bench.metrics import named
from bench.plan.load import FIT
from bench.records import End, HealthLine, NotARecordError, StepLine, files_of, is_cut_short
from bench.records.steps import STEPS_FILE
from bench.version import __version__


class UncomputableError(Exception):
    """The figures of a run that was read could not be computed."""

    def __init__(self, folder: Path, error: Exception) -> None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        super().__init__(
            f"the figures of {folder} could not be computed ({type(error).__name__} in {where}: {error}); that is a "
            "mistake of bench: its records are there, whole, and bench show prints them"
        )


@dataclass(frozen=True)
class Run:
    """A run's files and its summary."""

    folder: Path
    understood: Understood
    """run.json: the scenario, machine, versions, commit."""
    end: End
    """end.json: how the load ended, with the measured window."""
    stages: tuple[StepLine, ...]
    """The stages of the load, in the order in which they were performed."""
    table: Table
    records: pd.DataFrame
    """Every request, warm-up included, one row each; see bench.analysis.per_request.derive for the derived columns.
    `measured` says whether it is in the figures, `loaded` whether it was sent by a stage."""
    health: list[HealthLine]
    """health.jsonl: how the client kept up, second by second, drain included."""
    told: tuple[str, ...] = ()
    """What a reader of the figures should know of the files, in sentences."""

    @property
    def facts(self) -> Facts:
        return self.understood.facts

    @property
    def requests(self) -> pd.DataFrame:
        """The measured requests."""
        return self.records[self.records["measured"]]

    @property
    def window(self) -> tuple[float, float]:
        """From the beginning of the first measured stage to the end of the last, seconds from the run's start."""
        measured = [stage for stage in self.stages if stage.measured]
        return measured[0].began, measured[-1].ended

    @cached_property
    def summary(self) -> Summary:
        """As in summary.json. Raises UncomputableError, whatever the reason; the records are there all the same."""
        try:
            return summarize(
                Measurement(
                    understood=self.understood,
                    end=self.end,
                    stages=self.stages,
                    table=self.table,
                    rows=self.records,
                    health=within(self.health, self.stages),
                    told=self.told,
                )
            )
        except Exception as error:
            raise UncomputableError(self.folder, error) from error

    @property
    def groups(self) -> pd.DataFrame:
        """The summary's groups: one row for each model and request class, a column for each figure, such as ttft_s.p95.
        Several measured stages have a row each."""
        rows = []
        for group in self.summary.groups:
            told = msgspec.to_builtins(group)
            row = {key: value for key, value in told.items() if not isinstance(value, dict)}
            for metric in named("latency"):
                row |= {f"{metric}_s.{name}": value for name, value in told[f"{metric}_s"].items()}
            rows.append(row)
        several = sum(stage.measured for stage in self.stages) > 1
        return pd.DataFrame(rows).set_index(["stage", "model", "name"] if several else ["model", "name"])


def open_run(folder: str | Path) -> Run:
    """Read a run's folder. Raises NotARunError if there is none, or if its files are broken."""
    folder = Path(folder)
    understood = read_facts(folder / "run.json")
    end = read_end(folder / "end.json")
    paths = files_of(folder, "records")
    if not paths:
        raise NotARunError(f"{folder / 'records.jsonl'} is missing; the run never began")
    load, steps = understood.facts.scenario.load, read_steps(folder / STEPS_FILE)
    stages = stages_of(steps, end)
    if end is None:
        rows = read_records_of(paths, ()).rows
        stages += untold(rows, steps, load)
        end = killed(rows, stages)
    if not any(stage.measured for stage in stages):
        stages += (only_stage(end, load),)
    bins = edges_of(phases_of(stages, end), bin_length(end.duration_s)) + end.load_started
    table = read_records_of(paths, [(stage.began, stage.ended) for stage in stages], bins.tolist())
    names = [stage.name for stage in stages if stage.measured]
    bursts = {step.name for step in steps if step.kind == "burst"} | {FIT}
    rows = derive(table.rows).assign(
        measured=table.rows["stage"].isin(names), loaded=~table.rows["stage"].isin(list(bursts))
    )
    health, told = read_health(files_of(folder, "health"))
    cut = [f"the last line of {path} was cut off and is left out" for path in paths if is_cut_short(path)]
    newer = newer_version(understood.facts.versions.get("bench", ""))
    told = (*understood.left_out, *cut, *told, *newer)
    return Run(folder, understood, end, stages, table, rows, health, told)


def newer_version(version: str) -> tuple[str, ...]:
    """A sentence if the run was made by a later version than this one."""
    if numbers(version) <= numbers(__version__):
        return ()
    return (f"the run was made by bench {version} and is read by {__version__}, which may not know all of it",)


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part[:9]) for part in re.findall(r"\d+", version, re.ASCII)[:3])


def read_records_of(paths: list[Path], windows: Sequence[Span], bins: Sequence[float] = ()) -> Table:
    try:
        return read_large_table(paths, windows, bins=bins)
    except NotARecordError as error:
        raise NotARunError(str(error)) from None
    except OSError as error:
        raise NotARunError(f"{error.filename} cannot be read: {error.strerror}") from None
