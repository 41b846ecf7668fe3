"""Texts with an exact number of tokens, made with the model's own tokenizer file.

A tokenizer first splits a text at its spaces. So a text has as many tokens as words if each of its words is one token,
both at the beginning of a text and after a space. This is tried out with each file before the file is used. No text is
tokenized during the load. The package tokenizers is an extra; only this module imports it.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from bench.plan.text import POOL_WORDS, known_words, slice_of

MOST_BYTES = 200_000_000  # of a file; those of the largest vocabularies have 35 MB
FEWEST = 32  # the smallest number of words that are one token each
NONCE_WORDS = 16  # words of a nonce: at least 80 bits
TRIED = 200  # number of texts that are tokenized to try out a file
LONGEST_TRIED = 2_000  # tokens of such a text


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words that are one token each for a tokenizer, as one long text and where each word ends."""

    pool: str
    ends: list[int]
    words: tuple[str, ...]

    def prompt(self, seed: str, tokens: float) -> str:
        """A text of exactly this many tokens, at least one. A chat template adds its own."""
        return slice_of(self.pool, self.ends, seed, max(1, round(tokens)))

    part = prompt
    """A text of exactly this many tokens within a longer prompt, after a space."""

    def nonce(self, seed: str) -> str:
        """A text of NONCE_WORDS tokens that no other seed makes."""
        return " ".join(random.Random(seed).choices(self.words, k=NONCE_WORDS))

    @property
    def nonce_tokens(self) -> int:
        return NONCE_WORDS


def lexicon(path: Path) -> Lexicon:
    """The words of a tokenizer file. Raises ValueError."""
    try:
        facts = path.stat()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if path.is_dir():
        raise ValueError(f"{path} is a folder; the file tokenizer.json of a model is expected")
    if facts.st_size > MOST_BYTES:
        raise ValueError(f"{path} has {facts.st_size:,} bytes; a tokenizer.json of at most {MOST_BYTES:,} is expected")
    return _lexicon(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=16)
def _lexicon(path: Path, changed: int, size: int) -> Lexicon:
    """The words of this version of the file; `changed` and `size` identify the version."""
    tokenizer = open_tokenizer(path)
    words = tuple(word for word in known_words() if is_one(tokenizer, word))
    if len(words) < FEWEST:  # a tokenizer for another script or language
        words = tuple(word for word in own_words(tokenizer) if is_one(tokenizer, word))
    if len(words) < FEWEST:
        raise ValueError(
            f"{path}: only {len(words)} of its words are one token each, at least {FEWEST} are needed; "
            "leave it out, and the server is asked how it counts"
        )
    drawn = random.Random("words").choices(words, k=POOL_WORDS)
    found = Lexicon(" ".join(drawn), [end - 1 for end in accumulate(len(word) + 1 for word in drawn)], words)
    try_out(tokenizer, found, path)
    return found


def open_tokenizer(path: Path) -> Any:
    """The tokenizer of a file. Raises ValueError."""
    if importlib.util.find_spec("tokenizers") is None:
        raise ValueError("this needs a package that is not installed here; run: pip install 'bench-llm[tokenizers]'")
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing more special
        why = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} is not the tokenizer.json of a model: {why}") from None
    tokenizer.no_truncation()  # else a long text would be cut to the length that an embedding model takes
    tokenizer.no_padding()
    return tokenizer


def count(tokenizer: Any, text: str) -> int:
    """Number of tokens in a text, special tokens left out."""
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


def is_one(tokenizer: Any, word: str) -> bool:
    """Whether a word is one token, at the beginning of a text and after a space."""
    return count(tokenizer, word) == 1 and count(tokenizer, f"{word} {word}") == 2


def own_words(tokenizer: Any) -> Iterator[str]:
    """Words from the tokenizer's own vocabulary, in a fixed order."""
    for token in sorted(tokenizer.get_vocab().values())[:POOL_WORDS]:
        word = tokenizer.decode([token]).strip()
        if 1 < len(word) <= 12 and word.isalpha():
            yield word


def try_out(tokenizer: Any, found: Lexicon, path: Path) -> None:
    """Check that texts have as many tokens as they are made to have. Raises ValueError."""
    rng = random.Random("tried")
    for number in range(TRIED):
        tokens = rng.randint(1, LONGEST_TRIED)
        text = f"{found.nonce(f'{number}')} {found.prompt(f'{number}', tokens)}"
        if (counted := count(tokenizer, text)) != tokens + NONCE_WORDS:
            raise ValueError(
                f"{path} counts {counted} tokens in a text of {tokens + NONCE_WORDS} words that are one token each; "
                "leave it out, and the server is asked how it counts"
            )
