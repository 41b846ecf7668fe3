"""What makes a measurement suspect or invalid, and what a reader should doubt."""

from __future__ import annotations

import pytest

from bench.analysis import open_run
from tests.runs import failed, record, write_run


def second(**changes):
    healthy = {"t": 3.0, "worker": 0, "hub_lag_s": [0.0003] * 90, "cpu": 0.2, "gc_s": 0.0, "users": 2, "in_flight": 2}
    return healthy | {"clock_step_s": 0.0} | changes


def validity_of(folder, records, *, health=None, **end):
    return open_run(write_run(folder, records, health=health or [second()], end=end)).summary["validity"]


def test_a_healthy_run_is_valid_and_says_how_it_measured(tmp_path):
    found = validity_of(tmp_path, [record(n) for n in range(20)])
    assert found["verdict"] == "valid"
    assert found["reasons"] == []
    assert found["clock"] == "kernel"
    assert found["hub_lag_s"]["p99"] == pytest.approx(0.0003)
    assert found["send_lag_s"] is None


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({"cpu": 0.9}, "suspect", "90% of a core"),
        ({"cpu": 0.99}, "invalid", "bottleneck"),
        ({"hub_lag_s": [0.05] * 50}, "suspect", "event loop was late by 50 ms"),
        ({"hub_lag_s": [0.5] * 50}, "invalid", "use fewer users"),
        ({"gc_s": 0.1}, "suspect", "garbage collection stopped the client for 10%"),
        ({"clock_step_s": 1.5}, "suspect", "wall clock was set 1 times"),
    ],
)
def test_a_client_that_did_not_keep_up_is_called_out(tmp_path, changes, verdict, words):
    found = validity_of(tmp_path, [record(n) for n in range(20)], health=[second(**changes)])
    assert found["verdict"] == verdict
    assert words in found["reasons"][0]


def test_without_kernel_stamps_a_late_loop_weighs_more(tmp_path):
    late = [second(hub_lag_s=[0.01] * 50)]
    stamped = validity_of(tmp_path / "a", [record(n) for n in range(20)], health=late)
    unstamped = validity_of(tmp_path / "b", [record(n, clock="user") for n in range(20)], health=late)
    assert stamped["verdict"] == "valid"
    assert unstamped["verdict"] == "suspect"


def test_late_sending_weighs_in_an_open_loop(tmp_path):
    records = [record(n, due=1.5) for n in range(20)]
    scenario = {"load": {"rate": 5.0, "duration": 10.0}}
    run = open_run(write_run(tmp_path, records, scenario=scenario))
    assert run.summary["validity"]["verdict"] == "invalid"
    assert "500.0 ms after they were due" in run.summary["validity"]["reasons"][0]


def test_requests_that_were_due_and_never_sent_are_counted(tmp_path):
    found = validity_of(tmp_path, [record(n) for n in range(20)], planned=40)
    assert found["verdict"] == "invalid"
    assert "20 of 40 requests that were due were never sent" in found["reasons"][0]


def test_a_request_without_its_record_makes_the_run_invalid(tmp_path):
    found = validity_of(tmp_path, [record(n) for n in range(20)], sent=21, planned=21)
    assert found["verdict"] == "invalid"
    assert "1 of 21 requests left no record" in found["reasons"][0]


def test_tokens_that_shared_late_reads_are_called_out(tmp_path):
    merged = [record(n, merged=4, read_delay=0.03) for n in range(20)]
    assert validity_of(tmp_path / "late", merged)["verdict"] == "invalid"
    the_servers_doing = [record(n, merged=4, read_delay=0.0001) for n in range(20)]
    assert validity_of(tmp_path / "server", the_servers_doing)["verdict"] == "valid"


def test_without_health_nobody_knows(tmp_path):
    folder = write_run(tmp_path, [record(n) for n in range(20)])
    (folder / "health.jsonl").unlink()
    assert open_run(folder).summary["validity"]["verdict"] == "suspect"


@pytest.mark.parametrize(
    ("records", "end", "words"),
    [
        ([record(n) for n in range(20)], {"stopped_by": "interrupt"}, "was interrupted"),
        ([record(0), failed(1, "censored")], {}, "1 requests were still unanswered"),
        ([record(0, tokens_from="events")], {}, "content events were counted"),
        ([record(n) for n in range(20)], {}, "p90 and beyond of m (takes 64 answers)"),
        ([record(0, reopened=True)], {}, "1 kept-alive connections"),
    ],
)
def test_doubts_are_said_aloud(tmp_path, records, end, words):
    run = open_run(write_run(tmp_path, records, end=end))
    assert any(words in doubt for doubt in run.summary["doubts"])


def test_models_that_answer_at_different_length_are_not_compared_by_their_end(tmp_path):
    records = [record(0), record(1, model="n", completion_tokens=50)]
    run = open_run(write_run(tmp_path, records, scenario={"models": ["m", "n"]}))
    assert any("compare TTFT and TPOT rather than E2E" in doubt for doubt in run.summary["doubts"])


def test_a_run_without_warm_up_is_told_so(tmp_path):
    run = open_run(write_run(tmp_path, [record(0)], scenario={"load": {"users": 2, "duration": 10.0}}))
    assert any("no warm-up" in doubt for doubt in run.summary["doubts"])


def test_a_worker_that_died_makes_the_run_invalid(tmp_path):
    found = validity_of(tmp_path, [record(n) for n in range(20)], stopped_by="worker")
    assert found["verdict"] == "invalid"
    assert "a worker process died" in found["reasons"][0]


def test_the_busiest_of_several_processes_counts(tmp_path):
    lines = [second(worker=0, cpu=0.1), second(worker=1, cpu=0.9), second(worker=1, cpu=0.94)]
    found = validity_of(tmp_path, [record(n) for n in range(20)], health=lines)
    assert found["cpu"] == pytest.approx(0.92)
    assert found["verdict"] == "suspect"


def test_waiting_as_a_server_asks_is_no_late_sending(tmp_path):
    first = {"sent": 2.0001, "done": 2.1, "status": 429, "outcome": "throttled", "retry_after": 2.0, "waited": 2.0}
    records = [record(n, due=2.0, sent=4.1, done=5.0, first_token_at=4.5, first_answer_at=4.5, arrivals=[(4.5, 5)],
                      earlier=[first], attempts=2) for n in range(20)]  # fmt: skip
    run = open_run(write_run(tmp_path, records, scenario={"load": {"rate": 2.0, "duration": 10.0, "warmup": 1.0}}))
    assert run.summary["validity"]["verdict"] == "valid", run.summary["validity"]["reasons"]
    assert run.summary["validity"]["send_lag_s"]["max"] == pytest.approx(0.0001)
