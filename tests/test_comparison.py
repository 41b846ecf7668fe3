"""What a comparison says in words, as a table and as charts."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import msgspec
import numpy as np
import pytest

from bench.analysis.comparison import Comparison, badge, change, comparison, headlines, points, sections_of
from bench.analysis.comparison_charts import by_arm, distributions, over_time, paired_differences
from bench.analysis.gate import judge
from bench.analysis.sections import Sentence, Table
from bench.plan.gate import parse_gate

ONE = Comparison(
    metric="ttft", statistic="p50", baseline=0.3, candidate=0.264, ratio=0.88, low=0.85, high=0.91, pairs=800,
    smallest=1.04, verdict="pass", reason="the candidate is within the margin", title="ttft p50", margin=0.05,
    better="lower", difference=False, of=800,
)  # fmt: skip
P95 = replace(ONE, statistic="p95", title="ttft p95", ratio=0.98, low=0.9, high=1.07, verdict="inconclusive")
ERRORS = replace(
    ONE, metric="error_rate", statistic="share", title="error_rate", baseline=0.01, candidate=0.11, ratio=0.1,
    low=0.07, high=0.13, difference=True, margin=0.005, verdict="fail", smallest=0.01,
)  # fmt: skip


def test_the_contract_of_findings_json_comes_first():
    names = [field.name for field in fields(Comparison)]
    assert names[:10] == [
        "metric", "statistic", "baseline", "candidate", "ratio", "low", "high", "pairs", "smallest", "verdict",
    ]  # fmt: skip
    assert msgspec.to_builtins(ONE)["ratio"] == 0.88


def test_one_sentence_says_what_differs_and_what_cannot_be_shown():
    assert headlines([ONE, P95]) == [
        "candidate's first token comes 12 % sooner [9 %, 15 %] at p50; no difference at p95 can be shown with 800 pairs"
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ratio": 1.12, "low": 1.09, "high": 1.15}, "12 % later [9 %, 15 %]"),
        ({"ratio": 2.1, "low": 1.9, "high": 2.3}, "2.10 times as late [1.90, 2.30]"),
        ({"ratio": 1.02, "low": 0.98, "high": 1.06}, "2 % later [−2 %, 6 %]"),
        ({"metric": "tpot", "ratio": 1.034, "low": 1.01, "high": 1.05}, "3.4 % longer [1 %, 5 %]"),
        ({"ratio": None, "low": None, "high": None}, "–"),
        ({"ratio": 1.4, "low": 1.1, "high": math.inf}, "at least 10 % later"),
        ({"ratio": 7.0, "low": 2.1, "high": math.inf}, "at least 2.10 times as late"),
        ({"ratio": 0.1, "low": 0.0, "high": 0.9}, "at least 10 % sooner"),
        ({"ratio": 1.4, "low": 0.9, "high": math.inf}, "40 % later [−10 %, no end]"),
        ({"ratio": 2.4, "low": 0.9, "high": math.inf}, "2.40 times as late [0.900, no end]"),
    ],
)
def test_a_change_says_its_direction_in_a_word(changes, told):
    assert change(replace(ONE, **changes)) == told


def test_shares_differ_by_points():
    assert headlines([ERRORS]) == ["candidate fails more often: by 10 points [7, 13]"]
    fewer = replace(ERRORS, ratio=-0.1, low=-0.13, high=-0.07)
    assert headlines([fewer]) == ["candidate fails less often: by 10 points [7, 13]"]
    assert change(fewer) == "−10 points [−13, −7]"
    same = replace(ERRORS, ratio=0.0, low=-0.002, high=0.002, verdict="pass")
    assert headlines([same]) == ["candidate fails at most 0.5 points more often, as 800 pairs show"]
    assert points(0.01) == "1 point"
    assert points(-0.0) == "0 points"


def test_a_percentile_that_is_a_failure_is_said():
    failing = replace(ONE, candidate=None, ratio=None, low=None, high=None, verdict="fail")
    assert headlines([failing]) == [
        "So many of candidate's requests fail that its TTFT at p50 is the time of a failure"
    ]  # fmt: skip


def test_what_only_failures_make_slower_is_said_to_be_so_and_comes_after_them():
    late = replace(ONE, ratio=1.6, low=1.2, high=5.0, verdict="fail", by_failures=12)
    assert headlines([late, ERRORS]) == [
        "candidate fails more often: by 10 points [7, 13]",
        "candidate's first token comes 60 % later [20 %, 400 %] at p50 since 12 failed requests of candidate count as "
        "slower than any answer (answers alone show no such difference)",
    ]
    sooner = replace(late, ratio=0.7, low=0.6, high=0.9, by_failures=1)
    assert " since a failed request of baseline counts as slower " in headlines([sooner])[0]
    assert headlines([replace(late, by_failures=0), ERRORS])[0].startswith("candidate's first token")


def test_whose_requests_fail_is_said_and_a_figure_that_is_missing_is_no_failure():
    failing = replace(ONE, ratio=None, low=None, high=None, verdict="fail")
    assert headlines([replace(failing, baseline=None)]) == [
        "So many of baseline's requests fail that its TTFT at p50 is the time of a failure"
    ]  # fmt: skip
    assert headlines([failing]) == ["TTFT of candidate: so many requests fail that a difference at p50 has no size"]
    rate = replace(failing, metric="requests_per_s", statistic="rate", candidate=None)
    assert headlines([rate]) == ["So many of candidate's requests fail that it has no answers/s"]
    assert headlines([replace(failing, candidate=None, of=0)]) == [
        "TTFT of candidate: nothing at p50 can be compared"
    ]  # fmt: skip


def test_lines_about_one_figure_are_said_once_and_those_of_request_classes_apart():
    wide, chat = replace(ONE, title="ttft[m] p50", margin=0.5), replace(ONE, title="ttft[chat] p50", request="chat")
    assert headlines([ONE, wide, chat]) == [
        "candidate's first token comes 12 % sooner [9 %, 15 %] at p50",
        "chat: candidate's first token comes 12 % sooner [9 %, 15 %] at p50",
    ]
    same = replace(ONE, ratio=1.0, low=0.9, high=1.1, verdict="inconclusive")
    assert headlines([same, replace(same, title="ttft[m] p50")]) == headlines([same])


def test_a_reason_is_said_once_in_a_row():
    missing = replace(ONE, ratio=None, low=None, high=None, verdict="inconclusive", reason="nobody knows", of=0)
    for one in (missing, replace(missing, verdict=None)):
        [table] = sections_of([one])[0].of(Table)
        said = [cell for row in table.rows for cell in row.cells if "nobody knows" in (cell.text, cell.detail)]
        assert len(said) == 1


def test_arms_and_models_are_told_apart():
    other = replace(ONE, arm="green", against="blue", model="m")
    assert headlines([ONE, other]) == [
        "candidate's first token comes 12 % sooner [9 %, 15 %] at p50",
        "m: green's first token comes 12 % sooner [9 %, 15 %] at p50",
    ]


def test_what_fails_is_said_first_then_what_is_inconclusive():
    longer = replace(ONE, metric="tpot", title="tpot p50", ratio=1.32, low=1.3, high=1.34, verdict="fail")
    unsure = replace(P95, metric="e2e", title="e2e p95")
    assert [one.split(" ")[:2] for one in headlines([ONE, unsure, longer, ERRORS])] == [
        ["candidate's", "time"], ["candidate", "fails"], ["E2E", "of"], ["candidate's", "first"],
    ]  # fmt: skip


def test_a_judged_line_becomes_a_comparison_with_its_reason():
    rng = np.random.default_rng(1)
    a = np.exp(rng.normal(-1, 0.2, 500))
    [line] = parse_gate({"ttft p50": "5%"})
    [judged] = judge([line], {line: (a, 1.2 * a * np.exp(rng.normal(0, 0.05, 500)))}, 0.05)
    one = comparison(judged, arm="green", against="blue")
    assert (one.verdict, one.pairs, one.margin, one.title) == ("fail", 500, 0.05, "ttft p50")
    assert one.ratio == pytest.approx(1.2, abs=0.02)
    assert one.low < 1.2 < one.high
    assert one.shown


def test_the_section_opens_with_sentences_and_holds_a_row_for_each_line():
    [section] = sections_of([ONE, P95, ERRORS], doubts=["the machines differ"])
    sentences, [table] = section.of(Sentence), section.of(Table)
    assert [one.tone for one in sentences] == ["plain", "plain", "doubt"]
    assert [column.title for column in table.columns][:4] == ["verdict", "figure", "baseline", "candidate"]
    assert [column.title for column in table.columns][-1] == "why"
    assert [row.cells[0].text for row in table.rows] == ["✓ pass", "? inconclusive", "✗ fail"]
    assert [row.cells[2].text for row in table.rows] == ["300 ms", "300 ms", "1.0 %"]
    [unjudged] = sections_of([replace(ONE, verdict=None)])[0].of(Table)
    assert "verdict" not in [column.title for column in unjudged.columns]
    assert badge(None).text == "compared, not judged"


def test_lines_of_several_stages_say_of_which_they_are():
    two = [replace(ONE, model="m", stage=stage) for stage in ("low", "high")]
    [section] = sections_of(two)
    assert [one.text.partition(":")[0] for one in section.of(Sentence)] == ["low", "high"]
    [table] = section.of(Table)
    at = [column.title for column in table.columns].index("stage")
    assert [(row.cells[at].text, row.about.stage) for row in table.rows] == [("low", "low"), ("high", "high")]
    assert headlines([replace(two[0], model="n"), two[1]])[0].startswith("n, low: ")


def test_a_distribution_with_failures_ends_below_all():
    good = np.linspace(0.1, 0.2, 100)
    bad = np.concatenate([good[:90], np.full(10, np.inf)])
    chart = distributions("ttft", {"old": good, "new": bad})
    assert [one.title for one in chart.series] == ["old", "new"]
    assert [float(one.y[-1]) for one in chart.series] == [100.0, 90.0]
    assert "failed" in chart.note
    assert distributions("ttft", {"old": np.full(3, np.inf)}) is None


def test_differences_within_pairs_are_percent():
    a = np.full(100, 0.2)
    chart = paired_differences("ttft", a, 1.1 * a)
    assert chart.series[0].y.sum() == 100
    assert chart.marks[1].at == pytest.approx(10.0)
    failing = np.where(np.arange(100) < 3, np.inf, a)
    assert (paired_differences("ttft", a, failing).note or "").startswith("Left out: 3 pairs with a failed request")
    assert chart.note == (
        "The line marks the pair in the middle; the change at p50 weighs all pairs, so the two may differ"
    )
    assert paired_differences("ttft", np.full(3, np.inf), np.ones(3)) is None


def test_both_arms_over_time_have_points_and_a_p50():
    at = np.arange(400.0)
    chart = over_time("e2e", {"old": (at, np.full(400, 1.0)), "new": (at, np.full(400, 2.0))})
    lines = [one for one in chart.series if one.form == "line"]
    assert [one.title for one in lines] == ["old p50", "new p50"]
    assert set(lines[1].y) == {2000.0}
    assert over_time("e2e", {"old": (at, np.full(400, np.inf))}) is None


def test_a_line_over_time_has_a_gap_where_nothing_was_sent_and_each_line_is_of_its_arm():
    at = np.concatenate([np.arange(0.0, 10.0, 0.1), np.arange(30.0, 40.0, 0.1)])
    chart = over_time("e2e", {"old": (at, np.full(200, 1.0))}, about=by_arm(["old"]))
    dots, line = chart.series
    assert np.isnan(line.y[(line.x > 12.0) & (line.x < 28.0)]).all()
    assert np.isfinite(line.y[line.x < 9.0]).all()
    assert "with a gap where fewer than 5 answers are" in chart.note
    assert {one.about.model for one in (dots, line)} == {"old"}


def test_values_drawn_from_quantiles_are_not_counted_as_requests():
    values = np.concatenate([np.full(495, 0.1), np.linspace(0.2, 9.0, 5)])
    assert distributions("ttft", {"a": values}).note == "3 slower requests lie beyond the right edge"
    told = distributions("ttft", {"a": values}, counted_one_by_one=False).note
    assert told == "Up to 0.6 % of the requests lie beyond the right edge"


def test_the_p50_over_time_is_a_measured_value():
    chart = over_time("e2e", {"old": (np.arange(10.0), np.array([1.0] * 5 + [2.0] * 5))})
    [line] = [one for one in chart.series if one.form == "line"]
    assert list(line.y) == [1000.0], "of ten values the fifth, not the mean of it and the sixth"
