"""Prompts from data files: JSON Lines of OpenAI messages, CSV, ShareGPT."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.plan.document import Mistake, Mistakes

Messages = list[dict[str, Any]]

_SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def read_dataset(path: Path, form: str | None, column: str) -> list[Messages]:
    """Every conversation of a file, each ending with a user's message. Raises Mistakes: every bad line at once."""
    form = form or {".csv": "csv", ".json": "sharegpt"}.get(path.suffix.lower(), "openai")
    mistakes: list[Mistake] = []
    found = []
    try:
        for line, row in _rows(path, form):
            try:
                found.append(_conversation(row, form, column))
            except ValueError as error:
                mistakes.append(Mistake(str(path), line, str(error)))
    except (OSError, ValueError, csv.Error) as error:
        mistakes.append(Mistake(str(path), None, f"cannot be read as {form}: {error}"))
    if not found and not mistakes:
        mistakes.append(Mistake(str(path), None, "holds no prompt"))
    if mistakes:
        raise Mistakes(mistakes)
    return found


def _rows(path: Path, form: str) -> Iterator[tuple[int | None, Any]]:
    """Line and value of each row; a value that does not parse is given as its text."""
    if form == "csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            for row in rows:
                yield rows.line_num, row
        return
    text = path.read_text("utf-8-sig")
    if text.lstrip().startswith("["):
        for row in json.loads(text):
            yield None, row
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                yield number, f"not JSON: {error}"


def _conversation(row: Any, form: str, column: str) -> Messages:
    if not isinstance(row, dict):
        raise ValueError(row if isinstance(row, str) else f"{row!r} is not an object with keys")
    if form == "csv":
        if not row.get(column):
            raise ValueError(f"there is no column {column!r}, or it is empty; columns are {', '.join(map(str, row))}")
        return [{"role": "user", "content": row[column]}]
    if form == "sharegpt":
        turns = row.get("conversations")
        if not isinstance(turns, list):
            raise ValueError("conversations is missing, a list of {from, value}")
        said = [{"role": _SPEAKERS.get(turn.get("from", ""), ""), "content": turn.get("value", "")} for turn in turns]
        return _until_user(said)
    if isinstance(row.get("prompt"), str):
        return [{"role": "user", "content": row["prompt"]}]
    if not isinstance(row.get("messages"), list):
        raise ValueError('messages or prompt is missing, such as {"messages": [{"role": "user", "content": "Hi"}]}')
    return _until_user(row["messages"])


def _until_user(messages: list[Any]) -> Messages:
    """The conversation up to its last user's message: what follows is the answer we ask for."""
    for message in messages:
        sound = isinstance(message, dict) and message.get("role")
        if not sound or (message.get("content") is None and not message.get("tool_calls")):
            raise ValueError(f"{message!r} is not a message with a known role and content")
    users = [index for index, message in enumerate(messages) if message["role"] == "user"]
    if not users:
        raise ValueError("there is no message of a user")
    return messages[: users[-1] + 1]
