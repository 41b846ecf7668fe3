"""A first scenario: asked for in a few questions, or made from a server's own list."""

from __future__ import annotations

import os

import pytest

from bench.cli.init import default_model
from bench.cli.scenario import read_scenario
from bench.plan.first_scenario import commented, word
from bench.plan.one_line import OneLine
from tests.conftest import bench

KEY = "sk-0123456789abcdef"


@pytest.fixture
def answered(tmp_path):
    """`bench init` in an empty folder with these lines on its standard input."""

    def run(*words, lines):
        (tmp_path / "answers").write_text(lines)
        (tmp_path / "folder").mkdir()
        return bench("init", *words, cwd=tmp_path / "folder", stdin=tmp_path / "answers"), tmp_path / "folder"

    return run


def test_without_a_question_there_is_a_file_that_can_be_planned_and_has_prices(tmp_path):
    file = tmp_path / "first.yaml"
    done = bench("init", "simulator", "--yes", "--save", file)
    assert done.returncode == 0, done.stderr
    assert f"bench plan {file}" in done.stdout
    assert f"bench run {file}" in done.stdout
    scenario = read_scenario(file, None, ())
    assert (scenario.models, scenario.load.users, scenario.load.requests) == (("sim/fast",), 5, 100)
    assert scenario.prices["sim/fast"].output == 0.4
    planned = bench("plan", file)
    assert planned.returncode == 0
    assert "At most $" in planned.stdout


def test_every_question_has_a_default_and_an_answer_changes_the_file(answered):
    done, folder = answered(lines="\nsim/slow, sim/fast\n7\nmany\n20\n\n50\n")
    assert done.returncode == 0, done.stderr
    assert "'many' is not a whole number above 0" in done.stderr
    scenario = read_scenario(folder / "simulator.yaml", None, ())
    assert scenario.models == ("sim/slow", "sim/fast")
    assert (scenario.load.users, scenario.load.requests) == (7, 20)
    assert (scenario.requests[0].prompt.tokens, scenario.requests[0].max_tokens) == (300, 50)


def test_a_question_without_an_answer_writes_nothing(answered):
    done, folder = answered("simulator", lines="")
    assert done.returncode == 2
    assert "nothing was written" in done.stderr
    assert list(folder.iterdir()) == []


def test_nothing_is_written_over_unless_that_is_said(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("mine")
    refused = bench("init", "simulator", "--yes", "--save", file)
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert file.read_text() == "mine"
    assert bench("init", "simulator", "--yes", "--save", file, "--force").returncode == 0
    assert read_scenario(file, None, ()).models == ("sim/fast",)


def test_the_key_is_used_for_the_list_and_is_not_in_the_file(tmp_path, new_simulator):
    file = tmp_path / "a.yaml"
    with new_simulator(key=KEY) as url:
        environ = os.environ | {"SOME_KEY": KEY}
        done = bench("init", url, "--key-env", "SOME_KEY", "--yes", "--save", file, env=environ)
        without = bench("init", url, "--yes", "--save", tmp_path / "b.yaml")
    assert done.returncode == 0, done.stderr
    assert "key: ${SOME_KEY}" in file.read_text()
    assert KEY not in file.read_text() + done.stdout + done.stderr
    assert without.returncode == 2
    assert "no model is known; --model M names one" in without.stderr
    assert not (tmp_path / "b.yaml").exists()


def test_how_the_server_knows_us_is_in_the_file(tmp_path):
    file = tmp_path / "a.yaml"
    words = ["--key-header", "api-key", "--query", "api-version=2024-10-21", "--key-env", "LATER", "--model", "m"]
    done = bench("init", "http://127.0.0.1:9/v1", *words, "--yes", "--save", file)
    assert done.returncode == 0, done.stderr
    target = read_scenario(file, None, (), environ={"LATER": KEY}).target
    assert (target.key_header, target.query["api-version"].get_secret_value()) == ("api-key", "2024-10-21")


def test_a_key_that_is_not_set_yet_is_told_before_the_commands(tmp_path):
    file = tmp_path / "a.yaml"
    words = ["init", "http://127.0.0.1:9/v1", "--key-env", "NOT_SET_YET", "--model", "m", "--yes", "--save", file]
    done = bench(*words)
    assert done.returncode == 0, done.stderr
    assert "export NOT_SET_YET=…" in done.stdout
    assert "NOT_SET_YET is not in the environment" in bench("plan", file).stderr.replace("${", "").replace(
        "}, which", ""
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["https://user:secret-word@example.com/v1", "--model", "m"], "has a secret in it"),
        (["nonsense", "--model", "m"], "http://… or https://… is expected"),
        (["simulator", "--key-env", "sk-123"], "not the key itself"),
        (["http://127.0.0.1:9/v1", "--query", "odd", "--model", "m"], "NAME=VALUE is expected"),
        (["simulator", "--model", "a", "--model", "a b "], "without spaces around"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(tmp_path, words, told):
    done = bench("init", *words, "--yes", cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "secret-word" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_listed_is_doubted_and_kept(answered):
    done, folder = answered("simulator", lines="sim/fats\n\n\n\n\n")
    assert "warning: sim/fats is not in the server's list; did you mean sim/fast?" in done.stderr
    assert read_scenario(folder / "simulator.yaml", None, ()).models == ("sim/fats",)


def model(name, price=None):
    return {"id": name, "input": price, "output": price}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], None),
        ([model("only")], "only"),
        ([model("a"), model("b")], None),
        ([model("dear", 3.0), model("cheap", 0.1), model("unknown")], "cheap"),
        ([model("cheap", 0.1), model("sim/fast", 0.4)], "sim/fast"),
    ],
)
def test_the_default_is_the_only_model_or_the_cheapest(found, expected):
    assert default_model(found) == expected


@pytest.mark.parametrize(
    "text", ["a/b-1.5", "https://x.example:8000/v1", "yes", "a: b", "it's", "#1", "ü", "5", "a:b", "-"]
)
def test_any_name_reads_back_as_it_was_written(tmp_path, text):
    file = tmp_path / "a.yaml"
    file.write_text(commented(OneLine("simulator", (text,), users=5, requests=9, tokens=30, max_tokens=7), "a.yaml"))
    assert read_scenario(file, None, ()).models == (text,)
    assert (word(text) == text) == (text in ("a/b-1.5", "https://x.example:8000/v1", "a:b"))
