"""How many words make a token, asked of the server itself: two short requests a model, before the load.

They stream where the load does, and so show too whether the server ends its streams with the API's terminator.

A synthetic prompt of N tokens is so many words, and only the server knows its tokenizer. The fits go into
run.json, so that seed and fits together say the bytes of every request.
"""

from __future__ import annotations

from collections.abc import Callable

from bench.plan import Fit, Planned, Scenario, fit, words
from bench.plan.requests import CONVERSING
from bench.records import Record

PROBE_WORDS = (40, 400)
COUNTING = {"chat": "chat", "completions": "completions", "messages": "messages", "embeddings": "embeddings",
            "batch": "chat"}  # fmt: skip
"""APIs that state a prompt's tokens, and which of them is asked to find out."""


def measure_fits(
    scenario: Scenario, ask: Callable[[Planned], Record], *, seed: int, warn: Callable[[str], None]
) -> dict[str, Fit]:
    """A fit for each model that is asked synthetic prompts; models that don't say their usage keep the default."""
    synthetic = [
        request
        for request in scenario.requests
        if request.prompt is not None and request.prompt.tokens is not None and request.api in COUNTING
    ]
    if not synthetic:
        return {}
    fits = {}
    for number, model in enumerate(scenario.models):
        samples = []
        for place, count in enumerate(PROBE_WORDS):
            seq = number * len(PROBE_WORDS) + place
            text = words(f"{seed}:fit:{place}", count)
            record = ask(probe(seq, model, COUNTING[synthetic[0].api], text, stream=synthetic[0].stream))
            if (
                (record.outcome == "ok" or record.unterminated)
                and record.tokens_from == "usage"
                and record.prompt_tokens
            ):
                samples.append((count, record.prompt_tokens))
        if len(samples) == len(PROBE_WORDS):
            fits[model] = fit(samples)
        else:
            warn(f"{model} did not say how many tokens a prompt has; lengths of synthetic prompts are estimates")
    return fits


def never_terminates(probes: list[Record]) -> bool:
    """Whether a server ends its streams without their terminator, always, as far as its probes show."""
    return bool(probes) and all(record.unterminated for record in probes)


def probe(seq: int, model: str, api: str, text: str, *, stream: bool = False) -> Planned:
    """The cheapest request that makes a server count a prompt."""
    return Planned(
        seq=seq,
        k=seq,
        name="fit",
        model=model,
        api=api,
        stream=stream,
        input=[{"role": "user", "content": text}] if api in CONVERSING else [text] if api == "embeddings" else text,
        parameters={} if api == "embeddings" else {"max_tokens": 1},
        extra_body={},
    )
