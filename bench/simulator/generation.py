"""What is asked becomes an answer with a due time for each of its tokens, whichever API it is sent by."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench.simulator.admission import Admission, Cost
from bench.simulator.answers import Words, answer
from bench.simulator.cache import Found
from bench.simulator.config import Model, PrefixCache, Provider
from bench.simulator.counters import Counts
from bench.simulator.engine import Engine
from bench.simulator.errors import ProviderError
from bench.simulator.exchange import Exchange
from bench.simulator.faults import Faults, check_kinds, refusal
from bench.simulator.ledger import Ledger, Tokens
from bench.simulator.requests import own_faults, tokens_of_prompts
from bench.simulator.streams import Clock, Frame, Stream, Truth
from bench.simulator.tokens import MESSAGE_TOKENS


@dataclass(frozen=True, slots=True)
class Generation:
    """An answer before it is sent."""

    id: str
    asked: dict[str, Any]
    chat: bool
    created: int
    answers: list[Words]
    dues: list[float]  # of their words, one of each answer at a time, monotonic seconds
    prompt: int  # tokens
    cached: int  # of those, read from the cache
    told: Tokens  # as the answer tells them, and as they are charged
    style: str  # the name that reasoning goes under
    cache_style: str  # how the answer tells cached tokens, as PrefixCache.usage
    counts: Counts  # of its model
    ledger: Ledger  # of its model

    @property
    def model(self) -> str:
        return str(self.asked["model"])

    @property
    def ends(self) -> float:
        return self.dues[-1] if self.dues else time.monotonic()

    @property
    def completion(self) -> int:
        return sum(len(one.words) for one in self.answers)

    def note(self, truth: Truth, *, sent: bool = True) -> None:
        """Count it among its model's, and charge it: whoever goes away pays for the prompt."""
        self.charge(completion=self.completion if sent else 0)
        reasons = [one.finish for one in self.answers] if sent else ["abort"] * len(self.answers)
        self.counts.note(
            truth, prompt=self.prompt, cached=self.cached, written=self.completion if sent else 0, reasons=reasons
        )

    def charge(self, *, completion: int, share: float = 1.0) -> None:
        """Into its model's account; `share` is what a batch costs of that."""
        self.ledger.charge(replace(self.told, completion=completion), share)

    @property
    def reasoning(self) -> int:
        return sum(min(one.reasoning, len(one.words)) for one in self.answers)


class Generator:
    """Makes answers, and writes streams."""

    def __init__(self, provider: Provider, engines: dict[str, Engine], clock: Clock) -> None:
        self.clock, self.engines = clock, engines
        self._provider = provider
        self._rng = random.Random(provider.seed)
        self._admission = Admission(provider)

    def engine(self, model: str) -> Engine:
        """The model of that name. Raises ProviderError."""
        if (engine := self.engines.get(model)) is None:
            raise ProviderError(404, f"model: {model} not found")
        return engine

    def draw(self) -> random.Random:
        """Chance for one request."""
        return random.Random(self._rng.getrandbits(64))

    def faults(self, asked: dict[str, Any], engine: Engine, api: str) -> Faults:
        """What goes wrong with a request. Raises ProviderError for a fault that the API cannot have."""
        possible = (*engine.model.faults, *own_faults(asked))
        check_kinds(possible, api)
        return Faults(possible, self.draw())

    @asynccontextmanager
    async def admitted(
        self, exchange: Exchange, asked: dict[str, Any], api: str, *, cost: Cost | None = None
    ) -> AsyncIterator[tuple[Engine, Faults] | None]:
        """A request's model and faults, once it has its place; None if the connection was closed instead.

        `cost` is what it takes of the provider's limits; default: as generated texts have it.
        Raises ProviderError for an unknown model, a request above a limit, a fault that the API cannot have, and if
        a fault has it so.
        """
        engine = self.engine(asked["model"])
        admission = self._admission
        if cost is None:
            cost = generating(asked, engine.model, api) if admission.counts_tokens else Cost()
        verdict = admission.decide(exchange.key, asked["model"], cost, now := admission.now())
        exchange.headers |= admission.headers(verdict, now)
        exchange.limits = verdict.truth()
        if (refused := verdict.refused_by) is not None:
            if self._provider.throttling.hang:
                await asyncio.sleep(self._provider.throttling.hang)
                exchange.abort()
                yield None
                return
            raise admission.refusal(refused, asked["model"])
        try:
            async with self._placed(exchange, asked, engine, api) as place:
                yield place
        finally:
            admission.settle(verdict, exchange.written, admission.now())

    @asynccontextmanager
    async def _placed(
        self, exchange: Exchange, asked: dict[str, Any], engine: Engine, api: str
    ) -> AsyncIterator[tuple[Engine, Faults] | None]:
        """A place at the model, past the faults that come before any answer."""
        faults = self.faults(asked, engine, api)
        if "refuse" in faults:
            exchange.abort()
            yield None
            return
        if (fault := faults.get("error")) is not None:
            raise refusal(fault)
        if (fault := faults.get("slow_headers")) is not None:
            await asyncio.sleep(fault.seconds)
        async with engine.slot():
            yield engine, faults
        if (fault := faults.get("close_idle")) is not None:
            exchange.close_in(fault.seconds)

    def generation(
        self, exchange: Exchange, asked: dict[str, Any], engine: Engine, faults: Faults, *, seed: int, chat: bool
    ) -> Generation:
        """The answer; with the same request come the same words."""
        prompts = tokens_of_prompts(asked, chat=chat)
        now = time.monotonic()
        looked_up = [found_in(engine, exchange, asked, prompt, now) for prompt in prompts]
        found = [one for one in looked_up if one is not None]
        cached, stored = sum(one.read for one in found), sum(one.stored for one in found)
        template = MESSAGE_TOKENS * len(asked["messages"]) if chat else 0
        total = sum(map(len, prompts)) + template
        longest_prompt = max(map(len, prompts)) + template
        if longest_prompt > engine.model.context_size:
            told = f"maximum context length is {engine.model.context_size} tokens, and the prompt has {longest_prompt}"
            raise ProviderError(400, f"This model's {told}", reason="CONTEXT_LENGTH_EXCEEDED")
        room = max(1, engine.model.context_size - longest_prompt)
        limit = min(asked.get("max_tokens") or asked.get("max_completion_tokens") or room, room)
        keep_stop = self._provider.stop_in_text
        answers = [
            answer(asked, engine.model, faults, seed=seed + choice, limit=limit, chat=chat, keep_stop=keep_stop)
            for choice in range(len(prompts) * (asked.get("n") or 1))
        ]
        exchange.written, exchange.cached = sum(len(one.words) for one in answers), cached
        longest = max(len(one.words) for one in answers)
        free = cached * (1.0 if engine.model.cache is None else engine.model.cache.saves)
        offsets = engine.offsets(self.draw(), prefill=total - free, tokens=longest)
        began = max(exchange.arrived, now - 1.0) if engine.model.slots is None else now
        for one in found:
            engine.store(one, began + offsets[0] if offsets else now, ttl=ttl_of(asked))
        style = engine.model.reasoning_style
        if asked.get("reasoning_split"):
            style = "reasoning_details"
        elif asked.get("separate_reasoning") and style == "think":
            style = "reasoning_content"
        return Generation(
            id=exchange.id,
            asked=asked,
            chat=chat,
            created=int(time.time()),
            answers=answers,
            dues=[began + offset for offset in offsets],
            prompt=total,
            cached=cached,
            told=told_of(engine.model.cache, asked, prompt=total, cached=cached, written=max(0, stored - cached)),
            style=style,
            cache_style="openai" if engine.model.cache is None else engine.model.cache.usage,
            counts=engine.counts,
            ledger=engine.ledger,
        )

    async def stream(self, exchange: Exchange, frames: Iterator[Frame], truth: Truth, faults: Faults) -> bool:
        """Send the head, and each frame when it is due; whether it went out to its end."""
        headers = {"connection": "close"} if "close" in faults else {}
        await exchange.start(200, "text/event-stream", {"cache-control": "no-cache"} | headers)
        stream = Stream(
            frames=faults.bend(frames),
            transport=exchange.transport,
            style=faults.style(),
            truth=truth,
            done=asyncio.get_running_loop().create_future(),
        )
        if sent := await self.clock.play(stream):
            await exchange.end()
        return sent


def generating(asked: dict[str, Any], model: Model, api: str) -> Cost:
    """What a request for a text takes: its prompt, and at most as many tokens as it allows, for each answer."""
    chat = api != "completions"
    prompts = tokens_of_prompts(asked, chat=chat)
    tokens = sum(map(len, prompts)) + (MESSAGE_TOKENS * len(asked["messages"]) if chat else 0)
    room = max(1, model.context_size - tokens)
    limit = min(asked.get("max_tokens") or asked.get("max_completion_tokens") or room, room)
    return Cost(input_tokens=tokens, output_tokens=limit * len(prompts) * (asked.get("n") or 1))


HOUR_S = 3600.0


def found_in(engine: Engine, exchange: Exchange, asked: dict[str, Any], prompt: list[str], now: float) -> Found | None:
    """What the model's cache knows of a prompt; None where it has none, or may not be asked."""
    if not asked.get("may_cache", True):
        return None
    session = str(asked.get("prompt_cache_key") or asked.get("user") or "")
    return engine.look_up(prompt, now, key=exchange.key, session=session)


def ttl_of(asked: dict[str, Any]) -> float | None:
    """How long a request wants its prompt kept, s; None where it does not say."""
    return HOUR_S if asked.get("cache_ttl") == "1h" else None


def told_of(cache: PrefixCache | None, asked: dict[str, Any], *, prompt: int, cached: int, written: int) -> Tokens:
    """A prompt's tokens as its answer tells them."""
    style = "openai" if cache is None else cache.usage
    if style == "none":
        return Tokens(prompt)
    if style == "zero":
        return Tokens(prompt, cached=0)
    if "may_cache" not in asked and not (cache is not None and cache.writes):
        return Tokens(prompt, cached=cached)
    if asked.get("cache_ttl") == "1h":
        return Tokens(prompt, cached=cached, written=0, written_1h=written)
    return Tokens(prompt, cached=cached, written=written)


async def whole(
    exchange: Exchange, answer: dict[str, Any], generation: Generation, truth: Truth, faults: Faults
) -> None:
    """The answer in one body, when its last token is due, with the truth in it."""
    await asyncio.sleep(max(0.0, generation.ends - time.monotonic()))
    if generation.dues:
        truth.first_token, truth.last_token = generation.dues[0], generation.ends
    generation.note(truth)
    await deliver(exchange, answer, truth, faults)


async def deliver(exchange: Exchange, answer: dict[str, Any], truth: Truth, faults: Faults) -> None:
    """An answer as one body, with the truth in it, or broken as the faults have it."""
    if (fault := faults.get("stall")) is not None:
        await asyncio.sleep(fault.seconds)
    if (fault := faults.get("error_in_stream")) is not None:
        answer = {"error": {"message": refusal(fault).message, "code": fault.status}}
    body = json.dumps(answer | {"simulator": asdict(truth) | {"sent": time.monotonic()}}).encode()
    if "bad_json" in faults or "truncate" in faults:
        body = body[: len(body) // 2]
    if "no_length" in faults:
        exchange.send_unframed(body)
    elif "reset" in faults:
        exchange.abort()
    else:
        await exchange.send_json(body, headers={"connection": "close"} if "close" in faults else {})
