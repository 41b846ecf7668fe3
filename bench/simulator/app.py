"""The simulated provider's routes: an ASGI application that finds the handler, checks the key, and sends errors."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from bench.simulator import anthropic, openai, sounds, vectors
from bench.simulator.batches import Batches
from bench.simulator.config import Provider
from bench.simulator.engine import Engine
from bench.simulator.errors import ProviderError, error_json
from bench.simulator.exchange import Exchange
from bench.simulator.generation import Generator
from bench.simulator.message_batches import MessageBatches
from bench.simulator.responses import responses
from bench.simulator.server_info import ServerInfo
from bench.simulator.streams import Clock
from bench.simulator.tasks import Media

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LLM_BASES = ("/openai/v1", "/v3/openai/v1", "/v3/openai", "/openai", "/v1")
ANTHROPIC_BASES = ("/anthropic/v1", "/anthropic")
GETTABLE = ("models", "files", "batches", "messages/batches", "v3/async/task-result", "version")
OPEN = ("health", "ping", "metrics")
"""Routes that need no key."""


@dataclass(slots=True)
class Handlers:
    """The objects that answer requests, for one event loop."""

    generator: Generator
    media: Media
    batches: Batches
    message_batches: MessageBatches
    server_info: ServerInfo

    def __init__(self, provider: Provider) -> None:
        engines = {name: Engine(model) for name, model in provider.models.items()}
        self.generator = Generator(provider, engines, Clock())
        self.media = Media(self.generator)
        self.batches = Batches(provider, self.generator)
        self.message_batches = MessageBatches(provider, self.generator)
        self.server_info = ServerInfo(self.generator)


EXACT: dict[str, Callable[[Handlers, Exchange, bytes], Awaitable[None]]] = {
    "chat/completions": lambda handlers, exchange, body: openai.generate(handlers.generator, exchange, body, chat=True),
    "completions": lambda handlers, exchange, body: openai.generate(handlers.generator, exchange, body, chat=False),
    "messages": lambda handlers, exchange, body: anthropic.messages(handlers.generator, exchange, body),
    "messages/count_tokens": lambda handlers, exchange, body: exchange.send_value(anthropic.count_tokens(body)),
    "responses": lambda handlers, exchange, body: responses(handlers.generator, exchange, body),
    "embeddings": lambda handlers, exchange, body: vectors.embeddings(handlers.generator, exchange, body),
    "rerank": lambda handlers, exchange, body: vectors.rerank(handlers.generator, exchange, body),
    "moderations": lambda handlers, exchange, body: vectors.moderations(handlers.generator, exchange, body),
    "audio/speech": lambda handlers, exchange, body: sounds.speech(handlers.generator, exchange, body),
    "audio/transcriptions": lambda handlers, exchange, body: sounds.transcriptions(handlers.generator, exchange, body),
    "tokenize": lambda handlers, exchange, body: handlers.server_info.tokenize(exchange, body),
    "detokenize": lambda handlers, exchange, body: handlers.server_info.detokenize(exchange, body),
    "version": lambda handlers, exchange, body: handlers.server_info.version(exchange),
    "health": lambda handlers, exchange, body: handlers.server_info.health(exchange),
    "ping": lambda handlers, exchange, body: handlers.server_info.health(exchange),
    "metrics": lambda handlers, exchange, body: handlers.server_info.metrics(exchange),
    "images/edits": lambda handlers, exchange, body: handlers.media.edits(exchange, body),
    "images/generations": lambda handlers, exchange, body: handlers.media.images(exchange, body),
    "v3beta/flux-1-schnell": lambda handlers, exchange, body: handlers.media.flux(exchange, body),
    "v3/async/task-result": lambda handlers, exchange, body: handlers.media.result(exchange),
}
"""The handlers of routes that are one fixed path."""


def find_route(path: str) -> str:
    """The route below a base path. Media routes have no base path and are returned unchanged."""
    for base in (*LLM_BASES, *ANTHROPIC_BASES):
        if path.startswith(base + "/"):
            route = path.removeprefix(base).strip("/")
            if base != "/anthropic" or route.startswith("messages"):
                return route
    return path.strip("/")


class App:
    """One simulated provider."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.answers: Counter[str] = Counter()  # number of answers by method, path and status
        self._started = int(time.time())
        self._handlers: Handlers | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._handlers is None:  # engines belong to the loop that runs them
            self._handlers = Handlers(self.provider)
        exchange = Exchange(scope, send)
        body = await _body(receive)
        exchange.note_arrival()
        route = find_route(exchange.path)
        try:
            await self._serve(exchange, body, route, self._handlers)
        except ProviderError as error:
            style = "anthropic" if route.startswith("messages") else self.provider.errors
            body = error_json(error, style, exchange.limits)
            await exchange.send_json(body, status=error.status, headers=error.headers)
        self.answers[f"{exchange.method} {exchange.path} {exchange.status}"] += 1

    async def _serve(self, exchange: Exchange, body: bytes, route: str, handlers: Handlers) -> None:
        if route == "simulator/stats":
            await exchange.send_value(self._stats(handlers.generator.clock))
            if exchange.method == "POST":
                handlers.generator.clock.reset()
            return
        if route == "simulator/ledger":
            ledgers = {name: engine.ledger for name, engine in handlers.generator.engines.items()}
            await exchange.send_value({name: ledger.as_json() for name, ledger in ledgers.items()})
            for ledger in ledgers.values() if exchange.method == "POST" else ():
                ledger.reset()
            return
        if (serve := self._handler(exchange, body, route, handlers)) is None:
            await exchange.send_text("404 page not found", status=404)
            return
        if route in OPEN:
            await serve()
            return
        self._check_key(exchange)
        if exchange.method != "POST" and not route.startswith(GETTABLE):
            raise ProviderError(405, f"{exchange.method} is not allowed here; POST is", reason="METHOD_NOT_ALLOWED")
        await serve()

    def _handler(
        self, exchange: Exchange, body: bytes, route: str, handlers: Handlers
    ) -> Callable[[], Awaitable[None]] | None:
        """The function that answers; None for an unknown route."""
        if (handle := EXACT.get(route)) is not None:
            return lambda: handle(handlers, exchange, body)
        first, _, rest = route.partition("/")
        if route == "messages/batches" or route.startswith("messages/batches/"):
            return lambda: handlers.message_batches.serve(exchange, body, rest.removeprefix("batches").strip("/"))
        if first == "models":
            return lambda: exchange.send_value(self._models(rest))
        if first in ("files", "batches"):
            serve = handlers.batches.files if first == "files" else handlers.batches.batches
            return lambda: serve(exchange, body, rest)
        if route.startswith("v3/async/"):
            return lambda: handlers.media.submit(exchange, body, route.removeprefix("v3/async/"))
        if first == "v3" and rest in self.provider.models:
            return lambda: handlers.media.speak(exchange, body, rest)
        return None

    def _check_key(self, exchange: Exchange) -> None:
        if self.provider.key is None:
            return
        if not exchange.key:
            raise ProviderError(403, "API Key not provided", reason="INVALID_API_KEY")
        if exchange.key != self.provider.key:
            raise ProviderError(401, "failed to authenticate API key")

    def _models(self, wanted: str) -> dict[str, Any]:
        listed = {
            name: {
                "id": name,
                "object": "model",
                "created": self._started,
                "title": name,
                "description": "simulated",
                "context_size": model.context_size,
                "input_token_price_per_m": listed_price(model.prices.input),
                "output_token_price_per_m": listed_price(model.prices.output),
                "max_output_tokens": model.context_size,
                "features": [
                    "function-calling",
                    "structured-outputs",
                    *(["reasoning"] if model.reasoning_tokens else []),
                ],
                "pricing": {"input_cache_read": {"price_per_m": listed_price(model.prices.cached_input)}}
                if model.cache
                else {},
            }
            for name, model in self.provider.models.items()
        }
        if not wanted:
            return {"object": "list", "data": list(listed.values())}
        if wanted not in listed:
            raise ProviderError(404, f"model: {wanted} not found")
        return listed[wanted]

    def _stats(self, clock: Clock) -> dict[str, Any]:
        """How the simulator kept up since the last POST to this route; shows whether the simulator was too slow."""
        return {
            "answered": dict(self.answers),
            "tokens": clock.tokens,
            "open_streams": clock.open,
            "lateness_s": spread(clock.lateness),
            "ttft_s": spread(clock.ttft),
            "cpu_s": time.process_time(),
        }


def listed_price(usd: float) -> int:
    """A price in US dollars per million tokens as the provider lists it: a whole number of 1/10000 dollars."""
    return round(usd * 10_000)


def spread(values: Iterable[float]) -> dict[str, float] | None:
    """Number, median, 99th percentile and maximum; None without values."""
    ordered = sorted(values)
    if not ordered:
        return None
    places = {"p50": len(ordered) // 2, "p99": len(ordered) * 99 // 100, "max": -1}
    return {"n": len(ordered), **{name: ordered[place] for name, place in places.items()}}


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)
