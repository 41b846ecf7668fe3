"""The command line: help, mistakes, exit codes, and verbs that send nothing."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from bench.cli import VERBS, Verbs, main
from tests.conftest import bench
from tests.runs import failed, record, write_run

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1  # linux/prctl.h, linux/capability.h
SOUND = "target: simulator\nmodels: [m]\nrequests: [{prompt: Hi, max_tokens: 5}]\nload: {users: 1, requests: 4}\n"


@pytest.fixture
def scenario(tmp_path):
    path = tmp_path / "scenario.yaml"
    path.write_text(SOUND)
    return path


def test_help_shows_the_verbs_an_example_and_the_exit_codes():
    done = bench("--help")
    assert done.returncode == 0
    for words in (
        "run",
        "plan",
        "report",
        "simulate",
        "schema",
        "bench run simulator --model sim/fast",
        "Exit codes: 0 pass",
    ):
        assert words in done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_and_its_options_and_has_an_example_that_can_be_pasted(verb):
    found = main.get_command(click.Context(main), verb)
    text = found.get_help(click.Context(found, info_name=f"bench {verb}", terminal_width=100))
    assert f"Usage: bench {verb}" in text
    options = [one for one in found.params if isinstance(one, click.Option)]
    assert [one.name for one in options if not one.help] == []
    examples = [line.split("        ")[0].split() for line in text.splitlines() if line.startswith("    bench ")]
    assert any(words[1] == verb for words in examples), "an example of the verb itself"
    for _, name, *words in examples:
        shown = main.get_command(click.Context(main), name)
        shown = shown.get_command(click.Context(shown), words[0]) if isinstance(shown, click.Group) else shown
        known = {option for one in shown.params for option in one.opts}
        assert [word for word in words if word.startswith("--") and word not in known] == []


def test_an_unknown_verb_is_a_mistake():
    done = bench("rum")
    assert done.returncode == 2
    assert "No such command 'rum'. Did you mean 'run'?" in done.stderr


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_wrong_scenario_exits_2_and_writes_nothing(scenario, tmp_path, verb):
    scenario.write_text(SOUND.replace("users: 1", "users: none").replace("max_tokens: 5", "max_token: 5"))
    done = bench(verb, scenario, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"{scenario}:3: requests.0.max_token is not known; did you mean max_tokens?",
        f"{scenario}:4: load.users is 'none'; a whole number is expected",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["scenario.yaml"]


def test_a_plan_says_what_would_be_sent(scenario):
    done = bench("plan", scenario, "--set", "load.requests=1000", "--set", "prices={m: {input: 1, output: 2}}")
    assert done.returncode == 0
    assert "1 user until 1,000 requests are sent" in done.stdout
    assert "At most $0.01" in done.stdout


def test_the_schema_is_json():
    schema = json.loads(bench("schema").stdout)
    assert schema["title"] == "Scenario"
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize(
    ("form", "begins"), [("text", "handmade"), ("markdown", "# handmade"), ("json", "{"), ("html", "<!doctype")]
)
def test_a_report_is_made_again_from_the_folder_alone(tmp_path, form, begins):
    folder = write_run(tmp_path, [record(n) for n in range(20)] + [failed(30, "timeout")])
    done = bench("report", folder, "--format", form)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(begins)
    assert (folder / "report.html").exists()


def test_a_folder_that_is_no_run_is_said_to_be_none(tmp_path):
    done = bench("report", tmp_path)
    assert done.returncode == 2
    assert "run.json is missing; is this the folder of a run?" in done.stderr
    assert "Traceback" not in done.stderr


def test_records_that_were_changed_by_hand_are_named(tmp_path):
    folder = write_run(tmp_path, [record(0), record(1)])
    path = folder / "records.jsonl"
    path.write_bytes(b"oops\n" + path.read_bytes())
    done = bench("report", folder)
    assert done.returncode == 2
    assert "records.jsonl:1: not a record" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said_with_the_remedy():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = bench("simulate", "--port", taken.getsockname()[1])
    assert done.returncode == 3
    assert "choose another port with --port" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--keyfile", "notes"), "got --keyfile without --certfile"),
        (("--certfile", "notes", "--keyfile", "notes"), "--certfile: a certificate in notes and its key in notes are"),
    ],
)
def test_files_that_are_no_certificate_are_a_mistake_and_nothing_is_served(tmp_path, options, words):
    (tmp_path / "notes").write_text("no PEM")
    done = bench("simulate", "--port", "0", *options, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_place_where_nothing_can_be_written_is_named(scenario, tmp_path):
    (tmp_path / "file").write_text("")
    done = bench("run", scenario, "--out", tmp_path / "file" / "below")
    assert done.returncode == 2, "a mistake in the command line"
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "file") in done.stderr


def test_a_report_of_a_folder_that_may_only_be_read_is_printed_and_ends_as_the_run_did(tmp_path):
    folder = write_run(tmp_path / "run", [record(n) for n in range(20)])
    before = {path: path.read_bytes() for path in folder.iterdir()}
    folder.chmod(0o555)
    drop = ctypes.CDLL(None).prctl  # root may write anywhere, unless the process gives that right up
    done = subprocess.run(
        [sys.executable, "-m", "bench", "report", folder], capture_output=True, text=True, timeout=120,
        preexec_fn=lambda: drop(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE),
    )  # fmt: skip
    folder.chmod(0o755)
    assert (done.returncode, done.stdout.split()[0]) == (0, "handmade"), done.stderr
    assert "Permission denied; the folder keeps the report that it has" in done.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "code"),
    [("plan FILE 2>/dev/full", 0), ("plan FILE 2>&-", 0), ("plan FILE >&-", 0), ("plan nowhere.yaml 2>/dev/full", 2),
     ("schema >/dev/full", 3), ("plan FILE >/dev/full 2>/dev/full", 3)],
)  # fmt: skip
def test_the_exit_code_says_what_was_found_whatever_becomes_of_the_messages(scenario, words, code):
    line = f"{shlex.quote(sys.executable)} -m bench {words}".replace("FILE", shlex.quote(str(scenario)))
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=120)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr


def import_broken_off():
    try:
        raise KeyboardInterrupt
    finally:
        raise RuntimeError("cannot release un-acquired lock")


def import_broken_off_twice():
    try:
        import_broken_off()
    except RuntimeError as error:
        raise ImportError("cannot load module more than once per process") from error


def words_of_another_language():
    raise ValueError("Error building validator:\n  KeyboardInterrupt: ")


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("end", [interrupt, import_broken_off, import_broken_off_twice, words_of_another_language])
def test_ctrl_c_does_not_end_a_verb_like_a_threshold_that_failed(end):
    class Stopped(Verbs):
        def get_command(self, ctx, cmd_name):
            return click.Command(cmd_name, callback=end)

    done = CliRunner().invoke(Stopped("bench"), ["plan"])
    assert (done.exit_code, done.stderr) == (3, "Error: interrupted\n")


def test_an_error_without_a_ctrl_c_is_told_as_itself():
    class Failing(Verbs):
        def get_command(self, ctx, cmd_name):
            return click.Command(cmd_name, callback=lambda: [][1])

    assert isinstance(CliRunner().invoke(Failing("bench"), ["plan"]).exception, IndexError)


def test_ctrl_c_is_how_the_simulator_ends():
    command = [sys.executable, "-m", "bench", "simulate", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert "Ctrl-C ends it" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert (process.wait(30), process.stderr.read()) == (0, "")


def test_ctrl_c_ends_a_calibration_and_not_its_first_step_alone():
    command = [sys.executable, "-m", "bench", "calibrate", "--quick"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline().startswith("closed, ")
        process.stderr.readline()  # of the load
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (3, "")
    assert errors.endswith("Error: interrupted: no certificate was made\n")


def test_a_file_in_a_folder_that_is_not_there_is_a_mistake_of_the_command_line(tmp_path):
    folder, there = write_run(tmp_path / "run", [record(0), record(1)]), str(tmp_path / "nodir" / "x")
    for words in (
        ["run", "simulator", "--model", "sim/instant", "--save", there],
        ["export", str(folder), "--to", "csv", "--out", there],
        ["calibrate", "--out", there],
    ):
        done = CliRunner().invoke(main, words)
        assert (done.exit_code, f"there is no folder {tmp_path / 'nodir'}" in done.stderr) == (2, True), done.output


@pytest.mark.parametrize("words", [["export", "run", "--to", "csv"], ["calibrate"]])
def test_a_folder_in_place_of_a_file_is_a_mistake_before_anything_is_done(tmp_path, words):
    write_run(tmp_path / "run", [record(0), record(1)])
    words = [str(tmp_path / one) if one == "run" else one for one in words]
    done = CliRunner().invoke(main, [*words, "--out", str(tmp_path)])
    assert (done.exit_code, f"--out: {tmp_path} is a folder" in done.stderr) == (2, True), done.output


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash to complete words in")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["bench", "pla"], "plan"),
        (["bench", "run", "--no-f"], "--no-fit"),
        (["bench", "export", "RUN", "--to", "cs"], "csv"),
        (["bench", "examples", "quick"], "quickstart"),
    ],
)
def test_bash_completes_words_as_the_guide_says(words, completed, tmp_path):
    command = tmp_path / "bench"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bench "$@"\n')
    command.chmod(0o755)
    [line] = re.findall(r"^eval .*bash_source.*$", Path("docs/start.md").read_text(), re.MULTILINE)
    script = f"""{line}
COMP_WORDS=({shlex.join(words)}) COMP_CWORD={len(words) - 1}
_bench_completion bench "${{COMP_WORDS[COMP_CWORD]}}" bench
echo "${{COMPREPLY[@]}}"
"""
    environ = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environ, timeout=60)
    assert done.stdout.split() == [completed], done.stderr
