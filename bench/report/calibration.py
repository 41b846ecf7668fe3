"""The calibration as a table and as a curve."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.analysis.calibration import BROKEN_S, Step
from bench.analysis.certificate import EXACT_S
from bench.report.cells import count, milliseconds
from bench.report.plots import INK, MODEL_COLOURS, MUTED, STYLE, png

KINDS = {"closed": "streams", "whole": "whole answers", "open": "arrivals", "short": "short answers"}
WIDE = 132  # characters; a narrower terminal breaks the lines


def table(steps: Sequence[Step]) -> str:
    """A row a step."""
    out = io.StringIO()
    console = Console(file=out, width=WIDE, markup=False)
    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    shown.add_column("load", no_wrap=True)
    titles = (
        "tokens\n/s", "answers\n/s", "TTFT error, ms\np50 / p99 / max", "decoding\np99, ms", "hub lag\np99, ms",
        "client\nCPU", "server\nCPU", "server late\np99, ms", "",
    )  # fmt: skip
    for title in titles:
        shown.add_column(title, justify="right", no_wrap=True)
    for step in steps:
        per = "/s" if step.kind in ("open", "short") else ""
        load = f"{step.streams}{per} {KINDS[step.kind]}" + (
            f", {step.processes} processes" if step.processes > 1 else ""
        )
        errors = " / ".join(milliseconds(value) for value in (step.error_p50, step.error_p99, step.error_max))
        shown.add_row(
            load,
            count(step.tokens_per_s),
            count(step.requests_per_s),
            errors,
            milliseconds(step.decoding_p99),
            milliseconds(step.hub_lag_p99),
            "–" if step.cpu is None else f"{step.cpu:.0%}",
            "–" if step.server_cpu is None else f"{step.server_cpu:.0%}",
            milliseconds(step.server_late_p99),
            "exact" if step.exact else "behind" if step.expected < 0.95 else "off",
        )
    console.print(shown)
    return out.getvalue().rstrip()


def curve(steps: Sequence[Step]) -> bytes:
    """Error of TTFT over the load, on logarithmic axes, with the two limits."""
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(8.0, 4.2), layout="constrained")
        axes = figure.subplots()
        for colour, processes in zip(MODEL_COLOURS, sorted({step.processes for step in steps}), strict=False):
            mine = [step for step in steps if step.kind == "closed" and step.processes == processes and step.error_p99]
            loads = [step.tokens_per_s for step in mine]
            name = "1 process" if processes == 1 else f"{processes} processes"
            axes.plot(loads, [(step.error_p50 or 0) * 1e3 for step in mine], "o--", color=colour, label=f"{name}, p50")
            axes.plot(loads, [(step.error_p99 or 0) * 1e3 for step in mine], "o-", color=colour, label=f"{name}, p99")
        for limit, name in ((EXACT_S, "exact"), (BROKEN_S, "broken")):
            axes.axhline(limit * 1e3, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
            axes.text(0.995, limit * 1e3, name, transform=axes.get_yaxis_transform(), ha="right", va="bottom",
                      fontsize=8.5, color=MUTED)  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
            axis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("tokens per second")
        axes.set_ylabel("ms")
        axes.set_title("Error of TTFT against the server's own clock", color=INK)
        axes.legend(fontsize=8.5)
        return png(figure)
