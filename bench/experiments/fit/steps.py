"""Finds out how many tokens a server counts per word: two short requests per model and API, before the load.

Only the server knows its tokenizer, so only its counts tell how many words make a synthetic prompt of N tokens. The
fits go into run.json: seeds and fits together decide the bytes of every request. If the load streams, these requests
stream too, and show whether the server ends its streams with the API's terminator.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

from bench.plan import Burst, Fit, Learned, Planned, Scenario, Steps, fit, words
from bench.plan.classes import Request
from bench.plan.load import FIT
from bench.plan.requests import CONVERSING, counting_api
from bench.records import Record

PROBE_WORDS = (40, 400)
FRESH_WORDS = 4
"""Number of first words of a probe that are new in every run if the prompts have nonces. Otherwise a server that does
not count cached tokens would count a repeated probe as shorter."""
ONE_TOKEN: dict[str, dict[str, int]] = {"embeddings": {}, "responses": {"max_output_tokens": 16}}
"""Parameters of a probe for APIs without max_tokens; OpenAI's responses API needs at least 16 tokens."""
MOST_NAMED = 2  # models in a sentence
LEFT_OUT = "the requests that show how it counts were left out (fit: false)"
COUNTED = frozenset({"ok", "empty", "truncated"})
"""Outcomes of a probe whose prompt was counted. An answer of one token may be empty or without an end."""


def steps(scenario: Scenario, *, seed: int, nonce_seed: int) -> Steps[Learned]:
    """A fit for each model and API that gets synthetic prompts: from the server's counts, or else the default with a
    doubt."""
    fits: dict[tuple[str, str], Fit] = {}
    answers: list[Record] = []
    sizes = {api: shortest(classes) for api, classes in synthetic_classes(scenario).items()}
    for (model, api), pair in probes(scenario, seed=seed, nonce_seed=nonce_seed).items():
        samples: list[tuple[int, Record]] = []
        for count, planned in pair if scenario.fit else ():
            [record] = yield Burst(name=FIT, requests=(planned,))
            samples.append((count, record))
            if record.outcome not in COUNTED:
                break  # the second probe would be refused too
        answers += [record for _, record in samples]
        found = check_shortest(fit_of(samples), sizes[api]) if scenario.fit else Fit(doubt=default_doubt(LEFT_OUT))
        fits[model, api] = found if found.doubt is None else replace(found, doubt=f"{model} ({api}): {found.doubt}")
    return Learned(fits, never_terminates(answers))


def probes(scenario: Scenario, *, seed: int, nonce_seed: int) -> dict[tuple[str, str], list[tuple[int, Planned]]]:
    """The requests that show how each model and API counts, each with the number of its words."""
    found: dict[tuple[str, str], list[tuple[int, Planned]]] = {}
    numbers = itertools.count()
    for api, classes in synthetic_classes(scenario).items():
        fresh = any(request.prompt is not None and request.prompt.nonce for request in classes)
        lead = words(f"{nonce_seed if fresh else seed}:fit", FRESH_WORDS)
        texts = [(n, f"{lead} {words(f'{seed}:fit:{place}', n - FRESH_WORDS)}") for place, n in enumerate(PROBE_WORDS)]
        for model in (one for one in scenario.models if one not in scenario.tokenizers):
            stream = classes[0].stream
            found[model, api] = [(n, probe(next(numbers), model, api, text, stream=stream)) for n, text in texts]
    return found


def planned(scenario: Scenario) -> list[Planned]:
    """All requests that a fit may send; empty if the scenario leaves it out."""
    pairs = probes(scenario, seed=0, nonce_seed=0).values() if scenario.fit else ()
    return [request for pair in pairs for _, request in pair]


def announcement(scenario: Scenario) -> str | None:
    """A sentence about the requests that a run sends before its load; None if it sends none."""
    if not (requests := planned(scenario)):
        return None
    models = list(dict.fromkeys(request.model for request in requests))
    who = f"{len(models)} models" if len(models) > MOST_NAMED else " and ".join(models)
    counts = "count" if len(models) > 1 else "counts"
    how = "--no-fit, or fit: false in the scenario, leaves them out"
    return f"sends {len(requests)} short requests first to learn how {who} {counts} tokens; {how}"


def fit_of(answers: list[tuple[int, Record]]) -> Fit:
    """The fit from a server's counts; each answer comes with the number of words of its prompt. The default fit with a
    doubt if the counts do not allow a fit."""
    samples = []
    for count, record in answers:
        if record.outcome not in COUNTED:
            return Fit(
                doubt=default_doubt(
                    f"the request that should show how it counts ended as {record.outcome}: {record.error}"
                )
            )
        if record.prompt_tokens is None:
            return Fit(doubt=default_doubt("it does not say how many tokens a prompt has"))
        samples.append((count, record.prompt_tokens))
    try:
        return fit(samples)
    except ValueError as error:
        return Fit(doubt=default_doubt(str(error)))


def default_doubt(reason: str) -> str:
    """The doubt of the default fit: what it means for the prompts, and why it is used."""
    return f"prompt lengths are estimates, made as if each word were one token: {reason}"


def check_shortest(found: Fit, tokens: int | None) -> Fit:
    """The fit, with a doubt if even a prompt of one word is longer than the shortest wanted prompt."""
    if found.doubt is not None or tokens is None or found.overhead < tokens:
        return found
    text = f"it counts {found.overhead:,.0f} tokens besides the text, so no prompt can have {tokens:,}"
    return replace(found, doubt=f"{text}; these prompts got a single word; ask for longer ones")


def synthetic_classes(scenario: Scenario) -> dict[str, list[Request]]:
    """The request classes with synthetic prompts, by the API that counts their tokens."""
    found: dict[str, list[Request]] = {}
    for request in scenario.requests:
        prompt, api = request.prompt, counting_api(request)
        if api is not None and prompt is not None and (prompt.tokens is not None or prompt.prefix is not None):
            found.setdefault(api, []).append(request)
    return found


def shortest(classes: list[Request]) -> int | None:
    """Tokens of the shortest synthetic prompt; None if only the beginnings of prompts are synthetic."""
    return min(lengths(classes), default=None)


def lengths(classes: list[Request]) -> Iterator[int]:
    for request in classes:
        if request.prompt is not None and request.prompt.tokens is not None:
            yield request.prompt.tokens


def never_terminates(probes: list[Record]) -> bool:
    """Whether all streams of these probes ended without the API's terminator."""
    streams = [record for record in probes if record.stream]
    return bool(streams) and all(record.unterminated for record in streams)


def probe(seq: int, model: str, api: str, text: str, *, stream: bool = False) -> Planned:
    """The cheapest request for which a server counts a prompt."""
    return Planned(
        seq=seq,
        k=seq,
        name="fit",
        model=model,
        api=api,
        stream=stream,
        input=[{"role": "user", "content": text}] if api in CONVERSING else [text] if api == "embeddings" else text,
        parameters=ONE_TOKEN.get(api, {"max_tokens": 1}),
        extra_body={},
    )
