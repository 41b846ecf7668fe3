"""The names in the brackets of a threshold or of a gate's line."""

from __future__ import annotations

import pytest

from bench.analysis import open_run
from bench.experiments import LoadScenario
from bench.plan.scopes import scope_names, split
from tests.runs import record, write_run

KNOWN = ("m", "chat", "8 users", "8 users, polite", "8 users, raw", "raw", "a,b ,  c")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        (" , ", ()),
        ("m", ("m",)),
        ("m,chat", ("m", "chat")),
        ("8 users", ("8 users",)),
        ("8 users, polite", ("8 users, polite",)),
        ("chat,8 users ,raw,  m", ("chat", "8 users, raw", "m")),
        ("raw, 8 users", ("raw", "8 users")),
        ("polite, 8 users", ("polite", "8 users")),
        ("a, b, c", ("a,b ,  c",)),
        ("a, b", ("a", "b")),
    ],
)
def test_a_name_may_have_a_comma_and_the_longest_one_counts(text, names):
    assert scope_names(split(text), KNOWN) == names


def test_every_stage_that_bench_names_itself_can_be_the_scope_of_a_threshold():
    load = {"users": [2, 4], "duration": 1, "clients": ["raw", "polite"], "warmup": 1}
    asked = {"target": {"url": "http://127.0.0.1:1"}, "models": ["m"], "requests": [{"name": "chat", "prompt": "Hi"}]}
    scenario = LoadScenario.model_validate(asked | {"name": "s", "load": load})
    stages = [stage.name for stage in scenario.load.as_stages() if stage.measured]
    thresholds = tuple(f"ttft[{name}, m] p95 < 1s" for name in stages)
    assert stages[-1] == "4 users, polite"
    assert not list(scenario.model_copy(update={"thresholds": thresholds}).mistakes())


def test_a_threshold_on_a_stage_with_a_comma_is_judged_by_its_requests_alone(tmp_path):
    names = ("2 users, raw", "2 users, polite")
    records = [record(10 * place + n, stage=name) for place, name in enumerate(names) for n in range(place + 1)]
    steps = [{"name": name, "measured": True, "began": 5.0 * place, "ended": 5.0} for place, name in enumerate(names)]
    asked = {"thresholds": [f"e2e[{name}, chat] max < 1s" for name in names]}
    run = open_run(write_run(tmp_path, records, scenario=asked, steps=steps))
    assert [one.n for one in run.summary.thresholds] == [1, 2]
