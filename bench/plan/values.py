"""Base types of all parts of a scenario: frozen values, and types that read what people write.

Every number is finite and has limits. A number beyond them is a typing mistake, and gets a message.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from bench.plan.units import seconds

JsonObject = dict[str, Any]
"""An object that is sent as JSON, or was read from JSON; only the program at the other end knows its keys."""

LONGEST_S = 30 * 86400.0  # the longest possible time: a month
MOST = 1_000_000_000  # the largest possible count
LONGEST_NAME = 200  # characters; file systems take 255 bytes
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_VISIBLE = re.compile(r"[\x20-\x7e\t]*")


def _is_not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"got {str(value).lower()}; a number is expected")
    return value


def _fits_64_bits(value: int) -> int:
    if not -(2**63) <= value < 2**64:
        raise ValueError("has more than 64 bits; a smaller number is expected")
    return value


def _is_name(value: str) -> str:
    if not value.strip() or value != value.strip():
        raise ValueError(f"got {value[:60]!r}; a name without spaces around it is expected")
    if len(value) > LONGEST_NAME:
        raise ValueError(f"is {len(value)} characters long; at most {LONGEST_NAME} are expected")
    if (found := _CONTROL.search(value)) is not None:
        raise ValueError(f"has the character U+{ord(found.group()):04X}; letters, digits and signs are expected")
    return value


def header_value(value: str) -> str:
    """A valid value of an HTTP header, without the newline at the end of files and secret mounts.

    Raises ValueError; the value may be a secret and is not in its message.
    """
    plain = value.strip()
    if (found := re.search(r"[\r\n]", plain)) is not None:
        raise ValueError("has a line break, which would begin another header; one line is expected")
    if (found := _CONTROL.search(plain.replace("\t", " "))) is not None:
        raise ValueError(f"has the character U+{ord(found.group()):04X}, which is not allowed in a header")
    if not _VISIBLE.fullmatch(plain):
        raise ValueError("has letters beyond ASCII, which are not allowed in a header")
    return plain


def plain_number(value: object) -> object:
    """A number as text, where a text is expected that may look like one; anything else as it is."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


DURATION_SCHEMA = {"anyOf": [{"type": "number"}, {"type": "string", "examples": ["500ms", "30s", "1m30s"]}]}
Seconds = Annotated[float, BeforeValidator(seconds), Field(ge=0, le=LONGEST_S), WithJsonSchema(DURATION_SCHEMA)]
PositiveSeconds = Annotated[float, BeforeValidator(seconds), Field(gt=0, le=LONGEST_S), WithJsonSchema(DURATION_SCHEMA)]
Number = Annotated[float, BeforeValidator(_is_not_bool)]
Whole = Annotated[int, BeforeValidator(_is_not_bool), AfterValidator(_fits_64_bits)]
Count = Annotated[int, BeforeValidator(_is_not_bool), Field(gt=0, le=MOST)]
Tokens = Annotated[int, BeforeValidator(_is_not_bool), Field(gt=0, le=10_000_000)]
Name = Annotated[str, AfterValidator(_is_name)]
Size = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$")]


class Value(BaseModel):
    """A frozen value that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)
