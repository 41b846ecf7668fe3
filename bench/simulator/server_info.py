"""The routes that a vLLM server adds to OpenAI's API: health, version, tokenizer and metrics."""

from __future__ import annotations

from bench.simulator.counters import exposition
from bench.simulator.errors import ProviderError
from bench.simulator.exchange import Exchange
from bench.simulator.generation import Generator
from bench.simulator.requests import object_of, prompt_tokens
from bench.simulator.tokens import Vocabulary

VERSION = "0.0.0+simulated"


class ServerInfo:
    """Handles these routes."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._vocabulary = Vocabulary()

    async def health(self, exchange: Exchange) -> None:
        await exchange.send_text("", status=200)

    async def version(self, exchange: Exchange) -> None:
        await exchange.send_value({"version": VERSION})

    async def metrics(self, exchange: Exchange) -> None:
        counts = {name: engine.counts for name, engine in self._generator.engines.items()}
        await exchange.send_text(exposition(counts), status=200)

    async def tokenize(self, exchange: Exchange, body: bytes) -> None:
        """The tokens of a prompt, or of a chat's messages, as numbers."""
        params = object_of(body)
        text = params.get("prompt")
        if isinstance(params.get("messages"), list):
            text = " ".join(prompt_tokens(params))
        if not isinstance(text, str):
            raise ProviderError(400, "prompt or messages is required")
        engine = self._generator.engine(params.get("model") or next(iter(self._generator.engines)))
        if (tokens := self._vocabulary.encode(text)) is None:
            raise ProviderError(400, "the vocabulary is full")
        answer = {"count": len(tokens), "max_model_len": engine.model.context_size, "tokens": tokens}
        spelled = [self._vocabulary.spell(token) for token in tokens] if params.get("return_token_strs") else None
        await exchange.send_value(answer | {"token_strs": spelled})

    async def detokenize(self, exchange: Exchange, body: bytes) -> None:
        """The text of numbers that `tokenize` returned."""
        tokens = object_of(body).get("tokens")
        if not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
            raise ProviderError(400, "tokens is required, a list of whole numbers")
        spelled = [self._vocabulary.spell(token) for token in tokens]
        if None in spelled:
            raise ProviderError(400, f"token {tokens[spelled.index(None)]} is not in the vocabulary")
        await exchange.send_value({"prompt": "".join(word or "" for word in spelled)})
