"""What is generated text in a choice, and where inline reasoning ends."""

from __future__ import annotations

import pytest

from bench.wire.generated import Piece, Run, arrival_of, pattern_of, piece_of, plain_text, thoughts_end


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "a"},
        {"content": [{"type": "text", "text": "a"}]},
        {"role": "assistant", "content": "a"},
        {"content": None, "reasoning_content": "a"},
        {"content": "", "reasoning": "a"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "a", "index": 0}]},
        {"refusal": "a"},
        {"tool_calls": [{"index": 0, "id": "0", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]},
        {"function_call": {"name": "f"}},
        {"audio": {"id": "a", "transcript": "a"}},
        {"audio": {"data": "UklGRg=="}},
    ],
)
def test_any_generated_output_is_a_token(fields):
    assert any(piece_of({"delta": fields}))


@pytest.mark.parametrize(
    "fields",
    [
        {"role": "assistant"},
        {"role": "assistant", "content": ""},
        {"content": None, "reasoning_content": ""},
        {"reasoning_details": []},
        {"tool_calls": [{"index": 0, "id": "call_1", "function": None}]},
        {"tool_calls": None, "audio": None, "function_call": None, "refusal": None},
        {},
    ],
)
def test_roles_and_empty_deltas_are_no_tokens(fields):
    assert not any(piece_of({"delta": fields}))


def test_all_three_forms_of_a_choice_are_read():
    assert piece_of({"delta": {"content": "a"}}) == Piece("a")
    assert piece_of({"message": {"role": "assistant", "content": "a"}}) == Piece("a")
    assert piece_of({"text": "a", "logprobs": None}) == Piece("a")


def test_the_short_cut_takes_plain_text_alone():
    assert plain_text({"delta": {"content": "a"}}) == "a"
    assert plain_text({"delta": {"content": "a", "reasoning_content": "b"}}) is None
    assert plain_text({"delta": {"reasoning_content": "b"}}) is None
    assert plain_text({"delta": {}}) is None
    assert plain_text({"text": "a"}) is None


def test_reasoning_under_several_names_counts_once():
    details = [{"type": "reasoning.text", "text": "Hm", "id": "reasoning-text-1", "index": 0}]
    fields = {"role": "assistant", "reasoning_content": "Hm", "reasoning": "Hm", "reasoning_details": details}
    assert piece_of({"delta": fields}) == Piece("", reasoning="Hm")


def test_reasoning_may_be_a_part_of_the_content():
    thoughts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}, {"type": "text", "text": "Yes"}]
    assert piece_of({"delta": {"content": thoughts}}) == Piece("Yes", reasoning="Hm")


@pytest.mark.parametrize(
    ("texts", "answer_at"),
    [
        (["<think>", "Hm", "</think>", "\n\n", "Yes"], 4.0),
        (["\n<think>Hm</think> Yes", "."], 0.0),
        (["<th", "ink>Hm</", "think>", "Yes"], 3.0),
        (["Hm, as the template thinks first.", "</think>", "\n", "Yes"], 3.0),
        (["<think>", "Hm", " and never an answer"], None),
        (["<think>", "Hm", "</think>", "\n"], None),
        (["<", "b>bold"], 0.0),
        (["About <think> and </think>: they are tags."], 0.0),
    ],
)
def test_inline_reasoning_ends_with_its_tag(texts, answer_at):
    begin = thoughts_end("".join(texts))
    assert arrival_of(begin, [(float(at), text) for at, text in enumerate(texts)]) == answer_at


CHUNK = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}],"usage":null}\n\n'


def test_a_pattern_is_what_stands_around_plain_text():
    pattern = pattern_of(CHUNK % b"Hi", "Hi")
    reads = [
        (1.0, CHUNK % b" there"),
        (2.0, CHUNK % "é🙂".encode()),
        (3.0, CHUNK % rb"a\"b\\" + CHUNK % rb"\n\u00e9"),
        (4.0, CHUNK % b"c"),
    ]
    assert pattern.run(reads, 0) == Run(4, [1.0, 2.0, 3.0, 3.0, 4.0], [" there", "é🙂", 'a"b\\', "\né", "c"])


@pytest.mark.parametrize(
    "read",
    [
        CHUNK % b"",
        CHUNK % b'","role":"x',
        CHUNK % b'","x',
        CHUNK % b'",["x","y"],"z',
        CHUNK % b"half an escape \\",
        CHUNK % rb"\q",
        CHUNK % rb"\ud83d",
        CHUNK % b"a\nb",
        CHUNK % b"a\rb",
        CHUNK % b"\xff",
        (CHUNK % b"a") + b": a comment\n\n" + (CHUNK % b"b"),
        (CHUNK % b"a") + (CHUNK % b""),
    ],
    ids=[
        "empty", "another key", "two strings", "a list", "half an escape", "no escape", "half a pair", "line end", "CR",
        "not UTF-8", "a comment between", "an empty one behind",
    ],
)  # fmt: skip
def test_what_looks_plain_and_is_not_is_left_to_the_parser(read):
    pattern = pattern_of(CHUNK % b"Hi", "Hi")
    assert pattern.run([(1.0, CHUNK % b"good"), (2.0, read), (3.0, CHUNK % b"good")], 0) == Run(3, [], None)


def test_pieces_that_only_together_would_be_strings_are_none():
    """Quotes that the text of one chunk opens and another's closes."""
    pattern = pattern_of(CHUNK % b"Hi", "Hi")
    for texts in ([b"a\\", b'b","c'], [b'a",["b', b"c", b'd"],"e'], [b'a",', b',"b']):
        assert pattern.run([(1.0, CHUNK % text) for text in texts], 0) == Run(len(texts), [], None)


@pytest.mark.parametrize(
    "read",
    [
        (CHUNK % b"a")[:-1],
        (CHUNK % b"a").replace(b'"index":0', b'"index":1'),
        (CHUNK % b"a").replace(b"null}]", b'"stop"}]'),
        (CHUNK % b"a").replace(b"\n\n", b"\r\n\r\n"),
    ],
    ids=["half", "another choice", "finish", "CRLF"],
)
def test_what_is_not_of_the_pattern_is_left_to_the_parser(read):
    good = (1.0, CHUNK % b"good")
    assert pattern_of(CHUNK % b"Hi", "Hi").run([good, good, (2.0, read), good], 1) == Run(1, [1.0], ["good"])


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (CHUNK.replace(b'"id":"x"', b'"content":"x"') % b"Hi", "Hi"),
        (CHUNK % rb"\u0041", "A"),
        ((CHUNK % b"Hi") * 2, "Hi"),
        (b'data: {"choices":[{"delta":{"content":\ndata: "Hi"}}]}\n\n', "Hi"),
    ],
    ids=["key twice", "escaped", "two events", "two lines"],
)
def test_an_event_that_could_mislead_makes_no_pattern(read, text):
    assert pattern_of(read, text) is None
