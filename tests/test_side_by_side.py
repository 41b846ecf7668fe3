"""Several runs in one page."""

from __future__ import annotations

import json

from bench.analysis.run import open_run
from bench.analysis.sections import Table, charts
from bench.analysis.side_by_side import side_by_side
from tests.test_disk_comparison import command, made


def test_runs_stand_side_by_side_in_one_table_with_a_colour_each(tmp_path):
    runs = [open_run(made(tmp_path / name, ttft, n=80)) for name, ttft in (("old", 0.5), ("new", 0.7))]
    told = side_by_side(runs)
    [table] = told.sections[0].of(Table)
    assert [row.cells[0].text for row in table.rows] == ["old", "new"]
    assert [column.title for column in table.columns][:4] == ["run", "model", "n", "errors"]
    first = charts(told.sections)[0]
    assert [(one.title, one.role) for one in first.series] == [("old", "model:0"), ("new", "model:1")]
    names = [chart.name for chart in charts(told.sections)]
    assert len(names) == len(set(names))
    assert "no difference was tested" in told.sections[1].parts[0].text


def test_runs_of_one_model_each_share_their_charts_though_the_models_differ(tmp_path):
    folders = [
        made(tmp_path / name, ttft, n=80, model=name, scenario={"models": [name]})
        for name, ttft in (("old", 0.5), ("new", 0.7))
    ]
    runs = [open_run(folder) for folder in folders]
    drawn = charts(side_by_side(runs).sections)
    assert [chart.title for chart in drawn] == [
        "TTFT side by side",
        "TPOT side by side",
        "E2E side by side",
        "TTFT over time",
    ]
    assert [[one.title for one in chart.series] for chart in drawn[:3]] == [["old", "new"]] * 3


def test_the_command_writes_one_page_for_several_runs(tmp_path):
    folders = [made(tmp_path / name, n=20, seed=place) for place, name in enumerate(("old", "new"))]
    done = command("report", *folders, "--format", "json", "--out", tmp_path / "page")
    assert done.exit_code == 0, done.stderr
    assert [one["scenario"] for one in json.loads(done.stdout)] == ["handmade", "handmade"]
    assert (tmp_path / "page" / "report.html").exists()
    assert command("report", folders[0], "--out", tmp_path / "page").exit_code == 2
