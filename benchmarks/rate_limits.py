"""Is a provider's limiter told right? Random limiters, resources and contracts, each against what is then said of them.

    python -m benchmarks.rate_limits [--quick | --real] [--only PART] [--seed N]

On a simulated clock: 200 limiters of six kinds, the same with 2 % of other people's requests, 30 resources, 60
contracts of which half are broken in one clause. `--real` runs fewer of them over HTTP, in real time.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import click

from bench.experiments.rate_limit.clauses import clauses_of
from bench.experiments.rate_limit.identify import Probing, identify
from bench.experiments.rate_limit.limits import Limit, limit_of
from bench.experiments.rate_limit.promise import Clause
from bench.experiments.rate_limit.question import RateLimitScenario
from bench.experiments.rate_limit.requests import Costs
from bench.experiments.rate_limit.steps import steps
from bench.experiments.simulated_performer import SimulatedPerformer
from bench.plan import Burst, Step
from bench.plan.requests import Planned
from bench.records import Record
from bench.simulator.limiters import (
    Decision,
    FixedWindow,
    FixedWindowFromFirst,
    Limiter,
    SlidingCounter,
    SlidingLog,
    SlidingLogCountingRejects,
    TokenBucket,
)
from benchmarks.rate_limits_over_http import EVERYTHING, over_http

WINDOWS = {
    "fixed_window": FixedWindow,
    "fixed_window_from_first": FixedWindowFromFirst,
    "sliding_log": SlidingLog,
    "sliding_log_counting_rejects": SlidingLogCountingRejects,
    "sliding_counter": SlidingCounter,
}
KINDS = (*WINDOWS, "token_bucket")
Result = TypeVar("Result")
JITTER = 0.05  # of a way there or back, on average, exponential


@dataclass(frozen=True, slots=True)
class Truth:
    """A limiter as it was drawn."""

    kind: str
    limit: int  # of a token bucket its burst
    span: float  # window, s; of a token bucket what flows in per second
    trip: float  # round trip, s

    def limiter(self) -> Limiter:
        if self.kind == "token_bucket":
            return TokenBucket(self.limit, self.span)
        return WINDOWS[self.kind](self.limit, self.span)

    @property
    def sustained(self) -> float:
        """Requests per second that it admits for ever."""
        return self.span if self.kind == "token_bucket" else self.limit / self.span


def truths(count: int, seed: int) -> Iterator[Truth]:
    """Limiters of all kinds, in turn."""
    rng = random.Random(seed)
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        trip = rng.uniform(0.02, 0.2)
        if kind == "token_bucket":
            yield Truth(kind, rng.randint(5, 60), rng.uniform(0.5, 10.0), trip)
        else:
            yield Truth(kind, rng.randint(5, 80), float(rng.choice((1, 10, 60))), trip)


class Provider:
    """Answers requests as a server with this limiter would, for a SimulatedPerformer."""

    def __init__(self, truth: Truth, *, seed: int, foreign: float = 0.0) -> None:
        """`foreign` is what others send, as a share of what the limiter admits for ever."""
        self._truth, self._rng, self._limiter = truth, random.Random(seed), truth.limiter()
        self._foreign = foreign * truth.sustained
        self._offset = self._rng.uniform(0.0, 1000.0)  # of the server's clock
        self._next = self._rng.expovariate(self._foreign) if self._foreign else float("inf")
        self._last = 0.0

    def __call__(self, planned: Planned, at: float) -> Record:
        half = self._truth.trip / 2
        arrived = max(self._last, at + half * (1.0 + self._rng.expovariate(1.0 / JITTER)))
        self._last = arrived
        while self._next <= arrived:
            self._limiter.admit(self._next + self._offset)
            self._next += self._rng.expovariate(self._foreign)
        admitted = self._limiter.admit(arrived + self._offset).admitted
        done = arrived + half * (1.0 + self._rng.expovariate(1.0 / JITTER))
        return record_of(planned, at, done, "ok" if admitted else "throttled")


def record_of(planned: Planned, sent: float, done: float, outcome: str) -> Record:
    """The record of an answer in one piece."""
    ok = outcome == "ok"
    return Record(
        seq=planned.seq, worker=0, user=0, stage="", name=planned.name, model=planned.model, api=planned.api,
        stream=planned.stream, due=None, sent=sent, connect_started=None, connected=None, headers_at=done, done=done,
        arrivals=[], first_token_at=None, first_answer_at=None, merged=0, read_delay=None, clock="kernel",
        status=200 if ok else 429, outcome=outcome, error=None if ok else "HTTP 429", attempts=1, earlier=[],
        reopened=False, retry_after=None, limits={}, prompt_tokens=1 if ok else None,
        completion_tokens=1 if ok else None, reasoning_tokens=None, cached_tokens=None, cache_write_tokens=None,
        tokens_from="usage" if ok else "none", output_chars=0, finish_reason="length" if ok else None,
        response_model=planned.model, request_id=None, http="HTTP/1.1", bytes_received=0, arm=planned.arm,
    )  # fmt: skip


# -- limiters -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """What was said of one limiter."""

    truth: Truth
    limit: Limit
    requests: int
    seconds: float

    @property
    def kind(self) -> bool:
        return self.limit.kind == self.truth.kind

    @property
    def size(self) -> bool:
        """Whether the limit is right within one request."""
        return self.limit.limit is not None and abs(self.limit.limit - self.truth.limit) <= 1

    @property
    def span(self) -> bool:
        """Whether the window, or the rate, is right within 3 %."""
        said = self.limit.rate_per_s if self.truth.kind == "token_bucket" else self.limit.window_s
        return said is not None and abs(said / self.truth.span - 1) <= 0.03

    @property
    def wrong(self) -> bool:
        """Whether one was sure of another kind than the true one."""
        return self.limit.sure and not self.kind

    @property
    def included(self) -> bool:
        """Whether the true kind explains about as much as the best one."""
        best = self.limit.candidates[0].weight if self.limit.candidates else 0
        return any(one.kind == self.truth.kind and one.weight < best + 2 for one in self.limit.candidates)


def plain() -> Iterator[Planned]:
    for k in itertools.count():
        yield Planned(
            seq=k, k=k, name="chat", model="m", api="chat", stream=False, input=[], parameters={}, extra_body={}
        )


def number_of(seed: int, number: int) -> int:
    """A seed for each case, unlike those of every other seed's cases."""
    return 1000 * seed + number


def identified(number: int, truth: Truth, foreign: float) -> Told:
    """One limiter, from the first request to what is said of it; the number seeds jitter and other people's requests."""
    probing = Probing("requests", plain(), 1000)
    performer = SimulatedPerformer(Provider(truth, seed=number, foreign=foreign))
    performer.perform(identify(probing))
    records = [replace(record, stage="requests") for record in probing.records]
    limit, _ = limit_of("requests", "m", records, None)
    return Told(truth, limit, performer.sent, performer.now)


def bounded(
    processes: int, minutes: float, function: Callable[..., Result], *arguments: Iterable[Any]
) -> Iterator[Result]:
    """The results of a function, in order, as many as there are within so many minutes."""
    until = time.monotonic() + 60.0 * minutes
    with ProcessPoolExecutor(processes) as pool:
        for result in pool.map(function, *arguments):
            yield result
            if time.monotonic() > until:
                pool.shutdown(wait=False, cancel_futures=True)
                return


def limiters(count: int, *, seed: int, foreign: float, processes: int, minutes: float = math.inf) -> list[Told]:
    numbers = [number_of(seed, number) for number in range(count)]
    return list(bounded(processes, minutes, identified, numbers, truths(count, seed), itertools.repeat(foreign)))


def print_limiters(told: Sequence[Told], title: str) -> None:
    click.echo(f"\n{title}: {len(told)} limiters")
    click.echo(f"{'kind':32}{'told':>6}{'sure':>6}{'limit':>7}{'window':>8}{'requests':>10}{'seconds':>9}")
    for kind in (*KINDS, "all"):
        mine = [one for one in told if kind in (one.truth.kind, "all")]
        if mine:
            click.echo(
                f"{kind:32}{sum(one.kind for one in mine):>4}/{len(mine)}{sum(one.limit.sure for one in mine):>5}"
                f"{sum(one.size for one in mine):>7}{sum(one.span for one in mine):>8}"
                f"{statistics.median(one.requests for one in mine):>10g}"
                f"{statistics.median(one.seconds for one in mine):>9.0f}"
            )
    sure = [one for one in told if one.limit.sure]
    click.echo(
        f"sure {len(sure)}, of a wrong kind {sum(not one.kind for one in sure)}, of a wrong limit, window or rate "
        f"{sum(one.kind and not (one.size and one.span) for one in sure)}; true kind among the candidates "
        f"{sum(one.included for one in told)}/{len(told)}"
    )
    for one in told:
        if not (one.kind and one.size and one.span):
            click.echo(f"  {one.truth} was told as: {one.limit.says} ({one.requests} requests)")


# -- resources ------------------------------------------------------------------------------------------------

RESOURCES = (
    ("requests", "ahead"), ("tokens", "ahead"), ("tokens", "after"), ("input_tokens", "ahead"),
    ("output_tokens", "ahead"), ("output_tokens", "after"), ("images", "ahead"),
)  # fmt: skip
ANSWER = 6  # tokens of every answer, unless max_tokens cuts it


class Counting:
    """A provider that limits one resource, charged from what was asked for or from what was written."""

    def __init__(self, resource: str, charged: str, limiter: Limiter, trip: float, seed: int) -> None:
        self._resource, self._after, self._limiter, self._trip = resource, charged == "after", limiter, trip
        self._rng, self._last = random.Random(seed), 0.0
        self._due: list[tuple[float, float]] = []  # charges of answers under way: moment, cost

    def __call__(self, planned: Planned, at: float) -> Record:
        half = self._trip / 2
        arrived = max(self._last, at + half * (1.0 + self._rng.expovariate(1.0 / JITTER)))
        self._last = arrived
        for moment, cost in sorted(one for one in self._due if one[0] <= arrived):
            self._limiter.charge(moment, cost)
        self._due = [one for one in self._due if one[0] > arrived]
        asked = int(planned.parameters.get("max_tokens", 1))
        prompt, written = len(str(planned.input).split()), min(asked, ANSWER)
        images = int(planned.parameters.get("n") or 1) if planned.api == "images" else 0
        answer = written if self._after else asked
        cost = {
            "requests": 1, "tokens": prompt + answer, "input_tokens": prompt, "output_tokens": answer, "images": images,
        }[self._resource]  # fmt: skip
        ended = arrived + 0.02
        if not self._after:
            admitted = self._limiter.admit(arrived, cost).admitted
        elif admitted := self._limiter.left(arrived) > 0:
            self._due.append((ended, cost))
        done = (ended if admitted else arrived) + half * (1.0 + self._rng.expovariate(1.0 / JITTER))
        record = record_of(planned, at, done, "ok" if admitted else "throttled")
        return replace(record, prompt_tokens=prompt, completion_tokens=written) if admitted else record


def resource(number: int, seed: int = 1) -> tuple[str, str, Limit, int]:
    """One resource told: what is limited, how it is charged, what was said, and with how many requests."""
    rng = random.Random(number_of(seed, number))
    what, charged = RESOURCES[number % len(RESOURCES)]
    room = {"requests": 1, "images": 4, "output_tokens": 40 if charged == "ahead" else 3}.get(what, 400)
    limit, kind = rng.randint(12, 30) * room, rng.choice(("fixed_window", "sliding_log", "fixed_window_from_first"))
    counted = "images" if what == "images" else "requests" if what == "requests" else "tokens"
    request = (
        {"api": "images", "prompt": "hi"} if what == "images" else {"prompt": "hi", "max_tokens": 3, "stream": False}
    )
    scenario = RateLimitScenario.model_validate(
        {
            "name": "resource", "kind": "rate_limit", "target": {"url": "http://127.0.0.1:1"}, "models": ["m"],
            "requests": [request], "discover": [counted], "budget": {"requests": 600},
        }
    )  # fmt: skip
    limiter = WINDOWS[kind](limit, float(rng.choice((10, 60))))
    performer = SimulatedPerformer(Counting(what, charged, limiter, rng.uniform(0.02, 0.2), number_of(seed, number)))
    performer.perform(steps(scenario))
    found, _ = limit_of(counted, "m", performer.records, Costs(scenario, performer.records))
    return what, charged, found, performer.sent


def resources(count: int, *, seed: int, processes: int, minutes: float = math.inf) -> tuple[int, int]:
    """How many resources were told, and how many of them with how they are charged too."""
    tried = told = charge = 0
    click.echo(f"\nresources: {count}")
    every = bounded(processes, minutes, resource, range(count), itertools.repeat(seed))
    for tried, (what, charged, limit, requests) in enumerate(every, 1):  # noqa: B007 -- the last one counts
        right = limit.resource == what
        exact = right and (limit.charged is None or limit.charged == charged)
        told, charge = told + right, charge + exact
        if not exact:
            click.echo(
                f"  {what}, charged {charged}: told as {limit.resource}, {limit.charged}: {limit.says} ({requests})"
            )
    click.echo(f"resource told {told}/{tried}, with how it is charged {charge}/{tried}")
    return told, charge


# -- contracts ------------------------------------------------------------------------------------------------

BREAKS: dict[str, str] = {
    "limit 10 % low": "refused share", "Retry-After too early": "sent at Retry-After", "counter stuck": "are true",
    "500 instead of 429": "is a 429", "shared between models": "other models", "limit not enforced": "refused share",
    "headers missing": "are present", "Retry-After missing": "have Retry-After",
    "header states another limit": "are true", "shared between keys": "other key", "503 instead of 429": "is a 429",
    "503 and 429 in turn": "is a 429", "headers of another style": "are present", "counter at random": "are true",
    "tokens shared between models": "other models", "other model unknown": "other models",
}  # fmt: skip
"""What a provider does wrong, and words of the clause that it breaks."""
UNTOLD = frozenset({"other model unknown"})
"""Of these the clause is not told: it neither holds nor fails."""
BOTH = 4  # each so-manieth contract that is kept promises requests and tokens


class Promising:
    """A provider with limits per minute, headers and Retry-After, that keeps its contract or breaks it in one way."""

    def __init__(self, kind: str, limits: Mapping[str, int], trip: float, broken: str | None, seed: int) -> None:
        self._limits, self._trip, self._broken, self._rng = limits, trip, broken, random.Random(seed)
        self._kind, self._each = kind, {}  # type: ignore[var-annotated]
        self._offset = self._rng.uniform(0.0, 1000.0)
        self._last, self._refused = 0.0, 0

    def _limiter(self, name: str, planned: Planned) -> Limiter:
        key = (
            name,
            None if self._broken in ("shared between models", "tokens shared between models") else planned.model,
            None if self._broken == "shared between keys" else planned.arm,
        )
        if key not in self._each:
            factor = {"limit 10 % low": 0.9, "limit not enforced": 100.0}.get(self._broken or "", 1.0)
            whole = round(factor * self._limits[name])
            self._each[key] = (
                TokenBucket(whole, whole / 60.0) if self._kind == "token_bucket" else WINDOWS[self._kind](whole, 60.0)
            )
        limiter: Limiter = self._each[key]
        return limiter

    def __call__(self, planned: Planned, at: float) -> Record:
        half = self._trip / 2
        arrived = max(self._last, at + half * (1.0 + self._rng.expovariate(1.0 / JITTER)))
        self._last = arrived
        prompt, asked = len(str(planned.input).split()), int(planned.parameters.get("max_tokens", 1))
        decisions = {
            name: self._limiter(name, planned).admit(arrived + self._offset, {"rpm": 1, "tpm": prompt + asked}[name])
            for name in self._limits
        }
        done = arrived + half * (1.0 + self._rng.expovariate(1.0 / JITTER))
        if self._broken == "other model unknown" and planned.model != "m":
            return replace(record_of(planned, at, done, "invalid"), status=404, error="HTTP 404 model_not_found")
        refusing = next((name for name, decision in decisions.items() if not decision.admitted), None)
        outcome = "ok" if refusing is None else self._refusal()
        record = record_of(planned, at, done, outcome)
        if refusing is not None:
            resource = {"rpm": "requests per min (RPM)", "tpm": "tokens per min (TPM)"}[refusing]
            record = replace(
                record, error=f"{record.error}: on {resource}", retry_after=self._wait(decisions[refusing])
            )
        stated = {} if self._broken == "headers missing" else self._headers(decisions)
        style = "anthropic" if self._broken == "headers of another style" else "openai"
        tokens = {"prompt_tokens": prompt, "completion_tokens": 1} if refusing is None else {}
        return replace(record, limits=stated, limit_style=style if stated else None, **tokens)  # type: ignore[arg-type]

    def _refusal(self) -> str:
        """The outcome of a refusal."""
        self._refused += 1
        in_turn = "overloaded" if self._refused % 2 else "throttled"
        wrong = {"500 instead of 429": "server_error", "503 instead of 429": "overloaded"}
        return in_turn if self._broken == "503 and 429 in turn" else wrong.get(self._broken or "", "throttled")

    def _wait(self, decision: Decision) -> float | None:
        """What Retry-After says."""
        exact = decision.retry_after_s
        if exact is None or self._broken == "Retry-After missing":
            return None
        return 0.3 * exact if self._broken == "Retry-After too early" else float(int(exact) + 1)

    def _headers(self, decisions: Mapping[str, Decision]) -> dict[str, float]:
        """What the headers state."""
        found: dict[str, float] = {}
        for name, decision in decisions.items():
            limit, resource = self._limits[name], {"rpm": "requests", "tpm": "tokens"}[name]
            left = {"counter stuck": limit, "counter at random": self._rng.randint(0, limit)}
            found |= {
                f"{resource}.limit": float(limit * (2 if self._broken == "header states another limit" else 1)),
                f"{resource}.remaining": float(left.get(self._broken or "", int(max(0.0, decision.left)))),
                f"{resource}.reset_s": decision.reset_s or 0.0,
            }
        return found


def contract(number: int, seed: int = 0, *, rpm: int | None = None) -> tuple[str, str | None, list[Clause], int]:
    """One contract tested: what was broken, what was found, and with how many requests."""
    rng = random.Random(number_of(seed, number))
    broken = [*BREAKS][number // 2 % len(BREAKS)] if number % 2 else None
    kinds = [*WINDOWS, "token_bucket"]
    kinds.remove("sliding_log_counting_rejects")  # it admits nobody who goes on asking, as the test above it does
    kind, drawn = kinds[number // 2 % len(kinds)], rng.choice((20, 30, 60, 100, 120))
    limits = {"rpm": rpm or drawn}
    if broken == "tokens shared between models":
        limits = {"tpm": 1000 * limits["rpm"]}
    elif broken is None and number // 2 % BOTH == BOTH - 1:
        limits["tpm"] = rng.choice((500, 1000)) * limits["rpm"]
    scenario = RateLimitScenario.model_validate(
        {
            "name": "contract", "kind": "rate_limit", "target": {"url": "http://127.0.0.1:1", "key": "a"},
            "models": ["m", "other"], "requests": [{"prompt": "hi", "max_tokens": 1, "stream": False}],
            "contract": limits | {"headers": "openai", "retry_after": True}, "other_key": "b",
        }
    )  # fmt: skip
    performer = SimulatedPerformer(Promising(kind, limits, rng.uniform(0.02, 0.2), broken, number_of(seed, number)))
    performer.perform(steps(scenario))
    return kind, broken, clauses_of(scenario, performer.records, planned(performer.steps)), performer.sent


def planned(steps: Iterable[Step]) -> dict[str, int]:
    """How many requests the bursts of each name were to send."""
    found: dict[str, int] = {}
    for step in steps:
        if isinstance(step, Burst):
            found[step.name] = found.get(step.name, 0) + len(step.requests)
    return found


def is_found(broken: str, clauses: Iterable[Clause]) -> bool:
    """Whether the clause that is broken was failed, or not told where it cannot be."""
    marked = [one for one in clauses if BREAKS[broken] in one.clause]
    return any(one.verdict == ("inconclusive" if broken in UNTOLD else "fail") for one in marked)


def contracts(count: int, *, seed: int, processes: int, minutes: float = math.inf) -> tuple[int, int, int]:
    """Contracts of which half are broken: how many broken clauses were found, how many there are, and how many clauses
    were failed that hold."""
    tried = found = broken = falsely = 0
    click.echo(f"\ncontracts: {count}, half of them broken in one clause")
    every = bounded(processes, minutes, contract, range(count), itertools.repeat(seed))
    for tried, (kind, what, clauses, requests) in enumerate(every, 1):  # noqa: B007 -- the last one counts
        failed = [one for one in clauses if one.verdict == "fail"]
        right = what is not None and is_found(what, clauses)
        # what breaks one clause may well show in others that depend on it
        wrong = [one for one in failed if what is None]
        broken, found, falsely = broken + (what is not None), found + right, falsely + bool(wrong)
        if (what is not None and not right) or wrong:
            click.echo(
                f"  {what or 'kept'} ({kind}): {'; '.join(f'{one.clause}: {one.evidence}' for one in failed) or 'nothing failed'}"
            )
        unsure = [one.clause for one in clauses if one.verdict == "inconclusive"]
        if unsure and what is None:
            click.echo(f"  kept, and not told ({kind}): {'; '.join(unsure)} ({requests} requests)")
    click.echo(f"broken clauses found {found}/{broken}; contracts failed that hold {falsely}/{tried - broken}")
    return found, broken, falsely


@click.command()
@click.option("--quick", is_flag=True, help="Fewer of each.")
@click.option("--only", type=click.Choice(["limiters", "foreign", "resources", "contracts"]), multiple=True)
@click.option("--real", is_flag=True, help="Over HTTP and in real time, against the simulator; about 20 minutes.")
@click.option("--processes", default=2, show_default=True, help="Cases at a time.")
@click.option("--seed", default=1, show_default=True)
@click.option("--minutes", default=math.inf, help="Of each experiment; then it tells what was done so far.")
def main(quick: bool, real: bool, only: tuple[str, ...], processes: int, seed: int, minutes: float) -> None:
    """Print a table for each experiment."""
    if real:
        over_http(seed, processes, tuple({"limiters": "discoveries"}.get(part, part) for part in only) or EVERYTHING)
        return
    chosen = only or ("limiters", "foreign", "resources", "contracts")
    if "limiters" in chosen:
        told = limiters(24 if quick else 200, seed=seed, foreign=0.0, processes=processes, minutes=minutes)
        print_limiters(told, "nobody else asks")
    if "foreign" in chosen:
        told = limiters(12 if quick else 120, seed=seed + 1, foreign=0.02, processes=processes, minutes=minutes)
        print_limiters(told, "2 % are other people's requests")
    if "resources" in chosen:
        resources(7 if quick else 30, seed=seed, processes=processes, minutes=minutes)
    if "contracts" in chosen:
        contracts(20 if quick else 60, seed=seed, processes=processes, minutes=minutes)


if __name__ == "__main__":
    main()
