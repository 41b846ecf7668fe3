"""A question of one's own: one file beside the scenario, and no change anywhere else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.analysis import exit_code, open_run
from bench.analysis.conclusion import BARE, Conclusion
from bench.analysis.sections import Axis, Badge, Chart, Section, Sentence, Series
from bench.cli.results import conclude
from bench.experiments import KINDS, UnknownKindError, findings_in, read_scenario, steps_of
from bench.experiments.general import findings
from bench.experiments.kind import kind_of
from bench.experiments.simulated_performer import SimulatedPerformer
from bench.plan import Mistakes
from bench.plan.steps import StepsError
from bench.report import render, write_report
from tests.conftest import bench
from tests.runs import failed, record, write_run

TOY = Path("tests/experiments/longest_prompt.py")
SCENARIO = """\
kind: longest_prompt.py:KIND
target: {simulator: {models: {m: {ttft: [0, 0], decode_per_token: 0, context_size: 321}}}}
models: [m]
requests: [{name: prompt, api: completions, prompt: so, max_tokens: 1}]
too_long: 4096
seed: 1
"""


@pytest.fixture
def scenario(tmp_path):
    shutil.copy(TOY, tmp_path)
    file = tmp_path / "longest.yaml"
    file.write_text(SCENARIO)
    return file


@pytest.mark.parametrize("accepts", [1, 2, 77, 1024, 4095])
def test_it_finds_the_limit_of_a_simulated_server_in_a_dozen_requests(scenario, accepts):
    asked = []

    def server(planned, at):
        asked.append(len(planned.input.split()))
        good = asked[-1] <= accepts
        return record(done=at + 0.5) if good else failed(len(asked), "http_error", done=at + 0.1)

    performer = SimulatedPerformer(server)
    performer.perform(steps_of(read_scenario(scenario)))
    assert max((words for words in asked if words <= accepts), default=0) == accepts
    assert accepts + 1 in [*asked, 4096]
    assert performer.sent == len(asked) == 12
    assert 12 * 0.1 <= performer.now <= 12 * 0.5


def test_bench_plan_says_that_the_answers_decide(scenario):
    done = bench("plan", scenario)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "What longest sends depends on the answers, so it cannot be said beforehand.\n"


def test_bench_run_finds_the_limit_of_the_simulator_and_keeps_it_as_findings(scenario, tmp_path):
    done = bench("run", scenario, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    [folder] = (tmp_path / "out").iterdir()
    assert json.loads((folder / "findings.json").read_bytes()) == {"tokens": 321}
    told = "The longest prompt that was accepted has 321 tokens."
    assert told in done.stdout
    assert told in (folder / "report.md").read_text()
    assert told in (folder / "report.html").read_text()
    steps = [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
    assert [step["kind"] for step in steps] == ["burst"] * 12

    (folder / "findings.json").unlink()
    done = bench("report", folder)
    assert done.returncode == 3, "what the kind finds is not known"
    assert "with --kind FILE.py:KIND that file is run" in done.stderr, "a folder's word alone runs no code"
    assert not (folder / "findings.json").exists()
    assert bench("report", folder, "--kind", f"{scenario.parent}/longest_prompt.py:KIND").returncode == 0
    assert json.loads((folder / "findings.json").read_bytes()) == {"tokens": 321}


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("gone.py:KIND", None, "there is no file "),
        ("mine.py:KIND", "1 / 0", "mine.py cannot be imported: ZeroDivisionError: division by zero"),
        ("mine.py:KIND", "raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("mine.py:KIND", "def (", "cannot be imported: SyntaxError"),
        ("mine.py:KIND", "KINDS = {}", "mine.py: KIND is not in it; a bench.experiments.Kind is expected"),
        ("mine.py:KIND", "KIND = 5", "mine.py: KIND is a int; a bench.experiments.Kind is expected"),
        ("mine.py:KIND", "KIND = Kind(dict, print)", "KIND.scenario is not a class of scenarios"),
        ("mine.py:KIND", "KIND = Kind(Scenario, 5)", "KIND.steps is 5; a function is expected"),
        ("mine.py:KIND", "KIND = Kind(Scenario, None)", "KIND.steps is None; a function is expected"),
        ("mine.py:KIND", "KIND = Kind(Scenario, print, 5)", "KIND.findings is 5; a function is expected"),
        ("mine.py", "KIND = Kind(Scenario, print)", "kind is 'mine.py'; load or "),
        ("[load]", None, "kind is ['load']; load or "),
    ],
)
def test_what_is_no_kind_is_a_mistake_with_its_line(tmp_path, kind, code, words):
    if code is not None:
        text = f"from bench.experiments import Kind\nfrom bench.plan import Scenario\n{code}\n"
        (tmp_path / "mine.py").write_text(text)
    file = tmp_path / "s.yaml"
    file.write_text(
        f"target: simulator\nmodels: [m]\nkind: {kind}\nrequests: [{{prompt: Hi}}]\nload: {{users: 1, requests: 1}}\n"
    )
    with pytest.raises(Mistakes) as caught:
        read_scenario(file)
    assert f"{file}:3: " in str(caught.value)
    assert words in str(caught.value)


MINE = """\
from bench.experiments import Kind
from bench.plan import Burst, Note, Planned, Scenario, Stage
from bench.plan.arrivals import Ramp


def steps(scenario):
    {steps}


KIND = Kind(Scenario, steps)
"""


def own(folder, steps):
    """A scenario whose kind has these steps."""
    (folder / "mine.py").write_text(MINE.format(steps=steps))
    file = folder / "s.yaml"
    file.write_text("kind: mine.py:KIND\ntarget: simulator\nmodels: [m]\nrequests: [{prompt: Hi}]\nfit: false\n")
    return file


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ("yield Note('far')", "mine.py:7: the question's steps failed: TypeError: Note.__init__() takes 1 positional"),
        ("yield Note(text='on'); 1 / 0", "mine.py:7: the question's steps failed: ZeroDivisionError"),
        ("yield 5", "mine.py: the question's steps failed: TypeError: 5 was yielded; a Stage, Burst, Wait or Note is"),
        ("return [Note(text='on')]", "TypeError: steps returned [Note(text='on')]; a generator that yields steps is"),
        ("yield Stage(name='s', users=5, duration=1)", "mine.py:7: the question's steps failed: ValueError: a stage has "
         "users or a rate, as a Ramp; got users 5 and rate None"),
        ("yield Stage(name='s', duration=1)", "ValueError: a stage has users or a rate, as a Ramp; got users None and"),
        ("yield Stage(name='s', rate=Ramp(5))", "ValueError: nothing ends the stage; a duration or a number of requests"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_its_steps_is_told_with_the_line_of_its_file(tmp_path, steps, words):
    with pytest.raises(StepsError) as caught:
        SimulatedPerformer(lambda planned, at: record()).perform(steps_of(read_scenario(own(tmp_path, steps))))
    assert words in str(caught.value)


def test_a_run_whose_steps_fail_says_where_and_keeps_what_there_is(tmp_path):
    ask = "Planned(seq=0, k=0, name='a', model='m', api='completions', stream=False, input='Hi', parameters={}, extra_body={})"
    file = own(tmp_path, f"[found] = yield Burst(name='b', requests=({ask},))\n    found.nothing")
    done = bench("run", str(file), "--out", str(tmp_path), "--name", "run")
    assert done.returncode == 3
    assert (
        "mine.py:8: the question's steps failed: AttributeError: 'Record' object has no attribute 'nothing'"
        in done.stderr
    )
    assert "mistake" not in done.stderr
    run = open_run(tmp_path / "run")
    assert (run.end.stopped_by, len(run.records)) == ("question", 1)
    assert "when the question's own steps failed" in bench("report", str(run.folder)).stdout


def test_its_keys_are_as_strict_as_those_of_every_kind(scenario):
    scenario.write_text(SCENARIO.replace("too_long: 4096", "too_lon: 4096"))
    with pytest.raises(Mistakes, match=r"longest.yaml:5: too_lon is .*did you mean too_long"):
        read_scenario(scenario)


def test_a_load_of_ones_own_is_sent_by_one_process(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from bench.experiments import KINDS, Kind, LoadScenario\n\n\n"
        "class Mine(LoadScenario):\n    kind: str = 'mine'\n\n\nKIND = Kind(Mine, KINDS['load'].steps)\n"
    )
    file = tmp_path / "s.yaml"
    text = (
        "kind: mine.py:KIND\ntarget: simulator\nmodels: [m]\nrequests: [{prompt: Hi}]\nload: {users: 2, requests: 2}\n"
    )
    file.write_text(text)
    assert [stage.name for stage in steps_of(read_scenario(file))] == ["measure"]
    with pytest.raises(Mistakes, match=r"load\.processes is 2; a kind of your own sends from one process"):
        read_scenario(file, overrides=["load.processes=2"])


def test_a_kind_that_a_later_version_knew_is_told_by_name():
    with pytest.raises(UnknownKindError, match="'divination' is not a kind of question that this version knows: load"):
        kind_of("divination", KINDS)


CURVE = Chart(
    "limits", "Limits", "what was admitted", Axis("s"), Axis("requests"), (Series("", np.arange(3.0), np.arange(3.0)),)
)
ANSWER = Section("limits", "The limit", (Sentence("The limit is 60 requests per minute."), CURVE))


def test_the_report_is_its_own_sections_then_the_general_ones(tmp_path):
    run = open_run(write_run(tmp_path / "run", [record(n) for n in range(200)]))
    plain = findings(run)
    found = findings(run, Conclusion((ANSWER,), "fail", headline="60 requests per minute", badges=(Badge("kept"),)))
    assert found.sections[0] is ANSWER
    assert [one.name for one in found.sections[1:]] == [one.name for one in plain.sections] != []
    assert [badge.text for badge in found.heading.badges] == ["fail", "measurement valid", "kept"]
    assert (found.heading.headline, found.heading.title) == ("60 requests per minute", plain.heading.title)
    assert exit_code(run.summary, "fail") == 1


@pytest.mark.parametrize(
    ("general", "names"),
    [
        (BARE, ["limits", "circumstances"]),
        ((), ["limits"]),
        (("timeline", "validity"), ["limits", "validity", "timeline"]),
    ],
)
def test_it_says_which_general_sections_it_keeps_and_the_order_is_the_usual_one(tmp_path, general, names):
    run = open_run(write_run(tmp_path / "run", [record(n) for n in range(200)]))
    assert [section.name for section in findings(run, Conclusion((ANSWER,), general=general)).sections] == names


def test_every_form_of_the_report_shows_what_the_experiment_found(tmp_path):
    run = open_run(write_run(tmp_path / "run", [record(n) for n in range(20)]))
    conclusion = Conclusion((ANSWER,), headline="60 requests per minute", general=BARE)
    page = write_report(run, conclusion)
    assert (page.parent / "limits.png").read_bytes().startswith(b"\x89PNG")
    assert not (page.parent / "ttft.png").exists()
    for text in (page.read_text(), (page.parent / "report.md").read_text(), render(run, "text", conclusion)):
        assert "60 requests per minute" in text
        assert "The limit is 60 requests per minute." in text


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("1 / 0", "could not be made (ZeroDivisionError: division by zero)"),
        ("None", "could not be made (TypeError: findings returned a NoneType; a bench.analysis.conclusion.Conclusion"),
    ],
)
def test_findings_that_cannot_be_made_are_told_and_conclude_nothing(tmp_path, capsys, returned, words):
    run = open_run(write_run(tmp_path / "run", [record(n) for n in range(20)]))
    (tmp_path / "mine.py").write_text(
        "from bench.experiments import Kind, LoadScenario\n"
        f"KIND = Kind(LoadScenario, print, lambda run: {returned})\n"
    )  # fmt: skip
    assert conclude(run, f"{tmp_path}/mine.py:KIND").verdict == "inconclusive"
    assert words in capsys.readouterr().err


def test_findings_in_a_module_are_imported_when_they_are_wanted():
    findings_of = findings_in("tests.experiments.longest_prompt")
    assert findings_of.__name__ == "findings"
    with pytest.raises(AttributeError):
        findings_of(None)
