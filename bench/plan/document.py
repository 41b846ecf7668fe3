"""Strict YAML files: a file and a pydantic model in, a value out, or every mistake at once, each with its line.

Plain scalars are read as YAML 1.2 does: `on` and `yes` are text, `1:30` is text, dates are text.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_LARGEST = 10_000_000  # bytes; a scenario of more is a data file by mistake


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong in a file, or on the command line."""

    source: str  # the file, or "--set"
    line: int | None  # from 1; None where the whole file, or an option, is meant
    message: str  # where in the document, what we got, what is expected

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.message}" if self.line else f"{self.source}: {self.message}"


class Mistakes(ValueError):  # noqa: N818 - what they are called in front of users
    """All that is wrong with a document."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = sorted(mistakes, key=lambda mistake: (mistake.source, mistake.line or 0))
        super().__init__("\n".join(map(str, self.mistakes)))


@dataclass(slots=True)
class Document:
    """A file's values with the line of each, and what came from the environment."""

    source: str
    value: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    sources: dict[Location, str] = field(default_factory=dict)  # of the values that --set gave
    mistakes: list[Mistake] = field(default_factory=list)
    originals: dict[Location, str] = field(default_factory=dict)  # text as written where ${NAME} was put in

    def blame(self, location: Location, message: str) -> None:
        """Note a mistake at the innermost place of the document that exists."""
        for end in range(len(location), -1, -1):
            if (option := self.sources.get(location[:end])) is not None:
                self.mistakes.append(Mistake(option, None, message))
                return
            if (line := self.lines.get(location[:end])) is not None:
                self.mistakes.append(Mistake(self.source, line, message))
                return
        self.mistakes.append(Mistake(self.source, None, message))


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2's core schema."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), ["" if c == "\0" else c for c in _first]
    )


def read_document(path: Path, overrides: Sequence[str], environ: Mapping[str, str]) -> Document:
    """The file's values with the overrides on top and the environment put in. Mistakes are collected, not raised."""
    document = Document(str(path))
    text = _text(path, document)
    if text is None:
        return document
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is not None:
            _note_lines(node, (), document, set())
            document.value = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = None if error.problem_mark is None else error.problem_mark.line + 1
        problem = " ".join(part for part in (error.context, error.problem) if part)
        hint = "; put text with marks such as ? in it into quotes" if problem.endswith("got '?'") else ""
        document.mistakes.append(Mistake(document.source, line, f"not YAML: {problem}{hint}"))
        return document
    finally:
        loader.dispose()
    if document.value is None:
        document.value = {}
    for override in overrides:
        _override(document, override)
    document.value = _put_in(document.value, (), document, environ)
    return document


def validate(document: Document, model: type[Model]) -> Model:
    """The document as a value of the model. Raises Mistakes, with those found before."""
    if document.mistakes and document.value is None:
        raise Mistakes(document.mistakes)
    if not isinstance(document.value, dict):
        document.blame((), f"the file holds {_show(document.value)}; keys and values are expected, such as name: chat")
        raise Mistakes(document.mistakes)
    value = check(document, (), model)
    if document.mistakes or value is None:
        raise Mistakes(document.mistakes)
    return value


def check(document: Document, location: Location, model: type[Model]) -> Model | None:
    """The part of a document at a location as a value of the model; None, and mistakes noted, where it is not one."""
    part = document.value
    for step in location:
        part = part[step]
    try:
        return model.model_validate(part)
    except ValidationError as error:
        errors = error.errors()
        for details in errors:
            if not _follows(details, errors):
                _blame_details(document, details, model, location, part)
    return None


def _follows(details: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    """Whether it is only said because something inside is wrong: a list without its bad items may be too short."""
    inside = (
        other for other in errors if other is not details and other["loc"][: len(details["loc"])] == details["loc"]
    )
    return details["type"] == "too_short" and any(inside)


def _text(path: Path, document: Document) -> str | None:
    try:
        data = path.read_bytes()
        if len(data) > _LARGEST:
            problem = f"is {len(data)} bytes large; this is not a scenario"
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


def _note_lines(node: yaml.Node, location: Location, document: Document, seen: set[int]) -> None:
    """The line of every value, and duplicate keys, which YAML forbids and PyYAML lets pass."""
    document.lines.setdefault(location, node.start_mark.line + 1)
    if id(node) in seen:  # an alias to what encloses it
        return
    inside = seen | {id(node)}
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note_lines(item, (*location, index), document, inside)
    elif isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in first and name != "<<":
                document.mistakes.append(
                    Mistake(document.source, line, f"{name} is given twice; the first is in line {first[name]}")
                )
            first[name] = line
            document.lines.setdefault((*location, name), line)
            _note_lines(value, (*location, name), document, inside)


def _override(document: Document, override: str) -> None:
    """Put one `a.b.0=value` of the command line into the values."""
    key, equals, text = override.partition("=")
    option = f"--set {key}"
    if not equals or not key:
        message = f"got {override!r}; KEY=VALUE is expected, such as --set load.users=50"
        document.mistakes.append(Mistake("--set", None, message))
        return
    try:
        value = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError:
        value = text
    location: Location = tuple(int(part) if part.isdigit() else part for part in key.split("."))
    at = document.value
    for here, following in itertools.pairwise(location):
        if isinstance(at, dict) and isinstance(here, str):
            if not isinstance(at.get(here), dict | list):
                at[here] = [] if isinstance(following, int) else {}
            at = at[here]
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


def _put_in(value: Any, location: Location, document: Document, environ: Mapping[str, str]) -> Any:
    """The value with ${NAME} and ${NAME:-default} replaced."""
    if isinstance(value, dict):
        return {key: _put_in(item, (*location, str(key)), document, environ) for key, item in value.items()}
    if isinstance(value, list):
        return [_put_in(item, (*location, index), document, environ) for index, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    def found(match: re.Match[str]) -> str:
        name, default = match.groups()
        if (setting := environ.get(name) or default) is None:
            where = dotted(location)
            document.blame(location, f"{where} wants ${{{name}}}, which is not in the environment; export {name}=…")
            return match.group()
        return setting

    document.originals[location] = value
    return _VARIABLE.sub(found, value)


def dotted(location: Location) -> str:
    """A place in the document as people write it: requests.0.max_tokens."""
    return ".".join(str(part) for part in location)


# -- pydantic's errors in the words of this tool ------------------------------------------------------------------

_EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "keys and values",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list, such as [a, b]",
    "mapping_type": "keys and values",
    "model_type": "keys and values",
    "string_type": "text; put it in quotes where YAML reads something else",
    "tuple_type": "a list, such as [a, b]",
}


def _blame_details(
    document: Document, details: ErrorDetails, model: type[BaseModel], above: Location, part: Any
) -> None:
    inside = _real(details["loc"], part)
    location = (*above, *inside)
    where, kind, got = dotted(location), details["type"], details["input"]
    context = details.get("ctx", {})
    if kind == "extra_forbidden":
        siblings = _siblings(model, details["loc"], inside)
        document.blame(location, f"{where} is not known{_suggest(str(location[-1]), siblings)}")
    elif kind == "union_tag_invalid":
        tags = [tag for tag in str(context["expected_tags"]).replace("'", "").split(", ") if tag != "other"]
        document.blame((*location, "api"), f"{where}.api is {context['tag']!r}{_suggest(str(context['tag']), tags)}")
    elif kind == "missing":
        document.blame(location, f"{where} is missing{_describe(model, inside)}")
    elif kind == "value_error":
        document.blame(location, f"{where}: {context['error']}" if where else str(context["error"]))
    elif kind in _EXPECTED:
        document.blame(location, f"{where} is {_show(got)}; {_EXPECTED[kind]} is expected")
    elif kind == "literal_error":
        known = str(context["expected"]).replace("'", "")
        close = difflib.get_close_matches(str(got), re.split(", | or ", known), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        document.blame(location, f"{where} is {_show(got)}; {known} is expected{hint}")
    elif kind == "string_pattern_mismatch":
        expected = _describe(model, inside) or f"; it should match {context['pattern']}"
        document.blame(location, f"{where} is {_show(got)}{expected}")
    else:
        wording = details["msg"].removeprefix("Input should be ").removeprefix("Value should ").lower()
        document.blame(location, f"{where} is {_show(got)}; it should be {wording}{_describe(model, inside)}")


def _real(location: Location, value: Any) -> Location:
    """The part of pydantic's location that is in the document; tags of unions are not."""
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
    """The keys that are known where an unknown one stands; `told` is the location with the tags of unions in it."""
    models = [model]
    for part in told[:-1]:
        if isinstance(part, str):
            if tagged := [found for found in models if _known_as(found) == part and part not in location]:
                models = tagged
                continue
            fields = [found.model_fields[part] for found in models if part in found.model_fields]
            models = [inner for known in fields for inner in _models(known.annotation)] or models
    return [key for found in models for key in found.model_fields]


def _known_as(model: type[BaseModel]) -> str | None:
    """By which word a union knows this member."""
    return str(model.model_fields["api"].default) if "api" in model.model_fields else None


def _describe(model: type[BaseModel], location: Location) -> str:
    """The field's own description, as a reminder of what is meant."""
    name = next((part for part in reversed(location) if isinstance(part, str)), "")
    models = [model]
    for place, part in enumerate(location):
        if isinstance(part, str):
            for found in models:
                if place == len(location) - 1 and part == name and part in found.model_fields:
                    description = found.model_fields[part].description
                    if description:
                        return f"; {description}"
            fields = [found.model_fields[part] for found in models if part in found.model_fields]
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
