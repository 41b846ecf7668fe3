"""The provider's limits together: who shares them, what they cost, what answers say, and the lies they can tell."""

from __future__ import annotations

import httpx
import pytest
from pydantic import ValidationError

from bench.simulator.admission import Admission, Cost
from bench.simulator.config import Provider, tiers
from bench.simulator.errors import error_object
from bench.wire.limits import limits, retry_after

NOON = 1_800_000_000.0  # a whole minute


def admission(*limit, **throttling):
    return Admission(Provider(limits=limit, throttling=throttling))


def ask(door, *, key="k", model="m", now=NOON, **cost):
    return door.decide(key, model, Cost(**cost), now)


def headers_of(door, verdict, now=NOON):
    return httpx.Headers(door.headers(verdict, now))


def test_each_key_and_model_has_a_limit_of_its_own():
    door = admission({"limit": 1})
    assert [ask(door, key=key, model=model).refused_by is None for key, model in ("ax", "ay", "bx", "ax")] == [
        True, True, True, False,
    ]  # fmt: skip


def test_a_limit_per_key_is_shared_by_its_models():
    door = admission({"limit": 1, "per": "key"})
    assert [ask(door, key=key, model=model).refused_by is None for key, model in ("ax", "ay", "bx")] == [
        True, False, True,
    ]  # fmt: skip


def test_a_limit_is_for_the_models_that_it_names():
    door = admission({"limit": 1, "models": ["x"]})
    assert [ask(door, model=model).refused_by is None for model in "yyyxx"] == [True, True, True, True, False]


def test_a_request_that_one_limit_refuses_is_charged_to_none():
    door = admission({"limit": 3}, {"resource": "tokens", "limit": 100})
    assert ask(door, input_tokens=60).refused_by is None
    assert ask(door, input_tokens=60).refused_by.index == 1
    assert ask(door, input_tokens=40).refused_by is None
    assert [one.decision.left for one in ask(door, input_tokens=1).states] == [1.0, 0.0]


def test_rejects_count_where_they_do_whoever_refused():
    door = admission({"kind": "sliding_log_counting_rejects", "limit": 3}, {"resource": "tokens", "limit": 10})
    for _ in range(3):
        assert ask(door, input_tokens=99).refused_by.index == 1
    assert ask(door, input_tokens=1).refused_by.index == 0


def test_output_is_charged_ahead_as_allowed_or_afterwards_as_written():
    for charge, admitted in (("ahead", 2), ("after", 10)):
        door = admission({"resource": "output_tokens", "limit": 100, "charge": charge})
        verdicts = [ask(door, output_tokens=50) for _ in range(1)]
        while verdicts[-1].refused_by is None:
            door.settle(verdicts[-1], 10, NOON)
            verdicts.append(ask(door, output_tokens=50))
        assert len(verdicts) - 1 == admitted, charge


def test_concurrency_is_free_again_when_an_answer_has_ended():
    door = admission({"kind": "concurrency", "limit": 1})
    first = ask(door)
    assert ask(door).refused_by is not None
    door.settle(first, 5, NOON)
    assert ask(door).refused_by is None


def test_the_truth_names_the_limit_that_refused_or_has_least_left():
    door = admission({"limit": 4}, {"resource": "tokens", "limit": 100})
    assert ask(door, input_tokens=90).truth() == {"limiter": 1, "limit_left": 10.0, "limit_admitted": 1.0}
    assert ask(door, input_tokens=20).truth() == {"limiter": 1, "limit_left": 10.0, "limit_admitted": 0.0}
    assert admission().decide("k", "m", Cost(), NOON).truth() == {}


STYLES = {  # after two of five requests and 300 of 5,000 tokens, 20 s into a minute
    "openai": {"requests": (5, 3, 40), "tokens": (5000, 4700, 40)},
    "groq": {"requests": (5, 3, 40), "tokens": (5000, 4700, 40)},
    "azure": {"requests": (5, 3, 40), "tokens": (5000, 4700, 40)},
    "anthropic": {"requests": (5, 3, 40), "tokens": (5000, 5000, 40)},
    "cerebras": {"requests_minute": (5, 3, 40), "tokens_minute": (5000, 4700, 40)},
    "ietf": {"requests_60s": (5, 3, 40), "tokens_60s": (5000, 4700, 40)},
    "ietf_old": {"requests": (5, 3, 40)},
    "openrouter": {"requests": (5, 3, 40)},
    "together": {"requests": (5, 3, 40), "tokens": (5000, 4700, 40)},
    "litellm": {"api_key_requests": (5, 3, None), "api_key_tokens": (5000, 4700, None)},
}


@pytest.mark.parametrize("style", STYLES)
def test_bench_reads_what_each_style_says(style):
    door = admission({"limit": 5}, {"resource": "tokens", "limit": 5000}, headers=[style])
    now = NOON + 20
    ask(door, now=now, input_tokens=100)
    found = limits(headers_of(door, ask(door, now=now, input_tokens=200), now), now)
    for resource, (limit, remaining, reset) in STYLES[style].items():
        assert found[f"{resource}.limit"] == limit
        assert found[f"{resource}.remaining"] == remaining
        assert found.get(f"{resource}.reset_s") == (reset if reset is None else pytest.approx(reset, abs=0.01))


@pytest.mark.parametrize("form", ["seconds", "milliseconds", "date"])
def test_retry_after_is_true_in_each_form(form):
    door = admission({"limit": 1}, retry_after=form)
    now = NOON + 20.25
    assert "retry-after" not in headers_of(door, ask(door, now=now))
    asked = retry_after(headers_of(door, ask(door, now=now), now), now)
    assert asked == pytest.approx(39.75 if form != "seconds" else 40, abs=0.001)


@pytest.mark.parametrize(("lie", "asked"), [
    ({"retry_after_factor": 0.5}, 20), ({"retry_after_factor": 2}, 80), ({"retry_after_constant": 1}, 1),
])  # fmt: skip
def test_retry_after_lies_when_told_to(lie, asked):
    door = admission({"limit": 1}, retry_after="seconds", **lie)
    ask(door, now=NOON + 20)
    assert retry_after(headers_of(door, ask(door, now=NOON + 20)), NOON + 20) == asked


def test_what_never_fits_has_no_retry_after():
    door = admission({"resource": "tokens", "limit": 10}, retry_after="seconds")
    assert dict(headers_of(door, ask(door, input_tokens=11))) == {}


def test_a_limit_below_what_is_promised_refuses_while_headers_say_there_is_room():
    door = admission({"limit": 10, "enforced": 0.9}, headers=["openai"])
    verdicts = [ask(door) for _ in range(10)]
    assert [verdict.refused_by is None for verdict in verdicts] == [True] * 9 + [False]
    told = headers_of(door, verdicts[-1])
    assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("10", "1")


def test_counters_can_be_stuck_and_headers_missing_from_refusals():
    door = admission({"limit": 2}, headers=["openai"], counters="stuck", headers_on="admitted")
    told = [headers_of(door, ask(door)).get("x-ratelimit-remaining-requests") for _ in range(3)]
    assert told == ["2", "2", None]


def test_a_refusal_says_which_resource_is_out_in_the_providers_words():
    door = admission({"limit": 1}, {"resource": "tokens", "limit": 10}, {"resource": "images", "limit": 4})
    tokens = door.refusal(ask(door, input_tokens=11).refused_by, "m")
    images = door.refusal(ask(door, images=5).refused_by, "m")
    ask(door)
    requests = door.refusal(ask(door, now=NOON + 58.5).refused_by, "m")
    assert error_object(requests, "openai")["error"] == {
        "message": "Rate limit reached for m on requests per min (RPM): Limit 1, Used 1, Requested 1. "
        "Please try again in 1.500s.",
        "type": "requests", "param": None, "code": "rate_limit_exceeded",
    }  # fmt: skip
    assert [error_object(one, "novita")["reason"] for one in (requests, tokens, images)] == [
        "RATE_LIMIT_EXCEEDED", "TOKEN_LIMIT_EXCEEDED", "RATE_LIMIT_EXCEEDED",
    ]  # fmt: skip
    assert error_object(tokens, "openai")["error"]["type"] == "tokens"
    assert "(IPM)" in images.message


def test_a_refusal_can_be_of_another_status():
    door = admission({"limit": 1}, status=500)
    ask(door)
    assert door.refusal(ask(door).refused_by, "m").status == 500


def test_a_tier_is_one_line():
    small = Provider(limits="novita/T1", models={"m": {}, "deepseek/deepseek-v3.2": {}})
    large = Provider(limits="novita/T3", models={"m": {}, "deepseek/deepseek-v3.2": {}})
    rpm = [[one.limit for one in provider.all_limits if one.resource == "requests"] for provider in (small, large)]
    assert rpm == [[30, 30], [1000, 300]]
    assert sorted(tiers()) == [f"novita/T{number}" for number in range(1, 6)]


@pytest.mark.parametrize(("given", "words"), [
    ("novita/T9", "one of novita/T1, novita/T2"),
    ([{"kind": "concurrency", "resource": "tokens", "limit": 1}], "counts requests in flight"),
    ([{"resource": "requests", "limit": 1, "charge": "after"}], "is for output_tokens and tokens"),
    ([{"limit": 1, "rate": 2}], "rate is for a token_bucket"),
])  # fmt: skip
def test_limits_that_make_no_sense_are_told(given, words):
    with pytest.raises(ValidationError, match=words):
        Provider(limits=given)
