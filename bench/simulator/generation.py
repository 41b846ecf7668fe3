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
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Token:
    text: str
    reasoning: bool
    choice: int  # which of n answers it belongs to


@dataclass(frozen=True, slots=True)
class Generation:
    """An answer before it is sent."""

    id: str
    model: str
    chat: bool
    created: int
    tokens: list[list[Token]]  # by moment: one of each of n answers
    dues: list[float]  # of those moments, monotonic seconds
    finish: list[str]  # by answer
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
            answer(seed + choice, count, engine.model.reasoning_tokens, limit, choice)
            for choice in range(asked.get("n") or 1)
        ]
        answers = [cut_at_stop(tokens, finish, asked, self._provider.stop_in_text) for tokens, finish in answers]
        offsets = engine.offsets(rng, prefill=total - cached, tokens=max((len(t) for t, _ in answers), default=0))
        began = max(exchange.arrived, now - 1.0) if engine.model.slots is None else now
        completion = sum(len(tokens) for tokens, _ in answers)
        return Generation(
            id=("chatcmpl-" if chat else "cmpl-") + exchange.id,
            model=asked["model"],
            chat=chat,
            created=int(time.time()),
            tokens=[[t[moment] for t, _ in answers if moment < len(t)] for moment in range(len(offsets))],
            dues=[began + offset for offset in offsets],
            finish=[finish for _, finish in answers],
            usage={
                "prompt_tokens": total,
                "completion_tokens": completion,
                "total_tokens": total + completion,
                "prompt_tokens_details": {"cached_tokens": cached},
                "completion_tokens_details": {
                    "reasoning_tokens": sum(token.reasoning for tokens, _ in answers for token in tokens)
                },
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
    choices = [choice_of(generation, number) for number in range(len(generation.finish))]
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
    mine = [token for moment in generation.tokens for token in moment if token.choice == number]
    text = "".join(token.text for token in mine if not token.reasoning)
    choice: dict[str, Any] = {"index": number, "finish_reason": generation.finish[number]}
    if not generation.chat:
        return choice | {"text": text, "logprobs": None}
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if reasoning := "".join(token.text for token in mine if token.reasoning):
        message["reasoning_content"] = reasoning
    return choice | {"message": message}


def frames(generation: Generation, with_usage: bool, faults: Faults) -> Iterator[Frame]:
    """The stream's events in order. The last that is JSON tells the truth about the stream's own timing."""
    chat, finish = generation.chat, generation.finish
    head = {
        "id": generation.id,
        "object": "chat.completion.chunk" if chat else "text_completion",
        "created": generation.created,
        "model": generation.model,
    }
    start = json.dumps(head).encode()[:-1] + b', "choices": [{"index": '
    middle = {False: b', "delta": {"content": ' if chat else b', "text": ', True: b', "delta": {"reasoning_content": '}
    close = b"}" if chat else b""
    usage_null = b', "usage": null' if with_usage else b""
    per_chunk = fault.size if (fault := faults.get("tokens_per_chunk")) is not None else 1
    first_due = generation.dues[0] if generation.dues else time.monotonic()
    if chat:
        due = time.monotonic() if "early_role" in faults else first_due
        for number in range(len(finish)):
            role = b'%b%d, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]%b}'
            yield Frame(due, role % (start, number, usage_null))
    counted = 0
    for begin in range(0, len(generation.dues), per_chunk):
        due = generation.dues[min(begin + per_chunk, len(generation.dues)) - 1]
        for token in joined(generation.tokens[begin : begin + per_chunk]):
            counted += per_chunk
            usage = usage_null
            if "usage_every_chunk" in faults:
                so_far = min(counted, generation.usage["completion_tokens"])
                usage = b', "usage": ' + json.dumps(generation.usage | {"completion_tokens": so_far}).encode()
            payload = b'%b%d%b%b%b, "finish_reason": null}]%b}' % (
                start, token.choice, middle[token.reasoning], quoted(token.text), close, usage
            )  # fmt: skip
            yield Frame(due, payload, "token")
    for number, reason in enumerate(finish):
        nothing: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
        choice = {"index": number, "finish_reason": reason} | nothing
        last = number == len(finish) - 1 and not with_usage
        yield Frame(generation.ends, ending(head | {"choices": [choice]}, truthful=last))
    if with_usage:
        yield Frame(generation.ends, ending(head | {"choices": [], "usage": generation.usage}, truthful=True))
    yield Frame(generation.ends, b"[DONE]")


def joined(moments: list[list[Token]]) -> list[Token]:
    """Tokens of successive moments put together, by answer and by what they are."""
    texts: dict[tuple[int, bool], str] = {}
    for token in (token for moment in moments for token in moment):
        key = (token.choice, token.reasoning)
        texts[key] = texts.get(key, "") + token.text
    return [Token(text, reasoning, choice) for (choice, reasoning), text in texts.items()]


def ending(chunk: dict[str, Any], *, truthful: bool) -> Any:
    """The chunk as bytes, or what makes them once the truth is known."""
    if not truthful:
        return json.dumps(chunk).encode()
    return lambda truth: json.dumps(chunk | {"simulator": asdict(truth)}).encode()


def answer(seed: int, count: int, reasoning: int, limit: int, choice: int) -> tuple[list[Token], str]:
    """An answer's tokens and why it ended."""
    words = answer_words(seed, count)
    tokens = [Token(word, number < reasoning, choice) for number, word in enumerate(words)]
    return tokens, "length" if count >= limit else "stop"


def cut_at_stop(tokens: list[Token], finish: str, asked: dict[str, Any], keep: bool) -> tuple[list[Token], str]:
    """The answer up to the first of the request's stop sequences, with it or without."""
    stops = [asked["stop"]] if isinstance(asked.get("stop"), str) else asked.get("stop") or []
    text = ""
    for number, token in enumerate(tokens):
        text += "" if token.reasoning else token.text
        if any(stop in text for stop in stops):
            return tokens[: number + keep], "stop"
    return tokens, finish


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
