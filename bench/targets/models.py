"""What a target serves: its list of models, read into one form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from bench.plan import Target, target_secrets
from bench.plan.addresses import shown
from bench.plan.redaction import scrubber
from bench.targets.envelope import context_for, provider
from bench.targets.servers import serving_target
from bench.wire.errors import error_in_body
from bench.wire.job import Call

TIMEOUT_S = 30.0
NOVITA_UNIT = 10_000  # its prices are whole numbers of 1/10000 US dollars per million tokens


PRICES = ("input", "cached_input", "cache_write", "output", "reasoning", "image")
"""What a list may say of prices: US dollars per million tokens, but for an image, of which it is each."""


class ListingError(Exception):
    """A target does not list its models; the message says why."""


def list_models(target: Target) -> list[dict[str, Any]]:
    """Each model as id, context, max_output, limits, features, and its PRICES in US dollars.

    What the target does not say is None. Raises ListingError, or TargetError if an embedded one does not start.
    """
    with serving_target(target) as served:
        scrub = scrubber(target_secrets(target))
        ours = provider(target, served.url, scrub)
        request = ours.call(Call("list", "models", "GET"), "llm")
        place = shown(str(request.url))
        try:
            with httpx.Client(verify=context_for(target), proxy=target.proxy, timeout=TIMEOUT_S) as client:
                answer = client.send(request)
        except httpx.HTTPError as error:
            raise ListingError(f"{place} does not answer: {scrub(str(error))}") from None
    if answer.status_code != 200:
        told = scrub(f"HTTP {answer.status_code}: {error_in_body(answer.content)}")
        raise ListingError(f"{place} does not list its models: {told}")
    try:
        found = sorted((described(model) for model in answer.json()["data"]), key=lambda model: str(model["id"]))
        return [{key: scrub(said) if isinstance(said, str) else said for key, said in one.items()} for one in found]
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        raise ListingError(f"{place} answers with something else than a list of models") from None


def described(model: Mapping[str, Any]) -> dict[str, Any]:
    """One model, whichever provider's words it comes in."""
    meta = model.get("meta") or {}  # llama.cpp
    pricing = model.get("pricing") or {}  # OpenRouter: USD per token, as text
    return {
        "id": str(model["id"]),
        "context": first(model, "context_size", "context_length", "max_model_len") or meta.get("n_ctx_train"),
        "max_output": first(model, "max_output_tokens"),
        "input": known(listed(model, "input_token_price_per_m"), per_token(pricing, "prompt")),
        "output": known(listed(model, "output_token_price_per_m"), per_token(pricing, "completion")),
        "cached_input": known(cache_price(pricing, "read"), per_token(pricing, "input_cache_read")),
        "cache_write": known(cache_price(pricing, "write"), per_token(pricing, "input_cache_write")),
        "reasoning": per_token(pricing, "internal_reasoning"),
        "image": per_token(pricing, "image", pieces=1),
        "limits": limits(model),
        "features": ", ".join(map(str, model.get("features") or ())),
    }


def known(*values: float | None) -> float | None:
    """The first that is said; 0 is said, too."""
    return next((value for value in values if value is not None), None)


def first(model: Mapping[str, Any], *names: str) -> Any:
    return next((model[name] for name in names if model.get(name) is not None), None)


def listed(model: Mapping[str, Any], name: str) -> float | None:
    """A price in Novita's units as US dollars per million tokens."""
    return None if model.get(name) is None else model[name] / NOVITA_UNIT


def cache_price(pricing: Mapping[str, Any], what: str) -> float | None:
    """Novita's price of tokens read from, or written to, the cache."""
    told = pricing.get(f"input_cache_{what}")
    return listed(told, "price_per_m") if isinstance(told, dict) else None


def per_token(pricing: Mapping[str, Any], name: str, *, pieces: int = 1_000_000) -> float | None:
    """OpenRouter's price of one token, given as text, as one of so many; below 0 it means that it varies."""
    value = pricing.get(name)
    told = float(value) * pieces if isinstance(value, str) and value else None
    return None if told is None or told < 0 else told


def limits(model: Mapping[str, Any]) -> str:
    """Requests and tokens a minute, where they are told."""
    told = [f"{model[name]:,} {name.upper()}" for name in ("rpm", "tpm", "ipm") if isinstance(model.get(name), int)]
    return ", ".join(told)
