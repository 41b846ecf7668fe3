"""summary.json and the opened run: the contract, with the figures put in coming back out."""

from __future__ import annotations

import pytest

import bench
from bench.analysis import NotARunError
from tests.runs import failed, record, shifted, write_run

STATISTICS = {"n", "mean", "p50", "p90", "p95", "p99", "max"}


def test_the_summary_keeps_its_contract(tmp_path):
    run = bench.open_run(write_run(tmp_path, [record(n) for n in range(20)] + [failed(50, "timeout")]))
    summary = run.summary
    assert {
        "schema",
        "scenario",
        "started_at",
        "duration_s",
        "validity",
        "counts",
        "groups",
        "thresholds",
        "verdict",
    } <= (summary.keys())
    assert summary["schema"] == 1
    assert summary["scenario"] == "handmade"
    assert summary["counts"] == {
        "planned": 21, "sent": 21, "recorded": 21, "ok": 20, "failed": 1, "censored": 0,
    }  # fmt: skip
    [group] = summary["groups"]
    assert {
        "model", "name", "requests", "outcomes", "error_rate", "requests_per_s", "output_tokens_per_s", "goodput",
        "prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd",
    } <= group.keys()  # fmt: skip
    for metric in ("ttft_s", "ttfa_s", "itl_s", "tpot_s", "e2e_s"):
        assert group[metric].keys() >= STATISTICS
    assert group["outcomes"] == {"ok": 20, "timeout": 1}
    assert group["error_rate"] == pytest.approx(1 / 21)
    assert group["ttft_s"]["p50"] == pytest.approx(0.5)
    assert group["requests_per_s"] == pytest.approx(2.0)
    assert group["output_tokens_per_s"] == pytest.approx(10.0)
    assert group["prompt_tokens"] == 2000
    assert group["cached_tokens"] is None
    assert group["cost_usd"] is None
    assert group["goodput"] is None


def test_warm_up_is_recorded_and_in_no_figure(tmp_path):
    warm = [record(n, stage="warmup", first_token_at=2.99) for n in range(20)]
    run = bench.open_run(write_run(tmp_path, [*warm, *(record(n) for n in range(20))]))
    assert len(run.records) == 40
    assert len(run.requests) == 20
    assert run.summary["groups"][0]["ttft_s"]["max"] == pytest.approx(0.5)


def test_each_entry_of_a_mix_has_a_group_of_its_own(tmp_path):
    requests = [{"name": name, "api": "chat", "stream": True} for name in ("a", "b")]
    records = [record(0, name="a"), record(1, name="b"), record(2, name="b", model="n")]
    run = bench.open_run(write_run(tmp_path, records, scenario={"requests": requests, "models": ["m", "n"]}))
    found = [(group["model"], group["name"], group["requests"]) for group in run.summary["groups"]]
    assert found == [("m", "all", 2), ("m", "a", 1), ("m", "b", 1), ("n", "all", 1), ("n", "a", 0), ("n", "b", 1)]


def test_goodput_is_of_all_requests_offered(tmp_path):
    records = [record(0), record(1, first_token_at=2.9), failed(2, "timeout"), failed(3, "censored")]
    run = bench.open_run(write_run(tmp_path, records, scenario={"slo": {"ttft": 0.6}}))
    assert run.summary["groups"][0]["goodput"] == pytest.approx(0.25)


def test_a_run_of_so_many_requests_is_measured_until_the_last_is_answered(tmp_path):
    records = [record(**shifted(record(0), by, by)) for by in range(9)]
    end = {"stopped_by": "requests", "measure": [1.5, 1.6], "duration_s": 11.5}
    run = bench.open_run(write_run(tmp_path, records, end=end))
    assert run.window == (1.5, 11.5)
    assert run.summary["groups"][0]["requests_per_s"] == pytest.approx(0.9)


def test_first_attempt_and_final_latency_are_kept_apart(tmp_path):
    earlier = [{"sent": 1.0, "done": 1.2, "status": 503, "outcome": "overloaded", "retry_after": None, "waited": 0.8}]
    run = bench.open_run(write_run(tmp_path, [record(n, earlier=earlier, attempts=2) for n in range(20)]))
    group = run.summary["groups"][0]
    assert group["first_attempt_s"]["p50"] == pytest.approx(0.2)
    assert group["e2e_s"]["p50"] == pytest.approx(1.0)
    assert group["attempts"] == 40


def test_the_truth_that_a_server_tells_becomes_our_error(tmp_path):
    records = [record(n, server={"arrived": 7.0, "first_token": 7.49, "last_token": 7.9}) for n in range(20)]
    truth = bench.open_run(write_run(tmp_path, records)).summary["truth"]
    assert truth["true_ttft_s"]["p50"] == pytest.approx(0.49)
    assert truth["ttft_error_s"]["p50"] == pytest.approx(0.01)
    assert truth["decoding_error_s"]["p50"] == pytest.approx(0.01)


def test_an_engines_timings_take_a_first_token_apart(tmp_path):
    records = [record(n, server={"prompt_ms": 95.0, "predicted_ms": 410.0}) for n in range(20)]
    engine = bench.open_run(write_run(tmp_path, records)).summary["engine"]
    assert engine["before_s"]["mean"] == pytest.approx(0.4)
    assert engine["rest_s"]["mean"] == pytest.approx(0.5 - 0.4 - 0.095)
    assert engine["decoding_difference_s"]["mean"] == pytest.approx(0.01)


def test_in_a_notebook_figures_are_data_frames(tmp_path):
    run = bench.open_run(write_run(tmp_path, [record(n) for n in range(20)]))
    assert run.requests["ttft_s"].median() == pytest.approx(0.5)
    assert run.groups.loc[("m", "all"), "ttft_s.p50"] == pytest.approx(0.5)


def test_a_run_that_was_killed_is_read_as_far_as_it_got(tmp_path):
    folder = write_run(tmp_path, [record(**shifted(record(0), by, by)) for by in range(5)])
    (folder / "end.json").unlink()
    run = bench.open_run(folder)
    assert run.summary["counts"]["recorded"] == 5
    assert run.summary["stopped_by"] == "killed"
    assert any("killed before its end" in doubt for doubt in run.summary["doubts"])


def test_a_folder_without_a_run_is_said_to_be_none(tmp_path):
    with pytest.raises(NotARunError, match=r"run\.json is missing; is this the folder of a run\?"):
        bench.open_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(NotARunError, match="cannot be read"):
        bench.open_run(tmp_path)
