"""Declared limits: tiers by name, and the 429s that a load has to expect of them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from bench.experiments import LoadScenario
from bench.plan.forecast import forecast
from bench.plan.refusals import expected_refusals
from bench.plan.tiers import Limits, tiers
from bench.report.planned import refusal_text


def expected(load: dict, limits: object, *, models=("m",), **request):
    asked = {"prompt": "x" * 43, "max_tokens": 90} | request
    scenario = LoadScenario.model_validate(
        {"name": "s", "target": "simulator", "models": models, "requests": [asked], "load": load, "limits": limits}
    )
    stages = scenario.load.as_stages()
    rows = forecast(scenario, stages, 1)
    pause = scenario.load.pause
    return expected_refusals(scenario, scenario.limits, stages, rows, 1, pause=pause)


def test_a_tier_has_a_source_and_a_date_and_knows_models_and_apis():
    tier = tiers()["novita/T3"]
    assert "novita.ai" in tier.source
    assert tier.date.startswith("20")
    assert tier.of("any/model") == {"rpm": 1000, "tpm": 50_000_000, "ipm": 10}
    assert tier.of("deepseek/deepseek-v3.2")["rpm"] == 300
    assert tier.of("sd", "txt2img")["ipm"] == 20


def test_limits_are_a_tier_or_numbers_and_numbers_go_first():
    assert Limits.model_validate("novita/T1").of("m")["rpm"] == 30
    assert Limits.model_validate({"tier": "novita/T1", "rpm": 45}).of("m")["rpm"] == 45
    assert Limits.model_validate({"concurrency": 4}).of("m") == {"concurrency": 4}


@pytest.mark.parametrize(("given", "words"), [
    ("novita/T9", "'novita/T9' is not a tier; one of novita/T1"), ({}, "is empty; rpm: 60"), ({"rpm": 0}, "greater than 0"),
])  # fmt: skip
def test_limits_that_say_nothing_are_told(given, words):
    with pytest.raises(ValidationError, match=words):
        Limits.model_validate(given)


def test_what_comes_above_the_limit_is_expected_to_be_refused():
    [one] = expected({"rate": 2, "arrivals": "constant", "duration": "60s"}, {"rpm": 60})
    assert (one.binding, one.offered, one.refused) == ("rpm", 120, 60)
    assert one.first_at == pytest.approx(30.0, abs=0.6)
    assert "m: about 60 of 120 requests would be refused with 429, the first after 30" in refusal_text(one)


def test_where_only_what_is_under_way_is_limited_no_number_is_made_up():
    [one] = expected({"rate": 20, "duration": "60s"}, {"concurrency": 1})
    assert (one.binding, one.refused) == ("", 0)
    assert refusal_text(one) == "m: no request is known to go over its limits (concurrency 1)."


def test_where_nothing_fits_every_request_that_is_expected_is_refused():
    [one] = expected({"rate": 1, "duration": "60s"}, {"tpm": 10})
    assert (one.offered, one.refused) == (60, 60)


def test_the_limits_of_an_api_are_those_of_its_requests():
    asked = {"prompt": "a cat", "api": "txt2video", "width": 512, "height": 512, "max_tokens": None}
    scenario = LoadScenario.model_validate({
        "name": "s", "target": "simulator", "models": ["m"], "limits": "novita/T1",
        "requests": [{key: value for key, value in asked.items() if value is not None}],
        "load": {"rate": 0.25, "arrivals": "constant", "duration": "60s"},
    })  # fmt: skip
    stages = scenario.load.as_stages()
    [one] = expected_refusals(scenario, scenario.limits, stages, forecast(scenario, stages, 1), 1)
    assert (one.limits["rpm"], one.offered, one.refused) == (2, 15, 13)


def test_tokens_bind_where_they_are_used_up_first():
    [one] = expected({"rate": 1, "arrivals": "constant", "duration": "60s"}, {"rpm": 600, "tpm": 1000})
    assert one.binding == "tpm"
    assert one.refused == 60 - 10  # of ten tokens asked and ninety answered each


def test_models_share_the_load_and_have_a_limit_each():
    found = expected({"rate": 2, "arrivals": "constant", "duration": "60s"}, {"rpm": 50}, models=("a", "b"))
    assert [(one.model, one.refused) for one in found] == [("a", 10), ("b", 10)]


def test_a_load_below_its_limit_expects_nothing():
    [one] = expected({"rate": 1, "arrivals": "constant", "duration": "5m"}, {"rpm": 61})
    assert (one.refused, one.first_at) == (0, None)
    assert "no 429 is expected" in refusal_text(one)


def test_silence_between_levels_gives_the_limit_back():
    load = {"rate": [1, 2], "arrivals": "constant", "duration": "30s"}
    assert expected(load, {"rpm": 60})[0].refused > 0
    assert expected(load | {"pause": "60s"}, {"rpm": 60})[0].refused == 0


def test_of_users_it_is_said_how_often_each_may_ask():
    [one] = expected({"users": 6, "duration": "1m"}, {"rpm": 60})
    assert one.slowest_user_s == 6.0
    assert "a user who asks more often than every 6 s on average gets 429s" in refusal_text(one)


def test_images_count_by_how_many_a_request_is_for():
    scenario = {"api": "images", "n": 4, "max_tokens": None}
    scenario = {key: value for key, value in scenario.items() if value is not None}
    asked = {"prompt": "a cat"} | scenario
    made = LoadScenario.model_validate(
        {
            "name": "s", "target": "simulator", "models": ["m"], "requests": [asked], "limits": {"ipm": 20},
            "load": {"rate": 0.2, "arrivals": "constant", "duration": "60s"},
        }
    )  # fmt: skip
    stages = made.load.as_stages()
    [one] = expected_refusals(made, made.limits, stages, forecast(made, stages, 1), 1)
    assert (one.binding, one.refused) == ("ipm", 12 - 5)
