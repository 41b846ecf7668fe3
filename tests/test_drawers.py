"""Random runs through every drawer: terminal, Markdown, page, pictures and JSON. None fails, and their numbers agree."""

from __future__ import annotations

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.random_runs import hold_drawers, random_run


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_any_run_is_told_by_every_form_with_the_same_numbers(rng):
    with TemporaryDirectory() as folder:
        hold_drawers(random_run(rng, Path(folder)), drawn=False)


@pytest.mark.parametrize("seed", range(2))
def test_any_run_is_drawn(seed, tmp_path):
    hold_drawers(random_run(Random(seed), tmp_path))
