"""The figures of each request: the columns of records come in, a column for each figure goes out, in seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from bench.analysis.refusals import ends
from bench.metrics import HIT_SHARE, METRICS


def ttft(rows: pd.DataFrame) -> pd.Series[float]:
    """First token − sent."""
    return rows["first_token_at"] - rows["sent"]


def hits(rows: pd.DataFrame) -> pd.Series[bool]:
    """Answers with at least HIT_SHARE of the prompt from the cache, as the server says."""
    return rows["cached_tokens"] >= HIT_SHARE * rows["prompt_tokens"]


def ttft_hit(rows: pd.DataFrame) -> pd.Series[float]:
    """First token − sent, of hits."""
    return ttft(rows).where(hits(rows))


def ttft_miss(rows: pd.DataFrame) -> pd.Series[float]:
    """First token − sent, of answers with a smaller share of the prompt from the cache, as the server says."""
    return ttft(rows).where(rows["cached_tokens"].notna() & ~hits(rows))


def ttfa(rows: pd.DataFrame) -> pd.Series[float]:
    """First token that is not reasoning − sent."""
    return rows["first_answer_at"] - rows["sent"]


def e2e(rows: pd.DataFrame) -> pd.Series[float]:
    """Last byte of the answer − sent."""
    return rows["done"] - rows["sent"]


def ttft_from_due(rows: pd.DataFrame) -> pd.Series[float]:
    """First token − due."""
    return rows["first_token_at"] - due(rows)


def e2e_from_due(rows: pd.DataFrame) -> pd.Series[float]:
    """Last byte of the answer − due."""
    return rows["done"] - due(rows)


def due(rows: pd.DataFrame) -> pd.Series[float]:
    """When the schedule of an open loop wanted each request sent; in a closed loop, when its user was ready to send it
    and did not yet, since the server had refused the request before."""
    return rows["due"].fillna(rows["first_begun"] - rows["held_back"])


def send_lag(rows: pd.DataFrame) -> pd.Series[float]:
    """When the first attempt began − due."""
    return rows["first_begun"] - rows["due"]


def waited(rows: pd.DataFrame) -> pd.Series[float]:
    """Wait after the user's last request was refused + waits between the attempts of this one."""
    return rows["held_back"] + rows["retry_waited"]


def tpot(rows: pd.DataFrame) -> pd.Series[float]:
    """(last token − first token) / (tokens that came after the first arrival), s; NaN where none did.

    Reasoning that the server counts but does not stream came before the first arrival, so it is not among them.
    """
    hidden = rows["reasoning_tokens"].where(rows["first_answer_at"] <= rows["first_token_at"], 0.0).fillna(0.0)
    hidden = hidden.where(hidden < rows["completion_tokens"] - rows["arrived_tokens"] + 1, 0.0)
    later = rows["completion_tokens"] - hidden - rows["first_tokens"]
    return (rows["last_token_at"] - rows["first_token_at"]) / later.where(later > 0)


OF_REQUESTS: Mapping[str, Callable[[pd.DataFrame], pd.Series[float]]] = {
    "ttft": ttft,
    "ttfa": ttfa,
    "ttft_hit": ttft_hit,
    "ttft_miss": ttft_miss,
    "tpot": tpot,
    "e2e": e2e,
    "ttft_from_due": ttft_from_due,
    "e2e_from_due": e2e_from_due,
    "send_lag": send_lag,
    "waited": waited,
}
"""Latencies with one value per request, s; NaN if it has none."""


def derive(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of a Table with each request's figures: a column for each of OF_REQUESTS, such as ttft_s, and
    first_attempt_s, connect_s, unfinished_s; NaN where a request has no such figure. Durations in seconds. `end` is the
    outcome, with refusals that only their words tell as throttled."""
    figures: dict[str, pd.Series[Any]] = {METRICS[name].key: formula(rows) for name, formula in OF_REQUESTS.items()}
    figures["first_attempt_s"] = rows["first_done"] - rows["first_sent"]
    figures["connect_s"] = rows["connected"] - rows["connect_started"]
    figures["unfinished_s"] = rows["unfinished_at"] - rows["sent"]
    return rows.assign(**figures, end=ends(rows["outcome"], rows["error"]))
