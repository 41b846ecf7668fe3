"""What a question about rate limits sends: steps that find each limit, and then the tests of each promise."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Iterator, Mapping

from bench.experiments.rate_limit.bases import Explanation, explanations, rivals, samples, telling
from bench.experiments.rate_limit.candidates import candidates, search
from bench.experiments.rate_limit.contract_steps import SETTLED, tests
from bench.experiments.rate_limit.evidence import is_refused
from bench.experiments.rate_limit.identify import SPACING, Probing, identify, trials
from bench.experiments.rate_limit.question import RateLimitScenario, Resource
from bench.experiments.rate_limit.requests import COUNTED, LONG_ANSWER, Costs, Requests, Size
from bench.plan import Burst, Planned, Steps, Wait
from bench.records import Record

MOST = 2000  # requests of one discovery that has no budget
MOST_OF_A_SIZE = 60  # requests of one size, when sizes are compared
MOST_MIXTURES = 4  # of sizes, until only one way of counting is left
FEWEST_IN_A_ROW, MOST_IN_A_ROW = 5, 40  # requests one after the other that use a limit up
COUNTED_AFTER_S = 0.25  # a server may count a little after its answer
STREAMS = (2, 4, 8, 16, 32, 64)  # under way at a time, in search of a limit
STREAM_SPACING = 0.02
LENGTHENED = (1, 2)  # times the usual long answer, by which a limit on what is under way is told from a window
MOMENTS, UNTIL_ENDED = 8, 1.5
"""How often, at least, requests ask for room while a long answer is under way, and how long they go on, in lengths of
that answer."""


def steps(scenario: RateLimitScenario) -> Steps[None]:
    """Each discovery, then each promise."""
    requests = Requests(scenario)
    for resource in scenario.discover:
        yield from discover(scenario, requests, resource)
    if scenario.contract is not None:
        if scenario.discover:
            yield Wait(seconds=SETTLED)
        yield from tests(scenario, requests)


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
        if len(admitted) < len(records):
            break
    if not admitted or len(admitted) == len(records):
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
