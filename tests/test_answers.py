"""What servers send instead of what they should: each case with what a record then says."""

from __future__ import annotations

import random
import time

import httpx
import orjson
import pytest

from bench.wire.answer import Answer, Usage, parsed
from bench.wire.ask import Ask
from bench.wire.errors import error_in_body
from bench.wire.exchange import Exchange
from bench.wire.job import Pace
from bench.wire.job_runner import JobRunner
from bench.wire.limits import limits, reset_s, retry_after
from bench.wire.outcome import judge
from bench.wire.protocols import PROTOCOLS
from bench.wire.tasks import is_finished, read_result

NOW = 1_792_000_000.0  # 2026-10-14T17:46:40Z
LONG = "x" * 3000
DEEP: list[object] = []
for _ in range(250):
    DEEP = [DEEP]
USAGE = {"prompt_tokens": 7, "completion_tokens": 2}


def chat(choice: dict | None = None, **changes: object) -> bytes:
    """A good answer of chat with these changes."""
    good = {"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"} | (choice or {})
    return orjson.dumps({"id": "c", "model": "m", "choices": [good], "usage": USAGE} | changes)


def read(body: bytes, api: str = "chat", *, stream: bool = False) -> Answer:
    return PROTOCOLS[api].read([(1.0, body)], stream=stream)


def judged(body: bytes, api: str = "chat", *, stream: bool = False, status: int = 200, **how: object):
    headers = httpx.Headers(how.pop("headers", None))
    exchange = Exchange(status=status, headers=headers, reads=[(1.0, body)], complete=True)
    return judge(exchange, PROTOCOLS[api].read(exchange.reads, stream=stream), **how)


def events(*chunks: object, end: bytes = b"data: [DONE]\n\n") -> bytes:
    return b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks) + end


@pytest.mark.parametrize("value", [["a"], {"a": 1}, 5, True, "", LONG, "a\nb", "\x1b[31m", None])
@pytest.mark.parametrize(("name", "field"), [("id", "response_id"), ("model", "response_model")])
def test_an_id_or_a_model_that_is_no_short_word_is_left_out_and_the_answer_stays_good(name, field, value):
    answer = read(chat(**{name: value}))
    assert getattr(answer, field) is None
    assert judged(chat(**{name: value})) == ("ok", None)


@pytest.mark.parametrize("value", [["stop"], {"a": 1}, 5, True, LONG, "a\nb"])
def test_a_finish_reason_that_is_no_short_word_is_protocol(value):
    outcome, error = judged(chat({"finish_reason": value}))
    assert outcome == "protocol"
    assert error.startswith("the answer is JSON whose finish reason is not a short word: ")


@pytest.mark.parametrize(
    ("stated", "outcome", "words"),
    [
        ({"error": {"message": "no such model"}}, "stream_error", "no such model"),
        ({"error": {"code": 7, "message": "odd"}}, "stream_error", "7: odd"),
        ({"error": {"task": 3}}, "stream_error", '{"task":3}'),
        ({"error": 5}, "stream_error", "5"),
        ({"error": ["a", "b"]}, "stream_error", '["a","b"]'),
        ({"error": ValueError("odd")}, "stream_error", "ValueError: odd"),
        ({"missing": KeyError("done")}, "truncated", "KeyError: 'done'"),
        ({"garbled": UnicodeError("byte 3")}, "protocol", "UnicodeError: byte 3"),
    ],
)
def test_what_an_api_of_ones_own_states_as_wrong_need_not_be_text(stated, outcome, words):
    told, error = judge(Exchange(status=200, complete=True), Answer(**stated))
    assert (told, error.endswith(words)) == (outcome, True)


@pytest.mark.parametrize("nothing", [None, False, 0, "", {}, []])
def test_nothing_is_wrong_where_nothing_is_stated(nothing):
    answer = Answer(error=nothing, missing=nothing, garbled=nothing)
    assert judge(Exchange(status=200, complete=True), answer) == ("ok", None)


@pytest.mark.parametrize("value", [-1, "9", True, 1.5, 10**15, 2**63, 1e300, [], [5], {"a": 1}, None])
def test_a_count_that_is_none_is_unknown(value):
    usage = dict.fromkeys(("prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens"), value)
    assert read(chat(usage=usage)).usage == Usage()
    anthropic = {"content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn"}
    counts = dict.fromkeys(("input_tokens", "output_tokens", "cache_read_input_tokens"), value)
    assert read(orjson.dumps(anthropic | {"usage": counts}), "messages").usage == Usage()
    assert read(orjson.dumps({"data": [], "usage": {"prompt_tokens": value}}), "embeddings").usage == Usage()


def test_json_has_one_kind_of_number_so_a_whole_one_with_a_point_is_a_count():
    assert read(chat(usage={"prompt_tokens": 12.0})).usage == Usage(prompt=12)


@pytest.mark.parametrize("usage", ["many", 5, True, [1]])
def test_a_usage_that_is_no_object_is_protocol(usage):
    assert judged(chat(usage=usage))[0] == "protocol"


@pytest.mark.parametrize(
    ("timings", "kept"),
    [
        ({"a_ms": 1.5, "b": True, "c": "5", "d": None, "e": [1], "f": 1e300}, {"a_ms": 1.5}),
        ({LONG: 1, "": 2, "a\nb": 3, "n": 4}, {"n": 4}),
        ([1, 2], {}),
        ("fast", {}),
        ({str(number): number for number in range(1000)}, {str(number): number for number in range(64)}),
    ],
)
def test_timings_are_finite_numbers_with_short_names(timings, kept):
    assert read(chat(timings=timings)).server == kept
    assert judged(chat(timings=timings)) == ("ok", None)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[" * 2000 + b"]" * 2000,
        b'{"choices": ' * 1100,
        b'{"choices": [{"index": [1], "delta": {"content": "a"}}]}',
        b'{"choices": [{"message": {"content": [{"text": 5}]}, "finish_reason": "stop"}]}',
        b'{"choices": {"0": {}}}',
        b"\xff\xfe",
        b"NaN",
        b'{"a": 1e999}',
        b'"\\ud800"',
    ],
)
def test_what_cannot_be_taken_apart_is_told_and_never_raised(body):
    assert read(body).garbled is not None
    streamed = b"data: " + body + b"\n\n"
    assert read(streamed, stream=True).garbled is not None
    for api in ("chat", "completions", "messages", "speech"):
        read(streamed, api, stream=True)
        PROTOCOLS[api].token_times([(1.0, streamed)])
    for api in ("embeddings", "rerank", "models", "images", "flux"):
        assert read(body, api).garbled is not None


@pytest.mark.parametrize("api", ["embeddings", "rerank", "models", "images"])
@pytest.mark.parametrize("items", ["abc", {"a": 1}, 5, None, True])
def test_items_that_are_no_list_are_protocol(api, items):
    name = "results" if api == "rerank" else "data"
    assert judged(orjson.dumps({name: items}), api)[0] == "protocol"


@pytest.mark.parametrize(
    "block",
    [{"type": "text", "text": 5}, {"type": "text", "text": ["a"]}, {"type": ["text"]}, "text", {"type": "tool_use", "id": 5},
     {"type": "tool_use", "input": [*DEEP, DEEP]}],
)  # fmt: skip
def test_a_block_of_another_shape_is_protocol(block):
    started = {"type": "content_block_start", "index": 0, "content_block": block}
    assert read(events(started, end=b""), "messages", stream=True).garbled is not None


@pytest.mark.parametrize("index", [[], "0", None, -1, 1.5, True])
def test_a_block_without_a_place_is_protocol(index):
    delta = {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": "a"}}
    assert read(events(delta, end=b""), "messages", stream=True).garbled is not None


@pytest.mark.parametrize(
    ("value", "finished"),
    [({"task": {"status": ["x"]}}, False), ({"task": 5}, True), ([], True), (5, True), ({"payload": []}, True), (DEEP, True)],
)  # fmt: skip
def test_a_tasks_state_of_another_shape_is_looked_at_more_closely(value, finished):
    assert is_finished(orjson.dumps(value)) is finished


def test_a_tasks_times_and_media_may_be_of_any_shape():
    task = {"task": {"status": "TASK_STATUS_SUCCEED", "task_id": 5}, "images": {"a": 1}, "audios": ["1"]}
    answer = read_result(task | {"extra": {"debug_info": {"submit_time_ms": "inf", "execute_time_ms": [], "x": 1}}})
    assert (answer.item, answer.items, answer.server, answer.response_id) == ("sound", 1, {}, None)
    assert read_result(task | {"extra": ["debug_info"]}).server == {}


@pytest.mark.parametrize(
    "bodies",
    [
        [b'{"id": ["f"]}'],
        [b'{"id": "f"}', b'{"id": "' + b"b" * 3000 + b'"}'],
        [b'{"id": "f"}', b'{"id": "b"}', b'{"status": "completed", "output_file_id": {"a": 1}}'],
        [b'{"id": "f"}', b'{"id": "b"}', b'{"status": "completed", "output_file_id": "o"}', b'{"response": 5}'],
        [b'{"id": "f"}', b'{"id": "b"}', b'{"status": "completed", "output_file_id": "o"}', b"[5]\n{"],
        [b'{"id": "f"}', b'{"id": "b"}', b'{"status": {"a": 1}}'],
    ],
)
def test_a_batch_of_another_shape_is_told_and_never_raised(bodies):
    left = list(bodies)

    def send(_: object) -> Exchange:
        now = time.monotonic()
        return Exchange(sent=now, done=now, status=200, reads=[(now, left.pop(0))], complete=True)

    how = {"endpoint": "chat", "dialect": "openai", "window": "24h", "cancel_after": None}
    runner = JobRunner(send, lambda _: False, None, Pace(), random.Random(1))
    answer = runner.run(PROTOCOLS["batch"].steps(Ask(model="m", input=["a"], parameters={"batch": how}))).answer
    assert answer.garbled is not None or answer.error is not None


# -- headers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1e308", None), ("1e999", None), ("9" * 400, None), ("9" * 400 + "h", None), ("1h" * 300, 1_080_000.0),
        ("0001-01-01T00:00:00-23:59", 0.0), ("9999-12-31T23:59:59+23:59", None), ("1792000030000000", None), ("", None),
    ],
)  # fmt: skip
def test_a_reset_beyond_range_is_left_out(value, seconds):
    assert reset_s(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    ["Wed, 14 Oct 2026 17:46:50 +9999", "Wed, 14 Oct 2026 17:46:50 -99999999999", "Wed, 99 Oct 99999 17:46:50 GMT",
     "Mon, 01 Jan 9999 00:00:00 GMT", "1e300", "1792000030", "nan", "-inf", "9" * 6000, "é", "1,5"],
)  # fmt: skip
def test_a_retry_after_that_is_no_wait_is_none(value):
    assert retry_after(httpx.Headers({"retry-after": value.encode()}), NOW) is None
    assert retry_after(httpx.Headers({"retry-after-ms": "1e300", "retry-after": "2"}), NOW) == 2


@pytest.mark.parametrize("value", ["9223372036854775807", "1e300", "nan", "-5", "9" * 400])
def test_a_limit_beyond_range_is_none_as_limits_are_that_mean_no_limit(value):
    headers = {"x-ratelimit-limit-requests": value, "ratelimit": f'"a";r={value};t={value}'}
    assert limits(httpx.Headers(headers), NOW) == {}


def test_limits_with_long_names_and_of_great_number_are_left_out():
    assert limits(httpx.Headers({"x-ratelimit-limit-" + "a" * 200: "1", "ratelimit": f'"{LONG}";r=1'}), NOW) == {}
    many = httpx.Headers({f"x-ratelimit-limit-r{number}": "1" for number in range(500)})
    assert len(limits(many, NOW)) == 64


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"x-ratelimit-api_key-remaining-requests": "7"}, {"api_key_requests.remaining": 7}),
        ({"x-ratelimit-model_per_key-limit-tokens": "9"}, {"model_per_key_tokens.limit": 9}),
        ({"x-ratelimit-team-reset-requests": "30s"}, {"team_requests.reset_s": 30}),
        ({"llm_provider-x-ratelimit-remaining-tokens": "5"}, {"tokens.remaining": 5}),
        ({"llm_provider-anthropic-ratelimit-requests-limit": "5"}, {"requests.limit": 5}),
        (
            {"llm_provider-x-ratelimit-limit-requests": "5", "x-ratelimit-limit-requests": "3"},
            {"requests.limit": 3},
        ),
    ],
)
def test_gateways_name_limits_in_their_own_way(headers, found):
    assert limits(httpx.Headers(headers), NOW) == found


def test_the_providers_wait_counts_where_the_gateway_states_none():
    assert retry_after(httpx.Headers({"llm_provider-retry-after": "7"}), NOW) == 7
    assert retry_after(httpx.Headers({"llm_provider-retry-after-ms": "500"}), NOW) == 0.5
    assert retry_after(httpx.Headers({"llm_provider-retry-after": "7", "retry-after": "3"}), NOW) == 3


# -- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 422, 429])
def test_a_budget_that_is_used_up_is_quota(status):
    body = {
        "message": "Budget has been exceeded! Current cost: 2, Max budget: 1",
        "type": "budget_exceeded",
        "code": "400",
    }
    assert judged(orjson.dumps({"error": body}), status=status)[0] == "quota"
    assert judged(orjson.dumps({"error": {"message": body["message"]}}), status=status)[0] == "quota"


@pytest.mark.parametrize(
    "page",
    [b"<" * 1_000_000, b"<title" * 200_000, b"<title>" * 200_000, b"<a " * 300_000, b"\n" * 1_000_000, b'"' * 1_000_000,
     b"insufficient " * 80_000, b"[" * 1_000_000],
)  # fmt: skip
def test_an_error_page_of_any_make_is_read_in_no_time(page):
    begun = time.process_time()
    assert len(str(error_in_body(page))) <= 300
    limits(httpx.Headers({"ratelimit": page[:60_000], "x-ratelimit-reset": page[:60_000]}), NOW)
    assert time.process_time() - begun < 1.0, "what is quadratic takes minutes"


def test_an_error_nested_too_deep_to_be_written_is_said_so():
    body = b'{"error": {"message": ' + b"[" * 400 + b"]" * 400 + b"}}"
    assert judged(body, status=400) == ("invalid", "HTTP 400 a list nested too deep to be shown")


@pytest.mark.parametrize("status", [200, 429])
def test_a_compressed_answer_is_said_to_be_compressed(status):
    outcome, error = judged(b"\x1f\x8b\x08\x00", status=status, headers={"content-encoding": "gzip"})
    assert outcome == ("protocol" if status == 200 else "throttled")
    assert "compressed (Content-Encoding: gzip), although requests ask for identity" in error


def test_a_readable_answer_is_read_whatever_its_headers_say():
    assert judged(chat(), headers={"content-encoding": "gzip"}) == ("ok", None)


# -- how streams end ------------------------------------------------------------------------------

TEXT = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]}


def end(reason: str = "stop", **more: object) -> dict:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]} | more


@pytest.mark.parametrize(
    ("body", "optional", "outcome"),
    [
        (events(TEXT, end(usage=USAGE), end=b""), False, "truncated"),
        (events(TEXT, end(usage=USAGE), end=b""), True, "ok"),
        (events(TEXT, end(usage=USAGE), end=b"data: [DONE]"), True, "ok"),
        (events(TEXT, end(usage=USAGE), end=b'data: {"choi'), True, "truncated"),
        (events(TEXT, end(), end=b""), True, "truncated"),
        (events(TEXT | {"usage": USAGE}, end=b""), True, "truncated"),
        (events(end(usage=USAGE), end=b""), True, "empty"),
        (events(TEXT, end(usage={"completion_tokens": -1}), end=b""), True, "truncated"),
    ],
)
def test_a_stream_without_its_terminator_is_an_answer_where_that_is_optional(body, optional, outcome):
    found, error = judged(body, stream=True, terminator_optional=optional)
    assert found == outcome
    if outcome == "truncated" and not optional:
        assert error.endswith("if this server always ends its streams this way, set target.terminator: optional")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (events(TEXT, end()) + events({"choices": [], "usage": USAGE}, end=b""), "stop"),
        (events(TEXT, end(), end(), {"choices": [], "usage": USAGE}), "stop"),
        (events(TEXT, end("length"), end("stop", usage=USAGE)), "stop"),
        (events(TEXT, end("tool_calls", usage=USAGE)) + b"data: [DONE]\n\n", "tool_calls"),
        (events(TEXT, end(usage=USAGE), end=b"data: [DONE] \n\n"), "stop"),
    ],
    ids=[
        "usage after the terminator",
        "reason repeated",
        "several reasons: the last",
        "terminator twice",
        "a space after the terminator",
    ],
)
def test_other_endings_seen_in_the_field_are_read(body, reason):
    answer = read(body, stream=True)
    assert (answer.finish_reason, answer.usage.completion, answer.missing) == (reason, 2, None)
    assert judged(body, stream=True) == ("ok", None)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", ["chat", "completions", "messages", "responses", "embeddings"])
def test_json_of_something_else_is_shown_and_an_error_in_it_is_told(api, stream):
    outcome, words = judged(b'{"message": "hello"}', api, stream=stream)
    assert outcome == "protocol"
    assert "hello" in words
    failed = b'{"success": false, "errors": [{"code": 7003, "message": "no route"}], "result": null}'
    assert judged(failed, api, stream=stream) == (
        "stream_error", "an error object inside HTTP 200: 7003: no route",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (rb"\ud83d", "\ufffd"),
        (rb"\uDE00 yes", "\ufffd yes"),
        (rb"\ud83d\ude00", "😀"),
        (rb"\ud83d\ud83d\ude00", "\ufffd😀"),
        (rb"\\ud83d \ud83d", "\\ud83d \ufffd"),
    ],
)
def test_half_an_emoji_does_not_spoil_an_answer(written, text):
    assert parsed(b'{"content": "%b"}' % written) == {"content": text}


def test_an_emoji_that_a_gateway_cuts_in_two_is_two_tokens():
    chunk = b'data: {"choices": [{"delta": {"content": "%b"}, "finish_reason": %b}]}\n\n'
    body = chunk % (rb"\ud83d", b"null") + chunk % (rb"\ude00", b'"stop"') + b"data: [DONE]\n\n"
    assert judged(body, stream=True) == ("ok", None)
    assert len(read(body, stream=True).arrivals) == 2


def test_a_byte_order_mark_before_json_is_skipped():
    assert read(b'\xef\xbb\xbf{"data": [{"embedding": [0.5]}]}', "embeddings").items == 1


def test_what_is_no_json_stays_so():
    with pytest.raises(orjson.JSONDecodeError):
        parsed(rb'{"a": "\ud83d"')


def test_why_groq_ended_a_stream_is_an_error():
    body = events(TEXT, end(usage=USAGE, x_groq={"id": "r", "error": "over capacity"}))
    assert judged(body, stream=True) == ("stream_error", "an error object inside HTTP 200: over capacity")


PAGES = [
    b"<html><title>Log in</title></html>",
    b"upstream connect error\n",
    "<html><title>登录</title></html>".encode(),
    "é".encode() * 300 + b"x",
    b"x" + "é".encode() * 300,
]


@pytest.mark.parametrize("body", PAGES)
def test_a_page_is_no_sound(body):
    outcome, words = judged(body, "speech")
    assert outcome == "protocol"
    assert "text, and no sound" in words


@pytest.mark.parametrize("before", [b"id: 1\n", b"retry: 9\n\n", b"\xef\xbb\xbf", b"\r\n: hi\r\n"])
def test_a_stream_of_sound_may_begin_with_any_field(before):
    body = before + b'data: {"audio": "00", "status": 1}\n\ndata: {"status": 2}\n\n'
    assert judged(body, "speech", stream=True) == ("ok", None)
    assert len(read(body, "speech", stream=True).arrivals) == 1


def test_an_entry_that_holds_nothing_is_not_counted():
    """A filter may leave the place of an image empty."""
    seen = {"data": [{"b64_json": None, "url": "https://i"}, {"b64_json": None, "revised_prompt": "x"}, {"url": None}]}
    assert read(orjson.dumps(seen), "images").items == 1
    assert (
        read(orjson.dumps({"images": ["https://i", {"image_url": "https://i", "image_type": "png"}, ""]}), "flux").items
        == 2
    )
    ranked = {"results": [{"index": 0, "relevance_score": 0}, {"index": 1, "relevance_score": None}]}
    assert read(orjson.dumps(ranked), "rerank").items == 1


@pytest.mark.parametrize("body", [b"RIFF\x24\x00\x00\x00WAVE", b"ID3\x04\x00", b"\xff\xfb\x90", b"\x00" * 600])
def test_a_sound_file_is_a_sound(body):
    assert judged(body, "speech") == ("ok", None)


def test_a_document_without_a_score_is_not_ranked_and_not_an_empty_answer():
    assert judged(b'{"results": [{"index": 0}]}', "rerank")[0] == "protocol"


def test_sound_after_the_end_of_a_stream_of_sound_is_another_answers():
    body = events({"audio": "00", "status": 1}, {"status": 2}, {"audio": "11", "status": 1})
    outcome, words = judged(body, "speech", stream=True)
    assert (outcome, words.partition(" its end")[0]) == ("protocol", "the answer is followed by more output after")
    last = events({"audio": "00", "status": 1}, {"audio": "11", "status": 2}, {"extra_info": {"size": 2}})
    assert judged(last, "speech", stream=True) == ("ok", None)


def test_no_bytes_are_no_sound():
    assert read(b"", "speech").items == 0


def test_minimax_says_why_there_is_no_sound():
    body = orjson.dumps({"data": None, "base_resp": {"status_code": 1004, "status_msg": "login fail"}})
    assert judged(body, "speech") == ("stream_error", "an error object inside HTTP 200: 1004: login fail")


@pytest.mark.parametrize("api", ["messages", "responses", "speech"])
def test_gateways_keep_alive_with_empty_events_and_end_with_chats_terminator(api):
    good = {
        "messages": [
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hi"}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
            {"type": "message_stop"},
        ],
        "responses": [
            {"type": "response.output_text.delta", "delta": "Hi"},
            {"type": "response.completed", "response": {"status": "completed", "output": []}},
        ],
        "speech": [{"audio": "00", "status": 1}, {"status": 2}],
    }
    assert judged(b"event: ping\ndata:\n\n" + events(*good[api]), api, stream=True) == ("ok", None)


def test_an_error_event_without_data_is_an_error():
    for api in ("chat", "messages", "responses"):
        outcome, words = judged(b"event: error\ndata: \n\n", api, stream=True)
        assert (outcome, words) == ("stream_error", "an error object inside HTTP 200: the server gives no reason")


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"total_tokens": 100, "input_tokens": 40, "output_tokens": 60}, (40, 60)),
        ({"prompt_tokens": 7, "total_tokens": 9}, (7, None)),
        ({"total_tokens": 9}, (9, None)),
        ({"prompt_tokens": None, "total_tokens": 9}, (9, None)),
        (None, (None, None)),
    ],
)
def test_tokens_of_images_are_of_prompt_and_picture(usage, counts):
    answer = read(orjson.dumps({"data": [{"b64_json": "aa"}], "usage": usage}), "images")
    assert (answer.usage.prompt, answer.usage.completion) == counts


def test_lists_come_under_other_names_and_without_one():
    voyage = {"object": "list", "data": [{"index": 0, "relevance_score": 0.5}]}
    assert read(orjson.dumps(voyage), "rerank").items == 1
    assert read(b'[{"index": 0, "score": 0.5}, {"index": 1, "score": 0}]', "rerank").items == 2  # SGLang
    assert read(b'{"data": null, "images": ["https://i"]}', "images").items == 1
    assert read(b'[{"id": "a"}, {"id": "b"}]', "models").items == 2


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens_details": {"created_cache_tokens": 4}},
        {"prompt_tokens_details": {"cache_creation_tokens": 4}},
        {"cache_creation_input_tokens": 4},
        {"prompt_tokens_details": {"cache_write_tokens": None, "created_cache_tokens": 4}},
    ],
)
def test_tokens_written_to_the_cache_are_read_in_every_spelling(usage):
    assert read(chat(usage=usage)).usage == Usage(cache_write=4)
