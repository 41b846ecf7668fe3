"""Words of strangers (models, servers, files, scenarios) made harmless: shown as they are, and never obeyed."""

from __future__ import annotations

import re
from typing import Any

from bench.records.json_file import indented

LONGEST_NAME = 60  # characters in a table of the terminal or on a picture

_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Control characters, terminal escapes, characters that turn the direction of writing, line ends, lone surrogates."""

_MARKDOWN = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")


def visible(text: str, *, keep: str = "") -> str:
    """The text with every character that does something written out, as \\x1b; those of `keep` stay."""
    return _UNSEEN.sub(lambda found: found[0] if found[0] in keep else _written(found[0]), text)


def _written(character: str) -> str:
    code = ord(character)
    known = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    return known or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def all_visible(value: Any) -> Any:
    """JSON values with every text in them, names of members too, made visible."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {all_visible(key): all_visible(one) for key, one in value.items()}
    return [all_visible(one) for one in value] if isinstance(value, list | tuple) else value


def shortened(name: str, longest: int = LONGEST_NAME) -> str:
    """A name on one line; of a very long one the beginning and the end."""
    shown = visible(name)
    half = longest // 2
    return shown if len(shown) <= longest else f"{shown[: half - 1]}…{shown[-half:]}"


def in_json(text: str) -> str:
    """JSON that a terminal may print: what is not seen is escaped in JSON's own way."""
    return _UNSEEN.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


def printed_json(value: object) -> str:
    """A value as indented JSON that a terminal may print."""
    return in_json(indented(value).decode())


def in_markdown(text: str) -> str:
    """Text of a Markdown page or of a cell of its table: no HTML, no markup of its own, one line."""
    text = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(lambda found: f"\\{found[0]}", text)


def code(value: str) -> str:
    """A span of code, which may stand in a table."""
    text = visible(value).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    padding = " " if "`" in text else ""
    return f"{fence}{padding}{text}{padding}{fence}"
