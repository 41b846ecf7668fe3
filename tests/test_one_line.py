"""A run without a file: the command line stands for a scenario, which is read like a file's."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.cli.scenario import read_scenario
from bench.plan.file_names import moved
from bench.plan.one_line import Access, OneLine, given, name_of, stands_for, values
from tests.conftest import bench

KEY = "sk-0123456789abcdef"


def read(asked):
    return read_scenario(asked.path, None, asked.settings, given=given(asked))


def told(*words, **environment):
    """What the command says on stderr, and its exit code; nothing is sent."""
    done = CliRunner().invoke(main, ["run", *words], env=environment)
    return done.exit_code, done.stderr.strip().splitlines()


def test_a_url_and_a_model_are_enough():
    assert values(OneLine("https://api.example.com/v1", ("m",))) == {
        "name": "api.example.com",
        "target": "https://api.example.com/v1",
        "models": ["m"],
        "requests": [{"api": "chat", "stream": True, "prompt": {"tokens": 300}, "max_tokens": 200}],
        "load": {"users": 5, "requests": 100},
    }


def test_every_option_reaches_the_scenario(monkeypatch):
    monkeypatch.setenv("SOME_KEY", KEY)
    asked = OneLine(
        "http://127.0.0.1:8000/v1",
        ("a", "b"),
        rate=2.5,
        duration="1.5m",
        prompt="Say: hello, #1 — ‘yes’\n",
        max_tokens=7,
        stream=False,
        access=Access(key_env="SOME_KEY"),
        settings=("load.warmup=2s",),
    )
    scenario = read(asked)
    assert scenario.models == ("a", "b")
    assert (scenario.load.rate, scenario.load.users, scenario.load.requests) == (2.5, None, None)
    assert (scenario.load.duration, scenario.load.warmup) == (90, 2)
    assert scenario.requests[0].prompt.text == "Say: hello, #1 — ‘yes’\n"
    assert (scenario.requests[0].max_tokens, scenario.requests[0].stream) == (7, False)
    assert scenario.target.key.get_secret_value() == KEY


def test_the_scenario_that_is_told_reads_back_the_same_and_has_no_key(monkeypatch, tmp_path):
    monkeypatch.setenv("SOME_KEY", KEY)
    asked = OneLine(
        "simulator", ("sim/fast",), access=Access(key_env="SOME_KEY"), settings=("load.warmup=2s", "seed=4")
    )
    scenario = read(asked)
    text, incomplete = stands_for(asked, scenario)
    file = tmp_path / "kept.yaml"
    file.write_text(text, "utf-8")
    assert read_scenario(file, None, ()) == scenario
    assert not incomplete
    assert "${SOME_KEY}" in text
    assert KEY not in text


def test_a_scenario_that_is_saved_elsewhere_names_the_same_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("prompts.jsonl").write_text('{"prompt": "Hi"}\n')
    Path("sub").mkdir()
    settings = ("requests.0.prompt={file: prompts.jsonl}",)
    asked = OneLine("https://127.0.0.1:1", ("m",), access=Access(key_command="./get-key"), settings=settings)
    scenario = read(asked)
    file = Path("sub/saved.yaml")
    file.write_text(stands_for(asked, scenario, file.parent)[0])
    found = read_scenario(file, None, ())
    assert Path(found.requests[0].prompt.file).resolve() == tmp_path / "prompts.jsonl", "not in sub"
    assert Path(found.target.key.folder).resolve() == tmp_path, "where the command line ran it"


def test_every_name_of_a_file_moves_with_its_scenario():
    written = {
        "kind": "own.py:KIND",
        "target": {"verify": "/etc/ca.pem", "client_certificate": {"cert": "c.pem", "key": "${DIR}/k.pem"}},
        "tokenizers": {"m": "t/tokenizer.json"},
        "other_key": {"command": "./get-key"},
        "arms": {"a": {"target": {"client_certificate": "c.pem", "key": {"command": "x", "folder": "keys"}}}},
        "requests": [
            {"api": "own.py:API", "prompt": {"images": [{"file": "a.png"}, {"size": "8x8"}]}},
            {"api": "img2img", "prompt": "x", "image": {"file": "../b.png"}},
        ],
    }
    assert moved(written, Path(), Path("sub")) == {
        "kind": "../own.py:KIND",
        "target": {"verify": "/etc/ca.pem", "client_certificate": {"cert": "../c.pem", "key": "${DIR}/k.pem"}},
        "tokenizers": {"m": "../t/tokenizer.json"},
        "other_key": {"command": "./get-key", "folder": ".."},
        "arms": {
            "a": {
                "target": {"client_certificate": {"cert": "../c.pem"}, "key": {"command": "x", "folder": "../keys"}},
            }
        },
        "requests": [
            {"api": "../own.py:API", "prompt": {"images": [{"file": "../a.png"}, {"size": "8x8"}]}},
            {"api": "img2img", "prompt": "x", "image": {"file": "../../b.png"}},
        ],
    }
    assert written["tokenizers"] == {"m": "t/tokenizer.json"}, "a new value"


def test_a_secret_on_the_command_line_is_not_told():
    asked = OneLine("https://u:pass-word-9@api.example.com", ("m",), settings=(f"target.headers.X-Key={KEY}",))
    text, incomplete = stands_for(asked, read(asked))
    assert incomplete
    assert KEY not in text
    assert "pass-word-9" not in text


def test_all_mistakes_are_told_at_once_by_the_options_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["localhost:1", "--model", "m", "--users", "0", "--duration", "5x", "--max-tokens", "0", "--set", "lod=1"]
    code, lines = told(*words, "--save", "chat.yaml")
    assert code == 2
    assert [line.partition(":")[0] for line in lines] == ["--duration", "--max-tokens", "--set lod", "--users", "URL"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["http://127.0.0.1:1"], "Error: --model is missing; bench models http://127.0.0.1:1 lists what there is"),
        (["simulator", "--model", "m", "--users", "1", "--rate", "1"], "got --users (a closed loop) and --rate"),
        (["simulator", "--model", "m", "--prompt", "x", "--tokens", "1"], "got --prompt and --tokens"),
        (["simulator", "--model", "m", "--target", "llama.cpp"], "got simulator and --target"),
        (["scenarios/quickstart.yaml", "--users", "3"], "--users: only for a URL in place of a file"),
        (["nothing.yaml"], "nothing.yaml: there is no such file"),
        (["gone/sweep.yaml"], "gone/sweep.yaml: there is no such file; bench examples sweep copies the example"),
        (["127.0.0.1:1/v1"], "127.0.0.1:1/v1: a file, or a URL with http:// or https:// before it, is expected"),
        (["api.example.com/v1", "--users", "3"], "api.example.com/v1: a file, or a URL with http://"),
        (["http://h/v1/chat/completions", "--model", "m"], "ends with /chat/completions, which bench adds by itself"),
        (["ftp://h/v1", "--model", "m"], "URL: target: got 'ftp://h/v1'; http://… or https://… is expected"),
        (["simulator", "--model", "m", "--rate", "nan"], "--rate: .nan is not finite"),
        (["simulator", "--model", "m", "--requests", "9" * 30], f"--requests: {'9' * 30} has more than 64 bits"),
        (["simulator", "--model", "m", "--model", "m"], "--model: models.1 has the name 'm', which is taken"),
        (["simulator", "--model", ""], "--model: models.0: got ''"),
        (["simulator", "--model", "m", "--prompt", "\udcff"], "--prompt: "),
        (["simulator", "--model", "m", "--set", "foo.bar=1"], "--set foo.bar: foo is not known"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words, sentence):
    code, lines = told(*words)
    assert code == 2
    assert sentence in lines[0]


@pytest.mark.parametrize("given_key", [KEY, "hf_0123456789abcdef"])
def test_a_key_in_place_of_its_name_is_not_repeated(given_key):
    code, lines = told("simulator", "--model", "m", "--key-env", given_key)
    assert code == 2
    assert "--key-env" in lines[0]
    assert given_key not in "\n".join(lines)


def test_what_a_url_would_be_asked_can_be_planned_and_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load = ["--rate", "2", "--duration", "1m30s", "--tokens", "50", "--save", "chat.yaml"]
    done = bench("plan", "http://127.0.0.1:1", "--model", "m", "--model", "n", *load)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("127.0.0.1: 2 requests/s in all (1 for each model), poisson arrivals, for 90 s")
    kept = (tmp_path / "chat.yaml").read_text("utf-8")
    assert done.stderr.startswith(kept)
    assert bench("plan", "chat.yaml").stdout == done.stdout
    assert bench("plan", "http://127.0.0.1:1").stderr.startswith("Error: --model is missing")


def test_a_runs_name_is_its_host():
    assert [name_of(one) for one in ("simulator", "https://api.example.com:8443/v1", "http://[::1]:80", "http://")] == [
        "simulator",
        "api.example.com",
        "1",
        "one-line",
    ]


def test_a_run_without_a_file_tells_the_scenario_keeps_it_and_reports(tmp_path):
    words = ["simulator", "--model", "sim/instant", "--requests", "8", "--no-report", "--save", "chat.yaml"]
    done = bench("run", *words, cwd=tmp_path)
    assert done.returncode in (0, 3), done.stderr  # 3: the machine was too busy to be believed
    kept = (tmp_path / "chat.yaml").read_text("utf-8")
    assert done.stderr.startswith(kept)
    assert "load: {users: 5, requests: 8}" in kept
    assert "8 requests" in done.stdout
