"""The simulated provider, seen by clients that no one here wrote: httpx, and OpenAI's own."""

from __future__ import annotations

import json
import random
import ssl
import subprocess
import sys
import time

import httpx
import pytest

from bench.simulator.config import Model
from bench.simulator.engine import Engine
from bench.simulator.tokens import tokenize
from tests.conftest import bench


def client(url: str, key: str = "any"):
    import openai  # here: it takes a second, and every process of pytest imports every module of tests

    return openai.OpenAI(base_url=f"{url}/openai", api_key=key, max_retries=0)


def ask(url: str, *, faults: list | None = None, path: str = "/v1/chat/completions", **body) -> httpx.Response:
    asked = {"model": "sim/instant", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4} | body
    if faults:
        asked["simulator"] = {"faults": faults}
    return httpx.post(url + path, json=asked, timeout=20)


def test_openais_client_gets_an_answer(simulator):
    answer = client(simulator).chat.completions.create(
        model="sim/instant", messages=[{"role": "user", "content": "Hi there"}], max_tokens=6
    )
    assert answer.choices[0].finish_reason == "length"
    assert len(answer.choices[0].message.content.split()) == 6
    assert answer.usage.completion_tokens == 6
    assert answer.usage.prompt_tokens > 2


def test_openais_client_streams(simulator):
    stream = client(simulator).chat.completions.create(
        model="sim/instant", messages=[{"role": "user", "content": "Hi"}], max_tokens=6, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert len(text.split()) == 6
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 6
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[0].choices[0].delta.role == "assistant"


def test_a_stream_and_a_whole_answer_say_the_same(simulator):
    same = {"model": "sim/instant", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20, "seed": 4}
    whole = client(simulator).chat.completions.create(**same)
    again = client(simulator).chat.completions.create(**same)
    assert whole.choices[0].message.content == again.choices[0].message.content


def test_completions_answer_and_stream(simulator):
    openai_client = client(simulator)
    whole = openai_client.completions.create(model="sim/instant", prompt="Once", max_tokens=3)
    assert len(whole.choices[0].text.split()) == 3
    pieces = openai_client.completions.create(model="sim/instant", prompt="Once", max_tokens=3, stream=True)
    assert len("".join(piece.choices[0].text for piece in pieces if piece.choices).split()) == 3


def test_a_reasoning_model_thinks_before_it_answers(new_simulator):
    thinker = {"ttft": [0, 0], "decode_per_token": 0, "reasoning_tokens": 4}
    with new_simulator(models={"t": thinker}) as url:
        stream = client(url).chat.completions.create(
            model="t", messages=[{"role": "user", "content": "Hi"}], max_tokens=7, stream=True
        )
        deltas = [chunk.choices[0].delta for chunk in stream if chunk.choices]
        kinds = ["r" if getattr(delta, "reasoning_content", None) else "a" for delta in deltas if
                 getattr(delta, "reasoning_content", None) or delta.content]  # fmt: skip
        assert kinds == ["r"] * 4 + ["a"] * 3
        usage = ask(url, model="t", max_tokens=7).json()["usage"]
        assert usage["completion_tokens_details"]["reasoning_tokens"] == 4


def test_n_answers_have_an_index_each(simulator):
    answer = ask(simulator, n=3).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert answer["usage"]["completion_tokens"] == 12
    texts = {choice["message"]["content"] for choice in answer["choices"]}
    assert len(texts) == 3


@pytest.mark.parametrize("kept", [True, False])
def test_a_stop_sequence_ends_the_answer(new_simulator, kept):
    with new_simulator(models={"m": {"ttft": [0, 0], "decode_per_token": 0}}, stop_in_text=kept) as url:
        stopped = ask(url, model="m", max_tokens=1000, stop=[" river"]).json()["choices"][0]
        assert stopped["finish_reason"] == "stop"
        assert stopped["message"]["content"].endswith(" river") == kept
        assert stopped["message"]["content"].count(" river") == kept


def test_models_are_listed_and_found_by_an_id_with_a_slash(simulator):
    openai_client = client(simulator)
    listed = {model.id for model in openai_client.models.list()}
    assert listed == {"sim/fast", "sim/slow", "sim/thinker", "sim/exact", "sim/instant", "sim/painter"}
    found = httpx.get(f"{simulator}/openai/v1/models/sim/fast").json()
    assert found["id"] == "sim/fast"
    assert found["context_size"] > 0


@pytest.mark.parametrize("base", ["/openai/v1", "/openai", "/v3/openai", "/v1"])
def test_all_the_providers_bases_answer(simulator, base):
    assert ask(simulator, path=f"{base}/chat/completions").status_code == 200


def test_a_key_is_asked_for(new_simulator):
    import openai

    with new_simulator(key="right") as url:
        assert httpx.get(f"{url}/v1/models").status_code == 403
        assert httpx.get(f"{url}/v1/models", headers={"Authorization": "Bearer wrong"}).status_code == 401
        with pytest.raises(openai.AuthenticationError, match="failed to authenticate"):
            client(url, "wrong").models.list()
        assert client(url, "right").models.list()


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"model": "nobody"}, 404, "MODEL_NOT_FOUND"),
        ({"messages": []}, 400, "INVALID_REQUEST_BODY"),
        ({"max_tokens": 0}, 400, "INVALID_REQUEST_BODY"),
        ({"temperature": 3}, 400, "INVALID_REQUEST_BODY"),
        ({"top_p": "high"}, 400, "INVALID_REQUEST_BODY"),
        ({"n": 1000}, 400, "INVALID_REQUEST_BODY"),
    ],
)
def test_errors_have_the_providers_form(simulator, changes, status, reason):
    answer = ask(simulator, **changes)
    assert answer.status_code == status
    assert answer.json()["code"] == status
    assert answer.json()["reason"] == reason
    assert answer.json()["message"]


def test_errors_may_have_openais_form(new_simulator):
    with new_simulator(errors="openai") as url:
        assert ask(url, model="nobody").json()["error"]["message"] == "model: nobody not found"


def test_an_unknown_route_is_told_in_plain_text(simulator):
    answer = httpx.get(f"{simulator}/nothing")
    assert (answer.status_code, answer.text) == (404, "404 page not found")


def test_a_body_that_is_not_json_is_refused(simulator):
    answer = httpx.post(f"{simulator}/v1/chat/completions", content=b"{")
    assert answer.status_code == 400


def test_overflow_lowers_the_answers_length_silently(new_simulator):
    with new_simulator(models={"m": {"ttft": [0, 0], "decode_per_token": 0, "context_size": 20}}) as url:
        usage = ask(url, model="m", max_tokens=1000).json()["usage"]
        assert usage["prompt_tokens"] + usage["completion_tokens"] <= 20


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "crlf"}, b"\r\n\r\n"),
        ({"kind": "no_space"}, b"data:{"),
        ({"kind": "comments"}, b": keep-alive\n\n"),
        ({"kind": "bad_json"}, b'"content"\n'),
        ({"kind": "error_in_stream", "style": "openai"}, b'{"error": {"message"'),
        ({"kind": "big_token", "size": 65536}, b"x" * 65536),
        ({"kind": "usage_every_chunk"}, b'"completion_tokens": 1,'),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_a_fault_is_seen_on_the_wire(simulator, fault, expected):
    assert expected in ask(simulator, stream=True, faults=[fault]).content


@pytest.mark.parametrize("kind", ["refuse", "reset"])
def test_a_broken_connection_is_one(simulator, kind):
    with pytest.raises(httpx.TransportError):
        ask(simulator, stream=True, faults=[{"kind": kind}])


@pytest.mark.parametrize("kind", ["truncate", "no_terminator"])
def test_a_truncated_stream_has_no_terminator(simulator, kind):
    assert b"[DONE]" not in ask(simulator, stream=True, faults=[{"kind": kind}]).content


def test_several_tokens_may_come_in_an_event_and_several_events_in_a_write(simulator):
    tokens = ask(simulator, stream=True, max_tokens=6, faults=[{"kind": "tokens_per_chunk", "size": 3}]).text
    assert tokens.count('"content"') == 1 + 2, "the role's empty content, and two of three words"
    pieces = ask(simulator, stream=True, max_tokens=6, faults=[{"kind": "split", "size": 5}])
    plain = ask(simulator, stream=True, max_tokens=6)
    assert pieces.text.count("data:") == plain.text.count("data:")


@pytest.mark.parametrize(("size", "together"), [(1, False), (4, False), (100, True)])
def test_tokens_that_are_held_back_to_be_merged_were_handed_over_when_they_went_out(simulator, size, together):
    asked = {"model": "sim/exact", "stream": True, "max_tokens": 5}
    streamed = ask(simulator, **asked, faults=[{"kind": "merge", "size": size}]).text
    truth = json.loads(streamed.split("data: ")[-2])["simulator"]
    assert truth["arrived"] < truth["first_token"] <= truth["last_token"]
    assert (truth["first_token"] == truth["last_token"]) == together


def test_usage_is_withheld_where_the_fault_says_so(simulator):
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    assert '"completion_tokens"' in ask(simulator, **asked).text
    assert '"completion_tokens"' not in ask(simulator, **asked, faults=[{"kind": "no_usage"}]).text


def test_the_simulator_tells_the_truth_about_itself(simulator):
    before = time.monotonic()
    answer = ask(simulator, model="sim/exact", max_tokens=5)
    truth = answer.json()["simulator"]
    assert before < truth["arrived"] < truth["first_token"] < truth["last_token"] <= truth["sent"] < time.monotonic()
    assert truth["last_token"] - truth["first_token"] == pytest.approx(0.04, abs=0.001)
    streamed = ask(simulator, model="sim/exact", max_tokens=5, stream=True).text
    last = json.loads(streamed.split("data: ")[-2])
    assert last["simulator"]["arrived"] < last["simulator"]["first_token"] < last["simulator"]["last_token"]


def test_a_cached_prompt_is_said_to_be_and_is_faster(new_simulator):
    model = {"ttft": [0, 0], "prefill_per_token": 0.0002, "decode_per_token": 0, "cache": {"block": 64, "minimum": 64}}
    with new_simulator(models={"m": model}) as url:
        long = [{"role": "user", "content": "word " * 1000}]
        cold, warm = (ask(url, model="m", messages=long).json() for _ in range(2))
        assert cold["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
        assert warm["usage"]["prompt_tokens_details"]["cached_tokens"] == 960
        took = [one["simulator"]["first_token"] - one["simulator"]["arrived"] for one in (cold, warm)]
        assert took[1] < took[0] / 2


def test_a_crowd_slows_decoding_down():
    engine = Engine(Model(ttft=(0.1, 0.1), decode_per_token=0.01, batch_size=2, batch_slowdown=0.5))
    assert engine.offsets(random.Random(0), prefill=0, tokens=3) == pytest.approx([0.1, 0.11, 0.12])
    engine.counts.running = 4
    assert engine.offsets(random.Random(0), prefill=0, tokens=3) == pytest.approx([0.1, 0.12, 0.14])


def test_it_serves_over_tls(tmp_path):
    import trustme

    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    key.write_bytes(certificate.private_key_pem.bytes())
    command = [sys.executable, "-m", "bench.simulator", "--until-eof", "--certfile", str(chain), "--keyfile", str(key)]
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        url = json.loads(process.stdout.readline())["url"].replace("127.0.0.1", "localhost")
        assert url.startswith("https://")
        assert httpx.get(f"{url}/v1/models", verify=trusted).status_code == 200
        process.stdin.close()
        process.wait(10)


def test_the_command_serves_what_a_file_says(tmp_path):
    file = tmp_path / "provider.yaml"
    file.write_text("models:\n  own/model: {ttft: [0, 0]}\n")
    with subprocess.Popen(
        [sys.executable, "-m", "bench", "simulate", str(file), "--port", "0"], stderr=subprocess.PIPE, text=True
    ) as process:
        line = process.stderr.readline()
        url = line.split(" at ")[1].split(";")[0]
        assert httpx.get(f"{url}/models").json()["data"][0]["id"] == "own/model"
        process.terminate()


def test_a_mistake_in_a_providers_file_has_its_line(tmp_path):
    file = tmp_path / "provider.yaml"
    file.write_text("models:\n  m:\n    ttft: [0, 0]\n    spede: 3\n")
    done = bench("simulate", file)
    assert done.returncode == 2
    assert f"{file}:4: models.m.spede is not known" in done.stderr


def test_a_text_becomes_numbers_and_comes_back(simulator):
    text = "Hello, naïve  señor!\n"
    told = httpx.post(f"{simulator}/tokenize", json={"prompt": text}).json()
    assert told["count"] == len(told["tokens"]) == len(tokenize(text))
    assert httpx.post(f"{simulator}/detokenize", json={"tokens": told["tokens"]}).json() == {"prompt": text}
    assert httpx.post(f"{simulator}/detokenize", json={"tokens": [10**9]}).status_code == 400


def test_it_is_healthy_and_counts_under_vllms_names(new_simulator):
    with new_simulator(key="sk-0123456789") as url:
        assert [httpx.get(f"{url}/{route}").status_code for route in ("health", "ping", "metrics")] == [200] * 3
        key = {"authorization": "Bearer sk-0123456789"}
        for stream in (True, False):
            body = {"model": "sim/instant", "prompt": "a b c", "max_tokens": 5, "stream": stream}
            httpx.post(f"{url}/v1/completions", json=body, headers=key)
        lines = httpx.get(f"{url}/metrics").text.splitlines()
    labels = 'engine="0",model_name="sim/instant"'
    assert f"vllm:prompt_tokens_total{{{labels}}} 6" in lines
    assert f"vllm:generation_tokens_total{{{labels}}} 10" in lines
    assert f'vllm:request_success_total{{finished_reason="length",{labels}}} 2' in lines
    assert f"vllm:time_to_first_token_seconds_count{{{labels}}} 2" in lines


@pytest.mark.parametrize(
    ("route", "body", "kind"),
    [
        ("embeddings", {"input": "x"}, "early_role"),
        ("rerank", {"query": "x", "documents": ["x"]}, "merge"),
        ("moderations", {"input": "x"}, "task_fails"),
        ("images/generations", {"prompt": "x"}, "crlf"),
        ("audio/speech", {"input": "x", "voice": "a"}, "no_length"),
        ("messages", {"max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}, "big_token"),
        ("responses", {"input": "x"}, "tokens_per_chunk"),
        ("completions", {"prompt": "x"}, "broken_json"),
    ],
)
def test_a_fault_that_an_api_cannot_have_is_refused(simulator, route, body, kind):
    asked = {"model": "sim/instant", "simulator": {"faults": [{"kind": kind}]}} | body
    answer = httpx.post(f"{simulator}/v1/{route}", json=asked)
    assert answer.status_code == 400
    assert f"does not support the fault {kind}; it works with" in answer.text


def test_a_model_whose_jobs_fail_answers_what_is_no_job(new_simulator):
    with new_simulator(
        models={"m": {"ttft": [0, 0], "faults": [{"kind": "task_fails"}, {"kind": "no_webhook"}]}}
    ) as url:
        answer = httpx.post(f"{url}/v1/completions", json={"model": "m", "prompt": "x", "max_tokens": 1})
    assert answer.status_code == 200


@pytest.mark.parametrize("kind", ["truncate", "reset", "bad_json", "stall"])
@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("embeddings", {"input": "x"}),
        ("moderations", {"input": "x"}),
        ("images/generations", {"prompt": "x"}),
        ("rerank", {"query": "x", "documents": ["x"]}),
    ],
)
def test_a_fault_holds_where_the_answer_is_one_body(simulator, route, body, kind):
    asked = {"model": "sim/instant", "simulator": {"faults": [{"kind": kind, "seconds": 0.05}]}} | body
    try:
        answer = httpx.post(f"{simulator}/v1/{route}", json=asked)
        answer.json()
        happened = "stall" if answer.elapsed.total_seconds() >= 0.05 else "nothing"
    except httpx.TransportError:
        happened = "reset"
    except ValueError:
        happened = "garbled"
    assert happened == {"truncate": "garbled", "bad_json": "garbled"}.get(kind, kind)


@pytest.mark.parametrize("kind", ["truncate", "reset", "bad_json", "big_token"])
def test_a_fault_after_more_tokens_than_there_are_never_happens(simulator, kind):
    fault = {"kind": kind, "after_tokens": 1000}
    asked = {"model": "sim/instant", "prompt": "x", "stream": True, "max_tokens": 3, "simulator": {"faults": [fault]}}
    assert httpx.post(f"{simulator}/v1/completions", json=asked).text.count("data: ") >= 3


def test_limits_hold_over_http_and_each_answer_tells_which(new_simulator):
    limits = [{"limit": 2, "window": 3600, "kind": "sliding_log"}]
    throttling = {"headers": ["openai"], "retry_after": "seconds"}
    with new_simulator(limits=limits, throttling=throttling, errors="openai") as url:
        answers = [ask(url) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0"]
        assert [answer.json()["simulator"]["limit_left"] for answer in answers] == [1, 0, 0]
        assert 3590 < int(answers[2].headers["retry-after"]) <= 3600
        assert answers[2].json()["error"]["type"] == "requests"


def test_tokens_images_and_concurrency_are_limited_over_http(new_simulator):
    limits = [
        {"resource": "output_tokens", "limit": 100, "window": 3600},
        {"resource": "images", "limit": 8, "window": 3600},
        {"kind": "concurrency", "limit": 1, "models": ["slow"]},
    ]
    models = {"sim/instant": {"ttft": [0, 0]}, "p": {"task_seconds": [0, 0]}, "slow": {"ttft": [1, 1]}}
    with new_simulator(limits=limits, models=models) as url:
        assert [ask(url, max_tokens=60).status_code for _ in range(2)] == [200, 429]
        assert ask(url, max_tokens=40).status_code == 200
        paint = {"model": "p", "prompt": "a", "n": 5}
        told = [httpx.post(url + "/v1/images/generations", json=paint).status_code for _ in range(2)]
        assert told == [200, 429]
        with httpx.stream("POST", url + "/v1/chat/completions", json={
            "model": "slow", "messages": [{"role": "user", "content": "x"}], "stream": True, "max_tokens": 2
        }) as slow:  # fmt: skip
            assert slow.status_code == 200
            assert ask(url, model="slow").status_code == 429
            slow.read()
        assert ask(url, model="slow", max_tokens=1).status_code == 200
