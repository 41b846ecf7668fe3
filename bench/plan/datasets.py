"""Prompts from data files: JSON Lines of OpenAI messages, CSV, ShareGPT, Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from bench.plan.conversation import DELAY, Messages
from bench.plan.document import Mistake, Mistakes
from bench.plan.parquet import ParquetError, parquet_rows
from bench.plan.syntax import DEEPEST
from bench.plan.values import LONGEST_S, JsonObject

FORMS = {".csv": "csv", ".json": "sharegpt", ".parquet": "parquet"}
"""The format of a file by its suffix; any other suffix means JSON Lines."""
MOST_TOLD = 20  # broken rows of a file that are reported
_LONGEST_FIELD = 100_000_000  # characters of one CSV field; Python's own limit of 131,072 is less than a long prompt
_SPEAKERS = {"human": "user", "user": "user", "system": "system"} | dict.fromkeys(
    ("gpt", "assistant", "chatgpt", "bing", "bard"), "assistant"
)
"""Who speaks in ShareGPT's files, which were gathered from several assistants."""
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def read_dataset(path: Path, form: str | None, column: str) -> list[Messages]:
    """All conversations of a file, each up to its last user message. Raises Mistakes with the first bad lines.

    A file is read only once. Callers must not change the returned values.
    """
    form = form or FORMS.get(path.suffix.lower(), "openai")
    try:
        facts = path.stat()
    except OSError as error:
        raise Mistakes([Mistake(str(path), None, f"cannot be read: {error.strerror}")]) from None
    return _read(path, form, column, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=32)
def _read(path: Path, form: str, column: str, changed: int, size: int) -> list[Messages]:
    """The conversations of this version of the file; `changed` and `size` identify the version."""
    mistakes: list[Mistake] = []
    found = []
    broken = 0
    rows = _rows(path, form, column)
    try:
        for line, entry, row in rows:
            try:
                if (conversation := _conversation(row, form, column)) is not None:
                    found.append(conversation)
            except ValueError as error:
                broken += 1
                if broken <= MOST_TOLD:
                    mistakes.append(Mistake(str(path), line, f"{entry}{error}"))
    except ParquetError as error:
        mistakes.append(Mistake(str(path), None, str(error)))
    except UnicodeDecodeError as error:
        mistakes.append(Mistake(str(path), None, f"is not UTF-8 text: {error.reason} at byte {error.start}"))
    except OSError as error:
        mistakes.append(Mistake(str(path), None, f"cannot be read: {error.strerror}"))
    except orjson.JSONDecodeError as error:
        mistakes.append(Mistake(str(path), error.lineno, f"not JSON: {error.msg}"))
    except csv.Error as error:
        mistakes.append(Mistake(str(path), None, f"not CSV: {error}"))
    if broken > MOST_TOLD:
        mistakes.append(
            Mistake(str(path), None, f"{broken - MOST_TOLD:,} more {'rows' if entry else 'lines'} are broken")
        )
    if not found and not mistakes:
        mistakes.append(Mistake(str(path), None, "holds no prompt"))
    if mistakes:
        raise Mistakes(mistakes)
    return found


def _rows(path: Path, form: str, column: str) -> Iterator[tuple[int | None, str, Any]]:
    """Each row: its line, or else its number in words for a message, and its value; that of a row that does not parse
    is a ValueError."""
    if form == "parquet":
        for number, row in parquet_rows(path, column):
            yield None, f"row {number}: ", row
        return
    if form == "csv":
        csv.field_size_limit(_LONGEST_FIELD)
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            for row in rows:
                yield rows.line_num, "", row
        return
    text = path.read_text("utf-8-sig")
    if text.lstrip().startswith("["):
        for number, row in enumerate(orjson.loads(text), start=1):
            yield None, f"row {number}: ", row
        return
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines: JSON may contain U+2028
        if line.strip():
            try:
                yield number, "", orjson.loads(line)
            except orjson.JSONDecodeError as error:
                yield number, "", ValueError(f"not JSON: {error.msg} at character {error.colno}")


def _conversation(row: Any, form: str, column: str) -> Messages | None:
    """The conversation that a row holds; None if it is one of ShareGPT in which nobody asks. Raises ValueError."""
    if isinstance(row, ValueError):
        raise row
    if _is_deeper(row, DEEPEST):
        raise ValueError(f"values are nested deeper than {DEEPEST} levels")
    if not isinstance(row, dict):
        raise ValueError(f"{_cut(row)} is not an object with keys")
    if form == "csv":
        if not row.get(column):
            raise ValueError(
                f"there is no column {column!r}, or it is empty; columns are {', '.join(filter(None, row))}"
            )
        return [{"role": "user", "content": row[column]}]
    if form == "parquet":
        return _of_column(row)
    return _of_object(row, sharegpt=form == "sharegpt")


def _of_object(row: JsonObject, *, sharegpt: bool) -> Messages | None:
    """The conversation in a JSON object; files joined from several have all of their keys, and leave some empty. In a
    ShareGPT file `conversations` comes first, else `prompt` and `messages` do."""
    prompt, messages, turns = (row.get(key) for key in ("prompt", "messages", "conversations"))
    if sharegpt and turns:
        return _of_sharegpt(turns)
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    if isinstance(messages, list) and (messages or not turns):
        return _until_user(messages)
    if "conversations" in row or (sharegpt and not {"prompt", "messages"} & row.keys()):
        return _of_sharegpt(turns)
    raise ValueError('messages or prompt is missing, such as {"messages": [{"role": "user", "content": "Hi"}]}')


def _of_sharegpt(turns: Any) -> Messages | None:
    """A conversation as ShareGPT has it; None if nobody asks in it, as in some of its file. Raises ValueError."""
    if not isinstance(turns, list):
        raise ValueError("conversations is missing, a list of {from, value}")
    messages = [_said(turn) for turn in turns]
    asks = any(not isinstance(message, dict) or message.get("role", "user") == "user" for message in messages)
    return _until_user(messages) if asks else None


def _of_column(row: JsonObject) -> Messages | None:
    """The conversation in the one column that was read from a Parquet file: a text, messages, or ShareGPT's."""
    if not row:
        raise ValueError("its prompt is null; text or messages are expected")
    [(name, value)] = row.items()
    if name == "conversations":
        return _of_sharegpt(value)
    if isinstance(value, list):
        return _until_user(value)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is {_cut(value)}; text or messages are expected")
    return [{"role": "user", "content": value}]


def _said(turn: Any) -> Any:
    """One turn of ShareGPT as a message; anything else as it is."""
    if not isinstance(turn, dict) or not isinstance(turn.get("from"), str) or turn["from"] not in _SPEAKERS:
        return turn
    delay = {DELAY: turn[DELAY]} if DELAY in turn else {}
    return {"role": _SPEAKERS[turn["from"]], "content": turn.get("value")} | delay


def _until_user(messages: list[Any]) -> Messages:
    """The conversation up to its last user's message; the model is asked for what follows."""
    for message in messages:
        if (wrong := _wrong(message)) is not None:
            raise ValueError(f"{_cut(message)} is not a message: {wrong}")
        if DELAY in message and not _is_delay(message[DELAY]):
            raise ValueError(f"delay is {_cut(message[DELAY])}; milliseconds are expected, such as 2000")
    users = [index for index, message in enumerate(messages) if message["role"] == "user"]
    if not users:
        raise ValueError("there is no message with the role user")
    return messages[: users[-1] + 1]


def _wrong(message: Any) -> str | None:
    """Why a message cannot be sent: it needs a known role, and a text or parts, or else tool calls. None if it can."""
    if not isinstance(message, dict):
        return "an object with role and content is expected"
    role, content, calls = (message.get(key) for key in ("role", "content", "tool_calls"))
    if role is None and "from" in message:
        return f"{_has('from', message)}; human, gpt or system is expected"
    if not isinstance(role, str) or role not in _ROLES:
        return f"{_has('role', message)}; {', '.join(_ROLES[:-1])} or {_ROLES[-1]} is expected"
    if content is None and role == "assistant" and isinstance(calls, list) and calls:
        return None
    if isinstance(content, str):
        return None
    if isinstance(content, list) and content and all(isinstance(part, dict) for part in content):
        return None
    return f"{_has('content', message)}; text, or a list of parts such as {{type: text, text: Hi}}, is expected"


def _has(key: str, message: JsonObject) -> str:
    """What a message has for a key, in words."""
    return f"its {key} is {_cut(message[key])}" if key in message else f"it has no {key}"


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether objects and lists are nested deeper than so many levels: what is too deep cannot be written as JSON."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return bool(inside) and (levels == 0 or any(_is_deeper(one, levels - 1) for one in inside))


def _is_delay(value: Any) -> bool:
    """Whether it is a time in milliseconds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LONGEST_S * 1e3


def _cut(value: Any) -> str:
    """A value as it is in the file, or its beginning."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
