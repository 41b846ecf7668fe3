"""Synthetic text of a wanted length: common short words, which are one token each for most tokenizers.

How many tokens a text really has, only the server knows; a `Fit` corrects the guess by what it reports.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import accumulate

_POOL_WORDS = 65536


@dataclass(frozen=True, slots=True)
class Fit:
    """How a model's tokenizer and chat template count: tokens = tokens_per_word · words + overhead."""

    tokens_per_word: float = 1.0
    overhead: float = 8.0  # tokens of the chat template around a single message

    def words(self, tokens: int) -> int:
        """How many words make a prompt of so many tokens; at least one."""
        return max(1, round((tokens - self.overhead) / self.tokens_per_word))


def fit(samples: Sequence[tuple[int, int]]) -> Fit:
    """The line through (words, tokens) of two or more prompts. Raises ValueError where they have the same length."""
    (short, few), (long, many) = min(samples), max(samples)
    if short == long:
        raise ValueError("two prompts of different lengths are needed to fit a tokenizer")
    slope = max((many - few) / (long - short), 0.01)
    return Fit(tokens_per_word=slope, overhead=few - slope * short)


def words(seed: str, count: int) -> str:
    """`count` words; the same seed gives the same words, and more of them the longer the text."""
    pool, ends = _pool()
    begin = random.Random(seed).randrange(_POOL_WORDS)
    pieces = []
    while count > 0:
        taken = min(count, _POOL_WORDS - begin)
        pieces.append(pool[ends[begin - 1] + 1 if begin else 0 : ends[begin + taken - 1]])
        count -= taken
        begin = 0
    return " ".join(pieces)


@cache
def _pool() -> tuple[str, list[int]]:
    """A long fixed text and where each of its words ends: long prompts are slices of it, which costs nothing."""
    known = files("bench.plan").joinpath("words.txt").read_text("utf-8").split()
    drawn = random.Random("words").choices(known, k=_POOL_WORDS)
    ends = [end - 1 for end in accumulate(len(word) + 1 for word in drawn)]
    return " ".join(drawn), ends
