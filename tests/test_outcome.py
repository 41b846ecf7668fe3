"""Every outcome word, from what a server said and how its connection ended."""

from __future__ import annotations

import re

import httpx
import pytest

from bench.records import OUTCOMES
from bench.wire.answer import Answer
from bench.wire.errors import error_in_body
from bench.wire.exchange import Exchange, Failure
from bench.wire.outcome import judge
from bench.wire.protocols import PROTOCOLS

GOOD = b'{"choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}]}'


def judged(
    status: int | None,
    body: bytes = b"",
    *,
    stream: bool = False,
    failure: Failure | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[str, str | None]:
    exchange = Exchange(
        status=status, headers=httpx.Headers(headers), reads=[(1.0, body)] if body else [], failure=failure
    )
    outcome, error = judge(exchange, PROTOCOLS["chat"].read(exchange.reads, stream=stream))
    assert outcome in OUTCOMES
    return outcome, error


def test_a_complete_answer_is_ok():
    assert judged(200, GOOD) == ("ok", None)


@pytest.mark.parametrize("kind", ["timeout", "connect", "protocol", "censored"])
def test_what_our_side_saw_is_the_outcome(kind):
    assert judged(None, failure=Failure(kind, "why")) == (kind, "why")


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        # Novita, flat
        (
            401,
            b'{"code":401,"reason":"FAILED_TO_AUTH","message":"failed to authenticate API key","metadata":{}}',
            "auth",
        ),
        (403, b'{"code":403,"reason":"INVALID_API_KEY","message":"API Key not provided"}', "auth"),
        (403, b'{"code":403,"reason":"ACCESS_DENY","message":"access denied"}', "auth"),
        (403, b'{"code":403,"reason":"NOT_ENOUGH_BALANCE","message":"not enough balance","metadata":{}}', "quota"),
        (403, b'{"code":403,"reason":"BILLING_AUTH_FAILED","message":"no"}', "quota"),
        (400, b'{"code":400,"reason":"BILLING_BALANCE_NOT_ENOUGH","message":"no"}', "quota"),
        (500, b'{"code":500,"reason":"BILLING_FAILED","message":"no"}', "server_error"),
        (400, b'{"code":400,"reason":"INVALID_REQUEST_BODY","message":"no"}', "invalid"),
        (404, b'{"code":404,"reason":"MODEL_NOT_FOUND","message":"model not found"}', "invalid"),
        (404, b"404 page not found", "invalid"),
        (429, b'{"code":429,"reason":"RATE_LIMIT_EXCEEDED","message":"slow down"}', "throttled"),
        (429, b'{"code":429,"reason":"TOKEN_LIMIT_EXCEEDED","message":"slow down"}', "throttled"),
        (503, b'{"code":503,"reason":"SERVICE_NOT_AVAILABLE","message":"busy"}', "overloaded"),
        # OpenAI
        (
            429,
            b'{"error":{"message":"Rate limit reached. Add a payment method at https://x/account/billing",'
            b'"type":"requests","param":null,"code":"rate_limit_exceeded"}}',
            "throttled",
        ),
        (
            429,
            b'{"error":{"message":"You exceeded your current quota, please check your plan and billing details.",'
            b'"type":"insufficient_quota","param":null,"code":"insufficient_quota"}}',
            "quota",
        ),
        # Anthropic
        (402, b'{"type":"error","error":{"type":"billing_error","message":"no"},"request_id":"r"}', "quota"),
        (429, b'{"type":"error","error":{"type":"rate_limit_error","message":"Too many requests"}}', "throttled"),
        (429, b'{"type":"error","error":{"type":"rate_limit_error","message":"Monthly spend limit reached"}}', "quota"),
        (
            400,
            b'{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}',
            "quota",
        ),
        (413, b'{"type":"error","error":{"type":"request_too_large","message":"no"}}', "invalid"),
        (529, b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', "overloaded"),
        # others
        (
            429,
            b'{"type":"https://x/problem-types#quota-exceeded","title":"Request quota exceeded","status":429}',
            "throttled",
        ),
        (422, b'{"detail":[{"loc":["body","model"],"msg":"Field required"}]}', "invalid"),
        (429, b"", "throttled"),
        (500, b"Internal Server Error", "server_error"),
        (502, b"<html><head><title>502 Bad Gateway</title></head></html>", "server_error"),
        (504, b"", "server_error"),
    ],
)
def test_a_status_and_its_error_give_the_outcome(status, body, outcome):
    assert judged(status, body)[0] == outcome
    assert judged(status, body, stream=True)[0] == outcome


def test_the_error_of_a_status_says_the_code_once():
    body = b'{"code":404,"reason":"MODEL_NOT_FOUND","message":"model not found"}'
    assert judged(404, body) == ("invalid", "HTTP 404 MODEL_NOT_FOUND: model not found")
    assert judged(504) == ("server_error", "HTTP 504")
    page = b"<html><head><title>502 Bad Gateway</title></head></html>"
    assert judged(502, page) == ("server_error", "HTTP 502 Bad Gateway")
    assert judged(404, b"404 page not found") == ("invalid", "HTTP 404 page not found")
    assert judged(404, b"404") == ("invalid", "HTTP 404")
    assert judged(400, b"404 models are known") == ("invalid", "HTTP 400 404 models are known")


def test_a_redirect_is_not_followed_and_says_where_it_points():
    outcome, error = judged(308, headers={"location": "https://elsewhere/v1"})
    assert outcome == "invalid"
    assert error == (
        "HTTP 308 points to https://elsewhere/v1; bench follows no redirects: use that as the target's URL"
    )


def test_a_redirect_to_nowhere_says_so():
    exchange = Exchange(status=304, complete=True)
    assert judge(exchange, Answer()) == ("invalid", "HTTP 304 without an address to go to")


def test_an_error_inside_a_success_stays_a_stream_error_and_says_its_code():
    body = b'data: {"code":429,"reason":"RATE_LIMIT_EXCEEDED","message":"slow down"}\n\ndata: [DONE]\n\n'
    assert judged(200, body, stream=True) == (
        "stream_error",
        "an error object inside HTTP 200: 429 RATE_LIMIT_EXCEEDED: slow down",
    )


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "error", [b'{"error": {"param": null}}', b'{"error": {"message": " "}}', b'{"object": "error"}']
)
def test_an_error_without_words_is_an_error_too(error, stream):
    outcome, told = judged(200, b"data: " + error + b"\n\n" if stream else error, stream=stream)
    assert outcome == "stream_error"
    assert told is not None
    assert re.fullmatch(r'an error object inside HTTP 200: ({".+}|error)', told)


def test_an_event_that_is_called_an_error_needs_no_words():
    body = b'event: error\ndata: ""\n\n'
    assert judged(200, body, stream=True) == (
        "stream_error",
        "an error object inside HTTP 200: the server gives no reason",
    )


def test_what_the_server_said_weighs_more_than_how_the_connection_ended():
    reset = Failure("protocol", "the connection broke")
    assert judged(429, b'{"code":429,"rea', failure=reset)[0] == "throttled"
    assert judged(200, b'data: {"error": "out of memory"}\n\n', stream=True, failure=reset)[0] == "stream_error"
    assert judged(200, b'data: {"choices": []}\n\n', stream=True, failure=reset) == ("protocol", reset.message)
    assert judged(200, GOOD[:20], failure=reset) == ("protocol", reset.message)


def test_bytes_that_do_not_parse_are_a_protocol_error():
    outcome, error = judged(200, b"<html>hello</html>")
    assert outcome == "protocol"
    assert error is not None
    assert error.startswith("the answer is not JSON: b'<html>hello</html>'")


def test_an_answer_without_its_end_is_truncated():
    text = b'data: {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": %s}]}\n\n'
    assert judged(200, text % b"null" + b"data: [DONE]\n\n", stream=True) == (
        "truncated",
        "the answer ended without a finish reason",
    )
    assert judged(200, text % b'"stop"', stream=True) == (
        "truncated",
        "the answer ended without its terminator, data: [DONE]",
    )
    assert judged(200, b"") == ("truncated", "the answer ended without a finish reason")


def test_a_complete_answer_with_nothing_in_it_is_empty():
    body = b'{"choices": [{"message": {"content": ""}, "finish_reason": "stop"}], "usage": {"completion_tokens": 1}}'
    assert judged(200, body) == ("empty", "the answer is complete (finish reason stop) but empty")


def test_a_protocol_says_itself_what_its_answers_need():
    assert judge(Exchange(status=200), Answer()) == ("ok", None)
    assert judge(Exchange(status=200), Answer(missing="message_stop"))[0] == "truncated"


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b'{"code":401,"reason":"FAILED_TO_AUTH","message":"no key","metadata":{}}', "401 FAILED_TO_AUTH: no key"),
        (b'{"error":{"message":"a\\nb","type":"tokens","param":null,"code":"x"}}', "x tokens: a b"),
        (b'{"error":{"code":502,"message":"bad","metadata":{}}}', "502: bad"),
        (b'{"type":"error","error":{"type":"api_error","message":"bad"},"request_id":"r"}', "api_error: bad"),
        (b'{"object":"error","message":"bad","type":"BadRequest","param":null,"code":400}', "400 BadRequest: bad"),
        (b'{"error":"Input validation error","error_type":"validation"}', "validation: Input validation error"),
        (b'{"status":404,"error":"Not Found","message":"no such route"}', "404 Not Found: no such route"),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b'{"type":"https://x#q","title":"Quota exceeded","detail":"wait","status":429}', "429 Quota exceeded: wait"),
        (b'{"message":"API rate limit exceeded"}', "API rate limit exceeded"),
        (b'{"success":false,"errors":[{"code":7003,"message":"no route"},{"code":1}],"result":null}', "7003: no route"),
        (b'{"fault":{"faultstring":"Invalid ApiKey","detail":{"errorcode":"oauth"}}}', "Invalid ApiKey"),
        (b'{"Message":"User is not authorized"}', "User is not authorized"),
        (b'{"status":"error","message":"bad"}', "error: bad"),
        (b'{"error":[{"message":"a"},{"message":"b"}]}', "a"),
        (b'{"odd": 1}', '{"odd":1}'),
        (
            b'[{"error":{"code":429,"message":"no quota","status":"RESOURCE_EXHAUSTED"}}]',
            "429 RESOURCE_EXHAUSTED: no quota",
        ),
        (b'{"error":{"message":"no","status":"UNAVAILABLE"}}', "UNAVAILABLE: no"),
        (b'[{"odd":1},{"odd":2}]', '[{"odd":1},{"odd":2}]'),
        (
            b'{"detail":[{"type":"missing","loc":["body","model"],"msg":"Field required"},{"msg":"no JSON"}]}',
            "body.model: Field required; no JSON",
        ),
        (b'{"detail":[{"loc":["body"]},5]}', '[{"loc":["body"]},5]'),
        (b'{"detail":[]}', '{"detail":[]}'),
        (b'{"detail":[{"loc":[],"msg":5}]}', "5"),
        (b"404 page not found\n", "404 page not found"),
        (b"\n  upstream failed\nsecond line", "upstream failed"),
        (b"<html>\n<head><title>502 Bad Gateway</title></head>\n<body><h1>502</h1></body></html>", "502 Bad Gateway"),
        (b"<h1>Oh no</h1>\n<p>more</p>", "Oh no"),
        (b"\xff", "\ufffd"),
        (b"", ""),
        (b"x" * 1000, "x" * 299 + "…"),
    ],
)
def test_an_error_body_of_any_form_becomes_one_short_line(body, line):
    assert str(error_in_body(body)) == line
