"""Every API end to end: the scenarios that come along, shortened, against the simulator, and what their reports say."""

from __future__ import annotations

import pytest

from tests.conftest import Done, bench, plainly_simulated


@pytest.fixture
def shortened(tmp_path, simulator):
    """`bench run` of a scenario that comes along, with so many requests."""

    def run(name: str, users: int, requests: int, *settings: str) -> Done:
        file = f"scenarios/{name}.yaml"
        load = f"load={{users: {users}, requests: {requests}, drain: 60s}}"
        there = [f"target={simulator}"] if plainly_simulated(file) else []
        options = [option for one in (*there, "thresholds=[]", load, *settings) for option in ("--set", one)]
        process = bench("run", file, "--no-report", "--out", tmp_path / "out", *options)
        assert (tmp_path / "out").exists(), process.stderr
        return Done(process, next((tmp_path / "out").iterdir()))

    return run


def of_class(done: Done, name: str):
    rows = done.requests
    return rows[rows["name"] == name]


def group(done: Done, name: str):
    return next(one for one in done.run.summary.groups if one.name == name)


def test_tools_are_called_and_told_their_results_in_a_turn_of_its_own(shortened):
    done = shortened("tools", 20, 40)
    assert done.passed, done.err
    calls, results = of_class(done, "weather"), of_class(done, "weather: result")
    assert (calls["tool_calls"] == 1).all()
    assert set(calls["finish_reason"]) == {"tool_calls"}
    assert (calls["ttft_s"] < calls["e2e_s"]).mean() > 0.5  # on a busy machine some come in one piece
    assert len(results) == len(calls)
    assert set(results["seq"]) == set(calls["seq"])
    assert (results["prompt_tokens"] > calls["prompt_tokens"].max()).all()
    assert (results["sent"].to_numpy() > 0).all()
    assert group(done, "weather: result").valid_tool_calls is None
    counts = done.run.summary.counts
    assert counts.planned == counts.sent == counts.recorded == 40 + len(results)
    assert "weather: result" in done.out


def test_arguments_that_are_not_json_or_do_not_fit_are_counted_and_judged(bench_run):
    tool = {"function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}}
    broken = {
        kind: {"ttft": [0, 0], "decode_per_token": 0, "faults": [{"kind": kind, "share": 0.5}]}
        for kind in ("broken_json", "unfit_json")
    }
    requests = [{"prompt": "Hi", "max_tokens": 50, "tools": [tool]}]
    load, thresholds = {"users": 2, "requests": 80}, ["valid_tool_calls > 90%"]
    done = bench_run(
        target={"simulator": {"models": broken}},
        models=list(broken),
        requests=requests,
        load=load,
        thresholds=thresholds,
    )
    for kind in broken:
        rows = done.requests[done.requests["model"] == kind]
        assert 5 < rows["valid_tool_calls"].sum() < 35
    assert done.run.summary.thresholds[0].verdict == "fail"


def test_structured_answers_are_held_against_their_schema(shortened, bench_run):
    done = shortened("structured", 15, 30)
    assert of_class(done, "plain")["json_valid"].isna().all()
    assert (of_class(done, "json object")["json_valid"] == 1).all()
    assert (of_class(done, "json schema")["schema_valid"] == 1).all()
    assert group(done, "json schema").schema_valid == 1.0
    faults = [{"kind": "unfit_json"}]
    form = {"type": "json_schema", "json_schema": {"schema": {"type": "object", "properties": {}}}}
    unfit = bench_run(
        requests=[{"prompt": "Hi", "response_format": form, "extra_body": {"simulator": {"faults": faults}}}]
    )
    assert (unfit.requests["json_valid"] == 1).all()
    assert (unfit.requests["schema_valid"] == 0).all()


def test_an_answer_that_max_tokens_cuts_is_no_json(bench_run):
    done = bench_run(requests=[{"prompt": "Hi", "max_tokens": 2, "response_format": "json_object"}])
    assert (done.requests["json_valid"] == 0).all()
    assert set(done.requests["finish_reason"]) == {"length"}


def test_images_are_seen_by_a_model(shortened):
    done = shortened("vision", 25, 25)
    assert done.passed, done.err
    assert (of_class(done, "low detail")["prompt_tokens"] < 120).all()
    assert (of_class(done, "two in high detail")["prompt_tokens"] > 2 * 765).all()


def test_reasoning_is_told_from_the_answer_under_every_name(shortened):
    done = shortened("reasoning", 24, 24)
    for name in ("thinking", "as details"):
        rows = of_class(done, name)
        assert (rows["reasoning_tokens"] == 30).all()
        assert (rows["ttfa_s"] > rows["ttft_s"]).all()
    calm = of_class(done, "not thinking")
    assert (calm["reasoning_tokens"] == 0).all()
    assert (calm["ttfa_s"] == calm["ttft_s"]).all()


@pytest.mark.parametrize("style", ["reasoning", "think"])
def test_other_spellings_of_reasoning_are_read(bench_run, style):
    model = {"ttft": [0, 0], "decode_per_token": 0.02, "reasoning_tokens": 10, "reasoning_style": style}
    done = bench_run(
        target={"simulator": {"models": {"m": model}}}, models=["m"], requests=[{"prompt": "Hi", "max_tokens": 15}]
    )
    assert (done.requests["ttfa_s"] > done.requests["ttft_s"]).all()
    assert (done.requests["reasoning_tokens"] == 10).all()
    assert (done.requests["output_chars"] > 0).all()


def test_anthropics_messages_think_call_tools_and_cache(shortened):
    done = shortened("messages", 25, 75)
    assert done.passed, done.err
    assert (of_class(done, "thinking")["reasoning_tokens"] > 0).all()
    assert (of_class(done, "tool")["valid_tool_calls"] == 1).all()
    assert len(of_class(done, "tool: result")) == len(of_class(done, "tool"))
    cached = of_class(done, "cached").sort_values("sent")
    assert cached["cached_tokens"].iloc[-1] > 2000
    assert (cached["prompt_tokens"] >= cached["cached_tokens"] + cached["cache_write_tokens"]).all()
    assert set(of_class(done, "whole")["finish_reason"]) <= {"end_turn", "max_tokens"}
    assert (done.run.summary.truth.ttft_error_s.n) > 20


def test_embeddings_and_documents_are_counted_not_requests(shortened):
    embedded = shortened("embeddings", 2, 20)
    assert set(of_class(embedded, "batch of 32")["items"]) == {32}
    assert set(of_class(embedded, "one")["prompt_tokens"].between(150, 250)) == {True}
    assert group(embedded, "all").item == "embedding"


def test_documents_are_ranked(shortened):
    ranked = shortened("rerank", 2, 20)
    assert set(of_class(ranked, "ten")["items"]) == {10}
    assert set(of_class(ranked, "a hundred")["items"]) == {100}
    assert (of_class(ranked, "a hundred")["prompt_tokens"] > 5000).all()


def test_models_are_listed_under_load(bench_run):
    done = bench_run(requests=[{"api": "models"}])
    assert done.passed, done.err
    assert (done.requests["items"] == 6).all()


def test_a_batch_is_one_request_with_many_inside(shortened):
    done = shortened("batch", 2, 4, "requests.0.requests=50", "requests.1.requests=200")
    nightly, cancelled = of_class(done, "nightly"), of_class(done, "cancelled")
    assert (nightly["items"] + nightly["failed_items"] == 50).all()
    assert set(nightly["finish_reason"]) == {"completed"}
    assert set(cancelled["finish_reason"]) <= {"cancelled"}
    assert (nightly["completion_tokens"] > 40 * nightly["items"]).all()
    assert {"steps.upload_s", "steps.create_s", "steps.fetch_s"} <= set(nightly)
    whole = group(done, "all")
    assert whole.cost_usd == pytest.approx(whole.online_cost_usd / 2)
    assert whole.failed_item_rate == pytest.approx(whole.failed_items / (whole.items + whole.failed_items))


def test_images_are_counted_and_their_end_is_known_to_lie_between_two_polls(shortened):
    done = shortened("images", 6, 36)
    assert done.passed, done.err
    assert set(of_class(done, "eight images")["items"]) == {8}
    assert set(of_class(done, "flux")["items"]) == {2}
    tasks = done.requests[done.requests["polls"].notna()]
    assert (tasks["unfinished_s"] < tasks["e2e_s"]).all()
    assert (tasks["server.run_s"] > 0).all()
    assert (tasks["server.queue_s"] + tasks["server.run_s"] <= tasks["e2e_s"] + 0.005).all()
    whole = group(done, "all")
    assert whole.items == done.requests["items"].sum() > len(done.requests)
    assert whole.items_per_min > 60 * whole.requests_per_s
    assert whole.cost_usd == pytest.approx(0.003 * whole.items)
    assert "bench asked for the results of jobs again and again" in done.out


def test_a_webhook_tells_the_moment(shortened):
    done = shortened("webhook", 6, 20)
    told = of_class(done, "told")
    assert (told["polls"] == 0).all()
    assert (told["unfinished_s"] == told["e2e_s"]).all()
    assert (told["e2e_s"] - told["server.run_s"] - told["server.queue_s"]).median() < 0.1
    assert (of_class(done, "asked")["polls"] > 0).all()


def test_videos_and_sounds_are_made_and_the_first_sound_is_timed(shortened):
    speech = shortened("speech", 8, 40)
    streamed = of_class(speech, "streamed")
    assert (streamed["ttft_s"] < streamed["e2e_s"]).mean() > 0.5  # on a busy machine some come in one piece
    assert set(streamed["finish_reason"]) == {"stop"}
    assert set(speech.requests["item"]) == {"sound"}


def test_a_video_is_made(shortened):
    done = shortened("video", 2, 2, "target={simulator: {models: {sim/film: {task_seconds: [0.2, 0.3]}}}}")
    assert set(done.requests["item"]) == {"video"}
    assert (done.requests["polls"] >= 1).all()


def test_every_parameter_is_taken_and_what_is_wrong_on_purpose_is_refused(shortened):
    done = shortened("parameters", 20, 60)
    refused = of_class(done, "refused on purpose")
    assert set(refused["outcome"]) <= {"invalid"}
    assert set(done.requests[done.requests["name"] != "refused on purpose"]["outcome"]) == {"ok"}
    assert (of_class(done, "three answers")["completion_tokens"] == 120).all()


@pytest.mark.parametrize(
    ("request_", "faults", "outcome", "words"),
    [
        ({"api": "txt2img"}, "task_fails", "stream_error", "the task failed: simulated failure"),
        ({"api": "txt2img", "result": "webhook", "poll": {"timeout": 0.5}}, "no_webhook", "timeout", "no webhook within"),
        ({"api": "embeddings"}, "bad_json", "protocol", "not JSON"),
        ({"api": "messages", "max_tokens": 9}, "truncate", "truncated", "without a stop reason"),
        ({"api": "messages", "max_tokens": 9}, "error_in_stream", "stream_error", "error object inside HTTP 200"),
        ({"api": "messages", "max_tokens": 9}, "no_terminator", "truncated", "event: message_stop"),
        ({"api": "speech"}, "no_terminator", "truncated", "its last event"),
        ({"api": "flux"}, "error", "server_error", "HTTP 500"),
    ],
)  # fmt: skip
def test_what_goes_wrong_has_its_word_for_every_api(bench_run, request_, faults, outcome, words):
    model = {"ttft": [0, 0], "decode_per_token": 0, "task_seconds": [0, 0], "faults": [{"kind": faults}]}
    provider = {"simulator": {"models": {"sim/painter": model}}}
    load = {"users": 1, "requests": 2}
    done = bench_run(target=provider, models=["sim/painter"], requests=[{"prompt": "Hi", **request_}], load=load)
    assert set(done.requests["outcome"]) == {outcome}, done.requests["error"].iloc[0]
    assert words in done.requests["error"].iloc[0]


def test_an_unknown_model_fails_each_request_of_a_batch_and_not_the_batch(bench_run):
    requests = [{"api": "batch", "prompt": "Hi", "requests": 5, "poll": {"interval": 0.1}}]
    done = bench_run(models=["nobody"], requests=requests, load={"users": 1, "requests": 1})
    assert set(done.requests["finish_reason"]) == {"completed"}
    assert set(done.requests["failed_items"]) == {5}


def test_a_batch_that_expires_is_an_error_with_what_was_done(bench_run):
    provider = {"batch_rate": 20, "batch_expiry": 0.3, "models": {"m": {}}}
    requests = [{"api": "batch", "prompt": "Hi", "max_tokens": 3, "requests": 40, "poll": {"interval": 0.1}}]
    done = bench_run(target={"simulator": provider}, models=["m"], requests=requests, load={"users": 1, "requests": 1})
    assert set(done.requests["outcome"]) == {"stream_error"}
    assert "the batch is expired" in done.requests["error"].iloc[0]


def test_two_processes_share_jobs_and_turns(bench_run):
    tool = {"function": {"name": "f"}}
    requests = [
        {"name": "tool", "prompt": "Hi", "max_tokens": 9, "tools": [tool], "tool_results": {"f": "x"}},
        {"name": "told", "api": "txt2img", "prompt": "Hi", "result": "webhook"},
    ]
    model = {"ttft": [0, 0], "decode_per_token": 0, "task_seconds": [0.01, 0.02]}
    done = bench_run(
        "--processes",
        2,
        target={"simulator": {"models": {"m": model}}},
        models=["m"],
        requests=requests,
        load={"users": 4, "requests": 40},
    )
    assert set(done.requests["outcome"]) == {"ok"}, done.err
    counts = done.run.summary.counts
    assert counts.planned == counts.recorded == 40 + len(of_class(done, "tool: result"))
    assert len(of_class(done, "tool: result")) == len(of_class(done, "tool")) > 0
    assert (of_class(done, "told")["polls"] == 0).all()


def test_a_stage_of_so_many_requests_ends_at_the_same_moment_in_all_processes(bench_run):
    stages = [{"users": 4, "requests": 30}, {"name": "rate", "rate": 40, "duration": "500ms"}]
    simulator = {"models": {"m": {"ttft": [0.0, 0.2], "decode_per_token": 0}}}  # so that one is done before the other
    done = bench_run(target={"simulator": simulator}, models=["m"], load={"processes": 2, "stages": stages})
    counted, rate = done.run.stages
    assert (counted.ended_by, counted.sent, rate.ended_by) == ("requests", 30, "duration"), done.err
    assert counted.ended == rate.began
    assert rate.ended - rate.began == pytest.approx(0.5)


def test_models_are_listed_by_a_command(new_simulator, tmp_path):
    told = bench("models", "simulator", "--match", "fast").stdout
    assert "sim/fast" in told
    assert "sim/slow" not in told
    assert "32,768" in told
    assert "0.025" in told
    with new_simulator(key="sk-0123456789") as url:
        refused = bench("models", url)
        assert refused.returncode == 3
        assert "HTTP 403" in refused.stderr
        environ = {"BENCH_API_KEY": "sk-0123456789", "PATH": "/usr/bin:/bin"}
        assert "sim/slow" in bench("models", url, env=environ).stdout
    missing = bench("models", "http://127.0.0.1:9", "--key-from", "NO_SUCH_KEY")
    assert missing.returncode == 2
    assert "the environment has no variable of that name" in missing.stderr
    assert bench("models", "http://127.0.0.1:9").returncode == 3
    assert bench("models", "nonsense").returncode == 2


@pytest.mark.parametrize(("terminator", "outcome"), [(None, "ok"), ("optional", "ok"), ("required", "truncated")])
def test_that_a_server_never_ends_its_streams_is_learned_with_the_fit_and_told(bench_run, terminator, outcome):
    model = {"ttft": [0, 0], "decode_per_token": 0, "faults": [{"kind": "no_terminator"}]}
    target = {"simulator": {"models": {"m": model}}} | ({"terminator": terminator} if terminator else {})
    requests = [{"prompt": {"tokens": 30}, "max_tokens": 3}]
    done = bench_run(target=target, models=["m"], requests=requests, load={"users": 1, "requests": 2})
    assert set(done.requests["outcome"]) == {outcome}
    assert ("streams ended without the API's end mark" in done.out) is (outcome == "ok")
