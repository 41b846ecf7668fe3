"""Anthropic's messages: what is asked, and what is read out of events in any pieces."""

from __future__ import annotations

from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.wire.answer import Answer, ToolCall, Usage
from bench.wire.ask import Ask
from bench.wire.protocols import PROTOCOLS

MESSAGES = PROTOCOLS["messages"]
START = {"type": "message_start", "message": {"id": "msg_1", "model": "m", "content": [], "stop_reason": None,
         "usage": {"input_tokens": 25, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 5,
                   "output_tokens": 1}}}  # fmt: skip
STOP = {"type": "message_stop"}


def event(value: dict) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (value["type"].encode(), orjson.dumps(value))


def opened(index: int, **block: object) -> dict:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: object) -> dict:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def ended(reason: str = "end_turn", **usage: object) -> dict:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


def stream(*events: dict) -> Answer:
    """The answer of a stream whose events arrive one a second, from second 0 on."""
    return MESSAGES.read([(float(at), event(one)) for at, one in enumerate(events)], stream=True)


TEXT = (
    START,
    {"type": "ping"},
    opened(0, type="text", text=""),
    delta(0, "text_delta", text="Hel"),
    delta(0, "text_delta", text="lö"),
    {"type": "content_block_stop", "index": 0},
    ended(output_tokens=15),
    STOP,
)


def test_a_stream_gives_every_fact_and_counts_all_of_the_input():
    answer = stream(*TEXT)
    assert answer == Answer(
        arrivals=[(3.0, 1), (4.0, 1)],
        first_token_at=3.0,
        first_answer_at=3.0,
        usage=Usage(prompt=40, completion=15, cached=10, cache_write=5),
        tokens_from="usage",
        output_chars=5,
        finish_reason="end_turn",
        response_model="m",
        response_id="msg_1",
    )
    assert answer.contents == ("Hellö",)


@given(st.lists(st.integers(1, 400), max_size=8))
def test_every_split_of_the_same_bytes_gives_the_same_answer(cuts):
    data = b"".join(map(event, TEXT))
    edges = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    reads = [(1.0, data[begin:end]) for begin, end in pairwise(edges)]
    answer = MESSAGES.read(reads, stream=True)
    assert (answer.contents, answer.usage, len(answer.arrivals)) == (("Hellö",), Usage(40, 15, None, 10, 5), 2)


def test_thoughts_are_tokens_and_no_answer():
    answer = stream(
        START,
        opened(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="Hm."),
        delta(0, "signature_delta", signature="abc"),
        {"type": "content_block_stop", "index": 0},
        opened(1, type="text", text=""),
        delta(1, "text_delta", text="Yes."),
        ended(output_tokens=4, output_tokens_details={"thinking_tokens": 2}),
        STOP,
    )
    assert (answer.first_token_at, answer.first_answer_at) == (2.0, 6.0)
    assert answer.usage.reasoning == 2
    assert answer.contents == ("Yes.",)


def test_a_tools_name_is_the_first_fragment_of_its_call_and_the_input_is_put_together():
    answer = stream(
        START,
        opened(0, type="tool_use", id="toolu_1", name="get_weather", input={}),
        delta(0, "input_json_delta", partial_json=""),
        delta(0, "input_json_delta", partial_json='{"city": '),
        delta(0, "input_json_delta", partial_json='"Paris"}'),
        ended("tool_use", output_tokens=9),
        STOP,
    )
    assert answer.first_token_at == 1.0
    assert len(answer.arrivals) == 3
    assert answer.tool_calls == (ToolCall("toolu_1", "get_weather", '{"city": "Paris"}'),)
    said, told = MESSAGES.reply(answer, {"get_weather": "sunny"})
    assert said["content"] == [{"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}]
    assert told["content"] == [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}]


@pytest.mark.parametrize(
    ("events", "missing"),
    [
        (TEXT[:4], "a stop reason"),
        (TEXT[:-1], "its terminator, event: message_stop"),
    ],
)
def test_a_stream_that_breaks_off_lacks_something(events, missing):
    assert stream(*events).missing == missing


def test_the_input_of_a_tool_that_the_server_calls_itself_is_no_part_of_the_text():
    answer = stream(
        START,
        opened(0, type="server_tool_use", id="s1", name="web_search", input={}),
        delta(0, "input_json_delta", partial_json='{"query": "w'),
        delta(0, "input_json_delta", partial_json='eather"}'),
        opened(1, type="web_search_tool_result", tool_use_id="s1", content=[]),
        opened(2, type="text", text=""),
        delta(2, "text_delta", text="It rains."),
        opened(3, type="tool_use", id="t1", name="note", input={}),
        ended("tool_use", output_tokens=30),
        STOP,
    )
    assert (answer.contents, answer.tool_calls) == (("It rains.",), (ToolCall("t1", "note", "{}"),))
    assert answer.message["content"][0] == {
        "type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "weather"},
    }  # fmt: skip


@pytest.mark.parametrize("usage", [{}, {"output_tokens": None}])
def test_the_count_at_the_start_of_a_stream_is_not_taken_for_that_of_its_end(usage):
    answer = stream(START, *[delta(0, "text_delta", text="x")] * 7, ended(**usage), STOP)
    assert (answer.usage, answer.tokens_from) == (Usage(prompt=40, completion=7, cached=10, cache_write=5), "events")


def test_a_text_is_read_although_nothing_said_that_its_block_begins():
    answer = stream(
        START,
        delta(0, "thinking_delta", thinking="Hm"),
        delta(1, "text_delta", text="Hel"),
        delta(1, "text_delta", text="lo"),
        ended(output_tokens=3),
        STOP,
    )
    assert (answer.contents, answer.output_chars, answer.empty, answer.garbled) == (("Hello",), 7, False, None)


def test_a_second_answer_in_the_stream_is_not_taken_for_more_of_the_first():
    assert stream(*TEXT, *TEXT).garbled.startswith("followed by more output after its end: ")
    assert stream(*TEXT, {"type": "ping"}, STOP).garbled is None


def test_an_error_event_is_an_error_even_without_its_name():
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert stream(START, error).error == "overloaded_error: Overloaded"
    unnamed = MESSAGES.read([(0.0, event(START)), (1.0, b"data: " + orjson.dumps(error) + b"\n\n")], stream=True)
    assert unnamed.error == "overloaded_error: Overloaded"


def test_garbage_is_told_and_not_raised():
    assert "not JSON" in MESSAGES.read([(0.0, b"event: ping\ndata: {\n\n")], stream=True).garbled
    assert "another shape" in MESSAGES.read([(0.0, b"[1]")], stream=False).garbled
    assert "another shape" in stream(START, {"type": "content_block_delta"}).garbled


def test_a_whole_message_is_read():
    body = {"id": "msg_2", "model": "m", "type": "message", "stop_reason": "tool_use",
            "usage": {"input_tokens": 3, "output_tokens": 7},
            "content": [{"type": "text", "text": "Let me see."}, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]}  # fmt: skip
    answer = MESSAGES.read([(1.0, orjson.dumps(body))], stream=False)
    assert answer.tool_calls == (ToolCall("t", "f", '{"a":1}'),)
    assert (answer.finish_reason, answer.usage) == ("tool_use", Usage(prompt=3, completion=7))
    assert answer.missing is None


def test_openai_style_messages_become_anthropics():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                                     {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                                     {"type": "text", "text": "What?"}]},
    ]  # fmt: skip
    parameters = {"max_tokens": 9, "cache_control": "1h"}
    body = MESSAGES.body(Ask(model="m", stream=True, input=messages, parameters=parameters, extra_body={"top_k": 3}))
    mark = {"type": "ephemeral", "ttl": "1h"}
    assert body == {
        "model": "m",
        "max_tokens": 9,
        "stream": True,
        "top_k": 3,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": mark}],
        "messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
            {"type": "text", "text": "What?", "cache_control": mark},
        ]}],
    }  # fmt: skip
