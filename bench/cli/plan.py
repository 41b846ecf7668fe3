"""`bench plan`: what a scenario would send and what that may cost; nothing is sent."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import overrides, scenario_argument, target_option
from bench.cli.problems import Wrong, reported

SEED = 0  # where the scenario leaves it open; any shows the same mix


@click.command(name="plan")
@scenario_argument
@target_option
@overrides
@reported
def command(scenario_file: Path, target: str | None, settings: tuple[str, ...]) -> None:
    """Say what the scenario would send: requests, tokens, dollars. Sends nothing.

    Prompt tokens are estimates from the text; the cost is the most that answers of full length would be.
    """
    import bench.load as load  # first: Locust patches the standard library
    from bench.cli.scenario import read_scenario
    from bench.experiments import LoadScenario
    from bench.plan import warnings
    from bench.plan.forecast import forecast
    from bench.report.planned import planned_text

    scenario = read_scenario(scenario_file, target, settings)
    seed = SEED if scenario.seed is None else scenario.seed
    try:
        load.rehearse(scenario, str(scenario_file), seed)
    except load.UnknownApiError as error:
        raise Wrong(str(error)) from None
    if isinstance(scenario, LoadScenario):
        stages = scenario.load.as_stages()
        click.echo(planned_text(scenario, stages, forecast(scenario, stages, seed)))
    else:
        click.echo(f"What {scenario.name} sends depends on the answers, so it cannot be said beforehand.")
    for warning in warnings(scenario):
        click.echo(f"warning: {warning}", err=True)
