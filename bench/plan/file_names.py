"""The places of a scenario that hold the name of a file, which is relative to the scenario's own folder."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.plan.syntax import Location
from bench.plan.values import JsonObject

_OBJECT = re.compile(r"(.+\.py)(:[^:]+)")
"""An API or a kind of the user's own: FILE.py:OBJECT."""


def moved(written: JsonObject, source: Path, folder: Path) -> JsonObject:
    """The values of a scenario that was in the folder `source` as they have to be in another one."""
    value = copy.deepcopy(written)
    for one in (value, *arms_in(value).values()):
        state_folders(one)
    for location in list(places(value)):
        name = at(value, *location)
        own = _OBJECT.fullmatch(name)
        path, item = (name, "") if own is None else own.groups()
        if not path.startswith("${"):  # nobody knows here whether it is relative
            put(value, location, _from(folder, source, path) + item)
    return value


def put(value: Any, location: Location, new: str) -> None:
    """Replace the value at a location that there is."""
    *way, last = location
    for step in way:
        value = value[step]
    value[last] = new


def state_folders(value: Any) -> None:
    """Write out what a scenario may leave out: the file of a certificate that is written as one word, and the folder in
    which a command for a key runs, which is the scenario's own."""
    if isinstance(shown := at(value, "target", "client_certificate"), str):
        value["target"]["client_certificate"] = {"cert": shown}
    for key in (at(value, "target", "key"), at(value, "other_key")):
        if isinstance(key, dict):
            key.setdefault("folder", "")


def places(value: Any) -> Iterator[Location]:
    """Where the values of a scenario have names of files and folders."""
    candidates: list[Location] = [("kind",), ("target", "verify")]
    candidates += [("target", "client_certificate", "cert"), ("target", "client_certificate", "key")]
    candidates += [("target", "key", "folder"), ("other_key", "folder")]
    tokenizers = at(value, "tokenizers")
    candidates += [("tokenizers", model) for model in tokenizers] if isinstance(tokenizers, dict) else []
    for location in candidates:
        found = at(value, *location)
        if isinstance(found, str) and (location != ("kind",) or _OBJECT.fullmatch(found)):
            yield location
    requests = at(value, "requests")
    for index, request in enumerate(requests if isinstance(requests, list) else ()):
        yield from (("requests", index, *location) for location in places_in_request(request))
        if isinstance(api := at(request, "api"), str) and _OBJECT.fullmatch(api):
            yield "requests", index, "api"
    for name, arm in arms_in(value).items():
        yield from (("arms", name, *location) for location in places(arm))


def arms_in(value: Any) -> dict[str, object]:
    """The arms of a scenario as they are written, by name."""
    arms = at(value, "arms")
    return arms if isinstance(arms, dict) else {}


def places_in_request(request: Any) -> list[Location]:
    """Where a request class has names of files."""
    found: list[Location] = [(key, "file") for key in ("prompt", "image") if isinstance(at(request, key, "file"), str)]
    for several in ("images", "sounds"):
        items = at(request, "prompt", several)
        for number, item in enumerate(items if isinstance(items, list) else ()):
            if isinstance(at(item, "file"), str):
                found.append(("prompt", several, number, "file"))
    return found


def at(value: Any, *keys: str | int) -> Any:
    """The value below these keys; None if a key is missing or holds no keys."""
    for key in keys:
        if isinstance(key, int):
            value = value[key] if isinstance(value, list) and key < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def _from(folder: Path, source: Path, path: str) -> str:
    """A path of the folder `source` as it is written in this one; an absolute one stays."""
    return path if Path(path).is_absolute() else os.path.relpath(source.resolve() / path, folder.resolve())
