"""Intervals of two samples that were not paired: known answers, and how often they hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.analysis.statistics import own_quantile
from bench.analysis.unpaired import PARTS, Timed, Totals, part_of, quantile_ratio, ratio_of_ratios, share_difference
from benchmarks.unpaired import DEARER, MORE_FAILURES, SLOWER, WORLDS, Tally, costs, failures, times, usual

REPETITIONS = 200
HELD = (0.93, 0.97)
SLACK = 0.015
"""The share of 95 % intervals that may hold the truth; of 200 repetitions it has a standard error of 1.5 points."""


def in_turn(values: list[float]) -> Timed:
    """One value for each part of the time, and again."""
    return Timed(np.array(values), np.arange(len(values)) % PARTS)


def test_a_window_is_cut_into_equal_parts():
    assert list(part_of(np.array([1.0, 1.99, 2.0, 16.9]), 1.0, 1.0 + PARTS)) == [0, 0, 1, 15]
    assert list(part_of(np.array([0.0, 99.0, np.nan]), 1.0, 17.0)) == [0, PARTS - 1, 0], "what lies outside"
    assert list(part_of(np.array([3.0]), 3.0, 3.0)) == [0], "a window without length"


def test_times_that_are_all_twice_as_long_are_exactly_twice_as_long():
    a = in_turn([0.1 + 0.001 * place for place in range(200)])
    found = quantile_ratio(a, Timed(2 * a.values, a.parts), 0.5)
    assert found is not None
    assert found.n == 400
    assert found.estimate == pytest.approx(2.0)
    assert found.low < 2.0 < found.high
    assert found.estimate == own_quantile(2 * a.values, 0.5) / own_quantile(a.values, 0.5)


@pytest.mark.parametrize("q", [0.5, 0.95])
def test_models_that_change_places_have_the_interval_turned_round(q):
    rng = np.random.default_rng(4)
    a, b = times(WORLDS[0], rng, 300)
    there, back = quantile_ratio(a, b, q), quantile_ratio(b, a, q)
    assert there is not None
    assert back is not None
    assert (there.low, there.high) == pytest.approx((1 / back.high, 1 / back.low), rel=1e-4)


def test_what_slows_both_in_the_same_moment_is_no_difference():
    rng = np.random.default_rng(5)
    parts = np.repeat(np.arange(PARTS), 30)
    slow = np.where(parts % 2, 1.5, 1.0)
    a, b = (Timed(slow * np.exp(0.1 * rng.standard_normal(len(parts))), parts) for _ in range(2))
    found = quantile_ratio(a, b, 0.9)
    assert found is not None
    assert found.low < 1.0 < found.high
    assert found.high / found.low < 1.1
    alone = Timed(b.values / slow, parts)
    wider = quantile_ratio(a, alone, 0.5)
    assert wider is not None
    assert wider.high / wider.low > found.high / found.low


def test_a_handful_of_values_has_no_interval_of_their_slow_end():
    few = in_turn([1.0, 2.0, 3.0])
    assert quantile_ratio(few, few, 0.99) is None
    assert quantile_ratio(few, in_turn([]), 0.5) is None
    failed = in_turn([math.inf] * 20)
    assert quantile_ratio(in_turn([1.0] * 20), failed, 0.5) is None


def test_shares_without_a_failure_may_still_differ_by_what_so_few_can_hide():
    found = share_difference(in_turn([0.0] * 100), in_turn([0.0] * 100))
    assert found is not None
    assert found.estimate == 0.0
    assert found.low == -found.high
    assert 0.03 < found.high < 0.06, "about 4 of 100"
    assert share_difference(in_turn([]), in_turn([1.0])) is None


def test_failures_of_one_burst_say_less_than_as_many_here_and_there():
    good = in_turn([0.0] * 320)
    spread = in_turn([1.0] * 16 + [0.0] * 304)
    burst = Timed(np.where(spread.parts == 3, 1.0, 0.0) * (np.arange(320) < 256), spread.parts)
    assert burst.values.sum() == spread.values.sum() == 16
    narrow, wide = share_difference(good, spread), share_difference(good, burst)
    assert narrow is not None
    assert wide is not None
    assert narrow.estimate == wide.estimate == 0.05
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_a_price_that_is_twice_as_high_is_exactly_twice_as_high():
    one = Totals(np.full(PARTS, 0.02), np.full(PARTS, 10.0))
    two = Totals(np.full(PARTS, 0.04), np.full(PARTS, 10.0))
    found = ratio_of_ratios(one, two)
    assert found is not None
    assert (found.n, found.estimate, found.low, found.high) == (320, *[pytest.approx(2.0)] * 3)
    assert ratio_of_ratios(one, Totals(np.zeros(PARTS), np.full(PARTS, 1.0))) is None, "one of them is free"


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
@pytest.mark.parametrize(("n", "q"), [(200, 0.5), (600, 0.95)])
def test_intervals_of_quantiles_hold_the_truth_as_often_as_they_say(world, n, q):
    rng = np.random.default_rng(11)
    held = Tally()
    for _ in range(REPETITIONS):
        held.add(quantile_ratio(*times(world, rng, n), q), SLOWER)
    low, high = HELD
    assert low - SLACK <= held.share <= high + SLACK, held


def test_an_interval_that_takes_every_request_for_a_throw_of_its_own_does_not():
    rng = np.random.default_rng(11)
    held = Tally()
    for _ in range(100):
        held.add(usual(*times(WORLDS[-1], rng, 1000), 0.5), SLOWER)
    assert held.share < 0.75


@pytest.mark.parametrize("bursts", [False, True])
def test_intervals_of_shares_hold_the_truth_as_often_as_they_say(bursts):
    rng = np.random.default_rng(12)
    held = Tally()
    for _ in range(REPETITIONS):
        held.add(share_difference(*failures(rng, 1000, 0.02, bursts=bursts)), MORE_FAILURES)
    assert HELD[0] - SLACK <= held.share <= HELD[1] + SLACK, held


def test_intervals_of_costs_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(13)
    held = Tally()
    for _ in range(REPETITIONS):
        held.add(ratio_of_ratios(*costs(rng, 300)), DEARER)
    assert HELD[0] - SLACK <= held.share <= HELD[1] + SLACK, held
