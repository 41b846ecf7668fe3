"""Charts of requests: nothing is lost between the records and what is drawn, and what is left out is said."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.analysis import open_run
from bench.analysis.axes import thinned
from bench.analysis.charts import latency_over_time, load_over_time, outcomes_over_time, throughput_over_time
from bench.analysis.request_charts import first_token_by_prompt, heat_map, some_named, within_time
from bench.analysis.sections import Series
from bench.analysis.statistics import ecdf_reach
from bench.analysis.waterfall import lanes_of, waterfall
from tests.runs import failed, record, shifted, write_run


def run_of(folder, records, **scenario):
    return open_run(write_run(folder, records, scenario=scenario))


def later(n, by=0.05, **changes):
    return record(**shifted(record(0), by * n, n) | changes)


def test_a_bar_takes_the_lowest_lane_that_is_free():
    begins, ends = np.array([0.0, 1.0, 2.0, 3.0, 3.5]), np.array([2.0, 5.0, 3.0, 4.0, 6.0])
    assert lanes_of(begins, ends).tolist() == [0, 1, 0, 0, 2]


def test_the_waterfall_has_each_phase_of_a_request(tmp_path):
    run = run_of(tmp_path, [record(7, due=1.5, connect_started=1.8, connected=1.95, sent=2.0)])
    (series,) = waterfall(run).series
    phases = {series.kinds[kind].label.partition("; ")[2]: (x - width / 2, x + width / 2)
              for x, width, kind in zip(series.x, series.width, series.kind, strict=True)}  # fmt: skip
    start = run.end.load_started
    assert {name: tuple(round(at + start, 6) for at in ends) for name, ends in phases.items()} == {
        "wait until it was sent": (1.5, 1.8), "connect": (1.8, 1.95), "to the first token": (2.0, 2.5),
        "tokens": (2.5, 2.9), "from the last token to the end": (2.9, 3.0),
    }  # fmt: skip
    assert set(series.ids) == {7.0}


def test_a_waterfall_of_too_many_requests_shows_every_failure_and_says_what_it_leaves_out(tmp_path):
    records = [later(n, 0.001) for n in range(3000)]
    records += [failed(5000 + n, "timeout", sent=2.0 + 0.01 * n, done=2.5 + 0.01 * n) for n in range(40)]
    chart = waterfall(run_of(tmp_path, records))
    assert len(set(chart.series[0].ids)) == 1500
    assert sum(one >= 5000 for one in set(chart.series[0].ids)) == 40
    assert chart.note.startswith(
        "1,500 of 3,040 requests, evenly over the run: 40 of 40 that failed, 1,460 of 3,000 others."
    )


def test_every_answer_is_in_one_cell_of_the_heat_map(tmp_path):
    records = [later(n, first_token_at=2.1 + 0.05 * n + 0.003 * (n % 40)) for n in range(150)]
    (series,) = heat_map(run_of(tmp_path, records)).series
    assert series.amount.sum() == series.added().amount.sum() == 150
    assert (series.base < series.y).all()


def test_stacks_of_outcomes_count_every_request_that_ended(tmp_path):
    records = [later(n, model="ab"[n % 2]) for n in range(60)] + [failed(100 + n, "timeout") for n in range(5)]
    chart = outcomes_over_time(run_of(tmp_path, records, models=["a", "b", "m"]))
    assert {one.title: round(float(one.y.sum())) for one in chart.series} == {"timeout": 5, "ok": 60}
    assert [one.title for one in chart.series][-1] == "ok"
    assert sum(one.added().y.sum() for one in chart.series) == pytest.approx(65)


def test_a_line_over_time_has_a_gap_where_there_are_no_answers(tmp_path):
    records = [later(n) for n in range(30)] + [later(n, 0.05) for n in range(130, 160)]
    lines = [one for one in latency_over_time(run_of(tmp_path, records)).series if one.title == "m p50"]
    (line,) = lines
    known = np.isfinite(line.y)
    assert known[0]
    assert known[-1]
    assert not known.all()
    assert np.ptp(np.diff(line.x)) < 1e-9, "the times of the gap are there, without a value"


def test_the_legend_over_time_names_every_colour_and_no_line_that_is_not_drawn(tmp_path):
    records = [later(n, 0.05, model="a") for n in range(120)] + [later(200 + n, 0.5, model="b") for n in range(3)]
    dots, *lines = latency_over_time(run_of(tmp_path, records, models=["a", "b"])).series
    assert {kind.title for kind in dots.kinds} == {"", "b"}
    assert {line.about.model for line in lines} == {"a"}
    for line in lines:
        known = np.isfinite(line.y)
        assert (known[1:] & known[:-1]).any(), line.title


def test_the_band_of_shares_is_as_wide_as_its_confidence_asks(tmp_path):
    assert ecdf_reach(200) == pytest.approx(math.sqrt(math.log(2 / 0.05) / 400))
    (line,) = within_time(run_of(tmp_path, [later(n) for n in range(200)]), "ttft").series
    inside = (line.low > 0) & (line.high < 100)
    assert (line.high - line.low)[inside] == pytest.approx(200 * ecdf_reach(200))
    assert line.y[-1] == 100


def test_the_band_holds_the_true_shares_as_often_as_it_says():
    rng, misses = np.random.default_rng(4), 0
    for _ in range(400):
        values = np.sort(rng.random(80))
        share = np.arange(1, 81) / 80
        misses += bool(np.max(np.maximum(share - values, values - (share - 1 / 80))) > ecdf_reach(80))
    assert misses / 400 < 0.08


def test_request_classes_are_parts_of_their_model(tmp_path):
    records = [later(n, name="xy"[n % 2], model="ab"[n // 2 % 2]) for n in range(80)]
    run = run_of(tmp_path, records, models=["a", "b"], requests=[{"name": "x"}, {"name": "y"}])
    series = within_time(run, "ttft").series
    assert [(one.title, one.part) for one in series] == [
        ("a", False), ("a, x", True), ("a, y", True), ("b", False), ("b, x", True), ("b, y", True),
    ]  # fmt: skip


def test_prompts_of_one_length_make_no_chart_and_those_of_many_a_line(tmp_path):
    assert first_token_by_prompt(run_of(tmp_path / "one", [later(n) for n in range(50)])) is None
    records = [later(n, prompt_tokens=100 + 10 * n, first_token_at=2.1 + 0.05 * n + 0.01 * n) for n in range(100)]
    chart = first_token_by_prompt(run_of(tmp_path / "many", records))
    dots, line = chart.series
    assert len(dots.x) == 100
    assert (np.diff(line.y) > 0).all()


def test_shares_of_too_few_answers_are_left_out_and_named(tmp_path):
    records = [later(n, model="a") for n in range(40)] + [later(100 + n, 0.01, model="b") for n in range(5)]
    chart = within_time(run_of(tmp_path, records, models=["a", "b"]), "ttft")
    assert [one.title for one in chart.series] == ["a"]
    assert "Left out for fewer than 20 answers: b" in chart.note


def test_a_request_class_of_too_few_answers_is_named_for_those_who_leave_out_another(tmp_path):
    records = [later(n, name="x") for n in range(40)] + [later(100 + n, 0.01, name="y") for n in range(5)]
    more = [later(200 + n, 0.01, name="x", model="b") for n in range(40)]
    run = run_of(tmp_path, records + more, models=["m", "b"], requests=[{"name": "x"}, {"name": "y"}])
    chart = within_time(run, "ttft")
    assert [one.title for one in chart.series] == ["m", "m, x", "b", "b, x"]
    assert "Left out where single request classes are shown for fewer than 20 answers: m, y" in chart.note


def test_of_many_lines_that_are_left_out_some_are_named():
    assert some_named(["a"]) == "a"
    assert some_named(list("abcdefgh")) == "a; b; c; d; e; f; and 2 more"


def test_a_model_that_is_done_has_no_throughput_while_another_goes_on(tmp_path):
    slow = [later(n, 1.0, model="slow") for n in range(6)]
    fast = [later(100 + n, 0.001, model="fast") for n in range(6)]
    scenario = {"models": ["slow", "fast"], "load": {"users": 2, "requests": 12, "warmup": 0.0}}
    steps = [{"name": "measure", "began": 1.5, "ended": 8.5, "ended_by": "requests", "planned": 12, "sent": 12}]
    end = {"duration_s": 8.5, "stopped_by": "requests"}
    chart = throughput_over_time(open_run(write_run(tmp_path, slow + fast, scenario=scenario, steps=steps, end=end)))
    lines = {one.title: one.y for one in chart.series}
    assert np.isfinite(lines["slow"]).all()
    assert np.isfinite(lines["fast"]).tolist() == [True] * 3 + [False] * (len(lines["fast"]) - 3)
    assert chart.note == "A line stops where all requests of its model are answered"


def test_users_that_wait_are_within_the_chart_of_the_load_and_those_of_all_processes_are_added(tmp_path):
    told = {"hub_lag_s": [0.0002], "cpu": 0.1, "gc_s": 0.0, "in_flight": 1, "clock_step_s": 0.0}
    health = [told | {"worker": worker, "t": at + 0.01 * worker, "users": 10} for worker in (0, 1) for at in (2.0, 3.0)]
    run = open_run(write_run(tmp_path, [later(n) for n in range(5)], health=health))
    flying, users = load_over_time(run).series
    assert users.y.tolist() == [20.0] * 4
    assert (np.diff(users.x) > 0).all()
    assert flying.y.max() < 20 < load_over_time(run).y.end


@pytest.mark.parametrize(("count", "room"), [(0, 5), (3, 5), (1000, 7)])
def test_what_is_chosen_is_spread_evenly(count, room):
    places = thinned(count, room)
    assert len(places) == min(count, room)
    if count:
        assert (places[0], places[-1]) == (0, count - 1)


def test_equal_cells_of_different_kinds_come_to_one():
    two = np.array([1.0, 1.0])
    cells = Series("", two, two + 1, form="cells", base=two, width=two, amount=np.array([2.0, 3.0])).added()
    assert (cells.x.tolist(), cells.amount.tolist()) == ([1.0], [5.0])


def test_images_that_no_stage_asked_for_have_no_throughput(tmp_path):
    images = [record(seq, stage="images", api="images", stream=False, items=1, arrivals=[]) for seq in range(3)]
    steps = [
        {"kind": "burst", "name": "images", "measured": False, "began": 0.0, "ended": 3.0, "planned": 3, "sent": 3}
    ]
    end = {"load_started": 4.0, "measure": (4.0, 4.0), "duration_s": 4.0}
    assert throughput_over_time(open_run(write_run(tmp_path, images, end=end, steps=steps))) is None
