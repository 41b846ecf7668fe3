"""The whole job: `bench run` as a user gives it, against the simulator, and what it leaves behind."""

from __future__ import annotations

import json
import resource
import signal
import sys
import time

import numpy as np
import pytest
import yaml

from bench.plan import due_times
from bench.records import OUTCOMES, files_of, read_records
from tests.conftest import bench
from tests.forks import Command

CHAT = {"prompt": {"tokens": 30}, "max_tokens": 20}


def with_faults(name: str, *faults: dict, **changes) -> dict:
    return {
        "name": name,
        "prompt": "Hi",
        "max_tokens": 5,
        "extra_body": {"simulator": {"faults": list(faults)}},
    } | changes


def test_a_run_leaves_facts_figures_and_a_report(bench_run):
    done = bench_run(models=["sim/exact"], requests=[CHAT], thresholds=["error_rate < 50%"], drawn=True)
    assert done.passed, done.err
    assert "20 requests" in done.out
    assert "✓ pass" in done.out
    assert f"Report: {done.folder}/report.html" in done.err
    names = {path.name for path in done.folder.iterdir()}
    assert names >= {
        "run.json",
        "records.jsonl",
        "health.jsonl",
        "end.json",
        "summary.json",
        "report.md",
        "report.html",
    }
    facts = json.loads((done.folder / "run.json").read_bytes())
    assert facts["scenario"]["load"]["users"] == 2
    assert facts["versions"]["locust"]
    [fit] = facts["prompt_fits"]
    assert (fit["model"], fit["api"], fit["doubt"]) == ("sim/exact", "chat", None)
    assert fit["tokens_per_word"] > 0
    summary = json.loads((done.folder / "summary.json").read_bytes())
    assert summary["counts"] == {"planned": 20, "sent": 20, "recorded": 20, "ok": 20, "failed": 0, "censored": 0}


def test_the_simulators_truth_comes_back_out_of_the_report(bench_run):
    done = bench_run(models=["sim/exact"], requests=[CHAT], load={"users": 4, "requests": 40})
    truth, group = done.run.summary.truth, done.run.summary.groups[0]
    quiet = done.run.summary.validity.verdict == "valid"  # on a machine at other work, times are less near to the truth
    assert group.ttft_s.p50 == pytest.approx(truth.true_ttft_s.p50, rel=0.05 if quiet else 0.2)
    assert 0.02 < truth.true_ttft_s.p50 < 0.09
    assert group.itl_s.p50 == pytest.approx(0.01, rel=0.1 if quiet else 0.6)  # late ones come together
    assert group.tpot_s.p50 == pytest.approx(0.01, rel=0.1 if quiet else 0.2)
    assert set(done.requests["clock"]) == {"kernel"} or sys.platform != "linux"


def test_synthetic_prompts_have_the_length_that_was_asked_for(bench_run):
    mix = [{"name": "short", "prompt": {"tokens": 60}, "max_tokens": 1},
           {"name": "long", "prompt": {"tokens": 900}, "max_tokens": 1}]  # fmt: skip
    requests = bench_run(requests=mix).requests
    means = requests.groupby("name", observed=True)["prompt_tokens"].mean()
    assert means["short"] == pytest.approx(60, rel=0.1)
    assert means["long"] == pytest.approx(900, rel=0.05)


def test_the_same_seed_sends_the_same_and_another_does_not(bench_run):
    first, again = (bench_run(requests=[CHAT]).requests for _ in range(2))
    other = bench_run(requests=[CHAT], seed=2).requests
    columns = ["model", "name", "prompt_tokens", "output_chars"]
    seen = [frame.sort_values("seq")[columns].values.tolist() for frame in (first, again, other)]
    assert seen[0] == seen[1] != seen[2]


def test_every_outcome_of_the_design_is_told_by_its_word(bench_run, tmp_path):
    mix = [
        with_faults("ok"),
        with_faults("throttled", {"kind": "error", "status": 429, "retry_after": "2"}),
        with_faults("quota", {"kind": "error", "status": 403, "reason": "NOT_ENOUGH_BALANCE"}),
        with_faults("overloaded", {"kind": "error", "status": 503}),
        with_faults("auth", {"kind": "error", "status": 401}),
        {"name": "invalid", "prompt": "Hi", "extra_body": {"max_tokens": -1}},
        with_faults("server_error", {"kind": "error", "status": 500}),
        with_faults("timeout", {"kind": "stall", "after_tokens": 2, "seconds": 5}),
        with_faults("protocol", {"kind": "reset", "after_tokens": 2}),
        with_faults("stream_error", {"kind": "error_in_stream", "after_tokens": 2}),
        with_faults("truncated", {"kind": "truncate", "after_tokens": 2}),
        with_faults("empty", {"kind": "empty"}),
        with_faults("censored", {"kind": "slow_headers", "seconds": 60}),
    ]
    load = {"users": 26, "duration": "3s", "drain": "300ms"}
    done = bench_run(requests=mix, load=load, timeouts={"gap": "500ms", "first_token": "20s"})
    requests = done.requests
    requests = requests[~((requests["outcome"] == "censored") & (requests["name"] != "censored"))]
    seen = {(str(name), str(word)) for name, word in zip(requests["name"], requests["outcome"], strict=True)}
    wanted = [word for word in OUTCOMES if word != "connect"]
    assert seen == {(word, word) for word in wanted}
    throttled = requests[requests["name"] == "throttled"]
    assert (throttled["retry_after"] == 2.0).all()
    counts = done.run.summary.counts
    assert counts.recorded == counts.sent == counts.ok + counts.failed + counts.censored


def test_nobody_listening_is_connect_and_a_run_without_success_is_never_0(bench_run):
    done = bench_run("--keep-going", target="http://127.0.0.1:9")
    assert set(done.requests["outcome"]) == {"connect"}
    assert done.run.summary.verdict == "fail"
    assert done.code == 1
    assert "20 connect" in done.out


def test_a_run_whose_first_requests_are_all_refused_stops_and_says_why(bench_run):
    done = bench_run(target="http://127.0.0.1:9", load={"users": 2, "duration": "30s", "warmup": "20s"})
    assert done.code == 1
    assert "the first 10 requests all failed, most of them with connect: no connection to 127.0.0.1:9" in done.err
    assert len(done.run.records) < 20
    assert done.run.end.stopped_by == "refused"
    assert "Connection refused" in done.run.end.because


def test_users_who_find_no_connection_wait_longer_each_time(bench_run):
    done = bench_run("--keep-going", target="http://127.0.0.1:9", load={"users": 1, "duration": "2s"})
    assert 5 <= len(done.requests) <= 60


def test_what_servers_differ_in_changes_no_outcome(bench_run):
    faults = [
        {"kind": "crlf"}, {"kind": "no_space"}, {"kind": "comments"}, {"kind": "merge", "size": 2},
        {"kind": "tokens_per_chunk", "size": 2}, {"kind": "big_token", "size": 65536, "after_tokens": 1},
        {"kind": "usage_every_chunk"}, {"kind": "close"},
    ]  # fmt: skip
    classes = [with_faults("chat", fault) | {"name": fault["kind"]} for fault in faults]
    requests = bench_run(requests=classes, load={"users": 2, "requests": 64}).requests
    assert (requests["name"].value_counts() >= 2).all()
    assert set(requests["name"]) == {fault["kind"] for fault in faults}
    assert set(requests["outcome"]) == {"ok"}
    assert set(requests["completion_tokens"]) == {5}


def test_two_events_in_one_packet_are_seen_and_said(bench_run):
    done = bench_run(models=["sim/exact"], requests=[with_faults("chat", {"kind": "merge", "size": 3}, max_tokens=30)])
    assert (done.requests["merged"] > 0).all()
    assert done.run.summary.groups[0].zero_gap_share > 0.3


def test_missing_usage_is_counted_by_events_and_said(bench_run):
    done = bench_run(requests=[with_faults("chat", {"kind": "no_usage"})])
    assert set(done.requests["tokens_from"]) == {"events"}
    assert set(done.requests["completion_tokens"]) == {5}
    assert "events were counted instead" in done.out


def test_a_connection_closed_while_idle_is_reopened_and_costs_nothing(bench_run):
    load = {"users": 2, "requests": 20, "think_time": "30ms"}
    done = bench_run(requests=[with_faults("chat", {"kind": "close_idle", "seconds": 0.005})], load=load)
    assert set(done.requests["outcome"]) == {"ok"}
    assert done.requests["reopened"].any()
    assert "between requests; bench opened new ones" in done.out


def test_retries_are_counted_and_first_and_final_latency_kept_apart(bench_run):
    faults = {"kind": "error", "status": 503, "share": 0.4, "retry_after": "0"}
    done = bench_run(requests=[with_faults("chat", faults)], retries={"attempts": 40, "backoff": "1ms"})
    requests = done.requests
    assert set(requests["outcome"]) == {"ok"}
    assert requests["attempts"].max() > 1
    retried = requests[requests["attempts"] > 1]
    assert set(retried["first_outcome"]) == {"overloaded"}
    assert (retried["first_done"] < retried["sent"]).all()
    assert done.run.summary.groups[0].first_attempt_s.n == 20


def test_an_open_loop_sends_when_due_whatever_is_in_flight(bench_run):
    slow = with_faults("chat", {"kind": "slow_headers", "seconds": 1.0})
    load = {"rate": 40, "arrivals": "poisson", "duration": "2s"}
    done = bench_run(requests=[slow], load=load, seed=5)
    requests = done.requests.sort_values("seq")
    schedule = list(due_times(40.0, "poisson", seed=5, duration=2.0))
    assert len(requests) == len(schedule) == done.run.end.planned
    assert np.diff(requests["due"]) == pytest.approx(np.diff(schedule), abs=2e-6)
    assert (requests["sent"] >= requests["due"]).all()
    overlapping = (requests["sent"] < requests["done"].min()).sum()
    assert overlapping > 20, "nothing waited for the first answers"
    assert done.run.summary.validity.send_lag_s.p50 < 0.05


def test_warm_up_is_a_stage_of_its_own(bench_run):
    done = bench_run(models=["sim/exact"], load={"users": 3, "duration": "1s", "warmup": "1s"})
    stages = set(done.run.records["stage"])
    assert stages == {"warmup", "measure"}
    begin, end = done.run.window
    assert end - begin == pytest.approx(1.0, abs=0.2)
    assert (done.requests["sent"] >= begin).all()


def test_users_spawn_at_their_rate(bench_run):
    done = bench_run(models=["sim/exact"], load={"users": 4, "spawn_rate": 4, "duration": "2s"})
    first = done.requests.groupby("user")["sent"].min().sort_values()
    assert len(first) == 4
    assert first.iloc[-1] - first.iloc[0] > 0.4


def test_each_model_is_asked_the_same_by_users_of_its_own(bench_run):
    done = bench_run(models=["sim/instant", "sim/exact"], requests=[CHAT], load={"users": 4, "requests": 30})
    requests = done.requests
    assert requests.groupby("model", observed=True).size().tolist() == [15, 15]
    assert requests.groupby("user")["model"].nunique().tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    "load",
    [{"users": 6, "requests": 41}, {"rate": 60, "requests": 41}, {"users": [4, 6], "requests": 20}],
    ids=["closed", "open", "sweep"],
)
def test_several_processes_send_what_one_would(bench_run, load):
    one, two = (bench_run(requests=[CHAT], models=["sim/instant"], load=load | {"processes": n}) for n in (1, 2))
    columns = ["seq", "model", "name", "prompt_tokens", "output_chars"]
    seen = [done.requests.sort_values(["stage", "seq"])[columns].values.tolist() for done in (one, two)]
    assert seen[0] == seen[1]
    assert set(two.requests["worker"]) == {0, 1}
    assert two.run.summary.counts == one.run.summary.counts
    assert {line.worker for line in two.run.health} == {0, 1}
    for worker in (0, 1):
        assert {one.worker for one in read_records(two.folder / f"records-{worker}.jsonl")} == {worker}
        assert (two.folder / f"health-{worker}.jsonl").stat().st_size
    if "rate" in load:
        dues = [done.requests.sort_values("seq")["due"].to_numpy() for done in (one, two)]
        assert np.diff(dues[0]) == pytest.approx(np.diff(dues[1]), abs=2e-6)


def test_more_processes_than_users_can_fill_are_refused(bench_run):
    done = bench_run(load={"users": 3, "requests": 10, "processes": 4})
    assert done.code == 2
    assert "every model needs one in each process: 4 or more are expected" in done.err


def records_of(out) -> list:
    """Of the only run there."""
    [folder] = out.iterdir()
    return [record for path in files_of(folder, "records") for record in read_records(path)]


def interrupted(tmp_path, *, times: int, drain: str, processes: int = 1) -> tuple[int, str, float, list]:
    scenario = {
        "target": "simulator", "models": ["sim/exact"], "seed": 1,
        "requests": [with_faults("slow", {"kind": "stall", "after_tokens": 1, "seconds": 2})],
        "load": {"users": 2, "duration": "60s", "requests": 1000, "drain": drain, "processes": processes},
    }  # fmt: skip
    began, done = interrupt(tmp_path, scenario, lambda text: bool(text), times=times)
    return done.returncode, " ".join(done.stdout.split()), time.monotonic() - began, records_of(tmp_path / "out")


def interrupt(tmp_path, scenario, ready, *, times: int = 1):
    """Press Ctrl-C as soon as the records and steps of a run are such. Returns when, and what the command came to."""
    file, out = tmp_path / "scenario.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(scenario))
    with Command(["run", file, "--out", out]) as process:
        while not ready("".join(path.read_text() for path in out.glob("*/*.jsonl"))):
            assert process.poll() is None
            time.sleep(0.05)
        began = time.monotonic()
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        done = process.wait(60)
    assert "Traceback" not in done.stderr
    return began, done


BETWEEN_LEVELS = {
    "target": "simulator", "models": ["sim/instant"], "requests": [CHAT],
    "load": {"users": [1, 2], "duration": "0.5s", "pause": "100s"},
}  # fmt: skip
DISCOVERY = {
    "kind": "rate_limit", "models": ["sim/exact"], "requests": [CHAT], "fit": False, "discover": ["requests"],
    "target": {"simulator": {"limits": [{"kind": "sliding_log", "limit": 3, "window": 600, "models": ["sim/exact"]}]}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("scenario", "ready", "says"),
    [
        (BETWEEN_LEVELS, lambda text: '"ended_by":"duration"' in text, "requests in 0.5 s from 1 user"),
        (DISCOVERY, lambda text: '"throttled"' in text, "3 requests were admitted, then none"),
    ],
)
def test_ctrl_c_reports_what_was_learned_in_pauses_and_bursts_too(tmp_path, scenario, ready, says):
    _, done = interrupt(tmp_path, scenario, ready)
    text = " ".join(done.stdout.split())
    assert "Interrupted after " in text
    assert says in text
    [end] = (tmp_path / "out").glob("*/end.json")
    assert json.loads(end.read_text())["stopped_by"] == "interrupt"


def test_a_burst_ends_with_the_time_of_its_budget(tmp_path):
    scenario = DISCOVERY | {"discover": [], "contract": {"rpm": 60}, "budget": {"requests": 100, "duration": "2s"}}
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(scenario))
    done = bench("run", file, "--out", tmp_path / "out")
    assert "its budget was used up" in " ".join(done.stdout.split())
    [steps] = (tmp_path / "out").glob("*/steps.jsonl")
    burst = json.loads(steps.read_text().splitlines()[0])
    assert (burst["name"], burst["ended_by"], burst["planned"]) == ("rpm: below", "budget", 54)
    assert burst["ended"] - burst["began"] < 30.0  # the schedule of all 54 takes a minute


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_ends_the_load_drains_and_still_reports(tmp_path, processes):
    code, out, _, records = interrupted(tmp_path, times=1, drain="20s", processes=processes)
    assert code in (0, 3)
    assert "Interrupted after " in out
    assert "was interrupted" in out
    assert "never sent" not in out, "what an interrupt kept from being sent was not due"
    assert {record.outcome for record in records} == {"ok"}
    assert list((tmp_path / "out").glob("*/report.html"))


def test_a_second_ctrl_c_does_not_wait_for_answers(tmp_path):
    _, out, took, records = interrupted(tmp_path, times=2, drain="60s")
    assert "censored" in {record.outcome for record in records}
    assert "had no answer yet when the run ended" in out
    assert took < 20


def test_a_disk_that_is_full_ends_the_run_with_a_message(tmp_path):
    scenario = {
        "target": "simulator",
        "models": ["sim/instant"],
        "requests": [CHAT],
        "load": {"users": 2, "duration": "30s"},
    }
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(scenario))

    done = bench("run", file, "--out", tmp_path / "out", limits={resource.RLIMIT_FSIZE: (20_000, 20_000)})
    assert done.returncode == 3
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr
    [folder] = (tmp_path / "out").iterdir()
    assert len(list(read_records(folder / "records.jsonl"))) > 5, "what was written stays readable"


def test_too_few_file_descriptors_are_said_before_the_start(tmp_path):
    scenario = {"target": "simulator", "models": ["m"], "requests": [CHAT], "load": {"users": 500, "duration": "1s"}}
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(scenario))
    done = bench("run", file, "--out", tmp_path / "out", limits={resource.RLIMIT_NOFILE: (256, 256)})
    assert done.returncode == 3
    assert "each process needs 564 file descriptors, but the limit is 256; raise the limit" in done.stderr


def test_a_secret_reaches_no_file_and_no_terminal(tmp_path, new_simulator):
    secret = "sk-do-not-write-me-down"
    with new_simulator(key="another") as url:
        scenario = {
            "target": {"url": url, "key": "${SECRET_KEY}", "headers": {"X-Echo": "${SECRET_KEY}"}},
            "models": ["sim/fast"], "requests": [CHAT], "load": {"users": 1, "requests": 3},
        }  # fmt: skip
        file = tmp_path / "scenario.yaml"
        file.write_text(yaml.safe_dump(scenario))
        done = bench("run", file, "--out", tmp_path / "out", env={"SECRET_KEY": secret, "PATH": ""})
    assert "3 auth" in done.stdout
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert secret not in done.stdout + done.stderr
    assert secret.encode() not in written


def test_the_records_of_a_run_are_records(bench_run):
    done = bench_run()
    records = list(read_records(done.folder / "records.jsonl"))
    assert len(records) == 20
    assert {record.outcome for record in records} <= set(OUTCOMES)
