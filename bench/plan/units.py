"""Durations and shares: text as people write it in, seconds and fractions out."""

from __future__ import annotations

import re

_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_QUANTITY = re.compile(r"\s*([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([a-zµ%/]*)\s*")


def seconds(value: object) -> float:
    """`500ms`, `30s`, `2m`, `1h` or a number of seconds, as seconds. Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    number, unit = split_quantity(str(value))
    if unit and unit not in _SECONDS:
        raise ValueError(f"{value!r} is not a duration; 500ms, 30s, 2m, 1h or a number of seconds is expected")
    return number * _SECONDS.get(unit, 1.0)


def split_quantity(text: str) -> tuple[float, str]:
    """A number and the unit behind it, which may be empty. Raises ValueError."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a number with a unit, such as 500ms, 30s or 2m")
    return float(match[1]), match[2]
