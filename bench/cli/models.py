"""`bench models`: what a target serves, with context size, price and limits where it says them."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.problems import Unusable, reported

if TYPE_CHECKING:
    from bench.plan import Target

DEFAULT_KEY = "BENCH_API_KEY"


@click.command(name="models")
@click.argument("target", metavar="TARGET")
@click.option(
    "--key-from", "variable", metavar="NAME", help=f"Environment variable with the key; default: {DEFAULT_KEY}."
)
@click.option(
    "--style", type=click.Choice(["novita", "openai", "vllm"]), help="Where the APIs are; default: by the URL."
)
@click.option("--match", metavar="TEXT", default="", help="Only models with this text in their name.")
@click.option("--prices", is_flag=True, help="Print the prices part of a scenario instead of the list.")
@reported
def command(target: str, variable: str | None, style: str | None, match: str, prices: bool) -> None:
    """List the models of a TARGET: a URL, simulator, llama.cpp, or a scenario, whose target it is then.

    Prices are US dollars per million tokens. What the provider does not say stays empty.
    """
    import bench.load as load  # first: Locust patches the standard library
    from bench.cli.scenario import read_scenario
    from bench.report.models import models_text, prices_text
    from bench.targets.models import PRICES

    wanted: tuple[str, ...] | None = None  # models; None: all
    if os.path.isfile(target):  # noqa: PTH113 - a URL may be too long for a path
        scenario = read_scenario(Path(target), None, ())
        chosen, wanted = scenario.target, scenario.models if prices else None
    else:
        key = os.environ.get(variable or DEFAULT_KEY)
        if variable and not key:
            raise click.UsageError(f"{variable} is not in the environment; export {variable}=…")
        chosen = named_target(target, key, style)
    try:
        found = load.list_models(chosen)
    except (load.TargetError, load.ListingError) as error:
        raise Unusable(str(error)) from None
    listed = [model for model in found if match in model["id"] and (wanted is None or model["id"] in wanted)]
    if prices:
        source = f"{place_of(chosen)}, {datetime.now(UTC):%Y-%m-%d}"
        click.echo(prices_text(listed, PRICES, source=source))
    else:
        click.echo(models_text(listed))


def place_of(target: Target) -> str:
    """Who lists the models, without what may be secret in an address."""
    from bench.plan.addresses import host_of

    return host_of(target.url) if target.url else target.kind


def named_target(name: str, key: str | None, style: str | None) -> Target:
    """The command line's words as a target. Raises click.UsageError."""
    from pydantic import ValidationError

    from bench.plan import Target

    given: dict[str, object] = {word: value for word, value in (("key", key), ("style", style)) if value is not None}
    embedded: dict[str, object] = {"simulator": {}, "llama.cpp": True}
    place = {name: embedded[name]} if name in embedded else {"url": name}
    try:
        return Target.model_validate(place | given)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise click.UsageError(f"{message}; a scenario's file would do as well") from None
