"""`bench schema`: what a scenario may say, for editors."""

from __future__ import annotations

import json

import click


@click.command(name="schema")
def command() -> None:
    """Print the JSON Schema of scenarios.

    \b
    In an editor with the YAML language server, a scenario's first line may be:
      # yaml-language-server: $schema=scenario.schema.json
    """
    from bench.experiments import schema

    click.echo(json.dumps(schema(), indent=2))
