"""`bench export`: a run for other tools."""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.problems import Unusable, Wrong, check_place, reported

if TYPE_CHECKING:
    from bench.analysis import Run

FORMATS = ("csv", "parquet", "xlsx", "br")
NEEDS = {"parquet": "pyarrow", "xlsx": "openpyxl"}
"""Packages that are not part of every install; the extra has the format's name."""
PRINTED = Path("-")


@click.command(name="export")
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(FORMATS), required=True, help="The form to write.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file, or - to print a csv; default: in the run's folder, requests.csv, .parquet or .xlsx, or for br "
    "benchmark_report.json.",
)
@reported
def command(folder: Path, form: str, out: Path | None) -> None:
    """Write a RUN for other tools.

    csv, parquet and xlsx have one row for each request of every stage. Times are seconds from the run's beginning;
    columns that end in _s are durations; rows whose `measured` is true are in the figures. br is llm-d's Benchmark
    Report, version 0.2.1: one file for each model and stage.

    \b
      bench export reports/chat-20260102T030405Z --to csv
    """
    from bench.analysis import NotARunError, UncomputableError, open_run
    from bench.report.exports import NoRoomInSheetError, print_requests, write_requests

    check(form)
    check_place("--out", out)
    if (printed := out == PRINTED) and form != "csv":
        raise Wrong(f"--out -: only csv is printed; name a file for {form}, or leave --out away")
    try:
        run = open_run(folder)
        if printed:
            print_requests(run)
            made = []
        elif form == "br":
            made = reports(run, out or folder / "benchmark_report.json")
        else:
            made = [write_requests(run, form, out or folder / f"requests.{form}")]
    except (NotARunError, NoRoomInSheetError) as error:
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


def reports(run: Run, path: Path) -> list[Path]:
    """A Benchmark Report for each model and stage. Returns their paths."""
    from bench.analysis.export import benchmark_report, groups

    found = groups(run)
    made = [path] if len(found) == 1 else paths(path, [f"{group.stage}.{group.model}" for group in found])
    for group, mine in zip(found, made, strict=True):
        text = json.dumps(benchmark_report(run, group), ensure_ascii=False, indent=2)
        mine.write_text(f"{text}\n", "utf-8", "backslashreplace")
    return made


def paths(path: Path, names: list[str]) -> list[Path]:
    """A path beside `path` for each name. Names that differ only in characters that a file's name cannot have, or in
    case, get a number."""
    words: list[str] = []
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
        spellings = itertools.chain([plain], (f"{plain}-{number}" for number in itertools.count(2)))
        taken = {word.casefold() for word in words}
        words.append(next(word for word in spellings if word.casefold() not in taken))
    return [path.with_name(f"{path.stem}.{word}{path.suffix}") for word in words]
