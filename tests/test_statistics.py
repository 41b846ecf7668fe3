"""Paired comparisons: known answers, and what must hold whatever the values are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.gate import decided, effect_of, judge, kept, looks, only_by_failures, overall
from bench.analysis.statistics import (
    centre,
    coin_tail,
    holm,
    quantile,
    rank,
    share_difference,
    share_effect,
    student_quantile,
    student_tail,
    tail_asymmetry,
    unequal_shares,
)
from bench.plan.gate import parse_gate
from bench.plan.thresholds import parse_threshold


def pairs(n: int, *, slower: float = 1.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Two arms whose prompts make most of the difference, the second of them slower."""
    rng = np.random.default_rng(seed)
    base = rng.normal(-1.0, 0.3, n)
    return np.exp(base + rng.normal(0, 0.1, n)), slower * np.exp(base + rng.normal(0, 0.1, n))


def test_a_coins_tail_is_the_binomial_one():
    assert coin_tail(8, 10) == pytest.approx(56 / 1024)
    assert coin_tail(0, 10) == 1.0


@pytest.mark.parametrize(
    ("q", "n", "place"),
    [(0.5, 4, 1), (0.5, 5, 2), (0.95, 20, 18), (0.95, 21, 19), (0.0, 7, 0), (1.0, 7, 6), (0.07, 100, 6), (0.99, 1, 0)],
)
def test_the_place_of_a_quantile_is_that_of_a_measured_value(q, n, place):
    """0.07 · 100 is 7.000000000000001 as floats are multiplied, and means the seventh value."""
    assert rank(q, n) == place


@pytest.mark.parametrize(("freedom", "z"), [(4, 2.776445), (12, 2.178813), (math.inf, 1.959964)])
def test_students_t_of_infinite_freedom_is_the_normal_distribution(freedom, z):
    """The values of any table of the t distribution."""
    assert student_quantile(0.975, freedom) == pytest.approx(z, abs=1e-6)
    assert student_tail(z, freedom) == pytest.approx(0.025, abs=1e-7)
    assert student_tail(-z, freedom) == pytest.approx(0.975, abs=1e-7)


def test_fishers_lady_tasting_tea():
    """All of four cups right: 1 of 70 ways, and as many for all wrong (Fisher 1935)."""
    assert unequal_shares(4, 4, 0, 4) == pytest.approx(2 / 70)


def test_holm_refuses_the_smallest_first_and_stops_at_the_first_that_stays():
    assert holm([0.01, 0.04, 0.03, 0.005], 0.05) == [True, False, False, True]
    assert holm([0.2, 0.001], 0.05) == [False, True]


def test_mcnemars_test_is_that_of_the_discordant_pairs():
    from scipy import stats  # here: it takes half a second, and every process of pytest imports every module

    bad_a, bad_b = np.array([1, 0, 0, 0, 0, 0, 0, 0], bool), np.array([0, 1, 1, 1, 1, 1, 0, 0], bool)
    larger, _ = share_difference(bad_a, bad_b, margin=0.01)
    assert larger == pytest.approx(stats.binomtest(5, 6, 0.5, alternative="greater").pvalue)


def test_a_shares_interval_ends_where_the_score_test_no_longer_refuses():
    bad_a, bad_b = np.zeros(200, bool), np.zeros(200, bool)
    bad_a[:4], bad_b[2:12] = True, True
    effect = share_effect(bad_a, bad_b, margin=0.1)
    assert effect.ratio == pytest.approx(6 / 200)
    assert share_difference(bad_a, bad_b, margin=effect.high)[1] == pytest.approx(0.025, abs=1e-6)
    assert share_difference(bad_b, bad_a, margin=-effect.low)[1] == pytest.approx(0.025, abs=1e-6)


@pytest.mark.parametrize("slower", [0.9, 1.0, 1.05, 1.5])
def test_the_typical_ratio_and_the_median_lie_in_their_intervals(slower):
    a, b = pairs(2000, slower=slower)
    for effect in (centre(a, b, margin=0.05), quantile(a, b, 0.5, margin=0.05)):
        assert effect.low < effect.ratio < effect.high
        assert effect.low < slower < effect.high
        assert effect.smallest < 1.05


def test_what_is_the_same_is_neither_slower_nor_faster():
    a, _ = pairs(500)
    effect = centre(a, a, margin=0.05)
    assert effect.ratio == pytest.approx(1.0)
    assert effect.larger > 0.4
    assert quantile(a, a, 0.9, margin=0.05).larger == pytest.approx(0.5), "as likely as not"


def test_a_slow_end_of_failures_alone_is_counted():
    from scipy import stats  # here: it takes half a second, and every process of pytest imports every module

    """Of twenty requests 11 and 18 fail: of all beyond the p50 there is nothing left but to count them."""
    good = np.linspace(0.1, 0.2, 20)
    a, b = np.where(np.arange(20) < 11, np.inf, good), np.where(np.arange(20) < 18, np.inf, good)
    effect = quantile(a, b, 0.9, margin=0.05)
    assert effect.ratio is None
    assert effect.larger == pytest.approx(stats.norm.sf(7 / math.sqrt(7)))


def test_a_higher_p99_is_found_by_the_whole_of_the_slow_end():
    found = sum(quantile(*pairs(2000, slower=1.3, seed=seed), 0.99, margin=0.3).larger <= 0.05 for seed in range(20))
    assert found >= 19


def test_failures_are_the_slowest_of_all_and_are_not_dropped():
    a, b = pairs(400)
    worse = b.copy()
    worse[:60] = math.inf
    assert centre(a, worse, margin=0.05).larger < 1e-3 < centre(a, b, margin=0.05).larger
    assert quantile(a, worse, 0.9, margin=0.05).candidate is None, "its p90 is a failure"
    assert quantile(a, worse, 0.9, margin=0.05).ratio is None


@pytest.mark.parametrize("failing", [0.1, 0.3, 0.4])
def test_failures_do_not_outweigh_what_answers_show(failing):
    """A candidate that is 10 % slower, and of which some requests fail, is not a thousand times as slow."""
    a, b = pairs(400, slower=1.1)
    b[: int(400 * failing)] = math.inf
    effect = centre(a, b, margin=0.05)
    assert 1.05 < effect.low < effect.ratio < effect.high < 2.5
    mirrored = centre(b, a, margin=0.05)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 / effect.high, 1 / effect.low), rel=1e-6)


def test_only_failures_of_the_arm_that_looks_slower_are_counted():
    random = np.random.default_rng(3)
    a, b = np.exp(0.2 * random.normal(size=(2, 400)))
    a[5:20], b[:10], b[20:80] = np.inf, np.inf, np.inf
    both = np.isfinite(a) & np.isfinite(b)
    [line] = parse_gate({"ttft p50": "5%"})
    [found] = judge([line], {line: (a, b)}, 0.05)
    assert found.effect.low > 1.0
    assert only_by_failures(found, (a, b), (a[both], b[both])) == 65, "of 70, since with 5 both of the pair failed"
    [turned] = judge([line], {line: (b, a)}, 0.05)
    assert only_by_failures(turned, (b, a), (b[both], a[both])) == 65


@pytest.mark.parametrize(("slower", "failing", "only"), [(1.0, 60, 60), (1.5, 60, 0), (1.0, 0, 0), (0.5, 60, 0)])
def test_a_difference_that_only_failures_make_is_known_from_one_that_answers_show(slower, failing, only):
    """Answers of both arms are equally fast, or the candidate's are slower or faster."""
    random = np.random.default_rng(3)
    a, b = np.exp(0.2 * random.normal(size=(2, 400)))
    b *= slower
    b[:failing] = np.inf
    [line] = parse_gate({"ttft p50": "5%"})
    [found] = judge([line], {line: (a, b)}, 0.05)
    assert (found.effect.low > 1.0) == (slower > 1.0 or bool(only))
    assert only_by_failures(found, (a, b), (a[failing:], b[failing:])) == only


def test_an_end_that_nothing_bounds_is_infinite():
    a, b = pairs(24, slower=1.1)
    b[:10] = math.inf
    slower, faster = centre(a, b, margin=0.05), centre(b, a, margin=0.05)
    assert 1.0 < slower.low < slower.ratio < 3.0
    assert (slower.high, slower.smallest) == (math.inf, None)
    assert (faster.low, faster.smallest) == (0.0, None)


@pytest.mark.parametrize("failing", [20, 12, 11])
def test_where_most_of_one_arm_fails_it_is_the_slower_one_and_the_other_is_not(failing):
    good = np.linspace(0.1, 0.2, 20)
    bad = np.where(np.arange(20) < failing, np.inf, good)
    assert centre(good, bad, margin=0.05).larger < 0.01
    other = centre(bad, good, margin=0.05)
    assert other.larger > 0.99
    assert other.within < 0.01
    assert other.ratio is None


@pytest.mark.parametrize("statistic", ["p50", "mean", "p95", "tail"])
def test_pairs_of_which_both_failed_show_nothing(statistic):
    [line] = parse_gate({f"ttft {statistic}": "5%"})
    nothing = np.full(500, np.inf)
    assert overall(judge([line], {line: (nothing, nothing)}, 0.025)) == "inconclusive"
    a, b = pairs(100)
    more = [np.concatenate([arm, nothing]) for arm in (a, b)]
    one, other = effect_of(line, (a, b)), effect_of(line, (more[0], more[1]))
    assert statistic == "p95" or (one.larger, one.within) == (other.larger, other.within)


def test_rare_slow_requests_are_found_where_a_median_sees_nothing():
    a, b = pairs(3000)
    b = np.where(np.random.default_rng(2).random(3000) < 0.03, 2 * b, b)
    assert tail_asymmetry(a, b)[0] < 1e-6
    assert tail_asymmetry(b, a)[0] > 0.99


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.floats(0.5, 2.0))
def test_swapping_the_arms_turns_the_ratio_over(seed, n, slower):
    a, b = pairs(n, slower=slower, seed=seed)
    one, other = centre(a, b, margin=0.05), centre(b, a, margin=0.05)
    if n:
        assert one.ratio == pytest.approx(1 / other.ratio, rel=1e-6)
        assert one.low == pytest.approx(1 / other.high, rel=1e-6)
    else:
        assert one.ratio is None


# -- the gate -----------------------------------------------------------------------------------------------

GATE = {"ttft p50": "5%", "ttft p95": "20%", "error_rate": "2%"}


def judged(slower: float, *, n: int = 1500, failing: float = 0.0):
    a, b = pairs(n, slower=slower)
    b = np.where(np.random.default_rng(3).random(n) < failing, np.inf, b)
    lines = parse_gate(GATE)
    samples = {line: (a, b) if line.metric == "ttft" else (np.isinf(a) * 1.0, np.isinf(b) * 1.0) for line in lines}
    return judge(lines, samples, 0.025)


@pytest.mark.parametrize(
    ("slower", "failing", "expected"),
    [(1.0, 0.0, "pass"), (0.8, 0.0, "pass"), (1.1, 0.0, "fail"), (1.0, 0.1, "fail")],
)
def test_a_gates_verdict(slower, failing, expected):
    found = judged(slower, failing=failing)
    assert overall(found) == expected
    assert decided(found)


def test_a_little_worse_is_no_failure_and_few_pairs_are_inconclusive():
    assert next(one.verdict for one in judged(1.015)) in ("pass", "inconclusive")
    assert overall(judged(1.0, n=20)) == "inconclusive"
    assert not decided(judged(1.0, n=20))


def test_there_are_three_looks_and_they_share_five_percent():
    from scipy import stats

    shares = np.array([pairs for pairs, _ in looks(1000)]) / 1000
    assert list(shares) == [0.4, 0.7, 1.0]
    together = np.sqrt(np.minimum.outer(shares, shares) / np.maximum.outer(shares, shares))  # they share pairs
    bounds = stats.norm.isf([alpha for _, alpha in looks(1000)])
    right = [stats.multivariate_normal(cov=together[:n, :n]).cdf(bounds[:n]) for n in (1, 2, 3)]
    assert 1.0 - np.array(right) == pytest.approx([0.01, 0.025, 0.05], abs=2e-4)


def test_a_line_that_has_passed_stays_passed():
    [line] = parse_gate({"ttft p50": "5%"})
    same = np.linspace(1.0, 2.0, 400)
    early = judge([line], {line: (same, same * 1.0001)}, 0.01)
    later = judge([line], {line: (same, same * np.exp(np.resize([0.9, -0.82], 400)))}, 0.02)
    assert [one[0].verdict for one in (early, later)] == ["pass", "inconclusive"]
    assert [one.verdict for one in kept(later, early)] == ["pass"]
    assert [one.verdict for one in kept(early, later)] == ["pass"]


def test_rare_slow_requests_count_by_how_slow_they_are_and_failures_are_no_slow_requests():
    rng = np.random.default_rng(4)
    a, b = np.exp(rng.normal(0, 0.2, (2, 4000)))
    p, slow_a, slow_b = tail_asymmetry(a, np.where(rng.random(4000) < 0.03, 2 * b, b))
    assert p < 1e-4
    assert slow_b.sum() > 2 * slow_a.sum()
    assert tail_asymmetry(a, b)[0] > p
    failing = rng.random(4000) < 0.03
    counted = tail_asymmetry(a, np.where(failing, np.inf, b))
    assert len(counted[1]) == len(counted[2]) == 4000 - failing.sum()
    assert counted[0] == pytest.approx(tail_asymmetry(a, np.where(failing, a, b))[0], rel=0.2)


@pytest.mark.parametrize(
    ("key", "margin", "words"),
    [("tftt p50", "5%", "did you mean ttft?"), ("ttft", "5%", "one of mean, p50"), ("ttft p50", "no", "no' is not a number"),
     ("ttft p50", -1, "a share above 0"), ("error_rate p50", "5%", "error_rate alone"), ("ttft p50", "5ms", "a share above 0"),
     ("ttft p50", 5, "did you mean 5%?"), ("ttft p50", "2", "did you mean 2%?"), ("error_rate", "100%", "can never fail"),
     ("ttft tail", "150%", "can never fail"), ("ttft p50", "nan", "ttft p50: 'nan' is not a number")],
)  # fmt: skip
def test_a_line_that_is_none_is_told(key, margin, words):
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        parse_gate({key: margin})


def test_a_margin_may_be_more_than_the_figure_itself_and_is_written_as_it_is_read():
    [line] = parse_gate({"ttft p50": "250%"})
    assert parse_gate({line.title: line.allowed}) == (line,)
    assert line.margin == 2.5


def test_a_scope_may_have_brackets_in_its_name():
    [line] = parse_gate({"ttft[chat [long]] p50": "5%"}, runs=True)
    assert (line.scope, line.statistic) == (("chat [long]",), "p50")
    assert parse_threshold("ttft[chat [long]] p50 < 1s").scope == ("chat [long]",)
