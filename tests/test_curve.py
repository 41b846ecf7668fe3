"""The load curve: points of several levels become charts whose values are the points'."""

from __future__ import annotations

import pytest

from bench.analysis.curve import Curve, CurvePoint, curve_charts
from bench.analysis.figures import Statistics


def statistics(p50, p95, p99=None):
    return Statistics(n=100, mean=p50, p50=p50, p90=p95, p95=p95, p99=p99, max=p95)


def point(load, model="m", **changes):
    """A level: latencies rise with the load, throughput bends."""
    latencies = {
        "ttft": statistics(0.1 + 0.01 * load, 0.2 + 0.02 * load, None if load < 4 else 0.5),
        "tpot": statistics(0.01 + 0.001 * load, 0.02 + 0.001 * load),
        "e2e": statistics(1.0 + 0.1 * load, 2.0),
    }
    facts = {"latencies": latencies, "stage": f"{load} users", "requests_per_s": load / (1 + load / 8), "tokens_per_s": 100 * load, "goodput": 0.5,
             "good_per_s": 0.5 * load}  # fmt: skip
    return CurvePoint(model=model, load=load, **facts | changes)


def drawn(curve):
    return {name: make() for name, make in curve_charts(curve).items()}


CURVE = Curve("users", tuple(point(load) for load in (8, 1, 2, 4, 16)), ("m",), {"ttft": 0.3, "tpot": 0.02})


def test_a_latency_is_drawn_at_each_level_with_the_slo_as_a_line():
    chart = drawn(CURVE)["curve-ttft"]
    p50, p95, p99 = chart.series
    assert list(p50.x) == [1, 2, 4, 8, 16]
    assert p50.y == pytest.approx([110, 120, 140, 180, 260])
    assert (p50.title, p95.stroke, p99.stroke) == ("m p50", "dashed", "dotted")
    assert list(p99.x) == [4, 8, 16], "a percentile that is withheld is no point"
    assert [(mark.at, mark.text) for mark in chart.marks] == [(300.0, "SLO 300 ms")]
    assert (chart.x.scale, chart.x.ticks) == ("log", (1, 2, 4, 8, 16))
    assert "m at 8 users: 180 ms (p50)" in chart.says


def test_what_one_user_sees_stands_against_what_all_see():
    chart = drawn(CURVE)["curve-user"]
    assert list(chart.series[0].x) == [100, 200, 400, 800, 1600]
    assert chart.series[0].y == pytest.approx([1 / 0.011, 1 / 0.012, 1 / 0.014, 1 / 0.018, 1 / 0.026])
    assert chart.series[0].labels[0] == "1 users"
    assert chart.marks[0].at == pytest.approx(50.0)


def test_an_open_loop_shows_what_was_offered_beside_what_was_answered():
    curve = Curve("requests/s offered", (point(2.0), point(4.0)), ("m",))
    offered = drawn(curve)["curve-requests"].series[-1]
    assert (offered.title, list(offered.x), list(offered.y)) == ("offered", [2.0, 4.0], [2.0, 4.0])


def test_one_level_is_no_curve_and_what_there_is_not_is_not_drawn():
    assert curve_charts(Curve("users", (point(1), point(1, "n")), ("m", "n"))) == {}
    bare = [point(load, latencies={}, tokens_per_s=0.0, goodput=None, good_per_s=None) for load in (1, 2)]
    charts = drawn(Curve("users", tuple(bare), ("m",)))
    assert [name for name, chart in charts.items() if chart is not None] == ["curve-requests"]


def test_every_chart_of_a_curve_can_be_a_picture():
    from bench.report.pictures import pictures

    made, left_out = pictures([chart for chart in drawn(CURVE).values() if chart is not None])
    assert left_out == []
    assert list(made) == ["curve-ttft", "curve-tpot", "curve-e2e", "curve-tokens", "curve-requests", "curve-goodput",
                          "curve-achieved", "curve-user"]  # fmt: skip
