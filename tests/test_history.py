"""Baselines at the command line, and many runs over time."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
from msgspec.structs import replace

from bench.analysis.extract import extract
from bench.analysis.history import about, change_points, course, courses, history, run_ticks, told_apart
from bench.analysis.run import open_run
from bench.analysis.sections import Sentence, charts
from bench.plan.gate import Line
from bench.report import write_findings
from tests.test_disk_comparison import command, made


def test_a_step_is_found_where_it_is_with_its_levels():
    values = [1.0, 1.01, 0.99, 1.0, 1.02, 2.0, 1.99, 2.01, 2.0]
    [change] = change_points(values)
    assert change.at == 5
    assert change.before == pytest.approx(1.004)
    assert change.after == pytest.approx(2.0)


def test_two_steps_are_found_and_even_values_have_none():
    rng = np.random.default_rng(1)
    values = np.concatenate([np.full(10, 0.0), np.full(10, 1.0), np.full(10, 0.5)]) + rng.normal(0, 0.05, 30)
    assert [change.at for change in change_points(values)] == [10, 20]
    assert change_points([0.3] * 20) == []
    assert change_points([1.0, 2.0, 3.0, 4.0]) == [], "too few runs"
    assert [change.at for change in change_points([0.3] * 5 + [0.4] * 5)] == [5]


@pytest.mark.slow
def test_runs_that_do_not_change_seldom_have_a_change_point():
    rng = np.random.default_rng(2)
    alarms = sum(bool(change_points(rng.normal(0, 0.03, 20))) for _ in range(300))
    assert alarms <= 9, "3 %, of 1 % or less"
    found = sum(bool(change_points(rng.normal(0, 0.03, 20) + np.repeat([0, 0.1], 10))) for _ in range(100))
    assert found >= 95


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Twelve runs, of which the last five are 40 % slower."""
    folder, rng = tmp_path_factory.mktemp("runs"), np.random.default_rng(3)
    for one in range(12):
        ttft = (0.5 if one < 7 else 0.7) * math.exp(rng.normal(0, 0.02))
        run = made(folder / f"run-{one:02}", ttft, seed=one, n=60)
        facts = run / "run.json"
        facts.write_text(facts.read_text().replace("2026-01-02", f"2026-01-{one + 2:02}"))
    return folder


@pytest.mark.slow
def test_a_history_says_with_which_run_a_figure_changed(runs, tmp_path):
    extracts = [extract(open_run(one)) for one in sorted(runs.iterdir())]
    [p50] = [one for one in courses(extracts) if one.line.title == "ttft p50"]
    assert [change.at for change in p50.changes] == [7]
    assert 0.005 < p50.spread < 0.05
    told = history("main", extracts)
    [sentence] = [part.text for part in told.sections[0].parts if getattr(part, "text", "").startswith("ttft p50")]
    assert "with run-07, 2026-01-09T03:04:05" in sentence
    assert len(charts(told.sections)) == len(courses(extracts))
    write_findings(told, tmp_path)
    assert (tmp_path / "history-0.png").exists()


def test_too_few_runs_are_not_called_steady_and_the_axis_counts_whole_runs(tmp_path):
    told = history("main", [extract(open_run(made(tmp_path / f"run-{one}", 0.5, n=30))) for one in range(2)])
    assert told.heading.badges[0].text == "too few runs"
    drawn = charts(told.sections)[0]
    assert drawn.x.ticks == (1.0, 2.0)
    assert drawn.note == "The axis does not begin at 0"
    assert run_ticks(45) == (5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0)


def test_a_history_of_runs_that_are_not_alike_says_so(tmp_path):
    one = extract(open_run(made(tmp_path / "one")))
    heavier = replace(one, asked=replace(one.asked, load={"users": 9, "duration": 10.0}), started_at="2026-02")
    [changes, *_] = history("main", [heavier, one, heavier]).sections
    assert [sentence.text for sentence in changes.of(Sentence)] == [
        "These runs are not alike: the load differs: load.users is 9; it was 2."
    ]
    assert not history("main", [one, replace(one, started_at="2026-02")]).sections[0].of(Sentence)


def test_a_figure_of_several_stages_is_told_with_its_stage():
    line = Line("ttft", "p50", 0.05, "lower")
    low, high = (course(line, "m", stage, (), [0.0, 0.1]) for stage in ("low", "high"))
    assert [told_apart(low, [low, high]), told_apart(low, [low])] == ["m, low", ""]
    assert about(low, [low, high]) == "m, low"


def test_runs_are_added_listed_compared_and_dropped(runs, tmp_path):
    folder = tmp_path / "baselines"
    done = command("baseline", "add", *sorted(runs.iterdir())[:3], "--dir", folder)
    assert (done.exit_code, done.stdout) == (
        0, f"{folder}/main.json holds 3 runs; 7 more and it measures how much runs differ\n",
    )  # fmt: skip
    done = command("baseline", "add", runs / "run-00", "--dir", folder)
    assert done.exit_code == 2
    assert "run-00 is in the baseline main already" in done.stderr
    assert "main: 3 runs" in command("baseline", "list", "--dir", folder).stdout
    done = command("compare", "main", runs / "run-09", "--baselines", folder, "--format", "markdown")
    assert done.exit_code == 0
    assert "first token comes" in done.stdout
    assert "8 more" not in done.stdout
    done = command("baseline", "drop", "main", "run-01", "--dir", folder)
    assert done.stdout == f"{folder}/main.json holds 2 runs\n"
    done = command("baseline", "drop", "main", "run-01", "--dir", folder)
    assert "run-01 is not in the baseline main: run-00, run-02" in done.stderr
    assert command("baseline", "drop", "main", "--dir", folder).exit_code == 0
    assert not (folder / "main.json").exists()
    done = command("baseline", "drop", "main", "--dir", folder)
    assert done.exit_code == 2
    assert f"there is no baseline main in {folder}; bench baseline add RUN makes one" in done.stderr
    assert command("baseline", "add", runs / "run-00", "--name", "other", "--dir", folder).exit_code == 0
    done = command("baseline", "drop", "main", "--dir", folder)
    assert f"there is no baseline main in {folder}; there is other" in done.stderr


def test_what_is_unlike_or_invalid_is_not_taken_unless_forced(runs, tmp_path):
    folder = tmp_path / "baselines"
    assert command("baseline", "add", runs / "run-00", "--dir", folder).exit_code == 0
    other = made(tmp_path / "other", scenario={"load": {"users": 9}}, n=40)
    done = command("baseline", "add", other, "--dir", folder)
    assert done.exit_code == 2
    assert "load.users is 9; it was 2" in done.stderr
    assert command("baseline", "add", other, "--dir", folder, "--force").exit_code == 0
    assert command("baseline", "add", made(tmp_path / "bad", failing=39, n=40), "--dir", folder).exit_code == 2
    assert command("baseline", "add", tmp_path / "gone", "--dir", folder).exit_code == 2
    assert command("baseline", "add", runs / "run-00", "--name", "../x", "--dir", folder).exit_code == 2


def test_history_takes_a_folder_of_runs(runs, tmp_path):
    shutil.copytree(runs, tmp_path / "runs")
    done = command("baseline", "history", tmp_path / "runs", "--format", "markdown")
    assert done.exit_code == 0, done.stderr
    assert "ttft p50 of m changed from" in done.stdout.replace("\\", "")
