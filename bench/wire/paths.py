"""The address of an API below a provider's URL, for three styles of base path."""

from __future__ import annotations

import re
from functools import lru_cache

import httpx

HEADERS = {"anthropic": {"anthropic-version": "2023-06-01"}}
"""Headers that every request to the APIs of a family needs."""

FAMILIES = ("llm", "openai", "anthropic", "media")
"""The families of APIs, see `endpoint`."""

_NOVITA_BASES = {"openai": "/openai/v1", "anthropic": "/anthropic/v1", "media": ""}
_NOVITA_LLM = re.compile(r"/(openai/v1|openai|v3/openai|anthropic/v1|anthropic)$")


class ElsewhereError(Exception):
    """A server states an address of another server; the message is one line."""


def stated(url: str, address: str) -> httpx.URL:
    """An address that the server stated, such as the one to poll: with host or without, and with the query of all
    requests. Raises ElsewhereError for another server: it must not get our key."""
    base = httpx.URL(url)
    found = base.join(address)
    if (found.scheme, found.host, found.port) != (base.scheme, base.host, base.port):
        raise ElsewhereError(f"an address of another server ({found.host}), to which no key is sent")
    return found.copy_with(params=base.params.merge(found.params)) if base.params else found


@lru_cache(maxsize=4096)  # polls have paths of their own
def endpoint(url: str, style: str, family: str, path: str) -> httpx.URL:
    """The address of an API.

    `openai`: the URL ends where the official client's base_url ends, such as https://api.openai.com/v1.
    `vllm`: a server's bare address; /v1 is added if it is missing.
    `novita`: the provider's address, with or without one of its LLM bases (/openai, /openai/v1, /v3/openai).
    Each family of APIs has its own base there: llm (chat, completions, models, embeddings, rerank), openai (files,
    batches), anthropic, media. In the other styles all families share one base, except media: its paths begin at the
    root.
    """
    base = httpx.URL(url)
    root = base.path.rstrip("/")
    chosen = _NOVITA_LLM.search(root)
    bare = _NOVITA_LLM.sub("", root)
    if style == "novita":
        own = "/openai/v1" if chosen is None or "anthropic" in chosen.group() else chosen.group()
        root = bare + _NOVITA_BASES.get(family, own)
    elif style == "vllm":
        root = root if root.endswith("/v1") else root + "/v1"
    if family == "media":
        root = bare.removesuffix("/v1")
    return base.copy_with(path=f"{root}/{path}")
