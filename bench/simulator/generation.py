"""Makes the answer to a request, with a due time for each token; the same for every API that generates text."""

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
from bench.simulator.cache import Lookup
from bench.simulator.config import Model, PrefixCache, Provider, ReasoningStyle
from bench.simulator.counters import Counts
from bench.simulator.engine import Engine
from bench.simulator.errors import ProviderError
from bench.simulator.exchange import Exchange
from bench.simulator.faults import OF_JOBS, Faults, check_kinds, refusal
from bench.simulator.ledger import Ledger, Tokens
from bench.simulator.requests import own_faults, tokens_of_prompts
from bench.simulator.streams import Clock, Frame, Stream, Truth
from bench.simulator.tokens import MESSAGE_TOKENS


@dataclass(frozen=True, slots=True)
class Generation:
    """An answer before it is sent."""

    id: str
    params: dict[str, Any]
    chat: bool
    created: int
    answers: list[Words]
    dues: list[float]  # when the n-th word of every answer is due, monotonic seconds
    prompt: int  # tokens
    cached: int  # prompt tokens that were read from the cache
    stated: Tokens  # the tokens that the answer states, and that are charged
    style: str  # the member that holds the reasoning
    cache_style: str  # how the answer states cached tokens, see PrefixCache.usage
    counts: Counts  # of the model
    ledger: Ledger  # of the model

    @property
    def model(self) -> str:
        return str(self.params["model"])

    @property
    def ends(self) -> float:
        return self.dues[-1] if self.dues else time.monotonic()

    @property
    def completion(self) -> int:
        return sum(len(answer.words) for answer in self.answers)

    def note(self, truth: Truth, *, sent: bool = True) -> None:
        """Count and charge this generation. A client that went away (`sent` is False) pays only for the prompt."""
        self.charge(completion=self.completion if sent else 0)
        reasons = [answer.finish for answer in self.answers] if sent else ["abort"] * len(self.answers)
        self.counts.note(
            truth, prompt=self.prompt, cached=self.cached, written=self.completion if sent else 0, reasons=reasons
        )

    def charge(self, *, completion: int, share: float = 1.0) -> None:
        """Charge the tokens in the model's ledger; `share` is the share of the normal price that a batch costs."""
        self.ledger.charge(replace(self.stated, completion=completion), share)

    @property
    def reasoning(self) -> int:
        return sum(min(answer.reasoning, len(answer.words)) for answer in self.answers)


class Generator:
    """Admits requests, makes answers, and sends streams."""

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
        """A random generator for one request."""
        return random.Random(self._rng.getrandbits(64))

    def faults(self, params: dict[str, Any], engine: Engine, api: str) -> Faults:
        """The faults of a request. Raises ProviderError for a fault that the API does not support."""
        models, own = engine.model.faults, own_faults(params)
        check_kinds([*(fault for fault in models if fault.kind not in OF_JOBS), *own], api)
        return Faults((*models, *own), self.draw())

    @asynccontextmanager
    async def admitted(
        self, exchange: Exchange, params: dict[str, Any], api: str, *, cost: Cost | None = None
    ) -> AsyncIterator[tuple[Engine, Faults] | None]:
        """A request's model and faults, after it has its slot; None if the connection was closed instead.

        `cost` is charged to the provider's limits; default: the cost of a generated text. Raises ProviderError for an
        unknown model, a request above a limit, a fault that the API does not support, and for the fault `error`.
        """
        engine = self.engine(params["model"])
        admission = self._admission
        if cost is None:
            cost = text_cost(params, engine.model, api) if admission.counts_tokens else Cost()
        result = admission.decide(exchange.key, params["model"], cost, now := admission.now())
        exchange.headers |= admission.headers(result, now)
        exchange.limits = result.truth()
        if (refused := result.refused_by) is not None:
            if self._provider.throttling.hang:
                await asyncio.sleep(self._provider.throttling.hang)
                exchange.abort()
                yield None
                return
            raise admission.refusal(refused, params["model"])
        try:
            async with self._slot(exchange, params, engine, api) as slot:
                yield slot
        finally:
            admission.settle(result, exchange.written, admission.now())

    @asynccontextmanager
    async def _slot(
        self, exchange: Exchange, params: dict[str, Any], engine: Engine, api: str
    ) -> AsyncIterator[tuple[Engine, Faults] | None]:
        """A slot of the model, after the faults that come before any answer."""
        faults = self.faults(params, engine, api)
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
        self, exchange: Exchange, params: dict[str, Any], engine: Engine, faults: Faults, *, seed: int, chat: bool
    ) -> Generation:
        """The answer to a request; the same request always gets the same words."""
        prompts = tokens_of_prompts(params, chat=chat)
        now = time.monotonic()
        results = [look_up_prompt(engine, exchange, params, prompt, now) for prompt in prompts]
        lookups = [lookup for lookup in results if lookup is not None]
        cached, stored = sum(lookup.read for lookup in lookups), sum(lookup.stored for lookup in lookups)
        template = MESSAGE_TOKENS * len(params["messages"]) if chat else 0
        total = sum(map(len, prompts)) + template
        longest_prompt = max(map(len, prompts)) + template
        if longest_prompt > (size := engine.model.context_size):
            message = f"This model's maximum context length is {size} tokens, and the prompt has {longest_prompt}"
            raise ProviderError(400, message, reason="CONTEXT_LENGTH_EXCEEDED")
        limit = answer_limit(params, engine.model, longest_prompt)
        keep_stop = self._provider.stop_in_text
        answers = [
            answer(params, engine.model, faults, seed=seed + choice, limit=limit, chat=chat, keep_stop=keep_stop)
            for choice in range(len(prompts) * (params.get("n") or 1))
        ]
        exchange.written, exchange.cached = sum(len(answer.words) for answer in answers), cached
        longest = max(len(answer.words) for answer in answers)
        free = cached * (1.0 if engine.model.cache is None else engine.model.cache.saves)
        offsets = engine.offsets(self.draw(), prefill=total - free, tokens=longest)
        began = max(exchange.arrived, now - 1.0) if engine.model.slots is None else now
        for lookup in lookups:
            engine.store(lookup, began + offsets[0] if offsets else now, ttl=ttl_of(params))
        return Generation(
            id=exchange.id,
            params=params,
            chat=chat,
            created=int(time.time()),
            answers=answers,
            dues=[began + offset for offset in offsets],
            prompt=total,
            cached=cached,
            stated=stated_tokens(
                engine.model.cache, params, prompt=total, cached=cached, written=max(0, stored - cached)
            ),
            style=reasoning_style(params, engine.model),
            cache_style="openai" if engine.model.cache is None else engine.model.cache.usage,
            counts=engine.counts,
            ledger=engine.ledger,
        )

    async def stream(self, exchange: Exchange, frames: Iterator[Frame], truth: Truth, faults: Faults) -> bool:
        """Send the head, and each frame when it is due. Returns whether the whole stream was sent."""
        headers = {"connection": "close"} if "close" in faults else {}
        await exchange.start(200, "text/event-stream", {"cache-control": "no-cache"} | headers)
        stream = Stream(
            frames=faults.apply(frames),
            transport=exchange.transport,
            style=faults.style(),
            truth=truth,
            done=asyncio.get_running_loop().create_future(),
        )
        if sent := await self.clock.play(stream):
            await exchange.end()
        return sent


def text_cost(params: dict[str, Any], model: Model, api: str) -> Cost:
    """The cost of a request for text: its prompt, and for each answer the largest number of tokens that it allows."""
    chat = api != "completions"
    prompts = tokens_of_prompts(params, chat=chat)
    tokens = sum(map(len, prompts)) + (MESSAGE_TOKENS * len(params["messages"]) if chat else 0)
    limit = answer_limit(params, model, tokens)
    return Cost(input_tokens=tokens, output_tokens=limit * len(prompts) * (params.get("n") or 1))


def reasoning_style(params: dict[str, Any], model: Model) -> ReasoningStyle:
    """Where the answer has its reasoning: as the request asks, or else as the model does it."""
    if params.get("reasoning_split"):
        return "reasoning_details"
    if params.get("separate_reasoning") and model.reasoning_style == "think":
        return "reasoning_content"
    return model.reasoning_style


def answer_limit(params: dict[str, Any], model: Model, prompt: int) -> int:
    """The largest number of tokens in one answer to a prompt of this many tokens."""
    room = max(1, model.context_size - prompt)
    return min(params.get("max_tokens") or params.get("max_completion_tokens") or room, room)


HOUR_S = 3600.0


def look_up_prompt(
    engine: Engine, exchange: Exchange, params: dict[str, Any], prompt: list[str], now: float
) -> Lookup | None:
    """Look up a prompt in the model's cache; None if the model has no cache or the request may not use it."""
    if not params.get("may_cache", True):
        return None
    session = str(params.get("prompt_cache_key") or params.get("user") or "")
    return engine.look_up(prompt, now, key=exchange.key, session=session, ends=params.get("cache_ends"))


def ttl_of(params: dict[str, Any]) -> float | None:
    """How long a request wants its prompt kept, s; None if it does not say."""
    return HOUR_S if params.get("cache_ttl") == "1h" else None


def stated_tokens(
    cache: PrefixCache | None, params: dict[str, Any], *, prompt: int, cached: int, written: int
) -> Tokens:
    """The prompt's tokens as the answer states them."""
    style = "openai" if cache is None else cache.usage
    if style == "none":
        return Tokens(prompt)
    if style == "zero":
        return Tokens(prompt, cached=0)
    if "may_cache" not in params and not (cache is not None and cache.writes):
        return Tokens(prompt, cached=cached)
    if params.get("cache_ttl") == "1h":
        return Tokens(prompt, cached=cached, written=0, written_1h=written)
    return Tokens(prompt, cached=cached, written=written)


async def send_answer(
    exchange: Exchange, answer: dict[str, Any], generation: Generation, truth: Truth, faults: Faults
) -> None:
    """Send the answer as one body when its last token is due, with the truth in it."""
    await asyncio.sleep(max(0.0, generation.ends - time.monotonic()))
    if generation.dues:
        truth.first_token, truth.last_token = generation.dues[0], generation.ends
    generation.note(truth)
    await send_body(exchange, answer, truth, faults)


async def send_body(exchange: Exchange, answer: dict[str, Any], truth: Truth, faults: Faults) -> None:
    """Send an answer as one body with the truth in it, or broken by the request's faults."""
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
