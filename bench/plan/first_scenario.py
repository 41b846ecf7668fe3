"""Writes a first scenario from a few answers, with comments that explain it and show other possible values."""

from __future__ import annotations

import json
import re

from bench.plan.document import spelled_out
from bench.plan.one_line import EMBEDDED, OneLine, name_of

_BARE = re.compile(r"[A-Za-z](?:[A-Za-z0-9._/-]|:(?=[A-Za-z0-9/]))*|\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_OTHER = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
"""Words that YAML does not read as text."""


def commented(asked: OneLine, file: str, prices: str = "") -> str:
    """The scenario's text. `file` is the name of its file, `prices` the part of the text with the prices, if known."""
    target = spelled_out(asked.target) | asked.access.values()
    no_key = NO_KEY if asked.target not in EMBEDDED and not asked.access.values() else ""
    return TEXT.format(
        file=file,
        name=word(name_of(asked.target)),
        target="".join(f"  {key}: {flow(value)}\n" for key, value in target.items()) + no_key,
        models=", ".join(map(word, asked.models)),
        prompt=f"{{tokens: {asked.tokens}}}",
        max_tokens=asked.max_tokens,
        users=asked.users,
        requests=asked.requests,
        prices=prices.rstrip("\n") or NO_PRICES,
    )


def flow(value: object) -> str:
    """A value in one line; JSON is YAML."""
    return word(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def word(text: str) -> str:
    """A text in YAML, without quotes if they are not needed."""
    return text if _BARE.fullmatch(text) and text.lower() not in _OTHER else json.dumps(text, ensure_ascii=False)


NO_KEY = "  # key: ${API_KEY}    # an API key, from the environment; never write the key itself here\n"
NO_PRICES = "# prices: {a/model: {input: 0.10, output: 0.40}}    # US dollars per million tokens: adds the cost"
TEXT = """\
# What would it send and cost?   bench plan {file}
# Measure it:                    bench run {file}
# Every key, with its meaning:   bench schema --format markdown; without --format, for an editor
name: {name}

# The server: a URL, simulator, or llama.cpp.
target:
{target}
# All models get the same requests, and the report compares them.
models: [{models}]

# What is sent. With several of these, `weight: 3` says how often each is sent.
requests:
  - name: chat
    api: chat                    # or completions, messages, responses, embeddings, and more
    stream: true                 # tokens as they are made; shows the time to the first token
    prompt: {prompt:<20} # made-up text, new each time; or {{text: Hello}}, or {{file: prompts.jsonl}}
    max_tokens: {max_tokens}

# The load. Users wait for their answer before they ask again; `rate: 2` in their place sends 2 requests a second.
load:
  users: {users:<23} # of all models together
  requests: {requests:<20} # or duration: 30s
  # warmup: 5s                   # under load before the measurement

# What is good enough? Then the exit code is 0 or 1. A p95 needs at least 90 answers.
# thresholds: ["ttft p95 < 2s", "error_rate < 1%"]

{prices}
"""
