"""The simulated provider's routes: an ASGI application that finds the handler, checks the key, and words errors."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from bench.simulator import anthropic, openai, sounds, vectors
from bench.simulator.batches import Office
from bench.simulator.config import Provider
from bench.simulator.desk import Desk
from bench.simulator.engine import Engine
from bench.simulator.errors import ProviderError, error_json
from bench.simulator.exchange import Exchange
from bench.simulator.generation import Generator
from bench.simulator.message_batches import Desk as MessageBatches
from bench.simulator.responses import responses
from bench.simulator.streams import Clock
from bench.simulator.tasks import Studio

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LLM_BASES = ("/openai/v1", "/v3/openai/v1", "/v3/openai", "/openai", "/v1")
ANTHROPIC_BASES = ("/anthropic/v1", "/anthropic")
GETTABLE = ("models", "files", "batches", "messages/batches", "v3/async/task-result", "version")
OPEN = ("health", "ping", "metrics")
"""Routes that need no key."""


@dataclass(slots=True)
class Floor:
    """Everything that answers, for one event loop."""

    generator: Generator
    studio: Studio
    office: Office
    message_batches: MessageBatches
    desk: Desk

    def __init__(self, provider: Provider) -> None:
        engines = {name: Engine(model) for name, model in provider.models.items()}
        self.generator = Generator(provider, engines, Clock())
        self.studio = Studio(self.generator)
        self.office = Office(provider, self.generator)
        self.message_batches = MessageBatches(provider, self.generator)
        self.desk = Desk(self.generator)


EXACT: dict[str, Callable[[Floor, Exchange, bytes], Awaitable[None]]] = {
    "chat/completions": lambda floor, exchange, body: openai.generate(floor.generator, exchange, body, chat=True),
    "completions": lambda floor, exchange, body: openai.generate(floor.generator, exchange, body, chat=False),
    "messages": lambda floor, exchange, body: anthropic.messages(floor.generator, exchange, body),
    "messages/count_tokens": lambda floor, exchange, body: exchange.send_value(anthropic.count_tokens(body)),
    "responses": lambda floor, exchange, body: responses(floor.generator, exchange, body),
    "embeddings": lambda floor, exchange, body: vectors.embeddings(floor.generator, exchange, body),
    "rerank": lambda floor, exchange, body: vectors.rerank(floor.generator, exchange, body),
    "moderations": lambda floor, exchange, body: vectors.moderations(floor.generator, exchange, body),
    "audio/speech": lambda floor, exchange, body: sounds.speech(floor.generator, exchange, body),
    "audio/transcriptions": lambda floor, exchange, body: sounds.transcriptions(floor.generator, exchange, body),
    "tokenize": lambda floor, exchange, body: floor.desk.tokenize(exchange, body),
    "detokenize": lambda floor, exchange, body: floor.desk.detokenize(exchange, body),
    "version": lambda floor, exchange, body: floor.desk.version(exchange),
    "health": lambda floor, exchange, body: floor.desk.health(exchange),
    "ping": lambda floor, exchange, body: floor.desk.health(exchange),
    "metrics": lambda floor, exchange, body: floor.desk.metrics(exchange),
    "images/edits": lambda floor, exchange, body: floor.studio.edits(exchange, body),
    "images/generations": lambda floor, exchange, body: floor.studio.images(exchange, body),
    "v3beta/flux-1-schnell": lambda floor, exchange, body: floor.studio.flux(exchange, body),
    "v3/async/task-result": lambda floor, exchange, body: floor.studio.result(exchange),
}
"""Who answers a route that is one path."""


def find_route(path: str) -> str:
    """The route below the base paths; media routes are below none, and are given whole."""
    for base in (*LLM_BASES, *ANTHROPIC_BASES):
        if path.startswith(base + "/"):
            route = path.removeprefix(base).strip("/")
            if base != "/anthropic" or route.startswith("messages"):
                return route
    return path.strip("/")


class App:
    """One provider."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.answered: Counter[str] = Counter()
        self._started = int(time.time())
        self._floor: Floor | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._floor is None:  # engines belong to the loop that runs them
            self._floor = Floor(self.provider)
        exchange = Exchange(scope, send)
        body = await _body(receive)
        exchange.note_arrival()
        route = find_route(exchange.path)
        try:
            await self._serve(exchange, body, route, self._floor)
        except ProviderError as error:
            style = "anthropic" if route.startswith("messages") else self.provider.errors
            body = error_json(error, style, exchange.limits)
            await exchange.send_json(body, status=error.status, headers=error.headers)
        self.answered[f"{exchange.method} {exchange.path} {exchange.status}"] += 1

    async def _serve(self, exchange: Exchange, body: bytes, route: str, floor: Floor) -> None:
        if route == "simulator/stats":
            await exchange.send_value(self._stats(floor.generator.clock))
            if exchange.method == "POST":
                floor.generator.clock.forget()
            return
        if route == "simulator/ledger":
            ledgers = {name: engine.ledger for name, engine in floor.generator.engines.items()}
            await exchange.send_value({name: ledger.shown() for name, ledger in ledgers.items()})
            for ledger in ledgers.values() if exchange.method == "POST" else ():
                ledger.forget()
            return
        if (serve := self._handler(exchange, body, route, floor)) is None:
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
        self, exchange: Exchange, body: bytes, route: str, floor: Floor
    ) -> Callable[[], Awaitable[None]] | None:
        """Who answers; None for a route that there is not."""
        if (served := EXACT.get(route)) is not None:
            return lambda: served(floor, exchange, body)
        first, _, rest = route.partition("/")
        if route == "messages/batches" or route.startswith("messages/batches/"):
            return lambda: floor.message_batches.serve(exchange, body, rest.removeprefix("batches").strip("/"))
        if first == "models":
            return lambda: exchange.send_value(self._models(rest))
        if first in ("files", "batches"):
            serve = floor.office.files if first == "files" else floor.office.batches
            return lambda: serve(exchange, body, rest)
        if route.startswith("v3/async/"):
            return lambda: floor.studio.submit(exchange, body, route.removeprefix("v3/async/"))
        if first == "v3" and rest in self.provider.models:
            return lambda: floor.studio.speak(exchange, body, rest)
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
        """How the simulator kept up since it was last asked by POST: shows when the simulator itself was the limit."""
        return {
            "answered": dict(self.answered),
            "tokens": clock.tokens,
            "open_streams": clock.open,
            "lateness_s": spread(clock.lateness),
            "ttft_s": spread(clock.ttft),
            "cpu_s": time.process_time(),
        }


def listed_price(usd: float) -> int:
    """Dollars per million tokens as the provider lists them: in whole 1/10000 of a dollar."""
    return round(usd * 10_000)


def spread(values: Iterable[float]) -> dict[str, float] | None:
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
