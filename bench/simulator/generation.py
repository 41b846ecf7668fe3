"""Chat and completions: what is asked becomes tokens, and tokens become a body or a stream.

Wire: OpenAI's API reference, with Novita's error form. With the same request come the same words.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from bench.simulator.config import Fault, Provider
from bench.simulator.errors import ProviderError
from bench.simulator.exchange import Exchange
from bench.simulator.faults import Faults, refusal
from bench.simulator.streams import Clock, Frame, Stream, Truth
from bench.simulator.timing import Engine
from bench.simulator.tokens import MESSAGE_TOKENS, answer_words, quoted, text_of, tokenize

_FAULTS = TypeAdapter(tuple[Fault, ...])
_RANGES = {  # as the provider documents them
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "repetition_penalty": (0, 2),
    "min_p": (0, 1),
    "n": (1, 128),
}


class Words(NamedTuple):
    """One of n answers."""

    words: list[str]
    reasoning: int  # how many of the first words are reasoning
    finish: str


@dataclass(frozen=True, slots=True)
class Generation:
    """An answer before it is sent."""

    id: str
    model: str
    chat: bool
    created: int
    answers: list[Words]
    dues: list[float]  # of their words, one of each answer at a time, monotonic seconds
    usage: dict[str, Any]

    @property
    def ends(self) -> float:
        return self.dues[-1] if self.dues else time.monotonic()


class Generator:
    """Answers chat and completions."""

    def __init__(self, provider: Provider, engines: dict[str, Engine], clock: Clock) -> None:
        self.clock = clock
        self._provider, self._engines = provider, engines
        self._rng = random.Random(provider.seed)

    async def generate(self, exchange: Exchange, body: bytes, *, chat: bool) -> None:
        """Answer one request, as its model and its faults have it."""
        asked = parse(body, chat=chat)
        if (engine := self._engines.get(asked["model"])) is None:
            raise ProviderError(404, f"model: {asked['model']} not found")
        rng = random.Random(self._rng.getrandbits(64))
        faults = Faults((*engine.model.faults, *own_faults(asked)), rng)
        if "refuse" in faults:
            exchange.abort()
            return
        if (fault := faults.get("error")) is not None:
            raise refusal(fault)
        if (fault := faults.get("slow_headers")) is not None:
            await asyncio.sleep(fault.seconds)
        async with engine.slot():
            generation = self._generation(exchange, asked, engine, rng, faults, seed=zlib.crc32(body), chat=chat)
            truth = Truth(exchange.arrived)
            if asked.get("stream"):
                await self._stream(exchange, asked, generation, truth, faults)
            else:
                await whole(exchange, generation, truth, faults)
        if (fault := faults.get("close_idle")) is not None:
            exchange.close_in(fault.seconds)

    def _generation(
        self,
        exchange: Exchange,
        asked: dict[str, Any],
        engine: Engine,
        rng: random.Random,
        faults: Faults,
        *,
        seed: int,
        chat: bool,
    ) -> Generation:
        prompt = prompt_tokens(asked, chat=chat)
        now = time.monotonic()
        cached = engine.cached(prompt, now)
        total = len(prompt) + (MESSAGE_TOKENS * len(asked["messages"]) if chat else 0)
        room = max(1, engine.model.context_size - total)
        limit = min(asked.get("max_tokens") or asked.get("max_completion_tokens") or room, room)
        natural = engine.model.reasoning_tokens + random.Random(seed).randint(*engine.model.output_tokens)
        count = 0 if "empty" in faults else min(limit, natural)
        answers = [
            answer(seed + choice, count, engine.model.reasoning_tokens, limit, asked, self._provider.stop_in_text)
            for choice in range(asked.get("n") or 1)
        ]
        offsets = engine.offsets(rng, prefill=total - cached, tokens=max(len(one.words) for one in answers))
        began = max(exchange.arrived, now - 1.0) if engine.model.slots is None else now
        completion = sum(len(one.words) for one in answers)
        reasoning = sum(min(one.reasoning, len(one.words)) for one in answers)
        return Generation(
            id=("chatcmpl-" if chat else "cmpl-") + exchange.id,
            model=asked["model"],
            chat=chat,
            created=int(time.time()),
            answers=answers,
            dues=[began + offset for offset in offsets],
            usage={
                "prompt_tokens": total,
                "completion_tokens": completion,
                "total_tokens": total + completion,
                "prompt_tokens_details": {"cached_tokens": cached},
                "completion_tokens_details": {"reasoning_tokens": reasoning},
            },
        )

    async def _stream(
        self, exchange: Exchange, asked: dict[str, Any], generation: Generation, truth: Truth, faults: Faults
    ) -> None:
        with_usage = bool((asked.get("stream_options") or {}).get("include_usage")) and "no_usage" not in faults
        headers = {"connection": "close"} if "close" in faults else {}
        await exchange.start(200, "text/event-stream", {"cache-control": "no-cache"} | headers)
        stream = Stream(
            frames=faults.bend(frames(generation, with_usage, faults)),
            transport=exchange.transport,
            style=faults.style(),
            truth=truth,
            done=asyncio.get_running_loop().create_future(),
        )
        if await self.clock.play(stream):
            await exchange.end()


async def whole(exchange: Exchange, generation: Generation, truth: Truth, faults: Faults) -> None:
    """The answer in one body, when its last token is due."""
    await asyncio.sleep(max(0.0, generation.ends - time.monotonic()))
    if (fault := faults.get("stall")) is not None:
        await asyncio.sleep(fault.seconds)
    if generation.dues:
        truth.first_token, truth.last_token = generation.dues[0], generation.ends
    choices = [choice_of(generation, number) for number in range(len(generation.answers))]
    kind = "chat.completion" if generation.chat else "text_completion"
    answer = {"id": generation.id, "object": kind, "created": generation.created, "model": generation.model}
    answer |= {"choices": choices}
    if "no_usage" not in faults:
        answer["usage"] = generation.usage
    if (fault := faults.get("error_in_stream")) is not None:
        answer = {"error": {"message": refusal(fault).message, "code": fault.status}}
    answer["simulator"] = asdict(truth) | {"sent": time.monotonic()}
    body = json.dumps(answer).encode()
    if "bad_json" in faults or "truncate" in faults:
        body = body[: len(body) // 2]
    if "no_length" in faults:
        exchange.send_unframed(body)
    elif "reset" in faults:
        exchange.abort()
    else:
        await exchange.send_json(body, headers={"connection": "close"} if "close" in faults else {})


def choice_of(generation: Generation, number: int) -> dict[str, Any]:
    """One of the answers of a body that does not stream."""
    one = generation.answers[number]
    text = "".join(one.words[one.reasoning :])
    choice: dict[str, Any] = {"index": number, "finish_reason": one.finish}
    if not generation.chat:
        return choice | {"text": text, "logprobs": None}
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if reasoning := "".join(one.words[: one.reasoning]):
        message["reasoning_content"] = reasoning
    return choice | {"message": message}


def frames(generation: Generation, with_usage: bool, faults: Faults) -> Iterator[Frame]:
    """The stream's events in order. The last that is JSON tells the truth about the stream's own timing."""
    chat, answers = generation.chat, generation.answers
    head = {
        "id": generation.id,
        "object": "chat.completion.chunk" if chat else "text_completion",
        "created": generation.created,
        "model": generation.model,
    }
    chunk = Chunk(json.dumps(head).encode()[:-1], chat, with_usage)
    per_chunk = fault.size if (fault := faults.get("tokens_per_chunk")) is not None else 1
    if chat:
        due = time.monotonic() if "early_role" in faults or not generation.dues else generation.dues[0]
        for number in range(len(answers)):
            yield Frame(due, chunk.role(number))
    for begin in range(0, len(generation.dues), per_chunk):
        end = min(begin + per_chunk, len(generation.dues))
        usage = None
        if "usage_every_chunk" in faults:
            usage = generation.usage | {"completion_tokens": sum(min(end, len(one.words)) for one in answers)}
        for number, one in enumerate(answers):
            for reasoning, words in parts(one, begin, end):
                text = words[0] if len(words) == 1 else "".join(words)
                yield Frame(generation.dues[end - 1], chunk.token(number, text, reasoning, usage), "token")
    for number, one in enumerate(answers):
        nothing: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
        choice = {"index": number, "finish_reason": one.finish} | nothing
        last = number == len(answers) - 1 and not with_usage
        yield Frame(generation.ends, ending(head | {"choices": [choice]}, truthful=last))
    if with_usage:
        yield Frame(generation.ends, ending(head | {"choices": [], "usage": generation.usage}, truthful=True))
    yield Frame(generation.ends, b"[DONE]")


class Chunk:
    """Puts a stream's chunks together from bytes that are the same for all of them."""

    def __init__(self, head: bytes, chat: bool, with_usage: bool) -> None:
        self._start = head + b', "choices": [{"index": %d, '
        self._end = b', "finish_reason": null}]' + (b', "usage": null}' if with_usage else b"}")
        self._texts = {
            False: b'"delta": {"content": %b}' if chat else b'"text": %b',
            True: b'"delta": {"reasoning_content": %b}' if chat else b'"text": %b',
        }

    def role(self, number: int) -> bytes:
        return self._start % number + b'"delta": {"role": "assistant", "content": ""}' + self._end

    def token(self, number: int, text: str, reasoning: bool, usage: dict[str, Any] | None) -> bytes:
        middle = self._texts[reasoning] % quoted(text)
        if usage is None:
            return b"%b%b%b" % (self._start % number, middle, self._end)
        stated = json.dumps(usage).encode()
        return b'%b%b, "finish_reason": null}], "usage": %b}' % (self._start % number, middle, stated)


def parts(one: Words, begin: int, end: int) -> Iterator[tuple[bool, list[str]]]:
    """An answer's words from begin to end: those of reasoning, then the others."""
    edge = min(max(one.reasoning, begin), end)
    if begin < edge and (words := one.words[begin:edge]):
        yield True, words
    if edge < end and (words := one.words[edge:end]):
        yield False, words


def ending(chunk: dict[str, Any], *, truthful: bool) -> Any:
    """The chunk as bytes, or what makes them once the truth is known."""
    if not truthful:
        return json.dumps(chunk).encode()
    return lambda truth: json.dumps(chunk | {"simulator": asdict(truth)}).encode()


def answer(seed: int, count: int, reasoning: int, limit: int, asked: dict[str, Any], keep_stop: bool) -> Words:
    """An answer up to its limit or to the first of the request's stop sequences, that one kept or not."""
    words, finish = answer_words(seed, count), "length" if count >= limit else "stop"
    stops = [asked["stop"]] if isinstance(asked.get("stop"), str) else asked.get("stop") or []
    text = ""
    for number in range(reasoning, len(words) if stops else 0):
        text += words[number]
        if any(stop in text for stop in stops):
            return Words(words[: number + keep_stop], reasoning, "stop")
    return Words(words, reasoning, finish)


def prompt_tokens(asked: dict[str, Any], *, chat: bool) -> list[str]:
    """The prompt's tokens in order, all prompts together where there are several."""
    if chat:
        return [piece for message in asked["messages"] for piece in tokenize(text_of(message.get("content")))]
    prompt = asked["prompt"]
    if isinstance(prompt, str):
        return tokenize(prompt)
    return [str(piece) for part in prompt for piece in (tokenize(part) if isinstance(part, str) else [part])]


def parse(body: bytes, *, chat: bool) -> dict[str, Any]:
    """The request's JSON, checked as the provider does. Raises ProviderError."""
    try:
        asked = json.loads(body)
    except ValueError as error:
        raise ProviderError(400, f"body is not JSON: {error}") from None
    if not isinstance(asked, dict):
        raise ProviderError(400, "body is not a JSON object")
    for name, kind in (("model", str), ("messages", list)) if chat else (("model", str), ("prompt", str | list)):
        if not isinstance(asked.get(name), kind) or not asked[name]:
            raise ProviderError(400, f"{name} is required")
    for name, (low, high) in _RANGES.items():
        value = asked.get(name)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high
        ):
            raise ProviderError(400, f"{name} must be between {low} and {high}, got {value!r}")
    limit = asked.get("max_tokens")
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise ProviderError(400, f"max_tokens must be at least 1, got {limit!r}")
    return asked


def own_faults(asked: dict[str, Any]) -> tuple[Fault, ...]:
    """A request may ask for faults of its own: `"simulator": {"faults": [{"kind": "stall"}]}`."""
    try:
        return _FAULTS.validate_python((asked.get("simulator") or {}).get("faults") or ())
    except ValidationError as error:
        raise ProviderError(400, f"simulator.faults: {error.errors()[0]['msg']}") from None
