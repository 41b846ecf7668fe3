"""Parts of a report as values."""

from __future__ import annotations

import numpy as np
import pytest

from bench.analysis.sections import Axis, Cell, Chart, Column, Mark, Row, Series, Table, log_ticks


def test_a_chart_whose_axes_say_nothing_begins_and_ends_with_its_data():
    series = Series("one", np.array([2.0, 4.0]), np.array([10.0, np.nan]), high=np.array([30.0, 20.0]))
    chart = Chart("c", "C", "it shows", Axis("x"), Axis("y"), (series,), (Mark(50.0, "SLO"),)).with_ends()
    assert (chart.x.begin, chart.x.end) == (2.0, 4.0)
    assert (chart.y.begin, chart.y.end) == (0.0, 1.12 * 50.0)


def test_what_an_axis_says_stays_and_nothing_to_draw_has_a_length_too():
    empty = Chart("c", "C", "it shows", Axis("x", scale="log"), Axis("y", begin=5.0), ()).with_ends()
    assert (empty.x.begin, empty.x.end) == (0.1, 1.0)
    assert (empty.y.begin, empty.y.end) == (5.0, 6.0)


@pytest.mark.parametrize(
    ("begin", "end", "ticks"),
    [
        (99.0, 101.0, (99.0, 99.5, 100.0, 100.5, 101.0)),
        (100.0, 700.0, (100.0, 150.0, 200.0, 300.0, 500.0, 700.0)),
        (90.0, 1100.0, (100.0, 200.0, 500.0, 1000.0)),
        (280.0, 15_000.0, (300.0, 1000.0, 3000.0, 10_000.0)),
        (0.02, 150.0, (0.1, 1.0, 10.0, 100.0)),
    ],
)
def test_a_logarithmic_axis_has_ticks_over_its_whole_range(begin, end, ticks):
    chart = Chart("c", "C", "it shows", Axis("TTFT", "ms", scale="log", begin=begin, end=end), Axis("y"), ())
    assert chart.with_ticks().x.ticks == log_ticks(begin, end) == ticks


def test_the_label_of_a_logarithmic_axis_says_so():
    assert Axis("TTFT", "ms", scale="log").label == "TTFT, ms (logarithmic)"
    assert Axis("TTFT", "ms").label == "TTFT, ms"


def test_a_logarithmic_axis_without_ends_has_the_ticks_of_its_data():
    series = Series("one", np.array([0.5, 150.0]), np.array([1.0, 2.0]))
    chart = Chart("c", "C", "it shows", Axis("x", scale="log"), Axis("y"), (series,)).with_ticks()
    assert (chart.x.ticks, chart.y.ticks) == ((1.0, 3.0, 10.0, 30.0, 100.0), ())


def test_a_table_goes_without_columns_that_have_no_value_but_not_without_its_names():
    columns = tuple(Column(title) for title in ("", "cost", "cached", "n"))
    rows = tuple(Row(tuple(map(Cell, row)), part=bool(row[3])) for row in (("", "–", "", "1"), ("", "–", "9 %", "")))
    found = Table("t", "t", columns, rows).without_empty_columns("–")
    assert [column.title for column in found.columns] == ["", "cached", "n"]
    assert [[cell.text for cell in row.cells] for row in found.rows] == [["", "", "1"], ["", "9 %", ""]]
    assert [row.part for row in found.rows] == [True, False]
