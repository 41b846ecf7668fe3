"""Scenarios: what they may say, and how wrong ones are answered."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from bench.experiments import read_scenario, schema
from bench.plan import Mistakes, redacted, secrets, warnings
from bench.simulator.config import Provider

SCENARIOS = sorted(Path("scenarios").glob("*.yaml"))
SOUND = """\
target: simulator
models: [m]
requests:
  - {prompt: Hello, max_tokens: 5}
load: {users: 1, duration: 1s}
"""


def written(folder, text, name="chat.yaml"):
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def mistakes_of(folder, text, *, environ=None, overrides=()):
    path = written(folder, text)
    with pytest.raises(Mistakes) as raised:
        read_scenario(path, environ=environ or {}, overrides=overrides, simulator=Provider)
    return str(raised.value).replace(str(path), "chat.yaml").splitlines()


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_scenario_that_comes_along_is_sound_and_opens_with_its_question(path):
    read_scenario(path, environ={"NOVITA_API_KEY": "sk-0123456789"}, simulator=Provider)
    first = path.read_text("utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert "?" in path.read_text("utf-8").partition("name:")[0]


def test_names_and_defaults(tmp_path):
    scenario = read_scenario(written(tmp_path, SOUND, "my chat.yaml"))
    assert scenario.name == "my-chat"
    assert scenario.requests[0].name == "chat"
    assert scenario.requests[0].stream
    assert scenario.requests[0].prompt.text == "Hello"
    assert scenario.timeouts.first_token == 60.0
    assert scenario.retries is None


def test_all_mistakes_are_reported_at_once_each_with_its_line(tmp_path):
    text = """\
target: {url: "ftp://x", key: sk-in-the-open}
models: [m]
requests:
  - prompt: {text: Hello, tokens: 5}
    max_tokens: -1
    temprature: 1
load: {users: many, duration: 1s}
"""
    told = mistakes_of(tmp_path, text)
    assert told == [
        "chat.yaml:1: target.key is in the file; keep it in the environment and write ${NAME} here",
        "chat.yaml:1: target.url: got 'ftp://x'; http://… or https://… is expected, or simulator, or llama.cpp",
        "chat.yaml:4: requests.0.prompt: got text and tokens; exactly one of text, messages, tokens and file is expected",
        "chat.yaml:5: requests.0.max_tokens is -1; it should be greater than 0; the largest number of tokens in the answer",
        "chat.yaml:6: requests.0.temprature is not known; did you mean temperature?",
        "chat.yaml:7: load.users is 'many'; a whole number is expected",
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("users: 1", "rate: -5", 5, "load.rate is -5"),
        ("users: 1", "users: 1, rate: 2", 5, "got both of users (a closed loop) and rate (an open one)"),
        (", duration: 1s", "", 5, "nothing ends it"),
        ("duration: 1s", "duration: soon", 5, "load.duration: 'soon' is not a duration; 500ms, 30s, 1m30s, 1h or"),
        ("duration: 1s", "duration: 1m30", 5, "load.duration: '1m30' is not a duration; 500ms, 30s, 1m30s, 1h or"),
        ("models: [m]", "models: []", 2, "models is []"),
        ("models: [m]", "models: [m, m]", 2, "models.1 has the name 'm', which is taken"),
        ("models: [m]", "models: [m, n]", 5, "load.users is 1; every user sends to one model, and every model needs one: 2 or more are expected"),
        ("target: simulator", "target: {simulator: {modles: {}}}", 1, "target.simulator.modles is not known; did you mean"),
        ("target: simulator", "tarjet: simulator", 1, "tarjet is not known; did you mean target?"),
        ("target: simulator", "target: {url: 'http://x', key: '${NO_KEY}'}", 1, "has ${NO_KEY}, which is not in the env"),
        ("prompt: Hello", "prompt: {file: gone.jsonl}", 4, "requests.0.prompt.file: there is no file"),
        ("prompt: Hello", "prompt: {tokens: 10, prefix: {tokens: 20}}", 4, "shared prefix of 20 tokens is longer"),
        ("max_tokens: 5", "stop: [a, b, c, d, e]", 4, "requests.0.stop has 5 entries; at most 4"),
        ("max_tokens: 5", "temperature: 3", 4, "requests.0.temperature is 3"),
        ("max_tokens: 5", "max_tokens: 5, max_tokens: 6", 4, "max_tokens is given twice"),
        ("load:", "thresholds: [ttft p95]\nload:", 5, "thresholds.0: 'ttft p95' is not a threshold"),
        ("load:", "thresholds: ['ttft[x] p95 < 1s']\nload:", 5, "'x' is not a model, a request class or a stage"),
        ("load:", "thresholds: ['ttft[] p95 < 1s']\nload:", 5, "'ttft[] p95 < 1s': its brackets are empty; name a model"),
        ("models: [m]", "models: [chat]\nthresholds: ['ttft[chat] p95 < 1s']", 3, "'chat' is a model and a request class; give one of them another name"),
        ("load:", "thresholds: ['goodput > 90%']\nload:", 5, "goodput needs the limits of a good answer"),
        ("load:", "thresholds: ['good_requests_per_s > 9']\nload:", 5, "good_requests_per_s needs the limits of a good"),
        ("load:", "prices: {n: {input: 1, output: 1}}\nload:", 5, "prices.n is not a model of this scenario; its models are m"),
        ("prompt: Hello", "prompt: [Why", 4, "not YAML: while parsing a flow sequence"),
    ],
)  # fmt: skip
def test_a_broken_scenario_is_answered_with_place_value_and_expectation(tmp_path, old, new, line, words):
    told = mistakes_of(tmp_path, SOUND.replace(old, new))
    assert any(one.startswith(f"chat.yaml:{line}: ") and words in one for one in told), told


def test_a_file_that_is_none_is_named(tmp_path):
    with pytest.raises(Mistakes, match="there is no such file"):
        read_scenario(tmp_path / "gone.yaml")
    with pytest.raises(Mistakes, match="is a folder"):
        read_scenario(tmp_path)
    assert "keys and values are expected" in mistakes_of(tmp_path, "- just\n- a list\n")[0]


def test_the_command_line_overrides_and_is_blamed_for_what_it_says(tmp_path):
    path = written(tmp_path, SOUND)
    scenario = read_scenario(path, overrides=["load.users=7", "target=http://127.0.0.1:9", "models.0=n"])
    assert scenario.load.users == 7
    assert scenario.target.url == "http://127.0.0.1:9"
    assert scenario.models == ("n",)
    [told] = mistakes_of(tmp_path, SOUND, overrides=["load.users=0"])
    assert told.startswith("--set load.users: load.users is 0")
    [told] = mistakes_of(tmp_path, SOUND, overrides=["load.users"])
    assert "KEY=VALUE is expected" in told


@pytest.mark.parametrize("text", [
    ("target: http://127.0.0.1:9\nmodels: [m]\nrequests: [{prompt: hi}]\nload: {users: 1, requests: 1}\n"),
    ("target: simulator\nmodels: [m]\nrequests: [{prompt: hi}]\nload: {users: 1, requests: 1}\n"),
])  # fmt: skip
def test_a_setting_of_a_target_that_is_one_word_keeps_the_word(tmp_path, text):
    plain = read_scenario(written(tmp_path, text))
    scenario = read_scenario(written(tmp_path, text), overrides=["target.headers.x-a=b"])
    assert list(scenario.target.headers) == ["x-a"]
    assert scenario.target.url == plain.target.url
    assert scenario.target.kind == plain.target.kind


def test_yaml_words_mean_what_they_look_like(tmp_path):
    scenario = read_scenario(written(tmp_path, SOUND.replace("Hello", "on").replace("[m]", "[no]")))
    assert scenario.requests[0].prompt.text == "on"
    assert scenario.models == ("no",)


@pytest.mark.parametrize(
    ("url", "style"),
    [
        ("https://api.novita.ai", "novita"),
        ("https://api.openai.com/v1", "openai"),
        ("http://127.0.0.1:8000", "vllm"),
    ],
)
def test_the_path_style_is_told_from_the_url(tmp_path, url, style):
    scenario = read_scenario(written(tmp_path, SOUND), overrides=[f"target={url}"])
    assert scenario.target.path_style() == style


@pytest.mark.parametrize("target", ["simulator", "{simulator: true}", "{simulator: {}}"])
def test_the_simulator_needs_no_settings(tmp_path, target):
    scenario = read_scenario(written(tmp_path, SOUND.replace("target: simulator", f"target: {target}")))
    assert (scenario.target.kind, scenario.target.simulator) == ("simulator", {})


def test_every_parameter_of_a_request_goes_out_under_its_own_name(tmp_path):
    given = {
        "max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "presence_penalty": 0.1,
        "frequency_penalty": -0.2, "repetition_penalty": 1.1, "stop": ["\n", "END"], "seed": 3, "n": 2,
        "logprobs": True, "top_logprobs": 2, "logit_bias": {"50256": -100},
    }  # fmt: skip
    text = SOUND.replace("max_tokens: 5", json.dumps(given)[1:-1])
    assert read_scenario(written(tmp_path, text)).requests[0].parameters() == given


def test_a_secret_stays_out_of_what_is_written_down(tmp_path):
    target = "{url: 'https://user:pass@host/v1', key: '${KEY}', headers: {X-Team: '${TEAM}'}}"
    path = written(tmp_path, SOUND.replace("target: simulator", f"target: {target}"))
    scenario = read_scenario(path, environ={"KEY": "sk-0123456789", "TEAM": "blue-team-token"})
    assert set(secrets(scenario)) == {"sk-0123456789", "blue-team-token", "user:pass", "dXNlcjpwYXNz"}
    told = json.dumps(redacted(scenario))
    for secret in ("sk-0123456789", "blue-team-token", "user:pass"):
        assert secret not in told
        assert secret not in repr(scenario.target.key)


def test_credentials_in_bodies_and_webhooks_stay_in_the_environment(tmp_path):
    text = SOUND.replace("max_tokens: 5", "extra_body: {storage: {token: 'Bearer ${TOKEN}'}}")
    text += "webhook: {url: 'https://me.example/${HOOK}'}\n"
    scenario = read_scenario(written(tmp_path, text), environ={"TOKEN": "very-secret-token", "HOOK": "0123456789"})
    assert scenario.requests[0].extra_body == {"storage": {"token": "Bearer very-secret-token"}}
    told = redacted(pickle.loads(pickle.dumps(scenario)))
    assert told["requests"][0]["extra_body"] == {"storage": {"token": "Bearer ${TOKEN}"}}
    assert told["webhook"]["url"] == "https://me.example/${HOOK}"
    assert {"Bearer very-secret-token", "https://me.example/0123456789"} <= set(secrets(scenario))


def test_what_is_allowed_and_probably_not_meant_is_warned_of(tmp_path):
    scenario = read_scenario(written(tmp_path, SOUND.replace("max_tokens: 5", "temperature: 1, top_p: 0.5")))
    told = warnings(scenario)
    assert "temperature and top_p are set; providers advise to set only one" in told[0]
    assert "without max_tokens" in told[1]


def test_the_schema_describes_every_key():
    made = schema()
    assert made["$defs"]["LoadScenario"]["required"] == ["target", "models", "requests", "load"]
    undescribed = [
        f"{name}.{key}"
        for name, definition in made["$defs"].items()
        for key, value in definition.get("properties", {}).items()
        if not {"description", "$ref"} & value.keys()  # what is referred to is described there
    ]
    assert undescribed == []


@pytest.fixture(scope="module")
def editor():
    """What checks a scenario as an editor does."""
    return Draft202012Validator(schema())


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_editors_take_every_scenario_that_comes_along(path, editor):
    assert [error.message for error in editor.iter_errors(yaml.safe_load(path.read_text()))] == []


def test_editors_see_what_is_wrong(editor):
    sound = yaml.safe_load(SOUND)
    for wrong in (
        {"api": "embeddings", "prompt": "Hi", "max_tokens": 3},
        {"api": "caht", "prompt": "Hi"},
        {"prompt": 5},
    ):
        assert list(editor.iter_errors(sound | {"requests": [wrong]}))


def test_presets_stand_for_their_limits_and_a_gate_is_read(tmp_path):
    file = tmp_path / "s.yaml"
    text = (
        "target: simulator\nmodels: [m]\nrequests: [{prompt: Hi}]\nload: {users: 1, requests: 1}\n"
        "slo: mlperf/llama2-70b-interactive\nthresholds: [error_rate < 1%, mlperf/llama2-70b]\ngate: {ttft p50: 5%}\n"
    )
    file.write_text(text)
    scenario = read_scenario(file)
    assert (scenario.slo.ttft, scenario.slo.tpot, scenario.slo.e2e) == (0.45, 0.04, None)
    assert scenario.thresholds == ("error_rate < 1%", "ttft p99 <= 2000ms", "tpot p99 <= 200ms")
    assert scenario.gate == {"ttft p50": "5%"}
    for wrong, told in (
        ("slo: mlperf/llama2-70b-interactive", "slo: mlperf/llama2-70b-interactiv"),
        ("mlperf/llama2-70b]", "mlperf/llama3]"),
        ("ttft p50: 5%", "tftt p50: 5%"),
    ):
        file.write_text(text.replace(wrong, told))
        with pytest.raises(
            Mistakes, match=r"is not a preset; did you mean|is not a preset; known are|did you mean ttft"
        ):
            read_scenario(file)
