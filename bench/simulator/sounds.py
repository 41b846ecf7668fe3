"""OpenAI's audio APIs: text to sound, and sound to text."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
import wave
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from bench.simulator.admission import Cost
from bench.simulator.errors import ProviderError
from bench.simulator.exchange import Exchange
from bench.simulator.faults import Faults
from bench.simulator.generation import Generator, send_body
from bench.simulator.requests import form_of, object_of, params_of_form, require
from bench.simulator.streams import Frame
from bench.simulator.tokens import answer_words, tokenize

Json = dict[str, Any]

KINDS = {"mp3": "audio/mpeg", "wav": "audio/wav", "pcm": "audio/pcm"}
PIECES = 12  # number of pieces of a speech
RATE = 24_000  # samples per second, 16 bits each
MP3_FRAME = b"\xff\xfb\x90\xc4" + bytes(413)  # silence, 26 ms of it


async def speech(generator: Generator, exchange: Exchange, body: bytes) -> None:
    """Answer a text with sound, in pieces: as bytes or as events."""
    params = object_of(body)
    require(params, "model", str)
    text = require(params, "input", str)
    require(params, "voice", (str, dict))
    kind = params.get("response_format") or "mp3"
    if kind not in KINDS:
        raise ProviderError(400, f"response_format must be one of {', '.join(KINDS)}, got {kind!r:.40}")
    if (form := params.get("stream_format") or "audio") not in ("audio", "sse"):
        raise ProviderError(400, f"stream_format must be audio or sse, got {form!r:.40}")
    tokens = len(tokenize(text))
    async with generator.admitted(exchange, params, "audio/speech", cost=Cost(input_tokens=tokens)) as slot:
        if slot is None:
            return
        engine, faults = slot
        began = engine.begins(exchange.arrived)
        dues = [began + at for at in engine.offsets(generator.draw(), prefill=tokens, tokens=PIECES)]
        pieces = pieces_of(kind)
        if "empty" in faults:
            dues, pieces = [], []
        truth = exchange.truth()
        if form == "sse":
            usage = {"input_tokens": tokens, "output_tokens": len(pieces), "total_tokens": tokens + len(pieces)}
            await generator.stream(exchange, speech_frames(dues, pieces, usage), truth, faults)
            return
        await send_sound(exchange, KINDS[kind], dues, pieces, faults)


async def send_sound(exchange: Exchange, kind: str, dues: list[float], pieces: list[bytes], faults: Faults) -> None:
    """Send each piece of a sound when it is due, or break it off by the request's faults."""
    stall, cut = faults.get("stall"), faults.get("truncate") or faults.get("reset")
    headers = {"connection": "close"} if "close" in faults else {}
    for number, (due, piece) in enumerate(zip(dues, pieces, strict=True)):
        if cut is not None and number == cut.after_tokens:
            if "reset" in faults:
                exchange.abort()
                return
            break
        late = stall.seconds if stall is not None and number >= stall.after_tokens else 0.0
        await asyncio.sleep(max(0.0, due + late - time.monotonic()))
        if not exchange.status:
            await exchange.start(200, kind, headers)
        await exchange.send_piece(piece)
    if not exchange.status:
        await exchange.start(200, kind, headers)
    await exchange.end()


def pieces_of(kind: str) -> list[bytes]:
    """Silence in the pieces that are sent."""
    if kind == "mp3":
        return [MP3_FRAME] * PIECES
    silence = bytes(RATE // 10 * 2 * PIECES)
    if kind == "wav":
        whole = io.BytesIO()
        with wave.open(whole, "wb") as written:
            written.setnchannels(1)
            written.setsampwidth(2)
            written.setframerate(RATE)
            written.writeframes(silence)
        silence = whole.getvalue()
    size = -(-len(silence) // PIECES)
    return [silence[at : at + size] for at in range(0, len(silence), size)]


def speech_frames(dues: list[float], pieces: list[bytes], usage: Json) -> Iterator[Frame]:
    for due, piece in zip(dues, pieces, strict=True):
        event = {"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()}
        yield Frame(due, json.dumps(event).encode(), "token")
    yield last(dues, {"type": "speech.audio.done", "usage": usage})


async def transcriptions(generator: Generator, exchange: Exchange, body: bytes) -> None:
    """Answer a sound with text: words chosen at random by its bytes."""
    fields, files = form_of(exchange, body)
    params = params_of_form(fields)
    require(params, "model", str)
    if "file" not in files or not (sound := files["file"].read()):
        raise ProviderError(400, "file is required")
    form = params.get("response_format", "json")
    if form not in ("json", "text", "verbose_json"):
        raise ProviderError(400, f"response_format must be json, text or verbose_json, got {form!r:.40}")
    audio_tokens = -(-len(sound) // RATE)
    cost = Cost(input_tokens=audio_tokens)
    async with generator.admitted(exchange, params, "audio/transcriptions", cost=cost) as slot:
        if slot is None:
            return
        engine, faults = slot
        rng = generator.draw()
        words = [] if "empty" in faults else answer_words(zlib.crc32(sound), rng.randint(*engine.model.output_tokens))
        exchange.written = len(words)
        began = engine.begins(exchange.arrived)
        dues = [began + at for at in engine.offsets(rng, prefill=audio_tokens, tokens=len(words))]
        truth = exchange.truth()
        usage = text_usage(audio_tokens, len(words))
        if params.get("stream") in ("true", "True", "1"):
            await generator.stream(exchange, text_frames(dues, words, usage), truth, faults)
            return
        await asyncio.sleep(max(0.0, dues[-1] - time.monotonic()) if dues else 0.0)
        text = "".join(words)
        if form == "text":
            await exchange.send_text(text + "\n", status=200)
            return
        answer: Json = {"text": text, "usage": usage}
        if form == "verbose_json":
            answer = verbose_answer(text, len(sound) / (2 * RATE))
        await send_body(exchange, answer, truth, faults)


def text_usage(audio: int, text: int) -> Json:
    """What a transcription states of its tokens."""
    return {
        "type": "tokens",
        "input_tokens": audio,
        "input_token_details": {"audio_tokens": audio, "text_tokens": 0},
        "output_tokens": text,
        "total_tokens": audio + text,
    }


def verbose_answer(text: str, seconds: float) -> Json:
    """A transcription of a sound of this length in the form verbose_json."""
    usage = {"type": "duration", "seconds": max(1, round(seconds))}
    found = {"task": "transcribe", "language": "english", "duration": seconds, "text": text, "segments": []}
    return found | {"usage": usage}


def text_frames(dues: list[float], words: list[str], usage: Json) -> Iterator[Frame]:
    for due, word in zip(dues, words, strict=True):
        event = {"type": "transcript.text.delta", "delta": word}
        yield Frame(due, json.dumps(event).encode(), "token")
    yield last(dues, {"type": "transcript.text.done", "text": "".join(words), "usage": usage})


def last(dues: list[float], event: Json) -> Frame:
    """The last event of a stream, with the truth in it."""
    due = dues[-1] if dues else time.monotonic()
    return Frame(due, lambda truth: json.dumps(event | {"simulator": asdict(truth)}).encode(), "terminator")
