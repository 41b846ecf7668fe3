"""The simulated provider's routes: an ASGI application that finds the handler, checks the key, and words errors."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from bench.simulator.config import Provider
from bench.simulator.errors import ProviderError, error_json
from bench.simulator.exchange import Exchange
from bench.simulator.generation import Generator
from bench.simulator.streams import Clock
from bench.simulator.timing import Engine

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LLM_BASES = ("/openai/v1", "/v3/openai/v1", "/v3/openai", "/openai", "/v1")


class App:
    """One provider."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.answered: Counter[str] = Counter()
        self._started = int(time.time())
        self._generator: Generator | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._generator is None:  # engines belong to the loop that runs them
            engines = {name: Engine(model) for name, model in self.provider.models.items()}
            self._generator = Generator(self.provider, engines, Clock())
        exchange = Exchange(scope, send)
        body = await _body(receive)
        exchange.note_arrival()
        try:
            await self._route(exchange, body, self._generator)
        except ProviderError as error:
            await exchange.send_json(
                error_json(error, self.provider.errors), status=error.status, headers=error.headers
            )
        self.answered[f"{exchange.method} {exchange.path} {exchange.status}"] += 1

    async def _route(self, exchange: Exchange, body: bytes, generator: Generator) -> None:
        if exchange.path == "/simulator/stats":
            await exchange.send_json(json.dumps(self._stats(generator.clock)).encode())
            if exchange.method == "POST":
                generator.clock.forget()
            return
        base = next((base for base in LLM_BASES if exchange.path.startswith(base + "/")), None)
        route = exchange.path.removeprefix(base or "").strip("/")
        if base is None or not (route.startswith("models") or route in ("chat/completions", "completions")):
            await exchange.send_text("404 page not found", status=404)
            return
        self._check_key(exchange)
        if route.startswith("models"):
            await exchange.send_json(json.dumps(self._models(route.removeprefix("models").strip("/"))).encode())
        elif exchange.method != "POST":
            raise ProviderError(405, f"{exchange.method} is not allowed here; POST is", reason="METHOD_NOT_ALLOWED")
        else:
            await generator.generate(exchange, body, chat=route == "chat/completions")

    def _check_key(self, exchange: Exchange) -> None:
        if self.provider.key is None:
            return
        given = exchange.header("authorization").removeprefix("Bearer ") or exchange.header("x-api-key")
        if not given:
            raise ProviderError(403, "API Key not provided", reason="INVALID_API_KEY")
        if given != self.provider.key:
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
                "input_token_price_per_m": 1000,
                "output_token_price_per_m": 4000,
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
