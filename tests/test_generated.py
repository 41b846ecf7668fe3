"""What is generated text in a choice, and where inline reasoning ends."""

from __future__ import annotations

import pytest

from bench.wire.generated import Piece, answer_starts_at, piece_of, plain_text


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
    assert answer_starts_at([(float(at), text) for at, text in enumerate(texts)]) == answer_at
