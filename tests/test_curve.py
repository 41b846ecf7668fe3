"""The load curve: points of several levels become charts whose values are the points'."""

from __future__ import annotations

import pytest

from bench.analysis import open_run
from bench.analysis.curve import Curve, CurvePoint, Line, curve_charts, curve_of, without
from bench.analysis.figures import Statistics
from tests.runs import record, write_run


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


def test_a_level_of_too_few_answers_is_named_and_each_point_is_about_its_stage():
    none = {"ttft": statistics(None, None), "tpot": statistics(None, None), "e2e": statistics(None, None)}
    points = (point(1, latencies=none), point(2), point(4), point(8, "n", latencies=none))
    charts = drawn(Curve("users", points, ("m", "n")))
    told = "Left out for too few answers: m p50 at 1; m p95 at 1; m p99 at 1, 2; n p50 at 8"
    assert [charts[name].note for name in ("curve-ttft", "curve-achieved")] == [told] * 2
    assert drawn(CURVE)["curve-e2e"].note is None
    assert [kind.about.stage for kind in charts["curve-ttft"].series[0].kinds] == ["2 users", "4 users"]


def test_what_one_user_sees_stands_against_what_all_see():
    chart = drawn(CURVE)["curve-user"]
    assert list(chart.series[0].x) == [100, 200, 400, 800, 1600]
    assert chart.series[0].y == pytest.approx([1 / 0.011, 1 / 0.012, 1 / 0.014, 1 / 0.018, 1 / 0.026])
    assert chart.series[0].labels[0] == "1 users"
    assert chart.marks[0].at == pytest.approx(50.0)


def test_an_open_loop_shows_what_was_offered_beside_what_was_answered():
    curve = Curve("requests/s offered", (point(2.0, offered_per_s=2.1), point(4.0, offered_per_s=3.9)), ("m",))
    offered = drawn(curve)["curve-requests"].series[-1]
    assert (offered.title, list(offered.x), list(offered.y)) == ("m offered", [2.0, 4.0], [2.1, 3.9])


def test_each_kind_of_client_has_a_line_and_a_colour_of_its_own():
    points = [point(load, model, part=part) for load in (2, 4) for part in ("raw", "polite") for model in "mn"]
    chart = drawn(Curve("users", tuple(points), ("m", "n")))["curve-tokens"]
    assert [(one.title, one.role, list(one.x)) for one in chart.series] == [
        ("m, raw", "model:0", [2, 4]), ("m, polite", "model:2", [2, 4]),
        ("n, raw", "model:1", [2, 4]), ("n, polite", "model:3", [2, 4]),
    ]  # fmt: skip
    assert chart.x.title == "users in all"


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


def stage(name, began, ended, **changes):
    return {"name": name, "began": began, "ended": ended, "ended_by": "duration"} | changes


def request(seq, stage, at, wait, **changes):
    """An answer that comes so long after it was due."""
    times = {"due": at, "sent": at, "headers_at": at + wait, "first_token_at": at + wait, "done": at + wait}
    return record(seq, stage=stage, first_answer_at=at + wait, arrivals=[(at + wait, 5)], **times | changes)


def curve_of_stages(folder, stages, records, **scenario):
    end = {"measure": [stages[0]["began"], stages[-1]["ended"]], "duration_s": stages[-1]["ended"] + 1.0}
    return curve_of(open_run(write_run(folder, records, steps=stages, scenario=scenario, end=end)))


def test_what_is_offered_is_what_each_model_gets(tmp_path):
    """Ten a second for two models are five for each; a number of them was offered until the last was due."""
    stages = [
        stage("10 /s", 0.0, 4.0, rate=10.0, arrivals="constant"),
        stage("20 /s", 4.0, 6.0, rate=20.0, arrivals="constant", ended_by="requests"),
    ]
    records = [request(n, "10 /s", n / 10, 0.1, model="ab"[n % 2]) for n in range(40)]
    records += [request(40 + n, "20 /s", 4.0 + n / 20, 0.1, model="ab"[n % 2]) for n in range(41)]
    found = curve_of_stages(tmp_path, stages, records, models=["a", "b"], slo={"ttft": 0.2})
    assert [(one.model, one.offered_per_s) for one in found.points] == [
        ("a", 5.0), ("b", 5.0), ("a", pytest.approx(21 / 2.0)), ("b", pytest.approx(20 / 2.0)),
    ]  # fmt: skip
    assert [one.good_per_s for one in found.points] == [one.requests_per_s for one in found.points]


@pytest.mark.parametrize(
    ("late", "grows"),
    [
        (lambda due: 0.5, False),
        (lambda due: 0.5 + due, True),  # half of what comes is answered
        (lambda due: min(3.0, 0.5 + due), False),  # until as many are under way as will be
        (lambda due: 0.5 + 0.05 * due, False),
    ],
)
def test_waits_that_grow_with_the_time_show_a_server_that_does_not_keep_up(tmp_path, late, grows):
    records = [request(n, "10 /s", n / 10, late(n / 10) + 0.01 * (n % 7)) for n in range(100)]
    [found] = curve_of_stages(tmp_path, [stage("10 /s", 0.0, 10.0, rate=10.0)], records).points
    assert found.waits_grow == grows


def test_a_stage_whose_load_changes_has_no_place_on_the_curve(tmp_path):
    stages = [
        stage("low", 0.0, 5.0, rate=10.0),
        stage("soon", 5.0, 10.0, rate=20.0, ramp_s=0.5),
        stage("climb", 10.0, 15.0, rate=60.0, ramp_s=4.0),
        stage("cut", 15.0, 16.0, rate=100.0, ramp_s=60.0, ended_by="requests"),
    ]
    records = [request(n, one["name"], one["began"], 0.1) for n, one in enumerate(stages)]
    found = curve_of_stages(tmp_path, stages, records)
    assert (found.loads, found.left_out) == ([10.0, 20.0], ("climb", "cut"))
    assert without(found) == "Not on the load curve, since their load changes: climb and cut."
    alone = curve_of_stages(tmp_path / "alone", [stages[0], *stages[2:]], records)
    assert without(alone).startswith("There is no load curve: it takes two loads that are held, and the load of climb")


def test_clients_and_repetitions_of_a_level_are_lines_of_their_own(tmp_path):
    clients = [stage(f"{users} users, {client}", place, place + 1.0, users=users)
               for place, (users, client) in enumerate((users, client) for users in (2, 4) for client in ("raw", "polite"))]  # fmt: skip
    records = [request(n, one["name"], one["began"], 0.1, due=None) for n, one in enumerate(clients)]
    found = curve_of_stages(
        tmp_path / "clients", clients, records, load={"users": [2, 4], "clients": ["raw", "polite"]}
    )
    assert found.lines == found.first_lines == [Line("m", "raw"), Line("m", "polite")]
    assert [point.stage for point in found.of(Line("m", "polite"))] == ["2 users, polite", "4 users, polite"]
    again = [stage(name, place, place + 1.0, users=users) for place, (name, users) in enumerate((("calm", 30), ("spike", 90), ("after", 30)))]  # fmt: skip
    records = [request(n, one["name"], one["began"], 0.1, due=None) for n, one in enumerate(again)]
    found = curve_of_stages(tmp_path / "again", again, records)
    assert (found.lines, found.first_lines) == ([Line("m"), Line("m", "again")], [Line("m")])
    assert [point.stage for point in found.of(Line("m"))] == ["calm", "spike"]
