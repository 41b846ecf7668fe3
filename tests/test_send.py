"""`bench send`: one request, as a run would send it, shown whole and without secrets."""

from __future__ import annotations

import itertools
import json

import httpx
import pytest
import yaml

from bench.records.sent import Arrived
from bench.report.sent import TextWatcher
from bench.wire.bounds import Timeouts
from bench.wire.exchange import Exchange
from bench.wire.transport import HttpxTransport
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


@pytest.fixture(scope="module", autouse=True)
def load():
    """Imported without what Locust patches: nothing here opens a socket, and other tests' are not gevent's."""
    global Redaction, WatchedTransport, WatchedStream, shown_of
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LOCUST_SKIP_MONKEY_PATCH", "1")
        from bench.load.one_request import Redaction, WatchedStream, WatchedTransport, shown_of


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
    [one], record = told["exchanges"], told["record"]
    assert (one["method"], one["status"], record["outcome"]) == ("POST", 200, "ok")
    assert json.loads(one["body"])["messages"] == [{"role": "user", "content": "Hello"}]
    times = [event["at"] for event in one["events"]]
    assert times == sorted(times)
    assert 0 < one["headers_at"] <= times[0] <= times[-1] <= one["done"]
    assert one["events"][-1]["data"] == "[DONE]"
    first = record["first_token_at"] - record["sent"]
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
    assert json.loads(json.loads(done.stdout)["exchanges"][0]["body"])["model"] == "sim/tomorrow"


def test_other_apis_are_sent_too():
    for request in ("embeddings.yaml", "images.yaml", "speech.yaml", "messages.yaml", "responses.yaml", "video.yaml"):
        done = bench("send", f"scenarios/{request}")
        assert done.returncode == 0, (request, done.stdout[-500:], done.stderr)


def test_each_exchange_of_a_job_is_shown_with_its_own_answer_and_of_the_polls_the_last():
    done = bench("send", "scenarios/batch.yaml", "--format", "json")
    told = json.loads(done.stdout)
    paths = [(one["method"], one["url"].partition("/v1")[2]) for one in told["exchanges"]]
    batch = json.loads(told["exchanges"][1]["answer"])["id"]
    assert [path for _, path in paths[:3]] == ["/files", "/batches", f"/batches/{batch}"]
    upload, _, poll, fetch, *_ = told["exchanges"]
    assert '"custom_id"' in upload["body"], "a form of text is text"
    assert json.loads(upload["answer"])["object"] == "file"
    assert (poll["times"], json.loads(poll["answer"])["status"]) == (told["record"]["polls"], "COMPLETED")
    assert (fetch["method"], fetch["times"], '"custom_id"' in fetch["answer"]) == ("GET", 1, True)
    ends = [one["at"] + one["done"] for one in told["exchanges"]]
    assert ends == sorted(ends)


def test_a_webhook_is_shown_beside_the_exchange_that_asked_for_it():
    told = json.loads(bench("send", "scenarios/webhook.yaml", "--format", "json").stdout)
    [submit] = told["exchanges"]
    assert "task_id" in json.loads(submit["answer"])
    assert told["webhook"]["at"] > submit["done"]
    assert json.loads(told["webhook"]["data"])["event_type"] == "ASYNC_TASK_RESULT"


class Heard:
    """A watcher that notes what it is told."""

    def __init__(self):
        self.told = []

    def request(self, one):
        self.told.append("request")

    def head(self, one):
        self.told.append(f"head {one.status}, {len(one.events)} events")

    def event(self, one):
        self.told.append((one.at, one.data))

    def end(self, one):
        self.told.append(f"end {one.times}, {one.answer}")


STREAM = httpx.Headers({"content-type": "text/event-stream; charset=utf-8"})


def test_events_of_a_stream_are_told_as_they_come():
    heard, exchange = Heard(), Exchange(sent=10.0)
    watched = WatchedStream(heard, lambda one: shown_of(REQUEST, one, Redaction(str)), str)
    watched.begin(exchange)
    watched.look()
    assert heard.told == [], "no answer yet"
    exchange.status, exchange.headers = 200, STREAM
    exchange.reads.append((10.5, b"data: a\n\ndata: b"))
    watched.look()
    watched.look()
    assert heard.told == ["head 200, 0 events", (0.5, "a")]
    exchange.reads.append((12.0, b"c\n\n"))
    watched.look()
    assert heard.told[2:] == [(2.0, "bc")]


REQUEST = httpx.Request("POST", "http://h/v1/jobs", json={"a": 1})


def test_a_poll_is_told_once_and_its_end_when_another_request_follows():
    def answer(request):
        return httpx.Response(200, text=f"{request.method} {next(count)}")

    count, heard = itertools.count(1), Heard()
    watched = WatchedTransport(HttpxTransport(httpx.MockTransport(answer)), Redaction(str), heard)
    poll = httpx.Request("GET", "http://h/v1/jobs/1")
    for request in (REQUEST, poll, poll, poll, httpx.Request("GET", "http://h/v1/files/1")):
        watched.exchange(request, timeouts=Timeouts())
    assert heard.told == ["request", "end 1, POST 1", "request", "end 3, GET 4", "request"]


def test_what_was_not_told_of_an_exchange_is_told_at_its_end():
    lines: list[str] = []
    watcher, stream = TextWatcher(lines.append), Exchange(sent=1.0, done=3.0, status=200, headers=STREAM)
    one = shown_of(REQUEST, stream, Redaction(str), times=2, first=0.5)
    watcher.request(one)
    watcher.head(one)
    watcher.event(Arrived(0.25, "x", "delta"))
    watcher.end(one)
    watcher.end(one)
    text = "\n".join(lines)
    assert text.count("HTTP 200") == 2, "the second was a whole answer, whose head came with its end"
    assert "sent 2 times, the last time 500 ms after the first request" in text
    assert "250.00 ms  delta: x" in text
