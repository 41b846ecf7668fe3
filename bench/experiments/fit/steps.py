"""How many words make a token, asked of the server itself: two short requests a model and API, before the load.

They stream where the load does, and so show too whether the server ends its streams with the API's terminator.

A synthetic prompt of N tokens is so many words, and only the server knows its tokenizer. The fits go into
run.json, so that seeds and fits together say the bytes of every request.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

from bench.plan import Burst, Fit, Learned, Planned, Scenario, Steps, fit, words
from bench.plan.classes import Request
from bench.plan.requests import CONVERSING, counting_api
from bench.records import Record

STAGE = "fit"  # of the records
PROBE_WORDS = (40, 400)
FRESH_WORDS = 4
"""Of a probe, the first ones, which are new in every run where the prompts carry nonces: a server that leaves cached
tokens out of its count would count a prompt that it knows as shorter."""
ONE_TOKEN: dict[str, dict[str, int]] = {"embeddings": {}, "responses": {"max_output_tokens": 16}}
"""Parameters of a probe where one token cannot be asked for: OpenAI's responses have at least 16."""
MOST_NAMED = 2  # models in a sentence
LEFT_OUT = "the requests that show how it counts were left out (fit: false)"
COUNTED = frozenset({"ok", "empty", "truncated"})
"""Outcomes of a probe whose prompt was read: one token of an answer may be no text, and no end."""


def steps(scenario: Scenario, *, seed: int, nonce_seed: int) -> Steps[Learned]:
    """A fit for each model and API that is asked synthetic prompts, as it counts or, with a doubt, as most do."""
    fits: dict[tuple[str, str], Fit] = {}
    answers: list[Record] = []
    sizes = {api: shortest(classes) for api, classes in sized(scenario).items()}
    for (model, api), asked in probes(scenario, seed=seed, nonce_seed=nonce_seed).items():
        samples: list[tuple[int, Record]] = []
        for count, planned in asked if scenario.fit else ():
            [record] = yield Burst(name=STAGE, requests=(planned,))
            samples.append((count, record))
            if record.outcome not in COUNTED:
                break  # what is refused once is not asked again
        answers += [record for _, record in samples]
        found = doubting_short(fit_of(samples), sizes[api]) if scenario.fit else Fit(doubt=guessed(LEFT_OUT))
        fits[model, api] = found if found.doubt is None else replace(found, doubt=f"{model} ({api}): {found.doubt}")
    return Learned(fits, never_terminates(answers))


def probes(scenario: Scenario, *, seed: int, nonce_seed: int) -> dict[tuple[str, str], list[tuple[int, Planned]]]:
    """The requests that tell how each model and API counts, each with the number of its words."""
    found: dict[tuple[str, str], list[tuple[int, Planned]]] = {}
    numbers = itertools.count()
    for api, classes in sized(scenario).items():
        fresh = any(request.prompt is not None and request.prompt.nonce for request in classes)
        lead = words(f"{nonce_seed if fresh else seed}:fit", FRESH_WORDS)
        texts = [(n, f"{lead} {words(f'{seed}:fit:{place}', n - FRESH_WORDS)}") for place, n in enumerate(PROBE_WORDS)]
        for model in (one for one in scenario.models if one not in scenario.tokenizers):
            stream = classes[0].stream
            found[model, api] = [(n, probe(next(numbers), model, api, text, stream=stream)) for n, text in texts]
    return found


def planned(scenario: Scenario) -> list[Planned]:
    """The requests that a fit sends at most; none if the scenario leaves it out."""
    asked = probes(scenario, seed=0, nonce_seed=0).values() if scenario.fit else ()
    return [one for several in asked for _, one in several]


def announcement(scenario: Scenario) -> str | None:
    """What a run sends before its load, in a sentence; None if it sends nothing."""
    if not (asked := planned(scenario)):
        return None
    models = list(dict.fromkeys(one.model for one in asked))
    who = f"{len(models)} models" if len(models) > MOST_NAMED else " and ".join(models)
    counts = "count" if len(models) > 1 else "counts"
    how = "--no-fit, or fit: false in the scenario, leaves them out"
    return f"sends {len(asked)} short requests first to learn how {who} {counts} tokens; {how}"


def fit_of(answers: list[tuple[int, Record]]) -> Fit:
    """The fit that a server's counts of prompts of so many words say; with a doubt where they say none."""
    samples = []
    for count, record in answers:
        if record.outcome not in COUNTED:
            return Fit(
                doubt=guessed(f"the request that should show how it counts ended as {record.outcome}: {record.error}")
            )
        if record.prompt_tokens is None:
            return Fit(doubt=guessed("it does not say how many tokens a prompt has"))
        samples.append((count, record.prompt_tokens))
    try:
        return fit(samples)
    except ValueError as error:
        return Fit(doubt=guessed(str(error)))


def guessed(reason: str) -> str:
    """What the default fit means for the prompts, and why it is used."""
    return f"prompt lengths are estimates, made as if each word were one token: {reason}"


def doubting_short(found: Fit, tokens: int | None) -> Fit:
    """The fit, with a doubt where the shortest prompt is longer than was asked for, whatever its text."""
    if found.doubt is not None or tokens is None or found.overhead < tokens:
        return found
    text = f"it counts {found.overhead:,.0f} tokens beside the text, so no prompt has {tokens:,}"
    return replace(found, doubt=f"{text}; they got a single word; ask for longer ones")


def sized(scenario: Scenario) -> dict[str, list[Request]]:
    """The classes whose prompts we make of so many tokens, by the API whose counts tell how."""
    found: dict[str, list[Request]] = {}
    for request in scenario.requests:
        prompt, api = request.prompt, counting_api(request)
        if api is not None and prompt is not None and (prompt.tokens is not None or prompt.prefix is not None):
            found.setdefault(api, []).append(request)
    return found


def shortest(classes: list[Request]) -> int | None:
    """Tokens of the shortest synthetic prompt; None if only beginnings are synthetic."""
    return min(lengths(classes), default=None)


def lengths(classes: list[Request]) -> Iterator[int]:
    for request in classes:
        if request.prompt is not None and request.prompt.tokens is not None:
            yield request.prompt.tokens


def never_terminates(probes: list[Record]) -> bool:
    """Whether a server ends its streams without their terminator, always, as far as its probes show."""
    streams = [record for record in probes if record.stream]
    return bool(streams) and all(record.unterminated for record in streams)


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
        parameters=ONE_TOKEN.get(api, {"max_tokens": 1}),
        extra_body={},
    )
