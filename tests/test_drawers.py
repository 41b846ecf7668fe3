"""Random runs through every drawer: terminal, Markdown, page, pictures and JSON. None fails, and their numbers agree."""

from __future__ import annotations

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.analysis import open_run
from bench.analysis.sections import charts
from bench.experiments.general import findings
from tests.random_runs import hold_drawers, random_run
from tests.runs import record, write_run


@pytest.mark.slow
@settings(max_examples=12, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_any_run_is_told_by_every_form_with_the_same_numbers(rng):
    with TemporaryDirectory() as folder:
        hold_drawers(random_run(rng, Path(folder)), drawn=False)


@pytest.mark.parametrize("seed", range(2))
def test_any_run_is_drawn(seed, tmp_path):
    hold_drawers(random_run(Random(seed), tmp_path))


def test_a_chart_of_nothing_but_zeros_has_a_length(tmp_path):
    """A server that counts less than no tokens: what came out is at most 0, and its axis may not end where it begins."""
    odd = {"stream": False, "arrivals": [], "first_token_at": None, "first_answer_at": None, "completion_tokens": -5}
    run = open_run(write_run(tmp_path, [record(n, **odd) for n in range(5)]))
    drawn = charts(findings(run).sections)
    assert drawn
    for chart in drawn:
        for axis in (chart.x, chart.y):
            assert axis.begin is None or axis.begin != axis.end, chart.name
