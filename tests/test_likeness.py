"""How far answers may differ before their latencies are of different work."""

from __future__ import annotations

import pytest

from bench.analysis.likeness import same_caching, same_length


@pytest.mark.parametrize(
    ("baseline", "candidate", "same"),
    [(100, 100, True), (100, 90, True), (100, 110, True), (100, 89, False), (100, 111, False)],
)
def test_answers_that_differ_in_length_by_a_tenth_take_the_same_work(baseline, candidate, same):
    assert same_length(baseline, candidate) == same


@pytest.mark.parametrize(("baseline", "candidate", "same"), [(0.0, 0.02, True), (0.0, 0.021, False), (0.6, 0.5, False)])
def test_prompts_that_were_cached_to_shares_two_points_apart_take_the_same_work(baseline, candidate, same):
    assert same_caching(baseline, candidate) == same
