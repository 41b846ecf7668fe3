"""Chat and completions: what is asked, and what is read out of the answers of many kinds of server."""

from __future__ import annotations

import json
import random

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.wire.answer import Answer, Usage
from bench.wire.ask import Ask
from bench.wire.protocols import PROTOCOLS

CHAT, COMPLETIONS = PROTOCOLS["chat"], PROTOCOLS["completions"]
FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
DONE = b"data: [DONE]\n\n"


def event(value: object) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def delta(index: int = 0, finish: str | None = None, **fields: object) -> dict[str, object]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": index, "delta": fields, "finish_reason": finish}],
    }


def stream(*chunks: object) -> Answer:
    """The answer of a stream whose chunks arrive one a second, from second 0 on, with [DONE] in the last read."""
    reads = [(float(at), event(chunk)) for at, chunk in enumerate(chunks)]
    at, last = reads[-1]
    return CHAT.read([*reads[:-1], (at, last + DONE)], stream=True)


def whole(value: object) -> Answer:
    return CHAT.read([(1.0, orjson.dumps(value))], stream=False)


# -- the request ----------------------------------------------------------------------------------


def test_a_streamed_chat_asks_for_its_usage():
    messages = [{"role": "user", "content": "Hi"}]
    body = CHAT.body(Ask(model="m", stream=True, input=messages, parameters={"max_tokens": 5}, extra_body={}))
    assert body == {
        "model": "m",
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 5,
    }


def test_a_completion_that_does_not_stream_says_nothing_about_streaming():
    body = COMPLETIONS.body(Ask(model="m", stream=False, input="Once", parameters={}, extra_body={}))
    assert body == {"model": "m", "prompt": "Once"}


def test_extra_body_has_the_last_word():
    extra = {"stream_options": {"include_usage": True, "continuous_usage_stats": True}, "top_k": 3}
    body = CHAT.body(Ask(model="m", stream=True, input=[], parameters={"top_k": 1, "stop": ["."]}, extra_body=extra))
    assert body["top_k"] == 3
    assert body["stop"] == ["."]
    assert body["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}


def test_every_protocol_is_found_under_its_own_name():
    assert all(name == api.name for name, api in PROTOCOLS.items())
    assert (CHAT.family, CHAT.path) == ("llm", "chat/completions")
    assert (COMPLETIONS.family, COMPLETIONS.path) == ("llm", "completions")


# -- a stream, read whole -------------------------------------------------------------------------


def test_a_chat_stream_gives_every_fact():
    answer = stream(
        delta(role="assistant", content=""),
        delta(content="Hel"),
        delta(content="lo"),
        delta(finish="stop"),
        {"id": "chatcmpl-1", "model": "m", "choices": [], "usage": USAGE},
    )
    assert answer == Answer(
        arrivals=[(1.0, 1), (2.0, 1)],
        first_token_at=1.0,
        first_answer_at=1.0,
        usage=Usage(prompt=7, completion=2),
        tokens_from="usage",
        output_chars=5,
        finish_reason="stop",
        response_model="m",
        response_id="chatcmpl-1",
    )


def test_a_completion_stream_gives_every_fact():
    chunk = {"id": "cmpl-1", "object": "text_completion", "model": "m"}
    reads = [
        (1.0, event(chunk | {"choices": [{"index": 0, "text": "a", "logprobs": None, "finish_reason": None}]})),
        (2.0, event(chunk | {"choices": [{"index": 0, "text": "b", "finish_reason": "length"}]})),
        (3.0, event(chunk | {"choices": [], "usage": USAGE}) + DONE),
    ]
    assert COMPLETIONS.read(reads, stream=True) == Answer(
        arrivals=[(1.0, 1), (2.0, 1)],
        first_token_at=1.0,
        first_answer_at=1.0,
        usage=Usage(prompt=7, completion=2),
        tokens_from="usage",
        output_chars=2,
        finish_reason="length",
        response_model="m",
        response_id="cmpl-1",
    )


def test_an_answer_that_does_not_stream_has_facts_but_no_arrivals():
    answer = whole(
        {
            "id": "chatcmpl-1",
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "Hi", "reasoning_content": "Hm."},
                }
            ],
            "usage": USAGE,
        }
    )
    assert answer == Answer(
        usage=Usage(prompt=7, completion=2),
        tokens_from="usage",
        output_chars=5,
        finish_reason="stop",
        response_model="m",
        response_id="chatcmpl-1",
    )


def test_blank_lines_before_a_body_keep_a_connection_alive_and_mean_nothing():
    body = orjson.dumps({"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "Hi"}}]})
    answer = CHAT.read([(1.0, b"\n\n"), (2.0, b"\n" + body[:9]), (3.0, body[9:])], stream=False)
    assert (answer.finish_reason, answer.output_chars, answer.garbled) == ("stop", 2, None)


def test_a_server_may_answer_a_stream_with_one_object():
    answer = CHAT.read([(1.0, b'{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}')], stream=True)
    assert (answer.finish_reason, answer.missing, answer.arrivals) == ("stop", None, [])


# -- what is a token ------------------------------------------------------------------------------


def test_roles_and_empty_deltas_are_no_tokens():
    answer = stream(delta(role="assistant", content=""), delta(content=None, reasoning_content=""), delta(), FINISH)
    assert answer.arrivals == []
    assert answer.empty


def test_comments_pings_and_empty_events_are_no_tokens():
    reads = [
        (1.0, b": OPENROUTER PROCESSING\n\n"),
        (2.0, b'event: ping\ndata: {"type": "ping"}\n\n'),
        (3.0, b"data:\n\n"),
    ]
    answer = CHAT.read(reads, stream=True)
    assert (answer.arrivals, answer.garbled, answer.error) == ([], None, None)


def test_events_of_one_read_share_its_time_and_all_but_the_last_are_marked_as_merged():
    reads = [(1.0, event(delta(content="a")) + event(delta(content="b")) + event(delta(content="c"))), (2.0, DONE)]
    answer = CHAT.read(reads, stream=True)
    assert (answer.arrivals, answer.merged) == ([(1.0, 1), (1.0, 1), (1.0, 1)], 2)


# -- when the answer begins -----------------------------------------------------------------------


def test_the_answer_begins_after_the_reasoning():
    answer = stream(delta(reasoning_content="Hm"), delta(reasoning_content="."), delta(content="Yes"), FINISH)
    assert (answer.first_token_at, answer.first_answer_at, answer.output_chars) == (0.0, 2.0, 6)


def test_a_tool_call_is_an_answer():
    call = {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": ""}}
    assert stream(delta(reasoning_content="Hm"), delta(tool_calls=[call]), FINISH).first_answer_at == 1.0


def piece(identifier: str | None, name: str | None, arguments: object, **index: object) -> dict:
    return delta(tool_calls=[{"id": identifier, "function": {"name": name, "arguments": arguments}, **index}])


@pytest.mark.parametrize(
    "pieces",
    [
        [piece("a", "f", '{"x":', index=0), piece(None, None, "1}", index=0), piece("b", "g", "{}", index=1)],
        [piece("a", "f", '{"x":1}'), piece("b", "g", "{}")],
        [piece("a", "f", '{"x":1}', index=0), piece("b", "g", "{}", index=0)],
        [piece("a", "f", '{"x":', index=0), piece("a", "f", "1}", index=0), piece("b", "g", "{}", index=1)],
        [piece("a", "f", '{"x":', index=None), piece("", "", "1}", index=None), piece("b", "g", "{}", index=None)],
        [piece("a", "f", {"x": 1}, index=0), piece("b", "g", "{}", index=1)],
    ],
    ids=["in pieces", "no index", "one index for all", "name in each piece", "null as index", "arguments not as text"],
)
def test_calls_are_told_apart_however_a_server_numbers_them(pieces):
    calls = stream(*pieces, FINISH).tool_calls
    assert calls == (("a", "f", '{"x":1}'), ("b", "g", "{}"))


def test_a_call_whose_pieces_have_an_id_each_is_one_call():
    assert stream(piece("a", "f", "{", index=0), piece("b", None, "}", index=0), FINISH).tool_calls == (
        ("a", "f", "{}"),
    )


def test_each_choice_thinks_on_its_own():
    answer = stream(
        delta(index=0, content="<think>Hm"),
        delta(index=1, content="<think>Ah"),
        delta(index=1, content="</think>No"),
        delta(index=0, content="</think>Yes"),
    )
    assert answer.first_answer_at == 2.0


# -- tokens and usage -----------------------------------------------------------------------------


@pytest.mark.parametrize(("stated", "counted"), [(3, (6, "events")), (6, (6, "usage"))])
def test_usage_of_one_of_several_choices_is_not_that_of_all(stated, counted):
    """llama.cpp states it after the end of each choice."""
    texts = [delta(index, content=text) for text in ("a", "b", "c") for index in (0, 1)]
    usage = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": stated}}
    answer = stream(*texts, delta(0, "stop"), usage, delta(1, "stop"), usage)
    assert (answer.usage.completion, answer.tokens_from) == counted
    assert answer.usage.prompt == 9


def test_a_running_usage_says_how_many_tokens_each_event_holds():
    answer = stream(
        delta(role="assistant", content="") | {"usage": {"prompt_tokens": 7, "completion_tokens": 0}},
        delta(content="a b") | {"usage": {"prompt_tokens": 7, "completion_tokens": 2}},
        delta() | {"usage": {"prompt_tokens": 7, "completion_tokens": 3}},  # a parser swallowed a token
        delta(content="c d") | {"usage": {"prompt_tokens": 7, "completion_tokens": 5}},
        delta(content="e", finish="stop") | {"usage": {"prompt_tokens": 7, "completion_tokens": 6}},
        {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 6}},
    )
    assert answer.arrivals == [(1.0, 2), (3.0, 3), (4.0, 1)]
    assert answer.usage == Usage(prompt=7, completion=6)


def test_usage_on_the_last_text_alone_is_the_whole_answers_and_not_that_events():
    answer = stream(delta(content="a"), delta(content="b"), delta(content="c", finish="stop") | {"usage": USAGE})
    assert [tokens for _, tokens in answer.arrivals] == [1, 1, 1]
    assert answer.usage.completion == 2


def test_an_answer_that_comes_in_one_event_has_all_its_tokens_there():
    assert stream(delta(content="a b c", finish="stop") | {"usage": {"completion_tokens": 3}}).arrivals == [(0.0, 3)]


@pytest.mark.parametrize(
    "chunks",
    [
        [delta(content="ab") | {"usage": None}, FINISH | {"usage": None}, {"choices": [], "usage": USAGE}],
        [delta(content="ab"), FINISH | {"usage": USAGE}],
        [delta(content="ab"), FINISH | {"x_groq": {"id": "req_1", "usage": USAGE}}],
    ],
    ids=["a chunk of its own", "the finish chunk", "x_groq"],
)
def test_usage_is_found_wherever_a_server_puts_it(chunks):
    answer = stream(*chunks)
    assert (answer.usage, answer.tokens_from) == (Usage(prompt=7, completion=2), "usage")
    assert answer.arrivals == [(0.0, 1)]


def test_without_usage_every_content_event_counts_as_a_token():
    answer = stream(delta(content="a"), delta(content="b"), FINISH)
    assert (answer.usage, answer.tokens_from) == (Usage(completion=2), "events")


def test_without_usage_an_answer_that_does_not_stream_has_no_count():
    answer = whole({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})
    assert (answer.usage, answer.tokens_from) == (Usage(), "none")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "prompt_tokens": 3295,
                "completion_tokens": 137,
                "total_tokens": 3432,
                "prompt_tokens_details": {
                    "audio_tokens": 0,
                    "cached_tokens": 448,
                    "cache_creation_Prompt_tokens": 0,
                    "cache_read_Prompt_tokens": 0,
                },
            },
            Usage(3295, 137, cached=448),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 8,
                "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 6},
            },
            Usage(9, 8, reasoning=6, cached=0, cache_write=4),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 8, "prompt_cache_hit_tokens": 5, "prompt_cache_miss_tokens": 4},
            Usage(9, 8, cached=5),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 8, "reasoning_tokens": 0, "prompt_tokens_details": None},
            Usage(9, 8, reasoning=0),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 8, "cached_tokens": 3}, Usage(9, 8, cached=3)),
        ({"prompt_tokens": "9", "completion_tokens": 8, "prompt_tokens_details": "?"}, Usage(None, 8)),
    ],
    ids=["novita", "openai", "deepseek", "sglang", "top level", "nonsense"],
)
def test_usage_is_read_in_every_spelling(usage, expected):
    assert whole({"choices": [], "usage": usage}).usage == expected


def test_choices_interleave_and_every_one_needs_its_finish_reason():
    chunks = [delta(index=1, content="x"), delta(index=0, content="a"), delta(index=1, finish="length")]
    unfinished = stream(*chunks)
    assert (len(unfinished.arrivals), unfinished.missing) == (2, "the finish reason of 1 of its 2 choices")
    finished = stream(*chunks, delta(index=0, finish="stop"))
    assert (finished.finish_reason, finished.missing) == ("stop", None)


def test_a_chunk_with_two_choices_is_one_arrival_of_two_tokens():
    choices = [{"index": index, "delta": {"content": "a"}, "finish_reason": "stop"} for index in (0, 1)]
    assert stream({"choices": choices}).arrivals == [(0.0, 2)]


PIECES = [
    *(event(delta(content=text)) for text in ("a", " b", "", 'quote "', "line\n", "back\\", "é🙂", "[", '","')),
    event(delta(content="a", role="assistant")),
    event(delta(reasoning_content="hm")),
    event(delta(finish="stop")),
    event(FINISH | {"usage": USAGE}),
    event(delta(content="a")).replace(b"a", rb"\u00e9", 1),
    event(delta(content="half")).replace(b"half", b"half\\"),
    event(delta(content="bad")).replace(b"bad", b"\xff"),
    event(delta(content="CR")).replace(b"CR", b"C\rR"),
    b": a comment\n\n",
    DONE,
]


@given(st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=3), max_size=12))
def test_plain_chunks_taken_together_mean_what_they_mean_one_by_one(reads):
    """An event that two reads bring is never taken for a plain one."""
    together = [(float(at), event(delta(content="first"))) for at in range(2)]
    together += [(float(at), b"".join(pieces)) for at, pieces in enumerate(reads, start=2)]
    apart = [(at, part) for at, data in together for part in (data[:1], data[1:])]
    assert CHAT.read(together, stream=True) == CHAT.read(apart, stream=True)


# -- the server's own times -----------------------------------------------------------------------


def test_timings_of_llama_cpp_are_kept_as_they_are():
    timings = {"cache_n": 1, "prompt_n": 8, "prompt_ms": 12.5, "predicted_n": 2, "predicted_ms": 20.25, "note": "warm"}
    expected = {"cache_n": 1, "prompt_n": 8, "prompt_ms": 12.5, "predicted_n": 2, "predicted_ms": 20.25}
    assert stream(delta(content="a"), FINISH | {"timings": timings}).server == expected


def test_the_simulators_moments_are_kept_as_they_are():
    moments = {"arrived": 10.0, "first_token": 10.5, "last_token": 11.0, "sent": 11.001}
    assert stream(delta(content="a"), {"choices": [], "simulator": moments}).server == moments


def test_times_inside_groqs_usage_are_kept():
    usage = USAGE | {"queue_time": 0.25, "prompt_time": 0.5}
    assert stream(delta(content="a"), FINISH | {"x_groq": {"usage": usage}}).server == {
        "queue_time": 0.25,
        "prompt_time": 0.5,
    }


# -- errors inside a success ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (
            b'data: {"error": {"message": "slow", "type": "tokens", "param": null, "code": "rate_limit_exceeded"}}\n\n',
            "rate_limit_exceeded tokens: slow",
        ),
        (
            b'data: {"code": 429, "reason": "RATE_LIMIT_EXCEEDED", "message": "slow down", "metadata": {}}\n\n',
            "429 RATE_LIMIT_EXCEEDED: slow down",
        ),
        (b'data: {"code": "500", "message": "oh no"}\n\n', "500: oh no"),
        (
            b'data: {"id": "gen-1", "error": {"code": 429, "message": "slow down"}, '
            b'"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]}\n\n',
            "429: slow down",
        ),
        (
            b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "abort"}]}\n\n',
            "the server broke off with finish_reason abort",
        ),
        (
            b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Sorry"}}\n\n',
            "overloaded_error: Sorry",
        ),
        (b"event: error\ndata: upstream died\n\n", "upstream died"),
        (
            b'data: {"object": "error", "message": "long", "type": "BadRequestError", "param": null, "code": 400}\n\n',
            "400 BadRequestError: long",
        ),
        (b'data: {"error": "Unauthorized"}\n\n', "Unauthorized"),
    ],
    ids=[
        "openai",
        "novita",
        "flat",
        "openrouter",
        "sglang abort",
        "event",
        "event of text",
        "sglang",
        "word",
    ],
)
def test_an_error_of_any_shape_is_found_inside_a_stream(data, error):
    assert CHAT.read([(1.0, event(delta(content="a"))), (2.0, data + DONE)], stream=True).error == error


@pytest.mark.parametrize("stream_asked", [True, False])
def test_an_error_is_found_in_a_body_that_does_not_stream(stream_asked):
    body = b'{"error": {"message": "no", "code": 500}}'
    assert CHAT.read([(1.0, body)], stream=stream_asked).error == "500: no"


@pytest.mark.parametrize(
    "chunk",
    [
        delta(content="a") | {"error": None},
        delta(content="a") | {"code": 0, "message": ""},
        {"code": 0, "message": "ok"},
        {"choices": [], "usage": USAGE},
        {"type": "ping"},
    ],
)
def test_an_answer_is_no_error(chunk):
    assert stream(chunk, FINISH).error is None


# -- answers that are broken ----------------------------------------------------------------------


def test_a_stream_without_its_terminator_says_so():
    answer = CHAT.read([(1.0, event(delta(content="a")) + event(FINISH))], stream=True)
    assert answer.missing == "its terminator, data: [DONE]"


def test_a_terminator_without_its_blank_line_is_none_but_is_shown():
    answer = CHAT.read([(1.0, event(delta(content="a")) + event(FINISH) + b"data: [DONE]\n")], stream=True)
    assert answer.missing == "its terminator, data: [DONE]; it breaks off inside an event: b'[DONE]'"


@pytest.mark.parametrize("more", [event(delta(content="a")), event(delta(content="b", role="assistant"))])
def test_output_after_the_terminator_is_not_taken_for_more_of_the_answer(more):
    plain = [(float(at), event(delta(content="a"))) for at in range(3)]
    answer = CHAT.read([*plain, (3.0, event(FINISH) + DONE), (4.0, more), (5.0, event(FINISH) + DONE)], stream=True)
    assert answer.garbled.startswith("followed by more output after its end: ")


def test_what_is_no_output_may_follow_the_terminator():
    after = b": bye\n\n" + event({"choices": [], "usage": USAGE}) + DONE
    answer = CHAT.read([(1.0, event(delta(content="a")) + event(FINISH) + DONE + after)], stream=True)
    assert (answer.garbled, answer.missing, answer.usage.completion) == (None, None, 2)


def test_a_stream_that_never_finishes_says_so():
    assert stream(delta(content="a")).missing == "a finish reason"


def test_nothing_at_all_lacks_a_finish_reason():
    assert CHAT.read([], stream=True).missing == "a finish reason"
    assert CHAT.read([], stream=False).missing == "a finish reason"


@pytest.mark.parametrize(
    "data",
    [
        b"{oops}",
        b"[1]",
        b"7",
        b'"text"',
        b'{"choices": 5}',
        b'{"choices": ["a"]}',
        b'{"choices": [{"delta": {"content": 5}}]}',
        b'{"choices": [{"delta": {"tool_calls": [{"function": {"arguments": {}, "name": 1}}]}}]}',
        b'{"usage": "many"}',
    ],
)
def test_what_is_not_the_protocol_is_noted_and_never_raises(data):
    answer = CHAT.read([(1.0, event(delta(content="a"))), (2.0, b"data: " + data + b"\n\n" + DONE)], stream=True)
    assert answer.garbled is not None
    assert CHAT.read([(1.0, data)], stream=False).garbled is not None
    assert CHAT.token_times([(1.0, b"data: " + data + b"\n\n")]) == (None, None)


CHUNK_KEYS = st.sampled_from(["choices", "usage", "x_groq", "timings", "error", "code", "message", "detail"])
CHOICE_KEYS = st.sampled_from(
    ["delta", "message", "index", "finish_reason", "content", "tool_calls", "function", "audio"]
)
USAGE_KEYS = st.sampled_from(["prompt_tokens", "completion_tokens", "prompt_tokens_details", "cached_tokens"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(CHUNK_KEYS | CHOICE_KEYS | USAGE_KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_json_of_a_server_makes_reading_raise(value):
    CHAT.token_times([(1.0, event(value))])
    for stream_asked in (True, False):
        for body in (orjson.dumps(value), event(value)):
            CHAT.read([(1.0, body)], stream=stream_asked)


# -- token times for the timeouts -----------------------------------------------------------------


def test_token_times_are_those_of_the_first_and_the_last_token_so_far():
    reads = [
        (1.0, b": wait\n\n" + event(delta(role="assistant", content=""))),
        (2.0, event(delta(reasoning_content="Hm"))),
        (3.0, event(delta(content="Yes"))[:20]),
        (4.0, event(delta(content="Yes"))[20:]),
        (5.0, event(delta(content=""))),
        (6.0, b": wait\n\n"),
    ]
    assert CHAT.token_times(reads) == (2.0, 4.0)
    assert CHAT.token_times(reads[:1]) == (None, None)


@pytest.mark.parametrize("seed", range(20))
def test_plain_streams_are_read_the_same_whether_or_not_a_pattern_is_seen(seed):
    rng = random.Random(seed)
    pieces = ["a", " the", '"', "\\", "\n", "é", "🙂", "", " data: x", "</think>", '"content":']
    chunks = [
        {"id": "i", "choices": [{"index": rng.choice([0, 0, 0, 1]), "delta": {"content": rng.choice(pieces)}}]}
        for _ in range(60)
    ]
    ends = [{"id": "i", "choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]} for index in (0, 1)]
    dumps = rng.choice([json.dumps, lambda chunk: json.dumps(chunk, ensure_ascii=False, separators=(",", ":"))])
    events = [b"data: " + dumps(chunk).encode() + b"\n\n" for chunk in [*chunks, *ends]] + [b"data: [DONE]\n\n"]
    reads = [(0.01 * number, event) for number, event in enumerate(events)]
    halves = [(at, half) for at, event in reads for half in (event[:9], event[9:])]
    api = PROTOCOLS["chat"]
    assert api.read(reads, stream=True) == api.read(halves, stream=True)
