"""What a run shows of the provider's limits, against answers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench import open_run
from bench.analysis.limit_report import admitted_chart
from bench.analysis.rate_limits import fall, most_within
from bench.analysis.refusals import cause_of, limit_named, wait_named
from bench.analysis.sections import Chart, Sentence, Table
from bench.experiments.general import findings
from bench.records import Attempt
from tests.runs import failed, record, write_run


def answer(seq: int, at: float, **changes):
    """An answer sent at that moment."""
    moved = {
        "sent": at,
        "headers_at": at + 0.1,
        "done": at + 0.2,
        "first_token_at": at + 0.1,
        "arrivals": [(at + 0.1, 5)],
    }
    return record(seq, **moved | {"first_answer_at": None} | changes)


def refusal(seq: int, at: float, error: str = "HTTP 429 too many requests", **changes):
    moved = {"sent": at, "headers_at": at + 0.01, "done": at + 0.01, "status": 429, "error": error}
    return failed(seq, "throttled", **moved | changes)


def limits_of(folder, *records, **options):
    found = open_run(write_run(folder, list(records), **options)).summary
    return found.rate_limits, found.doubts


WORDS = {  # as providers and gateways word them
    "HTTP 429 rate_limit_exceeded requests: Rate limit reached for gpt-4o in organization org-x on requests per min "
    "(RPM): Limit 500, Used 500, Requested 1. Please try again in 1.798s": "requests",
    "HTTP 429 rate_limit_exceeded tokens: Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, "
    "Used 29000, Requested 1500. Please try again in 1s": "tokens",
    "HTTP 429 rate_limit_exceeded tokens": "tokens",
    "HTTP 429 RATE_LIMIT_EXCEEDED: rate limit exceeded": "requests",
    "HTTP 429 TOKEN_LIMIT_EXCEEDED: token limit exceeded": "tokens",
    "HTTP 429 rate_limit_error: This request would exceed your organization's rate limit of 50 requests per minute": "requests",
    "HTTP 429 rate_limit_error: This request would exceed the rate limit of 30,000 input tokens per minute": "tokens",
    "HTTP 429: Requests to the ChatCompletions_Create Operation have exceeded call rate limit of your pricing tier": "requests",
    "HTTP 429: Requests to the ChatCompletions_Create Operation have exceeded token rate limit of your tier": "tokens",
    "HTTP 429 Rate limit exceeded: limit_rpm/deepseek": "requests",
    "HTTP 429: Rate limit reached for images per minute: Limit 5/1min": "images",
    "HTTP 429 throttling_error: Too many concurrent requests": "concurrency",
    "HTTP 429: Rate limit exceeded for api_key: x. Limit type: tokens. Current limit: 100, Remaining: 0": "tokens",
    "HTTP 429: Rate limit exceeded for api_key: x. Limit type: requests. Current limit: 3, Remaining: 0": "requests",
    "HTTP 429: Max parallel request limit reached": "concurrency",
    "HTTP 429 throttling_error: litellm.RateLimitError: Model rate limit exceeded. RPM limit=12, current usage=13 LiteLLM: "
    "model group 'sim/instant' failed with the error above. No fallback was attempted.": "requests",
    "HTTP 429 throttling_error: litellm.RateLimitError: Model rate limit exceeded. TPM limit=150, current usage=164": "tokens",
    "HTTP 429 rate_limit_error: Number of request tokens has exceeded your per-minute rate limit": "tokens",
    "HTTP 429 rate_limit_error: Number of requests has exceeded your per-minute rate limit": "requests",
    "HTTP 429 ThrottlingException: Too many tokens, please wait before trying again.": "tokens",
    "HTTP 429: You are using a Trial key, which is limited to 10 API calls / minute": "requests",
    "HTTP 429 rate_limit: You have reached the rate limit specific to this model. The maximum rate limit is 60 queries per "
    "minute": "requests",
    "HTTP 429: Rate limit reached on tokens per min (TPM). Lower your concurrency": "tokens",
    "HTTP 429: inflight requests limit reached": "concurrency",
    "HTTP 429: model meta/llama-parallel is limited to 20 requests per minute": "requests",
    "HTTP 429 429 Too Many Requests": "unknown",  # nginx's page
    "HTTP 429": "unknown",
}  # fmt: skip


@pytest.mark.parametrize("message", WORDS)
def test_a_refusals_words_tell_its_cause(message):
    assert cause_of(message) == WORDS[message]


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("on requests per min (RPM): Limit 60, Used 60, Requested 1. Please try again in 31.852s.", 31.852),
        ("Please try again in 20ms. Visit the site", 0.02),
        ("Please try again in 6m0.5s", 360.5),
        ("Please retry after 20 seconds.", 20.0),
        ("Try again in 1 minute 30 seconds", 90.0),
        ("Try again in 2 hours", 7200.0),
        ("Try again in 500 milliseconds", 0.5),
        ("please try again in a moment", None),
        ("HTTP 429 too many requests", None),
    ],
)
def test_the_wait_that_a_refusal_names_in_words_is_read(message, seconds):
    assert wait_named(message) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        ("on requests per min (RPM): Limit 60, Used 60, Requested 1. Please try again in 31.852s.", 60.0),
        ("your organization's rate limit of 1,050 requests per minute", 1050.0),
        ("a Trial key, which is limited to 10 API calls / minute", 10.0),
        ("The maximum rate limit is 60 queries per minute", 60.0),
        ("Model rate limit exceeded. RPM limit=12, current usage=13", 12.0),
        ("on tokens per min (TPM): Limit 30000, Used 29000, Requested 1500.", None),
        ("the rate limit of 30,000 input tokens per minute", None),
        ("Number of requests has exceeded your per-minute rate limit", None),
        ("requests per day (RPD): Limit 200, Used 200", None),
        ("HTTP 429 too many requests", None),
    ],
)
def test_the_limit_that_a_refusal_names_in_words_is_read(message, limit):
    assert limit_named(message) == limit


@pytest.mark.parametrize(
    ("declared", "messages", "marked"),
    [
        (None, ["requests per min (RPM): Limit 60, Used 60"], ["60/min as refusals say"]),
        (50.0, ["requests per min (RPM): Limit 60, Used 60"], ["50/min as the scenario declares"]),
        (None, ["requests per min (RPM): Limit 60", "requests per min (RPM): Limit 90"], []),
        (None, ["too many requests"], []),
    ],
)
def test_a_limit_that_only_refusals_name_is_a_line_of_the_chart(tmp_path, declared, messages, marked):
    records = [answer(0, 2.0), *(refusal(n + 1, 3.0 + n, message) for n, message in enumerate(messages))]
    chart = admitted_chart(open_run(write_run(tmp_path, records)), {"m": declared})
    assert [mark.text for mark in chart.marks] == marked


def test_nothing_is_said_where_nothing_was_refused_and_nothing_stated(tmp_path):
    assert limits_of(tmp_path, answer(0, 2.0), failed(1, "server_error", status=500))[0] == []


def test_refusals_are_counted_by_cause_and_apart_from_overload_and_quota(tmp_path):
    [found], _ = limits_of(
        tmp_path,
        answer(0, 2.0),
        refusal(1, 2.1, "HTTP 429 rate_limit_exceeded requests: on requests per min (RPM): Used 60"),
        refusal(2, 2.2, "HTTP 429 rate_limit_exceeded requests: on requests per min (RPM): Used 61"),
        refusal(3, 2.3, "HTTP 429 TOKEN_LIMIT_EXCEEDED: tokens"),
        refusal(4, 2.4),
        failed(5, "overloaded", status=529, sent=2.5, done=2.6),
        failed(6, "quota", status=429, sent=2.5, done=2.6),
        failed(7, "server_error", status=500, sent=2.5, done=2.6),
    )
    assert found.refused == {"requests": 2, "tokens": 1, "unknown": 1, "quota": 1, "overload": 1}
    assert (found.attempts, found.admitted, found.refused_last) == (8, 1, 6)
    assert found.refused_s == pytest.approx(4 * 0.01 + 2 * 0.1)


def test_a_counter_at_zero_tells_the_cause_of_a_refusal_without_words(tmp_path):
    [found], _ = limits_of(
        tmp_path,
        refusal(0, 2.0, limits={"requests.remaining": 0.0, "tokens.remaining": 500.0}),
        refusal(1, 2.1, limits={"requests.remaining": 3.0, "tokens.remaining": 0.0}),
        refusal(2, 2.2, limits={"requests.remaining": 0.0, "tokens.remaining": 0.0}),
    )
    assert found.refused == {"requests": 1, "tokens": 1, "unknown": 1}


def test_earlier_attempts_too_are_told_apart_by_the_counters_beside_them(tmp_path):
    def tried(*spent, style="openai"):
        return Attempt(2.0, 2.1, 429, "throttled", 1.0, 1.0, error="HTTP 429", spent=list(spent), limit_style=style)

    tries = [
        tried("requests"),
        tried("tokens"),
        tried("requests", "tokens"),
        tried(),
        tried("requests", style="ietf_old"),
    ]
    [found], _ = limits_of(tmp_path, answer(0, 9.0, attempts=6, earlier=tries))
    assert found.refused == {"requests": 1, "tokens": 1, "unknown": 3}


def test_users_wait_no_more_than_all_of_their_time(tmp_path):
    """The stage ends at 11.5 s, and a request is still tried again in the drain."""
    tries = [Attempt(2.0, 2.5, 429, "throttled", 18.0, 18.0)]
    [found], _ = limits_of(tmp_path, *(answer(n, 20.5, user=n, attempts=2, earlier=tries) for n in range(2)))
    assert found.waited_s == pytest.approx(36.0)
    assert found.waited_share == pytest.approx(2 * 9.0 / (2 * 10.0))


def test_earlier_attempts_count_among_the_refused_and_the_waits(tmp_path):
    tries = [
        Attempt(2.0, 2.1, 429, "throttled", 1.0, 1.0, error="HTTP 429 TOKEN_LIMIT_EXCEEDED"),
        Attempt(3.1, 3.2, 503, "overloaded", None, 0.5),
    ]
    [found], _ = limits_of(tmp_path, answer(0, 3.7, attempts=3, earlier=tries), answer(1, 5.0, held_back=0.25))
    assert found.refused == {"tokens": 1, "overload": 1}
    assert (found.attempts, found.admitted, found.refused_last) == (4, 2, 0)
    assert found.waited_s == pytest.approx(1.75)
    assert found.waited_share == pytest.approx(1.75 / (2 * 10.0))
    assert found.refused_s == pytest.approx(0.2)
    assert (found.on_time, found.on_time_admitted) == (1, 0)


def test_an_error_inside_a_success_that_speaks_of_a_limit_is_a_refusal(tmp_path):
    inside = "an error object inside HTTP 200: rate_limit_error: Rate limit reached on tokens per min (TPM)"
    tries = [Attempt(3.0, 3.1, 200, "stream_error", None, 0.4, error=inside)]
    [found], _ = limits_of(
        tmp_path,
        failed(0, "stream_error", sent=2.0, done=2.1, status=200, error=inside),
        answer(1, 3.5, attempts=2, earlier=tries),
        failed(2, "stream_error", sent=4.0, done=4.1, status=200, error="an error object inside HTTP 200: broken"),
    )
    assert found.refused == {"tokens": 2}
    assert (found.attempts, found.admitted) == (4, 2)


@pytest.mark.parametrize(
    ("outcome", "error", "refused"),
    [
        ("auth", "HTTP 403: You have exceeded a secondary rate limit", {"unknown": 1}),
        ("invalid", "HTTP 400 RATE_LIMIT: too many requests per minute", {"requests": 1}),
        ("stream_error", "an error object inside HTTP 200: code 429", {"unknown": 1}),
        ("auth", "HTTP 403: no such key", None),
        ("invalid", "HTTP 400: 429 tokens are more than the context size", None),
        ("server_error", "HTTP 500: Rate limiter is down", None),
    ],
)
def test_a_refusal_with_another_status_is_told_by_its_words(tmp_path, outcome, error, refused):
    status = {"auth": 403, "invalid": 400, "server_error": 500}.get(outcome, 200)
    found, _ = limits_of(tmp_path, failed(0, outcome, sent=2.0, done=2.1, status=status, error=error), answer(1, 3.0))
    assert [one.refused for one in found] == ([refused] if refused else [])


def test_headers_that_do_not_say_what_they_count_do_not_say_which_limit_refused(tmp_path):
    counters = {"limits": {"requests.remaining": 0.0}}
    named, unnamed = (
        refusal(0, 2.0, **counters, limit_style="openai"),
        refusal(1, 2.1, **counters, limit_style="ietf_old"),
    )
    [found], _ = limits_of(tmp_path, named, unnamed)
    assert found.refused == {"requests": 1, "unknown": 1}


def test_a_wait_that_the_end_of_the_stage_cut_short_counts(tmp_path):
    [found], _ = limits_of(
        tmp_path,
        answer(0, 2.0),
        refusal(1, 4.0, retry_after=3600.0),  # waits until the stage is over at 11.5 s
        refusal(2, 5.0, user=1, retry_after=2.0),
        answer(3, 6.0, user=2, attempts=2, earlier=[Attempt(5.0, 5.1, 429, "throttled", 0.5, 0.5)]),
    )
    assert found.waited_s == pytest.approx((11.5 - 4.01) + 2.0 + 0.5)


def test_who_comes_back_when_retry_after_is_over_is_admitted_or_not(tmp_path):
    [found], _ = limits_of(
        tmp_path,
        refusal(0, 2.0, retry_after=1.0),
        answer(1, 3.02, held_back=1.01),
        refusal(2, 4.0, retry_after=1.0),
        refusal(3, 5.02, held_back=1.01, retry_after=1.0),
        answer(4, 5.5, held_back=0.4),
        user_two := answer(5, 3.0, user=1),
    )
    assert user_two.user == 1
    assert (found.on_time, found.on_time_admitted) == (2, 1)


def test_the_rate_admitted_is_of_the_stage_and_of_its_fullest_minute(tmp_path):
    times = [2.0, 30.0, 61.9, 62.1, 100.0]
    steps = [{"name": "measure", "began": 0.0, "ended": 120.0, "planned": 5, "sent": 5, "users": 2.0}]
    load = {"users": 2, "duration": 120.0}
    answers = [answer(n, at, limits={"requests.limit": 60.0}) for n, at in enumerate(times)]
    [found], _ = limits_of(tmp_path, *answers, scenario={"load": load}, steps=steps, end={"duration_s": 121.0})
    assert found.admitted_per_min == pytest.approx(2.5)
    assert found.most_per_min == 3
    assert found.most_tokens_per_min == 3 * 105


def test_a_stage_shorter_than_a_minute_has_no_figure_per_minute(tmp_path):
    run = open_run(write_run(tmp_path, [answer(n, 2.0 + n, limits={"requests.limit": 60.0}) for n in range(5)]))
    [found] = run.summary.rate_limits
    assert (found.admitted_per_min, found.tokens_per_min, found.most_per_min) == (None, None, 5)
    [section] = [one for one in findings(run).sections if one.name == "limits"]
    assert "/min" not in [column.unit for column in section.of(Table)[0].columns]


def test_the_most_within_a_stretch_is_that_of_any_stretch():
    rng = np.random.default_rng(1)
    times, amounts = np.sort(rng.uniform(0, 300, 200)), rng.integers(1, 9, 200).astype(float)
    slow = max(amounts[(times > at - 60) & (times <= at)].sum() for at in times)
    assert most_within(times, amounts) == slow


def test_what_headers_state_is_kept_for_each_counter(tmp_path):
    stated = [
        {"requests.limit": 60.0, "requests.remaining": 60.0 - n, "requests.reset_s": n * 1.0} for n in range(1, 6)
    ]
    [found], doubts = limits_of(
        tmp_path, *(answer(n, 2.0 + n, limits=one) for n, one in enumerate(stated)), answer(9, 8.0)
    )
    [counter] = found.stated
    assert (counter.counter, counter.answers, counter.limit, counter.limits) == ("requests", 5, 60.0, [60.0])
    assert (counter.lowest_remaining, counter.longest_reset_s, counter.fell) == (55.0, 5.0, 4.0)
    assert not any("headers" in doubt for doubt in doubts)


def test_a_counter_that_is_given_back_falls_again():
    assert fall(np.array([1.0, 2.0, 3.0, 4.0]), np.array([5.0, 3.0, 9.0, 8.0])) == 3.0
    assert fall(np.array([1.3, 1.2, 1.1, 2.0]), np.array([7.0, 9.0, 8.0, 6.0])) == 3.0  # of one second, in any order
    assert fall(np.array([]), np.array([])) == 0.0


@pytest.mark.parametrize(("stated", "words"), [
    (lambda n: {"requests.limit": 60.0, "requests.remaining": 60.0}, "so that counter counts nothing"),
    (lambda n: {"requests.limit": 600.0, "requests.remaining": 600.0 - 4 * n}, "somebody else uses the same limit"),
    (lambda n: {"requests.limit": 60.0 + n % 2, "requests.remaining": 60.0 - n}, "different limits of requests of m"),
])  # fmt: skip
def test_counters_that_do_not_fall_in_step_are_a_doubt(tmp_path, stated, words):
    _, doubts = limits_of(tmp_path, *(answer(n, 2.0 + 0.2 * n, limits=stated(n)) for n in range(30)))
    assert [words in doubt for doubt in doubts if "headers" in doubt] == [True]


def test_refusals_with_something_left_are_a_doubt(tmp_path):
    left = {"requests.limit": 60.0, "requests.remaining": 6.0}
    refused = [refusal(n, 2.0 + n, "HTTP 429: on requests per min (RPM)", limits=left) for n in range(3)]
    _, doubts = limits_of(tmp_path, *refused)
    assert any("3 requests were refused by m while headers said that requests were left" in doubt for doubt in doubts)


def test_each_stage_and_model_has_figures_of_its_own(tmp_path):
    steps = [
        {"name": name, "began": began, "ended": began + 5.0, "rate": 1.0, "arrivals": "poisson"}
        for name, began in (("raw", 0.0), ("polite", 5.0))
    ]
    found, _ = limits_of(
        tmp_path,
        refusal(0, 2.0, stage="raw"),
        answer(0, 7.0, stage="polite"),
        answer(1, 8.0, stage="polite", model="n"),
        scenario={"models": ["m", "n"], "load": {"rate": 1.0, "duration": 5.0}},
        steps=steps,
    )
    assert [(one.stage, one.model, one.admitted, one.refused) for one in found] == [
        ("raw", "m", 0, {"unknown": 1}), ("polite", "m", 1, {}), ("polite", "n", 1, {}),
    ]  # fmt: skip
    assert {one.waited_share for one in found} == {None}


def test_the_report_tells_what_was_refused_and_draws_it_against_the_limit(tmp_path):
    stated = [{"requests.limit": 60.0, "requests.remaining": 60.0 - n} for n in range(20)]
    answers = [answer(n, 2.0 + 0.2 * n, limits=one, held_back=0.5 * (n == 7)) for n, one in enumerate(stated)]
    refused = [refusal(30 + n, 2.1 + 0.2 * n, "HTTP 429: on requests per min (RPM)") for n in range(5)]
    run = open_run(write_run(tmp_path, [*answers, *refused], scenario={"limits": {"rpm": 30}}))
    [section] = [one for one in findings(run).sections if one.name == "limits"]
    said = [one.text for one in section.of(Sentence)]
    assert (
        said[0]
        == "m: 5 of 25 attempts were refused, all by the request limit (none tried again); 20 admitted, at most 20 in a minute."
    )
    assert said[1] == "m: users waited 0.5 s in all because they had been refused, 2.5 % of their time under load."
    admitted, remaining = section.of(Chart)
    assert [mark.text for mark in admitted.marks] == ["30/min as the scenario declares"]
    assert [float(series.y.max()) for series in admitted.series] == [20.0, 5.0]
    assert float(remaining.series[0].y.min()) == pytest.approx(41 / 60 * 100)


def test_refused_attempts_are_told_by_limit_and_by_whether_they_were_tried_again(tmp_path):
    tries = [Attempt(2.0, 2.1, 429, "throttled", 1.0, 1.0, error="HTTP 429 TOKEN_LIMIT_EXCEEDED")]
    many = [refusal(n, 3.1 + n, "HTTP 429 RATE_LIMIT_EXCEEDED", attempts=2, earlier=tries) for n in range(2)]
    run = open_run(write_run(tmp_path, [*many, answer(2, 5.0)]))
    [section] = [one for one in findings(run).sections if one.name == "limits"]
    told = "4 of 5 attempts were refused, 2 by the request limit, 2 by the token limit (2 tried again, 2 not)"
    assert section.of(Sentence)[0].text == f"m: {told}; 1 admitted, at most 1 in a minute."
    [table] = section.of(Table)
    assert [column.unit for column in table.columns if column.title == "refused"] == [
        "by the request limit", "by the token limit",
    ]  # fmt: skip
    assert table.note == "Attempts are all that were sent: a request that was tried again counts each time."


@pytest.mark.parametrize(
    ("refused", "end", "note"),
    [(12, 1.12 * 12, None), (60, 1.25 * 10, "Refusals go up to 60 in 60 s, beyond the axis")],
)
def test_refusals_leave_the_chart_only_where_they_are_many_times_the_limit(tmp_path, refused, end, note):
    many = [refusal(n, 2.0 + 0.1 * n, "HTTP 429: on requests per min (RPM)") for n in range(refused)]
    run = open_run(write_run(tmp_path, [*many, answer(90, 3.0)], scenario={"limits": {"rpm": 10}}))
    [section] = [one for one in findings(run).sections if one.name == "limits"]
    [chart] = section.of(Chart)
    assert (chart.y.end, chart.note) == (pytest.approx(end), note)


def test_raw_and_polite_clients_stand_side_by_side(tmp_path):
    steps = [
        {"name": name, "began": began, "ended": began + 5.0, "rate": 1.0, "arrivals": "poisson"}
        for name, began in (("raw", 0.0), ("polite", 5.0))
    ]
    tries = [Attempt(7.0, 7.1, 429, "throttled", 1.0, 1.0)]
    records = [
        answer(0, 2.0, stage="raw"), refusal(1, 2.1, stage="raw"),
        answer(0, 6.0, stage="polite"), answer(1, 8.1, stage="polite", attempts=2, earlier=tries),
    ]  # fmt: skip
    run = open_run(write_run(tmp_path, records, scenario={"load": {"rate": 1.0, "duration": 5.0}}, steps=steps))
    [section] = [one for one in findings(run).sections if one.name == "limits"]
    [table] = [one for one in section.of(Table) if one.name == "clients"]
    rows = [[cell.value for cell in row.cells[2:7]] for row in table.rows]
    assert rows[0] == [0.5, None, 1.0, 0.0, pytest.approx(0.2)]
    assert rows[1] == [1.0, None, 1.5, 0.5, pytest.approx(0.7)]


def test_a_run_without_limits_says_nothing_of_them(tmp_path):
    run = open_run(write_run(tmp_path, [answer(0, 2.0)]))
    assert "limits" not in [one.name for one in findings(run).sections]
