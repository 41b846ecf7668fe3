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


TOKENS_PER_WORD = (0.5, 8.0)
"""What a tokenizer can make of our words, which have 4.4 letters and a space: from a token for two words to more than
one a letter. A count outside of it is none."""
OVERHEAD = (-20.0, 20_000.0)
"""Tokens that a server may count beside the words: its chat template, a system prompt that a gateway adds. Less than
nothing, but for rounding, is no count of this prompt."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How a model's tokenizer and chat template count: tokens = tokens_per_word · words + overhead."""

    tokens_per_word: float = 1.0
    overhead: float = 8.0  # tokens of the chat template around a single message
    doubt: str | None = None  # why prompts may have another length than was asked for; None: the server's counts say it

    def words(self, tokens: int) -> int:
        """How many words make a prompt of so many tokens; at least one."""
        return self.length(tokens - self.overhead)

    def length(self, tokens: float) -> int:
        """How many words make so many tokens of a prompt that is longer; at least one, and never more than a tokenizer
        could need."""
        return max(1, round(tokens / max(self.tokens_per_word, TOKENS_PER_WORD[0])))


def fit(samples: Sequence[tuple[int, int]]) -> Fit:
    """The line through (words, tokens) of two or more prompts. Raises ValueError if they have the same length, or
    where no tokenizer counts like that."""
    (short, few), (long, many) = min(samples), max(samples)
    if short == long:
        raise ValueError("two prompts of different lengths are needed to fit a tokenizer")
    slope = (many - few) / (long - short)
    overhead = few - slope * short
    counted = f"it counts {few:,} tokens in a prompt of {short} words and {many:,} in one of {long}"
    if not TOKENS_PER_WORD[0] <= slope <= TOKENS_PER_WORD[1]:
        least, most = TOKENS_PER_WORD
        raise ValueError(f"{counted}; that is {slope:,.3g} tokens a word, and from {least:g} to {most:g} are possible")
    if not OVERHEAD[0] <= overhead <= OVERHEAD[1]:
        least, most = OVERHEAD
        raise ValueError(
            f"{counted}; that is {overhead:,.0f} tokens beside the words, and from {least:g} to {most:,g} are possible"
        )
    return Fit(tokens_per_word=slope, overhead=overhead)


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
