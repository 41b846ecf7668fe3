"""JSON Schemas that answers are held against: draft 2020-12 unless a schema says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any


class Schema:
    """One schema. jsonschema is imported when the first value is held against it."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = dict(schema)

    def fits(self, value: Any) -> bool:
        """Whether a value fits; none fits a schema whose references lead nowhere."""
        from referencing.exceptions import Unresolvable

        try:
            return bool(self._validator.is_valid(value))
        except Unresolvable:
            return False

    def problem(self) -> str | None:
        """What is wrong with the schema itself, in one line; None if nothing is."""
        from jsonschema.exceptions import SchemaError

        try:
            type(self._validator).check_schema(self._schema)
        except SchemaError as error:
            where = ".".join(map(str, error.absolute_path))
            return f"is no JSON Schema: {where + ': ' if where else ''}{error.message}"
        return None

    @cached_property
    def _validator(self) -> Any:
        from jsonschema import Draft202012Validator
        from jsonschema.validators import validator_for

        return validator_for(self._schema, default=Draft202012Validator)(self._schema)
