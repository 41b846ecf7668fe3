"""Runs on disk, compared: verdicts, what is refused, and what a gate's file may say."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from bench.analysis.baseline import BaselineError, read_baseline, with_runs, write_baseline
from bench.analysis.comparability import unlike
from bench.analysis.comparison_findings import checks_of, document_of, findings_of
from bench.analysis.disk_comparison import IncomparableError, compare
from bench.analysis.extract import LEVELS, distribution_of, extract, share_above
from bench.analysis.run import open_run
from bench.analysis.sections import charts
from bench.cli import main
from bench.plan import Mistakes
from bench.plan.gate_file import read_gate
from bench.plan.presets import PRESETS, slo_of, thresholds_of
from bench.report import render_findings, write_findings
from bench.report.junit import junit
from tests.runs import failed, record, shifted, write_run

GATE = {"ttft p50": "5%", "ttft p95": "15%", "error_rate": "1%"}
WIDE = {"ttft p50": "50%", "error_rate": "5%"}


def made(
    folder: Path,
    ttft: float = 0.5,
    *,
    seed: int = 1,
    n: int = 200,
    failing: int = 0,
    spread: float = 0.1,
    scenario: dict | None = None,
    **changes: object,
) -> Path:
    """A run of n requests whose times to the first token are around `ttft`, the first `failing` of which failed."""
    rng, plain, records = np.random.default_rng(seed), record(), []
    for seq in range(n):
        begun = 0.04 * seq
        late = begun + ttft * float(np.exp(rng.normal(0.0, spread))) - 0.5  # than the plain one
        times = shifted(plain, late, seq) | {"sent": 2.0 + begun}
        if seq < failing:
            records.append(failed(seq, "server_error", sent=times["sent"], done=times["done"]))
        else:
            records.append(record(**{**times, **changes}))
    return write_run(folder, records, scenario=scenario)


def command(*words: object):
    """What `bench` prints and exits with, in this process."""
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def base(tmp_path):
    return made(tmp_path / "base")


def test_a_first_token_that_comes_twice_as_late_fails_and_names_what_is_missing(base, tmp_path):
    found = compare(base, made(tmp_path / "slow", 1.0, seed=2), gate=GATE)
    assert (found.verdict, found.exit_code, found.advisory) == ("fail", 1, True)
    assert found.compared.missing == (9, 2)
    p50 = found.comparisons[0]
    assert p50.ratio == pytest.approx(2.0, rel=0.05)
    assert p50.low < 2.0 < p50.high
    told = " ".join(part.text for part in findings_of(found).sections[0].parts if hasattr(part, "text"))
    assert "9 more of the baseline and 2 more of the candidate are missing" in told


def test_one_run_against_its_equal_is_inconclusive_however_many_requests_it_has(base, tmp_path):
    found = compare(base, made(tmp_path / "same", seed=2, n=1500), gate=GATE)
    assert (found.verdict, found.exit_code) == ("inconclusive", 3)


def test_wide_margins_pass_with_one_run_on_either_side(base, tmp_path):
    assert compare(base, made(tmp_path / "same", seed=2), gate=WIDE).verdict == "pass"


def test_failures_fail_a_gate_whether_or_not_it_has_a_line_for_them(base, tmp_path):
    tenth = made(tmp_path / "tenth", failing=20, seed=2)
    found = compare(base, tenth, gate={"error_rate": "1%"})
    assert (found.verdict, found.comparisons[0].candidate) == ("fail", 0.1)
    most = made(tmp_path / "most", failing=120, seed=2)
    [p50] = compare(base, most, gate={"ttft p50": "5%"}).comparisons
    assert (p50.verdict, p50.candidate) == ("fail", None)
    assert "the time of a failure" in p50.reason
    unasked = compare(base, tenth, gate={"ttft p50": "5%"})
    assert any("requests ended differently: server_error 0 % and 10.0 %" in one.text for one in unasked.unlike)


def test_a_rate_of_requests_that_all_failed_is_judged_by_the_failures(base, tmp_path):
    none = made(tmp_path / "none", failing=200, seed=2)
    [tokens] = compare(base, none, gate={"output_tokens_per_s": "20%"}).comparisons
    assert (tokens.verdict, tokens.candidate, tokens.of) == ("fail", None, 2)
    assert "so many requests fail that it has none" in tokens.reason
    [errors] = compare(base, none, gate={"error_rate": "1%"}).comparisons
    assert (errors.ratio, errors.high) == (1.0, 1.0), "shares differ by 100 points at most"


def test_a_run_counts_once_whatever_its_folder_is_called(base, tmp_path):
    other = made(tmp_path / "other", seed=2)
    copy = tmp_path / "copy"
    copytree(other, copy)
    for side in ([other, other], [other, copy]):
        with pytest.raises(IncomparableError, match="a run counts once"):
            compare(base, side, gate=GATE)
    with pytest.raises(IncomparableError, match="copy would be compared with itself"):
        compare(other, copy)
    with pytest.raises(BaselineError, match="a run counts once"):
        with_runs(None, "main", [extract(open_run(one)) for one in (other, copy)])


def test_many_seeds_are_one_difference(base):
    drawn = [replace(extract(open_run(base)), seed=seed) for seed in (1, 2, 3, 2)]
    assert [one.text for one in unlike(drawn[:1], drawn[1:])] == ["the prompts are drawn from 3 different seeds"]
    assert [one.text for one in unlike(drawn[:1], drawn[1:2])] == [
        "the prompts are drawn from different seeds (1 and 2)"
    ]  # fmt: skip


def test_models_and_request_classes_may_be_in_another_order(base):
    one = extract(open_run(base))
    asked = replace(one.asked, models=["m", "k"], requests=[{"name": "chat"}, {"name": "long", "stream": True}])
    other = replace(asked, models=["k", "m"], requests=asked.requests[::-1])
    assert unlike([replace(one, asked=asked)], [replace(one, asked=other)]) == []
    changed = replace(other, models=["k", "n"], requests=[{"name": "long"}, {"name": "chat"}])
    assert [difference.text for difference in unlike([replace(one, asked=asked)], [replace(one, asked=changed)])] == [
        "the models differ: m, k and k, n",
        "what was asked differs: requests.1.stream is not set; it was true",
    ]


def test_a_run_without_requests_is_refused_for_that(base, tmp_path):
    none = write_run(tmp_path / "none", [])
    for sides, side in (((base, none), "candidate"), ((none, base), "baseline")):
        assert compare(*sides, gate=GATE).refusals == (f"the {side} has no measured requests",)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"error_rate":[0,200]', '"error_rate":[0,0]', "error_rate is 0 of 0"),
        ('"n":200', '"n":0', "n is 0"),
        ('"quantiles":[', '"quantiles":[0.1,', "66 are expected"),
        ('"output_tokens_per_s":', '"output_tokens_per_s":-', "Expected float >= 0.0"),
    ],
)
def test_a_baseline_whose_figures_cannot_be_is_told(base, tmp_path, old, new, words):
    path = write_baseline(tmp_path, with_runs(None, "main", [extract(open_run(base))]))
    written = path.read_text()
    assert old in written
    path.write_text(written.replace(old, new, 1))
    with pytest.raises(BaselineError, match="is not a baseline: .*" + words):
        read_baseline(tmp_path, "main")


def test_without_a_gate_runs_are_compared_and_not_judged(base, tmp_path):
    found = compare(base, made(tmp_path / "slow", 1.0, seed=2))
    assert (found.verdict, found.exit_code) == (None, 0)
    assert findings_of(found).heading.badges[0].text == "compared, not judged"
    assert {one.verdict for one in found.comparisons} == {None}
    assert "ttft p50" in [one.title for one in found.comparisons]


def test_the_scenarios_own_gate_is_the_default(tmp_path):
    own = {"gate": {"ttft p50": "5%"}}
    found = compare(
        made(tmp_path / "a", scenario=own), made(tmp_path / "b", 1.0, seed=2, scenario=own)
    )  # fmt: skip
    assert [one.title for one in found.comparisons] == ["ttft p50"]
    assert found.verdict == "fail"


def test_runs_of_one_seed_are_compared_pair_by_pair(base, tmp_path):
    again = made(tmp_path / "again")  # the same seed draws the same times: every pair is equal
    rows = (again / "records.jsonl").read_text().splitlines()
    (again / "records.jsonl").write_text("\n".join(rows[:150]) + "\n")
    [p50] = compare(base, again, gate={"ttft p50": "5%"}).comparisons
    assert p50.pairs == 150
    assert p50.ratio == pytest.approx(1.0)


# -- with runs enough -------------------------------------------------------------------------------------------


def several(folder: Path, ttft: float, runs: int, *, seed: int, spread: float = 0.02) -> list[Path]:
    """Runs that differ from each other by 2 %, and 100 requests each."""
    rng = np.random.default_rng(seed)
    return [
        made(folder / f"run-{one}", ttft * float(np.exp(rng.normal(0, spread))), seed=seed * 100 + one, n=100)
        for one in range(runs)
    ]


@pytest.mark.slow
def test_ten_runs_and_three_measure_the_spread_and_judge_by_it(tmp_path):
    several(tmp_path / "main", 0.5, 10, seed=1)
    equal = several(tmp_path / "equal", 0.5, 3, seed=2)
    slower = several(tmp_path / "slower", 0.6, 3, seed=3)
    found = compare(tmp_path / "main", equal, gate={"ttft p50": "10%"})
    assert (found.verdict, found.advisory) == ("pass", False)
    [p50] = found.comparisons
    assert 0.01 < p50.spread < 0.05
    assert not p50.assumed
    assert compare(tmp_path / "main", slower, gate={"ttft p50": "10%"}).verdict == "fail"


@pytest.mark.slow
def test_a_baseline_keeps_what_a_comparison_needs_in_kilobytes(tmp_path):
    folders = several(tmp_path / "main", 0.5, 10, seed=1)
    kept = with_runs(None, "main", [extract(open_run(one)) for one in folders])
    path = write_baseline(tmp_path / "baselines", kept)
    assert path.stat().st_size < 10 * 20_000
    assert read_baseline(tmp_path / "baselines", "main") == kept
    slower = several(tmp_path / "slower", 0.6, 3, seed=3)
    one = compare("main", slower, gate=GATE, baselines=tmp_path / "baselines")
    other = compare(tmp_path / "main", slower, gate=GATE)
    assert document_of(one)["comparisons"] == document_of(other)["comparisons"]
    with pytest.raises(BaselineError, match="run-0 is in the baseline main already"):
        with_runs(kept, "main", [extract(open_run(folders[0]))])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a baseline"),
        (b"[]", "is not a baseline"),
        (b'{"schema": 9}', "schema is 9, and this version of bench reads up to 1"),
        (b'{"schema": 1, "name": "main", "runs": []}', "holds no run"),
        (b'{"schema": 1, "name": "main", "runs": [{"kind": 5}]}', "is not a baseline"),
        (b"\xff\xfe", "is not a baseline"),
    ],
)
def test_a_damaged_baseline_is_told_in_a_sentence(tmp_path, content, words):
    (tmp_path / "main.json").write_bytes(content)
    with pytest.raises(BaselineError, match=words):
        read_baseline(tmp_path, "main")


# -- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "scenario", "words"),
    [
        ({}, {"load": {"users": 5, "duration": 10.0}}, "load.users is 5; it was 2"),
        ({}, {"requests": [{"name": "chat", "api": "chat", "stream": True, "max_tokens": 9}]}, "requests.0.max_tokens is 9"),
        ({"model": "n"}, {"models": ["n", "m"]}, "the models differ: m and n, m"),
        ({"stream": False}, None, "100 % of the requests streamed, and 0 %"),
        ({"cached_tokens": 50}, None, "from the server's prompt cache"),
    ],
)  # fmt: skip
def test_what_makes_a_verdict_meaningless_is_refused_by_name(tmp_path, changes, scenario, words):
    base = made(tmp_path / "base", cached_tokens=0, n=40)
    other = made(tmp_path / "other", seed=2, scenario=scenario, n=40, **{"cached_tokens": 0} | changes)
    found = compare(base, other, gate=GATE)
    assert (found.verdict, found.exit_code) == ("refused", 2)
    assert any(words in one for one in found.refusals), found.refusals
    assert found.comparisons == ()
    forced = compare(base, other, gate=GATE, force=True)
    assert forced.verdict != "refused"
    assert any(words in one.text for one in forced.unlike)


def test_longer_answers_are_told_and_refused_only_where_the_gate_depends_on_them(base, tmp_path):
    longer = made(tmp_path / "longer", seed=2, completion_tokens=8)
    words = "answers have 5.00 and 8.00 tokens on average"
    found = compare(base, longer, gate=GATE)
    assert found.refusals == ()
    assert any(words in one.text for one in found.unlike)
    assert any(words in one for one in compare(base, longer, gate={"e2e p50": "5%"}).refusals)


def test_two_models_by_other_names_are_compared_and_told(base, tmp_path):
    other = made(tmp_path / "other", 1.0, seed=2, model="n", response_model="n-2", scenario={"models": ["n"]})
    found = compare(base, other, gate=GATE)
    assert found.verdict == "fail"
    told = [one.text for one in found.unlike]
    assert "the models differ: m and n" in told
    assert "the server calls its model m and n-2" in told


def test_an_invalid_measurement_feeds_no_gate(base, tmp_path):
    late = [{"worker": 0, "hub_lag_s": [2.0] * 50, "cpu": 1.0, "gc_s": 0.9, "users": 2, "in_flight": 2,
             "t": 2.0 + at, "clock_step_s": 0.0} for at in range(9)]  # fmt: skip
    slow = made(tmp_path / "slow", 1.0, seed=2)
    (slow / "health.jsonl").write_text("".join(json.dumps(line) + "\n" for line in late))
    assert open_run(slow).summary.validity.verdict == "invalid"
    found = compare(base, slow, gate=GATE)
    assert (found.verdict, found.exit_code) == ("inconclusive", 3)
    assert "the measurement of slow is invalid" in found.invalid[0]
    assert render_findings(findings_of(found), "text").startswith("✗ inconclusive  the measurement of slow is invalid")
    unjudged = render_findings(findings_of(compare(base, slow)), "text")
    assert unjudged.startswith("✗ compared, not judged  the measurement"), "its exit code is 0"


def test_a_run_is_not_compared_with_itself(base):
    with pytest.raises(IncomparableError, match="base would be compared with itself"):
        compare(base, base)


def test_what_is_not_there_is_told(base, tmp_path):
    with pytest.raises(IncomparableError, match="neither the folder of a run nor a stored baseline"):
        compare("main", base, baselines=tmp_path)
    with pytest.raises(IncomparableError, match="is not there"):
        compare(base, tmp_path / "gone")


# -- the gate ----------------------------------------------------------------------------------------------------


def test_a_line_may_be_about_a_class_and_one_that_is_unknown_is_a_mistake(base, tmp_path):
    slow = made(tmp_path / "slow", 1.0, seed=2)
    assert compare(base, slow, gate={"ttft[chat] p50": "5%"}).verdict == "fail"
    with pytest.raises(IncomparableError, match="'chit' is not a model, a request class or a stage"):
        compare(base, slow, gate={"ttft[chit] p50": "5%"})


def test_a_figure_that_no_run_has_never_passes(base, tmp_path):
    found = compare(base, made(tmp_path / "same", seed=2), gate={"send_lag p50": "50%"})
    assert found.verdict == "inconclusive"
    assert found.comparisons[0].reason == "the baseline has no send lag"


def test_rates_and_rare_slow_requests_are_lines_too(base, tmp_path):
    slow = made(tmp_path / "slow", seed=2)
    rows = [json.loads(line) for line in (slow / "records.jsonl").read_text().splitlines()]
    for row in rows[::8]:
        row["first_token_at"] += 3.0
    (slow / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    [tail] = compare(base, slow, gate={"ttft tail": "2%"}).comparisons
    assert tail.verdict == "fail"
    assert tail.ratio == pytest.approx(1 / 8, abs=0.02)
    [rate] = compare(base, slow, gate={"output_tokens_per_s": "50%"}).comparisons
    assert (rate.verdict, rate.better) == ("pass", "higher")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ttft[ ] p50: 5%", "gate.yaml:1: 'ttft[ ] p50': its brackets are empty; name a model, a request class or a"),
        ("tftt p50: 5%", "gate.yaml:1: 'tftt p50' is not a figure of a gate; did you mean ttft?"),
        ("gate: {ttft p50: 5%}\nthreshold: [a]", "gate.yaml:2: threshold is not known beside gate and thresholds"),
        ("thresholds: [ttft p95 << 2s]", "gate.yaml:1: thresholds.0: "),
        ("thresholds: [mlperf/llama9]", "'mlperf/llama9' is not a preset"),
        ("models: [m]\nrequests: []", "this scenario has neither gate nor thresholds"),
        ("", "a gate is expected"),
        ("gate: {}", "the gate is empty"),
        ("ttft p50: 5%\nttft p50: 6%", "gate.yaml:2"),
        ("ttft p50: 5%\nttft  p50: 6%", "the gate has ttft p50 2 times"),
        ("error_rate: 5%\nttft p50: 6", "gate.yaml:2: ttft p50: 6 is 1 or more; a margin is a share: did you mean 6%?"),
    ],
)
def test_a_broken_gate_is_told_with_its_line(tmp_path, text, words):
    (tmp_path / "gate.yaml").write_text(text)
    with pytest.raises(Mistakes) as caught:
        read_gate(str(tmp_path / "gate.yaml"))
    assert words in str(caught.value)


def test_a_gate_may_be_in_a_scenario_beside_its_secrets(tmp_path):
    (tmp_path / "s.yaml").write_text(
        "models: [m]\ntarget: {url: '${NOT_SET}'}\nrequests: []\ngate: {ttft p50: 5%}\nthresholds: [error_rate < 1%]\n"
    )
    gate = read_gate(str(tmp_path / "s.yaml"))
    assert ([line.title for line in gate.lines], gate.thresholds) == (["ttft p50"], ("error_rate < 1%",))


def test_presets_are_mlperfs_limits_and_thresholds_of_the_candidate(base, tmp_path):
    assert slo_of("mlperf/llama2-70b-interactive") == {"ttft": 0.45, "tpot": 0.04}
    assert thresholds_of("mlperf/llama2-70b-interactive") == ("ttft p99 <= 450ms", "tpot p99 <= 40ms")
    assert all(slo_of(name) for name in PRESETS)
    fast = made(tmp_path / "fast", 0.2, seed=2, n=600)
    assert {one.verdict for _, one in compare(base, fast, gate="mlperf/llama2-70b").thresholds} == {"pass"}
    assert compare(base, fast, gate="mlperf/llama2-70b-interactive").verdict == "fail", "tpot is 100 ms"


# -- what is told, and where -------------------------------------------------------------------------------------


def test_junit_has_a_case_for_each_line_and_none_passes_that_did_not(base, tmp_path):
    found = compare(base, made(tmp_path / "slow", 1.0, seed=2), gate=GATE)
    suite = ElementTree.fromstring(junit("gate", checks_of(found)))[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "2", "1")
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases["ttft p50"] == ["failure"]
    assert cases["error_rate"] == ["error"]
    assert cases["the runs are comparable"] == ["system-out"]


def test_a_threshold_that_alone_fails_heads_the_report(base, tmp_path):
    gate = tmp_path / "gate.yaml"
    gate.write_text("gate: {ttft p50: 50%}\nthresholds: [ttft p50 < 100ms]\n")
    found = compare(base, made(tmp_path / "same", seed=2), gate=str(gate))
    told = findings_of(found)
    assert found.verdict == "fail"
    assert told.heading.headline.startswith("ttft p50 < 100ms of same: fail, got ")
    assert told.sections[0].parts[0].text.startswith("TTFT of candidate: no more than 50 % worse")


def test_the_report_has_charts_and_every_drawer_takes_it(base, tmp_path):
    found = compare(base, made(tmp_path / "slow", 1.0, seed=2, failing=5), gate=GATE)
    told = findings_of(found)
    names = [chart.name for chart in charts(told.sections)]
    assert {"ttft-side-by-side", "ttft-differences", "ttft-over-time"} <= set(names)
    assert len(names) == len(set(names))
    write_findings(told, tmp_path)
    assert "first token comes" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "ttft-differences.png").exists()


def test_the_command_exits_with_the_verdict_and_says_why_it_refuses(base, tmp_path):
    slow = made(tmp_path / "slow", 1.0, seed=2)
    (tmp_path / "gate.yaml").write_text("ttft p50: 5%\n")
    done = command("compare", base, slow, "--gate", tmp_path / "gate.yaml", "--format", "json")
    assert done.exit_code == 1, done.stderr
    document = json.loads(done.stdout)
    assert document["verdict"] == "fail"
    assert list(document["comparisons"][0])[:10] == [
        "metric", "statistic", "baseline", "candidate", "ratio", "low", "high", "pairs", "smallest", "verdict",
    ]  # fmt: skip
    other = made(tmp_path / "other", scenario={"load": {"users": 9}})
    done = command("compare", base, other, "--gate", tmp_path / "gate.yaml", "--format", "markdown")
    assert done.exit_code == 2
    assert "load.users is 9; it was 2" in done.stderr
    assert "not comparable" in done.stdout


# -- the extract -------------------------------------------------------------------------------------------------


def test_an_extracts_quantiles_are_those_of_the_values():
    values = np.sort(np.random.default_rng(1).exponential(1.0, 1000))
    one = distribution_of(values)
    assert one.figures["p50"] == pytest.approx(values[499], rel=1e-5)
    assert one.quantiles[LEVELS.index(0.9)] == pytest.approx(values[899], rel=1e-3)
    assert share_above(one, 2.0) == pytest.approx(float((values > 2.0).mean()), abs=0.01)
    assert one.errors["p50"] == pytest.approx(1 / np.log(2) * np.sqrt(1 / 1000), rel=0.25)
    failing = distribution_of(np.sort(np.concatenate([values[:900], np.full(100, np.inf)])))
    assert (failing.failures, failing.figures["p95"], failing.errors["p95"]) == (100, None, None)
    assert share_above(failing, 100.0) == pytest.approx(0.1, abs=0.01)
