"""The list of models that a target serves, in one form for all providers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypedDict

import httpx

from bench.plan import Target, target_secrets
from bench.plan.addresses import shown
from bench.plan.redaction import Scrub, scrubber
from bench.plan.values import JsonObject
from bench.targets.envelope import context_for, provider
from bench.targets.servers import serving_target
from bench.wire.answer import UNREADABLE
from bench.wire.errors import LONGEST, error_in_body
from bench.wire.fields import count, number
from bench.wire.job import Call

TIMEOUT_S = 30.0
NOVITA_UNIT = 10_000  # Novita's prices are whole numbers of 1/10000 US dollars per million tokens


PRICES = ("input", "cached_input", "cache_write", "output", "reasoning", "image")
"""The prices that a list may have: US dollars per million tokens, for an image US dollars each."""


class ListedModel(TypedDict):
    """A model as a target lists it. A value that the target does not state is None, or an empty text."""

    id: str
    context: object  # the largest number of tokens of prompt and answer, as the target writes it
    max_output: object  # the largest number of tokens of an answer, as the target writes it
    input: float | None  # this and the other PRICES: US dollars
    output: float | None
    cached_input: float | None
    cache_write: float | None
    reasoning: float | None
    image: float | None
    limits: str  # requests, tokens and images per minute
    features: str


class ListingError(Exception):
    """A target does not list its models; the message says why."""


def list_models(target: Target) -> list[ListedModel]:
    """The target's models, in the order of their ids. Raises ListingError, or TargetError if an embedded target does
    not start."""
    with serving_target(target) as served:
        scrub = scrubber(target_secrets(target))
        ours = provider(target, served.url, scrub)
        request = ours.call(Call("list", "models", "GET"), "llm")
        place = scrub(shown(str(request.url)))
        try:
            with httpx.Client(verify=context_for(target), proxy=target.proxy, timeout=TIMEOUT_S) as client:
                answer = client.send(request)
        except httpx.HTTPError as error:
            raise ListingError(f"{place} does not answer: {scrub(str(error))}") from None
    if answer.status_code != 200:
        reason = scrub(shown(refusal(answer)))
        raise ListingError(f"{place} does not list its models: {reason}")
    try:
        models = (describe(model, scrub) for model in with_ids(entries_of(answer.json())))
        return sorted(models, key=lambda model: model["id"])
    except UNREADABLE:
        raise ListingError(f"{place} does not answer with a list of models") from None


def refusal(answer: httpx.Response) -> str:
    """Why there is no list, in the server's words."""
    if where := answer.headers.get("location", ""):
        return f"HTTP {answer.status_code} points to {where[:LONGEST]}"
    return f"HTTP {answer.status_code} {error_in_body(answer.content)}".strip()


def entries_of(value: Any) -> list[Any]:
    """The entries of a list: most servers say {"data": […]}, Together sends the list alone. May raise UNREADABLE."""
    found: list[Any] = value if isinstance(value, list) else value["data"]
    return found


def with_ids(entries: list[Any]) -> list[JsonObject]:
    """The entries that can be asked for: one odd entry does not spoil a list. Raises ValueError if all are odd."""
    found = [entry for entry in entries if isinstance(entry, dict) and entry.get("id") is not None]
    if entries and not found:
        raise ValueError("no entry has an id")
    return found


def describe(model: Mapping[str, Any], scrub: Scrub = str) -> ListedModel:
    """One model in our form, from the form of any provider. `scrub` removes secrets from its texts."""
    meta = member(model, "meta")  # llama.cpp
    pricing = member(model, "pricing")  # OpenRouter: USD per token, as text
    return {
        "id": scrub(str(model["id"])),
        "context": size(
            first(model, "context_size", "context_length", "max_model_len") or meta.get("n_ctx_train"), scrub
        ),
        "max_output": size(first(model, "max_output_tokens"), scrub),
        "input": first_known(novita_price(model, "input_token_price_per_m"), openrouter_price(pricing, "prompt")),
        "output": first_known(novita_price(model, "output_token_price_per_m"), openrouter_price(pricing, "completion")),
        "cached_input": first_known(cache_price(pricing, "read"), openrouter_price(pricing, "input_cache_read")),
        "cache_write": first_known(cache_price(pricing, "write"), openrouter_price(pricing, "input_cache_write")),
        "reasoning": openrouter_price(pricing, "internal_reasoning"),
        "image": openrouter_price(pricing, "image", pieces=1),
        "limits": limits(model),
        "features": scrub(features(model.get("features"))),
    }


def member(model: Mapping[str, Any], name: str) -> JsonObject:
    """An object in the entry of a model; empty if it has none, or anything else of that name."""
    found = model.get(name)
    return found if isinstance(found, dict) else {}


def features(stated: object) -> str:
    """What a model can do, as one text."""
    if isinstance(stated, list | tuple):
        return ", ".join(map(str, stated))
    return stated if isinstance(stated, str) else ""


def size(value: object, scrub: Scrub) -> object:
    """A number of tokens as the target writes it."""
    return scrub(value) if isinstance(value, str) else value


def first_known(*values: float | None) -> float | None:
    """The first value that is not None; 0 counts as known."""
    return next((value for value in values if value is not None), None)


def first(model: Mapping[str, Any], *names: str) -> Any:
    return next((model[name] for name in names if model.get(name) is not None), None)


def novita_price(model: Mapping[str, Any], name: str) -> float | None:
    """Novita's price in US dollars per million tokens; None if it is not stated."""
    value = number(model.get(name))
    return None if value is None else value / NOVITA_UNIT


def cache_price(pricing: Mapping[str, Any], what: str) -> float | None:
    """Novita's price of tokens that are read from the cache, or written to it; `what` is "read" or "write"."""
    price = pricing.get(f"input_cache_{what}")
    return novita_price(price, "price_per_m") if isinstance(price, dict) else None


def openrouter_price(pricing: Mapping[str, Any], name: str, *, pieces: int = 1_000_000) -> float | None:
    """OpenRouter's price of this number of pieces, US dollars. It states the price of one as text; a price below 0
    means that the price varies, which is None here, as is a text that is no number."""
    value = pricing.get(name)
    try:
        price = float(value) * pieces if isinstance(value, str) else -1.0
    except ValueError:
        return None
    return price if 0.0 <= price < math.inf else None


def limits(model: Mapping[str, Any]) -> str:
    """Requests, tokens and images per minute, as far as they are stated."""
    stated = [f"{model[name]:,} {name.upper()}" for name in ("rpm", "tpm", "ipm") if count(model.get(name)) is not None]
    return ", ".join(stated)
