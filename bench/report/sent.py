"""One request and its answer for people, as lines, and for programs, as one JSON document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from bench.analysis.numerals import count, counted, milliseconds
from bench.records import Record
from bench.records.sent import Sent
from bench.report.shown import members
from bench.report.words import in_json, visible

LONGEST = 2000  # characters of a text within a body, such as a picture in base64, before it is cut


def sent_in_words(sent: Sent) -> str:
    """Request, answer, events and record as lines for a terminal."""
    return "\n".join(lines(sent))


def sent_in_json(sent: Sent) -> str:
    """The same as one JSON document; times in s."""
    document = msgspec.to_builtins(sent)
    document["record"] = msgspec.json.decode(msgspec.json.encode(sent.record))
    return in_json(json.dumps(document, ensure_ascii=False, indent=2))


def lines(sent: Sent) -> Iterator[str]:
    yield f"{sent.method} {visible(sent.url)}" if sent.method else "no request could be made"
    yield from headers(sent.headers)
    if sent.body:
        yield ""
        yield body(sent.body)
    yield ""
    if sent.connected is not None:
        yield f"connected in {milliseconds(sent.connected)} ms"
    if sent.status is not None:
        yield f"{sent.http or 'HTTP'} {sent.status} after {milliseconds(sent.headers_at)} ms"
        yield from headers(sent.answer_headers)
        yield ""
    for event in sent.events:
        name = f"{visible(event.name)}: " if event.name else ""
        yield f"{event.at * 1e3:>10,.2f} ms  {name}{visible(short(event.data))}"
    if sent.answer is not None:
        yield body(sent.answer)
    if sent.done is not None:
        yield f"ended after {milliseconds(sent.done)} ms; {counted(sent.answer_bytes, 'bytes')}"
    yield ""
    yield "What a run would write down:"
    yield from record_of(sent.record)


def record_of(record: Record) -> Iterator[str]:
    """What a run would write down; what it says nothing about is left out."""
    told = [(name, value) for name, value in members(record) if value not in ("none", "")]
    width = max(len(name) for name, _ in told)
    for name, value in told:
        yield f"{name:<{width}}  {visible(value)}"


def headers(found: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, value in found:
        yield f"{visible(name)}: {visible(value)}"


def body(text: str) -> str:
    """A body, JSON with a member a line."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return visible(short(text, 10 * LONGEST), keep="\n")
    return visible(json.dumps(cut(value), ensure_ascii=False, indent=2), keep="\n")


def cut(value: Any) -> Any:
    """JSON whose long texts are cut."""
    if isinstance(value, str):
        return short(value)
    if isinstance(value, dict):
        return {key: cut(one) for key, one in value.items()}
    return [cut(one) for one in value] if isinstance(value, list) else value


def short(text: str, longest: int = LONGEST) -> str:
    more = len(text) - longest
    return text if more <= 0 else f"{text[:longest]} … and {count(more)} characters more"
