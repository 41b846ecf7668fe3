"""A server's values, checked for a record: counts, finite numbers, short words. Any other value becomes None.

`Answer` and `Usage` use these functions when they are built, `limits` when it reads headers.
"""

from __future__ import annotations

import math

import orjson

LARGEST_NUMBER = 2**53  # a double cannot hold all larger integers; some servers state one to say "no limit"
LARGEST_COUNT = 10**12  # a thousand times the largest batch; sums of millions of counts fit 64 bits
MOST_NUMBERS = 64  # numbers with a name that are kept of one answer, or of its headers
LONGEST_NAME = 64  # characters of such a name
LONGEST_WORD = 200  # characters of a finish reason, a model or an id
LONGEST_LINE = 600  # characters of a sentence about what went wrong
_EXCERPT = 80  # characters of a value in such a sentence


def count(value: object) -> int | None:
    """A number of tokens or items; None for any other value. JSON has one kind of number, so 12.0 counts as 12."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNT:
        return value
    return None


def number(value: object) -> float | None:
    """A finite number of at most LARGEST_NUMBER; None for any other value, true and false included."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if math.isfinite(value) and abs(value) <= LARGEST_NUMBER else None


def word(value: object) -> str | None:
    """A short text of one line that is not empty; None for any other value."""
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_WORD and value.isprintable() else None


def numbers(value: object) -> dict[str, float]:
    """The finite numbers of a JSON object by name, the first MOST_NUMBERS that have a short name."""
    found: dict[str, float] = {}
    for name, member in value.items() if isinstance(value, dict) else ():
        if isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name.isprintable() and len(found) < MOST_NUMBERS:
            stated = number(member)
            if stated is not None:
                found[name] = stated
    return found


def line(text: object) -> str | None:
    """A sentence, cut to LONGEST_LINE and valid as UTF-8; None if the value is not text."""
    if not isinstance(text, str):
        return None
    text = text[:LONGEST_LINE]
    return text.encode(errors="replace").decode() if not text.isascii() else text


def excerpt(value: object) -> str:
    """The beginning of a JSON value, for a sentence about it."""
    return repr(as_text(value)[:_EXCERPT])


def as_text(value: object) -> str:
    """A text as it is, any other value as JSON; a few words about a value that is nested too deep for JSON."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # orjson reads 1,024 levels and writes 254
        return f"a {type(value).__name__} nested too deep to be shown"
