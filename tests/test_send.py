"""`bench send`: one request, as a run would send it, shown whole and without secrets."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.conftest import bench

KEY = "sk-0123456789abcdef"
SCENARIO = {
    "target": {"simulator": {}, "headers": {"x-team": KEY[::-1]}},
    "models": ["sim/fast", "sim/instant"],
    "requests": [
        {"name": "first", "prompt": "Hello", "max_tokens": 3},
        {"name": "whole", "stream": False, "prompt": f"Say {KEY}", "max_tokens": 4},
        {"name": "broken", "prompt": "x", "extra_body": {"simulator": {"faults": [{"kind": "error", "status": 500}]}}},
    ],
    "load": {"users": 2, "requests": 2},
}


@pytest.fixture
def scenario(tmp_path):
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(SCENARIO | {"target": SCENARIO["target"] | {"key": "${SOME_KEY}"}}))
    return file


def test_a_stream_is_shown_event_by_event_with_the_record(scenario, monkeypatch):
    monkeypatch.setenv("SOME_KEY", KEY)
    done = bench("send", scenario, "--format", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["method"], told["status"], told["record"]["outcome"]) == ("POST", 200, "ok")
    assert json.loads(told["body"])["messages"] == [{"role": "user", "content": "Hello"}]
    times = [event["at"] for event in told["events"]]
    assert times == sorted(times)
    assert 0 < told["headers_at"] <= times[0] <= times[-1] <= told["done"]
    assert told["events"][-1]["data"] == "[DONE]"
    first = told["record"]["first_token_at"] - told["record"]["sent"]
    assert min(abs(at - first) for at in times) < 1e-6, "the events' times are those of the record"


def test_a_whole_answer_is_shown_as_it_came_and_no_secret_is(scenario, monkeypatch):
    monkeypatch.setenv("SOME_KEY", KEY)
    done = bench("send", scenario, "--request", "whole", "--model", "sim/instant")
    assert done.returncode == 0, done.stderr
    assert "authorization: ***" in done.stdout
    assert '"object": "chat.completion"' in done.stdout
    assert '"model": "sim/instant"' in done.stdout
    assert KEY not in done.stdout
    assert KEY[::-1] not in done.stdout


def test_a_failure_is_shown_as_one_and_exits_1(scenario, monkeypatch):
    monkeypatch.setenv("SOME_KEY", KEY)
    done = bench("send", scenario, "--request", "broken")
    assert (done.returncode, "HTTP/1.1 500" in done.stdout, "server_error" in done.stdout) == (1, True, True)
    done = bench("send", "http://127.0.0.1:1", "--model", "m", "--prompt", "x")
    assert (done.returncode, "no connection to 127.0.0.1:1" in done.stdout) == (1, True)


@pytest.mark.parametrize(("options", "words"), [
    (["--request", "nope"], "known are first, whole, broken"),
    (["--model", "nope"], "known are sim/fast, sim/instant"),
    (["--arm", "nope"], "the scenario has no arms"),
    (["--prompt", "x"], "only for a URL in place of a file"),
])  # fmt: skip
def test_what_is_not_in_the_scenario_is_told(scenario, monkeypatch, options, words):
    monkeypatch.setenv("SOME_KEY", KEY)
    done = bench("send", scenario, *options)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr


def test_an_arm_is_asked_as_the_comparison_would():
    done = bench("send", "scenarios/compare.yaml", "--arm", "candidate", "--format", "json")
    assert json.loads(json.loads(done.stdout)["body"])["model"] == "sim/tomorrow"


def test_other_apis_are_sent_too():
    for request in ("embeddings.yaml", "images.yaml", "speech.yaml", "messages.yaml", "responses.yaml", "video.yaml"):
        done = bench("send", f"scenarios/{request}")
        assert done.returncode == 0, (request, done.stdout[-500:], done.stderr)
