"""The simulated tokenizer and the simulated model's words: deterministic, and not only ASCII."""

from __future__ import annotations

import json
import random
import re
from typing import Any

MESSAGE_TOKENS = 4  # tokens of the chat template around each message
MOST_TOKENS = 1_000_000  # size of the vocabulary
_PIECE = re.compile(r"\w{1,6}|[^\w\s]")
_SPELLED = re.compile(r"\s*(?:\w{1,6}|[^\w\s])")

_PLAIN = (
    "a the and then over under river stone light morning quiet answer token small bright garden number letter of in "
    "with from between after before every other window winter summer music paper silver copper orange yellow walk "
    "read write think open close begin end slow fast warm cold naïve café señor über Ωmega データ 模型 привет 🙂"
)
WORDS = _PLAIN.split()


def tokenize(text: str) -> list[str]:
    """The tokens of a text: pieces of at most six letters, and single punctuation marks."""
    return _PIECE.findall(text)


class Vocabulary:
    """Numbers for tokens, in the order in which they first appear. A token includes the space before it."""

    def __init__(self) -> None:
        self._tokens: list[str] = []
        self._numbers: dict[str, int] = {}

    def encode(self, text: str) -> list[int] | None:
        """One number for each piece that `tokenize` finds; None if the vocabulary is full."""
        spelled = _SPELLED.findall(text)
        if spelled:
            spelled[-1] += text[len("".join(spelled)) :]  # white space at the end
        if len(self._tokens) + len(spelled) > MOST_TOKENS:
            return None
        return [self._number(token) for token in spelled]

    def spell(self, number: int) -> str | None:
        """The token of a number; None for an unknown number."""
        return self._tokens[number] if 0 <= number < len(self._tokens) else None

    def _number(self, token: str) -> int:
        if (number := self._numbers.get(token)) is None:
            number = self._numbers[token] = len(self._tokens)
            self._tokens.append(token)
        return number


def text_of(content: Any) -> str:
    """The text of a message's content, which may be a string or a list of parts."""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content or () if isinstance(part, dict))


def answer_words(seed: int, count: int) -> list[str]:
    """The words of an answer; each except the first begins with a space."""
    drawn = random.Random(seed).choices(WORDS, k=count)
    return drawn[:1] + [" " + word for word in drawn[1:]]


QUOTED = {word: json.dumps(word, ensure_ascii=False).encode() for plain in WORDS for word in (plain, " " + plain)}
"""Each word as a JSON string, so that streaming a token only joins bytes."""


def quoted(text: str) -> bytes:
    return QUOTED.get(text) or json.dumps(text, ensure_ascii=False).encode()
