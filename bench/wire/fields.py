"""A server's values as a record may hold them: counts, finite numbers, short words. What is none of these is None.

Everything that `wire` tells of a server goes through here: an `Answer` and its `Usage` when they are built, headers
when they are read.
"""

from __future__ import annotations

import math

import orjson

MOST = 2**53  # a larger number is no count: a double cannot tell it from its neighbour; limits use it for "none"
MOST_TOKENS = 10**12  # a thousand times the largest batch; sums of millions of them fit 64 bits
MOST_NUMBERS = 64  # that a server may state by name, in an answer or in its headers
LONGEST_NAME = 64  # characters of such a name
LONGEST_WORD = 200  # characters of a finish reason, a model or an id
LONGEST_LINE = 600  # characters of a sentence about what went wrong
_SHOWN = 80  # characters of a value in such a sentence


def count(value: object) -> int | None:
    """A number of tokens or items. JSON has one kind of number: 12.0 is 12, and 12.5 is no count."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS:
        return value
    return None


def number(value: object) -> float | None:
    """A finite number that a double holds exactly enough; neither true nor false is one."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) <= MOST:
        return value
    return None


def word(value: object) -> str | None:
    """A short text in one line, with something in it."""
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_WORD and value.isprintable() else None


def numbers(value: object) -> dict[str, float]:
    """The finite numbers of a JSON object by name, without those that have no short name."""
    found: dict[str, float] = {}
    for name, one in value.items() if isinstance(value, dict) else ():
        if isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name.isprintable() and len(found) < MOST_NUMBERS:
            stated = number(one)
            if stated is not None:
                found[name] = stated
    return found


def line(text: object) -> str | None:
    """A sentence as a record may hold it; None if there is none."""
    if not isinstance(text, str):
        return None
    text = text[:LONGEST_LINE]
    return text.encode(errors="replace").decode() if not text.isascii() else text


def shown(value: object) -> str:
    """The beginning of a JSON value, for a sentence about it."""
    return repr(as_text(value)[:_SHOWN])


def as_text(value: object) -> str:
    """A text as it is, any other value as JSON; in words where it is nested deeper than can be written."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # orjson reads 1,024 levels and writes 254
        return f"a {type(value).__name__} nested too deep to be shown"
