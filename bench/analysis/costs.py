"""The cost of a run, and what the server's prompt cache saved: in dollars, and in time to first token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.analysis.charges import in_cache, miscounted
from bench.analysis.columns import silent
from bench.analysis.facts import Facts
from bench.analysis.groups import ALL, Group
from bench.analysis.likeness import same_caching
from bench.analysis.numerals import UNKNOWN, count, counted, dollars, milliseconds, share
from bench.analysis.sections import About, Cell, Column, Part, Row, Sentence, Table, capital
from bench.metrics import FORMULAS, METRICS
from bench.plan.prices import Price

OFF = 0.05  # from the cached share that a scenario wanted


def cost_parts(
    groups: Sequence[Group], prices: Mapping[str, Price], wanted: Mapping[str, float] | None = None
) -> list[Part]:
    """A table of dollars and cache for each model and stage, and what is unknown of it, in sentences; where nothing is
    known, one sentence. `wanted` are the cached shares that the scenario set, by request class."""
    whole = [group for group in groups if group.name == ALL]
    if not any(is_charged(group) for group in whole):
        return []
    table, told = cost_table(whole), [Sentence(f"{capital(text)}.") for text in share_had(groups, wanted or {})]
    if len(table.columns) == 1 + staged(whole):
        return [*told, *price_sentences(whole, prices)]
    return [table, *told, *price_sentences(whole, prices), *cache_sentences(whole)]


def staged(groups: Sequence[Group]) -> bool:
    """Whether there are several stages."""
    return len({group.stage for group in groups}) > 1


def is_charged(group: Group) -> bool:
    """Whether it has anything that providers charge."""
    return bool(group.prompt_tokens or group.completion_tokens or group.cost_usd is not None)


def cost_table(groups: Sequence[Group]) -> Table:
    """One row for each model and stage; a column for what is known of at least one of them."""
    stages = staged(groups)
    columns = [Column("", text=True)] + ([Column("stage", text=True)] if stages else [])
    other = any(group.ttft_miss_s.n < group.ttft_s.n for group in groups)  # where all are misses, their TTFT is TTFT
    wanted = [one for one in FIGURES if other or one[0] != "ttft_miss"]
    columns += [titled(name, title, rank) for name, title, rank, _ in wanted]
    rows = []
    for group in groups:
        cells = [Cell(group.model)] + ([Cell(group.stage)] if stages else [])
        cells += [write(group, name) for name, _, _, write in wanted]
        rows.append(Row(tuple(cells), About(group.model, None, group.stage)))
    table = Table("cost", "Cost and prompt cache", tuple(columns), tuple(rows), always=False)
    return table.without_empty_columns(UNKNOWN)


def titled(name: str, title: str, rank: int) -> Column:
    metric = METRICS[name]
    unit = "ms, p50" if metric.kind == "latency" else "$ per million" if name == "input_price_usd" else ""
    return Column(title, unit, rank=rank, meaning=FORMULAS[metric.title])


def amount(group: Group, name: str) -> Cell:
    """Dollars; unknown if something is charged whose price is unknown."""
    value: float | None = getattr(group, name)
    if value is None:
        return Cell(UNKNOWN if is_charged(group) else "")
    return Cell(f"-{dollars(-value)}" if value < 0 else dollars(value), value)


def cache_amount(group: Group, name: str) -> Cell:
    """Dollars of the cache; nothing where the server told of no tokens that they could be of."""
    tokens = group.cached_tokens if name == "cache_saved_usd" else group.cache_write_tokens
    return Cell("") if tokens is None else amount(group, name)


def cached(group: Group, name: str) -> Cell:
    """The cached share; unknown, which is not 0, if the server does not state it."""
    value: float | None = getattr(group, name)
    return Cell(UNKNOWN) if silent(group) else Cell("" if value is None else share(value), value)


def middle(group: Group, name: str) -> Cell:
    """The median, or the mean where it is withheld."""
    found = group.latency(name)
    if not found.n:
        return Cell("")
    text = f"mean {milliseconds(found.mean)}" if found.p50 is None else milliseconds(found.p50)
    return Cell(text, found.p50 or found.mean, detail=counted(found.n, "answers"))


FIGURES: tuple[tuple[str, str, int, Callable[[Group, str], Cell]], ...] = (
    ("cost_usd", "cost", 0, amount),
    ("cost_per_1000_usd", "per 1,000 requests", 1, amount),
    ("cost_per_good_usd", "per good answer", 3, amount),
    ("input_price_usd", "input", 2, amount),
    ("cached_share", "cached", 0, cached),
    ("cache_saved_usd", "cache saved", 0, cache_amount),
    ("cache_write_usd", "cache writes", 3, cache_amount),
    ("ttft_hit", "TTFT of hits", 1, middle),
    ("ttft_miss", "TTFT of misses", 1, middle),
)


def price_sentences(groups: Sequence[Group], prices: Mapping[str, Price]) -> list[Sentence]:
    """Missing prices, in sentences, and what to do about them."""
    found = []
    models = list(dict.fromkeys(group.model for group in groups))
    if unpriced := [model for model in models if prices.get(model) is None]:
        whose = "its" if len(unpriced) == 1 else "their"
        told = f"No price is known for {', '.join(unpriced)}, so neither is {whose} cost"
        remedy = (
            f"prices: {{{unpriced[0]}: {{input: …, output: …}}}} states one; bench models --prices asks the provider"
        )
        found.append(Sentence(f"{told}.", details=(f"{remedy}.",), always=False))
    for model in models:
        price, mine = prices.get(model), [group for group in groups if group.model == model]
        if price is None:
            continue
        if price.cached_input is None and not price.by_piece and any(group.cached_tokens for group in mine):
            told = f"The price of cached tokens of {model} is unknown; they are counted at the input price"
            found.append(Sentence(f"{told}, and what they saved is unknown.", "doubt", about=About(model=model)))
        if price is not None and price.source is not None:
            text = f"Prices of {model}: {price.source}."
            found.append(Sentence(text, always=False, about=About(model=model)))
    return found


def cache_sentences(groups: Sequence[Group]) -> list[Sentence]:
    """What servers do not say about the cache, in sentences."""
    models = [group.model for group in groups if silent(group)]
    if not models:
        return []
    names = ", ".join(dict.fromkeys(models))
    text = f"The server does not say how many prompt tokens of {names} came from a cache; silence is not zero."
    return [Sentence(text, always=False)]


def beyond_the_prompt(rows: pd.DataFrame) -> str | None:
    """Answers whose server says that more of the prompt came from the cache, or went there, than it has."""
    wrong = rows[miscounted(rows)]
    if not len(wrong):
        return None
    example = f"{count(float(in_cache(wrong).iloc[0]))} of {count(float(wrong['prompt_tokens'].iloc[0]))}"
    return (
        f"{counted(len(wrong), 'answers', 'state')} more cached tokens than prompt tokens, such as {example}: the "
        "server miscounts, or leaves cached tokens out of prompt_tokens; the cost and the cached share are unknown"
    )


def unequal_caching(shares: Mapping[str, float | None]) -> str | None:
    """Why latencies of these arms do not compare, as one sentence without its full stop: their prompts came from the
    cache to different shares, by more than two points, or one says it and another does not. None where they compare."""
    known = {name: value for name, value in shares.items() if value is not None}
    if len(shares) < 2 or not known:
        return None
    told = ", ".join(f"{name} {UNKNOWN if value is None else share(value)}" for name, value in shares.items())
    if len(known) < len(shares):
        if same_caching(0.0, max(known.values())):
            return None
        return f"prompts came from the cache to a share that is not known of all ({told}), so TTFT may not compare"
    if same_caching(min(known.values()), max(known.values())):
        return None
    return f"prompts came from the cache to different shares ({told}), so compare TTFT of misses rather than TTFT"


def cached_shares(groups: Sequence[Group]) -> dict[str, float | None]:
    """The cached share of each model, of all its stages; None where its server never said."""
    shares: dict[str, float | None] = {}
    for model in dict.fromkeys(group.model for group in groups):
        told = [one for one in groups if one.model == model and one.name == ALL and one.cached_share is not None]
        whole = sum(one.prompt_tokens or 0 for one in told)
        read = sum((one.cached_share or 0.0) * (one.prompt_tokens or 0) for one in told)
        shares[model] = read / whole if whole else None
    return shares


@dataclass(frozen=True, slots=True)
class Wanted:
    """The cached share that a scenario set for a request class, and the one that its prompts had."""

    told: str  # who, and what was set: the beginning of a sentence
    share: float
    had: float | None  # None: the server is silent

    @property
    def met(self) -> bool:
        return self.had is not None and abs(self.had - self.share) <= OFF


def shares_wanted(groups: Sequence[Group], wanted: Mapping[str, float]) -> Iterator[Wanted]:
    """Each model's request classes with a share that was set; `wanted` is by request class."""
    only = {group.name for group in groups} == {ALL}  # of one class: it has no group beside the model's
    for group in groups:
        name = next(iter(wanted), ALL) if only else group.name
        if name in wanted and group.prompt_tokens:
            told = f"prompts of {name} of {group.model} were to come from the cache to {share(wanted[name])}"
            yield Wanted(told, wanted[name], group.cached_share)


def share_had(groups: Sequence[Group], wanted: Mapping[str, float]) -> list[str]:
    """The wanted shares beside the real ones, in sentences without full stops."""
    return [
        f"{one.told}, and came to {share(one.had)}"
        for one in shares_wanted(groups, wanted)
        if one.met and one.had is not None
    ]


def cached_as_wanted(facts: Facts) -> dict[str, float]:
    """The share of the prompt that a cache should read, by request class; only classes that set one."""
    return {
        one.name: one.prompt.cached
        for one in facts.scenario.requests
        if one.prompt is not None and one.prompt.cached is not None
    }


def wanted_share(groups: Sequence[Group], wanted: Mapping[str, float]) -> list[str]:
    """Cached shares that differ from the wanted ones, in sentences without full stops."""
    found = []
    for one in shares_wanted(groups, wanted):
        if one.had is None:
            found.append(f"{one.told}, and the server does not say to which share they did")
        elif not one.met:
            why = (
                "a cache reads whole blocks, from a minimum on, and not the first prompt: longer prompts, or more of "
                "them, come closer"
                if one.had < one.share
                else "the server's own beginning, or an earlier run with the same seed, is before what was set"
            )
            found.append(f"{one.told}, and came to {share(one.had)}; {why}")
    return found
