"""`bench plan`: what a scenario would send and cost; nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.one_line import Options, one_line_options, read_any
from bench.cli.options import overrides, scenario_argument, target_option
from bench.cli.problems import Wrong, reported
from bench.cli.streams import tell

if TYPE_CHECKING:
    from bench.plan import Scenario, Stage

SEED = 0  # if the scenario has none; every seed shows the same mix


@click.command(name="plan")
@scenario_argument
@one_line_options
@target_option
@overrides
@reported
def command(scenario_file: Path, one_line: Options, target: str | None, settings: tuple[str, ...]) -> None:
    """Say what the scenario would send: requests, tokens, dollars, expected 429s. Sends nothing.

    SCENARIO is a file; or a URL, simulator or llama.cpp: then the options from --model to --client-key say what would
    be asked. The cost is for answers of the largest length that is allowed.

    \b
      bench plan chat.yaml
      bench plan chat.yaml --set load.requests=1000
      bench plan https://api.example.com/v1 --model M --rate 2 --duration 5m
    """
    from bench.experiments import fit, stages_of
    from bench.plan import warnings

    scenario, source = read_any(scenario_file, one_line, target, settings, shown=True)
    import bench.load as load  # not before, so that mistakes are told at once

    seed = SEED if scenario.seed is None else scenario.seed
    try:
        load.rehearse(scenario, str(source), seed)
    except load.UnknownApiError as error:
        raise Wrong(str(error)) from None
    if (stages := stages_of(scenario)) is not None:
        click.echo(forecast(scenario, stages, seed))
    else:
        click.echo(f"What {scenario.name} sends depends on the answers, so it cannot be said beforehand.")
        if (told := fit.announcement(scenario)) is not None:
            click.echo(f"It {told}.")
    if scenario.allowance is not None:
        click.echo(f"Its budget is {scenario.allowance.in_words}; it ends when that is used up.")
    for warning in warnings(scenario):
        tell(f"warning: {warning}")


def forecast(scenario: Scenario, stages: Sequence[Stage], seed: int) -> str:
    """What these stages would send, after their warm-ups and the requests of a fit."""
    from bench.experiments import LoadScenario, fit
    from bench.plan.forecast import forecasts, merged, of_requests
    from bench.plan.refusals import expected_refusals
    from bench.report.planned import planned_text

    rows = forecasts(scenario, [stage for stage in stages if stage.measured], seed)
    warmups = [stage for stage in stages if not stage.measured]
    before = merged(forecasts(scenario, warmups, seed), "warm-up") if warmups else []
    before += merged(of_requests(fit.planned(scenario), scenario), "fit")
    refused = []
    if isinstance(scenario, LoadScenario) and scenario.limits is not None:
        refused = expected_refusals(scenario, scenario.limits, stages, rows, seed, pause=scenario.load.pause)
    return planned_text(scenario, stages, rows, before, refused)
