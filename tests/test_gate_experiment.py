"""A short form of `python benchmarks/gate.py`: bounds that the gate keeps, and that a broken one would miss."""

from __future__ import annotations

import numpy as np
import pytest

from bench.analysis.gate import effect_of
from bench.plan.gate import parse_gate
from benchmarks.gate import GATE, OTHER_WEATHER, TRIALS, Tried, World, paired, stored, targets, trial

pytestmark = pytest.mark.slow
MANY = 10
SLACK = 0.2


@pytest.fixture(scope="module")
def tried() -> list[Tried]:
    rng = np.random.default_rng(1)
    return [trial(rng, world, pairs, lines, MANY) for world, pairs, lines in (*TRIALS, *OTHER_WEATHER[::4])]


def test_the_gate_reaches_its_bounds(tried):
    missed = [(one.name, one.got) for one in targets(tried, 1.0, slack=SLACK) if not one.reached]
    assert missed == []


@pytest.mark.parametrize(
    ("verdict", "missed"),
    [("fail", "false alarms"), ("pass", "fail"), ("inconclusive", "pass")],
)
def test_a_gate_that_always_says_the_same_misses_them(tried, verdict, missed):
    broken = [Tried(one.world, one.pairs, [verdict] * MANY, one.used, one.covered) for one in tried]
    assert any(missed in one.name and not one.reached for one in targets(broken, 1.0, slack=SLACK))


def test_a_gate_without_correction_for_lines_and_looks_would_miss_them():
    """Each line at each look at 5 %, as if it were the only one: on equal arms about one comparison in five alarms."""
    rng, lines, alarms = np.random.default_rng(2), parse_gate(GATE), 0
    for _ in range(60):
        samples = paired(rng, 400, World("equal arms"))
        alarms += any(effect_of(line, samples[line.metric]).larger <= 0.05 for line in lines)
    assert alarms / 60 > 0.1


@pytest.mark.parametrize(("runs", "spread", "slower", "least", "most"), [
    ((1, 1), 0.04, 1.0, 0.0, 0.05),
    ((1, 1), 0.02, 1.5, 0.95, 1.0),
    ((10, 3), 0.02, 1.0, 0.0, 0.09),
    ((10, 3), 0.02, 1.05, 0.80, 1.0),
])  # fmt: skip
def test_runs_on_disk_alarm_seldom_and_find_what_is_there(runs, spread, slower, least, most):
    verdicts = stored(np.random.default_rng(3), runs, spread, slower, 200)
    assert least <= np.mean([one == "fail" for one in verdicts]) <= most
