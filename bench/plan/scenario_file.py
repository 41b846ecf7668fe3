"""Reads a scenario's file, or a target from the command line: a value goes out, or all mistakes at once, each with its
line."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import (
    BaseModel,
    TypeAdapter,
    ValidationError,
)

from bench.plan.addresses import host_of, is_public
from bench.plan.arms import adopt, arm_documents
from bench.plan.classes import Request
from bench.plan.datasets import read_dataset
from bench.plan.document import Document, Given, Mistakes, check, dotted, read_document, validate
from bench.plan.file_names import at, places, put, state_folders
from bench.plan.media import Flux
from bench.plan.mix import AnyRequest, api_of
from bench.plan.parameter_ranges import out_of_range
from bench.plan.prices import Price, complete_price, image_price, of_table
from bench.plan.scenario import HIDDEN_KEYS, LONGEST_FOLDER, Scenario
from bench.plan.syntax import Location
from bench.plan.target import Target
from bench.plan.tokenizer import NONCE_WORDS, lexicon
from bench.plan.values import JsonObject

Asked = TypeVar("Asked", bound=Scenario)

_ADDRESS: tuple[Location, ...] = (("target",), ("target", "url"))
"""Where the URL of a target is: a target may be its URL alone."""

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
    scenario.target._in_url.extend(_hidden_in_address(document))
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
    target._in_url.extend(_hidden_in_address(document))
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
        elif location in _ADDRESS and (hidden := _hidden_in_address(document)):
            yield ("target", "url"), (original, hidden)


def _hidden_in_address(document: Document) -> tuple[str, ...]:
    """Values from the environment in the target's URL. A host's name is not secret; what follows it may be."""
    found: list[str] = []
    for location in (place for place in _ADDRESS if place in document.originals):
        rest = document.originals[location].partition("://")[2].partition("/")[2]
        found += [value for name, value in document.settings[location] if f"${{{name}" in rest]
    return tuple(found)


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
