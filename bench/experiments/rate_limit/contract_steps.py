"""What is sent to test each promise of a contract: below the limit, until it is used up, above it, and once it should
be full again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bench.experiments.rate_limit.evidence import REFUSED, is_refused
from bench.experiments.rate_limit.promise import is_let_in, meaning_of
from bench.experiments.rate_limit.question import DECLARED, OTHER_KEY, RateLimitScenario
from bench.experiments.rate_limit.requests import Costs, Requests, Size
from bench.experiments.rate_limit.sizes import (
    HALF,
    MORE_STREAMS,
    PER_MINUTE,
    PROBES,
    comes_first,
    cost_of,
    too_small,
    weight_of,
    words_for,
)
from bench.plan import Burst, Planned, Steps, Wait
from bench.records import Record

MINUTE = 60.0
SETTLED = 61.0  # s of silence, after which a minute's limit is full again
BELOW, ABOVE = 0.9, 1.5  # of a promised limit: at one of them everything is admitted, at the other a part
ABOVE_S = 100.0  # how long above it: one whole minute after the limit is reached, whenever minutes begin
FROM_FULL_S = 180.0  # the same where the limit is full again before it: two minutes until a bucket is empty
AGAIN_S = 20.0  # how long below it, once the limit should be full again
ROUNDS = 2  # refusals whose Retry-After is obeyed
LONGEST_RETRY_S = 75.0  # of a Retry-After that is waited for
OTHERS = 3  # requests of another model or key while this one is used up
AT_ONCE_S = 0.01  # between requests that use a limit up
FEW_UNDER_WAY = 4  # of the same, where another limit is promised too: so few more are sent before a refusal is known
LONGEST_BURST_S = 10.0  # until a limit is used up
RELEASED_S = 2.0  # a server may count an answer as under way for a while after its end
STREAMS_APART_S = 0.005

ALL_ALIKE = frozenset({"quota", "auth", "invalid"})
"""Outcomes after which no request can succeed, as long as none has."""
IN_VAIN = frozenset({"quota"})
TURNED_AWAY = REFUSED | {"stream_error"} | ALL_ALIKE
"""Outcomes of a limit that is used up, whatever a server makes of it."""

Source = Callable[[int, str | None], Iterator[Planned]]
"""Requests of one size, for a model (its place among the scenario's) and an arm."""


def tests(scenario: RateLimitScenario, requests: Requests) -> Steps[None]:
    """The tests of every promise, one after the other."""
    limits = scenario.promised
    for number, name in enumerate(limits):
        if number:
            yield Wait(seconds=SETTLED)
        if name == "concurrency":
            yield from test_concurrency(scenario, requests, limits)
        else:
            yield from test_rate(scenario, requests, limits, name)


@dataclass(frozen=True, slots=True)
class Load:
    """The requests of a test."""

    source: Source
    rate: float  # per second, that the limit has room for
    taken: Mapping[str, float]  # what one of them takes of each limit per minute

    def at(self, share: float, seconds: float) -> tuple[int, float]:
        """How many requests at a share of the limit for so long, and how far apart, s."""
        return max(1, int(seconds * share * self.rate)), 1.0 / (share * self.rate)


def test_rate(scenario: RateLimitScenario, requests: Requests, limits: Mapping[str, int], name: str) -> Steps[None]:
    """Below the limit, at Retry-After once it is used up, above it, and once it should be full again."""
    load = yield from load_of(scenario, requests, limits, name)
    if load is None:
        return
    source = load.source(0, None)
    silence = SETTLED if len(limits) > 1 else 0.0  # others may count what this one refuses
    many, spacing = load.at(BELOW, MINUTE)
    records = yield from sent(f"{name}: below", source, many, spacing=spacing, until=ALL_ALIKE)
    if not any(map(is_let_in, records)):
        return
    yield Wait(seconds=silence)
    yield from at_retry_after(scenario, limits, name, load, records)
    yield Wait(seconds=silence)
    many, spacing = load.at(ABOVE, FROM_FULL_S if silence else ABOVE_S)
    yield from sent(f"{name}: above", source, many + 1, spacing=spacing)
    yield Wait(seconds=SETTLED)
    many, spacing = load.at(BELOW, AGAIN_S)
    yield from sent(f"{name}: again", source, many, spacing=spacing)


def load_of(
    scenario: RateLimitScenario, requests: Requests, limits: Mapping[str, int], name: str
) -> Steps[Load | None]:
    """Requests that reach this limit before the others; None if there are none. Where their size matters, the first
    ones tell how large they are."""
    if list(limits) == ["rpm"]:
        return Load(of_size(requests, "plain"), limits["rpm"] / MINUTE, {"rpm": 1.0})
    if name != "tpm":
        source = of_size(requests, "many" if name == "ipm" else "plain")
        first = yield from sent(f"{name}: first", source(0, None), 1, until=ALL_ALIKE)
    else:
        source, first = yield from long_enough(scenario, requests, limits)
    if not first or not all(map(is_let_in, first)):
        return None
    costs = Costs(scenario, first)
    taken = {other: cost_of(other, first[-1], costs) for other in PER_MINUTE}
    if taken[name] <= 0 or comes_first(limits, name, taken) is not None:
        return None
    yield Wait(seconds=SETTLED)
    return Load(source, limits[name] / taken[name] / MINUTE, taken)


def of_size(requests: Requests, size: Size) -> Source:
    """Requests of a size."""
    return lambda model, arm: requests.of(size, model=model, arm=arm)


def of_words(requests: Requests, count: int) -> Source:
    """Requests with this number of words in front."""
    return lambda model, arm: requests.long(count, model=model, arm=arm)


def long_enough(
    scenario: RateLimitScenario, requests: Requests, limits: Mapping[str, int]
) -> Steps[tuple[Source, list[Record]]]:
    """Requests that use a limit of tokens up, and the first ones; none where they cannot reach it first."""
    probes = [next(requests.long(count)) for count in PROBES]
    first = yield Burst(name="tpm: first", requests=tuple(probes), until=ALL_ALIKE)
    costs = Costs(scenario, first)
    weight = weight_of(first, costs)
    if weight is None or too_small(scenario, "tpm", first, costs) is not None:
        return of_words(requests, PROBES[0]), []
    source = of_words(requests, words_for(limits, weight))
    return source, (yield from sent("tpm: first", source(0, None), 1, until=ALL_ALIKE))


def sent(
    name: str, source: Iterator[Planned], many: int, *, spacing: float = 0.0, until: frozenset[str] = IN_VAIN
) -> Steps[list[Record]]:
    """So many requests at fixed distances, whatever they come to."""
    requests = tuple(itertools.islice(source, many))
    return (yield Burst(name=name, requests=requests, spacing=spacing, until=until))


# -- a limit that is used up ----------------------------------------------------------------------------------


def at_retry_after(
    scenario: RateLimitScenario, limits: Mapping[str, int], name: str, load: Load, below: list[Record]
) -> Steps[None]:
    """Use the limit up, ask for other models and with another key, and come back exactly when the refusal says."""
    source, asked = load.source(0, None), False
    for _ in range(ROUNDS):
        burst = tuple(itertools.islice(source, most_at_once(limits, name, load)))
        spacing = apart(limits, load, below)
        records = yield Burst(name=f"{name}: used up", requests=burst, spacing=spacing, until=TURNED_AWAY)
        refused = [record for record in records if meaning_of(record, DECLARED[name]) == "refused"]
        if not refused:
            return
        last = max(refused, key=lambda record: record.done)
        if not asked and (burst := with_others(scenario, limits, name, load)):
            records = yield Burst(name=f"{name}: others", requests=burst, spacing=AT_ONCE_S, until=IN_VAIN)
            mine = [one for one in records if one.model == scenario.models[0] and one.arm is None]
            asked = any(map(is_refused, mine))
            if not mine or not is_refused(mine[-1]):
                continue  # there is room again
            last = mine[-1]
        if last.retry_after is None or last.retry_after > LONGEST_RETRY_S:
            return
        yield Wait(seconds=last.retry_after)
        yield from sent(f"{name}: at Retry-After", source, 1)


def most_at_once(limits: Mapping[str, int], name: str, load: Load) -> int:
    """How many requests are sent to use a limit up, at most: more than it has room for, and fewer than another has."""
    most = int(1.3 * load.rate * MINUTE) + 5
    others = (other for other in PER_MINUTE if other != name and other in limits and load.taken.get(other))
    return min([most, *(int(0.9 * limits[other] / load.taken[other]) for other in others)])


def apart(limits: Mapping[str, int], load: Load, below: list[Record]) -> float:
    """How far apart, in s, they are sent: where other limits are promised, so far that few are under way, unless it
    takes too long."""
    if len(limits) == 1:
        return AT_ONCE_S
    took = float(np.median([one.done - (one.sent or 0.0) for one in below if is_let_in(one)]))
    few = min(FEW_UNDER_WAY, max(1.0, HALF * limits.get("concurrency", np.inf)))
    return max(AT_ONCE_S, min(took / few, LONGEST_BURST_S / (load.rate * MINUTE)))


def with_others(scenario: RateLimitScenario, limits: Mapping[str, int], name: str, load: Load) -> tuple[Planned, ...]:
    """A few requests for each other model, and with the other key, as large as those that used the limit up; and of
    these one before and one after, which shows that it is used up. None if there are no others."""
    many = max(1, min(OTHERS, int(load.rate * MINUTE), limits.get("concurrency", OTHERS)))
    found = [
        planned
        for model in range(1, len(scenario.models))
        for planned in itertools.islice(load.source(model, None), many)
    ]
    if scenario.other_key is not None:
        found += itertools.islice(load.source(0, OTHER_KEY), many)
    mine = load.source(0, None)
    return (next(mine), *found, next(mine)) if found else ()


# -- requests under way ---------------------------------------------------------------------------------------


def test_concurrency(scenario: RateLimitScenario, requests: Requests, limits: Mapping[str, int]) -> Steps[None]:
    """As many answers at a time as are promised, and then a few more."""
    streams, limit = requests.streams(), limits["concurrency"]
    pause = RELEASED_S if len(limits) == 1 else SETTLED
    first = yield from sent("concurrency: first", streams, 1, until=ALL_ALIKE)
    if not first or not is_let_in(first[0]):
        return
    if too_small(scenario, "concurrency", first, Costs(scenario, first)) is not None:
        return
    took = first[0].done - (first[0].sent or 0.0)
    spacing = min(STREAMS_APART_S, took / (4 * (limit + MORE_STREAMS)))  # so that all are under way at one moment
    for what, many in (("below", limit), ("above", limit + MORE_STREAMS), ("again", limit)):
        yield Wait(seconds=pause)
        yield from sent(f"concurrency: {what}", streams, many, spacing=spacing)
