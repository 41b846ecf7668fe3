"""`bench export`: a run for other tools."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.problems import Unusable, Wrong, reported

if TYPE_CHECKING:
    import pandas as pd

    from bench.analysis import Run

FORMATS = ("csv", "parquet", "xlsx", "br")
NEEDS = {"parquet": "pyarrow", "xlsx": "openpyxl"}
"""Packages that are not part of every install; the extra has the format's name."""
MOST_ROWS = 1_048_575  # of a sheet, below its header
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@click.command(name="export")
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(FORMATS), required=True)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE",
              help="Default: requests.csv and so on, or benchmark_report.yaml, in the run's folder.")  # fmt: skip
@reported
def command(folder: Path, form: str, out: Path | None) -> None:
    """Write a RUN for other tools.

    csv, parquet and xlsx have a row for every request of every stage. Times are seconds from the run's beginning,
    columns that end in _s are durations; a row whose `measured` is true counts. br is llm-d's Benchmark Report,
    version 0.2.1: a file for each model and stage.
    """
    from bench.analysis import NotARunError, UncomputableError, open_run

    check(form)
    try:
        run = open_run(folder)
        if form == "br":
            made = reports(run, out or folder / "benchmark_report.yaml")
        else:
            made = [requests(run, form, out or folder / f"requests.{form}")]
    except NotARunError as error:
        raise Wrong(str(error)) from None
    except UncomputableError as error:
        raise Unusable(str(error)) from None
    for path in made:
        click.echo(path)


def check(form: str) -> None:
    """Whether what the format needs is installed. Raises Wrong."""
    package = NEEDS.get(form)
    if package is not None and importlib.util.find_spec(package) is None:
        raise Wrong(f"--to {form} needs {package}, which is not installed: pip install 'bench-llm[{form}]'")


def requests(run: Run, form: str, path: Path) -> Path:
    """The requests as one table. Returns its path."""
    from bench.analysis.export import rows

    table = rows(run)
    if form == "csv":
        table.to_csv(path, index=False)
    elif form == "parquet":
        table.to_parquet(path, index=False)
    else:
        if len(table) > MOST_ROWS:
            raise Wrong(
                f"the run has {len(table):,} requests, and a sheet has room for {MOST_ROWS:,}; use parquet or csv"
            )
        plain(table).to_excel(path, index=False, sheet_name="requests", freeze_panes=(1, 0))
    return path


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """What a sheet can hold: no control characters, and no text of a server's that would be run as a formula."""

    def safe(value: object) -> object:
        if not isinstance(value, str):
            return value
        text = _CONTROL.sub("", value)
        return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text

    texts = [name for name in table.columns if not _is_number(table[name])]
    return table.assign(**{name: table[name].astype(object).map(safe) for name in texts})


def _is_number(column: pd.Series[Any]) -> bool:
    return column.dtype.kind in "biufc"


def reports(run: Run, path: Path) -> list[Path]:
    """A Benchmark Report for each model and stage. Returns their paths."""
    from ruamel.yaml import YAML

    from bench.analysis.export import benchmark_report, groups

    found, made = groups(run), []
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    for group in found:
        words = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{group.stage}.{group.model}")
        mine = path if len(found) == 1 else path.with_name(f"{path.stem}.{words}{path.suffix}")
        with mine.open("w", encoding="utf-8") as file:
            yaml.dump(benchmark_report(run, group), file)
        made.append(mine)
    return made
