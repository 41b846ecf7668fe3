"""Reads durations and shares as people write them, and returns seconds and fractions."""

from __future__ import annotations

import re

_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|min|m|s)")
_PARTS = re.compile(
    r"(?:[0-9]+(?:\.[0-9]+)?h)?(?:[0-9]+(?:\.[0-9]+)?(?:min|m(?!s)))?(?:[0-9]+(?:\.[0-9]+)?s)?(?:[0-9]+(?:\.[0-9]+)?ms)?"
)
"""Hours, minutes, seconds and milliseconds, each at most once and in this order: 1m30s."""
_QUANTITY = re.compile(r"\s*([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([a-zµ%/]*)\s*")


def seconds(value: object) -> float:
    """`500ms`, `30s`, `1m30s`, `1h` or a number of seconds, as seconds. Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if str(value).strip() and _PARTS.fullmatch(str(value).strip()):
        return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(str(value)))
    match = _QUANTITY.fullmatch(str(value))
    if match is None or (match[2] and match[2] not in _SECONDS):
        raise ValueError(f"{value!r} is not a duration; 500ms, 30s, 1m30s, 1h or a number of seconds is expected")
    return float(match[1]) * _SECONDS.get(match[2], 1.0)


def split_quantity(text: str) -> tuple[float, str]:
    """A number and the unit behind it, which may be empty. Raises ValueError."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a number, with a unit or without, such as 5% or 0.05")
    return float(match[1]), match[2]
