"""`bench schema`: what a scenario may say, for editors."""

from __future__ import annotations

import json

import click


@click.command(name="schema")
@click.option("--format", "form", type=click.Choice(("json", "markdown")), default="json", show_default=True)
def command(form: str) -> None:
    """Print the JSON Schema of scenarios; or every key with what it means, as Markdown.

    \b
    In an editor with the YAML language server, a scenario's first line may be:
      # yaml-language-server: $schema=scenario.schema.json
    """
    from bench.experiments import schema

    if form == "markdown":
        from bench.report.reference import reference

        click.echo(reference(schema()), nl=False)
    else:
        click.echo(json.dumps(schema(), indent=2))
