"""The certificate: which loads this machine measures well, and how reports cite it."""

from __future__ import annotations

import json
import os

import msgspec
import pytest

from bench.analysis import open_run
from bench.analysis.calibration import Step, certificate, leading, step_of
from bench.analysis.certificate import certificate_path, cited, keep, kept_certificate, sentence
from bench.analysis.credibility import credibility
from bench.cli.calibrate import MOST_PROCESSES
from bench.experiments.calibrate import Trial, scenario_of, trials
from bench.records import Machine
from tests.conftest import bench
from tests.pages import PAGES, text_of
from tests.runs import SIMULATOR, record, write_run

MACHINE = Machine(cpu_model="x", cpus=2)


def step(streams: int, error: float | None = 0.0002, **changes) -> Step:
    facts = {
        "kind": "closed", "processes": 1, "streams": streams, "tokens_per_s": 95.0 * streams, "requests_per_s": streams,
        "expected": 1.0, "error_p50": 0.0001, "error_p99": error, "error_max": 0.001, "decoding_p99": 0.001,
        "hub_lag_p99": 0.001, "send_lag_p99": None, "cpu": 0.2, "server_cpu": 0.3, "server_late_p99": 0.0005,
        "verdict": "valid",
    }  # fmt: skip
    return Step(**facts | changes)


def test_the_certified_load_is_the_highest_below_which_every_step_was_exact():
    steps = [step(50), step(75, 0.004), step(100), step(200, 0.004), step(400, 0.004), step(800)]
    assert [one.streams for one in leading(steps)] == [50, 100], "one that a neighbour spoilt does not end it"
    found = certificate(steps, machine=MACHINE, date="2026-01-02")
    assert found.streams == 100
    assert found.tokens_per_s == 9500
    assert found.more_processes is None


def test_a_step_whose_load_never_came_is_not_exact():
    assert not step(100, expected=0.8).exact
    assert step(100, expected=0.8).broken
    assert not step(100, None).exact


def made(asked, carried: int) -> list[Trial]:
    """The trials of a machine that measures up to so many streams, or short answers a second."""
    found = [next(asked)]
    while True:
        good = found[-1].level <= carried
        try:
            found.append(asked.send(step(found[-1].level, 0.0002 if good else 0.5)))
        except StopIteration:
            return found


def test_no_step_has_more_processes_than_users():
    asked = made(trials(quick=True, processes=30), carried=10_000)
    assert [one.level for one in asked if one.processes == 30] == [50]
    most = made(trials(quick=True, processes=MOST_PROCESSES), carried=10_000)
    assert [one.level for one in most if one.processes > 1] == [MOST_PROCESSES]


def test_a_load_is_raised_until_two_steps_in_a_row_are_broken():
    asked = made(trials(quick=False, processes=2), carried=200)
    alone = [trial.level for trial in asked if trial.kind == "closed" and trial.processes == 1]
    assert alone == [25, 50, 100, 200, 400, 600]
    assert [trial.level for trial in asked if trial.processes == 2] == [200, 400, 600], "the loads around the limit"
    assert [trial.level for trial in asked if trial.kind == "short"] == [100, 300, 1000]


def test_a_quick_look_makes_few_runs_of_each_kind():
    asked = made(trials(quick=True, processes=2), carried=10_000)
    assert [(trial.kind, trial.level, trial.processes) for trial in asked] == [
        ("closed", 25, 1), ("closed", 50, 1), ("closed", 25, 2), ("closed", 50, 2),
        ("whole", 12, 1), ("open", 300, 1), ("short", 100, 1), ("short", 300, 1),
    ]  # fmt: skip
    for trial in asked:
        load = scenario_of(trial, "http://localhost:1", quick=True).load
        assert (load.rate if trial.open_loop else load.users) == trial.level


def test_the_sentence_says_error_streams_tokens_and_what_more_processes_buy():
    steps = [step(50), step(100), step(200, processes=2), step(1, kind="short", requests_per_s=1500.0)]
    assert sentence(certificate(steps, machine=MACHINE, date="d")) == (
        "This machine measures TTFT within 0.2 ms (p99) up to 100 streams and 9,500 tokens/s, "
        "and 1,500 short answers a second; more processes gain 2.0 times that."
    )
    bought = certificate([step(50), step(100), step(100, 0.1, processes=2)], machine=MACHINE, date="d")
    assert sentence(bought).endswith("; more processes gain nothing while the server shares the same cores.")
    assert "did not measure TTFT within 1 ms" in sentence(certificate([step(50, 0.1)], machine=MACHINE, date="d"))


def test_a_step_is_read_off_its_runs_summary(tmp_path):
    server = {"arrived": 7.0, "first_token": 7.499, "last_token": 7.899}
    run = open_run(write_run(tmp_path, [record(n, server=server) for n in range(700)], target=SIMULATOR))
    found = step_of(
        run.summary, kind="closed", processes=1, streams=2, wanted=700.0, server={"cpu": 0.5, "late_p99": 0.001}
    )
    assert found.error_p99 == pytest.approx(0.001, abs=1e-6)
    assert found.expected == pytest.approx(0.5)
    assert found.hub_lag_p99 == pytest.approx(0.0002)


def test_a_run_cites_the_certificate_of_its_own_machine_only(tmp_path):
    mine = certificate([step(100)], machine=MACHINE, date="2026-01-02")
    other = certificate([step(100)], machine=Machine(cpu_model="x", cpus=64), date="2026-01-02")
    assert cited(mine, MACHINE) is mine
    assert cited(other, MACHINE) is None
    assert cited(None, MACHINE) is None


@pytest.mark.parametrize("damaged", ["", "[]", "{}", '{"streams": "many"}', "[" * 2000])
def test_a_certificate_that_cannot_be_understood_is_none(tmp_path, damaged):
    (tmp_path / "certificate.json").write_text(damaged)
    assert kept_certificate(tmp_path / "certificate.json") is None


@pytest.mark.parametrize(("streams", "verdict"), [(1, "suspect"), (100, "valid")])
def test_more_tokens_than_were_calibrated_make_a_run_suspect(tmp_path, streams, verdict):
    mine = certificate([step(streams)], machine=MACHINE, date="2026-01-02")
    folder = write_run(tmp_path, [record(n) for n in range(300)])
    facts = json.loads((folder / "run.json").read_bytes()) | {"certificate": msgspec.to_builtins(mine)}
    (folder / "run.json").write_text(json.dumps(facts))
    summary = open_run(folder).summary
    assert summary.validity.verdict == verdict
    assert "Calibrated 2026-01-02." in credibility(summary)[-1]


def test_without_a_certificate_a_report_says_so(tmp_path):
    told = credibility(open_run(write_run(tmp_path, [record(0)])).summary)
    assert "bench calibrate finds out" in told[-1]


def test_the_certificate_is_kept_for_the_user(tmp_path):
    path = certificate_path({"XDG_STATE_HOME": str(tmp_path)})
    keep(certificate([step(100)], machine=MACHINE, date="d"), path)
    assert json.loads(path.read_bytes())["streams"] == 100
    assert certificate_path({"HOME": "/home/u"}).as_posix() == "/home/u/.local/state/bench/certificate.json"


def test_the_table_has_a_row_a_step_and_the_curve_is_a_picture():
    steps = [step(50), step(100, 0.004), step(100, processes=2), step(300, kind="open")]
    from bench.report.calibration import curve, table

    told = table(steps)
    assert "100 streams, 2 processes" in told
    assert "0.100 / 4.00 / 1.00" in told
    assert curve(steps).startswith(b"\x89PNG")


def test_the_readmes_command_calibrates_this_machine(tmp_path):
    assert any("bench calibrate --quick" in text_of(page) for page in PAGES)
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    done = bench("calibrate", "--quick", "--out", tmp_path / "curve.png", env=environ)
    assert done.returncode == 0, done.stderr
    assert "25 streams" in done.stdout
    assert "This machine " in done.stdout
    assert (tmp_path / "curve.png").exists()
    assert not (tmp_path / "bench").exists(), "a quick look is no certificate"
