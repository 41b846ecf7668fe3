"""Jobs: what they send in which order, what they make of the answers, and how their results are waited for."""

from __future__ import annotations

import random
import time

import orjson
import pytest

from bench.wire.answer import Answer
from bench.wire.ask import Ask
from bench.wire.exchange import Exchange, Failure
from bench.wire.job import Awaited, Call, Finished, Pace
from bench.wire.job_runner import JobRunner
from bench.wire.paths import stated
from bench.wire.protocols import PROTOCOLS
from bench.wire.tasks import read_result

QUICK = Pace(interval=0.05, jitter=0.0, timeout=2.0)


def answered(value: object, status: int = 200) -> Exchange:
    """An exchange that brought this JSON, or these lines of it."""
    data = value if isinstance(value, bytes) else orjson.dumps(value)
    now = time.monotonic()
    return Exchange(sent=now - 0.01, done=now, status=status, reads=[(now, data)], complete=True)


def run_job(job: str, answers: list, *, told=None, poll: Pace = QUICK, pause=None, **asked):
    """Drive a job with these answers to its calls, one after the other; returns what came of it, and the calls."""
    calls: list[Call] = []
    left = list(answers)

    def send(call: Call) -> Exchange:
        calls.append(call)
        return left.pop(0)

    ask = Ask(**{"model": "m", "input": "a cat"} | asked)
    runner = JobRunner(send, pause or (lambda seconds: False), told, poll, random.Random(1))
    return runner.run(PROTOCOLS[job].steps(ask)), calls


def task(status: str, **made: object) -> dict:
    debug = {"submit_time_ms": "1000", "execute_time_ms": "1500", "complete_time_ms": "3500"}
    return {
        "extra": {"debug_info": debug},
        "task": {"task_id": "t", "status": f"TASK_STATUS_{status}", "reason": "why"},
        **made,
    }


SUBMITTED = {"task_id": "t"}
DONE = task("SUCCEED", images=[{"image_url": "1"}, {"image_url": "2"}])


def test_a_task_is_submitted_and_polled_until_it_is_done():
    answers = [answered(one) for one in (SUBMITTED, task("QUEUED"), task("PROCESSING"), DONE)]
    found, calls = run_job("txt2img", answers, parameters={"image_num": 2, "extra": {"response_image_type": "png"}})
    assert [(call.method, call.path) for call in calls] == [("POST", "v3/async/txt2img")] + [
        ("GET", "v3/async/task-result")
    ] * 3
    assert calls[0].body == {
        "extra": {"response_image_type": "png"},
        "request": {"model_name": "m", "prompt": "a cat", "image_num": 2},
    }
    assert calls[1].query == {"task_id": "t"}
    assert (found.answer.item, found.answer.items, found.answer.finish_reason) == ("image", 2, "succeed")
    assert found.answer.server == {"queue_s": 0.5, "run_s": 2.0}
    assert found.polls == 3
    assert found.exchange.sent == answers[0].sent
    assert found.exchange.done == answers[-1].done
    assert found.unfinished_at == answers[2].sent


@pytest.mark.parametrize(
    ("job", "asked", "body"),
    [
        ("img2img", {"input": {"prompt": "a cat", "image_base64": "AA"}},
         {"extra": {}, "request": {"model_name": "m", "prompt": "a cat", "image_base64": "AA"}}),
        ("txt2video", {"input": {"prompts": [{"frames": 8, "prompt": "a cat"}]}},
         {"extra": {}, "model_name": "m", "prompts": [{"frames": 8, "prompt": "a cat"}]}),
        ("txt2speech", {"parameters": {"voice_id": "Emily"}}, {"extra": {}, "request": {"texts": ["a cat"], "voice_id": "Emily"}}),
        ("task", {"extra_body": {"size": "1024*1024"}}, {"prompt": "a cat", "size": "1024*1024"}),
    ],
)  # fmt: skip
def test_each_kind_of_task_has_its_own_envelope(job, asked, body):
    _, calls = run_job(job, [answered(SUBMITTED), answered(DONE)], **asked)
    assert calls[0].body == body


def test_the_task_id_may_be_in_an_envelope():
    found, _ = run_job("txt2img", [answered({"code": 0, "msg": "", "data": SUBMITTED}), answered(DONE)])
    assert found.answer.items == 2


def test_the_task_id_may_be_a_number():
    _, calls = run_job("txt2img", [answered({"task_id": 17}), answered(task("SUCCEED", images=["u"]))])
    assert calls[1].query == {"task_id": "17"}


def test_an_envelope_may_be_empty_beside_the_task_id():
    found, _ = run_job("txt2img", [answered({"code": 0, "data": None} | SUBMITTED), answered(DONE)])
    assert found.answer.items == 2


@pytest.mark.parametrize("rest", [{"data": None}, {"data": {}}, {"task_id": ""}])
def test_a_refusal_in_an_envelope_says_why(rest):
    found, _ = run_job("txt2img", [answered({"code": 400, "msg": "the prompt is bad"} | rest)])
    assert found.answer.error == "400: the prompt is bad"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({"images": [{"image_url": "u"}, {"image_url": None, "image_type": "png"}, None]}, ("image", 1)),
        ({"images": [{"image_url": ""}]}, ("image", 0)),
        ({"videos": [{"video_url": None}], "images": None}, ("image", 0)),
        ({"videos": [{"video_url": "u"}], "images": [{"image_url": "cover"}]}, ("video", 1)),
        ({"audios": [{"audio_url": "u"}], "images": []}, ("sound", 1)),
    ],
)
def test_only_what_has_an_address_was_made(made, expected):
    answer = read_result(task("SUCCEED", **made))
    assert (answer.item, answer.items) == expected
    assert answer.empty is not bool(answer.items)


def test_a_failed_task_says_why():
    found, _ = run_job("txt2img", [answered(SUBMITTED), answered(task("FAILED"))])
    assert found.answer.error == "the task failed: why"


def test_polls_that_fail_are_forgiven_but_not_for_ever():
    busy = answered({"code": 429, "reason": "RATE_LIMIT_EXCEEDED", "message": "slow down"}, status=429)
    found, _ = run_job("txt2img", [answered(SUBMITTED), busy, busy, answered(DONE)])
    assert (found.answer.items, found.polls) == (2, 3)
    found, _ = run_job("txt2img", [answered(SUBMITTED), busy, busy, busy])
    assert found.exchange.status == 429


def test_a_submission_that_fails_ends_the_job():
    found, calls = run_job("txt2img", [answered({"code": 400, "reason": "INVALID_REQUEST_BODY"}, status=400)])
    assert found.exchange.status == 400
    assert len(calls) == 1
    broken = Exchange(done=1.0, failure=Failure("connect", "nobody listens"))
    assert run_job("txt2img", [broken])[0].exchange.failure.kind == "connect"


def test_what_is_no_answer_of_this_api_is_told():
    assert "without task_id" in run_job("txt2img", [answered({"id": 1})])[0].answer.garbled
    assert "not JSON" in run_job("txt2img", [answered(b"<html>")])[0].answer.garbled
    assert "not the result of a task" in run_job("txt2img", [answered(SUBMITTED), answered({"x": 1})])[0].answer.garbled


def test_a_result_that_never_comes_times_out():
    poll = Pace(interval=0.05, timeout=0.12)
    pause = lambda seconds: time.sleep(seconds) or False  # noqa: E731
    found, _ = run_job("txt2img", [answered(SUBMITTED)] + [answered(task("QUEUED"))] * 9, poll=poll, pause=pause)
    assert found.exchange.failure.kind == "timeout"
    assert "poll.timeout of 0.12 s; the last status was TASK_STATUS_QUEUED" in found.exchange.failure.message


def test_a_job_is_censored_when_the_run_is_given_up():
    found, _ = run_job("txt2img", [answered(SUBMITTED)], pause=lambda seconds: True)
    assert found.exchange.failure.kind == "censored"


def test_a_webhook_tells_instead_of_a_poll():
    payload = orjson.dumps({"event_type": "ASYNC_TASK_RESULT", "payload": DONE})
    early = orjson.dumps({"event_type": "ASYNC_TASK_RESULT", "payload": task("PROCESSING")})
    waits = [None, (98.0, early), (99.0, payload)]
    found, calls = run_job(
        "txt2img", [answered(SUBMITTED)], told=lambda key, limit: waits.pop(0), webhook="http://me/hook"
    )
    assert calls[0].body["extra"]["webhook"]["url"] == "http://me/hook"
    assert (found.answer.items, found.polls, found.exchange.done) == (2, 0, 99.0)


def test_times_that_the_server_leaves_empty_are_unknown():
    empty = DONE | {"extra": {"debug_info": {"submit_time_ms": "", "execute_time_ms": "", "complete_time_ms": ""}}}
    assert read_result(empty).server == {}


@pytest.mark.parametrize("times", [("0", "1500", "3500"), ("1000", "0", "3500"), ("1500", "1000", "3500"), (9, 10, 0)])
def test_times_that_are_not_in_their_order_are_unknown(times):
    names = ("submit_time_ms", "execute_time_ms", "complete_time_ms")
    debug = dict(zip(names, times, strict=True))
    assert read_result(DONE | {"extra": {"debug_info": debug}}).server == {}


# -- batches --------------------------------------------------------------------------------------

HOW = {"endpoint": "chat", "window": "24h", "dialect": "novita", "cancel_after": None}
INPUTS = [[{"role": "user", "content": text}] for text in ("one", "two", "three")]


def output(status: int = 200, error: object = None, number: int = 1, **body: object) -> dict:
    body = {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 4}} | body
    return {"custom_id": f"request-{number}", "error": error, "response": {"status_code": status, "body": body}}


def lines_of(*values: object) -> bytes:
    return b"\n".join(map(orjson.dumps, values))


def batch(status: str, **files: object) -> Exchange:
    return answered({"id": "b1", "status": status, "output_file_id": "", "error_file_id": ""} | files)


def run_batch(*answers: Exchange, **how: object):
    return run_job("batch", list(answers), input=INPUTS, parameters={"batch": HOW | how, "max_tokens": 9})


@pytest.mark.parametrize("status", ["completed", "COMPLETED"])
def test_a_batch_is_uploaded_created_awaited_and_fetched(status):
    lines = lines_of(output(number=2), output())
    found, calls = run_batch(
        answered({"id": "f1"}), batch("validating"), batch("PROGRESS"), batch(status, output_file_id="o", error_file_id="e"),
        answered(lines), answered(lines_of(output(500, {"code": "x"}, number=3))),
    )  # fmt: skip
    assert [(call.method, call.path) for call in calls] == [
        ("POST", "files"), ("POST", "batches"), ("GET", "batches/b1"), ("GET", "batches/b1"),
        ("GET", "files/o/content"), ("GET", "files/e/content"),
    ]  # fmt: skip
    name, content, fields = calls[0].file
    first = orjson.loads(content.splitlines()[0])
    assert (name, fields) == ("batch_input.jsonl", {"purpose": "batch"})
    assert first == {"custom_id": "request-1", "body": {"model": "m", "messages": INPUTS[0], "max_tokens": 9}}
    assert calls[1].body == {"input_file_id": "f1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    answer = found.answer
    assert (answer.items, answer.failed_items, answer.finish_reason, answer.error) == (2, 1, "completed", None)
    assert (answer.usage.prompt, answer.usage.completion) == (20, 8)
    assert set(found.steps) == {"upload_s", "create_s", "fetch_s"}


def test_openais_lines_name_method_and_url():
    _, calls = run_batch(
        answered({"id": "f1"}), batch("failed"), batch("failed"), dialect="openai", endpoint="completions"
    )
    first = orjson.loads(calls[0].file[1].splitlines()[0])
    assert (first["method"], first["url"]) == ("POST", "/v1/completions")
    assert first["body"]["prompt"] == INPUTS[0]


def test_results_of_another_shape_are_told_and_not_raised():
    found, _ = run_batch(
        answered({"id": "f1"}),
        batch("validating"),
        batch("COMPLETED", output_file_id="o"),
        answered({"choices": []}),
    )
    assert found.answer.garbled == "a line that is not the result of a request: '{\"choices\":[]}'"


def fetched(*results: object, prefix: bytes = b"") -> Answer:
    """The answer of a completed batch of three requests with these results."""
    states = batch("validating"), batch("completed", output_file_id="o")
    return run_batch(answered({"id": "f1"}), *states, answered(prefix + lines_of(*results)))[0].answer


@pytest.mark.parametrize(
    "failed",
    [
        output(400, number=3),
        output(number=3, error={"message": "why"}),
        {"custom_id": "request-3", "error": None, "response": None},
        {"custom_id": "request-3", "response": {"status_code": 200, "body": {"error": {"message": "why"}}}},
        {"custom_id": "request-3", "response": {"status_code": 200, "body": {"code": 429, "reason": "R", "message": "m"}}},
        {"custom_id": "request-3", "response": {"status_code": 200, "body": None}},
        {"custom_id": "request-3", "response": {"status_code": 200, "body": "a text"}},
    ],
)  # fmt: skip
def test_a_request_of_a_batch_fails_by_its_status_its_error_or_its_body(failed):
    answer = fetched(output(), output(number=2), failed)
    assert (answer.items, answer.failed_items, answer.usage.completion, answer.garbled) == (2, 1, 8, None)


def test_results_that_come_twice_or_belong_to_another_batch_count_only_once_or_not_at_all():
    answer = fetched(output(number=2), output(), output(number=2), output(number=9))
    assert (answer.items, answer.failed_items, answer.usage.prompt) == (2, 1, 20)
    assert fetched(output(number=9)).garbled.startswith("results of other requests: '{")


def test_a_batch_whose_requests_all_failed_says_why():
    answer = fetched(output(400, {"code": "x", "message": "no such model"}), output(400, {"code": "y"}, number=2))
    assert (answer.error, answer.failed_items) == (
        "all requests of the batch failed, the first with x: no such model",
        3,
    )


def test_the_tokens_of_a_batch_are_unknown_if_one_answer_does_not_state_them():
    answer = fetched(output(), output(number=2, usage=None))
    assert (answer.items, answer.usage.prompt, answer.usage.completion) == (2, None, None)


def test_half_an_emoji_or_a_byte_order_mark_does_not_spoil_results():
    text = {"choices": [{"message": {"content": "HALF"}}]}
    half = lines_of(output(number=2, **text)).replace(b"HALF", rb"\ud83d")
    assert fetched(output(), prefix=b"\xef\xbb\xbf" + half + b"\n").items == 2


@pytest.mark.parametrize("place", [0, 1])
def test_an_error_object_in_place_of_an_id_is_a_refusal(place):
    refused = answered({"code": 400, "reason": "INVALID_REQUEST_BODY", "message": "bad file"})
    answers = [answered({"id": "f1"}), refused][-1 - place :]
    assert run_batch(*answers)[0].answer.error == "400 INVALID_REQUEST_BODY: bad file"


def test_an_expired_batch_is_an_error_that_says_how_much_was_done():
    found, _ = run_batch(
        answered({"id": "f1"}),
        batch("validating"),
        batch("EXPIRED", output_file_id="o"),
        answered(orjson.dumps(output())),
    )
    assert found.answer.error == "the batch is expired, 1 of 3 requests done: no reason given"
    assert (found.answer.items, found.answer.failed_items) == (1, 2)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"status": "failed", "errors": {"data": [{"code": "bad_line", "message": "no", "line": 3}, {}]}},
         "the batch is failed, 0 of 3 requests done: line 3: bad_line: no (and 1 more)"),
        ({"status": "FAILED", "errors": "the model is unknown"},
         "the batch is failed, 0 of 3 requests done: the model is unknown"),
        ({"status": None}, "the batch has no status, 0 of 3 requests done: no reason given"),
    ],
)  # fmt: skip
def test_a_batch_that_failed_says_why(state, words):
    found, _ = run_batch(answered({"id": "f1"}), batch("validating"), answered({"id": "b1"} | state))
    assert found.answer.error == words


def test_a_page_in_place_of_the_results_is_shown():
    found, _ = run_batch(
        answered({"id": "f1"}), batch("validating"), batch("COMPLETED", output_file_id="o"), answered(b"<html>")
    )
    assert found.answer.garbled.startswith("not JSON: b'<html>'")


def test_a_batch_is_cancelled_when_the_scenario_says_so():
    pause = lambda seconds: time.sleep(seconds) or False  # noqa: E731
    answers = [answered({"id": "f1"}), batch("validating"), batch("PROGRESS"), batch("CANCELLING"), batch("CANCELLED")]
    parameters = {"batch": HOW | {"cancel_after": 0.08}}
    found, calls = run_job("batch", answers, input=INPUTS, parameters=parameters, pause=pause)
    assert "batches/b1/cancel" in [call.path for call in calls]
    assert (found.answer.finish_reason, found.answer.error) == ("cancelled", None)


def test_a_job_of_ones_own_is_a_generator_of_steps():
    def steps():
        exchange = yield Call("begin", "jobs", body={})
        finished = yield Awaited(Call("poll", "jobs/1", "GET"), lambda body: body == b"done", key="1")
        assert isinstance(finished, Finished)
        return exchange.status, finished.body

    answers = [answered(b"ok"), answered(b"wait"), answered(b"done")]
    runner = JobRunner(lambda call: answers.pop(0), lambda seconds: False, None, QUICK, random.Random(1))
    assert runner.run(steps()).answer == (200, b"done")


def test_a_job_that_is_sent_to_another_server_ends_with_what_was_stated():
    def send(call: Call) -> Exchange:
        if call.path.startswith("https:"):
            stated("https://host/v1", call.path)
        return answered(b"ok")

    def steps():
        yield Call("begin", "jobs", body={})
        yield Call("fetch", "https://elsewhere/1", "GET")

    found = JobRunner(send, lambda seconds: False, None, QUICK, random.Random(1)).run(steps())
    assert found.answer.garbled == "an address of another server (elsewhere), to which no key is sent"
    assert found.exchange.status == 200
