"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path

import click

scenario_argument = click.argument("scenario_file", metavar="SCENARIO", type=click.Path(path_type=Path))
target_option = click.option("--target", metavar="URL", help="Ask this server instead: a URL, simulator or llama.cpp.")
processes_option = click.option(
    "--processes", type=click.IntRange(1), metavar="N", help="Number of processes of this machine that send."
)
overrides = click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a value of the scenario, such as load.users=50. Repeatable.",
)
