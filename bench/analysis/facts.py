"""A run's run.json, end.json and health.jsonl as typed values, as far as analysis reads them.

A file that is damaged, foreign or of a later version raises NotARunError. A part that only some figures need (a
price, a threshold, an SLO, the certificate, a line of health) is left out if it cannot be understood, and that is told.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct, field
from pydantic import ValidationError

from bench.analysis.certificate import Certificate
from bench.plan.load import called
from bench.plan.prices import Price
from bench.plan.repetition import KeptFit
from bench.plan.thresholds import parse_threshold
from bench.plan.tiers import tiers
from bench.records import End, HealthLine, Machine, TargetAddress
from bench.records.file import BYTE_ORDER_MARK, place
from bench.records.file import VERSION as RECORDS_VERSION
from bench.records.record import Count, Moment

SCHEMA = 1  # of run.json
SLOS = ("ttft", "ttfa", "tpot", "e2e", "ttft_from_due", "e2e_from_due", "send_lag")

T = TypeVar("T")
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Positive = Annotated[float, Meta(gt=0.0, le=1e12)]


Level = Annotated[int, Meta(ge=1, le=10**9)]


class NotARunError(ValueError):
    """A folder holds no run, or a broken one; the message says what is wrong."""


class AskedPrompt(Struct, frozen=True):
    """The source of a request class's prompts."""

    nonce: bool = False  # whether each begins with something unique
    tokens: Count | None = None  # of synthetic text; None for other sources
    images: tuple[object, ...] = ()  # a server counts tokens for them too
    cached: float | None = None  # share of the tokens that a prompt cache should read; None if not set


class AskedRequest(Struct, frozen=True):
    """A request class of the scenario."""

    name: str
    prompt: AskedPrompt | None = None  # None if the class has none
    tool_results: object = None  # None if no turn sends results
    conversation: object = None  # None if there are no further turns


class AskedStage(Struct, frozen=True):
    """One of several stages of the scenario's load."""

    name: str | None = None  # None if it is named after its load
    measured: bool = True
    users: Level | None = None
    rate: Positive | None = None
    requests: Annotated[int, Meta(ge=1, le=10**12)] | None = None

    @property
    def called(self) -> str:
        """Its name in the records."""
        return self.name or (called(self.users, "users") if self.users is not None else called(self.rate or 0.0, "/s"))


class AskedLoad(Struct, frozen=True):
    """The scenario's load."""

    users: Level | tuple[Level, ...] | None = None  # of a closed loop; several in a sweep
    rate: Positive | tuple[Positive, ...] | None = None  # requests per second of an open loop; several in a sweep
    arrivals: str = "poisson"
    requests: Annotated[int, Meta(ge=1, le=10**12)] | None = None  # measured ones; None if only time ends the load
    warmup: Moment = 0.0
    processes: Annotated[int, Meta(ge=1, le=10**6)] = 1
    clients: tuple[str, ...] = ()  # the same load once for each; empty: no such kinds of clients
    stages: tuple[AskedStage, ...] = ()  # in place of the settings above

    def client_of(self, stage: str) -> str | None:
        """The client of this stage; None if the load has no kinds of clients."""
        last = stage.rpartition(", ")[2]
        return last if last in self.clients else None

    def requests_of(self, stage: str) -> int | None:
        """How many requests end this stage; None if only time does."""
        return {one.called: one.requests for one in self.stages}.get(stage, self.requests)


class AskedTarget(Struct, frozen=True):
    """The scenario's target."""

    proxy: str | None = None  # the proxy of the requests


class AskedArm(Struct, frozen=True):
    """An arm of the scenario, as far as analysis reads it."""

    models: Annotated[tuple[str, ...], Meta(min_length=1)]
    prices: dict[str, msgspec.Raw] = field(default_factory=dict)
    target: AskedTarget = AskedTarget()


class AskedLimits(Struct, frozen=True):
    """The limits that the scenario declares."""

    tier: str | None = None  # such as novita/T1
    rpm: Positive | None = None  # requests per minute of each model

    def requests_per_minute(self, model: str) -> float | None:
        """The limit of a model; None if none is declared, or if this version does not know the tier."""
        if self.rpm is not None or self.tier is None or self.tier not in tiers():
            return self.rpm
        return tiers()[self.tier].of(model).get("rpm")


class Asked(Struct, frozen=True):
    """The scenario, as far as analysis reads it."""

    name: str
    models: Annotated[tuple[str, ...], Meta(min_length=1)]
    requests: Annotated[tuple[AskedRequest, ...], Meta(min_length=1)]
    kind: str = "load"  # the question; FILE.py:OBJECT if it is the user's own
    load: AskedLoad = AskedLoad()  # empty if the question is not a plain load
    target: AskedTarget = AskedTarget()
    slo: dict[str, Moment] | None = None
    tokenizers: dict[str, str] = field(default_factory=dict)  # file by model: synthetic text has exactly its tokens
    thresholds: tuple[str, ...] = ()
    limits: AskedLimits | None = None
    prices: dict[str, msgspec.Raw] = field(default_factory=dict)
    arms: dict[str, AskedArm] = field(default_factory=dict)  # of a comparison


class Facts(Struct, frozen=True):
    """run.json: what was asked, of whom, where and with what."""

    scenario: Asked
    started_at: str
    seed: Seed
    nonce_seed: Seed = 0
    schema: Count = SCHEMA
    records_version: Count = 1
    target: TargetAddress = TargetAddress()
    machine: Machine = Machine()
    versions: dict[str, str] = field(default_factory=dict)
    scenario_file: str = ""
    git: str | None = None
    certificate: msgspec.Raw = msgspec.Raw(b"null")
    prompt_fits: tuple[KeptFit, ...] = ()
    repeats: str | None = None  # the run whose requests were sent again; None if they were its own
    command: msgspec.Raw = msgspec.Raw(b"[]")  # words of the command that made the run

    def command_of_run(self) -> list[str]:
        """The words of the command; empty if they cannot be understood."""
        try:
            return msgspec.json.decode(bytes(self.command), type=list[str])
        except (ValueError, RecursionError):
            return []


class _Version(Struct):
    schema: Count = SCHEMA
    records_version: Count = 1


class _Written(Struct):
    scenario: msgspec.Raw


class _Plain(Struct):
    load: msgspec.Raw


class Understood(Struct, frozen=True):
    """run.json, with the values that belong to other rooms, and what had to be left out."""

    facts: Facts
    scenario_text: str  # the scenario whole, as indented JSON
    prices: dict[str, Price]  # by model
    certificate: Certificate | None
    left_out: tuple[str, ...]  # in sentences


def read_facts(path: Path) -> Understood:
    """run.json. Raises NotARunError."""
    data = read_bytes(path, "is this the folder of a run?")
    version = decode(path, data, _Version)
    for name, got, known in (
        ("schema", version.schema, SCHEMA),
        ("records_version", version.records_version, RECORDS_VERSION),
    ):
        if got > known:
            raise NotARunError(
                f"{path}: {name} is {got}, and this version of bench reads up to {known}; use the one that made the run"
            )
    facts = decode(path, data, Facts)
    written = bytes(decode(path, data, _Written).scenario)
    if facts.scenario.kind == "load":
        decode(path, written, _Plain)  # other questions may be asked without a load
    text = msgspec.json.format(written, indent=2).decode()
    told: list[str] = []
    asked = facts.scenario
    if asked.arms:  # a comparison tells arms apart, not models
        asked = msgspec.structs.replace(asked, models=tuple(asked.arms), prices=prices_of_arms(asked))
    prices = {model: price for model, raw in asked.prices.items() if (price := _price(model, bytes(raw), told))}
    slo = {name: limit for name, limit in (asked.slo or {}).items() if name in SLOS}
    told += [f"the SLO {name} is not known to this version and is left out" for name in (asked.slo or {}).keys() - slo]
    thresholds = tuple(one for one in asked.thresholds if _is_threshold(one, told))
    asked = msgspec.structs.replace(asked, slo=slo or None, thresholds=thresholds)
    certificate = _certificate(bytes(facts.certificate), told)
    return Understood(msgspec.structs.replace(facts, scenario=asked), text, prices, certificate, tuple(told))


def prices_of_arms(asked: Asked) -> dict[str, msgspec.Raw]:
    """The price of each arm's model, by the name of the arm."""
    found = {}
    for name, arm in asked.arms.items():
        raw = arm.prices.get(arm.models[0], asked.prices.get(arm.models[0]))
        if raw is not None:
            found[name] = raw
    return found


def _price(model: str, raw: bytes, told: list[str]) -> Price | None:
    try:
        return Price.model_validate_json(raw)
    except ValidationError as error:
        told.append(f"the price of {model} cannot be understood ({error.errors()[0]['msg']}), so its cost is left out")
        return None


def _is_threshold(expression: str, told: list[str]) -> bool:
    try:
        parse_threshold(expression)
    except ValueError as error:
        told.append(f"a threshold is left out: {error}")
        return False
    return True


def _certificate(raw: bytes, told: list[str]) -> Certificate | None:
    try:
        return msgspec.json.decode(raw, type=Certificate | None)
    except (ValueError, RecursionError) as error:
        told.append(f"the machine's certificate cannot be understood ({place(error)}) and is left out")
        return None


def read_end(path: Path) -> End | None:
    """end.json; None if the run was killed before it could write one. Raises NotARunError."""
    if not path.exists():
        return None
    remedy = "take it away to have the run read as one that was killed"
    end = decode(path, read_bytes(path, remedy), End)
    if end.measure[0] > end.measure[1]:
        raise NotARunError(f"{path}: measure ends at {end.measure[1]} s, before it begins at {end.measure[0]} s")
    return end


def read_health(paths: list[Path]) -> tuple[list[HealthLine], tuple[str, ...]]:
    """The lines that can be read, and sentences about the others, except a last line that was cut off."""
    found, told = [], []
    decoder = msgspec.json.Decoder(HealthLine)
    for path in paths:
        try:
            lines = path.read_bytes().removeprefix(BYTE_ORDER_MARK).splitlines(keepends=True)
        except OSError as error:
            told.append(f"{path} cannot be read: {error.strerror}")
            continue
        broken = []
        for number, line in enumerate(lines, start=1):
            try:
                found.append(decoder.decode(line))
            except (ValueError, RecursionError) as error:
                if line.endswith(b"\n") and not line.isspace():
                    broken.append(f"{path}:{number}: {place(error)}")
        if broken:
            told.append(f"lines of health left out as broken: {len(broken)}, the first {broken[0]}")
    return found, tuple(told)


def read_bytes(path: Path, remedy: str) -> bytes:
    try:
        return path.read_bytes().removeprefix(BYTE_ORDER_MARK)
    except FileNotFoundError:
        raise NotARunError(f"{path} is missing; {remedy}") from None
    except OSError as error:
        raise NotARunError(f"{path} cannot be read: {error.strerror}; {remedy}") from None


def decode(path: Path, data: bytes, kind: type[T]) -> T:
    """A file's JSON as a typed value. Raises NotARunError with what is wrong."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise NotARunError(f"{path}: {place(error)}; is it another tool's, or was it changed after the run?") from None
    except (ValueError, RecursionError) as error:
        empty = "it is empty" if not data.strip() else place(error)
        raise NotARunError(f"{path} cannot be read: {empty}; was it changed after the run?") from None
