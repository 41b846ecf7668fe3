"""OpenAI's responses: what is sent, what is read out of a stream however it is cut, and the official client's word."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel

from bench.wire.answer import Usage
from bench.wire.ask import Ask
from bench.wire.exchange import Exchange
from bench.wire.outcome import judge
from bench.wire.responses import Responses
from tests.conftest import serving

API = Responses()
USAGE = {
    "input_tokens": 20, "input_tokens_details": {"cached_tokens": 8}, "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 25,
}  # fmt: skip


def events(*pairs: tuple[str, dict]) -> bytes:
    return b"".join(f"event: {kind}\ndata: {json.dumps({'type': kind} | event)}\n\n".encode() for kind, event in pairs)


def response(status: str = "completed", **more: object) -> dict:
    return {"id": "resp_1", "object": "response", "model": "m", "status": status, "output": [], "usage": USAGE} | more


def message(text: str) -> dict:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


STREAM = events(
    ("response.created", {"response": response("in_progress", usage=None)}),
    ("response.reasoning_summary_text.delta", {"delta": "hm"}),
    ("response.output_item.added", {"output_index": 1, "item": {"type": "message", "content": []}}),
    ("response.output_text.delta", {"delta": "Hel"}),
    ("response.output_text.delta", {"delta": "lo"}),
    ("response.output_text.done", {"text": "Hello"}),
    ("response.completed", {"response": response(output=[message("Hello")])}),
)


def read(data: bytes, *, stream: bool = True, cut: int | None = None):
    """The answer in these bytes, come in one read at 1 s or in two at 1 and 2 s."""
    reads = [(1.0, data)] if cut is None else [(1.0, data[:cut]), (2.0, data[cut:])]
    return API.read(reads, stream=stream)


def outcome(data: bytes, *, stream: bool = True) -> str:
    exchange = Exchange(sent=0.0, status=200, complete=True, reads=[(1.0, data)], done=1.0)
    return judge(exchange, read(data, stream=stream))[0]


def test_chat_messages_become_items():
    parts = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "u", "detail": "low"}}]
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    asked = Ask(
        model="m", stream=True, input=[{"role": "user", "content": parts}, call], parameters={"max_output_tokens": 9}
    )
    assert API.body(asked) == {
        "model": "m",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Look"},
                    {"type": "input_image", "image_url": "u", "detail": "low"},
                ],
            },
            call,
        ],
        "stream": True,
        "max_output_tokens": 9,
    }


def test_a_stream_is_read_with_reasoning_and_answer_apart():
    answer = read(STREAM)
    assert [tokens for _, tokens in answer.arrivals] == [1, 1, 1]
    assert (answer.contents, answer.finish_reason, answer.response_id) == (("Hello",), "stop", "resp_1")
    usage = answer.usage
    assert (usage.prompt, usage.cached, usage.completion, usage.reasoning) == (20, 8, 5, 2)
    assert (answer.tokens_from, answer.output_chars, answer.missing) == ("usage", 7, None)


def test_every_cut_of_the_same_bytes_gives_the_same_answer():
    whole = read(STREAM)
    for cut in range(1, len(STREAM)):
        answer = read(STREAM, cut=cut)
        assert (answer.contents, answer.usage, len(answer.arrivals)) == (whole.contents, whole.usage, 3)
        assert answer.first_token_at <= answer.first_answer_at


CALLED = events(
    ("response.output_item.added", {"item": {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}}),
    ("response.function_call_arguments.delta", {"delta": '{"a":'}),
    ("response.function_call_arguments.delta", {"delta": " 1}"}),
    ("response.completed", {"response": response(output=[
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1}'}])}),
)  # fmt: skip


def test_a_call_counts_as_an_answer_and_is_told_its_result():
    answer = read(CALLED)
    assert len(answer.arrivals) == 3
    assert answer.first_answer_at == 1.0
    assert answer.finish_reason == "tool_calls"
    assert API.reply(answer, {"f": "done"}) == [
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "c", "output": "done"},
    ]


@pytest.mark.parametrize("odd", [None, 5, [2], {"a": 1}, True])
def test_a_call_of_another_shape_is_still_one_of_texts(odd):
    call = {"type": "function_call", "call_id": odd, "name": odd, "arguments": odd}
    answer = read(json.dumps(response(output=[call])).encode(), stream=False)
    assert all(isinstance(text, str) for text in answer.tool_calls[0])
    assert len(API.reply(answer, {"f": "done"})) == 2


@pytest.mark.parametrize("kind", ["custom_tool_call", "image_generation_call", "web_search_call"])
def test_an_answer_that_only_calls_a_tool_of_another_kind_is_not_empty(kind):
    whole = response(output=[{"type": kind, "name": "shell", "input": "ls"}])
    assert outcome(json.dumps(whole).encode(), stream=False) == "ok"


def test_the_input_of_a_custom_tool_is_output():
    call = {"type": "custom_tool_call", "call_id": "c", "name": "shell", "input": "ls"}
    answer = read(
        events(
            ("response.output_item.added", {"item": call | {"input": ""}}),
            ("response.custom_tool_call_input.delta", {"delta": "ls"}),
            ("response.completed", {"response": response(output=[call])}),
        )
    )
    assert len(answer.arrivals) == 2
    assert answer.first_answer_at == answer.first_token_at


def test_without_a_count_of_its_output_the_rest_of_the_usage_is_kept():
    stated = {"input_tokens": 20, "input_tokens_details": {"cached_tokens": 8}}
    data = events(
        ("response.output_text.delta", {"delta": "Hi"}), ("response.completed", {"response": response(usage=stated)})
    )
    assert read(data).usage == Usage(prompt=20, completion=1, cached=8)


def test_a_response_that_was_cancelled_says_so():
    assert "it is cancelled" in read(json.dumps(response("cancelled")).encode(), stream=False).missing


FAILED = response("failed", error={"code": "server_error", "message": "no"}, output=[])
CUT = response("incomplete", incomplete_details={"reason": "max_output_tokens"}, output=[message("Hel")])


@pytest.mark.parametrize(
    ("data", "stream", "expected"),
    [
        (STREAM, True, "ok"),
        (STREAM + b"data: [DONE]\n\n", True, "ok"),
        (STREAM + STREAM, True, "protocol"),
        (STREAM[:-200], True, "truncated"),
        (events(("response.output_text.delta", {"delta": "Hi"})), True, "truncated"),
        (events(("response.incomplete", {"response": CUT})), True, "ok"),
        (events(("response.failed", {"response": FAILED})), True, "stream_error"),
        (events(("error", {"code": "x", "message": "no"})), True, "stream_error"),
        (b'data: {"error": {"message": "no"}}\n\n', True, "stream_error"),
        (b"data: {nonsense\n\n", True, "protocol"),
        (events(("response.completed", {"response": response()})), True, "empty"),
        (events(("response.completed", {"response": response(output=7)})), True, "protocol"),
        (events(("response.created", {"response": 5})), True, "truncated"),
        (events(("response.created", {"response": ["x"]})) + STREAM, True, "ok"),
        (events(("response.incomplete", {"response": CUT | {"incomplete_details": [5]}})), True, "ok"),
        (json.dumps(response(output=[message("Hi")])).encode(), False, "ok"),
        (json.dumps(response(output=[message("Hi")])).encode(), True, "ok"),
        (json.dumps(FAILED).encode(), False, "stream_error"),
        (json.dumps(response("in_progress")).encode(), False, "truncated"),
        (b'{"error": {"message": "no"}}', False, "stream_error"),
        (b"[]", False, "protocol"),
    ],
)
def test_each_ending_has_its_outcome(data, stream, expected):
    assert outcome(data, stream=stream) == expected


def test_an_answer_that_is_cut_off_says_so_in_chats_word():
    assert read(events(("response.incomplete", {"response": CUT}))).finish_reason == "length"


# -- the official client ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    import openai  # here: it takes a second, and every process of pytest imports every module of tests

    models = {"m": {"ttft": [0, 0], "decode_per_token": 0, "reasoning_tokens": 5}}
    with (
        serving(tmp_path_factory.mktemp("responses"), models=models, errors="openai") as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as ours,
    ):
        yield ours


def test_the_official_client_reads_a_whole_response(client):
    answer = client.responses.create(
        model="m", input="Hello", max_output_tokens=40, extra_body={"ignore_eos": True, "enable_thinking": False}
    )
    assert answer.status == "incomplete"
    assert answer.output_text
    assert answer.usage.output_tokens == 40


def test_the_official_client_reads_a_stream_with_reasoning(client):
    with client.responses.stream(
        model="m", input="Hello", max_output_tokens=400, reasoning={"effort": "high"}
    ) as stream:
        kinds = [event.type for event in stream]
        last = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds.index("response.reasoning_text.delta") < kinds.index("response.output_text.delta")
    assert last.usage.output_tokens_details.reasoning_tokens == 5
    assert [item.type for item in last.output] == ["reasoning", "message"]


def test_the_official_client_calls_a_tool_and_parses_a_schema(client):
    class Person(BaseModel):
        name: str
        age: int

    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"type": "function", "name": "get_weather", "parameters": parameters, "strict": False}
    called = client.responses.create(model="m", input="Weather?", tools=[tool], tool_choice="required")
    [call] = [item for item in called.output if item.type == "function_call"]
    assert set(json.loads(call.arguments)) == {"city"}
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "18"}
    told = client.responses.create(model="m", input=[*called.output, output], max_output_tokens=20)
    assert told.output
    parsed = client.responses.parse(model="m", input="Ada, 36", text_format=Person)
    assert isinstance(parsed.output_parsed, Person)
