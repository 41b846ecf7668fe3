"""Strict YAML files: a file and a pydantic model in; a value out, or all mistakes at once, each with its line.

Values from the environment may be secret, so messages show them as they are in the file: ${NAME}.
"""

from __future__ import annotations

import difflib
import itertools
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from bench.plan.addresses import host_of, is_local, shown
from bench.plan.syntax import DEEPEST, MOST_BYTES, Location, Syntax, read_yaml

Model = TypeVar("Model", bound=BaseModel)

_VARIABLE = re.compile(r"\$?\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_INDEX = re.compile(r"[0-9]{1,6}")
_SHORTEST_HIDDEN = 4  # characters; shorter values are also parts of ordinary words
_SHORTEST_CUT = 12  # characters of a longer value that a message cuts; https:// alone is no secret
_CUTS = ("...", "…", "'", '"')  # what follows a value that is cut


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake in a file, or on the command line."""

    source: str  # the file, or "--set"
    line: int | None  # from 1; None if the whole file, or an option, is meant
    message: str  # the place in the document, what it has, what is expected

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.message}" if self.line else f"{self.source}: {self.message}"


class Mistakes(ValueError):  # noqa: N818 - users see this name
    """All mistakes of a document."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = sorted(dict.fromkeys(mistakes), key=lambda mistake: (mistake.source, mistake.line or 0))
        super().__init__("\n".join(map(str, self.mistakes)))


@dataclass(frozen=True, slots=True)
class Given:
    """A text that is read in place of a file, and the options of the command line that its values come from."""

    text: str
    options: Mapping[Location, str]


@dataclass(slots=True)
class Document:
    """A file's values with their lines, and what came from the environment."""

    source: str
    value: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    sources: dict[Location, str] = field(default_factory=dict)  # for values from --set
    mistakes: list[Mistake] = field(default_factory=list)
    originals: dict[Location, str] = field(default_factory=dict)  # the text in the file, for values with ${NAME}
    settings: dict[Location, list[tuple[str, str]]] = field(default_factory=dict)  # name and value of its variables
    written: Any = None  # the value before ${NAME} was replaced
    spoiled: set[Location] = field(default_factory=set)  # places without a value because of a mistake

    def blame(self, location: Location, message: str) -> None:
        """Note a mistake with the line of the innermost place that exists, or the option that made it."""
        message = self._without_secrets(message)
        if location and location not in self.lines and (option := self._option_inside(location)) is not None:
            self.mistakes.append(Mistake(option, None, message))
            return
        for end in range(len(location), -1, -1):
            if (option := self.sources.get(location[:end])) is not None:
                self.mistakes.append(Mistake(option, None, message))
                return
            if (line := self.lines.get(location[:end])) is not None:
                self.mistakes.append(Mistake(self.source, line, message))
                return
        self.mistakes.append(Mistake(self.source, None, message))

    def _option_inside(self, location: Location) -> str | None:
        """The option that set something at this place, if there is one alone: --set load.users makes a load, too."""
        inside = {option for place, option in self.sources.items() if place[: len(location)] == location}
        return self.sources.get(location) or (inside.pop() if len(inside) == 1 else None)

    def at(self, location: Location) -> Any:
        """The value at a location; None if there is none."""
        return _at(self.value, location)

    def _without_secrets(self, message: str) -> str:
        """The message with ${NAME} in place of values from the environment, and *** in place of a URL's credentials."""
        names = {value: name for pairs in self.settings.values() for name, value in pairs}
        for value in sorted(names, key=len, reverse=True):
            if len(value) >= _SHORTEST_HIDDEN:
                for form in (value, repr(value)[1:-1]):
                    for part in _parts_in(message, form):
                        message = message.replace(part, f"${{{names[value]}}}")
        return shown(message)


def read_document(
    path: Path,
    overrides: Sequence[str],
    environ: Mapping[str, str],
    target: str | None = None,
    given: Given | None = None,
) -> Document:
    """The values of the file, or of the text that is `given` in its place. `overrides` and `target` are those of the
    command line; variables are replaced by their values from the environment.

    Mistakes are collected and not raised.
    """
    document = Document(str(path))
    text = _text(path, document) if given is None else given.text
    if text is None:
        return document
    syntax = read_yaml(text)
    document.value, document.spoiled = syntax.value, syntax.spoiled
    if given is None:
        document.lines = syntax.lines
        document.mistakes += [Mistake(document.source, line, message) for line, message in syntax.problems]
    else:
        document.sources.update(given.options)
        _blame_options(document, syntax)
    if document.value is None and not document.mistakes:
        document.value = {}
    if document.value is None:
        return document
    home = _url(document.value)
    for override in overrides:
        _override(document, override)
    if target is not None:
        _replace_target(document, target, environ)
    document.written = document.value
    document.value = _fill_in(document.value, (), document, environ)
    home = _fill_in(home, ("target", "url"), Document(""), environ)
    if isinstance(document.value, dict) and ((url := _url(document.value)) != home):
        _keep_credentials_home(document, home, url)
    return document


def _blame_options(document: Document, syntax: Syntax) -> None:
    """Note the mistakes of a text that was made from options: nobody has seen its lines."""
    spoiled = [place for place in syntax.lines if place in syntax.spoiled]
    places = spoiled if len(spoiled) == len(syntax.problems) else [()] * len(syntax.problems)
    for place, (_, message) in zip(places, syntax.problems, strict=True):
        document.blame(place, message)


def validate(document: Document, model: type[Model]) -> Model:
    """The document as a value of the model. Raises Mistakes, together with those found before."""
    if document.mistakes and document.value is None:
        raise Mistakes(document.mistakes)
    if not isinstance(document.value, dict):
        document.blame((), f"the file has {_show(document.value)}; keys and values are expected, such as name: chat")
        raise Mistakes(document.mistakes)
    value = check(document, (), model)
    if document.mistakes or value is None:
        raise Mistakes(document.mistakes)
    return value


def check(document: Document, location: Location, model: type[Model]) -> Model | None:
    """The part at a location as a value of the model; None, with its mistakes noted, if it is invalid."""
    part = document.at(location)
    try:
        return model.model_validate(part)
    except ValidationError as error:
        errors = error.errors()
        for details in errors:
            if not _follows(details, errors):
                _blame_details(document, details, model, location, part)
    return None


def _follows(details: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    """Whether the mistake only follows from another one: a list may be too short because its bad items are left out."""
    inside = (
        other for other in errors if other is not details and other["loc"][: len(details["loc"])] == details["loc"]
    )
    return details["type"] == "too_short" and any(inside)


def _parts_in(message: str, value: str) -> Iterator[str]:
    """The value itself, and what a message that cuts long values has of its beginning and of its end."""
    yield value
    for size in range(len(value) - 1, _SHORTEST_CUT - 1, -1):
        if any(value[:size] + mark in message for mark in _CUTS):
            yield value[:size]
        if f"…{value[-size:]}" in message:
            yield value[-size:]


def _text(path: Path, document: Document) -> str | None:
    try:
        data = path.read_bytes()
        if len(data) > MOST_BYTES:
            problem = f"has {len(data):,} bytes; at most {MOST_BYTES:,} are expected; put prompts into a data file"
        else:
            return data.decode("utf-8-sig")
    except FileNotFoundError:
        problem = "there is no such file"
    except IsADirectoryError:
        problem = "is a folder; a YAML file is expected"
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text: {error.reason} at byte {error.start}"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    document.mistakes.append(Mistake(document.source, None, problem))
    return None


def _override(document: Document, override: str) -> None:
    """Set one value by `a.b.0=value` from the command line."""
    key, equals, text = override.partition("=")
    option = f"--set {key}"
    if not equals or not key:
        got = "no = in it" if not equals else "no key before ="
        document.mistakes.append(
            Mistake("--set", None, f"got {got}; KEY=VALUE is expected, such as --set load.users=50")
        )
        return
    location: Location = tuple(int(part) if _INDEX.fullmatch(part) else part for part in key.split("."))
    if len(location) > DEEPEST:
        document.mistakes.append(Mistake("--set", None, f"a key has more than {DEEPEST} parts"))
        return
    value = _option_value(document, option, location, text)
    at = document.value
    for here, following in itertools.pairwise(location):
        if isinstance(at, dict) and isinstance(here, str):
            inside = spelled_out(at.get(here)) if here == "target" else at.get(here)
            if not isinstance(inside, dict | list):
                inside = [] if isinstance(following, int) else {}
            at[here] = inside
            at = inside
        elif isinstance(at, list) and isinstance(here, int) and here < len(at):
            at = at[here]
        else:
            document.mistakes.append(Mistake(option, None, f"there is no {here} to set {key} in"))
            return
    last = location[-1]
    if isinstance(at, dict) and isinstance(last, str):
        at[last] = value
    elif isinstance(at, list) and isinstance(last, int) and last <= len(at):
        at[last : last + 1] = [value]
    else:
        document.mistakes.append(Mistake(option, None, f"there is no {last} to set {key} in"))
        return
    document.sources[location] = option


def _option_value(document: Document, option: str, location: Location, text: str) -> Any:
    """The value of an option's text: parsed as YAML, or the text itself if it is not YAML or its field is a text."""
    if _is_text(location) and not (location[1] == "key" and text[:1] in ("{", "[")):
        return text
    syntax = read_yaml(text)
    if any(message.startswith("not YAML") for _, message in syntax.problems):
        return text
    document.mistakes += [Mistake(option, None, message) for _, message in syntax.problems]
    document.spoiled |= {(*location, *inside) for inside in syntax.spoiled}
    return syntax.value


def _is_text(location: Location) -> bool:
    """Whether an option for this place is a plain text: keys, headers and query parameters are not read as YAML."""
    return location[:2] == ("target", "key") or (
        location[:2] in (("target", "headers"), ("target", "query")) and len(location) == 3
    )


PLACES = ("url", "simulator", "llama.cpp")
"""The keys of a target that name the server."""


def spelled_out(target: Any) -> Any:
    """The long form of a target that is written as one word or as a URL; any other value as it is."""
    if not isinstance(target, str):
        return target
    return {"simulator": {"simulator": {}}, "llama.cpp": {"llama.cpp": True}}.get(target, {"url": target})


def _replace_target(document: Document, target: str, environ: Mapping[str, str]) -> None:
    """Replace the file's server by that of the command line, and keep the target's other settings.

    An embedded server needs no credentials, so credentials that are not in the environment are left out.
    """
    if not isinstance(document.value, dict):
        return
    given = spelled_out(document.value.get("target"))
    rest = {key: value for key, value in given.items() if key not in PLACES} if isinstance(given, dict) else {}
    settings = given.get("simulator") if isinstance(given, dict) else None
    place = {"simulator": settings if isinstance(settings, dict) else {}, "llama.cpp": True}
    key = target if target in place else "url"
    if key != "url":
        rest.pop("client_certificate", None)  # nothing is encrypted there
        if isinstance(rest.get("key"), dict) or _lacks(rest.get("key"), environ):
            del rest["key"]
            rest.pop("key_header", None)
        for several in ("headers", "query"):
            if isinstance(given_there := rest.get(several), dict):
                rest[several] = {name: text for name, text in given_there.items() if not _lacks(text, environ)}
    document.value["target"] = {key: place.get(target, target)} | rest
    document.sources[("target", key)] = "--target"
    document.spoiled -= {("target",), *(("target", name) for name in PLACES)}


def _url(value: Any) -> str:
    """The URL in a scenario; empty if it has none."""
    given = _at(value, ("target",))
    url = given.get("url") if isinstance(given, dict) else given
    return url if isinstance(url, str) and url not in PLACES else ""


def _keep_credentials_home(document: Document, home: str, url: str) -> None:
    """Refuse to send the file's credentials to another host than the file's, unless the command line asks for it."""
    try:
        there, here = host_of(url), host_of(home)
        unprotected = home.lower().startswith("https:") and not url.lower().startswith("https:")
    except ValueError:  # a broken address, which gets a message elsewhere
        return
    if not there or is_local(there) or (there == here and not unprotected):
        return
    what = "is not encrypted" if there == here else f"is not {here or 'the target of the file'}"
    command = _at(document.written, ("target", "key", "command"))
    if isinstance(command, list):
        command = shlex.join(map(str, command))
    kept = document.originals | ({("target", "key", "command"): command} if isinstance(command, str) else {})
    for location, original in kept.items():
        if location[:2] not in _SECRET_PLACES or any(location[:end] in document.sources for end in (1, 2, 3)):
            continue
        name = dotted(location)
        document.blame(
            location, f"{name} would be sent to {there}, which {what}; to do that, add --set '{name}={original}'"
        )


def _lacks(text: Any, environ: Mapping[str, str]) -> bool:
    """Whether a text has a variable that is not in the environment."""
    found = _VARIABLE.finditer(text) if isinstance(text, str) else ()
    return any(match[1] and not match[2] and not environ.get(match[1]) for match in found)


def _fill_in(value: Any, location: Location, document: Document, environ: Mapping[str, str]) -> Any:
    """The value with ${NAME} and ${NAME:-default} replaced; $${ stands for ${ itself."""
    if isinstance(value, dict):
        for inside in ((*location, key) for key in value if "${" in key):
            document.blame(inside, f"{dotted(inside)}: ${{NAME}} can be used in values, not in keys")
        return {key: _fill_in(item, (*location, key), document, environ) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill_in(item, (*location, index), document, environ) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    if _SURROGATE.search(value):
        document.blame(location, f"{dotted(location)} has bytes that are not UTF-8 text")
        return ""
    return _fill_in_text(value, location, document, environ) if "${" in value else value


def _fill_in_text(text: str, location: Location, document: Document, environ: Mapping[str, str]) -> str:
    """The text with its variables replaced; those from the environment are noted in the document."""
    settings: list[tuple[str, str]] = []

    def replacement(match: re.Match[str]) -> str:
        if match.group().startswith("$$"):
            return match.group()[1:]
        try:
            setting = _setting(match, environ)
        except ValueError as error:
            document.spoiled.add(location)
            document.blame(location, f"{dotted(location)}{error}")
            return match.group()
        if match[1] in environ:
            settings.append((match[1], setting))
        return setting

    filled = _VARIABLE.sub(replacement, text)
    if settings:
        document.originals[location] = text
        document.settings[location] = settings
    return filled


def _setting(variable: re.Match[str], environ: Mapping[str, str]) -> str:
    """The value of a variable. Raises ValueError; its message follows the name of the place."""
    name, default = variable.groups()
    if name is None or "${" in (default or ""):
        raise ValueError(": ${ begins a variable; write ${NAME} or ${NAME:-default}, or $${ for these two characters")
    if (setting := environ.get(name) or default) is None:
        problem = "is empty" if name in environ else "is not in the environment"
        raise ValueError(f" has ${{{name}}}, which {problem}; export {name}=…")
    if _SURROGATE.search(setting):
        raise ValueError(f" has ${{{name}}}, which has bytes that are not UTF-8 text")
    return setting.rstrip("\r\n")  # as files and secret mounts end


def _at(value: Any, location: Location) -> Any:
    for step in location:
        if isinstance(value, dict):
            value = value.get(str(step))
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def dotted(location: Location) -> str:
    """A place in the document as people write it: requests.0.max_tokens."""
    return ".".join(str(part) for part in location)


# -- pydantic's errors in the words of this tool ------------------------------------------------------------------

_EXPECTED = {
    "bool_parsing": "true or false is expected",
    "bool_type": "true or false is expected",
    "dict_type": "keys and values are expected",
    "float_parsing": "a number is expected",
    "float_type": "a number is expected",
    "int_from_float": "a whole number is expected",
    "int_parsing": "a whole number is expected",
    "int_type": "a whole number is expected",
    "list_type": "a list, such as [a, b], is expected",
    "mapping_type": "keys and values are expected",
    "model_type": "keys and values are expected",
    "string_type": "text is expected; put it in quotes if YAML reads something else",
    "tuple_type": "a list, such as [a, b], is expected",
}

_SECRET_PLACES = (("target", "key"), ("target", "headers"), ("target", "query"))
_PLAIN = (("target", "key", "every"), ("target", "key", "timeout"), ("target", "key", "folder"))


def _blame_details(
    document: Document, details: ErrorDetails, model: type[BaseModel], above: Location, part: Any
) -> None:
    """Note one of pydantic's errors in the part of the document that is `above` it."""
    inside = _real(details["loc"], part)
    location = (*above, *inside)
    if any(location[:end] in document.spoiled for end in range(len(location) + 1)):
        return
    got = _got(document, location, details["input"])
    if details["type"] == "extra_forbidden":
        siblings = _siblings(model, details["loc"], inside)
        document.blame(location, f"{dotted(location)} is not known{_suggest(str(location[-1]), siblings)}")
    elif details["type"] == "union_tag_invalid":
        context = details["ctx"]
        tags = [tag for tag in str(context["expected_tags"]).replace("'", "").split(", ") if tag != "other"]
        location = (*location, "api")
        suggestion = _suggest(str(context["tag"]), tags)
        document.blame(location, f"{dotted(location)} is {_show(context['tag'])}{suggestion}")
    else:
        document.blame(location, _message(details, dotted(location), got, _describe(model, inside)))


def _got(document: Document, location: Location, value: Any) -> Any:
    """The value that a message may show: without secrets, and with ${NAME} as it is written."""
    if (location[:2] in _SECRET_PLACES and location not in _PLAIN) or location[-1:] == ("password",):
        return "***"
    if any(place[: len(location)] == location for place in document.originals):
        return _at(document.written, location)
    return value


def _message(details: ErrorDetails, where: str, got: Any, description: str) -> str:
    """What is wrong, and what is expected; `description` is that of the field."""
    kind, context = details["type"], details.get("ctx", {})
    if kind == "missing":
        return f"{where} is missing{description}"
    if kind == "value_error":
        return f"{where}: {context['error']}" if where else str(context["error"])
    if kind in _EXPECTED:
        return f"{where} is {_show(got)}; {_EXPECTED[kind]}"
    if kind == "literal_error":
        known = str(context["expected"]).replace("'", "")
        close = difflib.get_close_matches(str(got), re.split(", | or ", known), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"{where} is {_show(got)}; {known} is expected{hint}"
    if kind == "too_short":
        least = context["min_length"]
        return f"{where} is {_show(got)}; at least {least} {'entry is' if least == 1 else 'entries are'} expected"
    if kind == "string_pattern_mismatch":
        return f"{where} is {_show(got)}" + (description or f"; it should match {context['pattern']}")
    wording = details["msg"].removeprefix("Input should be ").removeprefix("String should ")
    return f"{where} is {_show(got)}; it should be {wording.removeprefix('Value should ').lower()}{description}"


def _real(location: Location, value: Any) -> Location:
    """The part of pydantic's location that is in the document, without the tags of unions, such as <one>."""
    location = tuple(part for part in location if not str(part).startswith("<"))
    real: list[str | int] = []
    for number, part in enumerate(location):
        last = number == len(location) - 1
        if isinstance(value, dict) and (part in value or last):
            real.append(part)
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int):
            real.append(part)
            value = value[part] if part < len(value) else None
    return tuple(real)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)


def _siblings(model: type[BaseModel], told: Location, location: Location) -> list[str]:
    """The known keys in the place of an unknown one; `told` is the location with the tags of unions."""
    models = [model]
    for part in told[:-1]:
        if isinstance(part, str):
            if tagged := [found for found in models if _known_as(found) == part and part not in location]:
                models = tagged
                continue
            fields = [_fields(found)[part] for found in models if part in _fields(found)]
            models = [inner for known in fields for inner in _models(known.annotation)] or models
    return [key for found in models for key in _fields(found)]


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model, each by its key in a file."""
    return {known.alias or name: known for name, known in model.model_fields.items()}


def _known_as(model: type[BaseModel]) -> str | None:
    """The tag of this member of a union."""
    api = model.model_fields.get("api")
    return None if api is None else "other" if api.is_required() else str(api.default)


def _describe(model: type[BaseModel], location: Location) -> str:
    """The description of the field, for a message."""
    name = next((part for part in reversed(location) if isinstance(part, str)), "")
    models = [model]
    for place, part in enumerate(location):
        if isinstance(part, str):
            for found in models:
                if place == len(location) - 1 and part == name and part in _fields(found):
                    description = _fields(found)[part].description
                    if description:
                        return f"; {description}"
            fields = [_fields(found)[part] for found in models if part in _fields(found)]
            models = [inner for known in fields for inner in _models(known.annotation)] or models
    return ""


def _suggest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def _show(value: Any) -> str:
    if value is None:
        return "empty"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
