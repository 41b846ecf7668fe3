"""Makes JSON that fits a schema, for the structured answers of a simulated model.

Supports what providers promise: string, number, integer, boolean, null, array, object, enum, const, anyOf, $ref into
$defs, and the usual bounds.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from bench.simulator.tokens import answer_words

Maker = Callable[[dict[str, Any], random.Random, dict[str, Any], int], Any]

_DEEPEST = 12  # levels; a schema that refers to itself must end somewhere
_PIECE = 4  # characters of JSON per token


def pieces(text: str) -> list[str]:
    """JSON in pieces of one token."""
    return [text[begin : begin + _PIECE] for begin in range(0, len(text), _PIECE)]


def value_of(schema: dict[str, Any], rng: random.Random, *, root: dict[str, Any] | None = None, depth: int = 0) -> Any:
    """A value that fits the schema."""
    root = schema if root is None else root
    if "$ref" in schema:
        return value_of(_referred(schema["$ref"], root), rng, root=root, depth=depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return rng.choice(schema["enum"])
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            chosen = schema[union][-1] if depth > _DEEPEST else rng.choice(schema[union])
            return value_of(chosen, rng, root=root, depth=depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    make: Maker = _MAKERS.get(str(kind), _text)
    return make(schema, rng, root, depth)


def unfit(schema: dict[str, Any]) -> Any:
    """A JSON value that does not fit the schema of an object."""
    return [] if schema.get("type", "object") == "object" else {}


def _referred(reference: str, root: dict[str, Any]) -> dict[str, Any]:
    at: Any = root
    for step in reference.removeprefix("#/").split("/") if reference != "#" else ():
        at = at[step]
    return dict(at)


def _text(schema: dict[str, Any], rng: random.Random, root: dict[str, Any], depth: int) -> str:
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", 40)
    text = "".join(answer_words(rng.getrandbits(32), 3))[:longest]
    return text.ljust(shortest, "x")


def _number(schema: dict[str, Any], rng: random.Random, root: dict[str, Any], depth: int) -> float:
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 100))
    return round(float(low + (high - low) * rng.uniform(0.25, 0.75)), 3)


def _integer(schema: dict[str, Any], rng: random.Random, root: dict[str, Any], depth: int) -> int:
    low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 101) - 1)
    step = schema.get("multipleOf", 1)
    return int(rng.randint(-(-low // step), high // step) * step)


def _array(schema: dict[str, Any], rng: random.Random, root: dict[str, Any], depth: int) -> list[Any]:
    shortest = schema.get("minItems", 0)
    count = shortest if depth > _DEEPEST else max(shortest, min(2, schema.get("maxItems", 2)))
    return [value_of(schema.get("items", {}), rng, root=root, depth=depth + 1) for _ in range(count)]


def _object(schema: dict[str, Any], rng: random.Random, root: dict[str, Any], depth: int) -> dict[str, Any]:
    required = schema.get("required", ())
    wanted = [name for name in schema.get("properties", {}) if depth <= _DEEPEST or name in required]
    made = {name: value_of(schema["properties"][name], rng, root=root, depth=depth + 1) for name in wanted}
    return made or ({"answer": 1} if not schema.get("properties") and schema.get("additionalProperties", True) else {})


_MAKERS: dict[str, Maker] = {
    "string": _text,
    "number": _number,
    "integer": _integer,
    "boolean": lambda schema, rng, root, depth: rng.random() < 0.5,
    "null": lambda schema, rng, root, depth: None,
    "array": _array,
    "object": _object,
}
