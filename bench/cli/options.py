"""Arguments and options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

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


def format_option(*forms: str, meaning: str = "Form of what is printed.") -> Decorator:
    """The option --format, a parameter `form`: one of these, the first by default."""
    return click.option("--format", "form", type=click.Choice(forms), default=forms[0], show_default=True, help=meaning)
