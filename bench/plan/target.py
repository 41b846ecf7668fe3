"""The target of a scenario: the server that is tested, how to reach it, and the credentials for it."""

from __future__ import annotations

import importlib.util
import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    field_serializer,
    field_validator,
    model_validator,
)

from bench.plan.addresses import host_of, is_public, names_in, not_a_base, path_of, problem, safe
from bench.plan.credentials import (
    ClientCertificate,
    Key,
    KeyCommand,
    Secret,
    parameter_problem,
    present_key,
    query_value,
)
from bench.plan.document import spelled_out
from bench.plan.values import JsonObject, Value, plain_number

Style = Literal["novita", "openai", "vllm"]
TargetKind = Literal["url", "simulator", "llama.cpp"]
QueryValue = Annotated[SecretStr, BeforeValidator(plain_number), AfterValidator(query_value)]

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

    _in_url: list[str] = PrivateAttr(default_factory=list)
    """Values from the environment in the URL, which may be secret."""

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
