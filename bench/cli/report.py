"""`bench report`: the figures of a run again, from its folder alone."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench.cli.problems import Wrong, reported

FORMATS = ("text", "markdown", "json", "html")


@click.command(name="report")
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@reported
def command(folder: Path, form: str) -> None:
    """Compute a run's figures from its records and print them; the folder's own report is renewed.

    RUN is a folder that `bench run` made, such as reports/quickstart.
    """
    from bench.analysis import NotARunError, open_run
    from bench.report import render, write_report

    try:
        run = open_run(folder)
    except NotARunError as error:
        raise Wrong(str(error)) from None
    write_report(run)
    click.echo(render(run, form, colour=sys.stdout.isatty()))
