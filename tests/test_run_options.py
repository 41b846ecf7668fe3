"""What `bench run` prints and where it writes, as its options say."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from bench.cli import main
from tests.runs import failed, record, write_run


def test_json_is_the_only_thing_on_stdout_and_the_folder_is_the_one_that_was_named(bench_run, tmp_path):
    done = bench_run("--format", "json", "--verbose", "--name", "mine")
    assert json.loads(done.stdout)["scenario"] == "scenario"
    assert (done.folder.name, f"folder: {done.folder}" in done.err) == ("mine", True)
    assert "users, 20 sent" in done.err
    again = bench_run("--name", "mine")
    assert (again.code, "nothing is written over" in again.err) == (2, True)


def test_quiet_leaves_the_first_line_and_no_progress(bench_run):
    done = bench_run("--quiet", thresholds=["error_rate < 50%"])
    assert done.err == ""
    [line] = done.stdout.splitlines()
    assert done.passed
    assert line.startswith(("scenario  pass", "scenario  inconclusive · measurement invalid"))
    assert "20 requests" in line


def test_quiet_json_is_one_document_and_nothing_else(bench_run):
    done = bench_run("--quiet", "--format", "json")
    assert done.err == ""
    assert json.loads(done.stdout)["counts"]["recorded"] == 20


@pytest.mark.parametrize(("options", "words"), [
    (["--quiet", "--verbose"], "only one is expected"),
    (["--open", "--no-report"], "there is no page to show"),
    (["--name", "../x"], "the name of a folder is expected"),
    (["--name", ""], "the name of a folder is expected"),
])  # fmt: skip
def test_options_that_do_not_go_together_are_told(options, words, tmp_path):
    done = CliRunner().invoke(main, ["run", "scenarios/quickstart.yaml", "--out", str(tmp_path / "out"), *options])
    assert (done.exit_code, words in done.stderr) == (2, True)
    assert not (tmp_path / "out").exists()


def test_the_report_exits_as_the_run_did(tmp_path):
    limits = {"thresholds": ["error_rate < 50%"]}
    good = write_run(tmp_path / "good", [record(seq=seq) for seq in range(40)], scenario=limits)
    bad = write_run(tmp_path / "bad", [failed(seq, "server_error") for seq in range(40)], scenario=limits)
    assert [CliRunner().invoke(main, ["report", str(one)]).exit_code for one in (good, bad)] == [0, 1]
