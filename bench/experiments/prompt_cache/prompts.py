"""Prompts that share a beginning of a wanted length and nothing else."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from itertools import count
from typing import Any

from bench.experiments.prompt_cache.question import PromptCacheScenario
from bench.plan import Planned
from bench.plan.requests import CONVERSING, marked_part, sent_parameters

TAIL = 8  # words at the end of every prompt, which no other prompt has there
LONGEST_WORD = 5  # letters: such words are one token each, for most tokenizers


@dataclass
class Prompts:
    """Makes the requests of one model. A beginning is named by a number; a longer one begins as a shorter one does."""

    question: PromptCacheScenario
    model: str
    rng: random.Random
    numbers: count[int] = field(default_factory=count)  # of requests, in the whole run
    _seed: int = 0
    _tails: count[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self._seed = self.rng.getrandbits(64)
        self._parameters = sent_parameters(self.question.asked, self.question)

    def ask(
        self, name: str, beginning: int, words: int, *, length: int | None = None, pair: int | None = None,
        arm: str | None = None,
    ) -> Planned:  # fmt: skip
        """A prompt with `words` words of that beginning; `length` is of all but the tail, None: nothing in between."""
        asked, number = self.question.asked, next(self.numbers)
        begin = " ".join(self._words(f"beginning:{beginning}", words))
        own = " ".join(self._own(next(self._tails), max(0, (words if length is None else length) - words) + TAIL))
        return Planned(
            seq=number,
            k=number,
            name=name,
            model=self.model,
            api=asked.api,
            stream=asked.stream,
            input=self._input(begin, own),
            parameters=self._parameters,
            extra_body=asked.extra_body,
            arm=arm,
            pair=pair,
        )

    def _input(self, begin: str, own: str) -> Any:
        """As the API has it. Anthropic's cache keeps whole parts, so the beginning is one."""
        if (kept := self._parameters.get("cache_control")) is not None:
            content: Any = [marked_part(begin, kept), {"type": "text", "text": own}]
        else:
            content = f"{begin} {own}"
        return [{"role": "user", "content": content}] if self.question.asked.api in CONVERSING else content

    def _words(self, name: str, many: int) -> list[str]:
        rng, known = random.Random(f"{self._seed}:{name}"), short_words()
        return rng.choices(known, k=many)

    def _own(self, tail: int, many: int) -> list[str]:
        """Words whose first is another one than that of the tails before and after."""
        known = short_words()
        return [known[tail % len(known)], *self._words(f"tail:{tail}", many - 1)]


@cache
def short_words() -> list[str]:
    known = files("bench.plan").joinpath("words.txt").read_text("utf-8").split()
    return sorted({word for word in known if len(word) <= LONGEST_WORD and word.isascii()})
