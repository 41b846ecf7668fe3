"""`bench schema`: the keys of a scenario, for editors."""

from __future__ import annotations

import json

import click

from bench.cli.options import format_option
from bench.cli.problems import reported


@click.command(name="schema")
@format_option("json", "markdown")
@reported
def command(form: str) -> None:
    """Print the JSON Schema of scenarios; or every key and its meaning, as Markdown.

    \b
      bench schema > scenario.schema.json

    \b
    An editor with the YAML language server then helps if a scenario's first line is:
      # yaml-language-server: $schema=scenario.schema.json
    """
    from bench.experiments import schema

    if form == "markdown":
        from bench.report.reference import reference

        click.echo(reference(schema()), nl=False)
    else:
        click.echo(json.dumps(schema(), indent=2))
