"""`bench run`: a scenario becomes load, records, a report and an exit code."""

from __future__ import annotations

import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from bench.cli.options import overrides, processes_option, scenario_argument, target_option
from bench.cli.problems import Unusable, Wrong, describe, ending, reported
from bench.cli.results import print_report


@click.command(name="run")
@scenario_argument
@target_option
@click.option("--out", "parent", type=click.Path(path_type=Path), default=Path("reports"), show_default=True,
              help="Where the run's folder is made.")  # fmt: skip
@processes_option
@click.option("--keep-bodies", type=click.Choice(["failed", "all", "none"]),
              help="Whose requests and answers are kept as text, secrets removed; default: none.")  # fmt: skip
@click.option("--repeat", type=click.Path(path_type=Path), metavar="RUN",
              help="Send the requests of that run again, byte for byte, nonces included.")  # fmt: skip
@click.option("--keep-going", is_flag=True, help="Do not stop where the first requests are all refused.")
@overrides
@reported
def command(
    scenario_file: Path,
    target: str | None,
    parent: Path,
    processes: int | None,
    keep_bodies: str | None,
    repeat: Path | None,
    keep_going: bool,
    settings: tuple[str, ...],
) -> None:
    """Put the scenario's load on its target, then report.

    Results go to stdout, progress and warnings to stderr. Ctrl-C ends the load early and still reports;
    a second Ctrl-C does not wait for the answers in flight.
    """
    import bench.load as load  # first: Locust patches the standard library
    from bench.analysis import NotARunError, exit_code, open_run
    from bench.analysis.certificate import kept_certificate
    from bench.cli.scenario import read_scenario
    from bench.experiments import fit, steps_of
    from bench.plan import Draw, NotRepeatableError, draw_of, warnings
    from bench.report.live import Live

    if keep_bodies is not None:
        settings = (*settings, f"keep_bodies={keep_bodies}")
    scenario = read_scenario(scenario_file, target, settings, processes=processes)
    for warning in warnings(scenario):
        click.echo(f"warning: {warning}", err=True)
    if repeat is None:
        seed = secrets.randbelow(2**31) if scenario.seed is None else scenario.seed
        draw = Draw(seed, nonce_seed=secrets.randbelow(2**52))
    else:
        try:
            draw = draw_of(repeat, scenario)
        except NotRepeatableError as error:
            raise Wrong(f"--repeat: {error}") from None
    try:
        load.rehearse(scenario, str(scenario_file), draw.seed)
    except load.UnknownApiError as error:
        raise Wrong(str(error)) from None
    folder = load.new_folder(parent, scenario.name, datetime.now(UTC))
    with ending(f"the run ended early; {folder} holds what there is"):
        try:
            with Live(sys.stderr) as live:
                load.run_load(
                    scenario,
                    folder,
                    learn=fit.steps(scenario, seed=draw.seed, nonce_seed=draw.nonce_seed),
                    ask=steps_of(scenario),
                    draw=draw,
                    source=str(scenario_file),
                    observer=live,
                    certificate=kept_certificate(),
                    keep_going=keep_going,
                )
        except (load.NoRoomError, load.TargetError) as error:
            raise Unusable(str(error)) from None
        except load.MishapError as error:
            kept = f"its records so far are kept: bench report {folder}"
            raise Unusable(f"{error}\nThe run was ended; {kept}. Please report this mistake.") from None
        except OSError as error:
            kept = f"{load.kept(folder)} records are kept in {folder}"
            raise Unusable(f"{describe(error)}\n{kept}; bench report {folder} says what they show") from None
    with ending(f"the report was not finished; bench report {folder} makes it"):
        try:
            run = open_run(folder)
            page = print_report(run, "text")
        except NotARunError as error:
            raise Unusable(str(error)) from None
        except OSError as error:
            raise Unusable(f"{describe(error)}; then bench report {folder} makes the report") from None
        click.echo(f"Report: {page}", err=True)
    sys.exit(exit_code(run.summary))
