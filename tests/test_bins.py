"""Bins of time, which begin anew with each stage."""

from __future__ import annotations

import numpy as np
import pytest

from bench.analysis import open_run
from bench.analysis.bins import Phase, edges_of, places_in
from bench.analysis.charts import latency_over_time, outcomes_over_time, throughput_over_time
from bench.analysis.request_charts import heat_map
from tests.runs import record, shifted, write_run


def phases(*parts):
    """Stages that follow each other; a name that begins with a dash is a drain."""
    found, at = [], 0.0
    for name, length in parts:
        found.append(Phase(name, at, at + length, measured=True, stage=not name.startswith("-")))
        at += length
    return found


@pytest.mark.parametrize(
    ("parts", "edges"),
    [
        ([("a", 3.0)], [0, 1, 2, 3]),
        ([("a", 2.5), ("b", 2.0)], [0, 1.25, 2.5, 3.5, 4.5]),
        ([("a", 0.2), ("b", 1.0)], [0, 0.2, 1.2]),
        ([("a", 2.0), ("-drain", 0.3), ("b", 1.0)], [0, 1, 2.3, 3.3]),
        ([("a", 1.0), ("-drain", 2.0), ("b", 1.0)], [0, 1, 2, 3, 4]),
        ([("a", 1.0), ("-drain", 0.3)], [0, 1.3]),
        ([], [0, 1]),
    ],
)
def test_every_stage_begins_with_a_bin_and_a_short_drain_has_none(parts, edges):
    assert edges_of(phases(*parts), 1).tolist() == pytest.approx(edges)


def test_stages_that_overlap_have_edges_in_order():
    found = edges_of([Phase("a", 0.0, 4.0, measured=True), Phase("b", 2.0, 6.0, measured=True)], 1)
    assert (np.diff(found) > 0).all()
    assert (found[0], found[-1]) == (0.0, 6.0)


def test_what_lies_outside_is_in_the_first_or_the_last_bin():
    assert places_in(np.array([0.0, 1.0, 3.0]), np.array([-1.0, 0.5, 1.0, 9.0])).tolist() == [0, 0, 1, 1]


@pytest.fixture
def run(tmp_path):
    """Two stages, of which the first ends within a second: ten requests of 20 ms in it, and then ten of 500 ms."""
    base = record(0)
    records = []
    for n in range(20):
        at, late = (0.05 * n, 0.02) if n < 10 else (0.5 + 0.05 * (n - 10), 0.5)
        times = shifted(base, at, n)
        first = times["sent"] + late
        changed = {"first_token_at": first, "arrivals": [(first, 1), (first + 0.01, 4)], "done": first + 0.02}
        records.append(record(**times | changed, stage="ab"[n >= 10]))
    steps = [
        {"name": "a", "began": 2.0, "ended": 2.5, "planned": 10, "sent": 10},
        {"name": "b", "began": 2.5, "ended": 4.0, "planned": 10, "sent": 10},
    ]
    scenario = {"load": {"stages": [{"name": name, "users": 1, "duration": 1.0} for name in "ab"]}}
    end = {"load_started": 2.0, "duration_s": 4.0}
    return open_run(write_run(tmp_path, records, scenario=scenario, steps=steps, end=end))


def test_no_bin_of_a_chart_over_time_is_of_two_stages(run):
    (line,) = (one for one in latency_over_time(run).series if one.title == "m p50")
    assert (line.x.tolist(), line.y.tolist()) == ([0.25, 0.875], pytest.approx([20.0, 500.0]))
    cells = heat_map(run).series[0].added()
    edges = set((cells.x - cells.width / 2).tolist())
    assert edges == {0.0, 0.5}
    assert sum(cells.amount) == 20


def test_rates_over_time_are_by_the_length_of_their_bin(run):
    (made,) = throughput_over_time(run).series
    assert made.width.tolist() == pytest.approx([0.5, 0.75, 0.75])
    assert float((made.y * made.width).sum()) == pytest.approx(100)
    ended = outcomes_over_time(run).series[0].added()
    assert float((ended.y * ended.width / 0.92).sum()) == pytest.approx(20)
    assert len(set(ended.width.tolist())) == 2
