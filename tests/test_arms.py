"""Arms: requests of one run that go to other targets, with other keys."""

from __future__ import annotations

import pytest

from bench.plan import secrets
from bench.plan.inquiry import Inquiry
from tests.experiments.two_keys import FIRST, OTHER, scenario
from tests.forks import python

EACH = """
import bench.load  # first: Locust patches the standard library
from dataclasses import replace
import httpx
from bench.load.arms import ArmTransports
from bench.load.connections import caller_for, scrub_for
from bench.load.record_builder import Slot
from bench.plan import RequestPlan
from bench.wire.transport import HttpxTransport
from tests.experiments.two_keys import scenario

seen = []

def answer(request):
    seen.append((request.url.host, request.headers["authorization"]))
    return httpx.Response(401, json={"error": {"message": "neither the-other-key nor the-first-key"}})

asked, line = scenario(), HttpxTransport(httpx.MockTransport(answer))
caller = caller_for(asked, {None: "http://one.test", "other": "http://two.test"}, seed=1, started=0.0, scrub=scrub_for(asked))
slot = Slot(stage="measure", worker=0, user=0, due=None)
plain = RequestPlan(asked, 1, {}).request(0, 0)
for planned in (plain, replace(plain, arm="other", pair=3)):
    tries = caller.send(planned, slot, ArmTransports(line, {"other": line}))
    record = caller.understand(planned, slot, tries)
    assert (record.arm, record.pair, record.outcome) == (planned.arm, planned.pair, "auth"), record
    assert record.error.endswith("neither *** nor ***"), record.error
assert seen == [("one.test", "Bearer the-first-key"), ("two.test", "Bearer the-other-key")], seen
"""

UNSENDABLE = """
from bench.load import rehearse
from bench.plan import Mistakes
from tests.experiments.two_keys import scenario
try:
    rehearse(scenario(extra_body={"x": "\\ud800"}), "s.yaml", 1)
except Mistakes as mistakes:
    assert "cannot be sent" in str(mistakes), mistakes
else:
    raise AssertionError("it was taken for sendable")
"""


@pytest.mark.parametrize("code", [EACH, UNSENDABLE], ids=["own target and key", "tried before anything is sent"])
def test_each_arm_is_a_scenario_of_its_own(code):
    python(code)


def test_the_secrets_of_every_arm_are_secrets_of_the_run():
    assert set(secrets(scenario())) == {FIRST, OTHER}


@pytest.mark.parametrize(
    ("url", "budget", "mistake"),
    [
        ("http://127.0.0.1:1", None, None),
        ("https://api.example.com", None, "budget is missing, and api.example.com is not this machine"),
        ("https://api.example.com", {"usd": 1}, "budget.requests is missing"),
        ("https://api.example.com", {"requests": 5, "usd": 1}, "budget.usd needs the price of m"),
        ("https://api.example.com", {"requests": 5}, None),
    ],
)
def test_a_question_that_probes_a_server_elsewhere_needs_a_budget(url, budget, mistake):
    inquiry = Inquiry.model_validate(
        {"name": "s", "target": url, "models": ["m"], "requests": [{"prompt": "Hi"}], "budget": budget}
    )
    told = [message for _, message in inquiry.mistakes()]
    assert (mistake is not None) == any(mistake is not None and mistake in message for message in told)
    assert bool(told) == (mistake is not None)
