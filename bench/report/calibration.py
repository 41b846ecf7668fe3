"""The calibration as a table and as a curve."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from bench.analysis.calibration import BROKEN_S, KEPT_UP, Step
from bench.analysis.certificate import EXACT_S
from bench.analysis.numerals import count, counted, milliseconds, percent
from bench.analysis.sections import Axis, Chart, Mark, Series, Stroke
from bench.report.console import console_for
from bench.report.pictures import picture

KINDS = {"closed": "streams", "whole": "whole answers", "open": "arrivals", "short": "short answers"}
WIDE = 132  # characters; a narrower terminal breaks the lines


def table(steps: Sequence[Step]) -> str:
    """One row per step."""
    out = io.StringIO()
    console = console_for(out, widest=WIDE, width=WIDE)
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
            "–" if step.cpu is None else percent(step.cpu),
            "–" if step.server_cpu is None else percent(step.server_cpu),
            milliseconds(step.server_late_p99),
            "exact" if step.exact else "behind" if step.expected < KEPT_UP else "off",
        )
    console.print(shown)
    return out.getvalue().rstrip()


def curve(steps: Sequence[Step]) -> bytes:
    """The error of TTFT over the load as PNG."""
    return picture(chart(steps))


def chart(steps: Sequence[Step]) -> Chart:
    """Error of TTFT over the load, on logarithmic axes, with the two limits."""
    closed = [step for step in steps if step.kind == "closed" and step.error_p99 and step.tokens_per_s]
    series: list[Series] = []
    for place, processes in enumerate(sorted({step.processes for step in closed})):
        mine = [step for step in closed if step.processes == processes]
        loads = np.array([step.tokens_per_s for step in mine], np.float64)
        name = counted(processes, "processes")
        strokes: dict[str, Stroke] = {"p50": "dashed", "p99": "solid"}
        for word, stroke in strokes.items():
            errors = np.array([(step.error_p50 if word == "p50" else step.error_p99) or 0.0 for step in mine]) * 1e3
            some = errors > 0  # a logarithm has no place for an error of nothing
            if some.any():
                series.append(
                    Series(f"{name}, {word}", loads[some], errors[some], role=f"model:{place}", stroke=stroke)
                )
    worst = max((float(one.y.max()) for one in series), default=1.0)
    return Chart(
        name="calibration",
        title="Error of TTFT against the server's own clock",
        says="How far TTFT was from what the server knows to be true, at rising loads.",
        x=Axis("tokens", "/s", scale="log"),
        y=Axis("error", "ms", scale="log"),
        series=tuple(series),
        marks=tuple(
            Mark(limit * 1e3, name, role="doubt")
            for limit, name in ((EXACT_S, "exact"), (BROKEN_S, "broken"))
            if limit * 1e3 < 20 * worst
        ),
    )
