"""A server with a prompt cache on a simulated clock: what its answers say and how long they take, and the truth.

Its cache and its account are the simulator's own, which is what an experiment is judged by.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bench.experiments.prompt_cache.estimates import Estimates, estimates
from bench.experiments.prompt_cache.question import PromptCacheScenario
from bench.experiments.prompt_cache.steps import steps
from bench.experiments.simulated_performer import SimulatedPerformer
from bench.plan import Planned
from bench.plan.prices import Price
from bench.records import Record
from bench.simulator.cache import Cache
from bench.simulator.config import PrefixCache, Prices
from bench.simulator.ledger import Ledger, Tokens
from bench.simulator.tokens import MESSAGE_TOKENS, tokenize
from tests.runs import record

PRICES = Prices(input=1.0, cached_input=0.1, output=4.0)


@dataclass
class CachedServer:
    """Answers with one token."""

    config: PrefixCache | None  # None: it has no cache
    rng: random.Random
    per_token: float = 0.0001  # s of prefill
    base: float = 0.05  # s before it
    noise: float = 0.02  # s, standard deviation
    lifetimes: Callable[[], float] | None = None  # of each prompt, s; None: the cache's own
    answers: list[Record] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)  # the truth about each
    ledger: Ledger = field(default_factory=lambda: Ledger(PRICES))

    def __post_init__(self) -> None:
        self.cache = None if self.config is None else Cache(self.config, random.Random(self.rng.random()))

    def __call__(self, planned: Planned, at: float) -> Record:
        tokens = tokenize(planned.input[0]["content"])
        read, told = 0, 0
        took = self.base + abs(self.rng.gauss(0.0, self.noise)) + self.per_token * len(tokens)
        if self.cache is not None and self.config is not None:
            found = self.cache.look_up(tokens, at, key=planned.arm or "")
            read = found.read
            took -= self.per_token * read * self.config.saves
            self.cache.store(found, at + took, ttl=None if self.lifetimes is None else self.lifetimes())
            told = {"none": None, "zero": 0}.get(self.config.usage, read)
        prompt = len(tokens) + MESSAGE_TOKENS
        self.ledger.charge(Tokens(prompt, cached=told, completion=1))
        self.reads.append(read)
        first, done = at + took, at + took + 0.001
        answer = record(
            planned.seq, name=planned.name, model=planned.model, sent=at, first_token_at=first, first_answer_at=first,
            arrivals=[(first, 1)], headers_at=first, done=done, prompt_tokens=prompt, completion_tokens=1,
            cached_tokens=told, arm=planned.arm, pair=planned.pair,
        )  # fmt: skip
        self.answers.append(answer)
        return answer

    def truly_saved(self, rows: pd.DataFrame) -> float:
        """Seconds that a hit among the longest warm prompts really saves, on average."""
        longest = max(int(str(stage).split()[1]) for stage in rows["stage"] if str(stage).startswith("savings"))
        chosen = (rows["stage"] == f"savings, {longest} tokens") & (rows["name"] == "warm")
        reads = [read for read, is_one in zip(self.reads, chosen, strict=True) if is_one and read]
        saves = self.config.saves if self.config is not None else 0.0
        return self.per_token * saves * sum(reads) / len(reads) if reads else 0.0


def question(**changes: Any) -> PromptCacheScenario:
    asked: dict[str, Any] = {
        "name": "s", "kind": "prompt_cache", "target": {"url": "http://127.0.0.1:1"}, "models": ["m"],
        "requests": [{"prompt": {"tokens": 1500}, "max_tokens": 1}],
    }  # fmt: skip
    return PromptCacheScenario.model_validate(asked | changes)


@dataclass(frozen=True)
class Explored:
    """What was found, and the server that knows the truth."""

    found: Estimates
    server: CachedServer
    rows: pd.DataFrame
    seconds: float  # of the simulated clock
    steps: int


def explore(server: CachedServer, asked: PromptCacheScenario, *, seed: int = 0) -> Explored:
    """The whole experiment on the simulated clock, and what its records say."""
    stages: list[str] = []

    def answer(planned: Planned, at: float) -> Record:
        stages.append("")
        return server(planned, at)

    performer = SimulatedPerformer(answer)
    performer.perform(watched(steps(asked, random.Random(seed)), stages))
    rows = rows_of(server.answers, stages)
    price = Price(input=PRICES.input, cached_input=PRICES.cached_input, output=PRICES.output)
    found = estimates("m", rows, price)
    return Explored(found, server, rows, performer.now, len(performer.steps))


def watched(steps, stages):
    """The same steps; each request's stage is written down when its burst is done."""
    records = None
    while True:
        try:
            step = steps.send(records) if records is not None else next(steps)
        except StopIteration:
            return
        begin = len(stages)
        records = yield step
        stages[begin:] = [getattr(step, "name", "")] * (len(stages) - begin)


def rows_of(answers: list[Record], stages: list[str]) -> pd.DataFrame:
    """The columns that a run's folder would have."""
    columns = (
        "name", "model", "api", "arm", "outcome", "sent", "done", "first_token_at", "prompt_tokens", "completion_tokens",
        "reasoning_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens", "pair", "item", "items",
    )  # fmt: skip
    rows = pd.DataFrame({name: [getattr(one, name) for one in answers] for name in columns})
    numbers = [name for name in columns if name.endswith("_tokens") or name in ("pair", "items")]
    rows[numbers] = rows[numbers].astype(float)
    return rows.assign(stage=stages, ttft_s=rows["first_token_at"] - rows["sent"], e2e_s=rows["done"] - rows["sent"])
