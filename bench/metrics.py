"""Every figure by name: what it is called, its unit, its formula, and which way is better; and how requests end.

Thresholds, summary, reports, DataFrames and exports look into this one table; the numbers themselves are computed by
`bench.analysis.figures`, one function for each. Nothing is imported here, so that a scenario can be checked at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["latency", "share", "rate", "amount"]
"""A latency has a distribution; a share is a part of 1; a rate is per second or minute; an amount is one number."""

Better = Literal["lower", "higher", "neither"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure."""

    name: str  # in scenarios, commands and exports
    title: str  # in tables, charts and definitions
    unit: str  # of the number as it is stored: s, /s, /min, tokens, USD; empty for a share or a count
    kind: Kind
    better: Better
    formula: str
    streams_only: bool = False  # whether answers that do not stream have no such figure

    @property
    def key(self) -> str:
        """Its key in summary.json and its column in DataFrames."""
        return f"{self.name}_s" if self.kind == "latency" else self.name


HIT_SHARE = 0.1
"""Of a prompt, from the cache, before its answer is called a hit: what every prompt has in common, such as a chat
template, makes none. `kind: prompt_cache` knows which part of a prompt it has sent before, and asks for half of the
prompt: bench.experiments.prompt_cache.hits.HIT."""

_DUE = (
    "when the request was due: in an open loop when the schedule wanted it sent, in a closed loop when its user was "
    "ready; so earlier attempts and the waits after them are in it"
)

_TABLE = (
    Metric(
        "ttft", "TTFT", "s", "latency", "lower",
        "time to first token: arrival of the first generated token (text, reasoning, tool call, sound) − sent; streams",
        streams_only=True,
    ),
    Metric(
        "ttfa", "TTFA", "s", "latency", "lower",
        "time to first answer token: arrival of the first token that is not reasoning − sent; streams",
        streams_only=True,
    ),
    Metric(
        "ttft_hit", "TTFT of hits", "s", "latency", "lower",
        f"TTFT of answers whose server says that at least {HIT_SHARE * 100:.0f} % of the prompt came from its cache",
        streams_only=True,
    ),
    Metric(
        "ttft_miss", "TTFT of misses", "s", "latency", "lower",
        f"TTFT of answers whose server says that less than {HIT_SHARE * 100:.0f} % of the prompt came from its cache",
        streams_only=True,
    ),
    Metric(
        "itl", "ITL", "s", "latency", "lower",
        "inter-token latency: the gaps between content arrivals of all answers without error, pooled; streams",
        streams_only=True,
    ),
    Metric(
        "tpot", "TPOT", "s", "latency", "lower",
        "time per output token: (last token − first token) / (completion tokens − tokens in the first arrival), for "
        "each stream; reasoning that was not streamed is left out of the tokens",
        streams_only=True,
    ),
    Metric("e2e", "E2E", "s", "latency", "lower", "end-to-end latency: arrival of the answer's last byte − sent"),
    Metric(
        "ttft_from_due", "TTFT from due", "s", "latency", "lower",
        f"TTFT with the clock started {_DUE}",
        streams_only=True,
    ),
    Metric(
        "e2e_from_due", "E2E from due", "s", "latency", "lower",
        f"E2E with the clock started {_DUE}",
    ),
    Metric(
        "send_lag", "send lag", "s", "latency", "lower",
        "the first attempt's sent (or the beginning of its fresh connection) − due; open loops",
    ),
    Metric(
        "waited", "waited", "s", "latency", "lower",
        "how long a request's user waited after failed attempts: after the request before, if it was refused, and "
        "between this one's attempts; answers without error",
    ),
    Metric(
        "requests_per_s", "answers/s", "/s", "rate", "higher",
        "answers without error that ended inside the measured window / length of the window; the window of a model "
        "that got its share of load.requests ends with its last answer",
    ),
    Metric(
        "good_requests_per_s", "answers/s within SLO", "/s", "rate", "higher",
        "answers that met every SLO and ended inside the measured window / length of the window, which is that of "
        "answers/s",
    ),
    Metric(
        "output_tokens_per_s", "tokens/s", "/s", "rate", "higher",
        "completion tokens that arrived inside the measured window / length of the window",
    ),
    Metric(
        "stream_tokens_per_s", "tokens/s of a stream", "/s", "rate", "higher",
        "1 / TPOT at p50: how fast the text of a typical answer comes; streams",
        streams_only=True,
    ),
    Metric(
        "items_per_min", "items/min", "/min", "rate", "higher",
        "images, videos, sounds, vectors, ranked documents or requests of a batch that came with answers inside the "
        "measured window / its length in minutes; a request for eight images counts eight",
    ),
    Metric(
        "error_rate", "error rate", "", "share", "lower",
        "requests that failed / requests offered; those still open at the end of the run are left out",
    ),
    Metric(
        "goodput", "goodput", "", "share", "higher",
        "requests that ended ok and met every SLO / requests offered, those that failed or were still open at the end "
        "of the run included; the SLO is of the attempt that was answered: earlier attempts and waits are not in it",
    ),
    Metric(
        "zero_gap_share", "zero gaps", "", "share", "lower",
        "gaps that are 0, of tokens that came in one read / all gaps, of answers without error",
        streams_only=True,
    ),
    Metric(
        "reasoning_share", "reasoning", "", "share", "neither",
        "reasoning tokens / completion tokens, both as the server counts them, of answers without error",
    ),
    Metric(
        "cached_share", "cached", "", "share", "higher",
        "prompt tokens read from the server's prompt cache / prompt tokens, of answers without error whose server says "
        "both",
    ),
    Metric(
        "valid_tool_calls", "valid calls", "", "share", "higher",
        "tool calls whose arguments are JSON and fit the declared schema / tool calls",
    ),
    Metric(
        "json_valid", "valid JSON", "", "share", "higher",
        "answers that are JSON / answers without error that had to be",
    ),
    Metric(
        "schema_valid", "fits schema", "", "share", "higher",
        "answers that are JSON and fit the schema asked for / answers without error that had to",
    ),
    Metric(
        "failed_item_rate", "failed items", "", "share", "lower",
        "requests of a batch that brought no answer / requests of the batch",
    ),
    Metric(
        "attempts_per_request", "attempts", "", "amount", "lower",
        "attempts per request: tries that were sent / requests offered; 1 where nothing was tried again",
    ),
    Metric(
        "mean_prompt_tokens", "tokens in", "tokens", "amount", "neither",
        "prompt tokens of an answer without error, cached ones included, as the server counts them; mean",
    ),
    Metric(
        "mean_completion_tokens", "tokens out", "tokens", "amount", "neither",
        "completion tokens of an answer without error, reasoning included, as the server counts them, or else one for "
        "each content event; mean",
    ),
    Metric(
        "cost_usd", "cost", "USD", "amount", "lower",
        "prompt tokens · input price + cached and written tokens · their prices + completion tokens · output price + "
        "images, videos and sounds · their price; in a batch, its share of that; a failed request costs what its "
        "server counted, without a count nothing; unknown where one of these prices is",
    ),
    Metric(
        "cost_per_1000_usd", "cost of 1,000 requests", "USD", "amount", "lower", "cost / requests offered · 1,000",
    ),
    Metric(
        "cost_per_good_usd", "cost of a good answer", "USD", "amount", "lower",
        "cost / answers that met every SLO or, without an SLO, that ended ok",
    ),
    Metric(
        "input_price_usd", "input price", "USD", "amount", "lower",
        "dollars for the prompts, cached and written tokens at their prices / prompt tokens, per million",
    ),
    Metric(
        "cache_saved_usd", "saved by the cache", "USD", "amount", "higher",
        "prompt tokens · input price − dollars for the prompts, of answers whose server says what came from the cache; "
        "below 0 where writing to it cost more than reading saved",
    ),
    Metric(
        "cache_write_usd", "cache writes", "USD", "amount", "lower",
        "prompt tokens written to the cache · their price, where the server says that it charges them",
    ),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in _TABLE}

FORMULAS = {metric.title: metric.formula for metric in _TABLE} | {
    "unfinished": "of a job: when the last poll was sent that found it unfinished − sent; its end lies between that "
    "and E2E",
    "tokens in / out": f"in: {METRICS['mean_prompt_tokens'].formula}; out: {METRICS['mean_completion_tokens'].formula}",
    "queue, run": "of a job: how long the server says that it waited, and that it worked on it",
}
"""Definition of each figure by its title, in the words that every report prints."""

OUTCOME_MEANINGS = {
    "ok": "a finish reason, a terminator where the API has one, and no error object",
    "throttled": "refused with 429: too many requests or tokens for now",
    "quota": "402, or a 400, 403, 422 or 429 that speaks of money: none is left, or a spending limit is reached",
    "overloaded": "503, 529: the server has no room for anybody",
    "auth": "401, 403: the key is wrong or may not do this",
    "invalid": "3xx, or a 4xx other than 401, 402, 403, 429: the server refuses what was sent, or points elsewhere",
    "server_error": "a 5xx other than 503 and 529, such as 500: the server itself failed",
    "timeout": "no answer, or no end of it, within one of the scenario's timeouts",
    "connect": "no connection: refused, unresolved, TLS not trusted",
    "protocol": "bytes that are not the protocol: broken HTTP, a connection reset, JSON that does not parse or is no "
    "answer of this API",
    "stream_error": "an error object of any shape inside a 200",
    "truncated": "the answer broke off: the server, or a proxy before it, ended it without a finish reason or without "
    "its last line",
    "empty": "a complete answer with nothing in it: no text, no tool call",
    "censored": "the run was over before the answer was",
}
OUTCOMES = tuple(OUTCOME_MEANINGS)
"""Every request ends in exactly one of these words."""
UNFAILED = ("ok", "censored")
"""The outcomes of requests that did not fail: a request that was still open at the end of the run did neither."""

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
FLOORS = {"p50": 11, "p90": 64, "p95": 130, "p99": 662, "p99.9": 6636}
"""Values needed before a percentile is stated: from there on a bound of it exists with 99 % confidence (MLPerf
LoadGen's early stopping)."""
STATISTICS = ("mean", *PERCENTILES, "max")
"""What a latency can be asked for."""


def named(kind: Kind) -> tuple[str, ...]:
    """The names of all metrics of a kind."""
    return tuple(metric.name for metric in _TABLE if metric.kind == kind)
