"""The requests of a comparison: each pair is the same prompt for every arm, in an order that is drawn."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

from bench.plan.requests import Fits, Planned, RequestPlan
from bench.plan.scenario import Scenario

NONCES_APART = 2**53
"""Between the nonce seeds of two arms: no arm's prompt may warm a cache for another's."""


class PairPlan:
    """The pairs of a stage. Raises Mistakes if a data file is not what it should be.

    All arms have their prompts from the same seed, and synthetic ones are as many words for all of them, by the fit or
    the tokenizer of the first arm: the text is the same, whatever each model's tokenizer makes of it. Only the nonces
    differ, which are of equal length.
    """

    def __init__(
        self, arms: Mapping[str, Scenario], chosen: tuple[str, ...], seed: int, fits: Fits, *, nonce_seed: int
    ) -> None:
        """`chosen` are the arms that this stage asks; `fits` are those of the first arm."""
        self._seed, self._arms, self._chosen = seed, tuple(arms), chosen
        first = next(iter(arms.values()))
        self._plans = {
            name: RequestPlan(
                same_tokenizer(arm, first), seed, same_length(arm, fits), nonce_seed=nonce_seed + place * NONCES_APART
            )
            for place, (name, arm) in enumerate(arms.items())
            if name in chosen
        }

    def request(self, model: int, k: int) -> Planned:
        """The k-th pair: its first request, which has the others as its partners."""
        order = list(self._chosen)
        random.Random(f"{self._seed}:order:{k}").shuffle(order)
        first, *partners = [self._member(name, model, k) for name in order]
        return replace(first, partners=tuple(partners))

    def _member(self, name: str, model: int, k: int) -> Planned:
        planned = self._plans[name].request(model, k)
        seq = planned.seq * len(self._arms) + self._arms.index(name)
        conversation = None if planned.conversation is None else seq
        return replace(planned, arm=name, pair=k, seq=seq, conversation=conversation)


def same_tokenizer(arm: Scenario, first: Scenario) -> Scenario:
    """The arm with the first arm's tokenizer in place of its own."""
    file = first.tokenizers.get(first.models[0])
    return arm.model_copy(update={"tokenizers": {} if file is None else dict.fromkeys(arm.models, file)})


def same_length(arm: Scenario, fits: Fits) -> Fits:
    """The first arm's fits under the name of this arm's model."""
    return {(model, api): fit for (_, api), fit in fits.items() for model in arm.models}
