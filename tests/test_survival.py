"""The age at which half are gone, of things that were each looked at once."""

from __future__ import annotations

import math
import random

import pytest

from bench.analysis.survival import Look, survival_curve

AGES = [0.5 * 1.5**place for place in range(14)]
YOUNG = (24, 24)


def looks(lives, ages=AGES, *, found=1.0, seed=1):
    """One thing of each age, of which each lives as long as `lives` says, and is found with this chance."""
    rng = random.Random(seed)
    return [Look(age, age + 0.1, lives(rng) > age and rng.random() < found) for age in ages]


def test_what_all_goes_at_one_age_is_seen_to_between_the_last_that_was_there_and_the_first_that_was_gone():
    curve = survival_curve(looks(lambda rng: 12.0), YOUNG)
    there, gone = max(age for age in AGES if age < 12), min(age for age in AGES if age >= 12)
    assert there <= curve.half <= gone
    assert curve.low <= 12.0 <= curve.high
    assert not curve.gradual
    assert (curve.alive(0.5 * there), curve.alive(2.0 * gone)) == (pytest.approx(1.0), pytest.approx(0.0))


@pytest.mark.parametrize("shape", [1.0, 4.0])
def test_what_goes_one_by_one_is_half_gone_within_the_interval(shape):
    def lives(rng):
        return 12.0 * (-math.log(rng.random()) / math.log(2.0)) ** (1.0 / shape)

    curve = survival_curve(looks(lives, AGES * 6), YOUNG)
    assert curve.low <= 12.0 <= curve.high < 2.5 * curve.low
    assert curve.gradual
    assert curve.shape == pytest.approx(shape, rel=0.5)
    assert curve.alive(curve.half) == pytest.approx(0.5)


def test_what_is_not_found_though_it_is_young_is_not_taken_for_gone():
    curve = survival_curve(looks(lambda rng: 12.0, AGES * 3, found=0.5), (12, 24))
    assert curve.low <= 12.0 <= curve.high
    assert (curve.gradual, curve.found) == (False, 0.5)


def test_ages_of_which_the_likelihood_is_hardly_a_number_overflow_nothing():
    many = [Look(10.2182, 10.2182, there=True)] * 30  # of one half and shape, their power is just below 1e308
    curve = survival_curve([*many, Look(1.0, 1.0, there=True), Look(100.0, 100.0, there=False)], YOUNG)
    assert 10.0 < curve.half < 100.0


def test_a_few_looks_and_those_that_saw_but_one_thing_say_nothing():
    assert survival_curve(looks(lambda rng: 12.0)[5:10], YOUNG) is None
    assert survival_curve(looks(lambda rng: 1e9), YOUNG) is None
    assert survival_curve(looks(lambda rng: 0.0), YOUNG) is None
