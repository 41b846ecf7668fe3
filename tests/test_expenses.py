"""A budget is kept: nothing is sent that it has no room for, and what was counted is what the server counted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.experiments import LoadScenario
from bench.plan import Budget, Planned
from bench.plan.expenses import Expenses
from tests.runs import failed, record

WORDS = "word " * 80  # 400 characters: about 93 tokens
ASKED = LoadScenario.model_validate({
    "name": "s", "target": "http://127.0.0.1:1", "models": ["m"], "requests": [{"prompt": "Hi"}],
    "load": {"users": 1, "requests": 1}, "prices": {"m": {"input": 10.0, "output": 20.0}},
})  # fmt: skip


class Clock:
    now = 100.0


def expenses(clock=Clock, **budget):
    return Expenses(Budget(**budget), ASKED, now=lambda: clock.now)


def request(seq=0, **parameters):
    return Planned(
        seq=seq,
        k=seq,
        name="chat",
        model="m",
        api="completions",
        stream=False,
        input=WORDS,
        parameters=parameters,
        extra_body={},
    )


def test_so_many_requests_and_no_more():
    kept = expenses(requests=3)
    assert [kept.reserve(request(seq)) for seq in range(5)] == [True, True, True, False, False]


def test_several_requests_are_sent_together_or_not_at_all():
    kept = expenses(requests=3)
    assert not kept.reserve(*(request(seq) for seq in range(4)))
    assert kept.reserve(*(request(seq) for seq in range(3)))
    assert not kept.reserve(request(3))


def test_tokens_are_counted_as_they_may_be_and_then_as_they_were():
    kept = expenses(tokens=1000)
    assert kept.reserve(request(0, max_tokens=700))  # 93 of the prompt, 700 of the answer at most
    assert not kept.reserve(request(1, max_tokens=200))
    kept.settle(request(0), replace(record(seq=0), prompt_tokens=90, completion_tokens=10))
    assert kept.reserve(request(1, max_tokens=700)), "the server counted 100, not 800"
    assert not kept.reserve(request(2, max_tokens=200)), "793 of the 900 are on their way"


def test_several_answers_to_one_request_cost_several_times():
    assert not expenses(tokens=900).reserve(request(max_tokens=300, n=3))
    assert expenses(tokens=1000).reserve(request(max_tokens=300, n=3))


def test_dollars_are_counted_by_the_prices_of_the_model():
    kept = expenses(usd=0.01)
    assert kept.reserve(request(0, max_tokens=400))  # 93 · $10 + 400 · $20 per million: $0.00893
    assert not kept.reserve(request(1, max_tokens=50))
    kept.settle(request(0), replace(record(seq=0), prompt_tokens=100, completion_tokens=100))
    assert kept.reserve(request(1, max_tokens=300)), "$0.003 was spent, $0.007 is the next at most"


def test_a_refused_request_counts_as_a_request_and_costs_no_tokens():
    kept = expenses(requests=2, tokens=510)
    assert kept.reserve(request(0, max_tokens=400))
    kept.settle(request(0), failed(0, "throttled"))
    assert kept.reserve(request(1, max_tokens=400))
    assert not kept.reserve(request(2))


def test_each_try_of_a_request_is_a_request():
    kept = expenses(requests=4)
    assert kept.reserve(request(0))
    kept.settle(request(0), replace(record(seq=0), attempts=3))
    assert kept.reserve(request(1))
    assert not kept.reserve(request(2))


def test_when_its_time_is_up_nothing_is_sent():
    class Later:
        now = 100.0

    kept = expenses(Later, duration=5)
    assert kept.reserve(request(0))
    assert kept.deadline == 105.0
    Later.now = 105.0
    assert kept.is_over
    assert not kept.reserve(request(1))


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"requests": 500}, "500 requests"),
        (
            {"requests": 500, "tokens": 200_000, "usd": 1, "duration": "15m"},
            "500 requests, 200,000 tokens, $1.00 and 15 min",
        ),
        ({"usd": 0.5, "duration": 30}, "$0.50 and 30 s"),
    ],
)
def test_a_budget_can_be_said(budget, words):
    assert Budget(**budget).in_words == words


def test_a_budget_that_bounds_nothing_is_a_mistake():
    with pytest.raises(ValueError, match="is empty; one of requests, tokens, usd and duration is expected"):
        Budget()
