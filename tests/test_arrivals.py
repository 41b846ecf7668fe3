"""Due times: one absolute, seeded schedule."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.plan.arrivals import Ramp, due_times, shard


def test_constant_arrivals_do_not_drift():
    assert list(due_times(4.0, "constant", seed=1, duration=1.0)) == [0.0, 0.25, 0.5, 0.75]
    assert next(itertools.islice(due_times(3.0, "constant", seed=1), 3_000_000, None)) == 1_000_000.0


def test_a_poisson_process_has_the_rate_and_the_dispersion_of_one():
    times = np.array(list(due_times(100.0, "poisson", seed=3, duration=1000.0)))
    counts = np.bincount(times.astype(int), minlength=1000)
    assert len(times) / 1000 == pytest.approx(100, rel=0.02)
    assert counts.var(ddof=1) / counts.mean() == pytest.approx(1.0, abs=4 * (2 / 999) ** 0.5)
    gaps = np.diff(times)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("burstiness", [0.25, 1.0, 4.0])
def test_gamma_arrivals_have_the_rate_and_the_burstiness_asked_for(burstiness):
    times = np.array(list(due_times(50.0, "gamma", seed=2, burstiness=burstiness, duration=2000.0)))
    gaps = np.diff(times)
    assert len(times) / 2000 == pytest.approx(50, rel=0.03)
    assert (gaps.mean() / gaps.std()) ** 2 == pytest.approx(burstiness, rel=0.05)


def test_the_seed_is_the_schedule():
    first, again, other = (list(due_times(50.0, "poisson", seed=seed, count=100)) for seed in (1, 1, 2))
    assert first == again != other
    assert first == sorted(first)


def test_workers_together_send_the_one_schedule():
    whole = list(enumerate(due_times(50.0, "poisson", seed=1, count=100)))
    parts = [list(shard(due_times(50.0, "poisson", seed=1, count=100), worker, 3)) for worker in range(3)]
    assert sorted(itertools.chain(*parts)) == whole


def test_both_bounds_hold():
    assert len(list(due_times(10.0, "constant", seed=1, duration=5.0, count=7))) == 7
    assert len(list(due_times(10.0, "constant", seed=1, duration=0.5, count=7))) == 5


# -- ramps ------------------------------------------------------------------------------------------------

UP, DOWN, STEADY = Ramp(10.0, begin=0.0, seconds=4.0), Ramp(0.0, begin=10.0, seconds=4.0), Ramp(10.0)


def test_an_even_ramp_sends_when_the_area_below_it_has_grown_by_one():
    """10/s after 4 s: the area below it is 1.25·t², so the n-th request is due after √(n / 1.25) seconds."""
    dues = list(due_times(UP, "constant", seed=1, duration=4.0))
    assert dues == pytest.approx([(n / 1.25) ** 0.5 for n in range(20)])


@pytest.mark.parametrize(
    ("ramp", "seconds", "expected"),
    [(STEADY, 3.0, 30.0), (UP, 4.0, 20.0), (UP, 6.0, 40.0), (DOWN, 4.0, 20.0), (DOWN, 9.0, 20.0), (DOWN, 2.0, 15.0)],
)
def test_the_arrivals_to_expect_are_the_area_below_the_rate(ramp, seconds, expected):
    assert ramp.total(seconds) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["poisson", "gamma"])
@pytest.mark.parametrize("ramp", [UP, DOWN, STEADY])
def test_as_many_arrivals_are_drawn_as_are_to_be_expected(ramp, kind):
    """Over 400 seeds, within four standard errors of the mean of the counts; halves of the ramp apart."""
    counts = np.array(
        [
            np.histogram(list(due_times(ramp, kind, seed=seed, burstiness=0.5, duration=4.0)), (0.0, 2.0, 4.0))[0]
            for seed in range(400)
        ]
    )
    expected = np.array([ramp.total(2.0), ramp.total(4.0) - ramp.total(2.0)])
    assert np.abs(counts.mean(axis=0) - expected).max() < 4 * (counts.std() / 400**0.5)


@pytest.mark.parametrize("burstiness", [0.05, 0.2, 4.0])
def test_bursty_arrivals_send_no_more_than_the_rate(burstiness):
    """40 in 4 s, within four standard errors of 2,000 seeds: as many in the first second as in the last."""
    each = [list(due_times(STEADY, "gamma", seed=seed, burstiness=burstiness, duration=4.0)) for seed in range(2000)]
    counts = np.array([np.histogram(times, bins=4, range=(0.0, 4.0))[0] for times in each])
    assert np.abs(counts.mean(axis=0) - 10.0).max() < 4 * counts.std(axis=0).max() / 2000**0.5


LEVELS = st.just(0.0) | st.floats(1e-3, 1e4)


@given(LEVELS, LEVELS, st.floats(0.001, 1e4), st.floats(0.0, 2e4))
def test_when_is_the_inverse_of_the_area(begin, end, seconds, t):
    ramp = Ramp(end, begin=begin, seconds=seconds)
    total = ramp.total(t)
    when = ramp.when(total * (1 - 1e-9))  # a ramp down to nothing is never beyond its whole area
    assert ramp.total(when) == pytest.approx(total, rel=1e-6, abs=1e-6)


def test_a_rate_that_ends_at_nothing_ends_the_schedule():
    """20 requests in all by the area, and one at the very beginning."""
    assert len(list(due_times(DOWN, "constant", seed=1, duration=100.0))) == 21
