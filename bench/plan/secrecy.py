"""The secrets of a scenario, and its text, address and command line without them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl

from bench.plan.addresses import host_of, is_public, secrets_in, shown
from bench.plan.credentials import all_keys, present_key
from bench.plan.redaction import SHORTEST
from bench.plan.scenario import HIDDEN_KEYS, Scenario
from bench.plan.syntax import Location
from bench.plan.target import Target
from bench.plan.values import JsonObject

_SECRET_NAME = re.compile(
    r"(^|[_-])(key|api_?key|token|secret|passw(or)?d|authorization|credentials?|signature|sig)$", re.IGNORECASE
)
_SECRET_OPTIONS = frozenset({"key", "other_key", "headers", "query", "password", "webhook", "proxy"}) | HIDDEN_KEYS
_SECRET_AFTER = frozenset({"--query", "--key-command"})
"""Options of the command line whose values may be secret."""
_AZURE = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")


def secrets(scenario: Scenario) -> tuple[str, ...]:
    """The secrets, which must never be written; longest first, so that no part of a longer one remains."""
    found = [*target_secrets(scenario.target), *secrets_in(scenario.webhook.url or "")]
    found += [value for arm in scenario.arms.values() for value in secrets(arm)]
    found += [value for _, values in scenario._originals.values() for value in values]
    found += [value for _, value in _named(scenario)]
    for _, url in _addresses([request.model_dump(mode="json") for request in scenario.requests], ("requests",)):
        signs = parse_qsl(url.partition("?")[2])
        found += [value for name, value in signs if _SECRET_NAME.search(name)]
    return _searchable(found)


def target_secrets(target: Target) -> tuple[str, ...]:
    """The secrets of a target alone: key, headers, credentials and variables in its URL, credentials in the proxy's."""
    return _searchable(_of_target(target))


def short_secrets(target: Target) -> bool:
    """Whether a key or password is too short to be removed from what servers say: the key `none` of a local server
    would turn ordinary words into ***. The key itself is never written."""
    given = [] if (key := present_key(target.key)) is None else [key]
    given += [next(secrets_in(url), "") for url in (target.url or "", target.proxy or "") if "@" in url]
    return any(0 < len(value) < SHORTEST for value in given)


def _of_target(target: Target) -> Iterator[str]:
    yield from all_keys(target.key)
    if target.client_certificate is not None:
        yield target.client_certificate.secret
    for name, parameter in target.query.items():
        if not is_public(name):
            yield parameter.get_secret_value()
    for value in (header.get_secret_value() for header in target.headers.values()):
        yield value
        yield value.rpartition(" ")[2]  # without Bearer or Basic
    yield from target._in_url
    yield from secrets_in(target.url or "")
    yield from secrets_in(target.proxy or "")


def _searchable(found: Sequence[str] | Iterator[str]) -> tuple[str, ...]:
    return tuple(sorted({value for value in found if len(value) >= SHORTEST}, key=lambda one: (-len(one), one)))


def _named(scenario: Scenario) -> Iterator[tuple[Location, str]]:
    """Texts whose key says that they are secret, where providers' credentials can be: {storage: {token: …}}."""

    def walk(value: Any, location: Location, inside: bool) -> Iterator[tuple[Location, str]]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from walk(item, (*location, key), inside or key in HIDDEN_KEYS)
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                yield from walk(item, (*location, index), inside)
        elif inside and isinstance(value, str) and value and _SECRET_NAME.search(str(location[-1])):
            yield location, value

    for index, request in enumerate(scenario.requests):
        dumped = request.model_dump(mode="json", include=set(HIDDEN_KEYS), exclude_none=True)
        yield from walk(dumped, ("requests", index), False)


def _addresses(value: Any, location: Location) -> Iterator[tuple[Location, str]]:
    """All URLs among values, such as those of images. The part after ? may be a signature that gives access."""
    if isinstance(value, dict | list):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _addresses(item, (*location, step))
    elif isinstance(value, str) and value.startswith(("http://", "https://")):
        yield location, value


def redacted(scenario: Scenario) -> dict[str, object]:
    """The scenario as JSON values, with *** for its secrets, and ${NAME} for those from the environment."""
    value: JsonObject = scenario.model_dump(mode="json", by_alias=True, exclude_none=True)
    for holder, name in ((value["target"], "url"), (value["target"], "proxy"), (value["webhook"], "url")):
        if name in holder:
            holder[name] = shown(holder[name])
    for location, url in list(_addresses(value["requests"], ("requests",))):
        _write(value, location, shown(url))
    for location, _ in _named(scenario):
        _write(value, location, "***")
    for location, (original, hidden) in scenario._originals.items():
        if hidden:
            _write(value, location, original)
    if scenario.takes_arms and scenario.arms:  # other questions make their arms from their own keys
        value["arms"] = {name: redacted(arm) for name, arm in scenario.arms.items()}
    return value


def _write(value: Any, location: Location, text: str) -> None:
    for step in location[:-1]:
        value = value[step]
    value[location[-1]] = text


def shown_url(scenario: Scenario, url: str) -> str:
    """The address of the target, without its secrets."""
    for value in secrets(scenario):
        url = url.replace(value, "***")
    return shown(url)


def shown_command(arguments: Sequence[str], hidden: Sequence[str] = ()) -> list[str]:
    """A command line without its secrets: credentials in URLs, values of options that may be secret, and `secrets`."""
    before = ["", *arguments]
    return [
        _shown_value(option, argument) if option in _SECRET_AFTER else _shown_argument(argument, hidden)
        for option, argument in zip(before, arguments, strict=False)
    ]


def _shown_value(option: str, value: str) -> str:
    """The value of an option, without its secret part."""
    name, equals, _ = value.partition("=")
    if option == "--query" and equals:
        return value if is_public(name) else f"{name}=***"
    return "***"


def _shown_argument(argument: str, hidden: Sequence[str]) -> str:
    for value in hidden:
        argument = argument.replace(value, "***")
    name, _, rest = argument.partition("=")
    if rest and name in _SECRET_AFTER:
        return f"{name}={_shown_value(name, rest)}"
    option, key, value = _setting(argument)
    if key and (_SECRET_OPTIONS & set(key.split(".")) or (value[:1] in "{[" and _names_secrets(value))):
        return f"{option}{key}=***"
    return shown(argument)


def _setting(argument: str) -> tuple[str, str, str]:
    """Option, key and value of `KEY=VALUE` or `--set=KEY=VALUE`; empty texts if it is neither."""
    option = "--set=" if argument.startswith("--set=") else ""
    key, equals, value = argument.removeprefix(option).partition("=")
    return (option, key, value) if equals and not key.startswith("-") else ("", "", "")


def _names_secrets(value: str) -> bool:
    return any(word in value for word in _SECRET_OPTIONS)


def _takes_api_key(target: Target) -> str | None:
    """The host, if it belongs to Azure and the key is probably in the wrong header: it is no token of Entra."""
    host = host_of(target.url) if target.url else ""
    key = target.credentials.get("Authorization", "")
    is_key = key and not key.startswith("Bearer eyJ")  # as JSON Web Tokens begin
    return host if is_key and host.endswith(_AZURE) else None


def warnings(scenario: Scenario) -> list[str]:
    """Settings that are allowed but probably a mistake."""
    found = [f"{name}: {told}" for name, arm in scenario.arms.items() for told in warnings(arm)]
    if found:
        return list(dict.fromkeys(found))
    if short_secrets(scenario.target):
        found.append(
            f"target: a secret of fewer than {SHORTEST} characters is not removed from what the server says; "
            "a real one should be longer"
        )
    if (present_key(scenario.target.key) or "").lower().startswith("bearer "):
        found.append("target: the key begins with Bearer, which is put before it; leave it out of the variable")
    if (host := _takes_api_key(scenario.target)) is not None:
        found.append(
            f"target: the key goes to {host} as Authorization: Bearer, which is for tokens of Entra; "
            "for a key of Azure add key_header: api-key"
        )
    for request in scenario.requests:
        chosen = [name for name in ("temperature", "top_p", "top_k") if getattr(request, name, None) is not None]
        if len(chosen) > 1:
            found.append(f"{request.name}: {' and '.join(chosen)} are set; providers advise to set only one of them")
        if request.answer_tokens is None:
            found.append(
                f"{request.name}: without max_tokens answers are as long as the model likes, and differ by model"
            )
    return found
