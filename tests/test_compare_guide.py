"""What docs/compare.md says is so: its gate, its workflow, its test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from bench.analysis.baseline import with_runs, write_baseline
from bench.analysis.disk_comparison import folders_in
from bench.analysis.extract import extract
from bench.analysis.run import open_run
from bench.experiments import read_scenario
from bench.plan.gate_file import read_gate
from tests.test_disk_comparison import command, made

PAGE = Path("docs/compare.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
YAML = [text for kind, text in BLOCKS if kind == "yaml"]
GATE, WORKFLOW = YAML[0], next(text for text in YAML if "jobs:" in text)
SCENARIO = """\
target: {simulator: {models: {m: {ttft: [0.05, 0.1], decode_per_token: 0.01}}}}
models: [m]
requests: [{prompt: Hi, max_tokens: 2}]
load: {users: 2, requests: 20}
"""


def test_the_workflow_does_what_it_says(tmp_path):
    (tmp_path / "perf").mkdir()
    (tmp_path / "perf" / "chat.yaml").write_text(SCENARIO)
    (tmp_path / "perf" / "gate.yaml").write_text("ttft p50: 1000%\n")
    steps = [step["run"] for step in yaml.safe_load(WORKFLOW)["jobs"]["gate"]["steps"] if "run" in step]
    assert steps[0] == "pip install bench-llm"
    ours = f'bench() {{ {sys.executable} -m bench "$@"; }}\nset -e\n'
    environ = os.environ | {"PYTHONPATH": str(Path.cwd()), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}

    def run(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", "-c", ours + script], cwd=tmp_path, env=environ, capture_output=True, text=True)

    done = run(steps[1].replace("1 2 3", "1 2").replace("--no-report", "--no-report || [ $? = 3 ]"))  # 3: too busy
    assert done.returncode == 0, done.stderr
    old, new = folders_in(tmp_path / "candidate")
    write_baseline(tmp_path / "baselines", with_runs(None, "main", [extract(open_run(old))]))
    old.rename(tmp_path / "old")
    done = run(steps[2])
    assert done.returncode in (0, 3), done.stderr
    assert new.name[:4] in (tmp_path / "summary.md").read_text()
    assert (tmp_path / "verdict" / "junit.xml").read_text().count("<testcase") == 3


def test_the_gate_and_the_commands_are_known(tmp_path):
    (tmp_path / "gate.yaml").write_text(GATE)
    assert [line.title for line in read_gate(str(tmp_path / "gate.yaml")).lines] == [
        "ttft p50", "ttft p99", "ttft tail", "error_rate",
    ]  # fmt: skip
    for line in "".join(text for kind, text in BLOCKS if kind == "sh").splitlines():
        words = line.partition("#")[0].split()
        assert words[0] == "bench"
        depth = 3 if words[1] == "baseline" else 2
        assert command(*words[1:depth], "--help").exit_code == 0


def test_the_scenario_is_sound(tmp_path):
    [text] = [text for text in YAML if "kind: compare" in text]
    (tmp_path / "compare.yaml").write_text(text)
    scenario = read_scenario(tmp_path / "compare.yaml", environ={"OLD": "http://old.test", "NEW": "http://new.test"})
    assert [arm.target.url for arm in scenario.arms.values()] == ["http://old.test", "http://new.test"]


def test_the_test_is_one(tmp_path, monkeypatch):
    [code] = [text for kind, text in BLOCKS if kind == "python"]
    made(tmp_path / "candidate", seed=2)
    base = made(tmp_path / "base")
    write_baseline(tmp_path / "baselines", with_runs(None, "main", [extract(open_run(base))]))
    (tmp_path / "perf").mkdir()
    (tmp_path / "perf" / "gate.yaml").write_text("ttft p50: 50%\n")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, "compare.md", "exec"), names)
    names["test_the_new_server_is_not_slower"]()
