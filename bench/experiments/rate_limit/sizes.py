"""How large the requests of a test are: so that the limit under test is reached before the others that are promised."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.experiments.rate_limit.question import DECLARED, RateLimitScenario
from bench.experiments.rate_limit.requests import BASES, Costs
from bench.plan import tiers
from bench.records import Record

PER_MINUTE = {name: DECLARED[name] for name in tiers.PER_MINUTE}
"""The resource that a promised limit per minute bounds."""
PROBES = (50, 400)  # words in front of the first requests, by which it shows how many tokens a word takes
FEWEST, ENOUGH = 8, 60
"""Requests that use a limit up: fewer are too coarse, and more tell no more."""
LEAST_WORDS, LONG_WORDS, USUAL_WORDS, MOST_WORDS = 20, 200, 1600, 6400
"""In front of a prompt. Of long prompts the answer is a small part, so that it hardly matters how it is counted. More
than the usual ones only where fewer would reach another limit first."""
HALF = 0.5  # of another limit, that a test may take
MORE_STREAMS = 3  # than a limit on requests under way admits


@dataclass(frozen=True, slots=True)
class Weight:
    """What a request takes of a limit of tokens."""

    bare: float  # without words in front
    per_word: float

    def of(self, words: int) -> float:
        return self.bare + self.per_word * words


def weight_of(records: Sequence[Record], costs: Costs) -> Weight | None:
    """From two requests that differ in length; None if their answers do not say how many tokens they had."""
    probes = sorted(records[: len(PROBES)], key=lambda record: record.prompt_tokens or 0)
    if len(probes) < len(PROBES) or not probes[0].prompt_tokens:
        return None
    (few, many), (less, more) = PROBES, (cost_of("tpm", record, costs) for record in probes)
    per_word = (more - less) / (many - few)
    return Weight(less - few * per_word, per_word) if per_word > 0 else None


def words_for(limits: Mapping[str, int], weight: Weight) -> int:
    """How many words in front let the requests of a test reach the limit of tokens."""
    few, many = ((limits["tpm"] / number - weight.bare) / weight.per_word for number in (FEWEST, ENOUGH))
    wanted = max(LEAST_WORDS, min(LONG_WORDS, few), min(USUAL_WORDS, many))
    if "rpm" in limits:
        wanted = max(wanted, (limits["tpm"] / (HALF * limits["rpm"]) - weight.bare) / weight.per_word)
    return math.ceil(min(MOST_WORDS, wanted))


def cost_of(name: str, record: Record, costs: Costs) -> float:
    """What a request takes of what is promised per minute; tokens as they are charged ahead."""
    basis = next(one for one in BASES if one.resource == PER_MINUTE[name])
    return costs.of(basis)(record)


def comes_first(limits: Mapping[str, int], name: str, taken: Mapping[str, float]) -> str | None:
    """Another promised limit that the requests of a test reach no later; None if there is none. `taken` is what one of
    them takes of each limit per minute."""
    many = limits[name] + MORE_STREAMS if name == "concurrency" else limits[name] / taken[name]
    others = (other for other in PER_MINUTE if other != name and other in limits)
    return next((f"{other} {limits[other]:,}" for other in others if many * taken[other] >= limits[other]), None)


def too_small(scenario: RateLimitScenario, name: str, first: Sequence[Record], costs: Costs) -> str | None:
    """Why requests cannot reach a limit before all others, by its first requests; None if they can."""
    limits = scenario.promised
    taken = {other: cost_of(other, first[-1], costs) for other in PER_MINUTE}
    if name == "tpm":
        weight = weight_of(first, costs)
        if weight is None:
            return "the answers do not say how many tokens they took"
        taken["tpm"] = weight.of(words_for(limits, weight))
    if name in PER_MINUTE and taken[name] <= 0:
        return f"the answers do not say how many {PER_MINUTE[name]} they took"
    found = comes_first(limits, name, taken)
    return None if found is None else f"{found} is reached no later"
