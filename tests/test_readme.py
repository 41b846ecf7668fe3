"""The README cannot drift: its commands run, its scenarios load, its tables are the code's own."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from bench.analysis import FORMULAS, open_run
from bench.experiments import read_scenario
from bench.records import OUTCOMES
from bench.simulator.config import Provider
from bench.wire.protocols import PROTOCOLS
from tests.conftest import bench

PAGES = [Path("README.md"), *(Path(f"docs/{name}.md") for name in
         ("start", "scenarios", "apis", "load", "metrics", "thresholds", "trust", "servers", "runs"))]  # fmt: skip
"""The README and the pages that it leads to; the other guides have tests of their own."""
README = "\n".join(page.read_text("utf-8") for page in PAGES)
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line.split("  #")[0].strip() for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line]
BENCH = [command for command in COMMANDS if command.startswith("bench ")]
NOVITA = ("deepseek/deepseek-r1", "meta-llama/llama-3.1-8b-instruct")
SIMULATED = {name: {"ttft": [0, 0.01], "decode_per_token": 0} for name in NOVITA}


def test_every_command_is_of_a_kind_that_is_tested():
    known = ("bench ", "make ", "pip install ", "export ", "echo ", "eval ")
    assert all(command.startswith(known) for command in COMMANDS)
    assert len(BENCH) >= 6


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make ")])
def test_make_knows_its_targets(command):
    subprocess.run([*shlex.split(command), "--dry-run"], check=True, capture_output=True)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("pip install ")])
def test_what_is_installed_exists(command):
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    for extra in re.findall(r"\[(\w+)\]", command):
        assert extra in project["optional-dependencies"]
    assert command.split()[2] in (".", "'.[llama]'", "--no-deps")


ELSEWHERE = ("bench simulate", "bench calibrate")
"""Commands with tests of their own: the one below, and one in test_calibration.py, since it takes its time."""


@pytest.mark.parametrize("command", list(dict.fromkeys(one for one in BENCH if not one.startswith(ELSEWHERE))))
def test_the_commands_run(command, tmp_path, monkeypatch, new_simulator):
    monkeypatch.setenv("NOVITA_API_KEY", "sk-0123456789")
    if "llama" in command and not importlib.util.find_spec("xllamacpp"):
        pytest.skip("the wheel xllamacpp is not installed: no real engine to test with")
    arguments = shlex.split(command)[1:]
    with new_simulator(models=SIMULATED) if "novita" in command else nullcontext() as url:
        if arguments[0] == "run":
            quick = ["--set", "load.requests=8"]
            if "stages" in command:  # there each stage has a length of its own
                quick = [f"--set=load.stages.{number}.duration=300ms" for number in range(4)]
            elif "sweep" in command:
                quick += ["--set", "load.warmup=0"]
            quick += ["--set", "thresholds=[]"]
            if "compare" in command:
                quick = ["--set", "pairs.most=40"]
            drawn = [] if "quickstart" in command else ["--no-report"]
            arguments += ["--out", str(tmp_path / "out"), *drawn, *quick]
        if arguments[0] == "init":
            arguments += ["--yes", "--save", str(tmp_path / "made.yaml")]
        elif "simulator.yaml" in arguments:  # which bench init writes
            assert bench("init", "simulator", "--yes", "--save", tmp_path / "simulator.yaml").returncode == 0
            arguments[arguments.index("simulator.yaml")] = str(tmp_path / "simulator.yaml")
        if "novita" in command:
            arguments += ["--set", f"target.url={url}"]
        elif arguments[0] == "report":  # it writes into the run's folder
            shutil.copytree(arguments[1], tmp_path / "run")
            arguments[1] = str(tmp_path / "run")
        done = bench(*arguments)
    busy = "The measurement is invalid" in done.stdout  # these runs are small, and the machine may be at other work
    verdicts = {1, 3} if "compare" in command else {3} if busy else {0}  # 40 pairs may be too few
    assert done.returncode in verdicts, done.stderr
    assert done.stdout


def test_the_simulator_starts_as_the_readme_says(tmp_path):
    [command] = [command for command in BENCH if command.startswith("bench simulate")]
    arguments = shlex.split(command.replace("8000", "0"))[1:]
    with subprocess.Popen([sys.executable, "-m", "bench", *arguments], stderr=subprocess.PIPE, text=True) as process:
        assert "http://127.0.0.1:" in process.stderr.readline()
        process.terminate()


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "yaml"])
def test_the_scenarios_and_providers_are_sound(text, tmp_path):
    if "requests:" in text:
        (tmp_path / "scenario.yaml").write_text(text)
        (tmp_path / "moderations.py").touch()
        environ = {"NOVITA_API_KEY": "sk-0123456789", "OPENAI_API_KEY": "sk-0123456789"}
        read_scenario(tmp_path / "scenario.yaml", environ=environ)
    else:
        Provider.model_validate(yaml.safe_load(text))


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "python"])
def test_the_notebooks_lines_run(text):
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(text, "README.md", "exec"), {})


class Moderator(BaseHTTPRequestHandler):
    """What OpenAI's moderations answer, as their API reference has it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert (self.path, asked["model"]) == ("/v1/moderations", "omni-moderation-latest")
        answer = json.dumps({"id": "modr-1", "results": [{"flagged": False, "input": asked["input"]}]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def test_an_api_is_added_with_one_object(tmp_path, monkeypatch):
    [code] = [text for kind, text in BLOCKS if kind == "python" and text.startswith("# moderations.py")]
    [scenario] = [text for kind, text in BLOCKS if kind == "yaml" and "moderations.py:api" in text]
    (tmp_path / "moderations.py").write_text(code)
    (tmp_path / "judge.yaml").write_text(scenario)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    with ThreadingHTTPServer(("127.0.0.1", 0), Moderator) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        done = bench("run", tmp_path / "judge.yaml", "--out", tmp_path / "out", "--set", f"target.url={url}")
        server.shutdown()
    [folder] = (tmp_path / "out").iterdir()
    run = open_run(folder)
    assert run.summary.verdict == "measured", done.stderr
    assert len(run.requests) == 40
    assert set(run.requests["api"]) == {"moderations.py:api"}
    assert (run.requests["items"] == 1).all()
    assert "verdicts" in done.stdout


def test_an_api_of_ones_own_that_raises_costs_no_record(bench_run, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from bench.wire.unary import MODELS\n\n\nclass Broken:\n"
        "    name, family, path, method = 'mine', 'llm', 'models', 'GET'\n    body = MODELS.body\n\n"
        "    def read(self, reads, *, stream):\n        return {}['nothing']\n\n\napi = Broken()\n"
    )
    done = bench_run(requests=[{"api": "mine.py:api", "prompt": "Hi"}], load={"users": 1, "requests": 3})
    assert list(done.requests["outcome"]) == ["protocol"] * 3
    assert "nothing that mine.py:api can read: KeyError: 'nothing'" in done.requests["error"].iloc[0]


def test_the_tables_are_the_codes_own():
    for name, formula in FORMULAS.items():
        assert f"| {name} | {formula} |" in README
    words = Path("docs/metrics.md").read_text("utf-8").partition("Every request ends in one word")[2]
    assert re.findall(r"^\| `(\w+)` \|", words, re.MULTILINE) == list(OUTCOMES)


def test_every_api_is_in_the_table():
    table = README[README.index("## Ask every API") : README.index("## Add an API")]
    assert [name for name in PROTOCOLS if f"`{name}`" not in table] == []


def test_every_key_of_a_scenario_is_told():
    from bench.experiments import schema
    from bench.report.reference import reference

    assert Path("docs/reference.md").read_text("utf-8") == reference(schema()), (
        "make it anew: bench schema --format markdown > docs/reference.md"
    )
