"""Pictures of charts: what they write beside the values."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from bench.analysis import open_run
from bench.analysis.comparison_charts import paired_differences
from bench.analysis.request_charts import heat_map
from bench.analysis.sections import Axis, Chart, Series, Span
from bench.analysis.waterfall import waterfall
from bench.report.pictures import backdrop, lone, picture, titles_of
from tests.runs import failed, record, shifted, write_run


def test_a_chart_without_a_legend_is_drawn_however_long_its_names_are():
    arms = ("nightly-with-the-old-server-20260727T030405Z", "nightly-with-the-new-server-20260727T040506Z")
    chart = paired_differences("ttft", np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.3, 0.3]), arms=arms)
    assert chart is not None
    for one in (chart, replace(chart, title=" against ".join(arms))):
        assert not titles_of(one)
        assert picture(one).startswith(b"\x89PNG")


def test_the_legend_names_the_kinds_of_single_requests(tmp_path):
    records = [record(**shifted(record(0), 0.05 * n, n)) for n in range(30)] + [failed(100, "timeout")]
    run = open_run(write_run(tmp_path, records))
    assert titles_of(waterfall(run)) == ["ok", "timeout"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for chart in (waterfall(run), heat_map(run)):
            assert picture(chart).startswith(b"\x89PNG")


def test_a_value_between_gaps_is_drawn_as_a_dot():
    y = np.array([1.0, np.nan, 2.0, np.nan, 3.0, 4.0])
    assert lone(y).tolist() == [True, False, True, False, False, False]
    assert lone(np.array([])).tolist() == []


def test_a_picture_over_time_shows_where_a_stage_begins():
    line = Series("m", np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0]))
    chart = Chart("c", "c", "", Axis("s", begin=0.0, end=2.0), Axis("y", begin=0.0, end=4.0), (line,), time=True)
    staged = replace(chart, stages=(Span(0.0, 1.0, "a"), Span(1.0, 2.0, "b")))
    figure = Figure()
    axes = figure.subplots()
    backdrop(axes, staged)
    assert [text.get_text() for text in axes.texts] == ["a", "b"]
    assert [one.get_xdata()[0] for one in axes.lines] == [0.0, 1.0]
    assert picture(staged) != picture(chart)
