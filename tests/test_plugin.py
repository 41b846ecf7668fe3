"""The fixture for users of pytest, as the guide has it; and what docs/ci.md says of other tools."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from bench.cli import main

pytest_plugins = ["pytester"]
GUIDE = Path("docs/ci.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
SCENARIO = "target: simulator\nmodels: [sim/instant]\nrequests: [{prompt: Hi, max_tokens: 3}]\nload: {users: 1, requests: 11}\n"


def test_the_guides_test_runs_with_the_fixture_and_a_mistake_fails_it(pytester):
    [test] = [text for kind, text in BLOCKS if kind == "python"]
    pytester.mkdir("perf")
    (pytester.path / "perf/chat.yaml").write_text(SCENARIO)
    (pytester.path / "perf/wrong.yaml").write_text(SCENARIO.replace("users", "usres"))
    wrong = "\n\ndef test_a_mistake_is_told(bench_run):\n    bench_run('perf/wrong.yaml')\n"
    pytester.makepyfile(test + wrong)
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-n", "0")
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*wrong.yaml:4: load.usres is not known*"])


def test_the_action_calls_what_there_is():
    action = yaml.safe_load(Path("action.yml").read_text("utf-8"))
    [call] = [step["run"] for step in action["runs"]["steps"] if step.get("name") == "run"]
    told = set(re.findall(r"--[a-z-]+", call))
    known = {option for one in main.get_command(None, "run").params for option in one.opts}
    assert "--out" in told
    assert told - known == set()
    workflow = next(yaml.safe_load(text) for kind, text in BLOCKS if kind == "yaml" and "uses: your-org/bench" in text)
    [used] = [step["with"] for step in workflow["jobs"]["bench"]["steps"] if "your-org/bench" in step.get("uses", "")]
    assert set(used) - set(action["inputs"]) == set()


def test_the_action_leaves_the_run_in_its_folder_and_names_what_it_keeps(tmp_path):
    (tmp_path / "chat.yaml").write_text(SCENARIO)
    steps = yaml.safe_load(Path("action.yml").read_text("utf-8"))["runs"]["steps"]
    [script] = [step["run"] for step in steps if step.get("name") == "run"]
    inputs = {"SCENARIO": "chat.yaml", "OUT": "results/pull request", "ARGUMENTS": "--no-report --set load.users=1"}
    said = {name: str(tmp_path / name.lower()) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    ours = f'bench() {{ {sys.executable} -m bench "$@"; }}\nset -e\n'
    environ = os.environ | {"PYTHONPATH": str(Path.cwd())} | inputs | said
    done = subprocess.run(["bash", "-c", ours + script], cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.returncode in (0, 3), done.stderr  # 3: too busy
    assert (tmp_path / "results" / "pull request" / "summary.json").exists()
    assert Path(said["GITHUB_OUTPUT"]).read_text() == "name=pull request\n"
    assert "# chat" in Path(said["GITHUB_STEP_SUMMARY"]).read_text()


def test_the_pipelines_command_is_one(tmp_path):
    job = next(yaml.safe_load(text) for kind, text in BLOCKS if kind == "yaml" and "perf/chat.yaml --out" in text)
    install, run = job["performance"]["script"]
    assert install == "pip install bench-llm"
    (tmp_path / "chat.yaml").write_text(SCENARIO.replace("11", "0"))  # a mistake: nothing is sent
    words = shlex.split(run.partition("|")[0].replace("perf/chat.yaml", str(tmp_path / "chat.yaml")))
    done = CliRunner().invoke(main, words[1:])
    assert (done.exit_code, "load.requests" in done.stderr) == (2, True), "its options are known"


@pytest.mark.parametrize(
    "line", [line for line in Path("Dockerfile").read_text().splitlines() if line.startswith("COPY")]
)
def test_the_image_copies_what_there_is(line):
    *sources, _ = line.split()[1:]
    assert [one for one in sources if not Path(one).exists()] == []
