"""The scope of a threshold or of a gate's line: the names in its brackets, of models, request classes and stages."""

from __future__ import annotations

from collections.abc import Iterable


def split(text: str | None) -> tuple[str, ...]:
    """The parts of `sim/fast, chat`, which stands between brackets."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def scope_names(scope: tuple[str, ...], known: Iterable[str]) -> tuple[str, ...]:
    """The known names that the parts of a scope make up, and each other part as it is. A name may have a comma, such
    as `8 users, polite`: the longest one counts."""
    by_parts = {split(name): name for name in known}
    found, at = list[str](), 0
    while at < len(scope):
        ends = (end for end in range(len(scope), at, -1) if scope[at:end] in by_parts)
        end = next(ends, at + 1)
        found.append(by_parts.get(scope[at:end], scope[at]))
        at = end
    return tuple(found)
