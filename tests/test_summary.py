"""summary.json and the opened run: the contract, with the figures put in coming back out."""

from __future__ import annotations

import orjson
import pytest

import bench
from bench.analysis import NotARunError
from bench.analysis.summary import summary_json
from bench.records import read_records
from bench.report.terminal import text
from tests.runs import SIMULATOR, failed, record, shifted, write_run

STATISTICS = ["n", "mean", "p50", "p90", "p95", "p99", "p99.9", "max"]
KEYS = {
    "schema", "scenario", "started_at", "duration_s", "measured_s", "stopped_by", "seed", "validity", "doubts",
    "arrivals", "truth", "engine", "counts", "failing", "groups", "thresholds", "verdict",
}  # fmt: skip
VALIDITY = {
    "verdict", "reasons", "clock", "hub_lag_s", "send_lag_s", "cpu", "gc_share", "late_first_reads", "bounds",
    "certificate",
}  # fmt: skip
GROUP = {
    "model", "name", "requests", "outcomes", "causes", "ttft_s", "ttfa_s", "itl_s", "tpot_s", "e2e_s",
    "ttft_from_due_s", "e2e_from_due_s", "send_lag_s", "first_attempt_s", "attempts", "error_rate", "goodput",
    "zero_gap_share", "valid_tool_calls", "json_valid", "schema_valid", "requests_per_s", "output_tokens_per_s",
    "prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens", "cost_usd", "online_cost_usd",
    "output_chars", "tool_calls", "item", "items", "failed_items", "failed_item_rate", "items_per_min", "job",
}  # fmt: skip


def test_the_summary_keeps_its_contract(tmp_path):
    """Keys may be added; these stay."""
    job = {"polls": 4, "unfinished_at": 2.8, "server": {"queue_s": 0.1, "run_s": 0.7}, "steps": {"submit_s": 0.02}}
    records = [record(n, attempts=2, **job) for n in range(20)] + [failed(50, "timeout")]
    run = bench.open_run(write_run(tmp_path, records, scenario={"thresholds": ["ttft p50 < 1s"]}))
    summary = orjson.loads(summary_json(run.summary))
    assert summary.keys() >= KEYS
    assert summary["schema"] == 1
    assert summary["scenario"] == "handmade"
    assert summary["counts"] == {
        "planned": 21, "sent": 21, "recorded": 21, "ok": 20, "failed": 1, "censored": 0,
    }  # fmt: skip
    assert summary["validity"].keys() >= VALIDITY
    [group] = summary["groups"]
    assert group.keys() >= GROUP
    for metric in ("ttft_s", "ttfa_s", "itl_s", "tpot_s", "e2e_s", "first_attempt_s"):
        assert list(group[metric]) == STATISTICS
    assert group["job"].keys() >= {"polls", "unfinished_s", "uncertainty_s", "queue_s", "run_s", "submit_s"}
    assert group["causes"][0].keys() >= {"outcome", "message", "count", "kinds", "seq", "stage"}
    assert summary["thresholds"][0].keys() >= {"expression", "value", "verdict", "n", "reason"}


def test_a_group_has_the_figures_that_its_requests_make(tmp_path):
    [group] = bench.open_run(
        write_run(tmp_path, [record(n) for n in range(20)] + [failed(50, "timeout")])
    ).summary.groups
    assert group.outcomes == {"ok": 20, "timeout": 1}
    assert group.error_rate == pytest.approx(1 / 21)
    assert group.ttft_s.p50 == pytest.approx(0.5)
    assert group.requests_per_s == pytest.approx(2.0)
    assert group.output_tokens_per_s == pytest.approx(10.0)
    assert group.prompt_tokens == 2000
    assert group.cached_tokens is None
    assert group.cost_usd is None
    assert group.goodput is None


def test_warm_up_is_recorded_and_in_no_figure(tmp_path):
    warm = [record(n, stage="warmup", first_token_at=2.99) for n in range(20)]
    run = bench.open_run(write_run(tmp_path, [*warm, *(record(n) for n in range(20))]))
    assert len(run.records) == 40
    assert len(run.requests) == 20
    assert run.summary.groups[0].ttft_s.max == pytest.approx(0.5)


def test_each_entry_of_a_mix_has_a_group_of_its_own(tmp_path):
    requests = [{"name": name, "api": "chat", "stream": True} for name in ("a", "b")]
    records = [record(0, name="a"), record(1, name="b"), record(2, name="b", model="n")]
    run = bench.open_run(write_run(tmp_path, records, scenario={"requests": requests, "models": ["m", "n"]}))
    found = [(group.model, group.name, group.requests) for group in run.summary.groups]
    assert found == [("m", "all", 2), ("m", "a", 1), ("m", "b", 1), ("n", "all", 1), ("n", "a", 0), ("n", "b", 1)]


def test_goodput_is_of_all_requests_offered(tmp_path):
    records = [record(0), record(1, first_token_at=2.9), failed(2, "timeout"), failed(3, "censored")]
    run = bench.open_run(write_run(tmp_path, records, scenario={"slo": {"ttft": 0.6}}))
    assert run.summary.groups[0].goodput == pytest.approx(0.25)


def test_a_run_of_so_many_requests_is_measured_until_the_last_is_answered(tmp_path):
    records = [record(**shifted(record(0), by, by)) for by in range(9)]
    end = {"stopped_by": "requests", "measure": [1.5, 1.6], "duration_s": 11.5}
    run = bench.open_run(write_run(tmp_path, records, end=end))
    assert run.window == (1.5, 11.5)
    assert run.summary.groups[0].requests_per_s == pytest.approx(0.9)


def test_first_attempt_and_final_latency_are_kept_apart(tmp_path):
    earlier = [{"sent": 1.0, "done": 1.2, "status": 503, "outcome": "overloaded", "retry_after": None, "waited": 0.8}]
    run = bench.open_run(write_run(tmp_path, [record(n, earlier=earlier, attempts=2) for n in range(20)]))
    group = run.summary.groups[0]
    assert group.first_attempt_s.p50 == pytest.approx(0.2)
    assert group.e2e_s.p50 == pytest.approx(1.0)
    assert group.attempts == 40


def test_the_truth_that_a_server_tells_becomes_our_error(tmp_path):
    records = [record(n, server={"arrived": 7.0, "first_token": 7.49, "last_token": 7.9}) for n in range(20)]
    truth = bench.open_run(write_run(tmp_path, records, target=SIMULATOR)).summary.truth
    assert truth.true_ttft_s.p50 == pytest.approx(0.49)
    assert truth.ttft_error_s.p50 == pytest.approx(0.01)
    assert truth.decoding_error_s.p50 == pytest.approx(0.01)
    assert (truth.direct, truth.added_s) == (True, None)


STATED = {"arrived": 7.0, "first_token": 7.454, "last_token": 7.854}


@pytest.mark.parametrize(
    ("port", "scenario", "target", "direct"),
    [
        (8001, {}, {"kind": "simulator", "url": "http://127.0.0.1:8001"}, True),
        (8001, {}, {"kind": "url", "url": "http://127.0.0.1:8001/v1"}, True),
        (8001, {}, {"kind": "url", "url": "http://[::1]:8001"}, True),
        (8001, {}, {"kind": "url", "url": "http://localhost:8001"}, True),
        (8001, {}, {"kind": "url", "url": "http://127.0.0.1:4000"}, False),
        (8001, {}, {"kind": "url", "url": "http://gateway.example:8001"}, False),
        (8001, {"target": {"proxy": "http://127.0.0.1:3128"}}, {"kind": "simulator", "url": "http://127.0.0.1:8001"}, False),
        (None, {}, {"kind": "simulator", "url": "http://127.0.0.1:8001"}, True),
        (None, {}, {"kind": "url", "url": "http://127.0.0.1:8001"}, False),
    ],
)  # fmt: skip
def test_what_a_gateway_adds_is_no_error_of_ours(tmp_path, port, scenario, target, direct):
    server = STATED | ({"port": port} if port else {})
    records = [record(n, server=server) for n in range(20)]
    run = bench.open_run(write_run(tmp_path, records, scenario=scenario, target=target))
    truth = run.summary.truth
    assert truth.direct is direct
    if direct:
        assert truth.ttft_error_s.p50 == pytest.approx(0.046)
        assert truth.added_s is None
        assert "TTFT was wrong by 46.0 ms" in text(run, width=400)
    else:
        assert truth.ttft_error_s.n == 0
        assert truth.added_s.ttft.p50 == pytest.approx(0.046)
        assert truth.added_s.decoding.p50 == pytest.approx(0.0, abs=1e-9)
        assert "46.0 ms (p50) of TTFT were added on the way" in text(run, width=400)
        assert "was wrong by" not in text(run, width=400)


def test_what_a_gateway_adds_to_whole_answers_is_told_too(tmp_path):
    """Gateways drop what they do not know from the chunks of a stream, and keep it in a whole answer."""
    server = STATED | {"port": 8001, "sent": 7.9}
    nothing = {"stream": False, "arrivals": [], "first_token_at": None, "first_answer_at": None}
    records = [record(n, server=server, **nothing) for n in range(20)]
    run = bench.open_run(write_run(tmp_path, records, target={"kind": "url", "url": "http://127.0.0.1:4000"}))
    added = run.summary.truth.added_s.e2e
    assert added.n == 20
    assert f"{added.p50 * 1e3:.0f} ms (p50) of E2E were added on the way" in text(run, width=400)


def test_nothing_is_called_valid_where_nothing_succeeded(tmp_path):
    run = bench.open_run(write_run(tmp_path, [failed(n, "connect") for n in range(12)]))
    said = text(run, width=400)
    assert "No request succeeded, so nothing was measured." in said
    assert "The measurement is valid" not in said


def test_an_engines_timings_take_a_first_token_apart(tmp_path):
    records = [record(n, server={"prompt_ms": 95.0, "predicted_ms": 410.0}) for n in range(20)]
    engine = bench.open_run(write_run(tmp_path, records)).summary.engine
    assert engine.before_s.mean == pytest.approx(0.4)
    assert engine.rest_s.mean == pytest.approx(0.5 - 0.4 - 0.095)
    assert engine.decoding_difference_s.mean == pytest.approx(0.01)


def test_in_a_notebook_figures_are_data_frames(tmp_path):
    run = bench.open_run(write_run(tmp_path, [record(n) for n in range(20)]))
    assert run.requests["ttft_s"].median() == pytest.approx(0.5)
    assert run.groups.loc[("m", "all"), "ttft_s.p50"] == pytest.approx(0.5)


def test_a_run_that_was_killed_is_read_as_far_as_it_got(tmp_path):
    folder = write_run(tmp_path, [record(**shifted(record(0), by, by)) for by in range(5)])
    (folder / "end.json").unlink()
    run = bench.open_run(folder)
    assert run.summary.counts.recorded == 5
    assert run.summary.stopped_by == "killed"
    assert any("killed before its end" in doubt for doubt in run.summary.doubts)


def test_a_folder_without_a_run_is_said_to_be_none(tmp_path):
    with pytest.raises(NotARunError, match=r"run\.json is missing; is this the folder of a run\?"):
        bench.open_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(NotARunError, match="cannot be read"):
        bench.open_run(tmp_path)


def whole(seq=0, **changes):
    """An answer in one piece: sent at 2 s, done at 3 s."""
    nothing = {
        "stream": False,
        "arrivals": [],
        "first_token_at": None,
        "first_answer_at": None,
        "completion_tokens": None,
    }
    return record(seq, **nothing | {"prompt_tokens": None, "tokens_from": "none", "finish_reason": None} | changes)


def only_group(folder, records, **scenario):
    [group] = bench.open_run(write_run(folder, records, scenario=scenario)).summary.groups
    return group


def test_images_are_counted_and_not_requests(tmp_path):
    painted = [whole(n, item="image", items=8, api="txt2img") for n in range(20)]
    late = [whole(30, item="image", items=8, done=12.0)]
    refused = [failed(31, "invalid", stream=False)]
    group = only_group(tmp_path, [*painted, *late, *refused], prices={"m": {"item": 0.01}})
    assert (group.item, group.items, group.failed_items) == ("image", 168, None)
    assert group.items_per_min == pytest.approx(160 / 10 * 60)
    assert group.cost_usd == pytest.approx(1.68)


def test_a_jobs_end_lies_between_two_polls_and_the_servers_own_times_stand_beside(tmp_path):
    job = {"polls": 4, "unfinished_at": 2.8, "server": {"queue_s": 0.1, "run_s": 0.7}, "steps": {"submit_s": 0.02}}
    group = only_group(tmp_path, [whole(n, item="image", items=1, **job) for n in range(20)])
    found = group.job
    assert found.polls == 4
    assert found.unfinished_s.p50 == pytest.approx(0.8)
    assert found.uncertainty_s.p50 == pytest.approx(0.2)
    assert (found.queue_s.p50, found.run_s.p50) == pytest.approx((0.1, 0.7))
    assert found.steps["submit_s"].mean == pytest.approx(0.02)
    assert only_group(tmp_path / "plain", [record()]).job is None


def test_a_batch_costs_its_share_of_the_online_price(tmp_path):
    tokens = {"prompt_tokens": 1_000_000, "completion_tokens": 100_000, "items": 90, "failed_items": 10}
    batch = whole(api="batch", item="request", polls=3, unfinished_at=2.9, tokens_from="usage", **tokens)
    group = only_group(tmp_path, [batch], prices={"m": {"input": 1.0, "output": 10.0, "batch": 0.4, "item": 5.0}})
    assert (group.cost_usd, group.online_cost_usd) == pytest.approx((0.8, 2.0))
    assert group.failed_item_rate == pytest.approx(0.1)


def test_promises_are_kept_or_not(tmp_path):
    called = [record(n, tool_calls=2, valid_tool_calls=1 + n % 2) for n in range(10)]
    shaped = [record(20 + n, json_valid=n > 0, schema_valid=n > 1) for n in range(4)]
    group = only_group(tmp_path, [*called, *shaped, record(50), failed(51, "timeout")])
    assert (group.tool_calls, group.valid_tool_calls) == (20, 0.75)
    assert (group.json_valid, group.schema_valid) == (0.75, 0.5)
    assert only_group(tmp_path / "plain", [record()]).json_valid is None


def test_a_run_of_the_files_first_version_is_read(tmp_path):
    folder = write_run(tmp_path, [record(n) for n in range(20)])
    lines = [orjson.loads(line) for line in (folder / "records.jsonl").read_bytes().splitlines()]
    new = ("turn", "tool_calls", "valid_tool_calls", "json_valid", "schema_valid", "item", "items", "failed_items",
           "polls", "unfinished_at", "steps")  # fmt: skip
    old = [{key: value for key, value in line.items() if key not in new} for line in lines]
    (folder / "records.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in old))
    [group] = bench.open_run(folder).summary.groups
    assert group.ttft_s.p50 == pytest.approx(0.5)
    assert (group.items, group.job, group.tool_calls) == (None, None, None)
    assert len(list(read_records(folder / "records.jsonl"))) == 20


def test_a_second_turn_has_a_group_of_its_own(tmp_path):
    requests = [{"name": "w", "api": "chat", "stream": True, "tool_results": {"f": "x"}}]
    records = [record(n, name="w") for n in range(12)] + [record(n, name="w: result", turn=1) for n in range(12)]
    groups = bench.open_run(write_run(tmp_path, records, scenario={"requests": requests})).summary.groups
    assert [(group.name, group.requests) for group in groups] == [("all", 24), ("w", 12), ("w: result", 12)]
