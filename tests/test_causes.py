"""Why requests failed: the same cause is one cause, with its count and a request to look at."""

from __future__ import annotations

import re

import pytest

from bench.analysis import open_run
from bench.analysis.causes import normal
from bench.analysis.errors import error_table
from bench.analysis.sections import About
from bench.experiments.general import findings
from bench.report import render
from tests.runs import failed, record, write_run


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HTTP 500: request req_8f3a91c2d07e failed", "HTTP 500: request req_1b9d44aa0c3f failed"),
        ("no token within 30 s", "no token within 29.5 s"),
        ("id 123e4567-e89b-12d3-a456-426614174000", "id 00000000-e89b-12d3-a456-426614174fff"),
        ("connect to 10.0.0.1:8000 refused", "connect to 10.0.0.23:8001 refused"),
        ("call chatcmpl-9xK2mQ77aZ", "call chatcmpl-7bB1nP00cY"),
    ],
)
def test_what_differs_from_request_to_request_makes_no_other_cause(one, other):
    assert normal(one) == normal(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("model is overloaded", "model is not found"),
        ("the connection broke: reset", "the connection broke: refused"),
        ("unknown field temperature", "unknown field max_tokens"),
    ],
)
def test_different_reasons_stay_apart(one, other):
    assert normal(one) != normal(other)


@pytest.fixture
def run(tmp_path):
    errors = [f"HTTP 500: request req_{n:012x}9a failed" for n in range(6)] + ["HTTP 502: bad gateway"] * 3
    errors += ["HTTP 500: out of memory"] * 2 + ["HTTP 500: <b>broken</b>", "HTTP 500: lost"]
    records = [record(n) for n in range(30)]
    records += [failed(100 + n, "server_error", error=error) for n, error in enumerate(errors)]
    records += [failed(200, "timeout", error=None), failed(300, "censored")]
    return open_run(write_run(tmp_path / "my run", records))


def test_each_outcome_has_its_commonest_messages_and_the_rest_counted(run):
    found = run.summary.groups[0].causes
    assert [(one.outcome, one.count, one.kinds, one.seq) for one in found] == [
        ("server_error", 6, 1, 100), ("server_error", 3, 1, 106), ("server_error", 2, 1, 109),
        ("server_error", 2, 2, 111), ("timeout", 1, 1, 200),
    ]  # fmt: skip
    assert found[0].message == "HTTP 500: request req_0000000000009a failed"
    assert found[3].message is None
    assert found[4].message == "no reason was given"


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_a_text_says_why_and_which_request_to_look_at(run, form):
    told = " ".join(render(run, form).replace("&#39;", "'").split())
    assert "13 server_error, 1 timeout" in told
    assert "6 server_error: HTTP 500: request req_0000000000009a failed (bench show '" in told
    assert "my run' 100)" in told
    assert "2 server_error: 2 further reasons" in told
    assert "1 timeout: no reason was given" in told


def test_the_page_has_a_row_for_each_reason_with_one_request_to_open(run):
    section = next(one for one in findings(run).sections if one.name == "errors")
    table = section.parts[0]
    titles = [column.title for column in table.columns]
    assert titles == ["outcome", "status", "requests", "message", "share", "request class", "first", "one to open"]
    assert [row.about.outcome for row in table.rows] == ["server_error"] * 4 + ["timeout"]
    first = [cell.text for cell in table.rows[0].cells]
    assert (first[1:3], first[3]) == (["–", "6"], "HTTP 500: request req_0000000000009a failed")
    assert first[7] == f"bench show '{run.folder}' 100"
    assert "error             HTTP 500: request req_0000000000009a failed" in table.rows[0].cells[7].folded
    page = render(run, "html")
    assert "a 5xx other than 503 and 529" in page
    assert not re.search(r"m: [0-9]+ failed:", page)
    assert re.search(r"m: [0-9]+ failed:", render(run, "text"))
    assert "Reasons of failures" not in render(run, "markdown")


def test_a_reason_of_several_classes_and_models_has_a_sum_and_its_parts_below(tmp_path):
    records = [record(n, model="ab"[n % 2], name="xy"[n // 2 % 2]) for n in range(32)]
    for n, (model, name) in enumerate([("b", "x"), ("a", "x"), ("a", "x"), ("a", "y")]):
        records.append(failed(100 + n, "timeout", model=model, name=name, sent=3.5 - n, error=f"no token in {n} s"))
    records.append(failed(200, "connect", model="a", name="x", error="refused"))
    scenario = {"models": ["a", "b"], "requests": [{"name": "x"}, {"name": "y"}]}
    [table] = error_table(open_run(write_run(tmp_path / "run", records, scenario=scenario)))
    shown = [(row.part, *(row.cells[place].text for place in (2, 3, 4, 5, 6, 7))) for row in table.rows]
    assert shown == [
        (False, "4", "no token in 3 s", "10.8 %", "several", "several", "0"),
        (True, "2", "no token in 1 s", "18.2 %", "x", "a", "2.00"),
        (True, "1", "no token in 3 s", "11.1 %", "y", "a", "0"),
        (True, "1", "no token in 0 s", "11.1 %", "x", "b", "3.00"),
        (False, "1", "refused", "9.1 %", "x", "a", "1.50"),
    ]
    assert table.rows[0].about == About(stage="measure", outcome="timeout")


def test_a_long_message_is_cut_alike_in_every_sentence_and_whole_in_the_table(tmp_path):
    long = "HTTP 500: " + "lost " * 100
    run = open_run(write_run(tmp_path, [record(0), failed(1, "server_error", error=long.strip())]))
    cut = f"{long[:239]}…"
    assert render(run, "markdown").count(cut) == 2, "at a glance, and in what failed"
    table = next(one for one in findings(run).sections if one.name == "errors").parts[0]
    assert table.rows[0].cells[3].text == long.strip()


def test_the_same_words_with_another_status_are_another_reason(tmp_path):
    records = [failed(n, "server_error", status=500 + n % 2, error=f"HTTP {500 + n % 2}: no") for n in range(4)]
    found = open_run(write_run(tmp_path, records)).summary.groups[0].causes
    assert [(one.status, one.count) for one in found] == [(500, 2), (501, 2)]


def test_a_run_without_failures_has_no_reasons(tmp_path):
    assert open_run(write_run(tmp_path, [record(0)])).summary.groups[0].causes == []
