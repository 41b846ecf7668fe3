"""A gate: how much worse than its baseline a candidate may be. One line per figure, such as `ttft p99: 15%`."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.metrics import METRICS, PERCENTILES, Better
from bench.plan.scopes import scope_in
from bench.plan.units import split_quantity

TAIL = "tail"
"""The statistic that looks for rare slow requests."""
WIDEST = 10.0  # the largest margin: ten times the baseline


_FORM = re.compile(r"\s*(?P<metric>[a-z0-9_]+)\s*(?:\[(?P<scope>.*)\])?\s*(?P<statistic>[^\[\]]*?)\s*")


@dataclass(frozen=True, slots=True)
class Line:
    """One figure and its margin."""

    metric: str  # as in bench.metrics
    statistic: str  # of a latency p50 … p99.9, mean or tail; of any other figure its kind: share or rate
    margin: float  # of a ratio: 0.05 lets the candidate be 5 % slower; of a share: 0.005 lets it be half a point more
    better: Better
    scope: tuple[str, ...] = ()  # what stands in its brackets, split at commas; empty: everything

    @property
    def is_difference(self) -> bool:
        """Whether the margin is a difference of shares and not a ratio."""
        return is_difference(self.statistic)

    @property
    def allowed(self) -> str:
        """The margin as text: 5%."""
        return f"{100 * self.margin:.10g}%"

    @property
    def title(self) -> str:
        """The line as text."""
        about = f"{self.metric}[{', '.join(self.scope)}]" if self.scope else self.metric
        return about if self.statistic in KINDS else f"{about} {self.statistic}"


def is_difference(statistic: str) -> bool:
    """Whether figures of this statistic are shares, of which two are compared by their difference, not their ratio."""
    return statistic in ("share", TAIL)


KINDS = ("share", "rate")
"""The statistics of figures that are one number."""
SHARES = ("error_rate", "goodput")
"""Shares of requests that a gate can check pair by pair."""


def parse_gate(given: Mapping[str, object], *, runs: bool = False) -> tuple[Line, ...]:
    """The lines of a gate, for pairs of requests, or with `runs` for whole runs, which also have rates and more shares.
    Raises ValueError with all mistakes."""
    lines, problems = [], []
    for key, margin in given.items():
        try:
            lines.append(parse_line(key, margin, runs=runs))
        except ValueError as error:
            problems.append(str(error))
    if not given:
        problems.append("the gate is empty; write lines such as ttft p50: 5%")
    problems += repeated(lines)
    if problems:
        raise ValueError("; ".join(problems))
    return tuple(lines)


def repeated(lines: Iterable[Line]) -> list[str]:
    """A message for each line that is there more than once, however it is spaced."""
    return [
        f"the gate has {title} {times} times"
        for title, times in Counter(line.title for line in lines).items()
        if times > 1
    ]


def parse_line(key: str, margin: object, *, runs: bool = False) -> Line:
    """One line. Raises ValueError."""
    match = _FORM.fullmatch(key)
    name, statistic = (match["metric"], match["statistic"]) if match else (key, "")
    metric = METRICS.get(name)
    comparable = [
        name
        for name, one in METRICS.items()
        if one.kind == "latency"
        or name in SHARES
        or (runs and one.kind in ("share", "rate") and one.better != "neither")
    ]
    if metric is None or metric.name not in comparable:
        close = difflib.get_close_matches(name, comparable, n=1)
        raise ValueError(
            f"{key!r} is not a figure of a gate; " + (f"did you mean {close[0]}?" if close else known(comparable))
        )
    allowed = ("mean", *PERCENTILES, TAIL) if metric.kind == "latency" else ("",)
    if statistic not in allowed:
        wanted = (
            f"one of {', '.join(allowed)} after {metric.name}" if metric.kind == "latency" else f"{metric.name} alone"
        )
        problem = f"{statistic} is not a statistic of it" if statistic else "a statistic is missing"
        raise ValueError(f"{key!r}: {problem}; {wanted} is expected")
    scope = scope_in(key, match["scope"] if match else None)
    if scope and not runs:
        raise ValueError(
            f"{key!r}: a gate for pairs is for all pairs; [{', '.join(scope)}] works only for runs on disk"
        )
    line = Line(metric.name, statistic or metric.kind, share_of(key, margin), metric.better, scope)
    if line.is_difference and line.margin >= 1.0:
        raise ValueError(f"{key}: {margin!r} can never fail; two shares differ by less than 100 points")
    return line


def known(names: list[str]) -> str:
    return f"known are {', '.join(names)}"


def share_of(key: str, margin: object) -> float:
    """A margin as a share of 1: 5% or 0.05. Raises ValueError."""
    if isinstance(margin, bool) or not isinstance(margin, int | float | str):
        raise ValueError(f"{key}: {margin!r} is not a margin; a share such as 5% is expected")
    try:
        number, unit = split_quantity(margin) if isinstance(margin, str) else (float(margin), "")
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    value = number / 100 if unit == "%" else number
    if not unit and value >= 1.0:
        raise ValueError(f"{key}: {margin!r} is 1 or more; a margin is a share: did you mean {number:g}%?")
    if unit not in ("", "%") or not 0.0 < value <= WIDEST:
        raise ValueError(f"{key}: {margin!r} is not a margin; a share above 0, such as 5%, is expected")
    return value
