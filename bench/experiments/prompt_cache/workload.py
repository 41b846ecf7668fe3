"""What the scenario's own mix should get of the cache that was found, and what it got.

The prompts of a run are a function of its seeds, so they are made again here; the cache that was found then reads and
writes them in the order in which they were sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import msgspec
import pandas as pd
from pydantic import ValidationError

from bench.analysis import Run
from bench.analysis.charges import cache_savings
from bench.experiments.prompt_cache.estimates import Estimates, Line, lines
from bench.experiments.prompt_cache.hits import ANSWERED
from bench.experiments.prompt_cache.question import PromptCacheScenario
from bench.plan import Fit, Mistakes, Planned, RequestPlan
from bench.plan.prices import Price
from bench.plan.requests import plain_text

STAGE = "workload"


@dataclass(frozen=True, slots=True)
class Workload:
    """One model's."""

    model: str
    requests: int
    expected: float | None  # share of the prompt tokens; None where the prompts or the cache are not known
    observed: float | None  # None where the server is silent
    expected_usd: float | None
    observed_usd: float | None
    ttft_saved_s: float | None  # of a request, on average, by the milliseconds per cached token that were found

    def document(self) -> dict[str, Any]:
        """As findings.json has it."""
        return {
            "requests": self.requests,
            "cached_share": [self.expected, self.observed],
            "saved_usd": [self.expected_usd, self.observed_usd],
            "ttft_saved_s": self.ttft_saved_s,
        }


def workload_of(run: Run, cache: Estimates) -> Workload | None:
    """None where the mix was not sent."""
    rows = run.records
    mine = rows[(rows["stage"] == STAGE) & (rows["model"] == cache.model) & rows["outcome"].isin(ANSWERED)]
    mine = mine[mine["prompt_tokens"].notna()].sort_values("sent")
    if not len(mine):
        return None
    total, price = float(mine["prompt_tokens"].sum()), run.understood.prices.get(cache.model)
    reads = expected_reads(run, cache, mine)
    observed = float(mine["cached_tokens"].sum()) / total if mine["cached_tokens"].notna().any() else None
    each = None if cache.per_token is None else cache.per_token.estimate
    read = None if reads is None else sum(reads)
    return Workload(
        model=cache.model,
        requests=len(mine),
        expected=None if read is None else read / total,
        observed=observed,
        expected_usd=None if read is None else worth(mine, price, reads or []),
        observed_usd=None if price is None else cache_savings(mine, price),
        ttft_saved_s=None if read is None or each is None else each * read / len(mine),
    )


def worth(rows: pd.DataFrame, price: Price | None, reads: list[float]) -> float | None:
    """Dollars saved if these numbers of tokens are read of the prompts; writes are charged as the server told them."""
    return None if price is None else cache_savings(rows.assign(cached_tokens=reads), price)


def expected_reads(run: Run, cache: Estimates, rows: pd.DataFrame) -> list[float] | None:
    """Tokens that the cache that was found would read of each prompt; None where that cannot be said."""
    if cache.exists is False:
        return [0.0] * len(rows)
    if not cache.block_tokens or cache.minimum_tokens is None or (texts := texts_of(run, cache.model)) is None:
        return None
    longest = cache.longest
    rate = longest.hits / longest.pairs if longest is not None and longest.hits else 1.0
    known: list[tuple[float, list[str], Line]] = []
    found = []
    for line in lines(rows):
        words, tokens = texts.get(int(line["seq"])), float(line["prompt_tokens"])
        if words is None:
            return None
        read = whole_blocks(cache, cache.common_tokens)
        for at, earlier, before in known:
            if at <= line["sent"]:
                shared = common(words, earlier, line, before, tokens, cache.common_tokens)
                read = max(read, whole_blocks(cache, shared) * still_there(cache, line["sent"] - at))
        found.append(rate * read)
        known.append((float(line["first_token_at"]), words, line))
    return found


def whole_blocks(cache: Estimates, tokens: float) -> float:
    """What the cache reads of a beginning that it knows."""
    assert cache.block_tokens is not None
    assert cache.minimum_tokens is not None
    whole = tokens // cache.block_tokens * cache.block_tokens
    return whole if whole >= cache.minimum_tokens else 0.0


def still_there(cache: Estimates, age: float) -> float:
    """The share of beginnings of this age, in s, that the cache still has."""
    if cache.gradual is not None:
        return cache.gradual.alive(age)
    if cache.lifetime is None or cache.lifetime[1] is None:
        return 1.0
    return 1.0 if age < cache.lifetime[0] else 0.0


def common(words: list[str], earlier: list[str], line: Line, before: Line, tokens: float, template: int) -> float:
    """Tokens that two prompts have in common from their beginning on; a later turn has all of the turn before."""
    if line["turn"] > 0:
        same = line["conversation"] == before["conversation"] and before["turn"] == line["turn"] - 1
        return float(before["prompt_tokens"] + before["completion_tokens"]) if same else 0.0
    if before["turn"] > 0:
        return 0.0
    same_words = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(words, earlier, strict=False)))
    return template + same_words / max(1, len(words)) * (tokens - template)


def texts_of(run: Run, model: str) -> Mapping[int, list[str]] | None:
    """The words of each request of the mix by its number; None where the scenario cannot be made again."""
    facts = run.facts
    try:
        scenario = PromptCacheScenario.model_validate(msgspec.json.decode(run.understood.scenario_text))
        fits = {(fit.model, fit.api): Fit(fit.tokens_per_word, fit.overhead) for fit in facts.prompt_fits}
        plan = RequestPlan(scenario, facts.seed, fits, nonce_seed=facts.nonce_seed)
    except (ValidationError, Mistakes, OSError):
        return None
    place = scenario.models.index(model)
    rows = run.records
    mine = rows[(rows["stage"] == STAGE) & (rows["model"] == model)]
    made = (plan.request(place, int(seq) // len(scenario.models)) for seq in mine["seq"].unique())
    return {planned.seq: words_of(planned) for planned in made}


def words_of(planned: Planned) -> list[str]:
    """A prompt's words."""
    if isinstance(planned.input, str):
        return planned.input.split()
    if not isinstance(planned.input, list):
        return []
    texts = (one if isinstance(one, str) else plain_text(one.get("content")) for one in planned.input)
    return " ".join(texts).split()
