"""The JSON Schema of a scenario's file, for editors."""

from __future__ import annotations

from bench.plan.classes import Request
from bench.plan.mix import CLASSES, Chat, Other
from bench.plan.scenario import Scenario
from bench.plan.values import DURATION_SCHEMA, JsonObject

SHORT_FORMS: dict[str, list[JsonObject]] = {
    "Target": [{"type": "string", "description": "simulator, llama.cpp, or a URL"}],
    "ClientCertificate": [{"type": "string", "description": "a PEM file with the certificate and its key"}],
    "Limits": [{"type": "string", "description": "a tier, such as novita/T1"}],
    "Prompt": [{"type": "string", "description": "the text itself"}],
    "ResponseFormat": [{"type": "string", "description": "its type"}],
    "TextFormat": [{"type": "string", "description": "its type"}],
    "Think": [DURATION_SCHEMA, {"type": "array", "items": DURATION_SCHEMA, "minItems": 2, "maxItems": 2}],
}
"""The short forms in the JSON Schema, for values that can be written as one word."""


def schema(kind: type[Scenario]) -> JsonObject:
    """The JSON Schema of one kind of scenario, short forms included."""
    made = kind.model_json_schema(by_alias=True)
    left_open = ("name", "target", "models", "requests") if kind.takes_arms else ("name",)
    made["required"] = [key for key in made["required"] if key not in left_open]
    definitions = made["$defs"]
    known: tuple[type[Request], ...] = (*CLASSES.values(), Other)
    for one in known:  # each has its own api; only a chat may leave it out
        if one is not Chat:
            definition = definitions[one.__name__]
            definition["required"] = sorted({*definition.get("required", ()), "api"})
    for name, forms in SHORT_FORMS.items():
        if name not in definitions:  # of another kind
            continue
        definitions[f"{name}Settings"] = definitions[name]
        definitions[name] = {"anyOf": [*forms, {"$ref": f"#/$defs/{name}Settings"}]}
    return made
