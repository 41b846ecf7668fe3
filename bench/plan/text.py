"""Synthetic text of a given length: common short words, which most tokenizers count as one token each.

Only the server knows how many tokens a text has. A `Fit` corrects the guess by what the server reports.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import accumulate

POOL_WORDS = 65536


TOKENS_PER_WORD = (0.5, 8.0)
"""Possible tokens per word for our words, which have 4.4 letters and a space: from one token for two words to more than
one per letter. Other counts are wrong."""
OVERHEAD = (-20.0, 20_000.0)
"""Tokens that a server may count in addition to the words: its chat template, a system prompt that a gateway adds. A
negative number, except for rounding, is not a count of this prompt."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How a model's tokenizer and chat template count: tokens = tokens_per_word · words + overhead."""

    tokens_per_word: float = 1.0
    overhead: float = 8.0  # tokens of the chat template around a single message
    doubt: str | None = None  # why prompts may have another length than wanted; None: the server's counts decide it

    def words(self, tokens: int) -> int:
        """Number of words for a prompt of this many tokens; at least one."""
        return self.length(tokens - self.overhead)

    def length(self, tokens: float) -> int:
        """Number of words for this many tokens within a longer prompt; at least one, and at most what a tokenizer
        could need."""
        return max(1, round(tokens / max(self.tokens_per_word, TOKENS_PER_WORD[0])))

    def prompt(self, seed: str, tokens: float) -> str:
        """A prompt of about this many tokens, with those of the chat's template."""
        return words(seed, self.words(round(tokens)))

    def part(self, seed: str, tokens: float) -> str:
        """A text of about this many tokens within a longer prompt."""
        return words(seed, self.length(tokens))

    def nonce(self, seed: str) -> str:
        """A text that no other seed makes."""
        return f"[{random.Random(seed).getrandbits(64):016x}]"

    @property
    def nonce_tokens(self) -> int:
        """Number of tokens of a nonce, to be taken off the prompt; unknown here, so it comes on top."""
        return 0


def fit(samples: Sequence[tuple[int, int]]) -> Fit:
    """The line through (words, tokens) of two or more prompts. Raises ValueError if they have the same length, or
    if no tokenizer counts like that."""
    (short, few), (long, many) = min(samples), max(samples)
    if short == long:
        raise ValueError("two prompts of different lengths are needed to fit a tokenizer")
    slope = (many - few) / (long - short)
    overhead = few - slope * short
    counted = f"it counts {few:,} tokens in a prompt of {short} words and {many:,} in one of {long}"
    if not TOKENS_PER_WORD[0] <= slope <= TOKENS_PER_WORD[1]:
        least, most = TOKENS_PER_WORD
        raise ValueError(f"{counted}; that is {slope:,.3g} tokens per word; from {least:g} to {most:g} are possible")
    if not OVERHEAD[0] <= overhead <= OVERHEAD[1]:
        least, most = OVERHEAD
        raise ValueError(
            f"{counted}; that is {overhead:,.0f} tokens more than words; from {least:g} to {most:,g} are possible"
        )
    return Fit(tokens_per_word=slope, overhead=overhead)


def words(seed: str, count: int) -> str:
    """`count` words. The same seed gives the same words: a longer text begins like a shorter one."""
    return slice_of(*_pool(), seed, count)


def slice_of(pool: str, ends: Sequence[int], seed: str, count: int) -> str:
    """`count` words of a pool; `ends` says where each of its words ends."""
    begin = random.Random(seed).randrange(POOL_WORDS)
    pieces = []
    while count > 0:
        taken = min(count, POOL_WORDS - begin)
        pieces.append(pool[ends[begin - 1] + 1 if begin else 0 : ends[begin + taken - 1]])
        count -= taken
        begin = 0
    return " ".join(pieces)


def known_words() -> list[str]:
    """The words that texts are made of."""
    return files("bench.plan").joinpath("words.txt").read_text("utf-8").split()


@cache
def _pool() -> tuple[str, list[int]]:
    """A long fixed text, and where each of its words ends. Long prompts are slices of it, which is fast."""
    drawn = random.Random("words").choices(known_words(), k=POOL_WORDS)
    ends = [end - 1 for end in accumulate(len(word) + 1 for word in drawn)]
    return " ".join(drawn), ends
