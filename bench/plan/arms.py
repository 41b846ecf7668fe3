"""The arms in a scenario's file: each states how it differs from the scenario, and becomes its own document.

`arms: {baseline: {target: {url: …}}, candidate: {model: …, request: {stream: false}}}`. An arm has everything else from
the scenario. If an arm names another target, it does not get the key and the headers of the scenario's target: they are
only for that target's host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, TypeVar

from pydantic import ConfigDict, Field

from bench.plan.document import PLACES, Document, dotted, spelled_out
from bench.plan.syntax import Location
from bench.plan.values import LONGEST_NAME, JsonObject, Value

T = TypeVar("T")

BASELINE = "baseline"
SHARED = (
    "target",
    "models",
    "requests",
    "timeouts",
    "bounds",
    "retries",
    "prices",
    "tokenizers",
    "keep_bodies",
    "seed",
)
"""Keys of a scenario that its arms have too."""
FOR_ITS_HOST = ("key", "key_header", "headers", "query", "client_certificate")
"""Keys of a target that are only for its own host."""


class ArmSettings(Value):
    """How an arm differs from the scenario."""

    # The values are checked later, in the arm's own document.
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    target: Any = Field(None, description="another target, or settings of the target that differ, such as its key")
    model: Any = Field(None, description="the model")
    models: Any = Field(None, description="the model, as a list of one")
    request: Any = Field(None, description="parameters of every request class, such as stream: false")
    requests: Any = Field(None, description="another mix of request classes")
    timeouts: Any = Field(None, description="time limits of a request")
    bounds: Any = Field(None, description="size limits of an answer")
    retries: Any = Field(None, description="retries")
    prices: Any = Field(None, description="US dollars per million tokens, by model")


def arm_documents(document: Document) -> dict[str, Document]:
    """The document of each arm by its name, the baseline first; empty if no arm can be read.

    Unknown keys of an arm are noted as mistakes in `document`. The arm's values are checked later, in its own document.
    """
    given = document.value.get("arms") or by_model(document)
    if not isinstance(given, dict):
        return {}
    names = sorted(given, key=lambda name: name != BASELINE)  # the baseline first, the others as written
    found = {}
    for name in names:
        where: Location = ("arms", name) if "arms" in document.value else ("models", list(given).index(name))
        if not name.strip() or len(name) > LONGEST_NAME:
            document.blame(where, f"{dotted(where)}: a name of 1 to {LONGEST_NAME} characters is expected")
        arm = {} if given[name] is None else given[name]
        arm = {"target": arm} if isinstance(arm, str) else arm
        if not isinstance(arm, dict):
            document.blame(where, f"{dotted(where)} is {arm!r}; keys and values are expected, such as model: NAME")
            continue
        known = ArmSettings.model_fields
        for key in [key for key in arm if key not in known]:
            document.blame((*where, key), f"{dotted((*where, key))} is not known; known are {', '.join(known)}")
        if "model" in arm and "models" in arm:
            document.blame((*where, "models"), f"{dotted(where)} has model and models; one of them is expected")
        found[name] = arm_document(document, where, arm)
    return found


def by_model(document: Document) -> JsonObject | None:
    """One arm per model, if the file has several models and no arms; else None."""
    models = document.value.get("models")
    if "arms" in document.value or not isinstance(models, list) or len(models) < 2:
        return None
    return {str(model): {"model": model} for model in models}


def arm_document(document: Document, where: Location, arm: Mapping[str, Any]) -> Document:
    """The document of one arm, which is written at `where` in the scenario's document."""
    base = document.value
    value = {key: deepcopy(base[key]) for key in SHARED if key in base}
    moved: list[tuple[Location, Location]] = [((key,), (key,)) for key in value]  # from the file's place to the arm's
    if "target" in arm:
        value["target"], own = target_of(base.get("target"), arm["target"])
        if own:
            moved = [pair for pair in moved if pair[0] != ("target",)]
            kept = value["target"] if isinstance(value["target"], dict) else {}
            moved += [(("target", key), ("target", key)) for key in kept]
        moved.append((place_of(document, where, "target"), ("target",)))
    if "model" in arm:
        value["models"] = [arm["model"]]
        moved = [pair for pair in moved if pair[0] != ("models",)]
        moved.append((place_of(document, where, "model"), ("models", 0)))
    for key in ("models", "requests", "timeouts", "bounds", "retries", "prices"):
        if key in arm:
            value[key] = deepcopy(arm[key])
            moved = [pair for pair in moved if pair[0] != (key,)] + [((*where, key), (key,))]
    if "request" in arm:
        moved += apply(arm["request"], value, document, (*where, "request"))
    asked = value.get("models")
    for key in ("prices", "tokenizers"):
        if isinstance(value.get(key), dict) and key not in arm and isinstance(asked, list):
            value[key] = {model: of_model for model, of_model in value[key].items() if model in asked}
    value["name"] = base.get("name")
    return Document(
        document.source,
        value,
        lines=dict(placed(document.lines, moved)) | {(): document.lines.get(where, document.lines.get((), 1))},
        sources=dict(placed(document.sources, moved)),
        originals=dict(placed(document.originals, moved)),
        settings=dict(placed(document.settings, moved)),
        written=deepcopy(value),
        spoiled={place for place, _ in placed(dict.fromkeys(document.spoiled), moved)},
    )


def place_of(document: Document, where: Location, key: str) -> Location:
    """Where the file has this value of an arm, which may be a target alone, or a model of a list."""
    return (*where, key) if isinstance(document.at(where), dict) else where


def target_of(base: Any, given: Any) -> tuple[Any, bool]:
    """The target of an arm, and whether it is another server than the scenario's."""
    given, base = spelled_out(given), spelled_out(base)
    if not isinstance(given, dict):
        return given, True
    rest = deepcopy(base) if isinstance(base, dict) else {}
    elsewhere = any(key in given for key in PLACES)
    if elsewhere:
        rest = {key: value for key, value in rest.items() if key not in (*PLACES, *FOR_ITS_HOST)}
    return rest | deepcopy(given), elsewhere


def apply(request: Any, value: JsonObject, document: Document, where: Location) -> list[tuple[Location, Location]]:
    """Put an arm's parameters into each of its request classes. Returns pairs of places: in the file, in the arm."""
    if not isinstance(request, dict):
        document.blame(where, f"{dotted(where)} is {request!r}; parameters are expected, such as stream: false")
        return []
    moved: list[tuple[Location, Location]] = []
    classes = value.get("requests")
    for index, one in enumerate(classes if isinstance(classes, list) else ()):
        if isinstance(one, dict):
            one |= deepcopy(request)
            moved += [((*where, key), ("requests", index, key)) for key in request]
    return moved


def placed(known: Mapping[Location, T], moved: list[tuple[Location, Location]]) -> Iterator[tuple[Location, T]]:
    """What is known about places in the file, by the places in an arm's document; later moves win."""
    for begin, to in moved:
        for location, value in known.items():
            if location[: len(begin)] == begin:
                yield (*to, *location[len(begin) :]), value


def adopt(document: Document, arm: Document) -> None:
    """Give the scenario itself the values of this arm, where the scenario has none of its own."""
    for key in SHARED:
        if key in arm.value and (key not in document.value or key in ("target", "models", "requests")):
            if arm.value[key] == document.value.get(key):
                continue
            document.value[key] = deepcopy(arm.value[key])
            _take(document.lines, arm.lines, key)
            _take(document.sources, arm.sources, key)
            _take(document.originals, arm.originals, key)
            _take(document.settings, arm.settings, key)


def _take(known: dict[Location, T], theirs: Mapping[Location, T], key: str) -> None:
    """Replace what is known about the places below a key by what an arm's document knows."""
    for place in [place for place in known if place[:1] == (key,)]:
        del known[place]
    known.update({place: value for place, value in theirs.items() if place[:1] == (key,)})
