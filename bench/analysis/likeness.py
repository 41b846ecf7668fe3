"""How far answers of two models, arms or sets of runs may differ before their latencies are of different work."""

from __future__ import annotations

LENGTHS = (0.9, 1.1)
"""The range of one mean length / the other in which E2E is of the same work."""
CACHED = 0.02
"""The largest difference of the cached shares of prompts with which TTFT is of the same work."""


def same_length(baseline: float, candidate: float) -> bool:
    """Whether answers of these mean lengths, both above 0, take the same work."""
    return LENGTHS[0] <= candidate / baseline <= LENGTHS[1]


def counted_otherwise(tokens: tuple[float, float], characters: tuple[float, float]) -> bool:
    """Whether two answer with as much text but with other numbers of visible tokens: their tokens are not the same, as
    those of two tokenizers. Both are means of an answer; a 0 is not known."""
    known = min(*tokens, *characters) > 0
    return known and same_length(*sorted(characters)) and not same_length(*sorted(tokens))


def same_caching(baseline: float, candidate: float) -> bool:
    """Whether prompts of which these shares came from the cache take the same work."""
    return abs(candidate - baseline) <= CACHED
