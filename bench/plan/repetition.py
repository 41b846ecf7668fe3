"""Repeats the requests of an earlier run.

A run writes its seeds, its fits, and digests of the files that it read to run.json. Together with the models and the
request classes they decide the bytes of every request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.plan.mix import Other
from bench.plan.requests import Fits, image_sources
from bench.plan.scenario import Scenario
from bench.plan.secrecy import redacted
from bench.plan.text import Fit

MOST_NAMED = 5  # differences that the message names


class NotRepeatableError(ValueError):
    """The requests of a run cannot be repeated; the message says why."""


@dataclass(frozen=True, slots=True)
class Learned:
    """How a target counts tokens and ends streams, learned by a few requests before the load."""

    fits: Fits
    unterminated: bool  # True: all its streams ended without the API's terminator

    @property
    def doubts(self) -> list[str]:
        """The doubts about the fits."""
        return [fit.doubt for fit in self.fits.values() if fit.doubt is not None]


@dataclass(frozen=True, slots=True)
class Draw:
    """The values that decide the requests of a run, together with its scenario."""

    seed: int  # of the mix, the prompts, their order, the arrivals
    nonce_seed: int  # of the nonces; a new run has a new one
    learned: Learned | None = None  # None: a few requests find it out
    repeats: str | None = None  # the run whose requests are repeated; None if this is no repetition


class KeptFit(msgspec.Struct, frozen=True):
    """A fit as run.json has it."""

    model: str
    api: str
    tokens_per_word: float
    overhead: float
    doubt: str | None = None


class Kept(msgspec.Struct, frozen=True):
    """The part of run.json that decides the requests."""

    seed: int
    scenario: dict[str, object]
    nonce_seed: int | None = None  # None: the run is older than this field
    prompt_fits: list[KeptFit] | None = None  # None: the run ended before it knew them
    files: dict[str, str] = {}
    terminator: str | None = None


def kept_fits(fits: Fits) -> list[KeptFit]:
    """The fits for run.json."""
    return [KeptFit(model, api, fit.tokens_per_word, fit.overhead, fit.doubt) for (model, api), fit in fits.items()]


def draw_of(folder: Path, scenario: Scenario) -> Draw:
    """The draw of the run in this folder, for a scenario that asks the same. Raises NotRepeatableError."""
    path = folder / "run.json"
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=Kept)
    except OSError as error:
        problem = f"{path}: {error.strerror}; the folder of a run is expected, such as reports/chat-20260102T030405Z"
        raise NotRepeatableError(problem) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotRepeatableError(f"{path} is not the run.json of a run: {error}") from None
    if kept.nonce_seed is None:
        raise NotRepeatableError(f"{path} has no nonce_seed: an earlier version of bench made that run; run it anew")
    if kept.prompt_fits is None:
        raise NotRepeatableError(f"{path} has no prompt_fits: that run ended before its load began; run it anew")
    if differing := list(differences(scenario, kept)):
        more = f", and {len(differing) - MOST_NAMED} more" if len(differing) > MOST_NAMED else ""
        raise NotRepeatableError(
            f"this scenario does not send the same requests as {folder}: {'; '.join(differing[:MOST_NAMED])}{more}; "
            "repeat a run with its own scenario"
        )
    fits = {(one.model, one.api): Fit(one.tokens_per_word, one.overhead, one.doubt) for one in kept.prompt_fits}
    return Draw(kept.seed, kept.nonce_seed, Learned(fits, kept.terminator == "optional"), str(folder))


def differences(scenario: Scenario, kept: Kept) -> Iterator[str]:
    """What makes the scenario's requests different from the kept ones."""
    now, digests = redacted(scenario), file_digests(scenario)
    for key in ("models", "requests", "tokenizers"):
        yield from json_differences(now.get(key) or None, kept.scenario.get(key) or None, key, digests, kept.files)


def json_differences(
    now: object, then: object, where: str, digests: Mapping[str, str], kept: Mapping[str, str]
) -> Iterator[str]:
    """Where two JSON values differ; file names are equal if the contents of the files are."""
    if isinstance(now, dict) and isinstance(then, dict):
        for key in sorted(now.keys() | then.keys()):
            yield from json_differences(now.get(key), then.get(key), f"{where}.{key}", digests, kept)
    elif isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
        for place, (one, other) in enumerate(zip(now, then, strict=True)):
            yield from json_differences(one, other, f"{where}.{place}", digests, kept)
    elif (digest := digest_of(now, digests)) is not None and (other := digest_of(then, kept)) is not None:
        if digest != other:
            yield f"the contents of {now} ({where}) have changed"
    elif now != then:
        yield f"{where} is {shown(now)}; it was {shown(then)}"


def shown(value: object) -> str:
    """A value in a sentence."""
    if value is None:
        return "not set"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}…"


def digest_of(value: object, digests: Mapping[str, str]) -> str | None:
    """The digest of the file that a value names, as PATH or PATH:OBJECT; None if it names none."""
    if not isinstance(value, str):
        return None
    return digests.get(value) or digests.get(value.rpartition(":")[0])


def file_digests(scenario: Scenario) -> dict[str, str]:
    """SHA-256 of every file that the requests are made of, by its path."""
    return {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in sorted(set(files(scenario)))}


def files(scenario: Scenario) -> Iterator[str]:
    yield from scenario.tokenizers.values()
    for request in scenario.requests:
        if request.prompt is not None:
            yield from filter(None, (request.prompt.file, *(sound.file for sound in request.prompt.sounds)))
        yield from (source.file for source in image_sources(request) if source.file is not None)
        if isinstance(request, Other):
            yield request.api.rpartition(":")[0]
