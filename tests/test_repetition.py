"""Nonces are new in every run, and all that a run sent can be sent again on purpose."""

from __future__ import annotations

import json
import random

import msgspec
import pytest
import yaml

from bench.analysis import open_run
from bench.experiments import read_scenario
from bench.plan import Draw, Fit, Learned, NotRepeatableError, RequestPlan, draw_of, redacted
from bench.plan.repetition import file_digests, kept_fits
from bench.plan.requests import counting_api
from tests.conftest import bench
from tests.runs import record, write_run

PLAIN = {
    "target": "simulator",
    "models": ["m", "n"],
    "requests": [{"prompt": {"tokens": 40, "nonce": True}, "max_tokens": 5}],
    "load": {"users": 2, "duration": "1s"},
}


def scenario_of(folder, **changes):
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump(PLAIN | changes))
    return read_scenario(path)


def inputs(plan, count=20):
    return [json.dumps(plan.request(model, k).input) for k in range(count) for model in range(2)]


# -- nonces -----------------------------------------------------------------------------------------------

NONCED = [
    {"prompt": {"tokens": 40, "nonce": True}},
    {"prompt": {"text": "Hi", "nonce": True}},
    {"system": "Be brief.", "prompt": {"text": "Hi", "nonce": True}},
    {"prompt": {"messages": [{"role": "user", "content": "Hi"}], "nonce": True}},
    {"prompt": {"tokens": 60, "nonce": True, "prefix": {"tokens": 20, "groups": 2}}},
    {"prompt": {"text": "Hi", "nonce": True, "images": [{"size": "8x8", "distinct": 2}]}},
    {"api": "completions", "prompt": {"tokens": 40, "nonce": True}},
    {"api": "messages", "prompt": {"tokens": 40, "nonce": True}, "max_tokens": 5},
    {"api": "embeddings", "inputs": 3, "prompt": {"tokens": 40, "nonce": True}},
    {"api": "rerank", "prompt": {"tokens": 40, "nonce": True}, "documents": {"count": 2, "tokens": 9}},
    {"api": "batch", "requests": 3, "prompt": {"tokens": 40, "nonce": True}},
]


@pytest.mark.parametrize("request_class", NONCED, ids=lambda one: f"{one.get('api', 'chat')} {list(one['prompt'])}")
def test_only_the_nonces_differ_from_run_to_run(tmp_path, request_class):
    scenario = scenario_of(tmp_path, requests=[request_class])
    one, same, other = (inputs(RequestPlan(scenario, 1, {}, nonce_seed=seed)) for seed in (5, 5, 6))
    assert one == same
    assert not set(one) & set(other), "a second run sends nothing that the first has sent"
    assert [without_nonces(text) for text in one] == [without_nonces(text) for text in other]
    assert one[0::2] == one[1::2], "all models are asked the same"


def without_nonces(text: str) -> str:
    found = text.split("[")
    return "[".join(piece[17:] if piece[16:17] == "]" else piece for piece in found)


def test_a_prompt_without_a_nonce_is_the_same_in_every_run(tmp_path):
    scenario = scenario_of(tmp_path, requests=[{"prompt": {"tokens": 40}}])
    one, other = (inputs(RequestPlan(scenario, 1, {}, nonce_seed=seed)) for seed in (5, 6))
    assert one == other


def test_no_nonce_comes_twice_within_a_run(tmp_path):
    mix = [{"name": name, "prompt": {"text": "Hi", "nonce": True}} for name in "ab"]
    scenario = scenario_of(tmp_path, requests=mix, models=["m"])
    sent = [
        RequestPlan(scenario, 1 + stage, {}, nonce_seed=7 + stage).request(0, k).input[0]["content"]
        for stage in (0, 2**32)
        for k in range(500)
    ]
    assert len(set(sent)) == 1000


def test_a_nonce_stands_before_an_image_too(tmp_path):
    mix = [{"prompt": {"text": "What is it?", "nonce": True, "images": [{"size": "8x8"}]}}]
    [message] = RequestPlan(scenario_of(tmp_path, requests=mix), 1, {}, nonce_seed=5).request(0, 0).input
    assert [part["type"] for part in message["content"]] == ["text", "image_url", "text"]
    assert message["content"][0]["text"][0] == "["


@pytest.mark.parametrize(
    ("changes", "api"),
    [
        ({}, "chat"),
        ({"api": "completions"}, "completions"),
        ({"api": "messages", "max_tokens": 5}, "messages"),
        ({"api": "embeddings"}, "embeddings"),
        ({"api": "batch"}, "chat"),
        ({"api": "batch", "endpoint": "completions"}, "completions"),
        ({"api": "rerank", "documents": ["a"]}, None),
        ({"api": "images"}, None),
    ],
)
def test_each_api_counts_prompts_its_own_way(tmp_path, changes, api):
    [request] = scenario_of(tmp_path, requests=[{"prompt": {"tokens": 40}} | changes]).requests
    assert counting_api(request) == api
    fits = {("m", "chat"): Fit(2.0, 0.0), ("m", "completions"): Fit(4.0, 0.0)}
    if api in ("chat", "completions"):
        planned = RequestPlan(scenario_of(tmp_path, requests=[{"prompt": {"tokens": 40}} | changes]), 1, fits).request(
            0, 0
        )
        words = len(json.dumps(planned.input[0] if changes.get("api") == "batch" else planned.input).split())
        assert words == pytest.approx(20 if api == "chat" else 10, abs=4)


# -- a run repeated ---------------------------------------------------------------------------------------


def left(folder, asked, **changes):
    """The run.json of a run of this scenario."""
    fits = {("m", "chat"): Fit(1.25, 9.0), ("n", "chat"): Fit(doubt="nobody counts")}
    facts = {"seed": 3, "nonce_seed": 99, "prompt_fits": msgspec.to_builtins(kept_fits(fits)), "scenario": redacted(asked),
             "files": file_digests(asked)} | changes  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps({key: value for key, value in facts.items() if value is not None}))
    return folder


def test_a_run_is_drawn_again_with_its_seeds_and_fits(tmp_path):
    scenario = scenario_of(tmp_path)
    draw = draw_of(left(tmp_path / "run", scenario), scenario)
    fits = {("m", "chat"): Fit(1.25, 9.0), ("n", "chat"): Fit(doubt="nobody counts")}
    assert draw == Draw(3, 99, Learned(fits, False), str(tmp_path / "run"))


@pytest.mark.parametrize(
    "changes",
    [
        {"load": {"users": 9, "requests": 5, "warmup": 1}},
        {"seed": 12},
        {"target": {"url": "http://127.0.0.1:9"}},
        {"thresholds": ["error_rate < 1%"]},
        {"timeouts": {"total": 5}},
        {"name": "another"},
    ],
)  # fmt: skip
def test_what_changes_no_request_may_differ(tmp_path, changes):
    folder = left(tmp_path / "run", scenario_of(tmp_path))
    assert draw_of(folder, scenario_of(tmp_path, **changes)).nonce_seed == 99


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"models": ["m"]}, 'models is ["m"]; it was ["m","n"]'),
        ({"models": ["n", "m"]}, 'models.0 is "n"; it was "m"'),
        ({"requests": [{"prompt": {"tokens": 41, "nonce": True}, "max_tokens": 5}]}, "requests.0.prompt.tokens is 41; it was 40"),
        ({"requests": [{"prompt": {"tokens": 40, "nonce": True}}]}, "requests.0.max_tokens is not set; it was 5"),
        ({"requests": [{"prompt": {"tokens": 40}, "max_tokens": 5}]}, "requests.0.prompt.nonce is false; it was true"),
        ({"requests": [{"prompt": {"tokens": 40, "nonce": True}, "max_tokens": 5, "stream": False}]}, "requests.0.stream is false"),
    ],
)  # fmt: skip
def test_another_question_is_no_repetition(tmp_path, changes, told):
    folder = left(tmp_path / "run", scenario_of(tmp_path))
    with pytest.raises(NotRepeatableError, match="does not send the same requests as") as raised:
        draw_of(folder, scenario_of(tmp_path, **changes))
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"nonce_seed": None}, "has no nonce_seed: an earlier version"),
        ({"prompt_fits": None}, "that run ended before its load began"),
        ({"seed": "seven"}, "is not the run.json of a run"),
        ({"prompt_fits": [1]}, "is not the run.json of a run"),
        ({"scenario": []}, "is not the run.json of a run"),
    ],
)
def test_a_run_that_cannot_be_repeated_is_refused_with_the_reason(tmp_path, changes, told):
    scenario = scenario_of(tmp_path)
    with pytest.raises(NotRepeatableError, match=told):
        draw_of(left(tmp_path / "run", scenario, **changes), scenario)


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "No such file"), (b"{", "is not the run.json of a run"), (b"\xff", "is not the run.json of a run")],
)
def test_a_folder_that_holds_no_run_is_refused(tmp_path, content, told):
    if content is not None:
        (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(NotRepeatableError, match=told):
        draw_of(tmp_path, scenario_of(tmp_path))


def test_a_data_file_is_the_same_by_its_contents_and_not_by_its_name(tmp_path):
    mix = [{"prompt": {"file": "d.csv", "nonce": True}, "max_tokens": 5}]
    (tmp_path / "d.csv").write_text("prompt\nHi\n")
    run = left(tmp_path / "run", scenario_of(tmp_path, requests=mix))
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "d.csv").write_text("prompt\nHi\n")
    assert draw_of(run, scenario_of(moved, requests=mix)).seed == 3
    (tmp_path / "d.csv").write_text("prompt\nHo\n")
    with pytest.raises(
        NotRepeatableError, match=r"the contents of .*d\.csv \(requests\.0\.prompt\.file\) have changed"
    ):
        draw_of(run, scenario_of(tmp_path, requests=mix))


def test_a_second_run_is_not_cached_and_a_repeated_one_is(bench_run, new_simulator):
    """What made a second run's TTFT that of a cache: the same nonces for the same seed."""
    mix = [{"prompt": {"tokens": 300, "nonce": True}, "max_tokens": 2}]

    def cached(done):
        return done.requests["cached_tokens"].sum() / done.requests["prompt_tokens"].sum()

    quick = {"ttft": (0.001, 0.001), "cache": {"minimum": 32, "block": 16}}
    with new_simulator(models={"sim/one": quick, "sim/two": quick}) as url:
        first, second = (bench_run(target=url, requests=mix, models=["sim/one"]) for _ in range(2))
        again = bench_run("--repeat", second.folder, target=url, requests=mix, models=["sim/one"])
        other = bench_run("--repeat", second.folder, target=url, requests=mix, models=["sim/two"])
    assert cached(first) < 0.05
    assert cached(second) < 0.05
    assert cached(again) > 0.9
    assert not (again.run.records["stage"] == "fit").any(), "the fits are those of the repeated run"
    facts = [json.loads((done.folder / "run.json").read_bytes()) for done in (first, second, again)]
    assert facts[0]["nonce_seed"] != facts[1]["nonce_seed"] == facts[2]["nonce_seed"]
    assert [one["repeats"] for one in facts] == [None, None, str(second.folder)]
    fits = second.run.records.query("stage == 'fit'")
    assert len(fits) == 2
    assert fits["cached_tokens"].fillna(0.0).sum() == 0, "nor do probes come from the cache of the run before"
    assert "nonces included, so a server may know them already" in again.out
    assert other.code == 2
    assert other.folder is None
    assert "--repeat: this scenario does not send the same requests as" in other.err


def test_repeating_what_is_no_run_is_a_mistake_of_the_command_line(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text(yaml.safe_dump(PLAIN))
    done = bench("run", file, "--repeat", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "run.json: No such file or directory; the folder of a run is expected" in done.stderr
    assert not (tmp_path / "out").exists()


# -- the verdict ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nonce", "cached", "facts", "verdict"),
    [
        (True, 8, {}, "valid"),
        (True, 98, {}, "suspect"),
        (True, None, {}, "valid"),  # the server does not say
        (False, 98, {}, "valid"),
        (True, 98, {"repeats": "reports/earlier"}, "valid"),  # on purpose
    ],
)
def test_cached_prompts_with_nonces_are_suspect(tmp_path, nonce, cached, facts, verdict):
    mix = [{"name": "chat", "api": "chat", "stream": True, "prompt": {"tokens": 100, "nonce": nonce}}]
    records = [record(n, cached_tokens=cached) for n in range(20)]
    folder = write_run(tmp_path, records, scenario={"requests": mix})
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | facts))
    summary = open_run(folder).summary
    assert summary.validity.verdict == verdict, summary.validity.reasons
    told = "98 % of the prompt tokens were read from the server's cache although every prompt begins with a nonce"
    assert any(told in reason for reason in summary.validity.reasons) == (verdict == "suspect")


def test_a_second_turn_repeats_its_first_and_is_not_suspect(tmp_path):
    mix = [{"name": "chat", "api": "chat", "stream": True, "prompt": {"text": "Hi", "nonce": True}, "tool_results": {}}]
    records = [record(n, cached_tokens=0) for n in range(20)]
    records += [record(n, name="chat: result", turn=1, cached_tokens=95) for n in range(20)]
    summary = open_run(write_run(tmp_path, records, scenario={"requests": mix})).summary
    assert summary.validity.verdict == "valid", summary.validity.reasons


def test_seeds_of_different_runs_do_not_meet(tmp_path):
    """The warm-up of seed 1 was the measured part of seed 2."""
    scenario = scenario_of(tmp_path, requests=[{"prompt": {"tokens": 40}}])
    warm = inputs(RequestPlan(scenario, 1 + 2**32, {}))
    rng = random.Random(1)
    assert not any(set(warm) & set(inputs(RequestPlan(scenario, seed, {}))) for seed in (1, 2, rng.randrange(2**32)))
