"""Every key of a scenario as Markdown, made of the JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

FIRST = ("LoadScenario", "Target", "Load")
"""Parts that come before the others, in this order; the others follow as they are named first."""
SETTINGS = "Settings"  # at the end of a part's name that is what another may be written as


def reference(schema: Schema) -> str:
    """All parts of a scenario, each with a table of its keys."""
    parts = schema["$defs"]
    lines = [
        "# Every key of a scenario",
        "",
        "Made by `bench schema --format markdown`; `bench schema` alone prints the JSON Schema, for editors. A time is",
        "a number of seconds or a text such as `500ms`, `30s`, `1m30s`. Where a key has no default it must be given.",
        "",
    ]
    for name in ordered(parts):
        if parts[name].get("properties"):
            lines += section(name, parts[name])
    return "\n".join(lines).rstrip() + "\n"


def ordered(parts: Mapping[str, Schema]) -> list[str]:
    """The parts in the order in which they are told."""
    kinds = [name for name in parts if name.endswith("Scenario") or name == "PromptCache"]
    return list(dict.fromkeys([name for name in FIRST if name in parts] + kinds + list(parts)))


def section(name: str, part: Schema) -> Iterator[str]:
    """A part's heading, what it is, and its keys."""
    yield f"## {title(name)}"
    yield ""
    if part.get("description"):
        yield sentence(part["description"])
        yield ""
    yield "| key | value | default | |"
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
        return f"[{title(name)}](#{anchor(name)})"
    if "const" in value:
        return code(value["const"])
    if "enum" in value:
        return ", ".join(code(one) for one in value["enum"])
    for several in ("anyOf", "oneOf", "allOf"):
        if several in value:
            found = [kind(one) for one in value[several] if one.get("type") != "null"]
            return " or ".join(dict.fromkeys(found))
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


def bounds(value: Schema) -> str:
    """From where to where a number may lie."""
    low = value.get("minimum", value.get("ge", value.get("exclusiveMinimum", value.get("gt"))))
    high = value.get("maximum", value.get("le", value.get("exclusiveMaximum", value.get("lt"))))
    open_low = "exclusiveMinimum" in value or "gt" in value
    told = [] if low is None else [f"above {low:g}" if open_low else f"from {low:g}"]
    told += [] if high is None else [f"to {high:,}"]
    return f" {' '.join(told)}" if told else ""


def title(name: str) -> str:
    """A part's name as people say it: LoadScenario is load scenario."""
    spaced = "".join(f" {one.lower()}" if one.isupper() else one for one in name).strip()
    return spaced.removesuffix(f" {SETTINGS.lower()}") + (" (written out)" if name.endswith(SETTINGS) else "")


def anchor(name: str) -> str:
    return title(name).replace("(", "").replace(")", "").replace(" ", "-")


def sentence(text: str) -> str:
    first = " ".join(text.split("\n\n")[0].split())
    return first[:1].upper() + first[1:]


def code(value: object) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if text else "empty"


def escaped(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
