"""Speech in one exchange: the answer is a stream of sound without terminator, one JSON object, or the sound file.

Source: Novita's references of MiniMax speech (hexadecimal sound in server-sent events, {"status": 2} at the end; from
2.8 on inside `data`) and of GLM-TTS (the bytes of a sound file).
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Any

from bench.wire.answer import UNREADABLE, Answer, followed, parsed, timings_of
from bench.wire.ask import Ask
from bench.wire.errors import find_error
from bench.wire.exchange import Read
from bench.wire.openai import DONE
from bench.wire.sse import BOM, Decoder, timed_events
from bench.wire.unary import read_json

EVENT_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")  # of server-sent events, any of which may come first
_UTF8 = codecs.getincrementaldecoder("utf-8")
LAST = 2  # the status of a stream's last event
LONGEST_TEXT = 512  # bytes of a body that are looked at


@dataclass(frozen=True, slots=True)
class Speech:
    """POST v3/MODEL."""

    name: str = "speech"
    path: str = "v3/{model}"
    family: str = "media"

    def body(self, ask: Ask) -> dict[str, Any]:
        return {"text": ask.input, "stream": ask.stream} | dict(ask.parameters) | dict(ask.extra_body)

    def read(self, reads: list[Read], *, stream: bool) -> Answer:
        data = b"".join(data for _, data in reads)
        if data.lstrip().startswith(b"{"):
            return read_json(data, read_object)
        if stream and data.removeprefix(BOM).lstrip().startswith(EVENT_FIELDS):
            return read_stream(reads)
        if is_text(data):
            return Answer(garbled=f"text, and no sound: {data[:80]!r}")
        return Answer(item="sound", items=int(bool(data)), empty=not data)  # the body is the sound file

    def token_times(self, reads: list[Read]) -> tuple[float | None, float | None]:
        arrivals = read_stream(reads).arrivals
        return (arrivals[0][0], arrivals[-1][0]) if arrivals else (None, None)


def is_text(data: bytes) -> bool:
    """Whether a body is text, such as a proxy's page, and so no sound file: those begin with other bytes."""
    try:
        begin = _UTF8().decode(data[:LONGEST_TEXT])  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return bool(begin) and all(one.isprintable() or one.isspace() for one in begin.removeprefix("\ufeff"))


def read_object(value: dict[str, Any]) -> Answer:
    """The answer in one JSON object that holds all the sound, or its address."""
    if (error := minimax_error(value.get("base_resp") or {})) is not None:
        return Answer(error=error)
    sound = (value.get("data") or value)["audio"]
    return Answer(item="sound", items=int(bool(sound)), empty=not sound)


def read_stream(reads: list[Read]) -> Answer:
    """The answer in a stream. Each event with sound is an arrival of 0 tokens."""
    arrivals: list[tuple[float, int]] = []
    server: dict[str, float] = {}
    merged, ended, error, garbled = 0, False, None, None
    for at, last, event in timed_events(reads, Decoder()):
        if not event.data or event.data.startswith(DONE):  # of a gateway
            continue
        try:
            value = parsed(event.data)
            piece = value.get("data") or value
            if piece.get("audio"):
                garbled = garbled or (followed(event.data) if ended else None)
                arrivals.append((at, 0))
                merged += not last
            ended = ended or piece.get("status") == LAST
            error = error or find_error(value) or minimax_error(value.get("base_resp") or {})
            server |= timings_of(value)
        except UNREADABLE:
            garbled = garbled or f"an event that this API does not have: {event.data[:80]!r}"
    return Answer(
        arrivals=arrivals,
        first_token_at=arrivals[0][0] if arrivals else None,
        first_answer_at=arrivals[0][0] if arrivals else None,
        merged=merged,
        empty=not arrivals,
        item="sound",
        items=int(bool(arrivals)),
        finish_reason="stop" if ended else None,
        error=None if error is None else str(error),
        garbled=garbled,
        missing=None if ended else 'its last event, {"status": 2}',
        server=server,
    )


def minimax_error(response: dict[str, Any]) -> str | None:
    """The error that MiniMax reports inside an HTTP success; None if there is none."""
    code = response.get("status_code")
    return f"{code}: {response.get('status_msg') or ''}".strip() if code else None
