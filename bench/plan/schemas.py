"""JSON Schemas that answers are checked against: draft 2020-12 unless a schema says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any


class Schema:
    """One schema. jsonschema is imported when the first value is checked."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = dict(schema)

    def fits(self, value: Any) -> bool:
        """Whether a value fits the schema; False if a reference of the schema leads nowhere."""
        from referencing.exceptions import Unresolvable

        try:
            return bool(self._validator.is_valid(value))
        except Unresolvable:
            return False

    def problem(self) -> str | None:
        """What is wrong with the schema itself, in one line; None if it is valid."""
        from jsonschema.exceptions import SchemaError

        try:
            type(self._validator).check_schema(self._schema)
        except SchemaError as error:
            where = ".".join(map(str, error.absolute_path))
            return f"is not a valid JSON Schema: {where + ': ' if where else ''}{error.message}"
        return None

    @cached_property
    def _validator(self) -> Any:
        from jsonschema import Draft202012Validator
        from jsonschema.validators import validator_for

        return validator_for(self._schema, default=Draft202012Validator)(self._schema)
