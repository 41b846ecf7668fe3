"""Each limiter against an independent statement of what it is, which looks at the whole history every time."""

from __future__ import annotations

import math
import random

import pytest

from bench.simulator.limiters import (
    Concurrency,
    FixedWindow,
    FixedWindowFromFirst,
    SlidingCounter,
    SlidingLog,
    SlidingLogCountingRejects,
    TokenBucket,
    smoothed,
)

History = list[tuple[float, float, bool]]  # moment, cost, admitted


def told(limiter, times, cost=1.0):
    """Whom it admits, as a word of y and n."""
    return "".join("y" if limiter.admit(at, cost).admitted else "n" for at in times)


def by_clock(history: History, now: float, limit: float, window: float) -> float:
    return limit - sum(cost for at, cost, let_in in history if let_in and at // window == now // window)


def from_first(history: History, now: float, limit: float, window: float) -> float:
    began, used = -math.inf, 0.0
    for at, cost, let_in in history:
        if let_in:
            began, used = (at, cost) if at >= began + window else (began, used + cost)
    return limit - (used if now < began + window else 0.0)


def log(history: History, now: float, limit: float, window: float) -> float:
    return limit - sum(cost for at, cost, let_in in history if let_in and now < at + window)


def log_of_all(history: History, now: float, limit: float, window: float) -> float:
    return limit - sum(cost for at, cost, _ in history if now < at + window)


def counter(history: History, now: float, limit: float, window: float) -> float:
    this = sum(cost for at, cost, let_in in history if let_in and at // window == now // window)
    last = sum(cost for at, cost, let_in in history if let_in and at // window == now // window - 1)
    return limit - this - last * (1 - (now % window) / window)


def bucket(history: History, now: float, burst: float, rate: float) -> float:
    level, at = burst, -math.inf
    for moment, cost, let_in in history:
        if let_in:
            level, at = min(burst, level + (moment - at) * rate) - cost, moment
    return min(burst, level + (now - at) * rate)


CASES = {
    "fixed_window": (FixedWindow, by_clock),
    "fixed_window_from_first": (FixedWindowFromFirst, from_first),
    "sliding_log": (SlidingLog, log),
    "sliding_log_counting_rejects": (SlidingLogCountingRejects, log_of_all),
    "sliding_counter": (SlidingCounter, counter),
    "token_bucket": (TokenBucket, bucket),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_limiter_admits_whom_its_definition_admits(kind):
    made, left = CASES[kind]
    for seed in range(60):
        rng = random.Random(f"{kind} {seed}")
        limit, second = rng.randint(1, 12), rng.choice([1.0, 2.5, 10.0])
        second = rng.uniform(0.3, 8) if kind == "token_bucket" else second
        limiter, history, now = made(limit, second), [], rng.uniform(0, 100)
        for _ in range(120):
            now += rng.expovariate(1) * rng.choice([0.01, 0.3, 2.0])
            cost = rng.choice([1, 1, 1, 2, 3])
            room = left(history, now, limit, second)
            decision = limiter.admit(now, cost)
            assert decision.admitted == (cost <= room + 1e-6)
            history.append((now, cost, decision.admitted))
            assert decision.left == pytest.approx(max(0.0, left(history, now, limit, second)), abs=1e-6)


@pytest.mark.parametrize("kind", CASES)
def test_after_retry_after_there_is_room_and_not_before(kind):
    made, _ = CASES[kind]
    refused = 0
    for seed in range(60):
        rng = random.Random(f"{kind} {seed}")
        limit = rng.randint(1, 12)
        limiter, now = made(limit, rng.choice([1.0, 2.5, 10.0])), rng.uniform(0, 100)
        for _ in range(60):
            now += rng.expovariate(3)
            cost = rng.choice([1, 1, 2, limit])
            decision = limiter.admit(now, cost)
            if decision.admitted:
                assert decision.retry_after_s == 0.0
            elif math.isfinite(decision.retry_after_s):
                refused += 1
                assert decision.retry_after_s > 0.0
                assert not limiter.has_room(now + decision.retry_after_s * 0.999 - 1e-6, cost)
                assert limiter.has_room(now + decision.retry_after_s + 1e-6, cost)
                now += decision.retry_after_s  # what was looked at is past
    assert refused > 100


@pytest.mark.parametrize("kind", CASES)
def test_at_its_reset_everything_is_left_and_not_before(kind):
    made, _ = CASES[kind]
    for seed in range(60):
        rng = random.Random(f"{kind} {seed}")
        limit, now = rng.randint(1, 12), rng.uniform(0, 100)
        limiter = made(limit, rng.choice([1.0, 2.5, 10.0]))
        for _ in range(rng.randint(1, 30)):
            now += rng.expovariate(3)
            decision = limiter.admit(now, 1)
        assert limiter.left(now + decision.reset_s * 0.999 - 1e-6) < limit
        assert limiter.left(now + decision.reset_s + 1e-6) == pytest.approx(limit)


def test_a_window_by_the_clock_begins_at_its_multiples():
    assert told(FixedWindow(2, 10.0), [9.0, 9.1, 9.2, 10.0, 10.1, 10.2, 20.0]) == "yynyyny"


def test_a_window_from_the_first_request_begins_with_it():
    assert told(FixedWindowFromFirst(2, 10.0), [9.0, 10.0, 18.9, 19.0, 28.9, 29.0]) == "yynyyy"


def test_a_log_never_admits_more_than_the_limit_in_any_window():
    assert told(SlidingLog(2, 10.0), [0.0, 9.0, 9.9, 10.0, 18.9, 19.0]) == "yynyny"


def test_whoever_goes_on_asking_is_kept_out_where_rejects_count():
    impatient = [0.5 * number for number in range(100)]
    assert told(SlidingLogCountingRejects(2, 10.0), impatient) == "yy" + "n" * 98
    assert told(SlidingLog(2, 10.0), impatient) == ("yy" + "n" * 18) * 5


def test_a_counter_lets_the_last_window_fade():
    assert told(SlidingCounter(4, 10.0), [9.0, 9.0, 9.0, 9.0, 10.0, 12.4, 12.6, 14.9, 15.1]) == "yyyynnyny"


def test_a_bucket_gives_its_burst_and_then_its_rate():
    assert told(TokenBucket(3, 2.0), [0.0, 0.0, 0.0, 0.0, 0.4, 0.5, 0.6, 1.0, 9.0, 9.0, 9.0, 9.0]) == "yyynnynyyyyn"


def test_a_cost_above_the_limit_is_never_admitted():
    for made, _ in CASES.values():
        assert made(5, 10.0).admit(0.0, 6).retry_after_s == math.inf


def test_smoothing_keeps_the_rate_in_every_step():
    per_second = smoothed(600, 60.0, 1.0)
    assert (per_second.limit, per_second.window) == (10, 1.0)
    slow = smoothed(30, 60.0, 1.0)
    assert (slow.limit, slow.window) == (1, 2.0)
    assert told(slow, [0.0, 1.0, 2.0, 2.1]) == "ynyn"


def test_concurrency_counts_what_is_under_way():
    limiter = Concurrency(2)
    assert told(limiter, [0.0, 0.0]) == "yy"
    refused = limiter.admit(5.0)
    assert (refused.admitted, refused.left, refused.retry_after_s, refused.reset_s) == (False, 0.0, None, None)
    limiter.release(6.0, 1.0)
    assert limiter.admit(6.0).admitted


def test_looking_changes_nothing():
    for made, _ in CASES.values():
        limiter = made(1, 10.0)
        assert limiter.has_room(0.0)
        assert limiter.has_room(0.0)
        assert limiter.admit(0.0).admitted
        assert not limiter.has_room(0.0)
