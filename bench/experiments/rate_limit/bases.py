"""Which part of a request a limiter counts: each way of counting with how well it explains the records, and what to
send next if several explain them equally well.

The test: requests that use up nearly all of the limit, then requests that the ways of counting weigh differently. Each
way predicts another number of admissions.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.experiments.rate_limit.candidates import MARGIN, Found, candidates, search, whole
from bench.experiments.rate_limit.evidence import ADMITTED, trials_of
from bench.experiments.rate_limit.evidence import one as each
from bench.experiments.rate_limit.replay import Meter, Numbers, Trials, replayed
from bench.experiments.rate_limit.requests import BASES, Basis, Costs, Size
from bench.records import Record

EARLIEST: dict[str, tuple[str, ...]] = {
    "requests": ("requests",),
    "tokens": ("tokens", "input_tokens", "output_tokens"),
    "images": ("images",),
}
"""Of ways of counting that explain as much, the one that was asked about."""
ROWS = 12  # of each way of counting, that are asked what would happen
LEFT = (1, 2, 3, 5)  # requests that are left out where the rest uses a limit up
MOST_TELLING = 120  # requests of the second size
APART = 2  # requests by which the numbers admitted have to differ


@dataclass(frozen=True, slots=True)
class Explanation:
    """A way of counting, and the limiters by which it explains what was seen."""

    basis: Basis
    trials: Trials
    found: Found

    @property
    def weight(self) -> float:
        """How much speaks against its best limiter: unexplained requests, and a window that is not round."""
        return float(min(one.weight.min() for one in self.found.values()))

    @property
    def limit(self) -> float:
        """The middle of the limits of its best limiter."""
        low, high = candidates(self.found)[0].limit
        return (low + high) / 2


@dataclass(frozen=True, slots=True)
class Mixture:
    """Requests of one size, and then of another until one is refused."""

    first: Size
    many: int
    second: Size
    most: int


def explanations(asked: str, records: Sequence[Record], costs: Costs | None) -> list[Explanation]:
    """Each way of counting that differs from the others, the best first. A resource other than the one asked about
    must explain much more to come first."""
    made = []
    for place, basis in enumerate(BASES):
        if costs is None and basis.resource != "requests":
            continue
        if (basis.resource == "images") != (asked == "images") and basis.resource != "requests":
            continue
        cost = costs.of(basis) if costs is not None else each
        exact = asked == basis.resource == "requests"
        trials = trials_of(records, cost, charged_after=basis.charged == "after", exact=exact)
        if basis.resource != "requests" and len(set(trials.cost[trials.cost > 0])) < 2:
            continue  # all cost the same, as if requests were counted
        one = Explanation(basis, trials, search(trials))
        # another resource than the one asked about has to explain much more, since noise favours now one, now the other
        against = one.weight if basis.resource in EARLIEST[asked] else max(2.0 * one.weight, one.weight + MARGIN)
        made.append(((against, place), one))
    return [one for _, one in sorted(made, key=lambda pair: pair[0])]


def rivals(told: Sequence[Explanation]) -> list[Explanation]:
    """The explanations that are about as good as the best one, which is included."""
    return [one for one in told if one.weight < told[0].weight + MARGIN]


# -- what to send next ----------------------------------------------------------------------------------------


def telling(
    left: Sequence[Explanation], sizes: Mapping[Size, Record], costs: Costs, now: float, spacing: float
) -> Mixture | None:
    """The mixture for which these explanations predict the most different outcomes; None if they predict the same.
    `sizes` has an admitted request of each size; at `now` the limit is full again."""
    best: tuple[float, Mixture] | None = None
    states = [state_of(one) for one in left]
    for first, second in itertools.permutations(sizes, 2):
        longest = min(
            int(limits.min() / max(costs.of(one.basis)(sizes[first]), 1.0))
            for one, (_, limits) in zip(left, states, strict=True)
        )
        for many in sorted({max(0, longest - out) for out in LEFT} | {0}):
            counts = [
                admitted(one, state, costs, (sizes[first], many), sizes[second], now, spacing)
                for one, state in zip(left, states, strict=True)
            ]
            value = separated(counts) / (many + MOST_TELLING + 100.0)
            fewest = min(count.max() for count in counts)
            mixture = Mixture(first, many, second, int(min(MOST_TELLING, 1.2 * fewest + 10)))
            if value > 0 and (best is None or value > best[0]):
                best = value, mixture
    return None if best is None else best[1]


def separated(counts: Sequence[Numbers]) -> float:
    """The share of pairs of explanations that predict different numbers."""
    pairs = list(itertools.combinations(counts, 2))
    apart = [one.max() + APART <= other.min() or other.max() + APART <= one.min() for one, other in pairs]
    return float(sum(apart)) / max(len(pairs), 1)


def state_of(explanation: Explanation) -> tuple[Meter, Numbers]:
    """The meters of the best limiters of one way of counting after all requests so far, and the limit of each."""
    kind = min(explanation.found, key=lambda one: float(explanation.found[one].weight.min()))
    best = explanation.found[kind].best(0.0)
    places = np.unique(np.linspace(0, len(best) - 1, ROWS).astype(int))
    chosen = best[places]
    return replayed(chosen.rows, explanation.trials)[1], whole(chosen.low, chosen.high)[0]


def admitted(
    one: Explanation,
    state: tuple[Meter, Numbers],
    costs: Costs,
    first: tuple[Record, int],
    second: Record,
    now: float,
    spacing: float,
) -> Numbers:
    """How many requests of the second size each limiter admits before it refuses one, after a number of the first
    size."""
    meter, limits = state[0].copies(1), state[1]
    cost_of, after = costs.of(one.basis), one.basis.charged == "after"
    charges: list[tuple[float, Numbers]] = []  # of answers under way: when they end, and what they cost
    going, count = np.ones(len(limits), bool), np.zeros(len(limits))
    for place, sample in enumerate(itertools.chain([first[0]] * first[1], [second] * MOST_TELLING)):
        at, cost = now + place * spacing, cost_of(sample)
        while charges and charges[0][0] <= at:
            meter.charge(*charges.pop(0))
        going &= meter.used(at) + (1.0 if after else cost) <= limits + 1e-6
        if not going.any():
            break
        count += going & (place >= first[1])
        charged = np.where(going, cost, 0.0)
        if after:
            charges.append((at + sample.done - (sample.sent or 0.0) - one.trials.trip, charged))
        else:
            meter.charge(at, charged)
    return count


def samples(records: Sequence[Record], names: Mapping[str, Size]) -> Iterator[tuple[Size, Record]]:
    """An admitted request of each size; requests are told apart by name."""
    for record in records:
        if record.outcome in ADMITTED and record.name in names:
            yield names[record.name], record
