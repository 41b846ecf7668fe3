"""When the first requests show that a load is hopeless."""

from __future__ import annotations

import json

import pytest

from tests.forks import python

ENOUGH = 10
DEAD = {"outcome": "connect", "error": "nobody listens"}
REFUSED = {"outcome": "auth", "error": "no such key"}


CODE = """
import bench.load  # first: Locust patches the standard library
import json, sys
from bench.load.first_requests import FirstRequests
from tests.runs import record
outcomes, order = json.loads(sys.argv[1])
first = FirstRequests()
print(json.dumps([first.hopeless(number, record(number, **outcomes[number])) for number in order]))
"""


def told(outcomes: list[dict], order: list[int] | None = None) -> list[str | None]:
    """What is said after each record, in the order of their ends."""
    asked = json.dumps([outcomes, order or list(range(len(outcomes)))])
    return json.loads(python(CODE, asked))


def test_the_load_ends_with_the_commonest_reason_once_enough_agree():
    *before, last = told([REFUSED, *[DEAD] * (ENOUGH - 1)])
    assert set(before) == {None}
    assert last == f"the first {ENOUGH} requests all failed, most of them with connect: nobody listens"


@pytest.mark.parametrize(
    "hopeful",
    [
        {},
        {"outcome": "throttled", "error": "HTTP 429 slow down"},
        {"outcome": "auth", "error": "HTTP 403 rate limit exceeded"},
    ],
    ids=["answered", "throttled", "throttled in disguise"],
)
def test_one_of_the_first_that_may_yet_go_better_keeps_the_load_going(hopeful):
    assert set(told([*[DEAD] * (ENOUGH - 1), hopeful, *[DEAD] * 20])) == {None}


def test_the_first_to_be_sent_count_and_not_the_first_to_end():
    slow = 0  # answered after all the others have been refused
    order = [*range(1, ENOUGH + 15), slow]
    assert set(told([{}, *[DEAD] * (ENOUGH + 14)], order)) == {None}
    assert told([DEAD] * (ENOUGH + 15), order)[-1] is not None


def test_a_success_later_on_that_ends_early_keeps_the_load_going():
    outcomes = [*[DEAD] * ENOUGH, {}]
    assert set(told(outcomes, [ENOUGH, *range(ENOUGH)])) == {None}
