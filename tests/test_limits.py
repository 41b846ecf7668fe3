"""Rate-limit headers: one known answer a style, and nothing out of what does not parse."""

from __future__ import annotations

import httpx
import pytest

from bench.simulator.limit_headers import STYLES, Counter, limit_headers
from bench.wire.limits import about_limits, limits, reset_s, retry_after, style

NOW = 1_792_000_000.0  # 2026-10-14T17:46:40Z


def test_openai_states_go_durations():
    headers = httpx.Headers(
        {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-limit-tokens": "150000",
            "x-ratelimit-remaining-requests": "59",
            "x-ratelimit-remaining-tokens": "149984",
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-reset-tokens": "6m0s",
        }
    )
    assert limits(headers, NOW) == {
        "requests.limit": 60,
        "requests.remaining": 59,
        "requests.reset_s": 1,
        "tokens.limit": 150_000,
        "tokens.remaining": 149_984,
        "tokens.reset_s": 360,
    }


def test_anthropic_states_moments():
    headers = httpx.Headers(
        {
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-reset": "2026-10-14T17:46:45Z",
            "anthropic-ratelimit-input-tokens-remaining": "39000",
            "anthropic-ratelimit-input-tokens-reset": "2026-10-14T19:46:40.5+02:00",
            "anthropic-priority-output-tokens-limit": "8000",
        }
    )
    assert limits(headers, NOW) == {
        "requests.limit": 50,
        "requests.reset_s": 5,
        "input_tokens.remaining": 39_000,
        "input_tokens.reset_s": 0.5,
        "priority_output_tokens.limit": 8_000,
    }


def test_a_lone_ietf_policy_is_about_requests():
    headers = httpx.Headers({"RateLimit-Policy": '"burst";q=50;w=60;pk=:a2V5:', "RateLimit": '"burst";r=12;t=30'})
    assert limits(headers, NOW) == {
        "requests.limit": 50,
        "requests.window_s": 60,
        "requests.remaining": 12,
        "requests.reset_s": 30,
    }


def test_a_lone_ietf_policy_may_name_its_unit():
    headers = httpx.Headers({"RateLimit-Policy": '"peak";q=1000;qu="content-bytes"'})
    assert limits(headers, NOW) == {"content_bytes.limit": 1000}


def test_several_ietf_policies_are_told_apart_by_name():
    headers = httpx.Headers(
        {"RateLimit-Policy": '"permin";q=50;w=60,"perhr";q=1000;w=3600', "RateLimit": '"permin";r=12'}
    )
    assert limits(headers, NOW) == {
        "permin.limit": 50,
        "permin.window_s": 60,
        "permin.remaining": 12,
        "perhr.limit": 1000,
        "perhr.window_s": 3600,
    }


def test_older_ietf_drafts_spread_one_policy_over_three_headers():
    headers = httpx.Headers({"RateLimit-Limit": "100, 100;w=60", "RateLimit-Remaining": "40", "RateLimit-Reset": "20"})
    assert limits(headers, NOW) == {"requests.limit": 100, "requests.remaining": 40, "requests.reset_s": 20}


def test_together_counts_tokens_under_a_name_of_their_own():
    headers = httpx.Headers({"x-ratelimit-limit": "10", "x-ratelimit-reset": "1", "x-tokenlimit-remaining": "3000"})
    assert limits(headers, NOW) == {"requests.limit": 10, "requests.reset_s": 1, "tokens.remaining": 3000}


def test_cerebras_counts_by_day_and_by_minute():
    headers = httpx.Headers({"x-ratelimit-limit-requests-day": "14400", "x-ratelimit-reset-tokens-minute": "33.25"})
    assert limits(headers, NOW) == {"requests_day.limit": 14_400, "tokens_minute.reset_s": 33.25}


@pytest.mark.parametrize("name", STYLES)
def test_the_style_of_headers_is_told_by_their_names(name):
    counters = [Counter(resource, 40.0, 3.0, 2.0, 60.0) for resource in ("requests", "tokens")]
    same_names = {"groq": "openai", "azure": "openai", "together": "openrouter"}
    headers = limit_headers(name, counters, NOW)
    assert style(headers) == same_names.get(name, name)
    assert about_limits({"content-length": "5"} | headers) == headers


def test_several_styles_of_headers_are_told_and_what_a_gateway_passes_on_is_its_own():
    assert style({"ratelimit-limit": "1", "ratelimit-policy": "1;w=3"}) == "ietf, ietf_old"
    assert style({"llm_provider-x-ratelimit-limit-requests": "3"}) == "litellm"
    assert style({"content-length": "5", "x-ratelimit-over-limit": "no"}) is None


@pytest.mark.parametrize("value", ["", "soon", "-1", "nan", "inf", "1s2", "2026-13-40T00:00:00Z"])
def test_what_does_not_parse_is_left_out(value):
    assert limits(httpx.Headers({"x-ratelimit-remaining-requests": value, "x-ratelimit-reset": value}), NOW) == {}


def test_other_headers_are_no_limits():
    assert (
        limits(httpx.Headers({"content-length": "5", "x-ratelimit-over-limit": "no", "x-request-id": "a"}), NOW) == {}
    )


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("12ms", 0.012),
        ("7.66s", 7.66),
        ("2m59.56s", 179.56),
        ("1h2m3s", 3723),
        ("250µs", 0.00025),
        ("60", 60),
        ("1792000030", 30),
        ("1792000030500", 30.5),
        ("1791999000", 0),
        ("2026-10-14T17:46:41.250000000Z", 1.25),
        ("2026-10-14T17:46:41", 1),
    ],
)
def test_a_reset_is_read_by_its_shape_and_size(value, seconds):
    assert reset_s(value, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "Wed, 14 Oct 2026 17:46:50 GMT"}, 10),
        ({"retry-after": "Wed Oct 14 17:46:50 2026"}, 10),
        ({"retry-after": "Wed, 14 Oct 2026 17:46:30 GMT"}, 0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "in a minute"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_milliseconds_or_seconds_or_a_date_and_never_negative(headers, seconds):
    assert retry_after(httpx.Headers(headers), NOW) == seconds
