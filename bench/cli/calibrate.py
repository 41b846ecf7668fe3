"""`bench calibrate`: how well this machine measures, and up to which load."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from bench.cli.problems import Unusable, check_place, reported
from bench.cli.streams import tell

if TYPE_CHECKING:
    from bench.analysis.calibration import Step
    from bench.experiments.calibrate import Trial


MOST_PROCESSES = 50  # the largest number of users in a quick calibration: each process needs one


@click.command(name="calibrate")
@click.option("--quick", is_flag=True, help="Few and short steps: a first look; no certificate is kept.")
@click.option(
    "--processes",
    type=click.IntRange(2, MOST_PROCESSES),
    default=2,
    show_default=True,
    help="Number of processes to try, besides one.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="File for a picture of the curve; default: none."
)
@reported
def command(quick: bool, processes: int, out: Path | None) -> None:
    """Measure how well this machine measures.

    Loads the simulator in rising steps and compares, request by request, what was measured with what the simulator
    knows to be true. The result, a certificate, is kept, and the report of every later run cites it. Takes about
    three minutes.

    \b
      bench calibrate
      bench calibrate --quick
    """
    check_place("--out", out)
    from bench.load import TargetError  # Locust first: it patches the standard library  # noqa: I001
    from bench.analysis.calibration import certificate
    from bench.analysis.certificate import certificate_path, keep, sentence
    from bench.load.folder import machine
    from bench.report.calibration import curve, table

    try:
        steps = list(measured(quick, processes))
    except TargetError as error:
        raise Unusable(str(error)) from None
    found = certificate(steps, machine=machine(), date=datetime.now(UTC).date().isoformat())
    click.echo(table(steps))
    click.echo(sentence(found))
    if out is not None:
        out.write_bytes(curve(steps))
        tell(f"Picture: {out}")
    if not quick:
        keep(found, certificate_path())
        tell(f"Certificate: {certificate_path()}")


def measured(quick: bool, processes: int) -> Iterator[Step]:
    """The steps, each as soon as it is measured."""
    from bench.experiments.calibrate import trials
    from bench.targets.servers import simulator

    asked = trials(quick=quick, processes=processes)
    with simulator({}) as served:
        trial = next(asked)
        while True:
            tell(str(trial))
            step = measure(trial, served.url, quick=quick)
            yield step
            try:
                trial = asked.send(step)
            except StopIteration:
                return


def measure(trial: Trial, url: str, *, quick: bool) -> Step:
    """Make one run and find out how well it was measured. Raises Unusable after Ctrl-C."""
    from bench.analysis import open_run
    from bench.analysis.calibration import step_of
    from bench.experiments import fit, steps_of
    from bench.experiments.calibrate import scenario_of
    from bench.load import Question, run_load
    from bench.plan import Draw
    from bench.report.live import Live
    from bench.targets.servers import simulator_load

    scenario = scenario_of(trial, url, quick=quick)
    with TemporaryDirectory() as folder, Live(sys.stderr) as live:
        before = simulator_load(url)
        run_load(
            scenario,
            Path(folder),
            Question(fit.steps(scenario, seed=1, nonce_seed=1), steps_of(scenario)),
            draw=Draw(1, 1),
            source="bench calibrate",
            observer=live,
        )
        after = simulator_load(url)
        summary = open_run(folder).summary
    if summary.stopped_by == "interrupt":
        raise Unusable("interrupted: no certificate was made")
    busy = (after["cpu_s"] - before["cpu_s"]) / (after["at"] - before["at"])
    server = {"cpu": busy, "late_p99": after["late_p99"]}
    return step_of(
        summary,
        kind=trial.kind,
        processes=trial.processes,
        streams=trial.level,
        wanted=trial.wanted,
        server=server,
    )
