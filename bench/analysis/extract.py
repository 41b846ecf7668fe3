"""Extracts what a comparison needs of a run, in a few kilobytes: its figures, their sampling errors, what was asked,
and where. Two runs are compared by their extracts, which come from their folders or from a baseline.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt

from bench.analysis.figures import RATES, SHARES, Sample, latencies, sample
from bench.analysis.groups import ALL
from bench.analysis.run import Run
from bench.analysis.statistics import CONFIDENCE, normal_quantile, rank
from bench.analysis.summary import grouping
from bench.analysis.thresholds import with_failures
from bench.analysis.windows import windows_of
from bench.metrics import PERCENTILES, named
from bench.plan.repetition import KeptFit
from bench.records import Clock, Machine
from bench.records.record import Count

Floats = npt.NDArray[np.float64]
Known = Annotated[float, msgspec.Meta(ge=0)]
Figures = dict[str, Known | None]

LEVELS = tuple(np.round(np.concatenate([np.arange(0.0, 0.9, 0.02), np.arange(0.9, 1.0001, 0.005)]), 3).tolist())
"""The quantiles that are kept: more of them where they are far apart."""
DIGITS = 6  # of the numbers that are kept
Z = normal_quantile(0.5 + CONFIDENCE / 2)  # standard deviations from the middle to the ends of an interval


class Distribution(msgspec.Struct, frozen=True):
    """A latency of one run, s. Failed requests are slower than all others, and have the value None."""

    n: Count  # number of values, failures included
    failures: Count
    figures: Figures  # mean, p50 … p99.9: measured values; the mean has failures as slow as the slowest answer
    errors: Figures  # standard error of the logarithm of each, as if requests were independent; None: too few values
    quantiles: list[Known | None]  # at LEVELS

    def __post_init__(self) -> None:
        """Raises ValueError if it is not one that `distribution_of` makes, as in a file that somebody changed."""
        if not self.n > self.failures:
            raise ValueError(f"n is {self.n} and failures {self.failures}; at least one value is expected")
        if len(self.quantiles) != len(LEVELS) or self.quantiles[0] is None:
            raise ValueError(f"quantiles are {len(self.quantiles)}; {len(LEVELS)} are expected, the first a number")


class Part(msgspec.Struct, frozen=True):
    """A model or a request class of it in one measured stage."""

    stage: str
    model: str
    name: str  # of the request class; "all" for all of them
    requests: Count
    outcomes: dict[str, Count]  # number of requests by outcome
    latency: dict[str, Distribution]  # by metric
    shares: dict[str, tuple[Count, Count]]  # by metric: hits and all
    rates: Figures  # by metric
    tokens: Known | None  # mean length of an answer; None if no server counted
    streamed: Known  # share of the requests
    response_models: list[str]  # as the server named itself

    def __post_init__(self) -> None:
        """Raises ValueError for a share that is none, as in a file that somebody changed."""
        for metric, (hits, of) in self.shares.items():
            if not 0 < of >= hits:
                raise ValueError(f"{metric} is {hits} of {of}; a share is expected")


class AskedByRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """The parts of a run's scenario that decide whether runs can be compared, as run.json has them."""

    models: list[str] = []
    requests: list[dict[str, object]] = []
    load: dict[str, object] | None = None
    gate: dict[str, object] | None = None


class Extract(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    scenario: str  # its name
    kind: str
    started_at: str  # UTC, ISO 8601
    folder: str  # its name without its path
    seed: int
    repeats: str | None
    asked: AskedByRun
    files: dict[str, str]  # digests of the files that its prompts were made of, by path
    fits: list[KeptFit]
    target: str  # "url", "simulator" or "llama.cpp"
    url: str
    machine: Machine
    versions: dict[str, str]
    git: str | None
    clock: Clock
    validity: str
    reasons: list[str]  # why it is not valid
    failing: str | None  # that most requests failed
    parts: list[Part]

    @property
    def label(self) -> str:
        """Its name beside other runs."""
        return self.folder or self.started_at

    def is_run(self, other: Extract) -> bool:
        """Whether both are of one run, whose folder may have been copied or renamed."""
        return msgspec.structs.replace(self, folder="") == msgspec.structs.replace(other, folder="")


class _RunFile(msgspec.Struct):
    scenario: AskedByRun
    files: dict[str, str] = {}


def extract(run: Run) -> Extract:
    """The extract of a run. Raises UncomputableError."""
    facts, summary = run.facts, run.summary
    written = msgspec.json.decode((run.folder / "run.json").read_bytes().removeprefix(b"\xef\xbb\xbf"), type=_RunFile)
    return Extract(
        scenario=facts.scenario.name,
        kind=facts.scenario.kind,
        started_at=facts.started_at,
        folder=run.folder.resolve().name,
        seed=facts.seed,
        repeats=facts.repeats,
        asked=written.scenario,
        files=written.files,
        fits=list(facts.prompt_fits),
        target=facts.target.kind,
        url=facts.target.url,
        machine=facts.machine,
        versions=facts.versions,
        git=facts.git,
        clock=summary.validity.clock,
        validity=summary.validity.verdict,
        reasons=summary.validity.reasons,
        failing=summary.failing,
        parts=parts(run),
    )


def samples(run: Run) -> list[tuple[str, str, str, Sample]]:
    """Stage, model, request class (or "all") and the requests of each group of a run."""
    scenario = run.facts.scenario
    windows, slo = windows_of(run.records, scenario, run.stages), scenario.slo or {}
    return [
        (
            window.stage,
            model,
            name,
            sample(run.table, run.records, chosen, windows.of([model], [window.stage]), slo, {model: None}),
        )
        for window in windows.whole
        for model, name, chosen in grouping(run.records, scenario)
    ]


def parts(run: Run) -> list[Part]:
    """Each group's figures."""
    return [part(stage, model, name, of) for stage, model, name, of in samples(run)]


def part(stage: str, model: str, name: str, of: Sample) -> Part:
    """The figures of one group."""
    tokens = of.good["completion_tokens"].dropna()
    found = {metric: distribution(of, metric) for metric in named("latency")}
    shares = {metric: share(of) for metric, share in SHARES.items()}
    return Part(
        stage=stage,
        model=model,
        name=name,
        requests=len(of.offered),
        outcomes={str(word): int(many) for word, many in of.offered["outcome"].value_counts().items() if many},
        latency={metric: one for metric, one in found.items() if one is not None},
        shares={metric: (share.hits, share.of) for metric, share in shares.items() if share.of},
        rates={metric: kept(value) for metric, rate in RATES.items() if (value := rate(of)) is not None},
        tokens=kept(float(tokens.mean())) if len(tokens) else None,
        streamed=kept(float(of.offered["stream"].mean())) or 0.0 if len(of.offered) else 0.0,
        response_models=sorted(map(str, of.good["response_model"].dropna().unique())),
    )


def distribution(of: Sample, metric: str) -> Distribution | None:
    """The distribution of a group's latency; None if no request has one."""
    if not len(latencies(of, metric)):
        return None
    values = np.sort(with_failures(of, metric).astype(np.float64))
    return distribution_of(values)


def distribution_of(values: Floats) -> Distribution:
    """The distribution of values, sorted, of which infinite ones are failures; at least one is finite."""
    finite = values[np.isfinite(values)]
    whole = np.where(np.isfinite(values), values, finite[-1])
    mean = float(whole.mean(dtype=np.float64))
    error = float(whole.std(ddof=1)) / mean / math.sqrt(len(whole)) if len(whole) > 1 and mean > 0 else None
    return Distribution(
        n=len(values),
        failures=len(values) - len(finite),
        figures={"mean": kept(mean)} | {name: kept(quantile(values, q)) for name, q in PERCENTILES.items()},
        errors={"mean": kept(error)} | {name: kept(error_of(values, q)) for name, q in PERCENTILES.items()},
        quantiles=[kept(quantile(values, q), digits=4) for q in LEVELS],
    )


def quantile(values: Floats, q: float) -> float | None:
    """The q-quantile of sorted values, one of them; None where it is the time of a failure."""
    found = float(values[rank(q, len(values))])
    return found if math.isfinite(found) else None


def error_of(values: Floats, q: float) -> float | None:
    """The standard error of the logarithm of the q-quantile of sorted values, from the values whose places are the
    ends of its 95 % interval; None where one of them does not exist, or is a failure."""
    n = len(values)
    half = Z * math.sqrt(n * q * (1.0 - q))
    first, last = math.floor(n * q - half), math.ceil(n * q + half)
    if first < 0 or last >= n or not math.isfinite(values[last]) or values[first] <= 0:
        return None
    return math.log(values[last] / values[first]) / (2.0 * Z)


def kept(value: float | None, *, digits: int = DIGITS) -> float | None:
    """The number with DIGITS digits; None if it is not finite."""
    return float(f"{value:.{digits}g}") if value is not None and math.isfinite(value) else None


def share_above(one: Distribution, limit: float) -> float:
    """The share of the requests that took more than `limit`, failures included; from the kept quantiles."""
    known = np.array([math.inf if value is None else value for value in one.quantiles])
    finite = np.isfinite(known)
    levels = np.array(LEVELS)[finite]
    good = 1.0 - one.failures / one.n
    return float(1.0 - np.interp(limit, known[finite], levels, left=0.0, right=max(good, levels[-1])))


def pooled(extracts_of: list[Distribution]) -> float | None:
    """The median of the medians of several runs, s; None without any."""
    known = [value for one in extracts_of if (value := one.figures.get("p50")) is not None]
    return float(np.median(known)) if known else None


def whole(one: Part) -> bool:
    """Whether the part is all requests of a model, not a request class."""
    return one.name == ALL
