"""The scope of a threshold or of a gate's line: the names in its brackets, of models, request classes and stages."""

from __future__ import annotations

from collections.abc import Iterable


def scope_in(text: str, brackets: str | None) -> tuple[str, ...]:
    """The scope of a condition, from what stands in its brackets; empty if it has none. Raises ValueError."""
    scope = split(brackets or "")
    if brackets is not None and not scope:
        raise ValueError(
            f"{text!r}: its brackets are empty; name a model, a request class or a stage, or leave them out"
        )
    return scope


def split(names: str) -> tuple[str, ...]:
    """The parts of `sim/fast, chat`."""
    return tuple(part.strip() for part in names.split(",") if part.strip())


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
