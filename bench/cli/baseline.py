"""`bench baseline`: runs kept under a name, in a file that a team can commit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import format_option
from bench.cli.problems import Wrong, reported
from bench.cli.results import say, warn
from bench.cli.streams import tell

if TYPE_CHECKING:
    from bench.analysis.extract import Extract

folder_option = click.option(
    "--dir", "folder", type=click.Path(path_type=Path), default=Path("baselines"), show_default=True, metavar="DIR",
    help="Folder of the baselines, one file each.",
)  # fmt: skip


@click.group(name="baseline")
def command() -> None:
    """Keep runs as a baseline, to compare later ones with.

    \b
      bench baseline add reports/nightly-* --name main
      bench compare main reports/new-1 reports/new-2 reports/new-3 --gate gate.yaml
    """


@command.command(name="add")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--name", default="main", show_default=True, help="Name of the baseline.")
@folder_option
@click.option("--force", is_flag=True, help="Also add runs that are invalid, or not like those already there.")
@reported
def add(runs: tuple[str, ...], name: str, folder: Path, force: bool) -> None:
    """Put runs into a baseline, about 20 kB each. RUN is a run's folder, or a folder that holds several."""
    from bench.analysis.baseline import BaselineError, path_of, read_baseline, with_runs, write_baseline
    from bench.analysis.comparability import not_valid, unlike
    from bench.analysis.numerals import counted
    from bench.analysis.run_comparison import ENOUGH

    try:
        known = read_baseline(folder, name) if path_of(folder, name).exists() else None
        new = extracts_of(runs)
        together = with_runs(known, name, new)
    except BaselineError as error:
        raise Wrong(str(error)) from None
    problems = [*not_valid(new), *(f"most requests of {one.label} failed: {one.failing}" for one in new if one.failing)]
    against = known.runs if known is not None else together.runs[:1]
    problems += [one.text for one in unlike(against, new) if one.refused]
    for problem in problems if force else ():
        warn(problem)
    if problems and not force:
        raise Wrong(
            "nothing was added:" + "".join(f"\n  {one}" for one in problems) + "\n--force adds them all the same"
        )
    path = write_baseline(folder, together)
    many, missing = len(together.runs), ENOUGH[0] - len(together.runs)
    enough = f"{missing} more and it measures how much runs differ" if missing > 0 else "enough to judge by"
    click.echo(f"{path} holds {counted(many, 'runs')}; {enough}")


@command.command(name="list")
@folder_option
@format_option("text", "json")
@reported
def list_(folder: Path, form: str) -> None:
    """Print the baselines and their runs."""
    from bench.analysis.baseline import BaselineError, names_in, read_baseline
    from bench.analysis.numerals import counted
    from bench.report.words import printed_json, visible

    try:
        known = [read_baseline(folder, name) for name in names_in(folder)]
    except BaselineError as error:
        raise Wrong(str(error)) from None
    if form == "json":
        told = {
            one.name: [{"run": run.label, "started_at": run.started_at, "git": run.git} for run in one.runs]
            for one in known
        }
        click.echo(printed_json(told))
        return
    if not known:
        tell(f"there is no baseline in {folder}; bench baseline add RUN makes one")
    for one in known:
        click.echo(f"{one.name}: {counted(len(one.runs), 'runs')}")
        for run in one.runs:
            click.echo(
                visible(f"  {run.started_at[:19]}  {run.label}  {run.scenario}  {(run.git or '')[:12]}").rstrip()
            )


@command.command(name="drop")
@click.argument("name")
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@folder_option
@reported
def drop(name: str, runs: tuple[str, ...], folder: Path) -> None:
    """Take RUNs out of the baseline NAME; without a RUN, remove the whole baseline."""
    from bench.analysis.baseline import BaselineError, path_of, read_baseline, without, write_baseline
    from bench.analysis.numerals import counted

    try:
        known = read_baseline(folder, name)
        for run in runs:
            known = without(known, Path(run).name)
    except BaselineError as error:
        raise Wrong(str(error)) from None
    if runs and known.runs:
        write_baseline(folder, known)
        click.echo(f"{path_of(folder, name)} holds {counted(len(known.runs), 'runs')}")
    else:
        path_of(folder, name).unlink()
        click.echo(f"{path_of(folder, name)} is gone")


@command.command(name="history")
@click.argument("runs", metavar="[NAME | RUN...]", nargs=-1)
@folder_option
@format_option("text", "markdown", "html")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Write page, Markdown and pictures there, too."
)
@reported
def history(runs: tuple[str, ...], folder: Path, form: str, out: Path | None) -> None:
    """Draw many runs over time, and say where a figure changed for good.

    NAME is a baseline (default: main); or runs' folders, or folders that hold them.
    """
    import sys

    from bench.analysis.disk_comparison import IncomparableError, side_of
    from bench.analysis.history import history as findings
    from bench.report import render_findings, write_findings
    from bench.report.console import takes_colour

    try:
        side = side_of(list(runs) or ["main"], folder)
    except IncomparableError as error:
        raise Wrong(str(error)) from None
    text = render_findings(
        findings(side.name, side.extracts, drawn=form == "html"), form, colour=takes_colour(sys.stdout)
    )
    say(text.rstrip())
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        page = write_findings(findings(side.name, side.extracts), out, warn=warn)
        tell(f"Report: {page}")


def extracts_of(runs: tuple[str, ...]) -> list[Extract]:
    """The extracts of runs' folders. Raises Wrong."""
    from bench.analysis import NotARunError, open_run
    from bench.analysis.disk_comparison import folders_in
    from bench.analysis.extract import extract

    found = []
    for run in runs:
        folders = folders_in(Path(run))
        if not folders:
            raise Wrong(f"{run} is not the folder of a run, nor a folder that holds runs")
        try:
            found += [extract(open_run(one)) for one in folders]
        except NotARunError as error:
            raise Wrong(str(error)) from None
    return found
