"""The requests of a comparison: each pair is the same prompt for every arm, in random order."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

from bench.plan.requests import Fits, Planned, RequestPlan
from bench.plan.scenario import Scenario

NONCE_STEP = 2**53
"""The difference of the nonce seeds of two arms, so that no arm's prompt warms a cache for another arm."""


class PairPlan:
    """The pairs of a stage. Raises Mistakes if a data file is broken.

    The prompts of all arms come from the same seed. Synthetic prompts have the same number of words for all arms, by
    the fit or the tokenizer of the first arm: the text is the same even if the tokenizers differ. Only the nonces
    differ, and they have the same length.
    """

    def __init__(
        self, arms: Mapping[str, Scenario], chosen: tuple[str, ...], seed: int, fits: Fits, *, nonce_seed: int
    ) -> None:
        """`chosen` are the arms of this stage; `fits` are those of the first arm."""
        self._seed, self._arms, self._chosen = seed, tuple(arms), chosen
        first = next(iter(arms.values()))
        self._plans = {
            name: RequestPlan(
                same_tokenizer(arm, first), seed, same_length(arm, fits), nonce_seed=nonce_seed + place * NONCE_STEP
            )
            for place, (name, arm) in enumerate(arms.items())
            if name in chosen
        }

    def request(self, model: int, k: int) -> Planned:
        """The first request of the k-th pair; its partners are the other requests."""
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
