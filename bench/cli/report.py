"""`bench report`: the figures of a run again, from its folder alone."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.problems import Wrong, reported
from bench.cli.results import conclude, print_report

FORMATS = ("text", "markdown", "json", "html")


@click.command(name="report")
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("--kind", metavar="FILE.py:KIND",
              help="The question, where it is one of your own: the file that the scenario names.")  # fmt: skip
@reported
def command(folder: Path, form: str, kind: str | None) -> None:
    """Compute a run's figures from its records and print them; the folder's own report is renewed.

    RUN is a folder that `bench run` made, such as reports/quickstart.
    """
    from bench.analysis import NotARunError, open_run

    try:
        run = open_run(folder)
    except NotARunError as error:
        raise Wrong(str(error)) from None
    print_report(run, conclude(run, kind), form)
