"""What people see: the terminal's table, Markdown, the page and its pictures."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys

import pytest

from bench.analysis import open_run
from bench.analysis.charts import labelled
from bench.analysis.numerals import at_stage, dollars, duration, listed, milliseconds, number, share
from bench.analysis.sections import Cell, Column, Findings, Heading, Row, Section, Table, charts
from bench.analysis.summary import summary_json
from bench.experiments.general import findings
from bench.report import render, write_report
from bench.report.terminal import blocks, terminal, text
from tests.runs import elements, failed, record, shifted, write_run

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    base = record(0)
    records = [record(**shifted(base, 0.01 * n, n), model="ab"[n % 2], user=n % 7) for n in range(400)]
    records += [failed(500 + n, "throttled", model="b", sent=3.0 + n, done=3.1 + n) for n in range(6)]
    scenario = {
        "models": ["a", "b"],
        "thresholds": ["ttft p95 < 800ms", "error_rate < 0.1%", "ttft[a] p99 < 1s"],
        "slo": {"ttft": 0.6},
        "prices": {"a": {"input": 1.0, "output": 2.0}},
    }
    return open_run(write_run(tmp_path_factory.mktemp("run"), records, scenario=scenario))


def test_the_terminal_gets_one_table_then_thresholds_then_doubts(run):
    told = text(run, width=120)
    assert "406 requests in 10 s from 2 users in all (1 for each model): 400 ok, 6 failed" in told
    assert re.search(r"^ a +200 +0 % +500 / 500 / – ", told, re.MULTILINE)
    assert "b: 6 failed: 6 throttled" in told
    assert "✓ pass" in told
    assert re.search(r"\? inconclusive +ttft\[a\] p99 < 1s +– +200", told)
    assert "✗ fail" in told
    assert "The measurement is valid" in told
    assert "p99 not shown: needs 662 successful requests (a had 200, b had 200)" in told
    assert "\x1b[" not in told


def test_the_lengths_of_prompts_and_answers_are_means_of_what_ended_well(tmp_path):
    records = [record(0, prompt_tokens=90, completion_tokens=5), record(1, prompt_tokens=110, completion_tokens=8)]
    records += [record(2, model="silent", prompt_tokens=None)]
    broken = record(3, prompt_tokens=9000, completion_tokens=900, outcome="stream_error", error="broken")
    run = open_run(write_run(tmp_path, [*records, broken], scenario={"models": ["m", "silent"]}))
    told = text(run, width=120)
    assert re.search(r"^ m .* 100 / 6 ", told, re.MULTILINE)
    assert re.search(r"^ silent .* – / 5 ", told, re.MULTILINE)
    mine = run.summary.groups[0]
    assert (mine.mean_prompt_tokens, mine.mean_completion_tokens) == (100.0, 6.5)


def test_what_the_heads_abbreviate_is_said_once_below_the_table(run):
    for width in (80, 120):
        told = " ".join(text(run, width=width).split())
        assert told.count("TTFT: time to first token · TPOT: time per output token · ITL: inter-token latency") == 1


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_a_narrow_terminal_gets_the_table_in_blocks_with_every_column_and_no_cell_cut(run, width):
    table = text(run, width=width).split("✗ b: 6 failed")[0]  # the first one, with all its blocks
    assert "…" not in table
    assert max(map(len, table.splitlines())) <= width
    wide = next(line for line in text(run, width=400).splitlines() if line.startswith(" a "))
    blocks = [line for line in table.splitlines() if line.startswith(" a ")]
    assert sorted(cell for line in blocks for cell in cells(line)[1:]) == sorted(cells(wide)[1:])
    assert len(blocks) > 1 or width > 100


def cells(line):
    return re.split("  +", line.strip())


def test_each_block_of_a_table_names_its_rows_and_leaves_out_those_that_it_has_nothing_of():
    columns = (Column("model", text=True), Column("stage", text=True), Column("n"), Column("x" * 30), Column("y" * 30))
    rows = [Row(tuple(map(Cell, row))) for row in (("m", "raw", "1", "2", "3"), ("m", "polite", "4", "5", ""))]
    table = Table("t", "t", columns, tuple(rows))
    assert blocks(table, 200) == [[0, 1, 2, 3, 4]]
    assert blocks(table, 70) == [[0, 1, 2, 3], [0, 1, 4]]
    assert blocks(table, 10) == [[0, 1, 2], [0, 1, 3], [0, 1, 4]]
    found = Findings(Heading("run", (), "done"), (Section("s", "s", (table,)),), "")
    lines = terminal(found, width=70).splitlines()
    assert [line.split() for line in lines if line.startswith(" m ")] == [
        ["m", "raw", "1", "2"], ["m", "polite", "4", "5"], ["m", "raw", "3"],
    ]  # fmt: skip


def test_each_block_of_a_judged_table_has_the_figure_beside_its_verdict_and_whole_reasons():
    columns = (Column("verdict", text=True), Column("figure", text=True, code=True), Column("margin"), Column("n"))
    reason = "these pairs do not show on which side of the margin the candidate is"
    cells = ("✗ fail", "stream_tokens_per_s", "x" * 25, "y" * 25, reason)
    table = Table("t", "t", (*columns, Column("why", text=True, rank=9)), (Row(tuple(map(Cell, cells))),))
    found = Findings(Heading("run", (), "done"), (Section("s", "s", (table,)),), "")
    told = terminal(found, width=70)
    assert [line.split()[:3] for line in told.splitlines() if "✗" in line] == 3 * [["✗", "fail", cells[1]]]
    assert reason in " ".join(told.split())


def test_what_stands_below_a_cell_is_broken_into_lines_and_never_cut():
    columns = (Column("verdict", text=True), Column("clause", text=True))
    evidence = "60 per minute explains all but 20 of 246 answers, and 50 per minute all 246 of them"
    clause = "rpm 300: above it the refused share is what the limit implies"
    row = Row((Cell("✗ fail"), Cell(clause, detail=evidence)))
    found = Findings(Heading("run", (), "done"), (Section("s", "s", (Table("t", "t", columns, (row,)),)),), "")
    told = terminal(found, width=70)
    assert "…" not in told
    assert clause in " ".join(told.split())
    assert evidence in " ".join(told.split())
    assert " ✗ fail " in told


def test_a_report_is_written_beside_the_records(run):
    page = write_report(run)
    names = {path.name for path in run.folder.iterdir()}
    drawn = charts(findings(run).sections)
    pictures = {f"{chart.name}.png" for chart in drawn}
    assert {"ttft.png", "heat.png", "within-ttft.png", "waterfall.png"} <= pictures
    assert names >= {"summary.json", "report.md", "report.html"} | pictures
    assert all((run.folder / name).read_bytes().startswith(PNG) for name in pictures)
    assert (run.folder / "summary.json").read_bytes() == summary_json(run.summary)
    assert page == run.folder / "report.html"
    told = (run.folder / "report.md").read_text("utf-8")
    assert all(f"]({name})" in told for name in pictures)
    assert "![How many answers had which TTFT, over time](heat.png)" in told


def test_the_page_needs_nothing_from_anywhere(run):
    page = elements(render(run, "html"))
    for tag, attributes in page:
        for name in ("src", "href", "action", "srcset", "data", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    sections = [attributes["id"] for tag, attributes in page if tag == "section"]
    assert sections == [
        "glance", "comparison", "summary", "errors", "thresholds", "validity", "cost", "limits", "latency", "timeline", "definitions", "circumstances",
        "scenario",
    ]  # fmt: skip
    charts = [attributes["data-chart"] for _, attributes in page if "data-chart" in attributes]
    assert charts == ["limits", "ttft", "itl", "e2e", "within-ttft", "within-e2e", "timeline", "heat", "throughput", "outcomes", "load",
                      "waterfall"]  # fmt: skip
    assert len(render(run, "html")) < 3_000_000


def test_what_a_scenario_says_cannot_break_out_of_the_page(tmp_path):
    evil = "</script><script>alert(1)</script>"
    records = [record(n, model=evil) for n in range(3)]
    run = open_run(write_run(tmp_path, records, scenario={"models": [evil]}))
    page = render(run, "html")
    assert [tag for tag, _ in elements(page)].count("script") == 3
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page


def test_markdown_has_the_table_and_the_definitions(run):
    told = render(run, "markdown")
    assert "| a | 200 | 0 % | 500 / 500 / – |" in told
    assert "| TTFT | time to first token" in told
    assert "| ✗ fail | `error_rate < 0.1%` | 1.5 % | 406 |" in told
    assert "\n\n\n" not in told


def test_json_is_the_summary(run):
    assert json.loads(render(run, "json")) == json.loads(summary_json(run.summary))


@pytest.mark.parametrize(
    "records",
    [
        [],
        [failed(0, "connect", sent=None)],
        [record(0)],
        [failed(0, "censored")],
        [record(0, stream=False, arrivals=[], first_token_at=None, first_answer_at=None)],
        [record(0, completion_tokens=None, tokens_from="none", arrivals=[], first_token_at=None)],
    ],
    ids=["nothing", "no connection", "one answer", "censored", "not streamed", "no tokens"],
)
def test_a_run_with_hardly_anything_has_its_report_too(tmp_path, records):
    run = open_run(write_run(tmp_path, records))
    write_report(run)
    assert "handmade" in render(run, "text")


def test_a_report_needs_neither_load_nor_network():
    code = "import bench.report, bench.analysis, sys; print(sorted({'locust', 'gevent', 'httpx', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_run_of_images_shows_what_it_made_and_its_classes_side_by_side(tmp_path):
    job = {"polls": 3, "unfinished_at": 2.8, "server": {"queue_s": 0.1, "run_s": 0.7}}
    whole = {
        "stream": False,
        "arrivals": [],
        "first_token_at": None,
        "first_answer_at": None,
        "completion_tokens": None,
    }
    records = [record(n, name="ab"[n % 2], item="image", items=8, **job, **whole) for n in range(40)]
    requests = [{"name": name, "api": "txt2img", "stream": False} for name in "ab"]
    scenario = {"requests": requests, "prices": {"m": {"item": 0.01}}, "thresholds": ["items_per_min > 100"]}
    run = open_run(write_run(tmp_path, records, scenario=scenario))
    told = text(run, width=140)
    assert re.search(r"^ +unfinished|images", told, re.MULTILINE)
    assert re.search(r"m +40 +0 % +1,000 / – / – +800 / – +100 / – +700 / – +4.00 +1,920 +\$3.2000", told), told
    assert re.search("items_per_min > 100 +1,920/min", told)
    assert "tokens" not in told.splitlines()[2]
    write_report(run)
    assert (tmp_path / "timeline.png").read_bytes().startswith(PNG)
    assert [label for label, _ in labelled(run.summary.groups)] == ["a", "b"]


def test_numbers_as_people_read_them():
    assert [milliseconds(value) for value in (0.0001834, 0.0491, 1.28, None)] == ["0.183", "49.1", "1,280", "–"]
    assert [number(value) for value in (0.0, 0.5, 2.25, 12.34, 1234.5)] == ["0", "0.500", "2.25", "12.3", "1,234"]
    assert [number(value) for value in (9.996, 99.96, 0.9998)] == ["10.0", "100", "1.00"]
    assert [share(value) for value in (0.0, 0.0004, 0.0123, 0.5, 1.0, None)] == [
        "0 %",
        "0.04 %",
        "1.2 %",
        "50.0 %",
        "100 %",
        "–",
    ]
    assert [dollars(value) for value in (0.0123, 12.345, None)] == ["$0.0123", "$12.35", "–"]
    assert [duration(value) for value in (8.0, 8.25, 200.0)] == ["8 s", "8.2 s", "3 min 20 s"]
    assert [duration(value) for value in (0.0, 0.012, 179.7)] == ["0 s", "12.0 ms", "3 min 0 s"]


MANY = (
    "requests|users|processes|answers|classes|models|tokens|attempts|streams|records|failures|times|runs|stages|kinds|"
    "values|lines|pairs|changes|connections|remarks|refusals|retries|others|rows|bytes"
)


def test_a_level_of_a_sweep_is_where_something_is_and_a_stage_with_a_name_is_what_it_is_in():
    assert [at_stage(name) for name in ("16 users", "5 /s", "spike")] == ["at 16 users", "at 5 /s", "in stage spike"]


def test_of_several_words_only_the_last_follows_an_and_or_an_or():
    assert [listed([]), listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert listed(["a", "b", "c"], "or") == "a, b or c"


@pytest.mark.parametrize(
    "last", [{}, {"outcome": "censored"}, {"outcome": "timeout"}, {"outcome": "throttled", "status": 429}]
)
def test_one_of_something_is_said_in_the_singular(tmp_path, last):
    records = [record(0), *([failed(1, **last)] if last else [])]
    facts = {"load": {"users": 1, "requests": 1, "processes": 1}}
    run = open_run(write_run(tmp_path, records, scenario=facts))
    told = [render(run, form) for form in ("text", "markdown")]
    told.append(html.unescape(re.sub(r"<script.*?</script>|<[^>]+>", "\n", render(run, "html"), flags=re.DOTALL)))
    for page in told:
        assert not re.findall(rf"(?<![\w.,])1 (?:\w+ )?(?:{MANY})\b", page)
