"""One request and its answer for people, as lines, and for programs, as one JSON document."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from bench.analysis.numerals import count, counted, milliseconds
from bench.records import Record
from bench.records.sent import Arrived, Exchanged, Sent
from bench.report.shown import members
from bench.report.words import in_json, visible

LONGEST = 2000  # characters of a text within a body, such as a picture in base64, before it is cut


def sent_in_json(sent: Sent) -> str:
    """A request with its answer as one JSON document; times in s."""
    document = msgspec.to_builtins(sent)
    document["record"] = msgspec.json.decode(msgspec.json.encode(sent.record))
    return in_json(json.dumps(document, ensure_ascii=False, indent=2))


class TextWatcher:
    """A watcher that tells each exchange in words; `write` takes one or more whole lines."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._headed = False  # whether the head of the exchange that goes on has been told

    def request(self, one: Exchanged) -> None:
        """The request, before its answer is waited for."""
        self._tell([f"{one.method} {visible(one.url)}", *headers(one.headers), ""])
        if one.body:
            self._tell([body(one.body), ""])

    def head(self, one: Exchanged) -> None:
        """How the connection was made, and the head of the answer."""
        self._headed = True
        if one.times > 1:
            self._tell([f"sent {one.times} times, the last time {milliseconds(one.at)} ms after the first request"])
        if one.connected is not None:
            self._tell([f"connected in {milliseconds(one.connected)} ms"])
        if one.status is not None:
            head = f"{one.http or 'HTTP'} {one.status} after {milliseconds(one.headers_at)} ms"
            self._tell([head, *headers(one.answer_headers), ""])

    def event(self, one: Arrived) -> None:
        """One event of a stream."""
        name = f"{visible(one.name)}: " if one.name else ""
        self._tell([f"{one.at * 1e3:>10,.2f} ms  {name}{visible(short(one.data))}"])

    def end(self, one: Exchanged) -> None:
        """What has not been told of the exchange."""
        if not self._headed:
            self.head(one)
        self._headed = False
        if one.answer is not None:
            self._tell([body(one.answer)])
        if one.done is not None:
            self._tell([f"ended after {milliseconds(one.done)} ms; {counted(one.answer_bytes, 'bytes')}"])
        self._tell([""])

    def rest(self, sent: Sent) -> None:
        """What is known when all exchanges are over."""
        if not sent.exchanges:
            self._tell(["no request could be made", ""])
        if sent.webhook is not None:
            self._tell([f"webhook after {milliseconds(sent.webhook.at)} ms", body(sent.webhook.data), ""])
        self._tell(["What a run would write down:", *record_of(sent.record)])

    def _tell(self, lines: Iterable[str]) -> None:
        self._write("\n".join(lines))


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
        return visible(short(text.replace("\r\n", "\n"), 10 * LONGEST), keep="\n")
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
