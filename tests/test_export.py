"""`bench export`: a run as tables, and as llm-d's Benchmark Report."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from bench.analysis import open_run
from bench.analysis.export import benchmark_report, groups
from bench.cli import main
from bench.metrics import FLOORS
from tests.runs import STEP, failed, record, write_run


def run_of(folder, n=200, **changes):
    good = [record(seq=seq, **changes) for seq in range(n)]
    return write_run(
        folder, [*good, record(seq=0, stage="warmup"), failed(n, "server_error", error="=1+1 \x07 of\nit")]
    )


def export(folder, form, *more):
    return CliRunner().invoke(main, ["export", str(folder), "--to", form, *map(str, more)])


@pytest.mark.parametrize("form", ["csv", "parquet", "xlsx"])
def test_every_request_is_a_row_with_its_figures(tmp_path, form):
    folder, out = run_of(tmp_path / "run"), tmp_path / f"mine.{form}"
    done = export(folder, form, "--out", out)
    assert (done.exit_code, done.stdout.strip()) == (0, str(out)), done.output
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet, "xlsx": pd.read_excel}[form]
    table, requests = read(out), open_run(folder).records
    assert len(table) == 202
    assert table["measured"].sum() == 201
    assert table["ttft_s"].dropna().tolist() == pytest.approx(requests["ttft_s"].dropna().tolist(), rel=1e-12)
    assert table["outcome"].tolist() == requests["outcome"].tolist()


def test_a_csv_can_be_printed_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = run_of(tmp_path / "run", n=3)
    printed = export(folder, "csv", "--out", "-").stdout
    assert pd.read_csv(StringIO(printed))["outcome"].tolist() == ["ok"] * 4 + ["server_error"]
    for form in ("parquet", "xlsx", "br"):
        done = export(folder, form, "--out", "-")
        assert (done.exit_code, done.stdout) == (2, "")
        assert "--out -: only csv is printed" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_sheet_runs_nothing_that_a_server_said(tmp_path):
    folder = run_of(tmp_path / "run", n=3)
    assert export(folder, "xlsx").exit_code == 0
    assert pd.read_excel(folder / "requests.xlsx")["error"].tolist()[-1] == "'=1+1  of\nit"


def test_the_benchmark_report_has_the_runs_figures_in_its_units(tmp_path):
    run = open_run(run_of(tmp_path / "run"))
    [group] = groups(run)
    told = benchmark_report(run, group)
    performance = told["results"]["request_performance"]["aggregate"]
    assert (told["version"], performance["requests"]["total"], performance["requests"]["failures"]) == ("0.2.1", 201, 1)
    first = performance["latency"]["time_to_first_token"]
    assert (first["units"], first["p50"], first["p95"]) == ("s", group.ttft_s.p50, group.ttft_s.p95)
    assert first["min"] <= first["p1"] <= first["p25"] <= first["p50"] <= first["max"]
    assert "p99" not in first, f"200 answers are fewer than {FLOORS['p99']}"
    assert performance["latency"]["time_per_output_token"]["units"] == "s/token"
    assert performance["throughput"]["output_token_rate"] == {"units": "tokens/s", "mean": group.output_tokens_per_s}
    whole = performance["latency"]["normalized_time_per_output_token"]["mean"]
    assert whole == pytest.approx(performance["latency"]["request_latency"]["mean"] / record().completion_tokens)
    standard = told["scenario"]["load"]["standardized"]
    assert (standard["tool"], standard["input_seq_len"]["distribution"]) == ("bench", "fixed")


def test_a_report_of_each_stage_says_its_own_load(tmp_path):
    stages = [STEP | {"name": name, "began": 10.0 * n, "ended": 10.0 * n + 9} | load
              for n, (name, load) in enumerate({"8 users": {"users": 8}, "2.5/s": {"users": None, "rate": 2.5}}.items())]  # fmt: skip
    records = [
        record(seq=n, stage=("8 users", "2.5/s")[n % 2], sent=1 + 10 * (n % 2), done=2 + 10 * (n % 2))
        for n in range(40)
    ]
    run = open_run(write_run(tmp_path / "run", records, steps=stages))
    loads = [benchmark_report(run, group)["scenario"]["load"]["standardized"] for group in groups(run)]
    assert [(one.get("concurrency"), one.get("rate_qps")) for one in loads] == [(8, None), (None, 2.5)]


def test_a_report_for_each_model_in_a_file_of_its_own(tmp_path):
    both = [record(seq=seq, model="ab"[seq % 2]) for seq in range(40)]
    folder = write_run(tmp_path / "run", both, scenario={"models": ["a", "b"]})
    done = export(folder, "br")
    names = [line.rpartition("/")[2] for line in done.stdout.split()]
    assert names == ["benchmark_report.measure.a.json", "benchmark_report.measure.b.json"]
    told = json.loads((folder / names[1]).read_text())
    assert told["run"]["uid"] == "run:measure:b"


def test_two_models_whose_names_make_one_files_name_have_two_reports(tmp_path):
    models = ["org/x", "org-x", "Org-x"]
    every = [record(seq=seq, model=models[seq % 3]) for seq in range(30)]
    folder = write_run(tmp_path / "run", every, scenario={"models": models})
    done = export(folder, "br")
    told = [json.loads(Path(line).read_text()) for line in done.stdout.split()]
    assert {one["run"]["uid"] for one in told} == {f"run:measure:{model}" for model in models}, done.output


def test_what_is_no_run_is_told(tmp_path):
    done = export(tmp_path, "csv")
    assert (done.exit_code, "Error: " in done.stderr) == (2, True)
