"""The time over which a model's rates are taken."""

from __future__ import annotations

import pytest

from bench.analysis import open_run
from bench.analysis.facts import AskedStage
from bench.analysis.windows import share_of
from bench.plan.load import Load
from tests.runs import failed, record, shifted, write_run

TWO = {"models": ["fast", "slow"], "load": {"users": 2, "requests": 8}}


def opened(folder, *, fast, slow, end=None, **scenario):
    """A run of two models whose requests each take 1 s, one after another from 2 s on; a tuple is the seconds of the
    ends of other ones."""
    records = [
        record(**shifted(record(0), by, 2 * by + place) | {"model": model})
        for place, (model, count) in enumerate((("fast", fast), ("slow", slow)))
        for by in range(count)
    ]
    ended = {"stopped_by": "requests", "measure": [2.0, 3.0], "duration_s": 22.5} | (end or {})
    return open_run(write_run(folder, records, scenario=TWO | scenario, end=ended))


def rates(run):
    return {group.model: group.requests_per_s for group in run.summary.groups if group.name == "all"}


def test_each_models_rate_is_over_the_time_in_which_it_was_loaded(tmp_path):
    """The fast one answers four in four seconds and is then idle; the slow one takes twenty for as many."""
    slow = [record(**shifted(record(0), 5 * by, 10 + by) | {"model": "slow", "done": 7.0 + 5 * by}) for by in range(4)]
    fast = [record(**shifted(record(0), by, by) | {"model": "fast"}) for by in range(4)]
    end = {"stopped_by": "requests", "measure": [2.0, 3.0], "duration_s": 22.5}
    run = open_run(write_run(tmp_path, fast + slow, scenario=TWO, end=end))
    groups = {group.model: group for group in run.summary.groups}
    assert groups["fast"].requests_per_s == pytest.approx(4 / 4.0)
    assert groups["fast"].output_tokens_per_s == pytest.approx(20 / 4.0)
    assert groups["slow"].requests_per_s == pytest.approx(4 / 20.0)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("requests_per_s[fast] > 0", 4 / 4.0),
        ("requests_per_s[slow] > 0", 4 / 8.0),
        ("output_tokens_per_s[fast] > 0", 20 / 4.0),
        ("requests_per_s > 0", 8 / 8.0),  # of both: until the last of them was done
    ],
)
def test_a_threshold_takes_the_tables_window(tmp_path, expression, value):
    slow = [record(**shifted(record(0), 2 * by, 10 + by) | {"model": "slow", "done": 4.0 + 2 * by}) for by in range(4)]
    fast = [record(**shifted(record(0), by, by) | {"model": "fast"}) for by in range(4)]
    end = {"stopped_by": "requests", "measure": [2.0, 3.0], "duration_s": 22.5}
    run = open_run(write_run(tmp_path, fast + slow, scenario=TWO | {"thresholds": [expression]}, end=end))
    assert run.summary.thresholds[0].value == pytest.approx(value)


def test_a_model_that_did_not_get_its_share_was_loaded_until_the_end(tmp_path):
    run = opened(tmp_path, fast=4, slow=3, end={"stopped_by": "duration", "measure": [2.0, 12.0]})
    assert rates(run) == pytest.approx({"fast": 4 / 4.0, "slow": 3 / 10.0})


def test_a_load_that_only_time_bounds_is_measured_all_of_it(tmp_path):
    load = {"users": 2, "duration": 10.0}
    run = opened(tmp_path, fast=4, slow=2, load=load, end={"stopped_by": "duration", "measure": [2.0, 12.0]})
    assert rates(run) == pytest.approx({"fast": 4 / 10.0, "slow": 2 / 10.0})


def test_a_window_never_outlasts_the_measured_part(tmp_path):
    run = opened(tmp_path, fast=4, slow=4, end={"stopped_by": "duration", "measure": [2.0, 4.5]})
    assert rates(run) == pytest.approx({"fast": 2 / 2.5, "slow": 2 / 2.5})


def test_a_model_without_any_answer_has_a_rate_of_nothing(tmp_path):
    records = [failed(n, "timeout", model="fast", done=9.0) for n in range(4)]
    run = open_run(write_run(tmp_path, records, scenario=TWO, end={"stopped_by": "requests", "measure": [2.0, 3.0]}))
    assert rates(run) == {"fast": 0.0, "slow": 0.0}


@pytest.mark.parametrize(
    ("total", "models", "shares"), [(8, 2, [4, 4]), (7, 2, [4, 3]), (2, 3, [1, 1, 0]), (5, 1, [5])]
)
def test_the_models_share_the_requests(total, models, shares):
    assert [share_of(total, place, models) for place in range(models)] == shares


@pytest.mark.parametrize("asked", [{"users": 1}, {"users": 50}, {"users": 1000}, {"rate": 1.0}, {"rate": 2500.5}])
def test_a_stage_without_a_name_is_called_the_same_by_the_load_and_by_its_reader(asked):
    [stage] = Load(stages=[asked | {"requests": 7}]).as_stages()
    assert AskedStage(**asked, requests=7).called == stage.name
