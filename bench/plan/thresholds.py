"""Thresholds: `ttft p95 < 800ms`, `error_rate < 1%`, `ttft[sim/fast, short chat] p99 <= 1s`."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from bench.metrics import METRICS, STATISTICS, named
from bench.plan.scopes import scope_in
from bench.plan.units import seconds, split_quantity
from bench.plan.values import LONGEST_S, MOST

Operator = Literal["<", "<=", ">", ">="]

LATENCIES, SHARES = named("latency"), named("share")

_FORM = re.compile(
    r"\s*(?P<metric>[a-z0-9_]+)\s*(?:\[(?P<scope>.*)\])?\s*(?P<stat>[a-z][a-z0-9.]*)?\s*(?P<op><=|>=|<|>)\s*(?P<limit>.+)"
)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A condition on one metric."""

    expression: str  # as written
    metric: str
    stat: str | None  # of a latency: one of STATISTICS; None for another figure
    operator: Operator
    limit: float  # in the unit of its metric: seconds, a share of 1, per second or minute, US dollars
    scope: tuple[str, ...] = ()  # what stands in its brackets, split at commas; empty: everything

    def holds(self, value: float) -> bool:
        return {"<": value < self.limit, "<=": value <= self.limit, ">": value > self.limit, ">=": value >= self.limit}[
            self.operator
        ]


def parse_threshold(expression: str) -> Threshold:
    """The condition that an expression states. Raises ValueError."""
    match = _FORM.fullmatch(expression)
    if match is None:
        raise ValueError(f"{expression!r} is not a threshold; write it like 'ttft p95 < 800ms' or 'error_rate < 1%'")
    metric, stat = match["metric"], match["stat"]
    if metric not in METRICS:
        close = difflib.get_close_matches(metric, METRICS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(METRICS)}"
        raise ValueError(f"{expression!r}: {metric} is not known; {hint}")
    if metric in LATENCIES and stat not in STATISTICS:
        got = f"{stat} is not a statistic" if stat else "a latency needs a statistic"
        raise ValueError(f"{expression!r}: {got}; write one of {', '.join(STATISTICS)} after {metric}")
    if metric not in LATENCIES and stat:
        raise ValueError(f"{expression!r}: {metric} is one number and has no {stat}")
    limit = _limit(metric, match["limit"])
    if (problem := _decided(metric, match["op"], limit)) is not None:
        raise ValueError(f"{expression!r} {problem}")
    operator: Operator = match["op"]  # type: ignore[assignment]  # the pattern admits no other
    return Threshold(expression, metric, stat, operator, limit, scope_in(expression, match["scope"]))


def _limit(metric: str, text: str) -> float:
    if METRICS[metric].unit == "USD":
        text = text.strip().removeprefix("$").removesuffix("USD")
    if metric in LATENCIES:
        return _time(metric, text.strip())
    number, unit = split_quantity(text)
    if metric in SHARES:
        if unit not in ("", "%"):
            raise ValueError(f"{text.strip()!r} has the unit {unit}; {metric} is a share, such as 1%")
        if not unit and number >= 1:
            raise ValueError(f"{text.strip()!r} is 1 or more; {metric} is a share: did you mean {text.strip()}%?")
        return number / 100 if unit else number
    if unit not in ("", METRICS[metric].unit):
        per = {"/min": "per minute", "/s": "per second", "USD": "in US dollars"}[METRICS[metric].unit]
        raise ValueError(f"{text.strip()!r} has the unit {unit}; {metric} is {per}")
    return number


def _time(metric: str, text: str) -> float:
    """A time with its unit, as seconds. Raises ValueError."""
    if not text.strip("0123456789.eE+-"):
        raise ValueError(f"{text!r} has no unit; {metric} is a time: did you mean {text}ms or {text}s?")
    return seconds(text)


def _decided(metric: str, operator: str, limit: float) -> str | None:
    """Why a condition always, or never, holds; None if the measurement decides it."""
    if metric in SHARES:
        kind, most = "a share is from 0 % to 100 %", 1.0
    else:
        kind, most = f"{metric} is above 0", LONGEST_S if metric in LATENCIES else MOST
    never = {"<": limit <= 0, "<=": limit < 0, ">": limit >= most, ">=": limit > most}[operator]
    always = {"<": limit > most, "<=": limit >= most, ">": limit < 0, ">=": limit <= 0}[operator]
    if metric in LATENCIES:  # an answer takes some time
        never, always = never or (limit <= 0 and operator == "<="), always or (limit <= 0 and operator == ">")
    if never or always:
        return f"can never {'hold' if never else 'fail'}: {kind}" + ("" if limit <= most else f", at most {most:,.0f}")
    return None
