"""`bench report`: the figures of a run again, from its folder alone; or several runs side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import format_option
from bench.cli.problems import LOCKED, Unusable, Wrong, reported
from bench.cli.results import conclude, print_report, say, warn
from bench.cli.streams import tell

if TYPE_CHECKING:
    from bench.analysis import Run
    from bench.analysis.conclusion import Conclusion


@click.command(name="report")
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@format_option("text", "markdown", "json", "html")
@click.option("--kind", metavar="FILE.py:KIND",
              help="Your own kind of question, as the scenario names it.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="Folder for the page of several runs; default: side-by-side, beside the first run.")  # fmt: skip
@reported
def command(folders: tuple[Path, ...], form: str, kind: str | None, out: Path | None) -> None:
    """Compute a run's figures from its records again, print them, and write the folder's report anew.

    If the folder cannot be written, the report in it stays as it is.

    RUN is a folder that `bench run` made. Several runs stand side by side in one page; bench compare says whether
    they differ.

    \b
      bench report reports/chat-20260102T030405Z
      bench report reports/monday reports/tuesday

    \b
    Exit codes, as those of the run: 0 pass · 1 a threshold failed · 3 inconclusive, or the measurement is invalid;
    always 0 for several runs
    """
    from bench.analysis import NotARunError, exit_code, open_run

    try:
        runs = [open_run(folder) for folder in folders]
    except NotARunError as error:
        raise Wrong(str(error)) from None
    if len(runs) > 1:
        several(runs, form, out or folders[0].resolve().parent / "side-by-side")
    elif out is not None:
        raise Wrong(f"--out is for several runs; the report of one is in its folder, {folders[0]}")
    else:
        conclusion = conclude(runs[0], kind)
        renew(runs[0], conclusion, form)
        sys.exit(exit_code(runs[0].summary, conclusion.verdict))


def renew(run: Run, conclusion: Conclusion, form: str) -> None:
    """Print the report of a run, and write it into the run's folder, if that may be written. Raises Unusable,
    OSError."""
    try:
        print_report(run, conclusion, form)
    except OSError as error:
        if error.errno not in LOCKED:
            raise
        warn(f"{error.filename}: {error.strerror}; the folder keeps the report that it has")


def several(runs: list[Run], form: str, folder: Path) -> None:
    """Print runs side by side, and write their page."""
    from bench.analysis import UncomputableError
    from bench.analysis.side_by_side import side_by_side
    from bench.analysis.summary import summary_json
    from bench.report import render_findings, write_findings
    from bench.report.console import takes_colour
    from bench.report.words import in_json

    try:
        if form == "json":
            told = ",\n".join(summary_json(run.summary).decode().rstrip() for run in runs)
            text = in_json(f"[\n{told}\n]")
        else:
            found = side_by_side(runs, drawn=form == "html")
            text = render_findings(found, form, colour=takes_colour(sys.stdout)).rstrip()
        say(text)
        folder.mkdir(parents=True, exist_ok=True)
        tell(f"Report: {write_findings(side_by_side(runs), folder, warn=warn)}")
    except UncomputableError as error:
        raise Unusable(str(error)) from None
