"""Conversations: planned whole before they begin, carried one at a time, recorded turn by turn."""

from __future__ import annotations

import itertools
import json

import pytest

from bench.analysis.turns import turn_charts, turn_table
from bench.analysis.turns import turns_of as turn_figures
from bench.experiments import read_scenario
from bench.plan import Mistakes, RequestPlan
from bench.plan.conversation import script_of, without_answers
from bench.plan.forecast import forecast
from bench.plan.requests import last_turn, next_turn
from bench.records import read_bodies

SYSTEM = {"role": "system", "content": "Be brief."}
ONE, TWO, THREE = ({"role": "user", "content": text} for text in ("One?", "Two?", "Three?"))
FIRST, SECOND = ({"role": "assistant", "content": text} for text in ("It is 1.", "It is 2."))
MINE = {"role": "assistant", "content": "My own answer."}
TALK = [SYSTEM, ONE, FIRST, TWO, SECOND, THREE]
TOOL = "{function: {name: f}}"


def plan_of(folder, request):
    path = folder / "s.yaml"
    path.write_text(f"target: simulator\nmodels: [m]\nload: {{users: 2, duration: 1s}}\nrequests:\n  - {request}\n")
    return RequestPlan(read_scenario(path), 1, {})


def turns_of(planned, answer=(MINE,)):
    """Every turn, the model always answering the same."""
    found = [planned]
    while (planned := next_turn(planned, list(answer), calls=False)) is not None:
        found.append(planned)
    return found


def data_file(folder, *rows):
    (folder / "talks.jsonl").write_text("\n".join(json.dumps({"messages": row}) for row in rows))


@pytest.mark.parametrize(
    ("messages", "first", "later"),
    [
        ([ONE], [ONE], ()),
        ([ONE, FIRST], [ONE], ()),
        (TALK, [SYSTEM, ONE], ([FIRST, TWO], [SECOND, THREE])),
        ([FIRST, ONE, SECOND, TWO], [FIRST, ONE], ([SECOND, TWO],)),
        ([ONE, TWO, FIRST, THREE], [ONE, TWO], ([FIRST, THREE],)),
        ([ONE, FIRST, SYSTEM, TWO], [ONE], ([FIRST, SYSTEM, TWO],)),
        ([ONE, FIRST, {"role": "tool", "content": "x"}, SECOND, TWO], [ONE], None),
    ],
    ids=["one question", "answered", "three", "assistant first", "two questions at once", "system between", "tools"],
)
def test_a_recorded_conversation_is_taken_apart_where_an_answer_begins(messages, first, later):
    script = script_of(messages)
    assert script.first == first
    assert script.later == (later if later is not None else (messages[1:],))


def test_what_is_recorded_as_answered_is_left_out_for_the_models_own_answers():
    assert without_answers([FIRST, {"role": "tool", "content": "x"}, SYSTEM, TWO]) == [SYSTEM, TWO]


def test_a_synthetic_conversation_grows_by_answer_and_question(tmp_path):
    plan = plan_of(tmp_path, "{prompt: Hi, conversation: {turns: 4, tokens: 9, think_time: [1s, 2s]}}")
    turns = turns_of(plan.request(0, 3))
    assert [len(turn.input) for turn in turns] == [1, 3, 5, 7]
    assert [turn.turn for turn in turns] == [0, 1, 2, 3]
    assert {(turn.seq, turn.conversation, turn.name) for turn in turns} == {(3, 3, "chat")}
    for before, after in itertools.pairwise(turns):
        assert after.input[:-2] == before.input
        assert after.input[-2] == MINE
        assert len(after.input[-1]["content"].split()) == 9
        assert 1.0 <= after.think <= 2.0
    assert turns_of(plan.request(0, 3)) == turns, "the same seed gives the same conversation"
    assert turns_of(plan.request(0, 4))[1].input[-1] != turns[1].input[-1]


@pytest.mark.parametrize(
    ("history", "second", "third"),
    [("answers", [MINE, TWO], [MINE, THREE]), ("recorded", [FIRST, TWO], [SECOND, THREE])],
)
def test_every_question_of_a_data_file_is_asked_after_own_or_recorded_answers(tmp_path, history, second, third):
    data_file(tmp_path, TALK)
    plan = plan_of(tmp_path, f"{{prompt: {{file: talks.jsonl}}, conversation: {{history: {history}}}}}")
    start = [SYSTEM, ONE]
    assert [turn.input for turn in turns_of(plan.request(0, 0))] == [
        start,
        start + second,
        start + second + third,
    ]


def test_a_data_file_without_a_conversation_is_asked_once_up_to_its_last_question(tmp_path):
    data_file(tmp_path, [*TALK, FIRST])
    (only,) = turns_of(plan_of(tmp_path, "{prompt: {file: talks.jsonl}}").request(0, 0))
    assert (only.input, only.conversation, only.turn) == (TALK, None, 0)


def test_turns_bounds_what_is_asked_of_a_recorded_conversation(tmp_path):
    data_file(tmp_path, TALK)
    plan = plan_of(tmp_path, "{prompt: {file: talks.jsonl}, conversation: {turns: 2}}")
    assert len(turns_of(plan.request(0, 0))) == 2


def test_recorded_delays_are_thought_and_not_sent(tmp_path):
    data_file(tmp_path, [ONE, FIRST, TWO | {"delay": 1500}, SECOND, THREE])
    plan = plan_of(tmp_path, "{prompt: {file: talks.jsonl}, conversation: {think_time: 250ms}}")
    turns = turns_of(plan.request(0, 0))
    assert [turn.think for turn in turns] == [0.0, 1.5, 0.25]
    assert turns[-1].input == [ONE, MINE, TWO, MINE, THREE]
    once = plan_of(tmp_path, "{prompt: {file: talks.jsonl}}").request(0, 0)
    assert once.input == [ONE, FIRST, TWO, SECOND, THREE]


@pytest.mark.parametrize(("name", "joined"), [("s.json", "[%s]"), ("s.jsonl", "%s")])
def test_sharegpt_is_read_from_a_list_or_from_lines_without_what_nobody_asked(tmp_path, name, joined):
    asked, answered = {"from": "human", "value": "a"}, {"from": "bing", "value": "b"}
    rows = [json.dumps({"conversations": said}) for said in ([], [answered], [asked, answered, asked])]
    (tmp_path / name).write_text(joined % (",\n" if name == "s.json" else "\n").join(rows))
    plan = plan_of(tmp_path, f"{{prompt: {{file: {name}}}, conversation: {{}}}}")
    [(_, last)] = plan.rows(0)
    assert [message["content"] for message in last.input] == ["a", "a"]


@pytest.mark.parametrize("name", ["s.json", "s.jsonl"])
@pytest.mark.parametrize("empty", [None, []])
def test_keys_that_a_row_leaves_empty_are_no_conversation(tmp_path, name, empty):
    shared = [{"from": "human", "value": "a"}]
    rows = [
        {"prompt": "a", "conversations": empty},
        {"messages": [{"role": "user", "content": "a"}], "conversations": empty},
        {"prompt": None, "messages": empty, "conversations": shared},
    ]
    (tmp_path / name).write_text(json.dumps(rows) if name == "s.json" else "\n".join(map(json.dumps, rows)))
    plan = plan_of(tmp_path, f"{{prompt: {{file: {name}}}}}")
    assert [last.input for _, last in plan.rows(0)] == [[{"role": "user", "content": "a"}]] * 3


def test_sharegpt_is_asked_with_all_its_turns(tmp_path):
    said = [("human", "One?"), ("gpt", "It is 1."), ("human", "Two?")]
    rows = [{"id": "1", "conversations": [{"from": who, "value": text} for who, text in said]}]
    (tmp_path / "share.json").write_text(json.dumps(rows))
    plan = plan_of(tmp_path, "{prompt: {file: share.json}, conversation: {}}")
    assert [turn.input for turn in turns_of(plan.request(0, 0))] == [[ONE], [ONE, MINE, TWO]]


def test_what_tools_return_is_a_turn_and_then_the_user_goes_on(tmp_path):
    tools = f"tools: [{TOOL}], tool_choice: required, tool_results: {{f: sun}}"
    plan = plan_of(tmp_path, f"{{prompt: Hi, conversation: {{turns: 2, tokens: 9}}, {tools}}}")
    first = plan.request(0, 0)
    called = [{"role": "assistant", "tool_calls": []}, {"role": "tool", "content": "sun"}]
    result = next_turn(first, called, calls=True)
    assert (result.name, result.turn, result.input) == ("chat: result", 1, [*first.input, *called])
    assert "tool_choice" not in result.parameters
    second = next_turn(result, [MINE], calls=False)
    assert (second.name, second.turn, second.conversation) == ("chat", 2, 0)
    assert second.input[:-1] == [*first.input, *called, MINE]
    assert second.parameters == first.parameters
    last = next_turn(second, called, calls=True)
    assert (last.turn, next_turn(last, [MINE], calls=False)) == (3, None)


def test_the_last_turn_of_a_recorded_conversation_is_known_before_it_begins(tmp_path):
    data_file(tmp_path, TALK)
    plan = plan_of(tmp_path, "{prompt: {file: talks.jsonl}, conversation: {history: recorded}}")
    assert last_turn(plan.request(0, 0)).input == TALK


@pytest.mark.parametrize(
    ("request_class", "told"),
    [
        ("{prompt: Hi, conversation: {}}", "later turns have no text"),
        ("{prompt: Hi, conversation: {tokens: 9}}", "conversation.turns is missing"),
        ("{prompt: Hi, conversation: {turns: 0, tokens: 9}}", "conversation.turns is 0"),
        ("{prompt: Hi, conversation: {turns: 9000, tokens: 9}}", "conversation.turns is 9000"),
        ("{prompt: Hi, conversation: {turns: 2, tokens: 9, history: recorded}}", "have no recorded answers"),
        ("{prompt: {file: talks.jsonl}, conversation: {tokens: 9, turns: 2}}", "the data file has the texts"),
        ("{prompt: Hi, conversation: {turns: 2, tokens: 9, history: mine}}", "answers or recorded is expected"),
        ("{api: completions, prompt: Hi, conversation: {turns: 2, tokens: 9}}", "conversation is not known"),
        ("{api: batch, prompt: Hi, conversation: {turns: 2, tokens: 9}}", "a batch has no second turn"),
    ],
)
def test_a_conversation_that_cannot_be_had_is_a_mistake_of_the_scenario(tmp_path, request_class, told):
    data_file(tmp_path, TALK)
    with pytest.raises(Mistakes) as raised:
        plan_of(tmp_path, request_class)
    assert told in str(raised.value)


def test_a_delay_that_is_no_time_is_told_with_its_line(tmp_path):
    data_file(tmp_path, TALK, [ONE, FIRST, TWO | {"delay": "long"}])
    with pytest.raises(Mistakes, match=r'talks.jsonl:2: delay is "long"; milliseconds are expected'):
        plan_of(tmp_path, "{prompt: {file: talks.jsonl}, conversation: {}}")


def test_a_user_carries_one_conversation_at_a_time_and_each_turn_finds_the_one_before_cached(bench_run):
    """By hand: each prompt has the words and 4 tokens a message, which are not cached. Blocks are 1 token, so of turn n
    exactly the words of turn n-1 are cached: about 50, then 50 + 5 answered + 20 asked, then 25 more."""
    cache = {"block": 1, "minimum": 0}
    done = bench_run(
        drawn=True,
        target={"simulator": {"models": {"sim/cached": {"ttft": [0, 0], "decode_per_token": 0, "cache": cache}}}},
        models=["sim/cached"],
        requests=[{"prompt": {"tokens": 58}, "max_tokens": 5, "conversation": {"turns": 4, "tokens": 20}}],
        load={"users": 2, "requests": 5},
    )
    rows = done.requests.sort_values(["seq", "turn"])
    assert len(rows) == 20, "a stage of five conversations ends with the last of their turns"
    assert list(rows["conversation"]) == [seq for seq in range(5) for _ in range(4)]
    assert set(rows["name"]) == {"chat"}
    assert set(rows["outcome"]) == {"ok"}
    for _, turns in rows.groupby("seq"):
        assert turns["user"].nunique() == 1
        assert list(turns["turn"]) == [0, 1, 2, 3]
        assert (turns["sent"].to_numpy()[1:] >= turns["done"].to_numpy()[:-1]).all()
        words = turns["prompt_tokens"].to_numpy() - 4 * (2 * turns["turn"].to_numpy() + 1)
        assert (words[1:] - words[:-1]).tolist() == pytest.approx([25, 25, 25], abs=4)  # a long word is two tokens
        assert list(turns["cached_tokens"]) == [0, *words[:-1]]
    for _, theirs in done.requests.sort_values("sent").groupby("user"):
        assert list(theirs["seq"]) == sorted(theirs["seq"]), "no conversation begins before the last one is over"
    assert done.run.summary.groups[0].requests == 20
    by_turn = turn_figures(done.run)
    assert [(one.turn, one.requests, one.errors.hits) for one in by_turn] == [(turn, 5, 0) for turn in range(4)]
    for one in by_turn:
        mine = rows[rows["turn"] == one.turn]
        assert one.cached.value == mine["cached_tokens"].sum() / mine["prompt_tokens"].sum()
    cached = [one.cached.value for one in by_turn]
    assert cached == sorted(cached)
    assert cached == pytest.approx([0.0, 50 / 87, 75 / 120, 100 / 153], abs=0.05)
    assert [row.cells[0].text for row in turn_table(by_turn).rows] == ["1", "2", "3", "4"]
    (chart,) = [make() for name, make in turn_charts(done.run, by_turn).items() if name == "turns-cached"]
    assert chart.series[0].y.tolist() == [value * 100 for value in cached]
    assert (done.folder / "turns-cached.png").exists()
    assert "Conversations, turn by turn" in (done.folder / "report.html").read_text()


def test_a_conversation_in_an_open_loop_thinks_and_a_failed_turn_ends_it(bench_run):
    fault = {"kind": "error", "share": 1.0, "status": 500}
    models = {"sim/good": {"ttft": [0, 0], "decode_per_token": 0}, "sim/bad": {"faults": [fault]}}
    done = bench_run(
        target={"simulator": {"models": models}},
        models=["sim/good", "sim/bad"],
        requests=[{"prompt": "Hi", "max_tokens": 2, "conversation": {"turns": 2, "tokens": 9, "think_time": "100ms"}}],
        load={"rate": 20, "arrivals": "constant", "requests": 6},
    )
    rows = done.requests
    last = rows.groupby(rows["model"].astype(str))["turn"].max().to_dict()
    assert last == {"sim/bad": 0, "sim/good": 1}
    for _, turns in rows[rows["model"] == "sim/good"].sort_values("turn").groupby("seq"):
        ended, due, sent = turns["done"].iloc[0], turns["due"].iloc[1], turns["sent"].iloc[1]
        assert due == pytest.approx(ended + 0.1, abs=1e-5)
        assert sent >= due


OWN = """
from bench.wire.openai import OpenAI
class Own(OpenAI):
    def reply(self, answer, results):
        return [{"role": "assistant", "content": answer.contents[0] + " (repeated)"}]
talk = Own("talk", "chat/completions", "messages")
"""


def test_an_api_of_ones_own_goes_on_with_what_it_replies(bench_run, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    request = {"api": "own.py:talk", "prompt": "Hi", "conversation": {"turns": 3, "tokens": 9}}
    done = bench_run("--keep-bodies", "all", requests=[request], load={"users": 1, "requests": 2})
    assert done.passed, done.err
    assert done.requests.sort_values(["seq", "turn"])["turn"].tolist() == [0, 1, 2] * 2
    last = max((json.loads(body.request)["messages"] for body in read_bodies(done.folder)), key=len)
    assert [message["role"] for message in last] == ["user", "assistant"] * 2 + ["user"]
    assert last[1]["content"].endswith(" (repeated)")


def test_a_plan_counts_every_turn_and_what_it_repeats(tmp_path):
    """By hand: 43 characters are 10 tokens; with 5 answered and as many asked, turns of 10, 25 and 40: 25 on average."""
    data_file(tmp_path, [{"role": role, "content": "x" * 43} for role in ("user", "assistant") * 3])
    path = tmp_path / "s.yaml"
    request = "{prompt: {file: talks.jsonl}, conversation: {}, max_tokens: 5}"
    path.write_text(f"target: simulator\nmodels: [m]\nload: {{users: 2, requests: 7}}\nrequests: [{request}]\n")
    scenario = read_scenario(path)
    (row,) = forecast(scenario, scenario.load.as_stages(), 1)
    assert (row.requests, row.turns) == (21.0, 3.0)
    assert row.prompt_tokens == pytest.approx(25.0)


def test_a_stage_that_ends_begins_no_further_turn(bench_run):
    done = bench_run(
        requests=[{"prompt": "Hi", "max_tokens": 2, "conversation": {"turns": 50, "tokens": 9, "think_time": "1m"}}],
        load={"users": 2, "duration": "1s"},
    )
    assert list(done.requests["turn"]) == [0, 0]
