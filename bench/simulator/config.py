"""The configuration of the simulated provider: its models, their speed, and their faults. Times are seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

LONGEST_S = 86400.0  # the longest possible wait: a day
MOST = 1_000_000_000  # the largest possible count


def _is_no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"got {str(value).lower()}; a number is expected")
    return value


def _ascends(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"{pair[0]:g} and {pair[1]:g} are given; the smaller one comes first")
    return pair


def _is_header(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise ValueError("is not a valid header value; ASCII letters, digits and signs are expected")
    return value


Number = Annotated[float, BeforeValidator(_is_no_bool)]
Whole = Annotated[int, BeforeValidator(_is_no_bool), Field(ge=-MOST, le=MOST)]
Seconds = Annotated[Number, Field(ge=0, le=LONGEST_S)]
Share = Annotated[Number, Field(ge=0, le=1)]
ErrorStyle = Literal["novita", "openai"]

FaultKind = Literal[
    "refuse",  # close the connection before any byte
    "error",  # answer with `status`, and `reason` and `message` in the provider's form
    "slow_headers",  # send the head `seconds` late
    "early_role",  # send the role chunk at once, long before the first token
    "stall",  # pause for `seconds` after `after_tokens`
    "error_in_stream",  # send an error object of the shape `style` inside the 200, after `after_tokens`
    "truncate",  # end cleanly, without finish reason and terminator, after `after_tokens`
    "reset",  # reset the connection after `after_tokens`
    "no_terminator",  # send everything except the terminator
    "empty",  # finish without a token
    "bad_json",  # send an event that is not JSON, after `after_tokens`
    "no_usage",  # never state the usage
    "usage_every_chunk",  # state the usage with every chunk
    "crlf",  # end lines with CRLF
    "no_space",  # no space after "data:"
    "comments",  # a keep-alive comment before every event
    "merge",  # `size` events in one write
    "split",  # every event in pieces of `size` bytes with short pauses; may split a character
    "tokens_per_chunk",  # `size` tokens in each event
    "big_token",  # one event of `size` bytes, after `after_tokens`
    "close",  # close the connection after the answer
    "close_idle",  # keep the connection alive and close it `seconds` after the answer
    "no_length",  # only the end of the connection ends the body
    "broken_json",  # the arguments of a tool call, or a structured answer, are not JSON
    "unfit_json",  # the arguments of a tool call, or a structured answer, are JSON but do not fit the schema
    "task_fails",  # a media task, or each request of a batch, fails
    "no_webhook",  # a media task sends no webhook
]
ReasoningStyle = Literal["reasoning_content", "reasoning", "reasoning_details", "think"]


class Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Fault(Value):
    """One fault of a share of the requests."""

    kind: FaultKind
    share: Share = Field(1.0, description="share of the requests that have this fault, drawn from the provider's seed")
    after_tokens: Whole = Field(0, ge=0, description="number of tokens before the fault")
    seconds: Seconds = Field(1.0, description="how long, for slow_headers, stall and close_idle")
    size: Whole = Field(
        3, gt=0, le=100_000_000, description="number or bytes, for merge, split, tokens_per_chunk and big_token"
    )
    status: Whole = Field(500, ge=400, le=599, description="HTTP status of an error")
    reason: str | None = Field(
        None, description="reason of an error, such as RATE_LIMIT_EXCEEDED; default: depends on the status"
    )
    message: str | None = Field(None, description="message of an error")
    retry_after: Annotated[str, AfterValidator(_is_header)] | None = Field(
        None, description="the Retry-After header of an error: seconds or a date"
    )
    style: Literal["novita", "openai", "openrouter", "anthropic"] | None = Field(
        None, description="shape of an error object"
    )


Reported = Literal["openai", "deepseek", "none", "zero"]


class PrefixCache(Value):
    """An automatic prompt cache: the longest stored beginning of a prompt, in whole blocks, needs no prefill."""

    block: Whole = Field(64, gt=0, description="tokens per block")
    minimum: Whole = Field(1024, ge=0, description="the shortest beginning that is cached, in tokens")
    ttl: Seconds = Field(300.0, description="how long a block is kept after it was written or, with refresh, read")
    refresh: bool = Field(True, description="whether reading a block keeps it for another ttl")
    capacity: Whole | None = Field(
        None, gt=0, description="tokens that a replica keeps; the least recently used go first; default: no limit"
    )
    replicas: Annotated[Whole, Field(ge=1, le=1000)] = Field(1, description="servers, each with its own cache")
    routing: Literal["prefix", "random", "sticky"] = Field(
        "prefix",
        description="what chooses the replica of a request: its first route_tokens, chance, "
        "or its prompt_cache_key, user or API key",
    )
    route_tokens: Whole = Field(256, gt=0, description="number of first tokens that choose the replica")
    spill: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="requests per minute with the same beginning; more than that go to any replica"
    )
    scope: Literal["shared", "key"] = Field(
        "shared", description="whether all API keys share the cache, or each key has its own"
    )
    usage: Reported = Field(
        "openai",
        description="how answers state cached tokens: cached_tokens in prompt_tokens_details, "
        "prompt_cache_hit_tokens, not at all, or always 0; messages state them as Anthropic does",
    )
    writes: bool = Field(False, description="whether chat and responses state, and charge, tokens that were written")
    saves: Share = Field(
        1.0, description="share of the prefill time of cached tokens that is saved; 0: hits are stated but not faster"
    )


class Prices(Value):
    """The provider's prices, US dollars per million tokens."""

    input: Annotated[Number, Field(ge=0, le=1e6)] = 0.1
    output: Annotated[Number, Field(ge=0, le=1e6)] = 0.4
    cached_input: Annotated[Number, Field(ge=0, le=1e6)] = Field(0.025, description="prompt tokens told as cached")
    cache_write: Annotated[Number, Field(ge=0, le=1e6)] | None = Field(
        None, description="prompt tokens told as written, for 5 minutes; default: as input"
    )
    cache_write_1h: Annotated[Number, Field(ge=0, le=1e6)] | None = Field(
        None, description="those written for an hour; default: as cache_write"
    )
    batch: Share = Field(1.0, description="of all that, in a batch")


Resource = Literal["requests", "input_tokens", "output_tokens", "tokens", "images"]
LimiterKind = Literal[
    "fixed_window",  # so much in each window, and windows go by the clock
    "fixed_window_from_first",  # a window begins with the first request after the last one is over
    "sliding_log",  # the limit holds for any time span of the window's length
    "sliding_log_counting_rejects",  # the same, and refused requests count too
    "sliding_counter",  # two windows by the clock; the earlier one counts with the share that is still covered
    "token_bucket",  # a burst at once, then a steady rate
    "smoothing",  # the limit of a window is divided among its steps of `step` seconds
    "concurrency",  # number of requests in flight at the same time
]
HeaderStyle = Literal[
    "openai",  # x-ratelimit-limit-requests: 60, reset as a Go duration
    "groq",  # the same names; resets with fractions, such as 2m59.56s
    "azure",  # the same names; resets in whole seconds
    "cerebras",  # the same with -minute, -hour or -day behind the resource
    "anthropic",  # anthropic-ratelimit-requests-limit, reset as a date, tokens to the nearest thousand
    "ietf",  # RateLimit-Policy and RateLimit of the IETF's draft
    "ietf_old",  # RateLimit-Limit, -Remaining and -Reset of its drafts up to 06
    "openrouter",  # X-RateLimit-Limit, -Remaining and -Reset, which is a time in epoch milliseconds
    "together",  # x-ratelimit-limit and x-tokenlimit-limit, resets in seconds
    "litellm",  # x-ratelimit-api_key-limit-requests, without a reset
]


class Limit(Value):
    """One limit of the provider."""

    resource: Resource = Field("requests", description="what is counted")
    kind: LimiterKind = Field("fixed_window", description="how it is counted")
    limit: Annotated[Number, Field(gt=0, le=1e12)] = Field(
        description="how much is admitted per window; for token_bucket the burst, for concurrency the number in flight"
    )
    window: Annotated[Seconds, Field(gt=0)] = Field(60.0, description="length of a window in seconds")
    rate: Annotated[Number, Field(gt=0, le=1e12)] | None = Field(
        None, description="amount per second that flows into a token_bucket; default: limit divided by window"
    )
    step: Annotated[Seconds, Field(gt=0)] = Field(1.0, description="length of a step of smoothing in seconds")
    per: Literal["key_and_model", "key", "model", "provider"] = Field(
        "key_and_model", description="what has its own limit; with key, all models of a key share one"
    )
    models: tuple[str, ...] = Field((), description="models that the limit is for; default: all")
    charge: Literal["ahead", "after"] = Field(
        "ahead",
        description="for output_tokens and tokens: charge max_tokens when a request comes, or the real number after it",
    )
    enforced: Annotated[Number, Field(gt=0, le=10)] = Field(
        1.0, description="a lie: the share of the limit that is really admitted, while headers state the whole limit"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Limit:
        if self.kind == "concurrency" and self.resource != "requests":
            raise ValueError(f"concurrency counts requests in flight; resource is {self.resource}")
        if self.charge == "after" and self.resource not in ("output_tokens", "tokens"):
            raise ValueError(f"charge: after is for output_tokens and tokens; resource is {self.resource}")
        if self.rate is not None and self.kind != "token_bucket":
            raise ValueError(f"rate is for a token_bucket; kind is {self.kind}")
        if self.kind == "sliding_log_counting_rejects" and self.charge == "after":
            raise ValueError("charge: after cannot be combined with sliding_log_counting_rejects")
        return self


class Throttling(Value):
    """What answers state about limits, and where they lie."""

    headers: tuple[HeaderStyle, ...] = Field((), description="styles of headers that state the limits; default: none")
    headers_on: Literal["all", "admitted", "refused"] = Field("all", description="which answers have these headers")
    counters: Literal["true", "stuck"] = Field("true", description="stuck: remaining never goes down")
    retry_after: Literal["seconds", "milliseconds", "date"] | None = Field(
        None,
        description="how refusals state the wait: whole seconds, retry-after-ms, or a date; default: they do not",
    )
    retry_after_factor: Annotated[Number, Field(ge=0, le=1000)] = Field(
        1.0, description="a lie: the true wait is multiplied by this"
    )
    retry_after_constant: Seconds | None = Field(None, description="a lie: always state this wait")
    status: Whole = Field(429, ge=400, le=599, description="HTTP status of a refusal")
    vague: bool = Field(False, description="whether a refusal's message hides which limit was reached")
    hang: Seconds = Field(
        0.0, description="above 0, a refused request gets no answer: the connection is closed after this time"
    )


TIERS = Path(__file__).parents[1] / "tiers.json"
"""The limits of providers' tiers, with source and date; scenarios use the same file."""


@cache
def tiers() -> Mapping[str, Any]:
    """The tiers by name, such as novita/T1."""
    providers = json.loads(TIERS.read_text("utf-8"))
    return {f"{name}/{tier}": limits for name, one in providers.items() for tier, limits in one["tiers"].items()}


def tier_limits(name: str, models: tuple[str, ...]) -> tuple[Limit, ...]:
    """The limits of a tier for each of the models, in fixed windows of a minute: no provider says how it counts."""
    tier = tiers()[name]
    found = []
    for model in models:
        stated = {**tier, **tier["models"].get(model, {})}
        found += [
            Limit(resource=resource, limit=stated[key], models=(model,))
            for key, resource in (("rpm", "requests"), ("tpm", "tokens"), ("ipm", "images"))
            if key in stated
        ]
    return tuple(found)


class Model(Value):
    """How one model behaves."""

    ttft: Annotated[
        tuple[Seconds, Seconds],
        AfterValidator(_ascends),
        Field(description="shortest and longest time to first token, uniform"),
    ] = (
        0.05,
        0.05,
    )
    prefill_per_token: Seconds = Field(
        0.0, description="added to the time to first token for each uncached prompt token"
    )
    decode_per_token: Seconds = Field(0.01, description="between two tokens")
    jitter: Share = Field(0.0, description="the largest random change of each gap, as a share of it, up or down")
    output_tokens: Annotated[
        tuple[Annotated[Whole, Field(ge=0)], Annotated[Whole, Field(ge=0)]], AfterValidator(_ascends)
    ] = Field((50, 150), description="shortest and longest answer without max_tokens, uniform")
    reasoning_tokens: Whole = Field(
        0, ge=0, description="tokens of reasoning before the answer; they count toward max_tokens"
    )
    reasoning_style: ReasoningStyle = Field("reasoning_content", description="the member that holds the reasoning")
    slots: Whole | None = Field(
        None, gt=0, description="answers at the same time; further requests queue; default: no limit"
    )
    batch_size: Whole = Field(64, gt=0, description="answers at the same time without loss of speed")
    batch_slowdown: Annotated[Number, Field(ge=0, le=1e6)] = Field(
        0.0, description="how much each answer above batch_size slows decoding, as a share"
    )
    cache: PrefixCache | None = Field(None, description="the prompt cache; default: none")
    prices: Prices = Field(Prices(), description="prices that it charges and lists")
    task_seconds: Annotated[
        tuple[Seconds, Seconds], Field(description="run time of a media task per item, uniform")
    ] = (
        0.3,
        0.6,
    )
    context_size: Whole = Field(32768, gt=0, description="prompt and answer together, in tokens")
    faults: tuple[Fault, ...] = ()


DEFAULT_MODELS = {
    "sim/fast": Model(
        ttft=(0.06, 0.12), prefill_per_token=0.00002, decode_per_token=0.01, jitter=0.2, cache=PrefixCache()
    ),
    "sim/slow": Model(
        ttft=(0.2, 0.6), prefill_per_token=0.0001, decode_per_token=0.03, jitter=0.3, cache=PrefixCache()
    ),
    "sim/thinker": Model(
        ttft=(0.15, 0.35),
        prefill_per_token=0.00005,
        decode_per_token=0.015,
        jitter=0.2,
        reasoning_tokens=30,
        cache=PrefixCache(),
    ),
    "sim/exact": Model(ttft=(0.025, 0.075), decode_per_token=0.01),
    "sim/instant": Model(ttft=(0.0, 0.0), decode_per_token=0.0),
    "sim/painter": Model(ttft=(0.05, 0.1), slots=4, task_seconds=(0.15, 0.3)),
}


class Provider(Value):
    """The whole provider."""

    models: dict[str, Model] = Field(DEFAULT_MODELS, description="by id; default: six of different speed")
    key: str | None = Field(None, description="the API key that requests need; default: none")
    errors: ErrorStyle = Field("novita", description="shape of error bodies")
    dialect: Literal["novita", "openai"] = Field("novita", description="dialect of files and batches")
    batch_rate: Number = Field(200.0, gt=0, le=1e6, description="requests of a batch that are done per second")
    batch_expiry: Seconds | None = Field(None, description="time after which a batch expires; default: its window")
    stop_in_text: bool = Field(True, description="whether the text contains the stop sequence that ended it")
    limits: str | tuple[Limit, ...] = Field((), description="rate limits: a list, or a tier such as novita/T1")
    throttling: Throttling = Field(Throttling(), description="what answers state about the limits")
    seed: Whole = Field(0, description="seed of all random numbers")

    @model_validator(mode="after")
    def _tier_exists(self) -> Provider:
        if isinstance(self.limits, str) and self.limits not in tiers():
            raise ValueError(f"limits is {self.limits!r}; one of {', '.join(tiers())} or a list is expected")
        return self

    @property
    def all_limits(self) -> tuple[Limit, ...]:
        """The limits as a list, also if they are those of a tier."""
        return tier_limits(self.limits, tuple(self.models)) if isinstance(self.limits, str) else self.limits
