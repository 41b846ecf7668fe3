"""Every key of a scenario as Markdown, made of the JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

FIRST = ("LoadScenario", "Target", "Load")
"""Parts that come before the others, in this order; the others follow as they are named first."""
SETTINGS = "Settings"  # at the end of the name of a part whose short form is a text or a number


def reference(schema: Schema) -> str:
    """All parts of a scenario, each with a table of its keys."""
    parts = without_short_forms(schema["$defs"])
    lines = [
        "# Every key of a scenario",
        "",
        "Made by `bench schema --format markdown`; `bench schema` alone prints the JSON Schema, for editors. A time is",
        "a number of seconds or a text such as `500ms`, `30s`, `1m30s`. Where a key has no default it must be given.",
        "",
    ]
    for name in ordered(parts):
        lines += section(name, parts[name])
    return "\n".join(lines).rstrip() + "\n"


def without_short_forms(parts: Mapping[str, Schema]) -> dict[str, Schema]:
    """The parts that have keys. Where a key refers to a part that may also be a text, its choices are written out."""
    keyed = {name: part for name, part in parts.items() if part.get("properties")}
    choices = {name: part for name, part in parts.items() if name not in keyed}
    for name, part in choices.items():
        inside = next((one for one in part.get("anyOf", ()) if one.get("properties")), None)
        if inside is not None:  # its keys are written where the choice is made: they become a part of their own
            keyed[f"{name}{SETTINGS}"] = inside
            others = [one for one in part["anyOf"] if one is not inside]
            choices[name] = {"anyOf": [*others, {"$ref": f"#/$defs/{name}{SETTINGS}"}]}
    return {name: spelled_out(part, choices) for name, part in keyed.items()}


def spelled_out(value: Any, choices: Mapping[str, Schema]) -> Any:
    """The same with the choices in place of their names."""
    if isinstance(value, list):
        return [spelled_out(one, choices) for one in value]
    if not isinstance(value, Mapping):
        return value
    inside = {key: spelled_out(one, choices) for key, one in value.items() if key != "$ref"}
    if "$ref" not in value:
        return inside
    choice = choices.get(value["$ref"].rpartition("/")[2])
    return inside | ({"$ref": value["$ref"]} if choice is None else spelled_out(choice, choices))


def ordered(parts: Mapping[str, Schema]) -> list[str]:
    """The parts in the order in which they are told."""
    kinds = [name for name in parts if name.endswith("Scenario")]
    return list(dict.fromkeys([name for name in FIRST if name in parts] + kinds + list(parts)))


def section(name: str, part: Schema) -> Iterator[str]:
    """A part's heading, what it is, and its keys."""
    yield f"## {title(name)}"
    yield ""
    if part.get("description"):
        yield sentence(part["description"])
        yield ""
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    needed = set(part.get("required", ()))
    for key, value in part["properties"].items():
        default = "" if key in needed or "default" not in value else code(value["default"])
        told = value.get("description") or ""
        yield f"| `{key}` | {kind(value)} | {default} | {escaped(told)} |"
    yield ""


def kind(value: Schema) -> str:
    """What may stand there."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{title(name)}](#{title(name).replace(' ', '-')})"
    if "const" in value:
        return code(value["const"])
    if "enum" in value:
        return ", ".join(code(one) for one in value["enum"])
    for several in ("anyOf", "oneOf", "allOf"):
        if several in value:
            found = dict.fromkeys(choice(one) for one in value[several] if one.get("type") != "null")
            *others, last = found
            return f"{', '.join(others)} or {last}" if others else last
    if value.get("type") == "array":
        items = kind(value.get("items", {}))
        return f"list of {items}" if items else "list"
    if value.get("type") == "object":
        inside = value.get("additionalProperties")
        return f"mapping to {kind(inside)}" if isinstance(inside, Mapping) and kind(inside) else "mapping"
    if value.get("type") == "string" and any(str(one).endswith("ms") for one in value.get("examples", ())):
        return "time"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true`, `false`"}
    return words.get(str(value.get("type", "")), "") + bounds(value)


def choice(value: Schema) -> str:
    """One of several things that may stand there; of a text, which."""
    told = value.get("description")
    return f"{kind(value)} ({escaped(told)})" if told and value.get("type") == "string" else kind(value)


def bounds(value: Schema) -> str:
    """From where to where a number may lie."""
    low = value.get("minimum", value.get("ge", value.get("exclusiveMinimum", value.get("gt"))))
    high = value.get("maximum", value.get("le", value.get("exclusiveMaximum", value.get("lt"))))
    open_low = "exclusiveMinimum" in value or "gt" in value
    told = [] if low is None else [f"above {low:g}" if open_low else f"from {low:g}"]
    told += [] if high is None else [f"to {high:,}"]
    return f" {' '.join(told)}" if told else ""


def title(name: str) -> str:
    """A part's name as people say it: LoadScenario is load scenario, and TargetSettings are a target."""
    spaced = "".join(f" {one.lower()}" if one.isupper() else one for one in name).strip()
    return spaced.removesuffix(f" {SETTINGS.lower()}").replace("2 ", "2")  # txt2img, as the API has it


def sentence(text: str) -> str:
    first = " ".join(text.split("\n\n")[0].split())
    return first[:1].upper() + first[1:]


def code(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping) and value:
        return "see there"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if text else "empty"


def escaped(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
