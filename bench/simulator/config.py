"""What the simulated provider is: its models, how fast they are, and what goes wrong with them. Times are seconds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

LONGEST_S = 86400.0  # of any wait: a day
MOST = 1_000_000_000  # of anything that is counted


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
        raise ValueError("is no value of a header; ASCII letters, digits and signs are expected")
    return value


Number = Annotated[float, BeforeValidator(_is_no_bool)]
Whole = Annotated[int, BeforeValidator(_is_no_bool), Field(ge=-MOST, le=MOST)]
Seconds = Annotated[Number, Field(ge=0, le=LONGEST_S)]
Share = Annotated[Number, Field(ge=0, le=1)]
ErrorStyle = Literal["novita", "openai"]

FaultKind = Literal[
    "refuse",  # close the connection before any byte
    "error",  # answer with `status`, and `reason` and `message` in the provider's form
    "slow_headers",  # keep the head back for `seconds`
    "early_role",  # send the role chunk at once, long before the first token
    "stall",  # pause for `seconds` after `after_tokens`
    "error_in_stream",  # an error object in the shape `style` inside the 200, after `after_tokens`
    "truncate",  # end cleanly, without finish reason and terminator, after `after_tokens`
    "reset",  # reset the connection after `after_tokens`
    "no_terminator",  # everything but the terminator
    "empty",  # finish without a token
    "bad_json",  # an event that is not JSON, after `after_tokens`
    "no_usage",  # never say how many tokens there were
    "usage_every_chunk",  # say it with every chunk
    "crlf",  # end lines with CRLF
    "no_space",  # no space after "data:"
    "comments",  # a keep-alive comment before every event
    "merge",  # `size` events in one write
    "split",  # every event in pieces of `size` bytes, a moment apart, inside characters too
    "tokens_per_chunk",  # `size` tokens in each event
    "big_token",  # one event of `size` bytes, after `after_tokens`
    "close",  # close the connection after the answer
    "close_idle",  # keep it alive and close it `seconds` after the answer
    "no_length",  # a body that only the connection's end delimits
    "broken_json",  # a tool's arguments, or a structured answer, that are not JSON
    "unfit_json",  # a tool's arguments, or a structured answer, that are JSON and do not fit the schema
    "task_fails",  # a media task that ends as failed; of a batch, its requests
    "no_webhook",  # a media task whose result is told to nobody
]
ReasoningStyle = Literal["reasoning_content", "reasoning", "reasoning_details", "think"]


class Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Fault(Value):
    """One thing that goes wrong with a share of the requests."""

    kind: FaultKind
    share: Share = Field(1.0, description="of the requests, drawn from the provider's seed")
    after_tokens: Whole = Field(0, ge=0, description="tokens that come before it")
    seconds: Seconds = Field(1.0, description="how long, for slow_headers, stall and close_idle")
    size: Whole = Field(
        3, gt=0, le=100_000_000, description="how many, for merge, split, tokens_per_chunk and big_token"
    )
    status: Whole = Field(500, ge=400, le=599, description="of an error")
    reason: str | None = Field(None, description="of an error, such as RATE_LIMIT_EXCEEDED; default: by status")
    message: str | None = Field(None, description="of an error")
    retry_after: Annotated[str, AfterValidator(_is_header)] | None = Field(
        None, description="the Retry-After header of an error: seconds or a date"
    )
    style: Literal["novita", "openai", "openrouter", "anthropic"] | None = Field(
        None, description="shape of an error object"
    )


class PrefixCache(Value):
    """An automatic prompt cache: the longest known beginning of a prompt, in whole blocks, costs no prefill."""

    block: Whole = Field(64, gt=0, description="tokens per block")
    minimum: Whole = Field(1024, ge=0, description="tokens below which nothing is cached")
    ttl: Seconds = Field(300.0, description="how long a block is kept after its last use")


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
    jitter: Share = Field(0.0, description="how far each gap may be off, uniform to both sides")
    output_tokens: Annotated[
        tuple[Annotated[Whole, Field(ge=0)], Annotated[Whole, Field(ge=0)]], AfterValidator(_ascends)
    ] = Field((50, 150), description="shortest and longest answer when max_tokens does not cut it, uniform")
    reasoning_tokens: Whole = Field(0, ge=0, description="tokens of reasoning before the answer, inside max_tokens")
    reasoning_style: ReasoningStyle = Field("reasoning_content", description="the name that reasoning goes under")
    slots: Whole | None = Field(None, gt=0, description="answers at a time; further requests queue; default: no limit")
    batch_size: Whole = Field(64, gt=0, description="answers at a time that cost no speed")
    batch_slowdown: Annotated[Number, Field(ge=0, le=1e6)] = Field(
        0.0, description="by how much each answer above batch_size slows the others' decoding"
    )
    cache: PrefixCache | None = Field(None, description="the prompt cache; default: none")
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
    key: str | None = Field(None, description="the API key that is asked for; default: none")
    errors: ErrorStyle = Field("novita", description="shape of error bodies")
    dialect: Literal["novita", "openai"] = Field("novita", description="of files and batches")
    batch_rate: Number = Field(200.0, gt=0, le=1e6, description="requests of a batch that are done per second")
    batch_expiry: Seconds | None = Field(None, description="after which a batch expires; default: its window")
    stop_in_text: bool = Field(True, description="whether the text contains the stop sequence that ended it")
    seed: Whole = Field(0, description="of all that is drawn")
