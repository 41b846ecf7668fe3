"""Parts of a report as values."""

from __future__ import annotations

import numpy as np

from bench.analysis.sections import Axis, Chart, Mark, Series


def test_a_chart_whose_axes_say_nothing_begins_and_ends_with_its_data():
    series = Series("one", np.array([2.0, 4.0]), np.array([10.0, np.nan]), high=np.array([30.0, 20.0]))
    chart = Chart("c", "C", "it shows", Axis("x"), Axis("y"), (series,), (Mark(50.0, "SLO"),)).with_ends()
    assert (chart.x.begin, chart.x.end) == (2.0, 4.0)
    assert (chart.y.begin, chart.y.end) == (0.0, 1.12 * 50.0)


def test_what_an_axis_says_stays_and_nothing_to_draw_has_a_length_too():
    empty = Chart("c", "C", "it shows", Axis("x", scale="log"), Axis("y", begin=5.0), ()).with_ends()
    assert (empty.x.begin, empty.x.end) == (0.1, 1.0)
    assert (empty.y.begin, empty.y.end) == (5.0, 6.0)
