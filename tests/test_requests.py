"""The requests of a run: a pure function of the seed, and the prompts that were asked for."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from bench.experiments import read_scenario
from bench.plan import Fit, Mistakes, RequestPlan, fit, words


def plan_of(folder, requests, *, seed=1, models="[m]", fits=None):
    path = folder / "s.yaml"
    path.write_text(f"target: simulator\nmodels: {models}\nload: {{users: 2, duration: 1s}}\nrequests:\n{requests}")
    return RequestPlan(read_scenario(path), seed, fits or {})


def test_the_same_seed_gives_the_same_requests_and_another_does_not(tmp_path):
    mix = "  - {name: a, prompt: {tokens: 40, nonce: true}, weight: 2}\n  - {name: b, prompt: {tokens: 9}}\n"
    one, same, other = (plan_of(tmp_path, mix, seed=seed) for seed in (5, 5, 6))
    assert [one.request(0, k) for k in range(50)] == [same.request(0, k) for k in range(50)]
    assert one.request(0, 33) == same.request(0, 33), "in any order"
    assert [one.request(0, k) for k in range(50)] != [other.request(0, k) for k in range(50)]


def test_every_model_is_asked_the_same(tmp_path):
    plan = plan_of(tmp_path, "  - {prompt: {tokens: 40}}\n", models="[m, n]")
    for k in range(5):
        assert plan.request(0, k).input == plan.request(1, k).input
    assert [plan.request(model, k).seq for k in range(2) for model in range(2)] == [0, 1, 2, 3]


def test_the_mix_has_its_weights(tmp_path):
    plan = plan_of(tmp_path, "  - {name: a, weight: 3, prompt: x}\n  - {name: b, prompt: x}\n")
    counts = Counter(plan.request(0, k).name for k in range(4000))
    assert counts["a"] / 4000 == pytest.approx(0.75, abs=0.03)


def test_synthetic_text_has_the_length_that_the_fit_says(tmp_path):
    plan = plan_of(
        tmp_path, "  - {prompt: {tokens: 210}}\n", fits={("m", "chat"): Fit(tokens_per_word=2.0, overhead=10.0)}
    )
    texts = [plan.request(0, k).input[0]["content"] for k in range(3)]
    assert [len(text.split()) for text in texts] == [100, 100, 100]
    assert len(set(texts)) == 3


def test_a_fit_is_the_line_through_what_a_server_counted():
    found = fit([(40, 60), (400, 528)])
    assert found.tokens_per_word == pytest.approx(1.3)
    assert found.words(528) == 400
    with pytest.raises(ValueError, match="different lengths"):
        fit([(40, 60), (40, 61)])


def test_words_are_seeded_and_of_any_length():
    assert words("a", 100_000) == words("a", 100_000)
    assert words("a", 10) != words("b", 10)
    assert [len(words("x", count).split()) for count in (1, 2, 70_000)] == [1, 2, 70_000]


def test_groups_share_their_beginning(tmp_path):
    plan = plan_of(tmp_path, "  - {prompt: {tokens: 120, prefix: {tokens: 100, groups: 2}}}\n")
    beginnings = Counter(" ".join(plan.request(0, k).input[0]["content"].split()[:100]) for k in range(40))
    assert len(beginnings) == 2
    rest = {" ".join(plan.request(0, k).input[0]["content"].split()[100:]) for k in range(40)}
    assert len(rest) == 40


def test_a_nonce_comes_before_everything_else(tmp_path):
    mix = "  - {system: Be brief., prompt: {text: Hi, nonce: true, prefix: {tokens: 5}}}\n"
    plan = plan_of(tmp_path, mix)
    first = [plan.request(0, k).input[0] for k in range(20)]
    assert {message["role"] for message in first} == {"system"}
    assert len({message["content"][:18] for message in first}) == 20
    assert all(message["content"].endswith("Be brief.") for message in first)


def test_conversations_go_out_as_they_are(tmp_path):
    mix = """\
  - prompt:
      messages:
        - {role: system, content: Be brief.}
        - {role: user, content: Hi, name: ann_1}
        - {role: assistant, content: Hello.}
        - {role: user, content: Go on.}
"""
    assert plan_of(tmp_path, mix).request(0, 0).input[1] == {"role": "user", "content": "Hi", "name": "ann_1"}


def test_completions_get_a_text(tmp_path):
    assert plan_of(tmp_path, "  - {api: completions, prompt: Once}\n").request(0, 0).input == "Once"


def test_every_row_of_a_data_file_comes_once_before_any_comes_twice(tmp_path):
    rows = [{"messages": [{"role": "user", "content": f"q{n}"}]} for n in range(7)]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    plan = plan_of(tmp_path, "  - {prompt: {file: d.jsonl}}\n")
    asked = [plan.request(0, k).input[0]["content"] for k in range(14)]
    assert sorted(asked[:7]) == sorted(asked[7:]) == [f"q{n}" for n in range(7)]
    assert asked[:7] != asked[7:]


@pytest.mark.parametrize(
    ("name", "text", "asked"),
    [
        ("d.csv", "id,prompt\n1,Hi there\n", [{"role": "user", "content": "Hi there"}]),
        ("d.jsonl", '{"prompt": "Hi"}\n', [{"role": "user", "content": "Hi"}]),
        (
            "d.jsonl",
            '{"messages": [{"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]}, '
            '{"role": "tool", "tool_call_id": "1", "content": "18"}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}\n',
            [
                {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
                {"role": "tool", "tool_call_id": "1", "content": "18"},
                {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            ],
        ),
        (
            "d.json",
            '[{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes?"}]}]',
            [{"role": "user", "content": "Hi"}],
        ),
    ],
)
def test_data_files_have_three_forms(tmp_path, name, text, asked):
    (tmp_path / name).write_text(text)
    assert plan_of(tmp_path, f"  - {{prompt: {{file: {name}}}}}\n").request(0, 0).input == asked


def test_every_bad_line_of_a_data_file_is_reported(tmp_path):
    (tmp_path / "d.jsonl").write_text('{"prompt": "Hi"}\n{"messages": []}\nnot json\n{"question": 1}\n')
    with pytest.raises(Mistakes) as raised:
        plan_of(tmp_path, "  - {prompt: {file: d.jsonl}}\n")
    assert [mistake.line for mistake in raised.value.mistakes] == [2, 3, 4]
    assert "there is no message with the role user" in str(raised.value)
