"""The README and the guides cannot drift: every block of theirs is run, read or, with a reason, left out."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from contextlib import nullcontext
from pathlib import Path

import pytest
import trustme
import yaml

from bench.experiments import LoadScenario, read_scenario
from bench.experiments.general import SECTIONS
from bench.metrics import METRICS, STATISTICS
from bench.plan.gate_file import read_gate
from bench.records import OUTCOMES
from bench.simulator.config import (
    DEFAULT_MODELS,
    Fault,
    FaultKind,
    Limit,
    LimiterKind,
    Model,
    PrefixCache,
    Prices,
    Provider,
    Resource,
    Throttling,
)
from tests.conftest import bench, plainly_simulated
from tests.forks import Command
from tests.pages import BLOCK, PAGES, Block, blocks_of, text_of, write_files_of
from tests.test_disk_comparison import made

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
HERE = Path.cwd()
NOVITA = ("deepseek/deepseek-r1", "meta-llama/llama-3.1-8b-instruct")
NOVITA_URL = "https://api.novita.ai"
SIMULATED = {name: {"ttft": [0, 0.01], "decode_per_token": 0} for name in NOVITA}
PLAIN = {"name": "guide", "target": "simulator", "models": ["m"], "requests": [{"prompt": "x", "max_tokens": 5}]}
LOAD = {"load": {"users": 1, "requests": 1}}
SECRETS = {"NOVITA_API_KEY": "sk-0123456789", "OPENAI_API_KEY": "sk-0123456789", "KEY": "sk-0123456789", "API_KEY": "sk-0123456789",
           "KEY2": "sk-9876543210", "AZURE_API_KEY": "sk-0123456789", "CLIENT_PASSWORD": "sesame-0123", "URL": "http://there.test", "OLD": "http://old.test", "NEW": "http://new.test"}  # fmt: skip
CHAT = {**PLAIN, "models": ["sim/instant"], "load": {"users": 2, "requests": 20}, "thresholds": ["error_rate < 50%"]}
TROUBLE = Path("docs/troubleshooting.md")
NOTEBOOK = Path("docs/analysis.ipynb")
ELSEWHERE = {"bench calibrate --quick": "tests/test_calibration.py"}
"""Commands that take long, and have tests of their own."""


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages and block.reason is None]


def name_of(block: Block) -> str:
    return f"{block.page.stem}:{block.text.strip().splitlines()[0][:60]}"


def test_no_block_is_forgotten():
    shown = {"text", "{toctree}"}  # what a command prints; the table of contents
    tested = {"sh", "yaml", "json", "python", "notebook"}
    assert {block.language for block in BLOCKS} <= shown | tested
    assert all(len(block.reason.split()) > 2 for block in BLOCKS if block.reason is not None)
    assert len(of("sh")) >= 20


@pytest.fixture
def workspace(tmp_path):
    """A folder with all that the guides take for granted: the scenarios, some runs, a gate, a server's description."""
    (tmp_path / "scenarios").symlink_to(HERE / "scenarios")
    (tmp_path / "reports" / "quickstart").mkdir(parents=True)
    for file in (HERE / "reports" / "quickstart").glob("*.json*"):
        shutil.copy(file, tmp_path / "reports" / "quickstart")
    for number, name in enumerate(("nightly-1", "nightly-2", "new-1", "new-2", "new-3")):
        made(tmp_path / "reports" / name, seed=number)
    (tmp_path / "gate.yaml").write_text("ttft p50: 50%\n")
    (tmp_path / "perf").mkdir()
    (tmp_path / "perf" / "chat.yaml").write_text(yaml.safe_dump(CHAT))
    return tmp_path


@pytest.mark.parametrize("block", [block for block in of("sh") if block.page != NOTEBOOK], ids=name_of)
def test_the_commands_run(block, workspace, simulator, new_simulator):
    if "llama" in block.text and not importlib.util.find_spec("xllamacpp"):
        pytest.skip("the wheel xllamacpp is not installed: no real engine to test with")
    write_files_of(block.page, workspace)
    environ = os.environ | {"PYTHONPATH": str(HERE), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with new_simulator(models=SIMULATED) if "novita" in block.text else nullcontext() as novita:
        for line in block.text.splitlines():
            if command := line.partition("  #")[0].strip():
                perform(command, workspace, environ, simulator, novita)


def perform(command: str, workspace: Path, environ: dict[str, str], simulator: str, novita: str | None) -> None:
    """A line of a block does what it is there for, made shorter where it would take its time."""
    words = shlex.split(command)
    if words[0] == "export":
        name, _, value = words[1].partition("=")
        environ[name] = SECRETS.get(name, value)
    elif words == [".", ".venv/bin/activate"]:
        assert "VENV := .venv" in Path("Makefile").read_text("utf-8")
    elif words[0] == "make":
        subprocess.run([*words, "--dry-run"], check=True, capture_output=True)
    elif words[:2] == ["pip", "install"]:
        can_be_installed(words[2:])
    elif words[:2] == ["bench", "simulate"]:
        serves(words[1:], workspace)
    elif words[0] == "bench":
        if command not in ELSEWHERE:
            runs(quick(words[1:], workspace, simulator, novita), workspace, environ)
    else:
        done = subprocess.run(["bash", "-c", command], cwd=workspace, env=environ, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def can_be_installed(words: list[str]) -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    for extra in re.findall(r"\[(\w+)\]", " ".join(words)):
        assert extra in project["optional-dependencies"]
    assert words[0].partition("[")[0] in (".", project["name"], "--no-deps")


def serves(words: list[str], workspace: Path) -> None:
    arguments = [sys.executable, "-m", "bench", *(word.replace("8000", "0") for word in words)]
    environ = os.environ | {"PYTHONPATH": str(HERE)}
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, cwd=workspace, env=environ) as process:
        assert "http://127.0.0.1:" in process.stderr.readline()
        process.terminate()


def quick(words: list[str], workspace: Path, simulator: str | None, novita: str | None) -> list[str]:
    """The same command, for a few requests, of a simulator that is there if it would start one as it comes."""
    if novita is not None and NOVITA_URL in words:
        words = [novita if word == NOVITA_URL else word for word in words]
    elif novita is not None and words[0] in ("run", "plan") and "novita" in words[1]:
        words = [*words, "--set", f"target.url={novita}"]
    if words[0] == "compare" and "--aa" in words:
        return [*words, "--set", "pairs.most=40"]
    if words[0] == "init":
        return [*words, "--yes"]  # no one is there to answer
    if words[0] != "run":
        return words
    drawn = [] if "quickstart" in words[1] else ["--no-report"]
    file = workspace / words[1]
    if not file.is_file():
        return [*words, *drawn, "--requests", "8"]
    there = ["--target", simulator] if simulator and plainly_simulated(file) and "--target" not in words else []
    return [*words, *drawn, *there, *shorter(yaml.safe_load(file.read_text()))]


def shorter(scenario: dict) -> list[str]:
    """Settings with which a scenario takes a second or two."""
    load, kind = scenario.get("load", {}), scenario.get("kind", "load")
    if kind != "load":
        few = {"compare": ["pairs.most=40"], "rate_limit": ["budget.requests=60"],
               "prompt_cache": ["learn=[granularity]", "budget.requests=40"]}.get(kind, [])  # fmt: skip
    elif "stages" in load:  # there each stage has a length of its own
        few = [f"load.stages.{number}.duration=300ms" for number in range(len(load["stages"]))]
    else:
        requests = 4 if scenario["target"] == "llama.cpp" else 8  # a real engine takes a second for each
        few = [f"load.requests={requests}", "load.warmup=0", "load.pause=0"]
    return [word for one in [*few, *(["thresholds=[]"] if kind == "load" else [])] for word in ("--set", one)]


def runs(words: list[str], workspace: Path, environ: dict[str, str]) -> bool:
    """Whether a measurement came out invalid, as it may beside other work."""
    done = bench(*words, cwd=workspace, env=environ)
    busy = "The measurement is invalid" in done.stdout  # these runs are small, and the machine may be at other work
    few = {0, 1, 3} if any("budget." in word or "pairs." in word for word in words) else {0}  # too few for a verdict
    judged = {0, 1, 3} if "--gate" in words else set()
    assert done.returncode in few | judged | ({3} if busy else set()), f"{words}: {done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    assert done.stdout or done.stderr
    return busy


def test_the_first_guide_shows_what_the_kept_run_prints(workspace):
    [shown] = [block.text for block in BLOCKS if block.page == Path("docs/start.md") and block.language == "text"]
    done = bench("report", "reports/quickstart", cwd=workspace, env=os.environ | {"COLUMNS": "120"})
    printed = iter([line.rstrip() for line in done.stdout.splitlines()])
    left_out = ("…", "")
    for line in shown.splitlines():
        assert line.strip() in left_out or line in printed, f"not printed, or not in this place: {line}"


def test_what_is_tested_elsewhere_is():
    for command, file in ELSEWHERE.items():
        assert any(command in block.text for block in of("sh"))
        assert all(word in Path(file).read_text("utf-8") for word in command.split()[1:])


def papers(folder: Path) -> None:
    """The PEM files that the guides name."""
    authority = trustme.CA()
    ours = authority.issue_cert("client@example.com")
    authority.cert_pem.write_to_path(folder / "authorities.pem")
    ours.cert_chain_pems[0].write_to_path(folder / "client.pem")
    ours.private_key_pem.write_to_path(folder / "client.key")


@pytest.mark.parametrize("block", of("yaml"), ids=name_of)
def test_what_is_written_in_yaml_is_understood(block, tmp_path):
    value = yaml.safe_load(block.text)
    file = tmp_path / "guide.yaml"
    file.write_text(block.text)
    for name in ("moderations.py", "ollama.py"):
        (tmp_path / name).touch()
    shutil.copy("tests/experiments/longest_prompt.py", tmp_path)
    if "jobs" in value or "script" in next(iter(value.values())):
        return  # for others to read: tests/test_plugin.py and tests/test_compare_guide.py
    if isinstance(value.get("target"), dict) and "requests" not in value:
        papers(tmp_path)
        file.write_text(block.text + yaml.safe_dump({k: v for k, v in (PLAIN | LOAD).items() if k not in value}))
        read_scenario(file, environ=SECRETS)
    elif "requests" in value:
        read_scenario(file, environ=SECRETS)
    elif isinstance(value.get("models"), dict) or "key" in value:
        Provider.model_validate(value)
    elif all(isinstance(one, str) and one.endswith("%") for one in value.values()):
        assert len(read_gate(str(file)).lines) == len(value)
    else:
        scenario = LoadScenario.model_validate(PLAIN | LOAD | value)
        Provider.model_validate(scenario.target.simulator or {})


@pytest.mark.parametrize("block", of("json"), ids=name_of)
def test_what_is_written_in_json_is_json(block):
    assert json.loads(block.text)


@pytest.mark.parametrize("block", of("python"), ids=name_of)
def test_what_is_written_in_python_runs(block, workspace):
    done = Command([], program=block.text, cwd=workspace).wait()
    assert (done.returncode, done.stderr) == (0, "")


def test_the_notebook_runs_from_its_first_cell_to_its_last(workspace, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    blocks = blocks_of(NOTEBOOK)
    own = None  # a simulator for each run: in one for both, the second would find its prompts in the cache
    commands = [quick(shlex.split(line)[1:], workspace, own, None) for line in blocks[0].text.splitlines()]
    busy = [runs(command, workspace, dict(os.environ)) for command in commands]
    program = "\n".join(block.text for block in blocks if block.language == "notebook")
    done = Command([], program=program, cwd=workspace).wait()
    assert (done.returncode, done.stderr) == (0, "")
    assert "ttft p50 of sim/fast: " in done.stdout or any(busy), "what is invalid is not compared"


def test_the_question_of_the_guide_is_the_one_that_is_tested():
    [code] = [block.text for block in blocks_of(Path("docs/own-questions.md")) if block.language == "python"]
    assert code == Path("tests/experiments/longest_prompt.py").read_text("utf-8")


def words_of(page: str) -> set[str]:
    return set(re.findall(r"[a-z0-9_.]+", Path(page).read_text("utf-8")))


def choices(kind: object) -> set[str]:
    return set(kind.__args__)  # type: ignore[attr-defined]  # of a Literal


def test_the_guide_of_limits_names_every_kind_and_every_setting():
    told = words_of("docs/limits.md")
    settings = set(Limit.model_fields) | set(Throttling.model_fields)
    assert (settings | choices(LimiterKind) | choices(Resource)) - told == set()


def test_the_guide_of_the_simulator_names_every_key_fault_and_model():
    told = words_of("docs/simulator.md")
    keys = {name for part in (Provider, Model, Fault, PrefixCache, Prices) for name in part.model_fields}
    models = {name.partition("/")[2] for name in DEFAULT_MODELS}
    assert (keys | choices(FaultKind) | models) - told == set()


def test_the_guide_of_thresholds_names_every_metric_statistic_and_operator():
    page = Path("docs/thresholds.md").read_text("utf-8")
    assert [one for one in (*METRICS, *STATISTICS, "<", "<=", ">", ">=") if f"`{one}`" not in page] == []


SPAN = re.compile(r"`([^`]+)`")
PLACEHOLDER = re.compile(r"…|\$\{NAME\}|[\[;:,?]")


def literals(*rooms: str) -> list[tuple[Path, str]]:
    """The fixed parts of all texts in the code of these rooms."""
    files = [file for room in rooms for file in sorted((Path("bench") / room).rglob("*.py"))]
    nodes = [(file, node) for file in files for node in ast.walk(ast.parse(file.read_text("utf-8")))]
    return [
        (file, node.value) for file, node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def messages_in_trouble() -> list[str]:
    """The fixed parts of the messages that the guide has."""
    rows = re.findall(r"^\| (`[^|]+) \|", text_of(TROUBLE), re.MULTILINE)
    parts = (part.strip() for row in rows for span in SPAN.findall(row) for part in PLACEHOLDER.split(span))
    return [part for part in parts if part]


def test_every_message_of_the_guide_to_trouble_is_one_of_the_code():
    said = " ".join(text for _, text in literals("."))
    assert [part for part in messages_in_trouble() if part not in said] == []
    assert len(messages_in_trouble()) > 40


def test_every_message_of_the_other_guides_is_one_of_the_code():
    said = " ".join(text for _, text in literals("."))
    spans = [span for page in PAGES if page != TROUBLE for span in SPAN.findall(BLOCK.sub("", text_of(page)))]
    messages = [span for span in spans if re.fullmatch(r"[a-z]+( [a-z]+)* …( [a-z]+)+", span)]
    assert [part for one in messages for part in one.split(" … ") if part not in said] == []
    assert messages


def test_every_way_to_fail_is_in_the_guide_to_trouble():
    told = set(SPAN.findall(text_of(TROUBLE)))
    assert set(OUTCOMES) - told == {"ok"}


def test_every_reason_why_a_load_cannot_begin_is_in_the_guide_to_trouble():
    known = [part for part in messages_in_trouble() if len(part) > 10]
    kinds = {"NoRoomError", "TargetError", "ListingError"}
    for file in (*Path("bench/load").glob("*.py"), *Path("bench/targets").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) in kinds:
                texts = [one.value for one in ast.walk(node.exc) if isinstance(one, ast.Constant)]
                told = " ".join(text for text in texts if isinstance(text, str))
                assert not told or any(part in told for part in known), f"{file}:{node.lineno}: {told}"


def test_the_guide_to_a_report_names_every_part_of_it():
    page = Path("docs/runs.md").read_text("utf-8")
    assert [title for title, _ in SECTIONS.values() if f"*{title}*" not in page] == []
