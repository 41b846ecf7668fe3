"""What requests cost: their token counts and a price come in, US dollars go out; None where they cannot be known."""

from __future__ import annotations

import pandas as pd

from bench.plan.prices import Price, of_input, of_writes, sum_of
from bench.plan.prices import cost_usd as price_of

PRICED_ITEMS = ("image", "video", "sound")
"""Items that are paid for one by one."""


def cost(rows: pd.DataFrame, price: Price, *, online: bool = False) -> float | None:
    """US dollars for the tokens that the server counted and for the things it made; `online`: as if not in a batch.
    None where a price is unknown, or where the server did not count what an answer is charged by."""
    in_batch = rows["api"] == "batch"
    parts = [_cost(rows[~in_batch] if in_batch.any() else rows, price)]
    if in_batch.any():
        batch = _cost(rows[in_batch], price)
        parts.append(None if batch is None else batch * (1.0 if online else price.batch))
    if rows["item"].notna().any():
        made = rows["items"].where(rows["item"].isin(PRICED_ITEMS), 0.0).groupby(rows["item"], observed=True).sum()
        pieces = [(price.of_piece(str(item)), float(many)) for item, many in made.items() if many]
        parts += [None if each is None else many * each for each, many in pieces]
    return sum_of(parts)


def _cost(rows: pd.DataFrame, price: Price) -> float | None:
    if not price.by_piece and uncounted(rows):
        return None
    return price_of(price, **tokens_of(rows))


def uncounted(rows: pd.DataFrame) -> int:
    """Answers whose prompt is charged but was not counted by the server, or was counted as it can't be; items are paid
    for by the piece."""
    silent = (rows["prompt_tokens"].isna() & (rows["outcome"] == "ok")) | miscounted(rows)
    return int((silent & ~rows["item"].isin(PRICED_ITEMS)).sum()) if silent.any() else 0


def miscounted(rows: pd.DataFrame) -> pd.Series[bool]:
    """Answers of which the server says that more tokens were read from the cache, or written to it, than the prompt
    has."""
    return in_cache(rows) > rows["prompt_tokens"]


def in_cache(rows: pd.DataFrame) -> pd.Series[float]:
    """Tokens of each prompt that the server read from the cache or wrote to it; 0 where it does not say."""
    return rows["cached_tokens"].fillna(0) + rows["cache_write_tokens"].fillna(0)


TOKENS = ("prompt", "completion", "reasoning", "cached", "cache_write", "cache_write_1h")
CHARGED = ("model", "api", "outcome", "item", "items", *(f"{name}_tokens" for name in TOKENS))
"""The columns from which a cost is computed."""


def tokens_of(rows: pd.DataFrame) -> dict[str, float]:
    """The sums of the tokens, by the kind that they are charged as."""
    return {name: float(rows[f"{name}_tokens"].sum()) for name in TOKENS}


def input_cost(rows: pd.DataFrame, price: Price) -> float | None:
    """Dollars for the prompts, with or without a cache; None if a price is unknown."""
    if price.by_piece or uncounted(rows):
        return None
    prompts = tokens_of(rows)
    return of_input(price, **{name: prompts[name] for name in TOKENS if name not in ("completion", "reasoning")})


def cache_savings(rows: pd.DataFrame, price: Price) -> float | None:
    """Dollars that the same requests would have cost more without a cache; None where the server does not say what
    came from it, or where the price of cached tokens is unknown."""
    known = rows[rows["cached_tokens"].notna()]
    if not len(rows):
        return 0.0
    if not len(known) or (price.cached_input is None and known["cached_tokens"].sum() > 0):
        return None
    paid = input_cost(known, price)
    plain = None if price.input is None else float(known["prompt_tokens"].sum()) * price.input / 1e6
    return None if paid is None or plain is None else plain - paid


def cache_write_cost(rows: pd.DataFrame, price: Price) -> float | None:
    """Dollars for the tokens that were written to the cache; None where the server says nothing of writes."""
    if not len(rows):
        return 0.0
    if not rows["cache_write_tokens"].notna().any():
        return None
    tokens = tokens_of(rows)
    written = {name: tokens[name] for name in ("cache_write", "cache_write_1h")}
    return of_writes(price, **written, default=price.input)
