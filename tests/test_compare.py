"""A comparison from its scenario to its verdict: arms, pairs, looks, and what its report says."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from bench.analysis import open_run
from bench.analysis.numerals import dollars, milliseconds, number, share
from bench.analysis.pairs import matched, rows_of, samples, values
from bench.analysis.sections import Sentence
from bench.analysis.unpaired import PARTS, Totals, ratio_of_ratios, sums
from bench.cli import main
from bench.experiments import KINDS, conclusion_of, read_scenario, stages_of, steps_of
from bench.experiments.compare.doubts import doubts_of, other_differences
from bench.experiments.compare.findings import Kept, KeptArm, charts, sent
from bench.experiments.compare.itself import against_itself
from bench.experiments.compare.verdict import asked_of
from bench.experiments.simulated_performer import SimulatedPerformer
from bench.plan import Mistakes, Note, Stage, redacted, secrets
from bench.plan.gate import parse_gate
from bench.plan.load import Load
from bench.plan.pairs import PairPlan
from bench.plan.scenario import Slo
from tests.runs import failed, record, write_run

SCENARIO = """\
kind: compare
target: {url: "http://127.0.0.1:1", key: "${KEY}", headers: {X-Team: "${TEAM}"}}
models: [old/model]
prices: {old/model: {input: 1, output: 2}, new/model: {input: 1, output: 2}}
arms:
  candidate: {model: new/model, request: {temperature: 0.5}}
  baseline: {}
requests: [{name: chat, prompt: {tokens: 40, nonce: true}, max_tokens: 20}]
load: {users: 4}
pairs: {most: 400, pilot: 40}
gate: {ttft p50: 5%, error_rate: 2%}
seed: 7
"""
SECRETS = {"KEY": "sk-0123456789abcdef", "TEAM": "team-secret-value", "OTHER": "sk-another-key-987654"}


def read(tmp_path, text=SCENARIO, **options):
    file = tmp_path / "compare.yaml"
    file.write_text(text)
    return read_scenario(file, environ=SECRETS, **options)


def mistakes(tmp_path, text):
    with pytest.raises(Mistakes) as caught:
        read(tmp_path, text)
    return str(caught.value)


# -- arms -------------------------------------------------------------------------------------------------------


def test_an_arm_is_the_scenario_but_for_what_it_says(tmp_path):
    arms = read(tmp_path).arms
    assert list(arms) == ["baseline", "candidate"], "the baseline comes first"
    assert [arm.models for arm in arms.values()] == [("old/model",), ("new/model",)]
    assert [arm.requests[0].temperature for arm in arms.values()] == [None, 0.5]
    assert [arm.requests[0].max_tokens for arm in arms.values()] == [20, 20]
    assert [arm.target.key.get_secret_value() for arm in arms.values()] == [SECRETS["KEY"]] * 2
    assert [list(arm.prices) for arm in arms.values()] == [["old/model"], ["new/model"]]


def test_models_without_arms_are_the_arms(tmp_path):
    text = SCENARIO.replace("models: [old/model]", "models: [old/model, new/model]")
    text = text[: text.index("arms:")] + text[text.index("requests:") :]
    assert list(read(tmp_path, text).arms) == ["old/model", "new/model"]


def test_a_target_of_its_own_gets_no_key_that_is_not_for_it(tmp_path):
    text = SCENARIO.replace("  baseline: {}", '  baseline: {target: {url: "http://127.0.0.1:2"}}')
    arms = read(tmp_path, text).arms
    assert arms["baseline"].target.key is None
    assert arms["baseline"].target.headers == {}
    assert arms["candidate"].target.key is not None


def test_arms_may_differ_in_their_key_alone_and_no_key_is_written_down(tmp_path):
    scenario = read(tmp_path, SCENARIO.replace("baseline: {}", 'baseline: {target: {key: "${OTHER}"}}'))
    assert scenario.arms["baseline"].target.url == "http://127.0.0.1:1"
    assert set(SECRETS.values()) <= set(secrets(scenario))
    written = str(redacted(scenario))
    assert not [value for value in SECRETS.values() if value in written]
    assert {"${KEY}", "***"} & {redacted(scenario)["arms"]["candidate"]["target"]["key"]}


def test_arms_may_have_all_of_it_to_themselves(tmp_path):
    text = """\
kind: compare
arms:
  one: {target: "http://127.0.0.1:1", model: a}
  two: {target: "http://127.0.0.1:2", model: b, requests: [{prompt: Hi, stream: false}]}
requests: [{prompt: Hi}]
"""
    scenario = read(tmp_path, text)
    assert [arm.target.url for arm in scenario.arms.values()] == ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    assert [arm.requests[0].stream for arm in scenario.arms.values()] == [True, False]
    assert (scenario.target.url, scenario.models) == ("http://127.0.0.1:1", ("a",)), "it asks as its first arm does"
    assert [line.title for line in scenario.lines] == ["e2e p50", "e2e p95", "error_rate"], "one arm does not stream"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("baseline: {}", "baseline: {modle: x}", "compare.yaml:7: arms.baseline.modle is not known"),
        ("baseline: {}", "baseline: {request: {max_tokens: -1}}", "compare.yaml:7: requests.0.max_tokens"),
        ("baseline: {}", "baseline: 5", "compare.yaml:7: arms.baseline is 5"),
        ("baseline: {}", "baseline: {target: {url: 'ftp://x'}}", "compare.yaml:7: target.url"),
        ("baseline: {}", "baseline: {models: [old/model, b]}", "arms.baseline has 2 models; one is expected"),
        ("candidate: {model: new/model, request: {temperature: 0.5}}\n  baseline: {}", "candidate: {model: new/model}", "there is one arm, candidate; two or more are expected"),
        ("ttft p50: 5%", "tfft p50: 5%", "did you mean ttft?"),
        ("ttft p50: 5%", "ttft p42: 5%", "p42 is not a statistic"),
        ("ttft p50: 5%", "ttft p50: -5%", "is not a margin"),
        ("most: 400", "most: 3", "pairs.most is 3"),
        ("users: 4", "users: 4, rate: 2", "got both of users"),
        ("pairs: {most: 400, pilot: 40}", "pairs: {most: 100, order: blocks}", "at least 12 blocks are expected"),
        ("ttft p50: 5%", "goodput: 5%", "compare.yaml:11: gate.goodput: goodput needs the limits of a good answer; add them"),
        ("baseline: {}", "baseline: {request: {stream: false}}",
         "compare.yaml:11: gate.ttft p50: arm baseline does not stream, and only streams have a TTFT"),
        ("ttft p50: 5%", "ttft p50: 5", "compare.yaml:11: gate: ttft p50: 5 is 1 or more; a margin is a share: did you mean 5%?"),
        ("max_tokens: 20}", "max_tokens: 20, x: 1}", "compare.yaml:8: requests.0.x is not known"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_once_and_where_it_stands(tmp_path, old, new, told):
    assert SCENARIO.count(old) == 1
    text = SCENARIO.replace("prices: {old/model: {input: 1, output: 2}, new/model: {input: 1, output: 2}}", "")
    said = mistakes(tmp_path, text.replace(old, new))
    assert told in said
    assert len(said.splitlines()) == 1, said


def test_a_command_line_may_change_an_arm_and_not_the_target_of_all(tmp_path):
    two = SCENARIO.replace("baseline: {}", "baseline: {target: {url: 'http://127.0.0.1:2'}}")
    changed = read(tmp_path, two, overrides=["arms.baseline.model=new/model", "arms.candidate.model=old/model"])
    assert changed.arms["baseline"].models == ("new/model",)
    with pytest.raises(Mistakes, match=r"--target: the arms say who is asked"):
        read(tmp_path, two, target="http://127.0.0.1:9")


# -- pairs --------------------------------------------------------------------------------------------------------


def test_a_pair_is_the_same_prompt_with_nonces_of_equal_length_in_an_order_that_is_drawn(tmp_path):
    scenario = read(tmp_path)
    plan = PairPlan(scenario.arms, ("baseline", "candidate"), 7, {}, nonce_seed=1)
    firsts = [plan.request(0, k) for k in range(200)]
    begun_by = [first.arm for first in firsts]
    assert 70 < begun_by.count("candidate") < 130
    seqs = set()
    for k, first in enumerate(firsts):
        [second] = first.partners
        texts = [one.input[0]["content"] for one in (first, second)]
        assert {first.arm, second.arm} == {"baseline", "candidate"}
        assert (first.pair, second.pair) == (k, k)
        assert len(texts[0]) == len(texts[1])
        assert texts[0][:19] != texts[1][:19], "each has a nonce of its own"
        assert texts[0][19:] == texts[1][19:]
        assert {one.model for one in (first, second)} == {"old/model", "new/model"}
        seqs |= {first.seq, second.seq}
    assert len(seqs) == 400
    again = PairPlan(scenario.arms, ("baseline", "candidate"), 7, {}, nonce_seed=1)
    assert [again.request(0, k).arm for k in range(200)] == begun_by


def answered(planned, at, slower=1.0, failing=0.0):
    """What a simulated server answers: every server-side whim is that of the pair."""
    rng = random.Random(f"{planned.pair}")
    first = 0.2 * (1 + 0.3 * rng.random())
    own = random.Random(f"{planned.pair}:{planned.arm}")
    first *= 1 + 0.05 * own.random()
    bad = False
    if planned.arm == "candidate":
        first, bad = first * slower, own.random() < failing
    arrivals = [(at + first + 0.01 * n, 1) for n in range(5)]
    done = record(
        planned.seq, model=planned.model, sent=at, done=at + first + 0.05, arrivals=arrivals, arm=planned.arm,
        pair=planned.pair, first_token_at=at + first, first_answer_at=at + first, headers_at=at + first,
        outcome="server_error" if bad else "ok",
    )  # fmt: skip
    return replace(done, prompt_tokens=60, completion_tokens=20)


def perform(scenario, **world):
    """All requests that a comparison sends, and its steps."""

    def source(stage, number, user):
        plan = PairPlan(scenario.arms, stage.arms, 7, {}, nonce_seed=1)
        return plan.request(0, stage.first + number)

    performer = SimulatedPerformer(lambda planned, at: answered(planned, at, **world), source)
    performer.perform(steps_of(scenario))
    return performer.records, performer.steps


def test_a_clear_case_ends_at_the_first_look(tmp_path):
    records, steps = perform(read(tmp_path), slower=1.3)
    assert [step.requests for step in steps if isinstance(step, Stage)] == [40, 120]
    assert {one.pair for one in records} == set(range(160)), "40 % of 400 pairs"


def test_arms_that_do_not_differ_take_more_pairs_and_pass(tmp_path):
    scenario = read(tmp_path)
    records, _ = perform(scenario)
    asked = asked_of(scenario)
    pairs = max(one.pair for one in records) + 1
    judged = asked.judge(rows_of(records), pairs, 0.025)
    assert {one.line.title: one.verdict for one in judged["candidate"]} == {"ttft p50": "pass", "error_rate": "pass"}
    assert pairs > 160


def test_blocks_of_each_arm_in_an_order_that_is_drawn(tmp_path):
    text = SCENARIO.replace("pairs: {most: 400, pilot: 40}", "pairs: {most: 400, order: blocks, block: 20, pilot: 0}")
    _, steps = perform(read(tmp_path, text), slower=1.3)
    stages = [step for step in steps if isinstance(step, Stage)]
    assert [stage.requests for stage in stages] == [20] * 16
    assert [stage.first for stage in stages] == [n // 2 * 20 for n in range(16)]
    begun_by = [stage.arms for stage in stages[::2]]
    assert len(set(begun_by)) == 2, "which arm comes first changes"
    assert all(
        {*one.arms, *other.arms} == {"baseline", "candidate"}
        for one, other in zip(stages[::2], stages[1::2], strict=True)
    )


def test_the_pilot_says_how_many_pairs_minutes_and_dollars_it_takes(tmp_path):
    scenario = read(tmp_path)
    _, steps = perform(scenario)
    [note] = [step for step in steps if isinstance(step, Note)]
    assert note.text.startswith("After a pilot of 40 pairs: deciding error_rate takes about 193 pairs, ")
    assert " and $0.0386" in note.text  # 193 pairs of 2 · (60 · $1 + 20 · $2) per million
    assert note.text.endswith("; at most 400 are sent.")


def test_where_the_pilot_is_clear_it_says_so(tmp_path):
    _, steps = perform(read(tmp_path), failing=1.0)
    [note] = [step for step in steps if isinstance(step, Note)]
    assert note.text == (
        "After a pilot of 40 pairs: the verdict is clear; it is judged after 160 pairs, and the run ends there if they "
        "agree."
    )


def test_bench_plan_knows_the_most_that_it_sends(tmp_path):
    [stage] = stages_of(read(tmp_path))
    assert (stage.requests, stage.arms) == (400, ("baseline", "candidate"))


# -- samples, doubts ----------------------------------------------------------------------------------------------


def pair(k, *, baseline=None, candidate=None):
    """Both requests of a pair, sent in this order."""
    left = record(2 * k, arm="baseline", pair=k, **(baseline or {}))
    right = record(2 * k + 1, arm="candidate", pair=k, **(candidate or {}))
    return [left, right]


def test_a_failed_request_is_the_slowest_and_never_left_out():
    records = [one for k in range(3) for one in pair(k)]
    records[3] = replace(records[3], outcome="timeout", first_token_at=None)
    records[5] = replace(records[5], outcome="censored")
    rows = rows_of(records)
    lines = parse_gate({"ttft p50": "5%", "error_rate": "1%"})
    latency, errors = (samples(rows, lines, "baseline", "candidate")[line] for line in lines)
    assert [list(one) for one in latency] == [[0.5, 0.5], [0.5, float("inf")]]
    assert [list(one) for one in errors] == [[0.0, 0.0], [0.0, 1.0]]
    assert len(matched(rows, "baseline", "candidate")[0]) == 2, "what was still open is in no pair"


def test_what_was_not_to_stream_and_failed_is_in_no_pair_of_first_tokens():
    rows = rows_of([record(arm="baseline", pair=0), failed(1, "server_error", arm="candidate", pair=0, stream=False)])
    assert math.isnan(values(rows, "ttft")[1])
    assert values(rows, "e2e")[1] == math.inf


def test_what_has_no_first_token_is_in_no_pair_of_first_tokens():
    whole = {"stream": False, "first_token_at": None, "arrivals": []}
    rows = rows_of([one for k in range(2) for one in pair(k, candidate=whole if k else None)])
    line = parse_gate({"ttft p50": "5%"})
    assert [len(one) for one in samples(rows, line, "baseline", "candidate")[line[0]]] == [1, 1]
    assert list(values(rows, "e2e")) == [1.0] * 4


def told(records, arms=("baseline", "candidate")):
    kept = Kept({arm: KeptArm() for arm in arms}, gate={"ttft p50": "5%"})
    asked = replace(kept.asked, arms=arms)
    rows = rows_of(records)
    return [*doubts_of(rows, asked), *other_differences(rows, asked)]


def test_like_arms_raise_no_doubt():
    assert told([one for k in range(100) for one in pair(k)]) == []


def test_unlike_lengths_caches_and_ends_are_told():
    many = {"completion_tokens": 9, "output_chars": 40, "cached_tokens": 90, "finish_reason": "stop"}
    few = {"cached_tokens": 10}
    said = " ".join(told([one for k in range(100) for one in pair(k, baseline=few, candidate=many)]))
    assert "candidate's answers have 9.00 tokens on average, and its baseline's 5.00" in said
    assert "Prompts came from the cache to different shares (baseline 10.0 %, candidate 90.0 %)" in said
    assert "More requests of candidate finish with stop: 100 against 0, not by chance" in said


def test_tokens_of_two_tokenizers_are_not_compared():
    other = {"completion_tokens": 9}
    said = told([one for k in range(100) for one in pair(k, candidate=other)])
    assert said == [
        "candidate's answers have 9.00 tokens on average, and its baseline's 5.00 for about as many characters: their "
        "tokens are not the same, so compare TTFT and E2E, not TPOT and tokens/s"
    ]


def test_the_ends_of_answers_have_one_name_in_every_api_and_failures_have_none():
    assert told([one for k in range(100) for one in pair(k, candidate={"finish_reason": "max_tokens"})]) == []
    failing = {"outcome": "server_error", "finish_reason": None}
    assert told([one for k in range(100) for one in pair(k, candidate=failing)]) == [
        "More requests of candidate end as server_error: 100 against 0, not by chance"
    ]


def test_a_second_request_that_is_quicker_is_a_doubt():
    records = []
    for k in range(60):
        first, second = ("baseline", "candidate") if k % 2 else ("candidate", "baseline")
        slow = record(2 * k, arm=first, pair=k)
        fast = replace(
            slow,
            seq=2 * k + 1,
            arm=second,
            sent=4.0,
            first_token_at=4.2,
            first_answer_at=4.2,
            done=5.0,
            arrivals=[(4.2, 1), (4.3, 1)],
        )
        records += [slow, fast]
    assert any("The second request of a pair was 60 % faster, in both arms" in one for one in told(records))


# -- findings -----------------------------------------------------------------------------------------------------


def folder_of(tmp_path, scenario, records, **scenario_changes):
    asked = redacted(scenario) | scenario_changes
    last = max(one.done for one in records)
    many = {"planned": len(records), "sent": len(records)}
    steps = [{"name": "measure", "began": 0.0, "ended": last + 1, "users": scenario.load.users, **many}]
    end = {"planned": len(records), "sent": len(records), "duration_s": last + 2, "measure": [0.0, last + 1]}
    return write_run(tmp_path / "run", records, scenario=asked, steps=steps, end=end)


@pytest.mark.parametrize(
    ("world", "verdict"),
    [({}, "pass"), ({"slower": 1.3}, "fail"), ({"slower": 1.05}, "fail"), ({"failing": 0.1}, "fail")],
)
def test_findings_say_the_same_as_the_looks_while_it_ran(tmp_path, world, verdict):
    scenario = read(tmp_path)
    records, _ = perform(scenario, **world)
    run = open_run(folder_of(tmp_path, scenario, records))
    found = conclusion_of(run, "compare")
    assert found.verdict == verdict
    document = found.document
    assert document["verdict"] == verdict
    assert document["pairs"] == len(records) // 2
    [ttft, errors, *others] = document["comparisons"]
    assert {one["verdict"] for one in others} == {None}, "a gate has no line for them"
    assert list(ttft)[:10] == [
        "metric",
        "statistic",
        "baseline",
        "candidate",
        "ratio",
        "low",
        "high",
        "pairs",
        "smallest",
        "verdict",
    ]
    assert (ttft["metric"], ttft["statistic"], ttft["pairs"]) == ("ttft", "p50", len(records) // 2)
    assert ttft["low"] <= ttft["ratio"] <= ttft["high"]
    if "slower" in world:
        assert ttft["low"] < world["slower"] < ttft["high"]
    assert errors["metric"] == "error_rate"
    assert {group.model for group in run.summary.groups} == {"baseline", "candidate"}, "arms are told apart"


def test_the_figures_of_each_arm_are_those_of_the_summary(tmp_path):
    scenario = read(tmp_path)
    records, _ = perform(scenario, slower=1.3, failing=0.1)
    run = open_run(folder_of(tmp_path, scenario, records))
    [section] = [one for one in conclusion_of(run, "compare").sections if one.name == "arms"]
    [table] = section.parts
    groups = {group.model: group for group in run.summary.groups}
    for row in table.rows:
        shown = dict(
            zip(((one.title, one.unit) for one in table.columns), (cell.text for cell in row.cells), strict=True)
        )
        group = groups[row.about.model]
        assert group.error_rate > 0.05 if row.about.model == "candidate" else group.error_rate == 0
        assert shown["errors", ""] == share(group.error_rate)
        assert shown["TTFT", "ms, p50 / p95"] == f"{milliseconds(group.ttft_s.p50)} / {milliseconds(group.ttft_s.p95)}"
        assert shown["tokens", "/s of a stream"] == number(group.stream_tokens_per_s)
        assert shown["answer", "tokens"] == number(group.mean_completion_tokens)
        assert shown["cost", "per 1,000"] == dollars(group.cost_per_1000_usd)
        assert shown["cost", "per good answer"] == dollars(group.cost_per_good_usd)


def test_a_percentile_of_an_arm_is_withheld_of_too_few_answers(tmp_path):
    scenario = read(tmp_path)
    run = open_run(folder_of(tmp_path, scenario, [one for k in range(20) for one in pair(k)]))
    [section] = [one for one in conclusion_of(run, "compare").sections if one.name == "arms"]
    assert {row.cells[4].text for row in section.parts[0].rows} == {"500 / –"}


def test_a_run_is_judged_again_by_another_gate_from_its_records(tmp_path):
    scenario = read(tmp_path)
    records, _ = perform(scenario, slower=1.05)
    folder = folder_of(tmp_path, scenario, records)
    gate = tmp_path / "gate.yaml"
    for text, code, words in (
        ("ttft p50: 5%", 1, '"verdict": "fail"'),
        ("ttft p50: 60%", 0, '"verdict": "pass"'),
        ("ttft[x] p50: 5%", 2, "works only for runs on disk"),
        ("goodput: 5%", 2, "goodput needs the limits of a good answer"),
        ("thresholds: [ttft p50 < 1s]", 2, "thresholds are for a run without arms"),
    ):
        gate.write_text(text)
        done = CliRunner().invoke(main, ["compare", str(folder), "--gate", str(gate), "--format", "json"])
        assert done.exit_code == code, done.output
        assert words in done.output
    out = tmp_path / "verdict"
    done = CliRunner().invoke(main, ["compare", str(folder), "--format", "junit", "--out", str(out)])
    assert {one.name for one in out.iterdir()} >= {"findings.json", "junit.xml", "report.html", "report.md"}
    assert '<testcase classname="bench.candidate" name="ttft p50"' in done.output


@pytest.mark.parametrize("slower", [1.0, 1.3])
def test_an_invalid_measurement_proves_neither_pass_nor_fail(tmp_path, slower):
    scenario = read(tmp_path)
    records, _ = perform(scenario, slower=slower)
    folder = folder_of(tmp_path, scenario, records)
    busy = {"t": 3.0, "worker": 0, "hub_lag_s": [0.5] * 50, "cpu": 1.0, "gc_s": 0.0, "users": 1, "in_flight": 1}
    (folder / "health.jsonl").write_text(json.dumps(busy | {"clock_step_s": 0.0}) + "\n")
    run = open_run(folder)
    assert run.summary.validity.verdict == "invalid"
    assert conclusion_of(run, "compare").verdict == "inconclusive"
    done = CliRunner().invoke(main, ["compare", str(folder), "--format", "junit"])
    assert done.exit_code == 3
    assert '<error type="inconclusive"' in done.output, "no pipeline takes it for passed"


def test_without_a_gate_it_is_compared_and_not_judged(tmp_path):
    text = SCENARIO.replace("gate: {ttft p50: 5%, error_rate: 2%}\n", "").replace("most: 400", "most: 100")
    scenario = read(tmp_path, text)
    records, _ = perform(scenario, slower=1.3)
    assert len(records) == 200, "all pairs are sent"
    found = conclusion_of(open_run(folder_of(tmp_path, scenario, records)), "compare")
    assert found.verdict is None
    assert {one["verdict"] for one in found.document["comparisons"]} == {None}
    assert found.headline.startswith("candidate's first token comes 30 % later [")
    notes = [part.text for part in found.sections[0].parts if isinstance(part, Sentence)]
    assert any(
        note.startswith("4 users, each with one pair at a time, sent 100 of at most 100 pairs; ") for note in notes
    ), notes


def in_document(tmp_path, text, **world):
    """What findings.json has of each figure, and the sentences of the report."""
    scenario = read(tmp_path, text)
    records, _ = perform(scenario, **world)
    found = conclusion_of(open_run(folder_of(tmp_path, scenario, records)), "compare")
    said = [found.headline, *(part.text for part in found.sections[0].parts if isinstance(part, Sentence))]
    return {one["title"]: one for one in found.document["comparisons"]}, said


@pytest.mark.parametrize("pairs", ["{most: 400, pilot: 0}", "{most: 400, order: blocks, block: 20, pilot: 0}"])
def test_a_latency_that_only_failures_make_worse_is_told_as_such_in_blocks_too(tmp_path, pairs):
    """In a block a few failures do not make the p50 a failure: they only move it."""
    text = SCENARIO.replace("gate: {ttft p50: 5%, error_rate: 2%}\n", "").replace("{most: 400, pilot: 40}", pairs)
    found, said = in_document(tmp_path, text, failing=0.3)
    one = found["ttft p50"]
    assert one["low"] > 1.0
    assert one["by_failures"] == round(400 * found["error_rate"]["candidate"])
    told = f"since {one['by_failures']} failed requests of candidate count as slower than any answer"
    assert any(told in text for text in said)
    slower, _ = in_document(tmp_path, text, failing=0.3, slower=1.3)
    assert slower["ttft p50"]["by_failures"] == 0


@pytest.mark.parametrize("pairs", ["{most: 400, pilot: 0}", "{most: 400, order: blocks, block: 20, pilot: 0}"])
def test_a_gate_has_a_line_for_the_share_of_good_answers(tmp_path, pairs):
    text = SCENARIO.replace("gate: {ttft p50: 5%, error_rate: 2%}", "slo: {ttft: 260ms}\ngate: {goodput: 5%}")
    found, said = in_document(tmp_path, text.replace("{most: 400, pilot: 40}", pairs), slower=1.2)
    one = found["goodput"]
    assert one["verdict"] == "fail"
    assert (one["better"], one["difference"]) == ("higher", True)
    assert one["baseline"] > 0.8 > 0.5 > one["candidate"], "the shares of good answers, not of the others"
    assert one["ratio"] == pytest.approx(one["candidate"] - one["baseline"])
    assert one["low"] < one["ratio"] < one["high"] < 0
    assert said[0].startswith("candidate meets the SLO less often: by ")
    same, _ = in_document(tmp_path, text.replace("{most: 400, pilot: 40}", "{most: 400, pilot: 0}"))
    assert same["goodput"]["verdict"] == "pass"


def test_with_an_slo_and_no_gate_the_share_of_good_answers_is_compared(tmp_path):
    text = SCENARIO.replace("gate: {ttft p50: 5%, error_rate: 2%}\n", "slo: {ttft: 10s}\n")
    found, said = in_document(tmp_path, text.replace("most: 400", "most: 60"))
    assert (found["goodput"]["baseline"], found["goodput"]["candidate"]) == (1.0, 1.0)
    assert "Whether candidate meets the SLO less often cannot be shown with 60 pairs." in said


def test_dollars_and_the_pace_of_streams_are_compared_and_not_judged(tmp_path):
    text = SCENARIO.replace("new/model: {input: 1, output: 2}", "new/model: {input: 1, output: 4}")
    found, said = in_document(tmp_path, text, failing=0.2)
    each, good = found["cost_per_1000_usd"], found["cost_per_good_usd"]
    assert (each["baseline"], each["candidate"]) == (pytest.approx(0.1), pytest.approx(0.14)), "$ of 60 and 20 tokens"
    assert [each[name] for name in ("ratio", "low", "high")] == [pytest.approx(1.4)] * 3, "all answers are alike"
    assert good["low"] < 1.4 / 0.8 < good["high"], "a fifth of what is paid for is not good"
    assert good["candidate"] / good["baseline"] == pytest.approx(good["ratio"])
    assert {found[name]["reason"] for name in found} >= {"not judged: a gate has no line for it"}
    assert "candidate's requests cost 40 % more [40 %, 40 %]." in said
    unpriced, _ = in_document(tmp_path, text.replace(", new/model: {input: 1, output: 4}", ""))
    assert "cost_per_1000_usd" not in unpriced, "one price is unknown"
    assert [unpriced["stream_tokens_per_s"][name] for name in ("ratio", "low", "high")] == [1.0] * 3, (
        "streams are alike"
    )


def test_the_interval_of_dollars_holds_the_truth_as_often_as_it_says():
    rng, inside, pairs = np.random.default_rng(3), 0, np.arange(400) * PARTS // 400
    for _ in range(400):
        prompts, ones = rng.lognormal(5, 1, 400), np.ones(400)  # the same in both arms, and of very different lengths
        a, b = prompts + rng.lognormal(4, 1, 400), 1.2 * (prompts + rng.lognormal(4, 1, 400))
        sides = (Totals(sums(paid, pairs), sums(ones, pairs)) for paid in (a, b))
        found = ratio_of_ratios(*sides)
        inside += found.low <= 1.2 <= found.high
    assert 0.92 * 400 <= inside <= 0.98 * 400


@pytest.mark.parametrize(
    ("load", "says"),
    [
        ({"users": 1}, "1 user with one pair at a time sent 9 pairs"),
        ({"users": 2}, "2 users, each with one pair at a time, sent 9 pairs"),
        ({"rate": 2.5}, "9 pairs were sent at 2.50 pairs/s"),
    ],
)
def test_who_sent_the_pairs_is_said(tmp_path, load, says):
    scenario = read(tmp_path)
    steps = [{"name": "measure", "began": 0.0, "ended": 9.0, **load}]
    run = open_run(write_run(tmp_path / "run", [record(0)], scenario=redacted(scenario), steps=steps))
    assert sent(run, "9 pairs", "pair") == says


def test_each_candidate_has_a_chart_of_its_own(tmp_path):
    text = SCENARIO.replace("  baseline: {}\n", "  baseline: {}\n  other: {request: {temperature: 0.9}}\n")
    scenario = read(tmp_path, text)
    records, _ = perform(scenario, slower=1.3)
    drawn = charts(rows_of(records), asked_of(scenario)).parts
    assert [(one.name, one.title, one.x.title) for one in drawn] == [
        ("ttft-side-by-side", "TTFT side by side", "TTFT"),
        ("ttft-differences", "TTFT within pairs", "TTFT of candidate against baseline"),
        ("ttft-differences-1", "TTFT within pairs", "TTFT of other against baseline"),
        ("ttft-over-time", "TTFT over time", "seconds from the beginning of the load"),
    ]


def test_a_comparison_of_something_with_itself(tmp_path):
    made = against_itself(read(tmp_path))
    assert list(made.arms) == ["baseline", "again"]
    assert made.arms["baseline"] is made.arms["again"]
    assert list(read(tmp_path).arms) == ["baseline", "candidate"]
    load = (
        SCENARIO[: SCENARIO.index("arms:")].replace("kind: compare", "kind: load")
        + "requests: [{prompt: Hi}]\nload: {users: 3, duration: 5s}\n"
    )
    plain = read(tmp_path, load.replace(", new/model: {input: 1, output: 2}", ""))
    with pytest.raises(ValueError, match="there is no gate"):
        against_itself(plain)
    with pytest.raises(ValueError, match="goodput needs the limits of a good answer"):
        against_itself(plain, {"goodput": "5%"})
    good = plain.model_copy(update={"slo": Slo(ttft="1s")})
    assert against_itself(good, {"goodput": "5%"}).slo == good.slo
    made = against_itself(plain, {"ttft p50": "5%"})
    assert (made.load.users, made.pairs.most, list(made.arms)) == (3, 1000, ["baseline", "again"])
    assert made.arms["again"].target.key is not None
    bursty = plain.model_copy(
        update={"load": Load(rate=3, arrivals="gamma", burstiness=0.5, duration=5), "models": plain.models[:1]}
    )
    made = against_itself(bursty, {"ttft p50": "5%"})
    assert (made.load.rate, made.load.arrivals, made.load.burstiness) == (3, "gamma", 0.5)


def test_the_kind_is_in_the_table():
    assert {"load", "compare"} <= set(KINDS)
