"""A gate's file: how much worse a candidate may be than its baseline, and which thresholds it must keep.

ttft p50: 5%                      gate:                            a scenario, of which gate, thresholds
ttft p99: 15%                       ttft p50: 5%                   and slo are read
error_rate: 0.5%                  thresholds: [ttft p95 < 2s]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.plan.document import Document, Mistake, Mistakes, read_document
from bench.plan.gate import Line, parse_line, repeated
from bench.plan.presets import is_preset, thresholds_of
from bench.plan.syntax import Location
from bench.plan.thresholds import parse_threshold

PARTS = ("gate", "thresholds")
SCENARIO_KEYS = ("models", "requests", "target")


@dataclass(frozen=True, slots=True)
class Gate:
    """The conditions that a candidate must keep."""

    lines: tuple[Line, ...]  # compared with its baseline
    thresholds: tuple[str, ...] = ()  # without a baseline


class _AnyVariable(dict[str, str]):
    """An environment that has every variable, because a gate does not need the scenario's secrets."""

    def get(self, name: str, default: object = None) -> str:
        return name


def read_gate(given: str) -> Gate:
    """The gate of a file, or of a preset such as mlperf/llama2-70b. Raises Mistakes."""
    if is_preset(given):
        try:
            return Gate((), thresholds_of(given))
        except ValueError as error:
            raise Mistakes([Mistake("--gate", None, str(error))]) from None
    document = read_document(Path(given), (), _AnyVariable())
    if document.mistakes:
        raise Mistakes(document.mistakes)
    value = document.value
    if not isinstance(value, dict) or not value:
        document.blame((), "a gate is expected, such as ttft p50: 5%")
        raise Mistakes(document.mistakes)
    nested = any(part in value for part in PARTS)
    if nested and not any(key in value for key in SCENARIO_KEYS):
        for key in value:
            if key not in PARTS:
                document.blame((key,), f"{key} is not known beside gate and thresholds")
    if not nested and any(key in value for key in SCENARIO_KEYS):
        document.blame((), "this scenario has neither gate nor thresholds")
    lines = lines_of(document, ("gate",) if nested else (), value.get("gate", {}) if nested else value)
    thresholds = thresholds_in(document, value.get("thresholds", ())) if nested else ()
    if not document.mistakes and not lines and not thresholds:
        document.blame((), "the gate is empty; write lines such as ttft p50: 5%")
    if document.mistakes:
        raise Mistakes(document.mistakes)
    return Gate(lines, thresholds)


def lines_of(document: Document, where: Location, given: object) -> tuple[Line, ...]:
    """The lines for whole runs. Mistakes are noted in the document."""
    if not isinstance(given, Mapping):
        document.blame(where, f"gate is {given!r}; figures with margins are expected, such as ttft p50: 5%")
        return ()
    found = []
    for key, margin in given.items():
        try:
            found.append(parse_line(str(key), margin, runs=True))
        except ValueError as error:
            document.blame((*where, str(key)), str(error))
    for problem in repeated(found):
        document.blame(where, problem)
    return tuple(found)


def thresholds_in(document: Document, given: object) -> tuple[str, ...]:
    """The thresholds, with those of presets. Mistakes are noted in the document."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        document.blame(("thresholds",), f"thresholds is {given!r}; a list is expected, such as [ttft p95 < 2s]")
        return ()
    found: list[str] = []
    for place, one in enumerate(given):
        try:
            found += written_out(str(one))
        except ValueError as error:
            document.blame(("thresholds", place), f"thresholds.{place}: {error}")
    return tuple(found)


def written_out(expression: str) -> tuple[str, ...]:
    """The threshold, or all thresholds of a preset. Raises ValueError."""
    if is_preset(expression):
        return thresholds_of(expression)
    parse_threshold(expression)
    return (expression,)
