"""A load as stages: what each way of writing it stands for, who asks when, and how a stage is dealt out."""

from __future__ import annotations

import itertools
import math

import pytest
from pydantic import ValidationError

from bench.experiments import LoadScenario
from bench.experiments.load.steps import steps as load_steps
from bench.experiments.simulated_performer import SimulatedPerformer
from bench.plan import Burst, Planned, Stage, Wait
from bench.plan.arrivals import Ramp
from bench.plan.load import Load
from tests.runs import record
from tests.test_load import python


def levels(load: dict) -> list[tuple]:
    """Name, measured, level at the beginning and the end, ramp, duration, requests."""
    found = []
    for stage in Load.model_validate(load).as_stages():
        level = stage.users or stage.rate
        found.append(
            (stage.name, stage.measured, level.start, level.end, level.seconds, stage.duration, stage.requests)
        )
    return found


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        ({"users": 5, "duration": "2s"}, [("measure", True, 5, 5, 0, 2, None)]),
        ({"users": 5, "requests": 9}, [("measure", True, 5, 5, 0, None, 9)]),
        ({"rate": 5, "duration": "2s", "warmup": "1s"}, [("warmup", False, 5, 5, 0, 1, None), ("measure", True, 5, 5, 0, 2, None)]),
        ({"users": 10, "ramp": "4s", "duration": "9s"}, [("measure", True, 0, 10, 4, 9, None)]),
        ({"users": 10, "spawn_rate": 5, "duration": "9s"}, [("measure", True, 0, 10, 2, 9, None)]),
        ({"users": 10, "ramp": "4s", "duration": "9s", "warmup": "4s"}, [("warmup", False, 0, 10, 4, 4, None), ("measure", True, 10, 10, 0, 9, None)]),
        ({"users": 10, "ramp": "4s", "duration": "9s", "warmup": "1s"}, [("warmup", False, 0, 10, 4, 1, None), ("measure", True, 2.5, 10, 3, 9, None)]),
        ({"users": [1, 8], "duration": "2s"}, [("1 user", True, 1, 1, 0, 2, None), ("8 users", True, 8, 8, 0, 2, None)]),
        ({"rate": [0.5, 20], "requests": 7}, [("0.5 /s", True, 0.5, 0.5, 0, None, 7), ("20 /s", True, 20, 20, 0, None, 7)]),
        ({"users": [8], "duration": "2s", "warmup": "1s"}, [("8 users, warmup", False, 8, 8, 0, 1, None), ("8 users", True, 8, 8, 0, 2, None)]),
        (
            {"stages": [{"users": 6, "ramp": "1s", "duration": "2s", "measured": False}, {"name": "spike", "users": 12, "duration": "1s"}, {"users": 3, "spawn_rate": 9, "duration": "2s"}]},
            [("6 users", False, 0, 6, 1, 2, None), ("spike", True, 12, 12, 0, 1, None), ("3 users", True, 12, 3, 1, 2, None)],
        ),
        (  # a ramp that the stage does not finish: the next one begins where it got to
            {"stages": [{"rate": 10, "ramp": "4s", "duration": "2s"}, {"rate": 20, "ramp": "1s", "duration": "2s"}]},
            [("10 /s", True, 0, 10, 4, 2, None), ("20 /s", True, 5, 20, 1, 2, None)],
        ),
        (  # its requests end it in mid-ramp: 15 are expected after two seconds, at 10 a second
            {"stages": [{"rate": 5, "duration": "1s"}, {"rate": 20, "ramp": "6s", "requests": 15}, {"rate": 1, "ramp": "1s", "duration": "9s"}]},
            [("5 /s", True, 5, 5, 0, 1, None), ("20 /s", True, 5, 20, 6, None, 15), ("1 /s", True, 10, 1, 1, 9, None)],
        ),
        (  # users are no rate: a ramp of the other begins at nothing
            {"stages": [{"users": 4, "duration": "1s"}, {"rate": 9, "ramp": "1s", "requests": 5}]},
            [("4 users", True, 4, 4, 0, 1, None), ("9 /s", True, 0, 9, 1, None, 5)],
        ),
    ],
)  # fmt: skip
def test_every_way_of_writing_a_load_is_stages(load, expected):
    assert levels(load) == expected


@pytest.mark.parametrize(
    ("load", "words"),
    [
        ({"duration": "2s"}, "got neither of users (a closed loop) and rate (an open one)"),
        ({"users": 1, "rate": 1, "duration": "2s"}, "got both of users (a closed loop) and rate"),
        ({"users": 1}, "nothing ends it; duration: 30s or requests: 1000 is expected"),
        ({"rate": 1, "duration": "2s", "spawn_rate": 2}, "spawn_rate is for users"),
        ({"users": 1, "duration": "2s", "spawn_rate": 2, "ramp": "1s"}, "got spawn_rate and ramp"),
        ({"users": [4, 8, 4], "duration": "2s"}, "a level is in the list twice"),
        ({"users": [], "duration": "2s"}, "at least 1 item"),
        ({"users": [4, 0], "duration": "2s"}, "greater than 0"),
        ({"rate": [4, -1], "duration": "2s"}, "greater than 0"),
        ({"rate": 1e-6, "duration": "2s"}, "at least 1e-05 requests per second are expected, one a day"),
        ({"rate": [1, 1e6], "duration": "24h"}, "rate and duration make"),
        ({"rate": 1, "duration": "2s", "arrivals": "steady"}, "'poisson', 'constant' or 'gamma'"),
        ({"rate": 1, "duration": "2s", "arrivals": "gamma", "burstiness": 0}, "greater than or equal to 0.01"),
        ({"users": 1, "duration": "2s", "think_time": ["3s", "1s"]}, "the first of the two times must be the shorter one"),
        ({"users": 1, "duration": "2s", "think_time": {"fixed": "1s", "exponential": "1s"}}, "got fixed and exponential; 2s, "),
        ({"users": 1, "duration": "2s", "think_time": {}}, "got none; 2s, [1s, 3s] or {exponential: 2s} is expected"),
        ({"users": 1, "duration": "2s", "stages": [{"users": 1, "duration": "2s"}]}, "got stages and users and duration; with stages, write them in each stage"),
        (
            {"warmup": "2s", "stages": [{"users": 1, "duration": "2s"}]},
            "got stages and warmup; with stages, a warm-up is a stage with measured: false",
        ),
        ({"pause": "2s", "stages": [{"users": 1, "duration": "2s"}]}, "got stages and pause; stages have no pause"),
        ({"stages": [{"users": 1, "duration": "2s"}] * 2}, "several stages are called '1 user'"),
        ({"stages": [{"users": 1}]}, "nothing ends it"),
        ({"stages": [{"duration": "1s"}]}, "got neither of users"),
        ({"stages": [{"rate": 1, "spawn_rate": 1, "duration": "1s"}]}, "spawn_rate is for users; a rate has a ramp"),
        ({"stages": [{"users": 1, "spawn_rate": 1, "ramp": "1s", "duration": "1s"}]}, "got spawn_rate and ramp"),
        ({"stages": [{"users": 1, "arrivals": "gamma", "burstiness": 0.5, "duration": "1s"}]}, "got arrivals and burstiness for users, who have no schedule"),
        ({"stages": [{"rate": 1, "burstiness": 0.5, "duration": "1s"}]}, "got burstiness for poisson arrivals"),
        ({"stages": [{"rate": 1, "duration": "1s", "measured": False}]}, "no stage is measured"),
        ({"stages": [{"rate": 1, "duration": "1s", "name": "fit"}]}, "a stage is called 'fit', as the requests before the load are"),
        ({"stages": [{"rate": 1, "duration": "1s"}], "think_time": "1s"}, "think_time is for users; arrivals of a rate never wait"),
        ({"stages": [{"users": 1, "duration": "1s"}], "arrivals": "constant"}, "got arrivals for users, who have no schedule"),
        ({"stages": [{"rate": 1, "duration": "1s", "arrivals": "gamma"}], "arrivals": "constant"}, "got arrivals, but each stage has its own"),
        ({"stages": [{"rate": 1, "duration": "1s", "arrivals": "gamma", "burstiness": 2}], "burstiness": 3}, "no stage with arrivals: gamma takes it"),
        ({"rate": 1, "duration": "2s", "burstiness": 0.5}, "got burstiness for poisson arrivals; only arrivals: gamma have one"),
        ({"users": 1, "duration": "2s", "arrivals": "gamma"}, "got arrivals for users, who have no schedule"),
        ({"users": 1, "duration": "2s", "burstiness": 2}, "got burstiness for users"),
        ({"rate": 1, "duration": "2s", "think_time": "1s"}, "think_time is for users"),
        ({"rate": 1, "duration": "2s", "pause": "1s"}, "got pause for one load"),
    ],
)  # fmt: skip
def test_a_load_that_makes_no_sense_is_refused_in_words(load, words):
    with pytest.raises(ValidationError) as caught:
        Load.model_validate(load)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "load",
    [
        {
            "arrivals": "gamma",
            "burstiness": 0.5,
            "stages": [{"rate": 1, "duration": "1s"}, {"users": 1, "duration": "1s"}],
        },
        {"burstiness": 0.5, "stages": [{"rate": 1, "duration": "1s", "arrivals": "gamma"}], "drain": "1s"},
        {
            "think_time": "1s",
            "impatient": True,
            "stages": [{"rate": 1, "duration": "1s"}, {"users": 1, "duration": "1s"}],
        },
        {"rate": 1, "duration": "1s", "clients": ["raw", "polite"], "pause": "1s"},
        {"stages": [{"users": 1, "duration": "1s", "measured": False}, {"rate": 1, "duration": "1s"}]},
    ],
)
def test_a_setting_that_a_part_of_the_load_follows_is_taken(load):
    Load.model_validate(load)


def test_only_the_last_stage_of_a_chain_waits_for_its_answers_and_each_level_of_a_sweep_does():
    drains = [
        stage.drain for stage in Load.model_validate({"users": 2, "duration": 1, "warmup": 1, "drain": 7}).as_stages()
    ]
    assert drains == [None, 7]
    drains = [
        stage.drain
        for stage in Load.model_validate({"users": [2, 4], "duration": 1, "warmup": 1, "drain": 7}).as_stages()
    ]
    assert drains == [None, 7, None, 7]


@pytest.mark.parametrize(
    ("ramp", "expected"),
    [
        (Ramp(3), [(0, math.inf), (0, math.inf), (0, math.inf), None]),
        (Ramp(4, begin=0, seconds=2), [(0, math.inf), (0.5, math.inf), (1, math.inf), (1.5, math.inf), None]),
        (Ramp(4, begin=2, seconds=2), [(0, math.inf), (0, math.inf), (0, math.inf), (1, math.inf), None]),
        (Ramp(1, begin=3, seconds=2), [(0, math.inf), (0, 2), (0, 1), None]),
        (Ramp(0, begin=2, seconds=2), [(0, 2), (0, 1), None]),
    ],
)
def test_users_come_in_their_order_and_leave_in_the_reverse(ramp, expected):
    stage = Stage(name="s", users=ramp, duration=9)
    assert [stage.presence(user) for user in range(len(expected))] == expected
    assert stage.most_users == len(expected) - 1


def planned(stage, number, user) -> Planned:
    return Planned(
        seq=number,
        k=number,
        name=stage.name,
        model="m",
        api="chat",
        stream=True,
        input=f"{user}",
        parameters={},
        extra_body={},
    )


def test_a_simulated_experiment_sees_the_records_of_what_it_asked_for():
    sent = []

    def server(request, at):
        sent.append((request.name, request.input, round(at, 6)))
        return record(seq=request.seq, done=at + 1.0)

    one = planned(Stage(name="burst", rate=Ramp(1), requests=1), 0, 0)

    def experiment():
        burst = yield Burst(name="burst", requests=(one, one), spacing=0.25)
        assert [each.done for each in burst] == [1.0, 1.25]
        assert (yield Wait(seconds=2.0)) == []
        assert (yield Stage(name="kept", users=Ramp(2), duration=1.5)) == []
        returned = yield Stage(name="open", rate=Ramp(2.0), arrivals="constant", duration=1.0, returns=True)
        return len(returned)

    performer = SimulatedPerformer(server, planned)
    assert performer.perform(experiment()) == 2
    assert sent[:2] == [("burst", "0", 0.0), ("burst", "0", 0.25)]
    assert sent[2:6] == [("kept", "0", 3.25), ("kept", "1", 3.25), ("kept", "0", 4.25), ("kept", "1", 4.25)]
    assert [at for name, _, at in sent if name == "open"] == [5.25, 5.75]
    assert performer.sent == len(sent) == 8
    assert len(performer.steps) == 4


RUN = """
import bench.load
import json, math, sys
from bench.experiments import LoadScenario
from bench.load.stage import StageRun
from bench.plan import RequestPlan, Stage
from bench.plan.arrivals import Ramp
scenario = LoadScenario.model_validate({"name": "s", "target": {"url": "http://127.0.0.1:1"}, "models": ["a", "b", "c"],
    "requests": [{"name": "chat", "prompt": "Hi"}], "load": {"users": 3, "requests": 1}})
def parts(stage, workers, models=3):
    made = [StageRun(stage, RequestPlan(scenario, 1, {}), models, seed=1, worker=w, workers=workers) for w in range(workers)]
    for one in made: one.begin(100.0)
    return made
"""


def test_models_and_workers_share_a_stages_requests_and_each_is_sent_once():
    python(
        RUN
        + """
for total in (1, 2, 7, 20):
    for workers in (1, 2, 3):
        made = parts(Stage(name="s", users=Ramp(3), requests=total), workers)
        taken = [(model, one.k) for part in made for model in range(3) for one in iter(lambda: part.take(model), None)]
        assert len(taken) == len(set(taken)) == total, (total, workers, taken)
        each = [sum(model == m for model, _ in taken) for m in range(3)]
        assert max(each) - min(each) <= 1 and each == sorted(each, reverse=True), each
        assert all(part.is_over(101.0) and part.ended_by == "requests" for part in made)
        assert sum(part.planned() for part in made) == total
for workers in (1, 3):
    made = parts(Stage(name="s", rate=Ramp(50.0), duration=2.0), workers)
    moments = sorted(arrival for part in made for arrival in part.schedule())
    assert [number for number, _ in moments] == list(range(len(moments)))
    assert all(100.0 <= at < 102.0 for _, at in moments)
    assert [made[0].arrival(n).model for n in range(4)] == ["a", "b", "c", "a"]
"""
    )


def test_a_stage_of_several_processes_ends_for_all_of_them_when_the_last_has_sent_its_share_or_its_time_is_up():
    python(
        RUN
        + """
def asked():
    made = parts(Stage(name="s", users=Ramp(2), duration=9.0, requests=4), 2, models=1)
    for one in made: one.alone = False
    while made[0].take(0): pass
    return made
first, second = asked()
assert (first.is_spent, second.is_spent) == (True, False) and not first.is_over(101.0)
first.agreed = second.agreed = 103.5
assert not first.is_over(103.4) and first.is_over(103.6) and second.is_over(104.0)
assert [(one.ended, one.ended_by) for one in (first, second)] == [(103.5, "requests")] * 2
assert all(one.is_over(109.5) and (one.ended, one.ended_by) == (109.0, "duration") for one in asked())
"""
    )


def test_a_stage_ends_with_its_time_or_its_requests_or_when_it_is_stopped_and_the_first_reason_counts():
    python(
        RUN
        + """
stage = Stage(name="s", users=Ramp(1), duration=2.0, requests=5)
[run] = parts(stage, 1)
assert not run.is_over(101.9)
assert run.is_over(102.5) and (run.ended, run.ended_by) == (102.0, "duration"), "it ended when it had to, not when looked at"
run.end(103.0, "stopped")
assert (run.ended, run.ended_by) == (102.0, "duration")
[run] = parts(stage, 1)
run.end(99.0, "stopped")
assert (run.ended, run.ended_by) == (100.0, "stopped"), "not before it began"
[run] = parts(Stage(name="s", users=Ramp(1, begin=3, seconds=2.0), duration=4.0), 1)
assert [run.wait_for(user, 100.5) for user in range(4)] == [0.0, 0.0, 0.0, math.inf]
assert [run.wait_for(user, 101.5) for user in range(3)] == [0.0, 0.0, math.inf], "the last to come leaves first"
[run] = parts(Stage(name="s", users=Ramp(4, begin=0, seconds=2.0), duration=4.0), 1)
assert [run.wait_for(user, 100.5) for user in range(4)] == [0.0, 0.0, 0.5, 1.0]
"""
    )


def test_users_follow_the_stages_up_and_down_and_no_stage_leaves_a_gap(bench_run):
    stages = [
        {"name": "up", "users": 6, "ramp": "600ms", "duration": "900ms", "measured": False},
        {"name": "spike", "users": 12, "duration": "900ms"},
        {"name": "back", "users": 3, "duration": "900ms"},
    ]
    done = bench_run(load={"stages": stages, "think_time": {"exponential": "20ms"}}, models=["sim/instant"])
    lines = steps(done.folder)
    assert [(line["name"], line["measured"], line["users"]) for line in lines] == [
        ("up", False, 6),
        ("spike", True, 12),
        ("back", True, 3),
    ]
    for before, after in itertools.pairwise(lines):
        assert after["began"] == before["ended"], "one begins the moment that the other ends"
    asked = {
        line["name"]: {one.user for one in done.run.records.itertuples() if one.stage == line["name"]} for line in lines
    }
    assert asked == {"up": set(range(6)), "spike": set(range(12)), "back": set(range(3))}


def test_a_sweep_of_rates_with_bursty_arrivals_has_a_stage_for_each(bench_run):
    load = {"rate": [20, 60], "arrivals": "gamma", "burstiness": 0.5, "duration": "800ms", "drain": "5s"}
    done = bench_run(load=load)
    lines = steps(done.folder)
    assert [(line["name"], line["rate"], line["arrivals"]) for line in lines] == [
        ("20 /s", 20, "gamma"),
        ("60 /s", 60, "gamma"),
    ]
    sent = done.run.records["stage"].value_counts()
    assert {line["name"]: line["sent"] for line in lines if line["sent"]} == sent.to_dict()
    assert all(line["planned"] >= line["sent"] for line in lines), "fewer where the machine was at other work"
    first = done.run.records.query("stage == '20 /s'")["done"]
    assert len(first)
    assert lines[1]["began"] >= first.max(), "the first is drained before"


def steps(folder) -> list[dict]:
    import json

    return [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]


def test_raw_and_polite_clients_get_the_same_load_and_the_same_arrivals():
    load = Load.model_validate({"rate": 20, "duration": "2s", "warmup": "1s", "clients": ["raw", "polite"]})
    stages = load.as_stages()
    assert [(stage.name, stage.measured, stage.impatient, stage.retries) for stage in stages] == [
        ("raw, warmup", False, True, False), ("raw", True, True, False),
        ("polite, warmup", False, False, True), ("polite", True, False, True),
    ]  # fmt: skip
    assert not any(stage.own_schedule for stage in stages)


def test_between_levels_there_is_silence_where_it_is_asked_for():
    load = {"users": [1, 2], "duration": "1s", "warmup": "1s", "pause": "30s"}
    asked = {"name": "s", "target": "simulator", "models": ["m"], "requests": [{"prompt": "x"}], "load": load}
    yielded = [
        step.seconds if isinstance(step, Wait) else step.name for step in load_steps(LoadScenario.model_validate(asked))
    ]
    assert yielded == ["1 user, warmup", "1 user", 30.0, "2 users, warmup", "2 users"]


@pytest.mark.parametrize(("load", "words"), [
    ({"rate": 1, "duration": "2s", "impatient": True}, "impatient is for users"),
    ({"users": 1, "duration": "2s", "impatient": True, "clients": ["raw"]}, "clients says who waits"),
    ({"users": 1, "duration": "2s", "clients": ["raw", "raw"]}, "names one twice"),
])  # fmt: skip
def test_patience_that_makes_no_sense_is_told(load, words):
    with pytest.raises(ValidationError, match=words):
        Load.model_validate(load)
