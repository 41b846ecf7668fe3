"""What to send next: the wait and the number of requests whose outcome tells the candidates apart best.

Each candidate predicts how many requests in a row are admitted after a wait. Where the predictions differ, sending
those requests gives information, which is weighed against the requests and the time that it costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.experiments.rate_limit.candidates import Survivors, whole
from bench.experiments.rate_limit.replay import LimiterKind, Meter, Numbers, Trials, replayed

ROWS = 20  # of one kind that are asked what would happen
WAITS = 22  # from short to long
SPACING = 0.01  # between the requests of one step, s
MOST_REQUESTS = 100  # in one step
SECONDS_PER_REQUEST = 6.0  # how long one would rather wait than send a request more
FEW, SOME = 2, 5
"""The same of a limiter that is used up: of one kind, which is asked only when its window turns, and of several, which
may differ in how much comes back then."""
SIZES = (*range(1, 9), 10, 13, 17, 22, 28, 34, 42, 52, 64, 80, MOST_REQUESTS)
TURNING = frozenset({"fixed_window", "fixed_window_from_first", "sliding_log", "sliding_log_counting_rejects"})
"""Kinds that give back much at one moment."""
WITHIN = 0.03  # what a bit about the parameters of a kind is worth, while the kind is not known
LEAST_BITS = 0.05  # an outcome that tells less is not worth a request


@dataclass(frozen=True, slots=True)
class Move:
    """What to do next."""

    wait: float  # from now, s
    requests: int
    bits: float  # how much its outcome is expected to tell


def next_move(
    possible: Mapping[LimiterKind, Survivors],
    trials: Trials,
    now: float,
    *,
    kind_known: bool = False,
    seed: int = 0,
) -> Move | None:
    """The move that gives the most information for the requests and the time it takes; None if no move tells candidates
    apart."""
    rng = np.random.default_rng(seed)
    sampled: dict[LimiterKind, Survivors] = {
        kind: sample(one, rng) for kind, one in possible.items() if kind != "concurrency"
    }
    states = {kind: replayed(one.rows, trials)[1] for kind, one in sampled.items()}
    waits = waits_for(sampled, trials, now)
    outcomes, weights = [], []
    for kind, one in sampled.items():
        foretold = admitted_after(states[kind], limits_of(one, rng), now + waits)
        outcomes.append(foretold)
        weights.append(np.full(len(foretold), 1.0 / len(foretold)))
    if "concurrency" in possible:
        outcomes.append(np.full((1, len(waits)), MOST_REQUESTS))
        weights.append(np.ones(1))
    if not outcomes:
        return None
    # A window that is used up tells when it ends, but once, and using it up again costs a whole limit: then every bit
    # counts. Elsewhere bits about parameters can wait until the kind is known.
    used_up = not trials.admitted[-1] and bool(sampled.keys() & TURNING)
    within = 1.0 if used_up or kind_known or len(outcomes) == 1 else WITHIN
    most = MOST_REQUESTS if not used_up else FEW if len(outcomes) == 1 else SOME
    return best_move(outcomes, weights, waits, within=within, most=most)


def sample(survivors: Survivors, rng: np.random.Generator) -> Survivors:
    """Rows from the shortest window to the longest, those at both ends included."""
    order = np.lexsort((survivors.rows.phase, survivors.rows.span))
    if len(order) <= ROWS:
        return survivors[order]
    places = np.linspace(0, len(order) - 1, ROWS // 2).astype(int)
    return survivors[np.concatenate([order[places], rng.choice(order, ROWS - len(places), replace=False)])]


def limits_of(survivors: Survivors, rng: np.random.Generator) -> Numbers:
    """One of the limits of each row."""
    first, last = whole(survivors.low, survivors.high)
    return np.asarray(first + np.floor(rng.uniform(size=len(first)) * (np.minimum(last, first + 20) - first + 1)))


def waits_for(sampled: Mapping[LimiterKind, Survivors], trials: Trials, now: float) -> Numbers:
    """Waits to consider: a range from short to long, and the moments at which a candidate's window turns."""
    spans = [one.rows.span for kind, one in sampled.items() if kind != "token_bucket"]
    longest = 1.3 * max((float(span.max()) for span in spans), default=0.0)
    if "token_bucket" in sampled:
        one = sampled["token_bucket"]
        longest = max(longest, float(np.median(one.low / one.rows.span)))
    longest = min(max(longest, 0.2), 130.0)
    turns = [np.geomspace(0.01, longest, WAITS)]
    for kind, one in sampled.items():
        if kind == "token_bucket":
            turns.append(np.quantile(1.0 / one.rows.span, (0.1, 0.5, 0.9)))
            continue
        window, phase = one.rows.span, one.rows.phase
        if kind in ("fixed_window", "sliding_counter"):
            wait = window - np.mod(now - phase, window)
        else:
            since = trials.at[trials.admitted]
            recent = since[None, :] + window[:, None] - now
            wait = np.where(recent > 0, recent, np.inf).min(axis=1)
            last = recent[:, -1:].ravel()
            turns.append(np.quantile(last, (0.1, 0.5, 0.9)))
            wait = wait[np.isfinite(wait)]
        if len(wait):
            turns.append(np.quantile(wait, (0.05, 0.25, 0.5, 0.75, 0.95)))
    waits = np.concatenate(turns)
    return np.unique(np.round(waits[(waits > 0) & (waits <= 1.02 * longest + 0.05)], 4))


def admitted_after(meter: Meter, limits: Numbers, moments: Numbers) -> Numbers:
    """How many requests in a row, of cost 1, each row admits if they begin at each of these moments: a table of rows by
    moments."""
    many, times = len(limits), len(moments)
    state, limit = meter.copies(times), np.tile(limits, times)
    begin = np.repeat(moments, many)
    going = np.ones(many * times, bool)
    count = np.zeros(many * times)
    for place in range(MOST_REQUESTS):
        at = begin + place * SPACING
        going &= state.used(at) + 1.0 <= limit + 1e-6
        if not going.any():
            break
        count += going
        state.charge(at, going.astype(float))
    return count.reshape(times, many).T


def best_move(
    outcomes: list[Numbers], weights: list[Numbers], waits: Numbers, *, within: float = 1.0, most: int = MOST_REQUESTS
) -> Move | None:
    """The move that gives the most information for its cost. `outcomes` has for each kind a table of candidates by
    waits."""
    best, worth = None, 0.0
    largest = min(int(max(one.max() for one in outcomes)) + 1, most)
    for size in sorted({*SIZES, largest}):
        if size > largest:
            break
        each = [shares(one, weight, size) for one, weight in zip(outcomes, weights, strict=True)]
        together = np.mean(each, axis=0)
        inside = np.mean([entropy(one) for one in each], axis=0)
        bits = entropy(together) - inside + within * inside
        sent = (together * np.minimum(np.arange(size + 1) + 1, size)[:, None]).sum(0)
        value = np.where(bits >= LEAST_BITS, bits / (1.0 + sent + waits / SECONDS_PER_REQUEST), 0.0)
        column = int(value.argmax())
        if value[column] > worth:
            worth, best = float(value[column]), Move(float(waits[column]), size, float(bits[column]))
    return best


def shares(outcomes: Numbers, weights: Numbers, size: int) -> Numbers:
    """How likely each number of admissions is, up to `size`: numbers by waits."""
    capped = np.minimum(outcomes, size).astype(int)
    return np.stack([np.bincount(column, weights, minlength=size + 1) for column in capped.T], axis=1)


def entropy(chances: Numbers) -> Numbers:
    """Of each column, in bits."""
    return np.asarray(-(chances * np.log2(np.where(chances > 0, chances, 1.0))).sum(0))
