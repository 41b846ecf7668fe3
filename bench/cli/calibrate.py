"""`bench calibrate`: how well this machine measures, and up to which load."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from bench.cli.problems import Unusable, reported

if TYPE_CHECKING:
    from bench.analysis.calibration import Step

TOKENS, GAP_S, TTFT_S = 100, 0.01, 0.05  # of sim/exact: an answer of 100 tokens takes 1.04 s on average
PER_STREAM = TOKENS / (TTFT_S + GAP_S * (TOKENS - 1))  # tokens per second
STREAMS = (25, 50, 100, 200, 400, 600, 800, 1200)
RATES = (100, 300, 1000, 2000, 4000)
PATIENCE = 2  # broken steps in a row before a load is raised no further
QUICK = 2  # steps of each rising load, with --quick


@click.command(name="calibrate")
@click.option("--quick", is_flag=True, help="Few and short steps: a look, not a certificate; nothing is kept.")
@click.option("--processes", type=click.IntRange(2), default=2, show_default=True, help="To try beside one process.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the curve's picture is written; default: nowhere.")
@reported
def command(quick: bool, processes: int, out: Path | None) -> None:
    """Measure how well this machine measures.

    Loads the simulator in rising steps and compares, request by request, what was measured with what the simulator
    knows to be true. Keeps the certificate, which the report of every later run cites. Takes about three minutes.
    """
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
        click.echo(f"Picture: {out}", err=True)
    if not quick:
        keep(found, certificate_path())
        click.echo(f"Certificate: {certificate_path()}", err=True)


def measured(quick: bool, processes: int) -> Iterator[Step]:
    """The steps: each kind of load in turn."""
    from bench.targets.servers import simulator

    streams, rates = (STREAMS[:QUICK], RATES[:QUICK]) if quick else (STREAMS, RATES)
    with simulator({}) as served:
        url = served.url
        closed = []
        for step in rising(partial(one_step, url, "closed", quick=quick), streams):
            closed.append(step)
            yield step
        tried = [step.streams for step in closed][-processes - 1 :]
        for many in tried:
            yield one_step(url, "closed", many, quick=quick, processes=processes)
        yield one_step(url, "whole", streams[-1] // 4, quick=quick)
        yield one_step(url, "open", rates[1], quick=quick)
        yield from rising(partial(one_step, url, "short", quick=quick), rates)


def rising(run: Callable[[int], Step], loads: Sequence[int]) -> Iterator[Step]:
    """Steps of a rising load, until two in a row are broken: one may be a neighbour's doing."""
    broken = 0
    for many in loads:
        step = run(many)
        yield step
        broken = broken + 1 if step.broken else 0
        if broken == PATIENCE:
            return


def one_step(url: str, kind: str, many: int, *, quick: bool, processes: int = 1) -> Step:
    """Run one load and read off how well it was measured."""
    from bench.analysis import open_run
    from bench.analysis.calibration import step_of
    from bench.experiments import fit, steps_of
    from bench.experiments.load.question import LoadScenario
    from bench.load import run_load
    from bench.plan import Draw
    from bench.report.live import Live
    from bench.targets.servers import simulator_load

    short = {"prompt": "Hi", "max_tokens": 1, "stream": False}
    requests: dict[str, Any] = {
        "closed": {"prompt": "Hi", "max_tokens": TOKENS},
        "whole": {"prompt": "Hi", "max_tokens": TOKENS, "stream": False},
        "open": {"prompt": "Hi", "max_tokens": 10},
        "short": short,
    }
    model = "sim/instant" if kind == "short" else "sim/exact"
    wanted = None if kind in ("open", "short") else many * PER_STREAM
    load: dict[str, Any] = {"duration": 2 if quick else 6, "warmup": 1 if quick else 2, "processes": processes}
    load |= {"rate": many, "arrivals": "poisson"} if kind in ("open", "short") else {"users": many, "spawn_rate": many}
    request = requests[kind] | {"extra_body": {"ignore_eos": True}}
    scenario = LoadScenario.model_validate(
        {"name": "calibrate", "target": {"url": url}, "models": [model], "requests": [request], "load": load}
    )
    click.echo(f"{kind}, {many}{'/s' if kind in ('open', 'short') else ' streams'}, {processes} process(es)", err=True)
    with TemporaryDirectory() as folder, Live(sys.stderr) as live:
        before = simulator_load(url)
        run_load(
            scenario,
            Path(folder),
            learn=fit.steps(scenario, seed=1, nonce_seed=1),
            ask=steps_of(scenario),
            draw=Draw(1, 1),
            source="bench calibrate",
            observer=live,
        )
        after = simulator_load(url)
        summary = open_run(folder).summary
    busy = (after["cpu_s"] - before["cpu_s"]) / (after["at"] - before["at"])
    server = {"cpu": busy, "late_p99": after["late_p99"]}
    return step_of(summary, kind=kind, processes=processes, streams=many, wanted=wanted, server=server)
