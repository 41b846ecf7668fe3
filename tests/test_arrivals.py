"""Due times: one absolute, seeded schedule."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bench.plan import due_times, shard


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
