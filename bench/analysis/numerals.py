"""Numbers as people read them: one wording for the terminal, Markdown, the page and its charts."""

from __future__ import annotations

import math
from collections.abc import Sequence

WITHHELD = "–"
UNKNOWN = "unknown"
SINGULAR = {"were": "was", "are": "is", "have": "has", "do": "does"}


def milliseconds(value: float | None) -> str:
    """Seconds as milliseconds with three digits, such as 0.183, 49.1 or 1,280; – if there is no value."""
    return WITHHELD if value is None else number(value * 1e3)


def number(value: float | None) -> str:
    """Three digits, never in exponent form."""
    if value is None:
        return WITHHELD
    magnitude = float(f"{abs(value):.3g}")  # 9.996 is 10.0, not 10.00
    digits = 0 if magnitude >= 100 or value == 0 else 1 if magnitude >= 10 else 2 if magnitude >= 1 else 3
    return f"{value:,.{digits}f}"


def share(value: float | None) -> str:
    """A share of 1 in percent."""
    if value is None:
        return WITHHELD
    percent = value * 100
    return (
        f"{percent:.0f} %" if percent in (0.0, 100.0) else f"{percent:.1f} %" if percent >= 0.1 else f"{percent:.2g} %"
    )


def percent(share_of_one: float) -> str:
    """A share of 1 in whole percent, where tenths say nothing."""
    return f"{share_of_one * 100:.0f} %"


def dollars(value: float | None) -> str:
    """$12.30, $0.0774, and of less than a tenth of a cent two digits: $0.000077."""
    if value is None:
        return WITHHELD
    if value >= 10:
        return f"${value:.2f}"
    digits = 4 if value >= 0.001 or value <= 0 else min(12, 1 - math.floor(math.log10(value)))
    return f"${value:.{digits}f}"


def at_stage(name: str) -> str:
    """Where in a sentence: at 16 users, at 5 /s; in stage spike."""
    return f"at {name}" if name[:1].isdigit() else f"in stage {name}"


def count(value: float | None) -> str:
    return WITHHELD if value is None else f"{value:,.0f}"


def counted(many: float | None, what: str, verb: str = "") -> str:
    """A number of things, and what they do: 1 request was, 2 requests were; 2.50 users of a load between levels."""
    one = many == 1
    words = [in_digits(many), singular(what) if one else what]
    return " ".join(words + ([SINGULAR.get(verb, f"{verb}s") if one else verb] if verb else []))


def listed(words: Sequence[str], conjunction: str = "and") -> str:
    """These words as a list in a sentence: a, b and c. Empty without words."""
    *others, last = words or ("",)
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def in_digits(many: float | None) -> str:
    """A whole number with all its digits, any other with three."""
    return count(many) if many is None or many == int(many) else number(many)


def singular(what: str) -> str:
    """One of them: request/s of requests/s, request class of request classes."""
    things, per, each = what.partition("/")
    one = things[:-2] if things.endswith(("sses", "shes", "ches")) else things.removesuffix("s")
    return f"{one}{per}{each}"


def in_all(many: float, what: str, models: int) -> str:
    """A load that several models share equally, in words: 5 users in all (2 or 3 of each model)."""
    if models < 2:
        return counted(many, what)
    each, left = divmod(many, models)
    parts = f"{each:g} or {each + 1:g}" if left and what == "users" else number(many / models) if left else f"{each:g}"
    return f"{counted(many, what)} in all ({parts} for each model)"


def duration(seconds: float) -> str:
    """A length of time for people: 12 ms, 8 s, 20.5 s, 3 min 20 s."""
    if 0 < seconds < 0.1:
        return f"{milliseconds(seconds)} ms"
    if seconds < 120:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
