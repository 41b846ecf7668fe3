"""A scenario: who is asked what, how hard, and what counts as good. Frozen values, made from strict YAML.

The descriptions are the documentation: they go into the JSON Schema that editors show.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from bench.plan.arrivals import Arrivals
from bench.plan.document import Document, Mistakes, check, dotted, read_document, validate
from bench.plan.prices import Price
from bench.plan.thresholds import parse_threshold
from bench.plan.units import seconds

Kind = Literal["load", "compare", "rate_limit", "prompt_cache"]
Style = Literal["novita", "openai", "vllm"]
TargetKind = Literal["url", "simulator", "llama.cpp"]
Api = Literal["chat", "completions"]

_DURATION_SCHEMA = {"anyOf": [{"type": "number"}, {"type": "string", "examples": ["500ms", "30s", "2m"]}]}
Seconds = Annotated[float, BeforeValidator(seconds), Field(ge=0), WithJsonSchema(_DURATION_SCHEMA)]
PositiveSeconds = Annotated[float, BeforeValidator(seconds), Field(gt=0), WithJsonSchema(_DURATION_SCHEMA)]
Tokens = Annotated[int, Field(gt=0)]
Secret = Annotated[SecretStr, PlainSerializer(lambda _: "***", return_type=str, when_used="json")]

_CREDENTIALS = re.compile(r"(?<=://)[^/@]*@")  # of a URL
_SHORTEST_SECRET = 8  # characters; a shorter header value is a word such as "true", not worth hiding in errors


class Value(BaseModel):
    """Frozen, and closed to keys that nobody reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Target(Value):
    """Who is asked."""

    url: str | None = Field(None, description="the provider's address, http:// or https://")
    simulator: dict[str, Any] | None = Field(None, description="the simulated provider, with its settings")
    llama_cpp: bool = Field(False, description="the real engine on this machine", alias="llama.cpp")
    key: Secret | None = Field(None, description="the API key, as ${NAME} from the environment")
    style: Style | None = Field(None, description="where the APIs live below the URL; default: told from the URL")
    headers: dict[str, Secret] = Field({}, description="sent with every request; never written down")
    http2: bool = Field(False, description="HTTP/2, through httpx and with less exact times")
    proxy: str | None = Field(None, description="a proxy's URL, through httpx and with less exact times")
    verify: bool | str = Field(True, description="check certificates; or the path of a file with authorities to trust")

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value in ("simulator", "llama.cpp"):
            return {value: {} if value == "simulator" else True}
        return {"url": value}

    @field_validator("url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^/\s]+", value):
            raise ValueError(f"got {value!r}; http://… or https://… is expected, or simulator, or llama.cpp")
        return value

    @model_validator(mode="after")
    def _is_one_thing(self) -> Target:
        if sum((self.url is not None, self.simulator is not None, self.llama_cpp)) != 1:
            raise ValueError("exactly one of url, simulator and llama.cpp is expected")
        return self

    @property
    def kind(self) -> TargetKind:
        return "url" if self.url is not None else "llama.cpp" if self.llama_cpp else "simulator"

    def path_style(self) -> Style:
        """The style, told from the URL where it is not given."""
        if self.style is not None:
            return self.style
        host, _, path = (self.url or "http://127.0.0.1").partition("://")[2].partition("/")
        if host.endswith("novita.ai"):
            return "novita"
        return "openai" if path else "vllm"


class Message(Value):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"] = Field(description="who speaks")
    content: str = Field(description="what is said")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,64}$")] | None = Field(
        None, description="tells writers of one role apart: letters, digits and _, at most 64"
    )


class Prefix(Value):
    """What the prompts of a group have in common at their beginning."""

    tokens: Tokens = Field(description="length of the shared beginning")
    groups: int = Field(1, gt=0, description="how many different beginnings there are")


class Prompt(Value):
    """Where prompts come from: exactly one of text, messages, tokens and file."""

    text: str | None = Field(None, description="the same text every time")
    messages: tuple[Message, ...] | None = Field(None, description="the same conversation every time", min_length=1)
    tokens: Tokens | None = Field(None, description="synthetic text of so many tokens, different every time")
    file: str | None = Field(None, description="a data file, JSON Lines, CSV or ShareGPT; relative to the scenario")
    format: Literal["openai", "csv", "sharegpt"] | None = Field(None, description="of the file; default: by its ending")
    column: str = Field("prompt", description="of a CSV file")
    prefix: Prefix | None = Field(None, description="a beginning shared by groups of requests")
    nonce: bool = Field(False, description="begin with something unique, so that no prompt cache helps")

    @model_validator(mode="before")
    @classmethod
    def _plain_text(cls, value: object) -> object:
        return {"text": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_one_source(self) -> Prompt:
        given = [name for name in ("text", "messages", "tokens", "file") if getattr(self, name) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ValueError(f"got {got}; exactly one of text, messages, tokens and file is expected")
        if self.prefix and self.tokens and self.prefix.tokens > self.tokens:
            raise ValueError(
                f"the shared prefix of {self.prefix.tokens} tokens is longer than the prompt of {self.tokens}"
            )
        return self


class Request(Value):
    """A class of requests, one entry of the mix. Its parameters go out under their own names, and only if given."""

    name: str = Field("", description="how tables call it; default: the API", min_length=0)
    weight: float = Field(1.0, gt=0, description="its share in the mix, relative to the others' weights")
    api: Api = Field("chat", description="which API is asked")
    stream: bool = Field(True, description="whether the answer comes token by token")
    prompt: Prompt = Field(description="what is asked: a text, or where texts come from")
    system: str | None = Field(None, description="a system message in front; chat only")
    max_tokens: int | None = Field(None, gt=0, description="at most so many tokens of answer")
    temperature: float | None = Field(None, ge=0, le=2, description="from 0 to 2")
    top_p: float | None = Field(None, gt=0, le=1, description="above 0, at most 1")
    top_k: int | None = Field(None, ge=-1, description="how many candidates; -1 for all")
    min_p: float | None = Field(None, ge=0, le=1, description="from 0 to 1")
    presence_penalty: float | None = Field(None, ge=-2, le=2, description="from -2 to 2")
    frequency_penalty: float | None = Field(None, ge=-2, le=2, description="from -2 to 2")
    repetition_penalty: float | None = Field(None, gt=0, le=2, description="above 0, at most 2; 1 is none")
    stop: str | tuple[str, ...] | None = Field(None, description="texts that end the answer, at most four")
    seed: int | None = Field(None, description="the model's own seed")
    n: int | None = Field(None, ge=1, le=128, description="how many answers at once")
    logprobs: bool | int | None = Field(None, description="chat: true or false; completions: a number up to 5")
    top_logprobs: int | None = Field(None, ge=0, le=20, description="from 0 to 20")
    logit_bias: dict[str, float] | None = Field(None, description="token id to bias, from -100 to 100")
    extra_body: dict[str, Any] = Field({}, description="further members of the request's JSON, sent untouched")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if isinstance(value, dict) and not value.get("name"):
            return {**value, "name": str(value.get("api", "chat"))}
        return value

    @model_validator(mode="after")
    def _fits_its_api(self) -> Request:
        if isinstance(self.stop, tuple) and len(self.stop) > 4:
            raise ValueError(f"stop has {len(self.stop)} texts; at most four are expected")
        if self.api == "completions" and (self.system is not None or self.prompt.messages is not None):
            raise ValueError("completions take a text, not messages; use api: chat, or prompt: {text: …}")
        return self

    def parameters(self) -> dict[str, Any]:
        """What goes into the request's JSON beside model, input and stream."""
        names = Request.model_fields.keys() - {"name", "weight", "api", "stream", "prompt", "system", "extra_body"}
        given = ((name, getattr(self, name)) for name in Request.model_fields if name in names)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in given if value is not None}


class Load(Value):
    """How hard: a closed loop of users that wait for their answers, or an open one of arrivals that never wait."""

    users: int | None = Field(None, gt=0, description="how many ask at a time, each waiting for its answer")
    spawn_rate: float | None = Field(None, gt=0, description="users that begin per second; default: all at once")
    rate: float | None = Field(None, gt=0, description="requests per second, above 0, whatever is still unanswered")
    arrivals: Arrivals = Field("poisson", description="of an open loop: random, or evenly spaced")
    duration: PositiveSeconds | None = Field(None, description="how long to measure")
    requests: int | None = Field(None, gt=0, description="how many requests to measure")
    warmup: Seconds = Field(0.0, description="how long to load before measuring")
    processes: int = Field(1, ge=1, le=256, description="how many processes carry it, for load beyond one core")
    drain: Seconds = Field(30.0, description="how long to wait, afterwards, for answers in flight")

    @model_validator(mode="after")
    def _is_one_loop(self) -> Load:
        if (self.users is None) == (self.rate is None):
            got = "neither" if self.users is None else "both"
            raise ValueError(f"got {got} of users (a closed loop) and rate (an open one); exactly one is expected")
        if self.rate is not None and self.spawn_rate is not None:
            raise ValueError("spawn_rate is for users; an open loop has a rate only")
        if self.duration is None and self.requests is None:
            raise ValueError("nothing ends it; duration: 30s or requests: 1000 is expected")
        return self


class Timeouts(Value):
    """When a request is given up."""

    connect: PositiveSeconds = Field(5.0, description="for a connection")
    first_token: PositiveSeconds = Field(60.0, description="from sending to the first token of a stream")
    gap: PositiveSeconds = Field(30.0, description="between two tokens of a stream")
    total: PositiveSeconds = Field(300.0, description="from sending to the end of the answer")


class Retries(Value):
    """Trying again; off unless asked for, since it hides failures and limits."""

    attempts: int = Field(3, ge=1, le=100, description="tries in all")
    backoff: PositiveSeconds = Field(0.5, description="the longest first wait; doubles with every try")
    max_backoff: PositiveSeconds = Field(8.0, description="the longest wait")
    obey_retry_after: bool = Field(True, description="wait as long as the server asks, where it asks")


class Slo(Value):
    """What a good answer is; a request that meets every one of these counts for goodput."""

    ttft: PositiveSeconds | None = Field(None, description="time to first token, of streams")
    ttfa: PositiveSeconds | None = Field(None, description="time to first answer token, of streams")
    tpot: PositiveSeconds | None = Field(None, description="time per output token, of streams")
    e2e: PositiveSeconds | None = Field(None, description="time to the end of the answer")


def _is_threshold(expression: str) -> str:
    parse_threshold(expression)
    return expression


class Scenario(Value):
    """The whole question."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = Field(
        description="of the run's folder: letters, digits, dots, dashes"
    )
    kind: Kind = Field("load", description="the question asked")
    target: Target
    models: tuple[str, ...] = Field(min_length=1, description="asked side by side, with the same requests")
    requests: tuple[Request, ...] = Field(min_length=1, description="the mix")
    load: Load
    timeouts: Timeouts = Timeouts()
    retries: Retries | None = None
    slo: Slo | None = None
    thresholds: tuple[Annotated[str, AfterValidator(_is_threshold)], ...] = Field(
        (), description="conditions such as ttft p95 < 800ms; one that fails exits 1"
    )
    prices: dict[str, Price] = Field({}, description="by model, US dollars per million tokens")
    seed: int | None = Field(None, ge=0, lt=2**32, description="same seed, same requests; default: drawn and recorded")


def load_scenario(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
    simulator: type[BaseModel] | None = None,
) -> Scenario:
    """The scenario of a YAML file, with `key=value` overrides on top. Raises Mistakes: all of them at once.

    `simulator` is what the settings of an embedded simulator are checked against.
    """
    document = read_document(path, overrides, environ)
    if isinstance(document.value, dict):
        document.value.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("-._") or "scenario")
        _check_secrets(document)
        _find_files(document, path.parent)
        if simulator is not None and isinstance(at(document.value, "target", "simulator"), dict):
            check(document, ("target", "simulator"), simulator)
    scenario = validate(document, Scenario)
    _check_together(document, scenario)
    if document.mistakes:
        raise Mistakes(document.mistakes)
    return scenario


def _check_secrets(document: Document) -> None:
    """A key in a file ends in a repository; it has to come from the environment."""
    if at(document.value, "target", "key") and ("target", "key") not in document.originals:
        document.blame(
            ("target", "key"), "target.key is written out; keep it in the environment and write ${NAME} here"
        )


def _check_together(document: Document, scenario: Scenario) -> None:
    """What only several values together can get wrong."""
    load, models = scenario.load, scenario.models
    if load.users is not None and load.users < len(models) * load.processes:
        many = f"{len(models)} models" + (f" in each of {load.processes} processes" if load.processes > 1 else "")
        message = f"load.users is {load.users}; every user asks one model, so {many} need as many users"
        document.blame(("load", "users"), message)
    for name, values in (("models", models), ("requests", tuple(request.name for request in scenario.requests))):
        for index, value in enumerate(values):
            if value in values[:index]:
                document.blame((name, index), f"{name}.{index} is named {value!r} as an earlier one; names must differ")
    for index, expression in enumerate(scenario.thresholds):
        _check_threshold(document, scenario, index, expression)
    for model in scenario.prices:
        if model not in models:
            document.blame(("prices", model), f"prices.{model} is for no model of this scenario: {', '.join(models)}")


def _check_threshold(document: Document, scenario: Scenario, index: int, expression: str) -> None:
    where, threshold = ("thresholds", index), parse_threshold(expression)
    known = (*scenario.models, *(request.name for request in scenario.requests))
    for word in threshold.scope:
        if word not in known:
            document.blame(
                where, f"{dotted(where)}: {word!r} is no model and no request class; known are {', '.join(known)}"
            )
    if threshold.metric == "goodput" and scenario.slo is None:
        document.blame(
            where, f"{dotted(where)}: goodput needs to know what good is; add slo: {{ttft: 500ms}} or the like"
        )


def _find_files(document: Document, folder: Path) -> None:
    """Data files are looked for beside the scenario; their paths are put in whole."""
    requests = document.value.get("requests")
    for index, request in enumerate(requests if isinstance(requests, list) else ()):
        if isinstance(name := at(request, "prompt", "file"), str):
            path, where = folder / name, ("requests", index, "prompt", "file")
            request["prompt"]["file"] = str(path)
            if not path.is_file():
                document.blame(where, f"{dotted(where)}: there is no file {path}")


def at(value: Any, *keys: str) -> Any:
    """What lies below these keys; None where something on the way is missing or holds no keys."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def warnings(scenario: Scenario) -> list[str]:
    """What is allowed and probably not meant."""
    found = []
    for request in scenario.requests:
        chosen = [name for name in ("temperature", "top_p", "top_k") if getattr(request, name) is not None]
        if len(chosen) > 1:
            found.append(f"{request.name}: {' and '.join(chosen)} are set; providers advise to set only one of them")
        if request.max_tokens is None:
            found.append(
                f"{request.name}: without max_tokens answers are as long as the model likes, and differ by model"
            )
    return found


def secrets(scenario: Scenario) -> tuple[str, ...]:
    """What must never be written down, wherever it turns up."""
    hidden = [value.get_secret_value() for value in scenario.target.headers.values()]
    if scenario.target.key is not None:
        hidden.append(scenario.target.key.get_secret_value())
    return tuple(value for value in hidden if len(value) >= _SHORTEST_SECRET)


def redacted(scenario: Scenario) -> dict[str, Any]:
    """The scenario as JSON values, with *** for its secrets."""
    value = scenario.model_dump(mode="json", by_alias=True, exclude_none=True)
    for name in ("url", "proxy"):
        if name in value["target"]:
            value["target"][name] = _CREDENTIALS.sub("***@", value["target"][name])
    return value


def schema() -> dict[str, Any]:
    """The JSON Schema of scenarios, short forms included."""
    made = Scenario.model_json_schema(by_alias=True)
    made["required"].remove("name")
    definitions = made["$defs"]
    for name, plain in (("Target", "simulator, llama.cpp, or a URL"), ("Prompt", "the text itself")):
        definitions[f"{name}Settings"] = definitions[name]
        definitions[name] = {"anyOf": [{"type": "string", "description": plain}, {"$ref": f"#/$defs/{name}Settings"}]}
    return made
