"""Tool calls in OpenAI's form: put together from fragments, timed by the first of them, and answered in a next turn."""

from __future__ import annotations

import orjson

from bench.wire.answer import Answer, ToolCall
from bench.wire.protocols import PROTOCOLS

CHAT = PROTOCOLS["chat"]
ROLE = {"role": "assistant", "content": None}


def event(delta: dict, finish: str | None = None) -> bytes:
    return b"data: " + orjson.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}) + b"\n\n"


def fragment(index: int | None = 0, **call: object) -> dict:
    return {"tool_calls": [call if index is None else {"index": index, **call}]}


def stream(*deltas: dict) -> Answer:
    """The answer of a stream whose chunks arrive one a second, from second 0 on."""
    reads = [(float(at), event(delta)) for at, delta in enumerate(deltas)]
    return CHAT.read([*reads, (float(len(reads)), event({}, "tool_calls") + b"data: [DONE]\n\n")], stream=True)


def test_fragments_are_put_together_and_the_first_is_the_first_token():
    answer = stream(
        ROLE,
        fragment(id="call_1", type="function", function={"name": "get_weather", "arguments": ""}),
        fragment(function={"arguments": '{"city": '}),
        fragment(function={"arguments": '"Paris"}'}),
    )
    assert answer.tool_calls == (ToolCall("call_1", "get_weather", '{"city": "Paris"}'),)
    assert (answer.first_token_at, answer.first_answer_at) == (1.0, 1.0)
    assert len(answer.arrivals) == 3
    assert answer.finish_reason == "tool_calls"
    assert answer.missing is None
    assert not answer.empty


def test_calls_side_by_side_are_told_apart_by_their_index():
    answer = stream(
        fragment(0, id="0", function={"name": "f", "arguments": "{"}),
        fragment(1, id="1", function={"name": "g", "arguments": "{"}),
        fragment(0, function={"arguments": "}"}),
        fragment(1, function={"arguments": "}"}),
    )
    assert answer.tool_calls == (ToolCall("0", "f", "{}"), ToolCall("1", "g", "{}"))


def test_an_id_that_comes_with_every_fragment_counts_once():
    answer = stream(
        fragment(id="a", function={"name": "f", "arguments": "{"}), fragment(id="a", function={"arguments": "}"})
    )
    assert answer.tool_calls == (ToolCall("a", "f", "{}"),)


def test_a_whole_answer_may_number_its_calls_or_not():
    for calls in (
        [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}] * 2,
        [{"index": n, "id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in range(2)],
    ):
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        body = orjson.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]})
        assert CHAT.read([(1.0, body)], stream=False).tool_calls == (ToolCall("1", "f", "{}"),) * 2


def test_a_next_turn_repeats_the_call_and_brings_the_result():
    answer = stream({"content": "Let me see."}, fragment(id="c", function={"name": "f", "arguments": '{"a":1}'}))
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    assert CHAT.reply(answer, {"f": "18 degrees"}) == [
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "18 degrees"},
    ]
    assert CHAT.reply(stream({"content": "No."}), {"f": "x"}) == [{"role": "assistant", "content": "No."}]


def test_broken_fragments_are_no_reason_to_stop_reading():
    answer = stream(
        {"tool_calls": [{"index": 0, "function": None}]},
        {"tool_calls": [{"function": {"name": None, "arguments": None}}]},
    )
    assert answer.tool_calls == (ToolCall("", "", ""),)
    assert answer.garbled is None
