"""What a question about rate limits sends: steps that find each limit, and loads that test each promise."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Iterator, Mapping

from bench.experiments.rate_limit.bases import Explanation, explanations, rivals, samples, telling
from bench.experiments.rate_limit.candidates import candidates, search
from bench.experiments.rate_limit.evidence import REFUSED
from bench.experiments.rate_limit.identify import SPACING, Probing, identify, is_refused, trials
from bench.experiments.rate_limit.question import OTHER_KEY, RateLimitScenario, Resource
from bench.experiments.rate_limit.requests import BASES, COUNTED, LONG_ANSWER, Costs, Requests, Size
from bench.plan import Burst, Planned, Steps, Wait
from bench.records import Record

MOST = 2000  # requests of one discovery that has no budget
MINUTE = 60.0
MOST_OF_A_SIZE = 60  # requests of one size, when sizes are compared
MOST_MIXTURES = 4  # of sizes, until only one way of counting is left
FEWEST_IN_A_ROW, MOST_IN_A_ROW = 5, 40  # requests one after the other that use a limit up
COUNTED_AFTER_S = 0.25  # a server may count a little after its answer
SETTLED = 61.0  # s of silence, after which a minute's limit is full again
BELOW, ABOVE = 0.9, 1.5  # of a promised limit: at one of them everything is admitted, at the other a part
ABOVE_S = 100.0  # how long above it: one whole minute after the limit is reached, whenever minutes begin
AGAIN_S = 20.0  # how long below it, once the limit should be full again
ROUNDS = 2  # refusals whose Retry-After is obeyed
LONGEST_RETRY_S = 75.0  # of a Retry-After that is waited for
OTHERS = 3  # requests of another model or key while this one is used up
STREAMS = (2, 4, 8, 16, 32, 64)  # under way at a time, in search of a limit
STREAM_SPACING = 0.02
LENGTHENED = (1, 2)  # times the usual long answer, by which a limit on what is under way is told from a window
MOMENTS, UNTIL_ENDED = 8, 1.5
"""While a long answer is under way it is asked so often, at least, whether there is room, and until so many times of
its length."""
PROMISED = {"rpm": "requests", "tpm": "tokens", "ipm": "images"}
"""The resource that a promised limit bounds."""


def steps(scenario: RateLimitScenario) -> Steps[None]:
    """Each discovery, then each promise."""
    requests = Requests(scenario)
    for resource in scenario.discover:
        yield from discover(scenario, requests, resource)
    if scenario.contract is not None:
        for name, limit in scenario.contract.limits(scenario.models[0]).items():
            if name == "concurrency":
                yield from test_concurrency(requests, limit)
            elif name != "ipm" or scenario.contract.ipm is not None:
                yield from test_rate(scenario, requests, name, limit)


# -- discovery ------------------------------------------------------------------------------------------------


def discover(scenario: RateLimitScenario, requests: Requests, resource: Resource) -> Steps[None]:
    """Find out one limit."""
    if resource == "concurrency":
        yield from find_concurrency(requests)
        return
    budget = scenario.budget
    most = MOST if budget is None or budget.requests is None else max(20, budget.requests // len(scenario.discover))
    first, second = COUNTED[resource]
    probing = Probing(resource, requests.of(first), most, second=requests.of(second))
    if resource == "tokens":
        probing.thorough = False  # as long as it is not known what of a request is counted
        growing: tuple[Size, ...] = ("long", "longer", "longest")
        for size in growing:  # until one of them reaches the limit in few requests
            probing.requests = requests.of(size)
            found = yield from probing.burst(12)
            if any(map(is_refused, found)) or probing.ended:
                break
    yield from identify(probing)
    if resource == "tokens" and any(map(is_refused, probing.records)) and probing.ended is None:
        # once more with much asked for and little written, and with long prompts: which of them is counted shows
        sizes: tuple[Size, ...] = ("wide", "long", "wide")
        for size in sizes:
            yield Wait(seconds=full_after(probing))
            probing.requests = requests.of(size)
            yield from probing.burst(MOST_OF_A_SIZE)
        yield from close_in(scenario, requests, probing)
        yield from tell_bases_apart(scenario, requests, probing)


def tell_bases_apart(scenario: RateLimitScenario, requests: Requests, probing: Probing) -> Steps[None]:
    """While several ways of counting explain as much, send what tells them apart."""
    names = requests.sizes()
    for _ in range(MOST_MIXTURES):
        costs = Costs(scenario, probing.records)
        left = rivals(explanations(probing.name, probing.records, costs))
        wait = full_after(probing)
        mixture = telling(left, dict(samples(probing.records, names)), costs, probing.now + wait, SPACING)
        if mixture is None or probing.ended:
            return
        yield Wait(seconds=wait)
        first, second = requests.of(mixture.first), requests.of(mixture.second)
        probing.requests = itertools.chain(itertools.islice(first, mixture.many), second)
        yield from probing.burst(mixture.many + mixture.most)


def close_in(scenario: RateLimitScenario, requests: Requests, probing: Probing) -> Steps[None]:
    """Find a limit of tokens that are counted after the answer. Requests that are open at the same time go beyond
    such a limit, so ask one at a time until one is refused; then send one fewer and go on with smaller requests."""
    best, sizes = counted(scenario, requests, probing)
    if best.basis.charged != "after" or probing.ended:
        return
    coarse = suited(sizes, best.limit / FEWEST_IN_A_ROW)
    yield Wait(seconds=full_after(probing))
    many = yield from one_by_one(probing, requests.of(coarse), MOST_IN_A_ROW)
    best, sizes = counted(scenario, requests, probing)  # which may have been told wrong before
    fine = suited(sizes, 0.9 * sizes[coarse])
    if sizes[fine] < sizes[coarse] <= MOST_IN_A_ROW * sizes[fine]:
        yield Wait(seconds=full_after(probing))
        yield from one_by_one(probing, requests.of(coarse), many - 1)
        yield from one_by_one(probing, requests.of(fine), MOST_IN_A_ROW)


def counted(scenario: RateLimitScenario, requests: Requests, probing: Probing) -> tuple[Explanation, dict[Size, float]]:
    """The best way of counting, and the cost of a request of each size."""
    costs = Costs(scenario, probing.records)
    best = explanations(probing.name, probing.records, costs)[0]
    cost = costs.of(best.basis)
    return best, {size: cost(record) for size, record in samples(probing.records, requests.sizes())}


def suited(sizes: Mapping[Size, float], most: float) -> Size:
    """The most expensive size up to this cost; if there is none, the cheapest."""
    small = [size for size, cost in sizes.items() if cost <= most]
    return max(small, key=sizes.__getitem__) if small else min(sizes, key=sizes.__getitem__)


def one_by_one(probing: Probing, source: Iterator[Planned], most: int) -> Steps[int]:
    """Requests one after the other until one is refused, with a pause in which each answer is counted. Returns how
    many were admitted."""
    probing.requests = source
    for number in range(most):
        yield Wait(seconds=COUNTED_AFTER_S)
        records = yield from probing.burst(1)
        if probing.ended or any(map(is_refused, records)):
            return number
    return most


def full_after(probing: Probing) -> float:
    """How long to wait until the limit is full again, s: as long as it took before, at most a minute."""
    best = candidates(search(trials(probing)))[0]
    longest = 2.0 * best.limit[1] / best.span[0] if best.kind == "token_bucket" else 1.05 * best.span[1]
    return min(SETTLED, max(1.0, longest))


def find_concurrency(requests: Requests) -> Steps[None]:
    """More and more long answers at a time until one is refused. Then as many as were admitted, and while they are
    under way one short request after the other, until some have ended. Then the same with longer answers: a window
    of the answers' length gives room at the same moments, but not twice."""
    for many in STREAMS:
        records = yield from at_a_time(itertools.islice(requests.streams(), many), STREAM_SPACING)
        admitted = [record for record in records if not is_refused(record)]
        if len(admitted) < len(records) and admitted:
            break
    else:
        return
    took = statistics.median(record.done - (record.sent or 0.0) for record in admitted)
    for times in LENGTHENED:
        streams = itertools.islice(requests.streams(tokens=times * LONG_ANSWER), len(admitted))
        spacing = times * took / max(MOMENTS, 2 * len(admitted))
        during = int(UNTIL_ENDED * times * took / spacing) - len(admitted)
        yield Wait(seconds=took)
        yield from at_a_time(itertools.chain(streams, itertools.islice(requests.of(), during)), spacing)


def at_a_time(requests: Iterable[Planned], spacing: float) -> Steps[list[Record]]:
    """Requests at this distance, s, whatever they come to."""
    return (
        yield Burst(name="concurrency", requests=tuple(requests), spacing=spacing, until=frozenset({"quota", "auth"}))
    )


# -- promises -------------------------------------------------------------------------------------------------


def test_rate(scenario: RateLimitScenario, requests: Requests, name: str, limit: int) -> Steps[None]:
    """Below the limit, at Retry-After once it is used up, above it, and once it should be full again."""
    source = requests.of(COUNTED[PROMISED[name]][0])
    cost = 1.0
    if name != "rpm":
        records = yield from sent(f"{name}: first", source, 1)
        cost = cost_of(scenario, name, records)
        yield Wait(seconds=SETTLED)
    rate = limit / cost / MINUTE  # requests per second that the limit has room for
    spacing = 1.0 / (BELOW * rate)
    yield from sent(f"{name}: below", source, max(1, int(MINUTE * BELOW * rate)), spacing=spacing)
    yield from at_retry_after(scenario, requests, name, source, int(1.3 * limit / cost) + 5)
    yield from sent(f"{name}: above", source, int(ABOVE_S * ABOVE * rate) + 1, spacing=1.0 / (ABOVE * rate))
    yield Wait(seconds=SETTLED)
    yield from sent(f"{name}: again", source, max(1, int(AGAIN_S * BELOW * rate)), spacing=spacing)


def sent(name: str, source: Iterator[Planned], many: int, *, spacing: float = 0.0) -> Steps[list[Record]]:
    """So many requests at fixed distances, whatever they come to."""
    requests = tuple(itertools.islice(source, many))
    return (yield Burst(name=name, requests=requests, spacing=spacing, until=frozenset({"quota", "auth", "invalid"})))


def at_retry_after(
    scenario: RateLimitScenario, requests: Requests, name: str, source: Iterator[Planned], most: int
) -> Steps[None]:
    """Use the limit up, ask for other models and with another key, and come back exactly when the refusal says."""
    for number in range(ROUNDS):
        burst = tuple(itertools.islice(source, most))
        records = yield Burst(name=f"{name}: used up", requests=burst, spacing=0.01, until=REFUSED | {"quota", "auth"})
        refused = [record for record in records if is_refused(record)]
        if not refused:
            return
        last = max(refused, key=lambda record: record.done)
        if number == 0:
            yield from others(scenario, requests, name)
            records = yield from sent(f"{name}: used up", source, 1)
            if not records or not is_refused(records[0]):
                continue  # it has recovered meanwhile; the next round asks nobody else
            last = records[0]
        if last.retry_after is None or last.retry_after > LONGEST_RETRY_S:
            return
        yield Wait(seconds=last.retry_after)
        yield from sent(f"{name}: at Retry-After", source, 1)


def others(scenario: RateLimitScenario, requests: Requests, name: str) -> Steps[None]:
    """A few requests for each other model, and with the other key, while the first is used up."""
    for model in range(1, len(scenario.models)):
        yield from sent(f"{name}: other models", requests.of(model=model), OTHERS)
    if scenario.other_key is not None:
        yield from sent(f"{name}: other key", requests.of(arm=OTHER_KEY), OTHERS)


def test_concurrency(requests: Requests, limit: int) -> Steps[None]:
    """As many answers at a time as are promised, and then a few more."""
    streams = requests.streams()
    yield from sent("concurrency: below", streams, limit, spacing=0.005)
    yield from sent("concurrency: above", streams, limit + 3, spacing=0.005)
    yield from sent("concurrency: again", streams, limit, spacing=0.005)


def cost_of(scenario: RateLimitScenario, name: str, records: list[Record]) -> float:
    """What one request takes of what is promised per minute."""
    basis = next(one for one in BASES if one.resource == PROMISED[name])
    costs = Costs(scenario, records).of(basis)
    return max((costs(record) for record in records), default=1.0) or 1.0
