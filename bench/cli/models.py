"""`bench models`: the models of a target, with context size, price and limits if it states them."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.one_line import DEFAULT_KEY, access_options, access_problems
from bench.cli.problems import Unusable, Wrong, reported

if TYPE_CHECKING:
    from bench.plan import Target
    from bench.plan.one_line import Access


@click.command(name="models")
@click.argument("target", metavar="TARGET")
@access_options
@click.option(
    "--style",
    type=click.Choice(["novita", "openai", "vllm"]),
    help="Paths of the APIs below the URL; default: guessed from the URL.",
)
@click.option("--match", metavar="TEXT", default="", help="Only models with this text in their name.")
@click.option("--prices", is_flag=True, help="Print the prices part of a scenario instead of the list.")
@reported
def command(target: str, access: Access, style: str | None, match: str, prices: bool) -> None:
    """List the models of a TARGET: a URL, simulator, llama.cpp, or a scenario file with a target.

    Without a key option, the key comes from the environment variable BENCH_API_KEY, if that is set.
    Prices are US dollars per million tokens. What the provider does not say stays empty.

    \b
      bench models simulator
      bench models https://api.example.com/v1 --key-env EXAMPLE_API_KEY --match llama
      bench models chat.yaml --prices
    """
    import bench.load as load  # first: Locust patches the standard library
    from bench.report.models import models_text, prices_text
    from bench.targets.models import PRICES

    chosen, models = target_of(target, access, style)
    wanted = models if prices else ()  # a scenario's prices are those of its own models
    try:
        load.fetch_keys([chosen])
        found = load.list_models(chosen)
    except load.KeyCommandError as error:
        raise Wrong(str(error)) from None
    except (load.TargetError, load.ListingError) as error:
        raise Unusable(str(error)) from None
    listed = [model for model in found if match in model["id"] and (not wanted or model["id"] in wanted)]
    if prices:
        source = f"{place_of(chosen)}, {datetime.now(UTC):%Y-%m-%d}"
        click.echo(prices_text(listed, PRICES, source=source))
    else:
        click.echo(models_text(listed))


def target_of(words: str, access: Access, style: str | None) -> tuple[Target, tuple[str, ...]]:
    """The target that the command line names, and the models of its scenario; none without a scenario. Raises
    Mistakes, Wrong."""
    from bench.cli.scenario import read_scenario
    from bench.plan.one_line import Access

    if os.path.isfile(words):  # noqa: PTH113 - a URL may be too long for a path
        if style is not None or access != Access():
            raise Wrong("the scenario says how its target is asked; the options are for a URL")
        scenario = read_scenario(Path(words), None, ())
        return scenario.target, scenario.models
    if access.key_env is None and access.key_command is None and os.environ.get(DEFAULT_KEY):
        access = replace(access, key_env=DEFAULT_KEY)
    return named_target(words, access, style), ()


def place_of(target: Target) -> str:
    """The host that lists the models; the rest of an address may be secret."""
    from bench.plan.addresses import host_of

    return host_of(target.url) if target.url else target.kind


def named_target(name: str, access: Access, style: str | None) -> Target:
    """The command line's words as a target. Raises Mistakes, Wrong."""
    from bench.plan.one_line import given_target
    from bench.plan.scenario_file import load_target

    if wrong := access_problems(access):
        raise Wrong("\n".join(wrong))
    return load_target(given_target(name, style, access))
