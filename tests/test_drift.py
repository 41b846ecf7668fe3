"""Whether a run says that its answers came slower or faster as time went on under the same load."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.analysis import open_run
from bench.analysis.drift import drift_of
from tests.runs import failed, record, write_run
from tests.test_curve import stage

ANSWERS = 240


def answer(n, wait, **changes):
    """One sent every 0.1 s, with a first token after so many seconds; every seventh is a little later."""
    at, wait = n / 10, wait + 0.01 * (n % 7)
    times = {"sent": at, "headers_at": at, "first_token_at": at + wait, "done": at + wait + 0.5}
    return record(n, first_answer_at=at + wait, arrivals=[(at + wait, 5)], **times | changes)


def told(folder, records, *, scenario=None, **of_stage):
    """The sentences on drift of a run with one stage."""
    held = stage("measure", 0.0, 24.0, **of_stage or {"users": 4})
    end = {"measure": [0.0, 24.0], "duration_s": 26.0}
    summary = open_run(write_run(folder, records, steps=[held], scenario=scenario, end=end)).summary
    return [doubt for doubt in summary.doubts if "while the load stayed the same" in doubt]


def climbing(n):
    return 0.1 + 0.2 * n / ANSWERS


def test_a_server_that_answers_slower_and_slower_is_said_to(tmp_path):
    [sentence] = told(tmp_path, [answer(n, climbing(n)) for n in range(ANSWERS)])
    assert sentence.startswith(
        "TTFT rose while the load stayed the same, from 162 ms (p50) in the first third of the answers to 296 ms in the"
    )


def test_one_that_becomes_faster_once_is_too(tmp_path):
    [sentence] = told(tmp_path, [answer(n, 0.4 if n < 100 else 0.1) for n in range(ANSWERS)])
    assert sentence.startswith("TTFT fell while")


@pytest.mark.parametrize(
    "wait",
    [
        lambda n: 0.1 if n % 2 else 0.4,
        lambda n: 0.1 + 0.02 * n / ANSWERS,  # a tenth more
        lambda n: 0.5 if n < 15 else 0.1,  # all users begin at once
        lambda n: 0.5 if 100 <= n < 130 else 0.1,  # a stall in the middle
        lambda n: 0.5 if n >= 225 else 0.1,  # and one at the end
    ],
)
def test_answers_that_vary_do_not_drift(tmp_path, wait):
    assert not told(tmp_path, [answer(n, wait(n)) for n in range(ANSWERS)])


def test_prompts_that_get_longer_are_no_drift_of_the_server(tmp_path):
    assert not told(tmp_path, [answer(n, climbing(n), prompt_tokens=100 + n) for n in range(ANSWERS)])


def test_nor_is_a_load_that_rises_or_that_is_more_than_the_server_takes(tmp_path):
    records = [answer(n, climbing(n)) for n in range(ANSWERS)]
    assert not told(tmp_path / "ramp", records, users=4, ramp_s=20.0)
    late = [answer(n, 0.1 + 0.05 * n, due=n / 10) for n in range(ANSWERS)]
    assert not told(tmp_path / "late", late, rate=10.0)
    assert told(tmp_path / "kept", [answer(n, climbing(n), due=n / 10) for n in range(ANSWERS)], rate=10.0)


def test_too_few_answers_say_nothing_and_failures_are_not_among_them(tmp_path):
    few = [answer(n, climbing(n)) for n in range(ANSWERS - 1)]
    lost = [failed(n, "timeout", sent=n / 10, done=n / 10 + 1.0) for n in range(len(few), ANSWERS + 20)]
    assert not told(tmp_path, few + lost)


def test_of_several_models_the_one_that_drifts_is_named(tmp_path):
    records = [answer(n, climbing(n) if n % 2 else 0.1, model="ab"[n % 2]) for n in range(2 * ANSWERS)]
    [sentence] = told(tmp_path, records, scenario={"models": ["a", "b"]})
    assert sentence.startswith("b's TTFT rose")


# -- how often it is wrong, and right, of answers that are like the ones before them ----------------------------


def queue(random, busy):
    """TTFT of so many answers of one server that is so busy, and has been for long: it serves one after the other."""
    before, waits, wait = 1000, [], 0.0
    between = random.exponential(1.0 / busy, before + ANSWERS)
    for arrives, takes in zip(between, random.exponential(1.0, before + ANSWERS), strict=True):
        wait = max(0.0, wait - arrives)
        waits.append(wait)
        wait += takes
    return np.array(waits[before:]) + 0.05 * np.exp(0.3 * random.normal(size=ANSWERS))


def wandering(random, spread):
    """Answers of which each is nearly as late as the one before."""
    noise, levels = random.normal(size=ANSWERS), [0.0]
    for one in noise:
        levels.append(0.9 * levels[-1] + one * np.sqrt(1 - 0.9**2))
    return np.exp(spread * np.array(levels[1:]))


def share_told(make, runs=200):
    """The share of runs with such a TTFT that are said to drift."""
    random, same = np.random.default_rng(4), {"model": "m", "prompt_tokens": 50.0}
    found = [
        list(drift_of(pd.DataFrame({"ttft_s": make(random)} | same), "measure", several=False)) for _ in range(runs)
    ]
    return sum(map(bool, found)) / runs


def test_two_kinds_of_requests_that_take_turns_by_chance_are_no_drift():
    """The p50 is now of the one kind, now of the other."""
    assert (
        share_told(lambda random: np.where(random.random(ANSWERS) < 0.5, 0.1, 1.0) * random.uniform(1, 2, ANSWERS))
        <= 0.01
    )


@pytest.mark.parametrize("busy", [0.3, 0.8, 0.95])
def test_a_queue_that_comes_and_goes_is_no_drift(busy):
    assert share_told(lambda random: queue(random, busy)) <= 0.01


@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_answers_that_are_like_the_ones_before_them_have_no_trend_for_that(spread):
    assert share_told(lambda random: wandering(random, spread)) <= 0.01


def test_a_clear_drift_is_told_of_such_answers_too():
    climb = np.exp(np.linspace(0.0, 1.5, ANSWERS))
    assert share_told(lambda random: climb * wandering(random, 0.1), runs=100) > 0.9
    assert share_told(lambda random: climb * np.exp(0.5 * random.normal(size=ANSWERS)), runs=100) > 0.9, "noise alone"
