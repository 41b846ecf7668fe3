"""A scenario: the target, the requests, the load, and what counts as a good answer. Frozen values from strict YAML.

The descriptions are the documentation: they go into the JSON Schema that editors show.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    PrivateAttr,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from bench.plan.addresses import host_of, host_problem, is_public, names_in, not_a_base, path_of, problem, safe
from bench.plan.arms import adopt, arm_documents
from bench.plan.budget import Budget
from bench.plan.classes import Request
from bench.plan.credentials import (
    ClientCertificate,
    Key,
    KeyCommand,
    Secret,
    parameter_problem,
    present_key,
    query_value,
)
from bench.plan.datasets import read_dataset
from bench.plan.document import Document, Given, Mistakes, check, dotted, read_document, spelled_out, validate
from bench.plan.file_names import at, places, put, state_folders
from bench.plan.media import Flux
from bench.plan.mix import CLASSES, AnyRequest, Chat, Other, api_of
from bench.plan.parameter_ranges import out_of_range
from bench.plan.presets import PRESETS, is_preset, slo_of
from bench.plan.prices import Price, complete_price, image_price, of_table
from bench.plan.syntax import Location
from bench.plan.tokenizer import NONCE_WORDS, lexicon
from bench.plan.values import DURATION_SCHEMA, JsonObject, Name, PositiveSeconds, Value, Whole, plain_number

Style = Literal["novita", "openai", "vllm"]
TargetKind = Literal["url", "simulator", "llama.cpp"]
KeepBodies = Literal["failed", "all", "none"]


QueryValue = Annotated[SecretStr, BeforeValidator(plain_number), AfterValidator(query_value)]

HIDDEN_KEYS = frozenset({"extra", "extra_body", "metadata", "user"})
"""Keys of a request whose values from the environment are hidden in all files."""
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # RFC 9110, 5.6.2
_FRAMING = frozenset({"content-length", "transfer-encoding", "expect", "upgrade", "te", "trailer"})
"""Headers of the transport itself, which a scenario cannot set."""
_OURS = frozenset({"host", "connection", "content-type", "accept", "accept-encoding", "user-agent"})
_PROXIES = ("http", "https", "socks5", "socks5h")


class Target(Value):
    """The server that is tested."""

    url: str | None = Field(None, description="the provider's address, http:// or https://")
    simulator: JsonObject | None = Field(
        None,
        description="start the simulated provider, with these settings; true: with none",
        json_schema_extra={
            "anyOf": [{"type": "object", "additionalProperties": True}, {"const": True}, {"type": "null"}]
        },
    )
    llama_cpp: bool = Field(False, description="start llama.cpp on this machine", alias="llama.cpp")
    key: Key | None = Field(
        None, description="the API key, as ${NAME} from the environment, or the command that prints it"
    )
    key_header: str | None = Field(
        None,
        description="header that holds the key and nothing else, such as api-key; default: Authorization, as Bearer, "
        "but x-api-key for Anthropic's own address",
    )
    query: dict[str, QueryValue] = Field(
        {}, description="query parameters of every request, such as {api-version: 2024-10-21}"
    )
    client_certificate: ClientCertificate | None = Field(
        None, description="a certificate of our own, for servers that ask for one; or its PEM file"
    )
    style: Style | None = Field(None, description="paths of the APIs below the URL; default: guessed from the URL")
    terminator: Literal["optional", "required"] | None = Field(
        None, description="must streams end with the API's terminator; default: found out before the load"
    )
    headers: dict[str, Secret] = Field(
        {}, description="headers of every request; their values are never written to a file"
    )
    http2: bool = Field(False, description="use HTTP/2, through httpx and with less exact times")
    proxy: str | None = Field(None, description="a proxy's URL, through httpx and with less exact times")
    verify: bool | str = Field(True, description="check certificates; or a PEM file with the authorities to trust")

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: object) -> object:
        return spelled_out(value)

    @field_validator("simulator", mode="before")
    @classmethod
    def _without_settings(cls, value: object) -> object:
        return {} if value is True else value

    @field_validator("url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is None:
            return None
        value = value.strip()
        if not re.match("https?://", value, re.IGNORECASE):
            raise ValueError(f"got {safe(value)!r}; http://… or https://… is expected, or simulator, or llama.cpp")
        if (wrong := problem(value) or not_a_base(value)) is not None:
            raise ValueError(wrong)
        return value

    @field_validator("key")
    @classmethod
    def _says_something(cls, value: SecretStr | KeyCommand | None) -> SecretStr | KeyCommand | None:
        if isinstance(value, SecretStr) and not value.get_secret_value():
            raise ValueError("is empty; leave it out if the server needs none")
        return value

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        seen: dict[str, str] = {}
        for name in value:
            if not _HEADER.fullmatch(name):
                raise ValueError(f"{name[:60]!r} is not a header's name; letters, digits and - are expected")
            if name.lower() in _FRAMING:
                raise ValueError(f"{name} belongs to the transport; leave it out")
            if name.lower() in seen:
                raise ValueError(f"{name} is given twice, first as {seen[name.lower()]}; HTTP does not tell them apart")
            seen[name.lower()] = name
        return value

    @field_validator("key_header")
    @classmethod
    def _is_a_header(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not _HEADER.fullmatch(value):
            raise ValueError(f"{value[:60]!r} is not a header's name, such as api-key; its value is the key alone")
        if value.lower() in ("bearer", "basic"):
            raise ValueError(f"{value} is not a header; leave key_header out: Authorization: Bearer is the default")
        if value.lower() in _FRAMING | _OURS:
            raise ValueError(f"{value} says something else; a header for keys is expected, such as api-key")
        return value

    @field_validator("query")
    @classmethod
    def _are_parameters(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name in value:
            if (wrong := parameter_problem(name)) is not None:
                raise ValueError(wrong)
        return value

    @field_serializer("query", when_used="json")
    def _hide_query(self, value: dict[str, SecretStr]) -> dict[str, str]:
        return {name: one.get_secret_value() if is_public(name) else "***" for name, one in value.items()}

    @field_validator("http2")
    @classmethod
    def _can_speak_http2(cls, value: bool) -> bool:
        if value and importlib.util.find_spec("h2") is None:
            raise ValueError("HTTP/2 needs a package that is not installed here; run: pip install 'bench-llm[http2]'")
        return value

    @field_validator("proxy")
    @classmethod
    def _is_a_proxy(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if (wrong := problem(value, _PROXIES)) is not None:
            raise ValueError(wrong)
        if value.lower().startswith("socks") and importlib.util.find_spec("socksio") is None:
            raise ValueError("a SOCKS proxy needs a package that is not installed here; run: pip install socksio")
        return value

    @field_validator("verify")
    @classmethod
    def _are_authorities(cls, value: bool | str) -> bool | str:
        if isinstance(value, str):
            import ssl  # imported late, because gevent patches it for a load

            try:
                ssl.create_default_context(cafile=value)
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"{value[:200]!r} is not a file with certificates ({error}); true, false or a PEM file is expected"
                ) from None
        return value

    @model_validator(mode="after")
    def _is_one_thing(self) -> Target:
        if sum((self.url is not None, self.simulator is not None, self.llama_cpp)) != 1:
            raise ValueError("exactly one of url, simulator and llama.cpp is expected")
        if self.key_header is not None and self.key is None:
            raise ValueError(f"key_header is {self.key_header}, but there is no key; key: ${{NAME}} is expected")
        for name in self.query:
            if self.url is not None and name in names_in(self.url):
                raise ValueError(f"query has {name}, and so has the URL; only one of them is expected")
        if self.client_certificate is not None and not (self.url or "").lower().startswith("https:"):
            raise ValueError("client_certificate is shown where a connection is encrypted; an https:// URL is expected")
        return self

    @property
    def credentials(self) -> dict[str, str]:
        """The header with the current key; empty if there is no key."""
        if (key := present_key(self.key)) is None:
            return {}
        name = self.key_header or self._usual_key_header()
        return {"Authorization": f"Bearer {key}"} if name.lower() == "authorization" else {name: key}

    def _usual_key_header(self) -> str:
        host = host_of(self.url or "")
        return "x-api-key" if host == "api.anthropic.com" else "Authorization"

    @property
    def kind(self) -> TargetKind:
        return "url" if self.url is not None else "llama.cpp" if self.llama_cpp else "simulator"

    def path_style(self) -> Style:
        """The style; guessed from the URL if it is not given."""
        if self.style is not None:
            return self.style
        url = self.url or "http://127.0.0.1"
        host = host_of(url)
        if host == "novita.ai" or host.endswith(".novita.ai"):
            return "novita"
        return "openai" if path_of(url) else "vllm"


class Timeouts(Value):
    """Time limits of a request."""

    connect: PositiveSeconds = Field(5.0, description="time to make a connection")
    first_token: PositiveSeconds = Field(60.0, description="time from sending to the first token of a stream")
    gap: PositiveSeconds = Field(30.0, description="time between two tokens of a stream")
    total: PositiveSeconds = Field(300.0, description="time from sending to the end of the answer")


class Bounds(Value):
    """Size limits of an answer, in bytes; beyond them the request fails."""

    head: int = Field(65_536, gt=0, description="limit for headers, trailers and framing")
    answer: int = Field(67_108_864, gt=0, description="limit for one answer, plus 128 bytes for each read")


class Retries(Value):
    """Retries; off by default, since they hide failures and limits."""

    attempts: Whole = Field(3, ge=1, le=100, description="number of tries, the first included")
    backoff: PositiveSeconds = Field(0.5, description="longest wait before the first retry; doubles with every retry")
    max_backoff: PositiveSeconds = Field(8.0, description="the longest wait")
    obey_retry_after: bool = Field(True, description="wait as long as the server asks, if it does")


class Webhook(Value):
    """The address for webhooks, for requests with result: webhook."""

    host: str = Field("127.0.0.1", description="address of this machine to listen on")
    port: Whole = Field(0, ge=0, le=65535, description="port to listen on; 0: any free one")
    url: str | None = Field(None, description="URL by which the provider reaches it; default: that address")

    @field_validator("url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None and (wrong := problem(value)) is not None:
            raise ValueError(wrong)
        return value

    @field_validator("host")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if (wrong := host_problem(value)) is not None:
            raise ValueError(wrong)
        return value


MOST_BARE_S = 60.0  # the largest number without a unit, which then is seconds


class Slo(Value):
    """The limits of a good answer; a request within all of them counts for goodput. Or the name of a preset, such as
    mlperf/llama2-70b-interactive."""

    ttft: PositiveSeconds | None = Field(None, description="time to first token, of streams")
    ttfa: PositiveSeconds | None = Field(None, description="time to first answer token, of streams")
    tpot: PositiveSeconds | None = Field(None, description="time per output token, of streams")
    e2e: PositiveSeconds | None = Field(None, description="time to the end of the answer")

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: object) -> object:
        """mlperf/llama2-70b stands for its limits."""
        return slo_of(str(value)) if is_preset(value) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonObject:
        return {"anyOf": [handler(core), {"enum": list(PRESETS)}]}

    @field_validator("*", mode="before")
    @classmethod
    def _has_a_unit(cls, value: object) -> object:
        """Refuse a large number without a unit: 500 hardly means eight minutes."""
        bare = isinstance(value, int | float) or (isinstance(value, str) and value.replace(".", "", 1).isdecimal())
        if bare and float(value) > MOST_BARE_S:  # type: ignore[arg-type]  # it is a number
            raise ValueError(f"{value} has no unit, and as seconds it is long: did you mean {value}ms or {value}s?")
        return value

    @model_validator(mode="after")
    def _says_what_good_is(self) -> Slo:
        if not self.limits:
            raise ValueError("is empty; a limit such as ttft: 500ms is expected")
        return self

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are stated, s by metric."""
        return {name: limit for name in type(self).model_fields if (limit := getattr(self, name)) is not None}


OF_SLO = ("goodput", "good_requests_per_s")
"""The metrics that need an SLO."""


def slo_missing(metric: str) -> str:
    """What is wrong where one of these is asked for without an SLO."""
    return f"{metric} needs the limits of a good answer; add them, such as slo: {{ttft: 500ms}}"


LONGEST_FOLDER = 150  # characters of a name; the start time follows it, and file systems take 255


class Scenario(Value):
    """What all kinds of question have in common: the target and the requests. Each kind adds its own keys."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=LONGEST_FOLDER)] = Field(
        description="name of the run's folder: letters, digits, dots, dashes"
    )
    kind: str = Field("load", description="the question asked")
    target: Target
    models: tuple[Name, ...] = Field(min_length=1, description="the models to test; all get the same requests")
    requests: tuple[AnyRequest, ...] = Field(min_length=1, description="the request classes, the mix")
    timeouts: Timeouts = Timeouts()
    bounds: Bounds = Bounds()
    retries: Retries | None = Field(None, description="trying again; default: not at all")
    webhook: Webhook = Webhook()
    prices: dict[str, Price] = Field({}, description="prices by model, in US dollars per million tokens")
    tokenizers: dict[str, str] = Field(
        {},
        description="tokenizer.json by model, relative to the scenario: synthetic texts then have exactly as many "
        "tokens as is asked, without those of a chat's template",
    )
    keep_bodies: KeepBodies = Field(
        "none", description="which texts to keep beside the records: of failed requests, of all, or of none"
    )
    fit: bool = Field(
        True,
        description="before the load, send two short requests per model and API to learn how it counts the tokens of "
        "synthetic prompts; false: estimate their length",
    )
    seed: Whole | None = Field(
        None, ge=0, lt=2**32, description="the same seed gives the same requests; default: random, and recorded"
    )

    takes_arms: ClassVar[bool] = False
    """Whether a file of this kind may have arms."""

    new_prompts: ClassVar[bool] = False
    """Whether the prompts of a run begin alike, and as in no other run: a cache may still know those."""

    _arms: dict[str, Scenario] = PrivateAttr(default_factory=dict)
    """The arms of the file, each as a scenario."""

    _originals: dict[Location, tuple[str, tuple[str, ...]]] = PrivateAttr(default_factory=dict)
    """For values that may be secret: the place of each, its text in the file, and the variables put into it."""

    @property
    def processes(self) -> int:
        """Number of processes that send its requests."""
        return 1

    @property
    def arms(self) -> Mapping[str, Scenario]:
        """The arms by name: each is a scenario with another target, key or model."""
        return self._arms

    @property
    def allowance(self) -> Budget | None:
        """The largest cost of its run; None if the scenario itself states how much it sends."""
        return None

    def mistakes(self) -> Iterator[tuple[Location, str]]:
        """Mistakes in the combination of several values: the place and the message of each."""
        yield from ()


Asked = TypeVar("Asked", bound=Scenario)

OwnApi = Callable[[str, JsonObject], Iterable[tuple[str, str]]]
"""Tells what is wrong with a user's own API, FILE.py:OBJECT, and with a request class of it: each with its key."""


def load_scenario(
    path: Path,
    kinds: Mapping[str, type[Asked]],
    *,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
    target: str | None = None,
    simulator: type[BaseModel] | None = None,
    own_api: OwnApi | None = None,
    own_kind: Callable[[str], type[Asked]] | None = None,
    given: Given | None = None,
) -> Asked:
    """The scenario of a YAML file, with `key=value` overrides on top. Raises Mistakes: all of them at once.

    `kinds` are the known kinds of question, each with its type of scenario.
    `target` replaces the file's target and keeps its other settings. `simulator` is the model that checks an
    embedded simulator's settings. `own_api` says what is wrong with a user's own API. `own_kind` finds a user's own
    kind, or raises ValueError. `given` is a text that is read in place of the file.
    """
    document = read_document(path, overrides, environ, target, given)
    look = partial(_look_at_values, folder=path.parent, simulator=simulator, own_api=own_api)
    kind, arms = kinds["load"], {}
    if isinstance(document.value, dict):
        document.value.setdefault("name", _name_of(path))
        kind = _kind_of(document, kinds, path.parent, own_kind)
        if kind.takes_arms:
            arms = _arms_of(document, target, look)
    look(document)
    scenario = validate(document, kind)
    scenario._arms.update({name: arm for name, arm in arms.items() if arm is not None})
    _check_together(document, scenario)
    if document.mistakes:
        raise Mistakes(document.mistakes)
    scenario = scenario.model_copy(update={"prices": _all_prices(scenario)})
    scenario._originals.update(_from_environment(document))
    return scenario


def _name_of(path: Path) -> str:
    """The name of a scenario that has none: its file's, without the characters that no folder should have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("-._")[:LONGEST_FOLDER] or "scenario"


def _arms_of(document: Document, target: str | None, look: Callable[[Document], None]) -> dict[str, Scenario | None]:
    """The arms of a scenario by name; None for each that is invalid, with its mistakes noted. The scenario itself gets
    the first arm's values where it has none."""
    documents = arm_documents(document)
    if documents:
        if target is not None and document.value.get("arms"):
            document.blame((), "--target: the arms say who is asked; use --set arms.NAME.target=URL")
        adopt(document, next(iter(documents.values())))
    arms = {name: _as_scenario(arm, look) for name, arm in documents.items()}
    document.mistakes += [one for arm in documents.values() for one in arm.mistakes]
    return arms


def load_target(given: Given) -> Target:
    """The target of a command line, as the text of a file that has nothing else. Raises Mistakes."""
    document = read_document(Path("the command line"), (), os.environ, given=given)
    if isinstance(document.value, dict):
        _check_secrets(document)
        _find_files(document, Path(), None)
    target = check(document, ("target",), Target)
    if document.mistakes or target is None:
        raise Mistakes(document.mistakes)
    return target


def _all_prices(scenario: Scenario) -> dict[str, Price]:
    """The scenario's prices, completed from the shipped table."""
    host = host_of(scenario.target.url) if scenario.target.url else ""
    found = {model: complete_price(model, price, host) for model, price in scenario.prices.items()}
    sizes = [one.width * one.height * one.steps for one in scenario.requests if isinstance(one, Flux)]
    for model in scenario.models if len(sizes) == len(scenario.requests) else ():
        if model not in found and (price := image_price(model, host, sizes)) is not None:
            found[model] = price
    listed = {model: price for model in scenario.models if (price := of_table(model, host)) is not None}
    return listed | found


def _look_at_values(
    document: Document,
    *,
    folder: Path,
    simulator: type[BaseModel] | None,
    own_api: OwnApi | None,
) -> None:
    """Check the values as they were written, and turn file names into whole paths."""
    if isinstance(document.value, dict):
        _check_secrets(document)
        _find_files(document, folder, own_api)
        _check_limits(document)
        if simulator is not None and isinstance(at(document.value, "target", "simulator"), dict):
            check(document, ("target", "simulator"), simulator)


def _as_scenario(document: Document, look: Callable[[Document], None]) -> Scenario | None:
    """An arm's document as a scenario; None, with its mistakes noted, if it is invalid."""
    look(document)
    scenario = check(document, (), Scenario)
    if scenario is not None:
        _check_together(document, scenario)
        scenario = scenario.model_copy(update={"prices": _all_prices(scenario)})
        scenario._originals.update(_from_environment(document))
    return scenario


def is_own_kind(kind: object) -> bool:
    """Whether it is the name of a user's own kind, FILE.py:OBJECT."""
    return isinstance(kind, str) and re.fullmatch(r".+\.py:\w+", kind, re.DOTALL) is not None


def _kind_of(
    document: Document,
    kinds: Mapping[str, type[Asked]],
    folder: Path,
    own_kind: Callable[[str], type[Asked]] | None,
) -> type[Asked]:
    """The type of the scenario. An unknown kind is a mistake; the rest is then checked as the kind that was probably
    meant or, if there is none, as far as all kinds have it in common."""
    kind = at(document.value, "kind")
    if kind is None or (isinstance(kind, str) and kind in kinds):
        return kinds[kind or "load"]
    if own_kind is not None and is_own_kind(kind):
        file, _, name = kind.rpartition(":")
        if _is_file(folder / file):
            document.value["kind"] = f"{(folder / file).resolve()}:{name}"
            try:
                return own_kind(document.value["kind"])
            except ValueError as error:
                document.blame(("kind",), f"kind: {error}")
        else:
            document.blame(("kind",), f"kind: there is no file {_cut(folder / file)}")
    else:
        close = difflib.get_close_matches(str(kind), kinds, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        document.blame(("kind",), f"kind is {kind!r}; {' or '.join(kinds)} is expected{hint}")
        if close:
            document.value["kind"] = close[0]
            return kinds[close[0]]
    document.value = {key: value for key, value in document.value.items() if key in Scenario.model_fields}
    document.value["kind"] = "load"
    return cast(type[Asked], Scenario)  # it is never returned: there is a mistake


def _from_environment(document: Document) -> Iterator[tuple[Location, tuple[str, tuple[str, ...]]]]:
    """Values from the environment where providers' credentials can stand: targets, bodies, envelopes, webhooks."""
    for location, original in document.originals.items():
        values = tuple(value for _, value in document.settings[location])
        if location[0] == "webhook" or (location[0] == "requests" and HIDDEN_KEYS & set(location)):
            yield location, (original, (str(document.at(location)), *values))
        elif location[:2] == ("target", "simulator"):
            yield location, (original, values)
        elif location[:2] == ("target", "query") and not is_public(str(location[-1])):
            yield location, (original, (str(document.at(location)), *values))
        elif location[:3] == ("target", "key", "command") or location[:2] == ("other_key", "command"):
            yield location[: location.index("command") + 1], ("***", values)
        elif location == ("target", "url"):
            rest = original.partition("://")[2].partition("/")[2]  # a host's name is not secret; what follows may be
            hidden = tuple(value for name, value in document.settings[location] if f"${{{name}" in rest)
            if hidden:
                yield location, (original, hidden)


def _check_secrets(document: Document) -> None:
    """Refuse a key in the file: it must come from the environment, since files end up in repositories."""
    places: tuple[Location, ...] = (("target", "key"), ("target", "client_certificate", "password"), ("other_key",))
    for place in places:
        given = at(document.value, *map(str, place))
        unset = isinstance(given, str) and re.fullmatch(r"\$\{\w+\}", given)  # it has its own message
        if given and not isinstance(given, dict) and not unset and place not in document.originals:
            told = f"{dotted(place)} is in the file; keep it in the environment and write ${{NAME}} here"
            document.blame(place, told)


def _check_together(document: Document, scenario: Scenario) -> None:
    """Note mistakes in the combination of several values."""
    models = scenario.models
    if is_own_kind(scenario.kind) and scenario.processes > 1:
        message = "a kind of your own sends from one process; leave processes out"
        document.blame(("load", "processes"), f"load.processes is {scenario.processes}; {message}")
    if scenario.webhook.port and scenario.processes > 1:
        document.blame(
            ("webhook", "port"), "webhook.port is one port, but with load.processes each process needs its own; write 0"
        )
    places: list[tuple[str, Location]] = [(model, ("models", index)) for index, model in enumerate(models)]
    _check_names(document, places)
    _check_names(
        document,
        [(name, ("requests", index)) for index, request in enumerate(scenario.requests) for name in request.classes],
    )
    for index, request in enumerate(scenario.requests):
        if scenario.target.llama_cpp and (request.api == "embeddings") != (scenario.requests[0].api == "embeddings"):
            message = "llama.cpp serves embeddings or texts, not both at once; make two scenarios"
            document.blame(("requests", index), f"requests.{index}.api is {request.api}; {message}")
        front = 0 if request.prompt is None else request.prompt.front(NONCE_WORDS)
        if scenario.tokenizers and request.prompt is not None and (request.prompt.tokens or front + 1) <= front:
            message = f"its beginning and its nonce alone have {front}; ask for more"
            document.blame(
                ("requests", index, "prompt", "tokens"),
                f"requests.{index}.prompt.tokens is {request.prompt.tokens}; {message}",
            )
    for where, message in scenario.mistakes():
        document.blame(where, message)
    asked = list(dict.fromkeys((*models, *(model for arm in scenario.arms.values() for model in arm.models))))
    for key, named in (("prices", scenario.prices), ("tokenizers", scenario.tokenizers)):
        for model in named:
            if model not in asked:
                told = f"{key}.{model} is not a model of this scenario; its models are {', '.join(asked)}"
                document.blame((key, model), told)


def _check_names(document: Document, places: Sequence[tuple[str, Location]]) -> None:
    seen: set[str] = set()
    for name, where in places:
        if name in seen:
            document.blame(where, f"{dotted(where)} has the name {name!r}, which is taken; names must differ")
        seen.add(name)


def _check_limits(document: Document) -> None:
    """Note what the provider is known to refuse in each request class, whatever else is wrong with it."""
    requests = document.value.get("requests")
    for index, given in enumerate(requests if isinstance(requests, list) else ()):
        request = _valid_part(given)
        for parameter, wrong in () if request is None or request.unchecked else out_of_range(request):
            steps = (int(step) if step.isdigit() else step for step in parameter.split("."))
            where: Location = ("requests", index, *steps)
            document.blame(where, f"{dotted(where)} {wrong}; with unchecked: true it is sent anyway")


@cache
def _request_adapter() -> TypeAdapter[Request]:
    return TypeAdapter(AnyRequest)


def _valid_part(given: Any) -> Request | None:
    """A request class without its invalid fields, whose mistakes are already noted; None if every field is invalid."""
    try:
        return _request_adapter().validate_python(given)
    except ValidationError as error:
        wrong = {step for details in error.errors() for step in details["loc"][:2]}
    if not isinstance(given, dict) or not wrong & given.keys():
        return None
    return _valid_part({key: value for key, value in given.items() if key not in wrong})


def _find_files(document: Document, folder: Path, own_api: OwnApi | None) -> None:
    """Resolve file names relative to the scenario. What they name is read at once, to find its mistakes."""
    state_folders(document.value)
    for location in list(places(document.value)):
        if location[-1] == "api":
            _find_api(document, folder, location, own_api)
        elif location[0] not in ("kind", "arms"):  # the kind is found before, and an arm as a document of its own
            path = folder / document.at(location)
            put(document.value, location, str(path))
            _look_into(document, location, path)


def _look_into(document: Document, location: Location, path: Path) -> None:
    """Note what is wrong with a tokenizer, or with a file of a request class."""
    where = dotted(location)
    if location[0] == "tokenizers":
        try:
            lexicon(path)
        except ValueError as error:
            document.blame(location, f"{where}: {error}")
    elif location[0] == "requests" and not _is_file(path):
        document.blame(location, f"{where}: there is no file {_cut(path)}")
    elif location[0] == "requests" and location[2:] == ("prompt", "file"):
        _check_data(document, path, document.at(location[:-1]))


def _find_api(document: Document, folder: Path, location: Location, own_api: OwnApi | None) -> None:
    """Resolve the file of a user's own API, and note what is wrong with it."""
    request = document.at(location[:-1])
    if api_of(request) != "other":  # no name of an object
        return
    api = request["api"]
    path, name = api.rsplit(":", 1)
    if not _is_file(folder / path):
        document.blame(location, f"{dotted(location)}: there is no file {_cut(folder / path)}")
        return
    request["name"] = request.get("name") or api  # not the whole path, which is the machine's
    request["api"] = f"{(folder / path).resolve()}:{name}"
    for key, wrong in () if own_api is None else own_api(request["api"], request):
        where = (*location[:-1], key)
        document.blame(where, f"{dotted(where)}: {wrong}")


def _is_file(path: Path) -> bool:
    """Whether the file exists; False too for a name that is too long for the file system."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _cut(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 200 else f"{text[:150]}…{text[-40:]}"


def _check_data(document: Document, path: Path, prompt: JsonObject) -> None:
    """Read a data file now, so that its mistakes are reported together with the scenario's."""
    form, column = prompt.get("format"), prompt.get("column", "prompt")
    if form in (None, "openai", "csv", "sharegpt", "parquet") and isinstance(column, str):
        try:
            read_dataset(path, form, column)
        except Mistakes as mistakes:
            document.mistakes += mistakes.mistakes


SHORT_FORMS: dict[str, list[JsonObject]] = {
    "Target": [{"type": "string", "description": "simulator, llama.cpp, or a URL"}],
    "ClientCertificate": [{"type": "string", "description": "a PEM file with the certificate and its key"}],
    "Limits": [{"type": "string", "description": "a tier, such as novita/T1"}],
    "Prompt": [{"type": "string", "description": "the text itself"}],
    "ResponseFormat": [{"type": "string", "description": "its type"}],
    "TextFormat": [{"type": "string", "description": "its type"}],
    "Think": [DURATION_SCHEMA, {"type": "array", "items": DURATION_SCHEMA, "minItems": 2, "maxItems": 2}],
}
"""The short forms in the JSON Schema, for values that can be written as one word."""


def schema(kind: type[Scenario]) -> JsonObject:
    """The JSON Schema of one kind of scenario, short forms included."""
    made = kind.model_json_schema(by_alias=True)
    left_open = ("name", "target", "models", "requests") if kind.takes_arms else ("name",)
    made["required"] = [key for key in made["required"] if key not in left_open]
    definitions = made["$defs"]
    known: tuple[type[Request], ...] = (*CLASSES.values(), Other)
    for one in known:  # each has its own api; only a chat may leave it out
        if one is not Chat:
            definition = definitions[one.__name__]
            definition["required"] = sorted({*definition.get("required", ()), "api"})
    for name, forms in SHORT_FORMS.items():
        if name not in definitions:  # of another kind
            continue
        definitions[f"{name}Settings"] = definitions[name]
        definitions[name] = {"anyOf": [*forms, {"$ref": f"#/$defs/{name}Settings"}]}
    return made
