"""Models of one run side by side: the figures of the table, with the difference to the first."""

from __future__ import annotations

import json

import pytest

from bench.analysis import open_run
from bench.analysis.columns import WITH_WAITS
from bench.analysis.glance import glance
from bench.analysis.model_comparison import MOST_CLASSES
from bench.analysis.model_findings import NOT_TESTED, comparison_parts, left_out
from bench.analysis.sections import About, Sentence, Table
from bench.experiments.general import findings
from bench.records import Attempt
from bench.report import render
from bench.report.terminal import text
from tests.runs import failed, record, shifted, write_run

PRICES = {"a": {"input": 1.0, "output": 2.0}, "b": {"input": 2.0, "output": 4.2}}


def streamed(place: int, model: str, first: float, each: float = 0.1, **changes):
    """An answer of five tokens, of which the first comes after `first` s."""
    base = record(0, done=2.0 + first + 5 * each, first_token_at=2.0 + first, first_answer_at=2.0 + first)
    base.arrivals[:] = [(2.0 + first + each * place, 1) for place in range(5)]
    return record(**{"model": model, "done": base.done} | shifted(base, 0.02 * place, place) | changes)


def asked(folder, *, slower=0.6, each=0.1, prices=PRICES, models=("a", "b"), more=(), many=200, **scenario):
    """A run of 200 answers of either model; b's first token comes after 0.6 s and a's after 0.5 s, give or take."""
    records = []
    for n in range(many):
        jitter = 0.001 * (n * 37 % 50)
        records.append(streamed(2 * n, "a", 0.5 + jitter))
        records += [streamed(2 * n + 1, other, slower + jitter, each) for other in models[1:]]
    scenario = {"models": list(models), "prices": prices} | scenario
    return open_run(write_run(folder, [*records, *more], scenario=scenario))


def cells(table, figure):
    [row] = [row for row in table.rows if row.cells[0].text == figure]
    return [cell.text for cell in row.cells]


def parts_of(run):
    """The first sentences of the report, and the parts of the comparison."""
    glance, comparison, *_ = findings(run, drawn=False).sections
    assert (glance.name, comparison.name) == ("glance", "comparison")
    return glance.parts, comparison.parts


def test_the_first_thing_after_the_headline_is_how_the_models_differ(tmp_path):
    (said, *_), (table, not_tested) = parts_of(asked(tmp_path))
    assert isinstance(said, Sentence)
    assert isinstance(table, Table)
    assert said.text.startswith("Compared with a, b's first token comes 19 % later [19 %, 19 %] at p50; ")
    assert "its requests cost 2.01 times as much [2.01, 2.01]" in said.text
    assert not_tested.text == NOT_TESTED
    assert "kind: compare" in NOT_TESTED
    assert cells(table, "TTFT p50")[1:3] == ["524 ms", "624 ms"]
    assert cells(table, "tokens/s of a stream")[1:3] == ["10.0/s", "10.0/s"]
    assert cells(table, "error rate")[-1] == "no"
    assert cells(table, "TTFT p50")[-1] == "yes"


def test_the_figures_are_those_of_the_table(tmp_path):
    summary = asked(tmp_path, slo={"ttft": 0.6}).summary
    a, b = summary.groups
    found = {one.title: one for one in summary.comparisons}
    assert [*found] == [
        "ttft p50", "ttft p95", "tpot p50", "stream_tokens_per_s", "e2e p50", "e2e p95", "error_rate", "goodput",
        "cost_per_1000_usd", "cost_per_good_usd",
    ]  # fmt: skip
    assert found["cost_per_good_usd"].candidate is None, "b's TTFT is never below 600 ms"
    assert (found["ttft p95"].baseline, found["ttft p95"].candidate) == (a.ttft_s.p95, b.ttft_s.p95)
    assert found["ttft p95"].ratio == pytest.approx(b.ttft_s.p95 / a.ttft_s.p95)
    assert found["cost_per_1000_usd"].ratio == pytest.approx(b.cost_per_1000_usd / a.cost_per_1000_usd)
    assert found["goodput"].ratio == pytest.approx(b.goodput - a.goodput)
    assert found["stream_tokens_per_s"].candidate == pytest.approx(1 / b.tpot_s.p50)
    assert all(one.low <= one.ratio <= one.high for one in found.values() if one.ratio is not None)


def test_the_summary_has_them_for_programs(tmp_path):
    told = json.loads(render(asked(tmp_path), "json"))["comparisons"]
    assert told[0]["arm"] == "b"
    assert told[0]["against"] == "a"
    assert told[0]["ratio"] == pytest.approx(1.19, abs=0.01)
    assert told[0]["verdict"] is None


def test_failures_stand_beside_the_latencies(tmp_path):
    more = [failed(1000 + n, "timeout", model="b", sent=2.0 + n / 10, done=3.0 + n / 10) for n in range(40)]
    (said, *_), (table, *_) = parts_of(asked(tmp_path, more=more))
    assert "it fails more often, by 17 points [" in said.text
    assert cells(table, "error rate")[1:3] == ["0 %", "16.7 %"]
    assert cells(table, "TTFT p50")[1:3] == ["524 ms", "624 ms"], "of answers without error, as in the table"


def test_equal_models_are_not_said_to_differ(tmp_path):
    (said, *_), (table, *_) = parts_of(asked(tmp_path, slower=0.5, prices={}))
    assert said.text == ("Compared with a, TTFT of b: no difference at p50 can be shown with 400 requests.")
    assert [row.cells[-1].text for row in table.rows] == ["no"] * len(table.rows)


def test_a_price_that_is_unknown_of_one_model_is_said(tmp_path):
    _, (table, why, _) = parts_of(asked(tmp_path, prices={"a": PRICES["a"]}))
    [row] = [row for row in table.rows if row.cells[0].text == "cost of 1,000 requests"]
    assert [cell.text for cell in row.cells[1:4]] == ["$0.1100", "–", "–"]
    assert why.text == (
        "Not compared: cost of 1,000 requests, cost of a good answer; no price is known for b, or none of its answers "
        "is good."
    )


def test_a_percentile_of_too_few_answers_says_how_many_it_needs(tmp_path):
    few = [streamed(10 * n, "b", 0.6, seq=1000 + n) for n in range(20)]
    run = asked(tmp_path, models=("a",), more=few, prices={}).summary
    assert not run.comparisons
    both = open_run(write_run(tmp_path / "b", [*(streamed(n, "a", 0.5) for n in range(200)), *few],
                              scenario={"models": ["a", "b"]}))  # fmt: skip
    table, why, _ = comparison_parts(both.summary.comparisons)
    [row] = [row for row in table.rows if row.cells[0].text == "TTFT p95"]
    assert row.cells[3].text == "–"
    assert why.text == "Not compared: TTFT p95, E2E p95; p95 needs 130 successful requests of b, had 20."


def test_a_pace_lacks_answers_as_the_time_that_it_is_made_of_does(tmp_path):
    records = [streamed(n, "a", 0.5) for n in range(50)] + [streamed(n, "b", 0.6, seq=100 + n) for n in range(7)]
    run = open_run(write_run(tmp_path, records, scenario={"models": ["a", "b"]}))
    assert next(one.text for one in comparison_parts(run.summary.comparisons) if isinstance(one, Sentence)) == (
        "Not compared: TTFT p50, TPOT p50, tokens/s of a stream, E2E p50; p50 needs 11 successful requests of b, had 7."
    )


def test_models_with_too_few_answers_have_their_pace_and_what_is_not_compared(tmp_path):
    records = [streamed(n, model, 0.5, seq=2 * n + place) for n in range(5) for place, model in enumerate("ab")]
    run = open_run(write_run(tmp_path, records, scenario={"models": ["a", "b"]}))
    assert [one.text for one in glance(run)[:2]] == [
        f"{model}: first token after 500 ms (mean), answer complete after 1,000 ms (mean); 0.500 answers/s."
        for model in "ab"
    ]
    table, *why, _ = comparison_parts(run.summary.comparisons)
    assert [row.cells[0].text for row in table.rows] == ["error rate"]
    assert [one.text for one in why] == [
        "Not compared: TTFT p50, TPOT p50, tokens/s of a stream, E2E p50; p50 needs 11 successful requests of a, had 5.",
        "Not compared: TTFT p95, E2E p95; p95 needs 130 successful requests of a, had 5.",
    ]


def test_a_further_model_with_too_few_answers_has_its_pace_beside_the_comparison_of_the_others(tmp_path):
    few = [streamed(10 * n, "c", 0.6, seq=1000 + n) for n in range(3)]
    records = [
        streamed(8 * n + place, model, first)
        for n in range(50)
        for place, (model, first) in enumerate((("a", 0.5), ("b", 0.6)))
    ]
    run = open_run(write_run(tmp_path, [*records, *few], scenario={"models": ["a", "b", "c"]}))
    assert [one.text.split(" ")[0] for one in glance(run)[:2]] == ["Compared", "c:"]


def retried(place: int, model: str, attempts: int, **more):
    """An answer after attempts that were refused, 0.4 s apart."""
    base = streamed(place, model, 0.5)
    earlier = [
        Attempt(sent=base.sent - 0.4 * many, done=base.sent - 0.4 * many + 0.1, status=429, outcome="throttled", retry_after=0.3, waited=0.3)
        for many in range(attempts - 1, 0, -1)
    ]  # fmt: skip
    return streamed(place, model, 0.5, earlier=earlier, attempts=attempts, **more)


def test_of_models_that_refuse_the_waiting_is_compared_first(tmp_path):
    records = [streamed(2 * n, "a", 0.6 + 0.001 * (n * 37 % 50)) for n in range(200)]
    records += [retried(2 * n + 1, "b", 2 + n % 3) for n in range(200)]
    run = open_run(write_run(tmp_path, records, scenario={"models": ["a", "b"]}))
    (said, *_), (table, *_) = parts_of(run)
    a, b = run.summary.groups
    assert [row.cells[0].text for row in table.rows][:4] == ["E2E from due p50", "attempts", "answers/s", "TTFT p50"]
    assert cells(table, "attempts")[1:3] == ["1.00", f"{b.attempts_per_request:.2f}"]
    assert cells(table, "answers/s")[1] == f"{a.requests_per_s:.1f}/s"
    found = {one.title: one for one in run.summary.comparisons}
    assert found["attempts_per_request"].ratio == pytest.approx(b.attempts_per_request)
    assert found["requests_per_s"].ratio == pytest.approx(b.requests_per_s / a.requests_per_s)
    assert "b's answer, from when the request was due, is complete 60 % later [" in said.text
    assert "; its attempts per request are 3.00 times as many [" in said.text
    assert "; of the answered attempts alone, its first token comes " in said.text
    assert WITH_WAITS in table.note


def test_a_single_wait_leaves_the_comparison_as_it_is(tmp_path):
    run = asked(tmp_path, more=[retried(500, "b", 2, seq=5000)])
    (said, *_), (table, *_) = parts_of(run)
    assert said.text.startswith("Compared with a, b's first token comes 19 % later")
    assert table.rows[0].cells[0].text == "TTFT p50"


def test_each_stage_has_its_sentence_with_all_figures_and_the_left_out_ones_are_named(tmp_path):
    steps = [{"name": name, "began": began, "ended": began + 5.0, "ended_by": "duration", "users": 2}
             for name, began in (("calm", 1.5), ("spike", 6.5))]  # fmt: skip
    records = []
    for n in range(400):
        stage = "calm" if n < 200 else "spike"
        jitter = 0.001 * (n * 37 % 50)
        records += [streamed(n, model, first + jitter, seq=2 * n + place, stage=stage)
                    for place, (model, first) in enumerate((("a", 0.5), ("b", 0.6)))]  # fmt: skip
    scenario = {"models": ["a", "b"], "prices": PRICES, "slo": {"ttft": 0.62}}
    run = open_run(write_run(tmp_path, records, steps=steps, scenario=scenario))
    said, (table, *more) = parts_of(run)
    assert [one.text.split("'s")[0] for one in said[:2]] == [
        f"In stage {stage}, compared with a, b" for stage in ("calm", "spike")
    ]
    assert "; it meets the SLO less often, by " in said[0].text
    assert "; its requests cost 2.01 times as much [" in said[0].text
    assert [row.cells[0].text for row in table.rows if row.cells[1].text == "spike"] == [
        "TTFT p50", "TPOT p50", "tokens/s of a stream", "E2E p50", "error rate", "goodput", "cost of 1,000 requests",
        "cost of a good answer",
    ]  # fmt: skip
    told = "Left out, since there are several stages: TTFT p95 and E2E p95, which the table of figures has."
    assert told in [one.text for one in more]
    unstreamed = [one for one in run.summary.comparisons if one.metric != "ttft"]
    assert left_out(unstreamed) == [told.replace("TTFT p95 and ", "")]
    assert left_out([one for one in unstreamed if one.metric != "e2e"]) == []


def test_a_model_that_answered_nothing_is_not_compared_in_words(tmp_path):
    records = [streamed(n, "a", 0.5) for n in range(50)]
    records += [failed(100 + n, "auth", model="b", sent=2.0 + n / 10, done=2.1 + n / 10) for n in range(50)]
    run = open_run(write_run(tmp_path, records, scenario={"models": ["a", "b"]}))
    table, *why, _ = comparison_parts(run.summary.comparisons)
    assert cells(table, "error rate")[1:3] == ["0 %", "100 %"]
    assert "Not compared: TTFT p50; b has no TTFT." in [one.text for one in why]


def test_each_further_model_stands_beside_the_first(tmp_path):
    run = asked(tmp_path, models=("a", "b", "c"), prices={})
    said, (table, *_) = parts_of(run)
    assert [one.text.split("'s")[0] for one in said[:2]] == ["Compared with a, b", "Compared with a, c"]
    assert [column.title for column in table.columns][:4] == ["figure", "model", "a", "this model"]
    assert {row.about.model for row in table.rows} == {"b", "c"}


def test_one_model_alone_and_arms_have_no_such_part(tmp_path):
    alone = asked(tmp_path / "one", models=("a",), prices={})
    arms = asked(tmp_path / "arms", kind="compare", arms={"a": {"models": ["m"]}, "b": {"models": ["m"]}})
    for run in (alone, arms):
        assert run.summary.comparisons == []
        assert "comparison" not in [section.name for section in findings(run, drawn=False).sections]


def test_the_terminal_and_markdown_begin_with_it(tmp_path):
    run = asked(tmp_path)
    told = text(run, width=140)
    assert told.splitlines()[2].startswith("Compared with a, b's first token comes 19 % later")
    markdown = render(run, "markdown")
    assert markdown.index("## At a glance") < markdown.index("## Models side by side") < markdown.index("## Figures")
    assert "| TTFT p50 | 524 ms | 624 ms | 19 % later" in markdown


def test_users_of_several_models_are_said_to_be_in_all(tmp_path):
    def steps(*levels):
        return [
            {"name": "measure" if len(levels) == 1 else f"level {place}", "began": 1.5, "ended": 11.5, "ended_by": "duration", **level}
            for place, level in enumerate(levels)
        ]  # fmt: skip

    def headline(*levels, models=("a", "b")):
        records = [streamed(n, "a", 0.5) for n in range(20)]
        folder = write_run(tmp_path, records, scenario={"models": list(models)}, steps=steps(*levels))
        return findings(open_run(folder), drawn=False).heading.headline

    assert " from 10 users in all (5 for each model): " in headline({"users": 10})
    assert " from 5 users in all (2 or 3 for each model): " in headline({"users": 5})
    assert " at 5 requests/s in all (2.50 for each model): " in headline({"rate": 5.0})
    assert " from 1 to 8 users in all, equal parts for each model: " in headline({"users": 1}, {"users": 8})
    assert " from 1 user: " in headline({"users": 1}, models=("a",))


def test_request_classes_of_one_model_stand_side_by_side_on_the_page(tmp_path):
    requests = [{"name": name, "api": "chat", "stream": True} for name in ("short", "long", "longer")]
    records = []
    for n in range(150):
        jitter = 0.001 * (n * 37 % 50)
        records += [
            streamed(3 * n + place, "m", first + jitter, name=name)
            for place, (name, first) in enumerate((("short", 0.5), ("long", 0.6), ("longer", 0.75)))
        ]
    run = open_run(write_run(tmp_path, records, scenario={"requests": requests}))
    [part] = [one for one in findings(run, drawn=False).sections if one.name == "classes"]
    [table] = part.parts
    assert [column.title for column in table.columns][:4] == ["figure", "class", "short", "this class"]
    assert [cell.text for cell in table.rows[0].cells][:4] == ["TTFT p50", "long", "524 ms", "624 ms"]
    assert table.rows[0].about == About("m", "long", "measure")
    assert table.rows[0].cells[4].text.startswith("19 % later [")
    assert not table.always, "a terminal has no room for it"
    assert glance(run)[0].text.startswith("m: first token after"), "it is no answer to which model is faster"


def test_many_request_classes_are_not_compared_with_each_other(tmp_path):
    names = [f"class {n}" for n in range(MOST_CLASSES + 1)]
    records = [streamed(n, "m", 0.5, name=names[n % len(names)]) for n in range(200)]
    requests = [{"name": name, "api": "chat", "stream": True} for name in names]
    run = open_run(write_run(tmp_path, records, scenario={"requests": requests}))
    assert run.summary.comparisons == []
