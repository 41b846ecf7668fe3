"""Rate limits: what limiters would have counted, which one explains what was seen, and whether promises are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.experiments import KINDS, read_scenario
from bench.experiments.rate_limit.bases import explanations, rivals, samples, telling
from bench.experiments.rate_limit.candidates import judged, round_limit, round_rate, roundest
from bench.experiments.rate_limit.clauses import clauses_of
from bench.experiments.rate_limit.evidence import held_back, is_refused, trials_of
from bench.experiments.rate_limit.findings import headline
from bench.experiments.rate_limit.identify import Probing, identify
from bench.experiments.rate_limit.limits import limit_of
from bench.experiments.rate_limit.question import RateLimitScenario
from bench.experiments.rate_limit.replay import Trials, readings, rows, thresholds
from bench.experiments.rate_limit.requests import Costs, Requests, Size
from bench.experiments.rate_limit.steps import steps, suited
from bench.experiments.rate_limit.strangers import Answer, Rivalry, assumed
from bench.experiments.simulated_performer import SimulatedPerformer
from bench.plan import Mistakes, Planned, Wait
from bench.records import Record
from bench.simulator.limiters import SlidingLog, TokenBucket
from benchmarks.rate_limits import BREAKS, Provider, Truth, contract, identified, is_found, plain
from benchmarks.rate_limits import KINDS as LIMITERS
from tests.runs import failed, record


def seen(*moments: tuple[float, bool]) -> Trials:
    """Requests that cost one each: when, and whether admitted."""
    at = np.array([at for at, _ in moments])
    return Trials(at, at, np.array([admitted for _, admitted in moments]), np.ones(len(at)))


FOUR = seen((0.0, True), (1.0, True), (9.0, True), (11.0, True))
"""Four requests around the end of a window of ten seconds."""


@pytest.mark.parametrize(
    ("kind", "span", "used"),
    [
        ("fixed_window", 10.0, [1, 2, 3, 1]),
        ("fixed_window_from_first", 10.0, [1, 2, 3, 1]),
        ("sliding_log", 10.0, [1, 2, 3, 2]),  # the first two have left
        ("sliding_counter", 10.0, [1, 2, 3, 3.7]),  # three of the window before, of which 90 % still count, and this
        ("token_bucket", 0.5, [1, 1.5, 1, 1]),  # two seconds fill one
    ],
)
def test_a_meter_shows_what_a_limiter_of_its_kind_would_have_counted(kind: Any, span: float, used: list[float]) -> None:
    assert readings(rows(kind, span), FOUR).low[0] == pytest.approx(used)


def test_a_log_that_counts_refusals_counts_them() -> None:
    trials = seen((0.0, True), (1.0, False), (2.0, False))
    assert readings(rows("sliding_log_counting_rejects", 10.0), trials).low[0] == pytest.approx([1, 2, 3])
    assert readings(rows("sliding_log", 10.0), trials).low[0] == pytest.approx([1, 2, 2])


def test_costs_known_afterwards_count_once_the_answer_has_ended() -> None:
    at, cost = np.array([0.0, 1.0, 6.0]), np.array([7.0, 7.0, 7.0])
    trials = Trials(at, np.array([5.0, 5.5, 7.0]), np.ones(3, bool), cost, charged_after=True)
    assert readings(rows("sliding_log", 60.0), trials).low[0] == pytest.approx([1, 1, 15])


def test_a_busy_server_may_have_counted_whatever_ended_before_its_refusal() -> None:
    at, done, admitted = np.array([0.0, 0.1, 0.2]), np.array([1.0, 2.0, 3.0]), np.array([True, True, False])
    trials = Trials(at, done, admitted, np.full(3, 7.0), charged_after=True)
    found = readings(rows("sliding_log", 60.0), trials)
    assert found.low[0] == pytest.approx([1, 1, 1])
    assert found.high[0] == pytest.approx([1, 8, 15])  # the last one was refused after two answers had ended


def test_the_limit_lies_between_what_was_admitted_and_what_was_refused() -> None:
    trials = seen((0.0, True), (0.1, True), (0.2, True), (0.3, False), (10.5, True))
    found = thresholds(readings(rows("sliding_log", [10.0, 20.0]), trials), trials)
    assert found.mismatches.tolist() == [0, 1]  # with twenty seconds the last one would have been refused
    assert (found.low[0], found.high[0]) == (3, 4)


def test_a_refusal_with_much_room_left_speaks_louder_than_one_at_the_limit() -> None:
    full = [(0.01 * k, True) for k in range(5)] + [(0.06, False)]
    trials = seen(*full, (30.0, False), (59.0, False), (60.5, True))  # at 30 s windows of 20 s would be empty
    window = judged(rows("fixed_window_from_first", [60.0, 20.0, 30.02]), trials, 0.0)
    assert (window.unexplained.tolist(), window.far.tolist()) == ([0, 2, 1], [0, 2, 1])
    assert window.weight.tolist() == [0, 6, 3 + 2]  # 30.02 s is no round window

    one_over = seen(*full, (0.07, True))  # an answer may have overtaken another
    found = judged(rows("fixed_window_from_first", [60.0]), one_over, 0.0)
    assert (found.unexplained.tolist(), found.far.tolist()) == ([1], [0])


def test_a_round_window_is_said_if_it_fits() -> None:
    assert roundest((58.7, 61.0)) == 60.0
    assert roundest((7.05, 7.2)) == pytest.approx(7.1)
    assert roundest((2.937, 3.051)) == 3.0
    assert roundest((6.6512, 6.6513)) == pytest.approx(6.65125)


def queued(count: int, *, every: float, first: float = 0.01) -> list[Record]:
    """A burst whose answers come one by one, and then a refusal."""
    made = [record(n, sent=0.01 * n, done=first + every * n, headers_at=first + every * n) for n in range(count)]
    return [*made, failed(count, "throttled", sent=0.01 * count, done=0.01 * count + 0.001)]


def test_answers_that_come_one_by_one_at_a_steady_rate_are_held_back() -> None:
    assert held_back(trials_of(queued(11, every=0.2))) == pytest.approx(0.2)


def test_a_server_that_takes_as_long_for_the_first_answer_holds_nothing_back() -> None:
    assert held_back(trials_of(queued(11, every=0.2, first=0.2))) is None


def test_a_round_rate_is_said_if_it_fits() -> None:
    assert round_rate((4.97, 5.12)) == 5.0
    assert round_rate((4.76, 6.0)) == 5.0  # one of many, and the one that people write
    assert round_rate((0.98, 1.02)) == 1.0
    assert round_rate((4.50, 4.56)) == pytest.approx(4.53)


def test_a_round_limit_is_said_if_it_fits() -> None:
    assert round_limit((3898, 4050)) == 4000
    assert round_limit((3803, 4059)) == 4000
    assert round_limit((55, 60)) == 60
    assert round_limit((7040, 7400)) == 7200
    assert round_limit((7301, 7313)) == 7310
    assert round_limit((7, 7)) == 7


def test_answers_that_follow_each_other_within_milliseconds_are_not_held_back() -> None:
    burst = [replace(one, sent=0.0) for one in queued(11, every=0.002, first=0.0005)]
    assert held_back(trials_of(burst)) is None


def test_answers_at_the_pace_of_their_requests_are_not_held_back() -> None:
    assert held_back(trials_of(queued(11, every=0.01))) is None


class Shaping:
    """A limiter that lets requests out at a rate, makes so many wait, and refuses the others, as nginx does."""

    def __init__(self, rate: float, burst: int) -> None:
        self.bucket = TokenBucket(burst, rate)

    def __call__(self, planned: Planned, at: float) -> Record:
        decision = self.bucket.admit(at)
        if not decision.admitted:
            return failed(planned.seq, "throttled", sent=at, done=at + 0.001)
        waited = (self.bucket.limit - 1 - decision.left) / self.bucket.rate
        return record(planned.seq, sent=at, done=at + 0.002 + waited, headers_at=at + 0.002 + waited)


def test_a_limiter_that_makes_requests_wait_is_told_by_its_rate_and_its_burst() -> None:
    probing = Probing("requests", plain(), 500)
    SimulatedPerformer(Shaping(5.0, 11)).perform(identify(probing))
    limit, _ = limit_of("requests", "m", probing.records, None)
    assert (limit.kind, limit.limit, limit.sure) == ("token_bucket", 11, True), limit.says
    assert limit.rate_per_s == pytest.approx(5.0, rel=0.02)
    assert limit.held_s == pytest.approx(2.0, rel=0.1)


def test_a_server_that_refuses_nothing_and_makes_requests_wait_is_said_to() -> None:
    probing = Probing("requests", plain(), 60)
    SimulatedPerformer(Shaping(5.0, 1000)).perform(identify(probing))
    limit, _ = limit_of("requests", "m", probing.records, None)
    assert (limit.kind, limit.above, limit.refused) == (None, 60.0, 0)
    assert limit.says.endswith("but answers came one by one, 0.2 s apart: the server makes requests wait")


class Thoughtful(SimulatedPerformer):
    """One that needs longer between two steps than it is told to wait, as any real one does."""

    def _perform(self, step: Any) -> list[Record]:
        if isinstance(step, Wait):
            self.now += 0.3 + 0.2 * (len(self.steps) % 2)
        return super()._perform(step)


def test_a_bucket_of_one_that_fills_sooner_than_one_thinks_is_told_exactly() -> None:
    probing = Probing("requests", plain(), 500)
    Thoughtful(Provider(Truth("token_bucket", 1, 5.0, 0.004), seed=1)).perform(identify(probing))
    limit, _ = limit_of("requests", "m", probing.records, None)
    assert (limit.kind, limit.limit, limit.sure) == ("token_bucket", 1, True), limit.says
    assert limit.rate_per_s == pytest.approx(5.0, rel=0.03)


def test_one_request_per_window_is_a_bucket_of_one() -> None:
    told = identified(5, Truth("sliding_log", 1, 10.0, 0.05), 0.0)
    assert (told.limit.kind, told.limit.limit) == ("token_bucket", 1)
    assert told.limit.rate_per_s == pytest.approx(0.1, rel=0.05)


def test_of_requests_sent_at_once_nobody_knows_which_came_first() -> None:
    sent_at_once = [failed(0, "throttled", sent=1.0, done=1.01), record(1, sent=1.0005, done=1.01)]
    assert trials_of(sent_at_once).admitted.tolist() == [True, False]


def test_where_a_server_refuses_an_error_is_no_refusal() -> None:
    throttled, error = failed(0, "throttled", sent=0.0, done=0.01), failed(1, "timeout", sent=0.1, done=60.1)
    assert len(trials_of([throttled, error])) == 1
    assert trials_of([error]).admitted.tolist() == [False]


def test_a_stranger_explains_a_refusal_for_as_long_as_the_window_counts_it() -> None:
    trials = seen((0.0, True), (0.1, False), (0.2, False), (5.0, False))
    least = [float(assumed(rows("sliding_log", span), trials).strangers.min()) for span in (10.0, 1.0)]
    assert least == [0, 1]  # in ten seconds one is too many; of a second's window somebody came at the end


def test_a_stranger_explains_every_refusal_until_a_bucket_is_full_again() -> None:
    used_up = [(0.0, True)] * 5  # of a bucket of five that fills by one per second
    taken = [(1.1, False), (2.1, True), (2.2, False), (3.1, True), (3.2, False)]  # by whom? the same one each time
    after = [(13.0, True), (13.1, True), (13.2, True), (13.3, True), (13.4, False)]  # full again: another one
    least = [
        float(assumed(rows("token_bucket", 1.0), seen(*used_up, *more), lasting=True).strangers.min())
        for more in (taken, taken + after)
    ]
    assert least == [1, 2]


def test_where_ways_of_counting_tie_the_next_requests_are_those_that_they_count_differently() -> None:
    asked = scenario(discover=["tokens"], requests=[{"prompt": "hi", "max_tokens": 3, "stream": False}])
    names = {size: name for name, size in Requests(asked).sizes().items()}
    counts = {"prompt_tokens": 401, "completion_tokens": 3}
    records = [record(n, sent=0.1 * n, done=0.1 * n + 0.05, name=names["long"], **counts) for n in range(1, 9)]
    records.append(failed(9, "throttled", sent=0.9, done=0.91, name=names["long"]))
    records.append(record(10, sent=99.0, done=99.1, name=names["wide"], prompt_tokens=1, completion_tokens=6))
    costs = Costs(asked, records)
    tied = [one for one in rivals(explanations("tokens", records, costs)) if one.basis.charged != "ahead"]
    sizes = dict(samples(records, {name: size for size, name in names.items()}))
    assert {one.basis.resource for one in tied} >= {"tokens", "input_tokens"}
    mixture = telling(tied, sizes, costs, 200.0, 0.2)
    assert mixture is not None
    assert (mixture.first, mixture.second) == ("long", "wide")
    assert mixture.many < 8  # what it leaves over is for the others


@pytest.mark.parametrize("kind", LIMITERS)
def test_a_limiter_of_each_kind_is_told(kind: str) -> None:
    truth = Truth(kind, 8, 2.5 if kind == "token_bucket" else 10.0, 0.08)
    told = identified(3, truth, 0.0)
    assert told.kind, told.limit.says
    assert told.size, told.limit.says
    assert told.span, told.limit.says
    assert told.limit.sure, told.limit.says
    assert told.requests <= 80


def test_other_peoples_requests_make_nobody_sure_of_a_wrong_kind() -> None:
    told = identified(1, Truth("fixed_window_from_first", 10, 10.0, 0.05), 0.02)
    assert not told.wrong, told.limit.says


@pytest.mark.parametrize(("window", "sure"), [(1.0, True), (60.0, True), (2.0, False), (20.0, False)])
def test_a_window_that_few_have_may_be_one_that_many_have_with_three_strangers(window: float, sure: bool) -> None:
    answer, other = Answer("fixed_window", window, 52.0), Answer("sliding_log", 1.0, 52.0)
    assert Rivalry(answer, mine=0.0, others=3.0, other=other, contenders={}).is_won is sure


def test_what_is_beyond_reach_is_said_to_be() -> None:
    probing = Probing("requests", plain(), 50)
    SimulatedPerformer(Provider(Truth("fixed_window", 10_000, 60.0, 0.05), seed=1)).perform(identify(probing))
    limit, _ = limit_of("requests", "m", list(probing.records), None)
    assert (limit.kind, limit.limit, limit.sure, limit.above) == (None, None, False, 50.0)
    assert limit.says.startswith("no limit of requests was found below 50 requests")


def test_a_window_longer_than_the_wait_is_not_guessed() -> None:
    probing = Probing("requests", plain(), 400)
    SimulatedPerformer(Provider(Truth("sliding_log", 15, 3600.0, 0.05), seed=1)).perform(identify(probing))
    limit, _ = limit_of("requests", "m", list(probing.records), None)
    assert (limit.kind, limit.limit, limit.window_s, limit.rate_per_s, limit.sure) == (None, 15.0, None, None, False)
    assert limit.says.startswith("15 requests were admitted, then none for "), limit.says


class AtATime:
    """A server that answers so many requests at a time, each as long as its answer."""

    def __init__(self, limit: int) -> None:
        self.limit, self.ends = limit, list[float]()

    def __call__(self, planned: Planned, at: float) -> Record:
        arrived = at + 0.01
        if sum(end > arrived for end in self.ends) >= self.limit:
            return failed(planned.seq, "throttled", sent=at, done=at + 0.02)
        self.ends.append(arrived + 0.005 * planned.parameters["max_tokens"])
        return record(planned.seq, sent=at, done=self.ends[-1] + 0.01)


@pytest.mark.parametrize("limit", [3, 20])
def test_a_limit_on_what_is_under_way_is_told_from_a_window(limit: int) -> None:
    performer = SimulatedPerformer(AtATime(limit))
    performer.perform(steps(scenario(discover=["concurrency"])))
    found, _ = limit_of("concurrency", "m", performer.records, None)
    assert (found.kind, found.limit, found.sure) == ("concurrency", limit, True), found.says


def test_a_server_that_refuses_everything_is_not_asked_for_more_at_a_time() -> None:
    performer = SimulatedPerformer(AtATime(0))
    performer.perform(steps(scenario(discover=["concurrency"])))
    assert performer.sent == 2


@pytest.mark.parametrize("kind", ["fixed_window", "sliding_log", "token_bucket"])
def test_a_window_is_not_taken_for_a_limit_on_what_is_under_way(kind: str) -> None:
    provider = Provider(Truth(kind, 10, 2.0, 0.02), seed=1)
    performer = SimulatedPerformer(provider)
    performer.perform(steps(scenario(discover=["concurrency"])))
    found, _ = limit_of("concurrency", "m", performer.records, None)
    assert found.kind != "concurrency", found.says


def test_an_answer_that_only_its_round_window_makes_sure_says_so() -> None:
    """The true window is one of 7 s, and so few limits have one that the search does not go on."""
    asked = scenario(discover=["requests"], budget={"requests": 1000})
    performer = SimulatedPerformer(Provider(Truth("fixed_window", 12, 7.0, 0.05), seed=1))
    performer.perform(steps(asked))
    found, _ = limit_of("requests", "m", performer.records, Costs(asked, performer.records))
    shortest, longest = found.unless_round_s or (0.0, 0.0)
    assert (found.sure, shortest < 7.0 < longest, shortest < 9.0 < longest) == (True, True, True), found
    assert found.says == "12 requests per 10 s, as a fixed window by the clock, if its window is a round one"


def test_a_window_whose_length_is_known_needs_no_such_word() -> None:
    asked = scenario(discover=["requests"])
    performer = SimulatedPerformer(Provider(Truth("sliding_log", 12, 10.0, 0.05), seed=2))
    performer.perform(steps(asked))
    found, _ = limit_of("requests", "m", performer.records, Costs(asked, performer.records))
    assert (found.sure, found.unless_round_s, found.says) == (True, None, "12 requests per 10 s, as a sliding log")


class Disguised:
    """A log whose refusals come under another status, or as an error inside a success."""

    def __init__(self, outcome: str, words: str) -> None:
        self.log, self.outcome, self.words = SlidingLog(10, 10.0), outcome, words

    def __call__(self, planned: Planned, at: float) -> Record:
        if self.log.admit(at + 0.01).admitted:
            return record(planned.seq, sent=at, done=at + 0.02)
        return failed(planned.seq, self.outcome, sent=at, done=at + 0.02, error=self.words)


@pytest.mark.parametrize("outcome", ["stream_error", "invalid", "auth"])
def test_a_refusal_that_only_words_tell_is_one(outcome: str) -> None:
    assert is_refused(failed(1, outcome, error="429: rate limit exceeded"))
    assert not is_refused(failed(1, outcome, error="nobody is at home"))


def test_a_limiter_is_told_by_refusals_that_only_words_tell() -> None:
    probing = Probing("requests", plain(), 300)
    performer = SimulatedPerformer(Disguised("stream_error", "429: rate limit exceeded"))
    performer.perform(identify(probing))
    limit, _ = limit_of("requests", "m", performer.records, None)
    assert (limit.kind, limit.limit, limit.window_s, limit.sure) == ("sliding_log", 10, 10.0, True), limit.says


def test_an_error_inside_a_success_that_speaks_of_no_limit_does_not_end_the_search() -> None:
    probing = Probing("requests", plain(), 60)
    server = Disguised("stream_error", "the model has crashed")
    SimulatedPerformer(server).perform(identify(probing))
    limit, _ = limit_of("requests", "m", probing.records, None)
    assert (limit.kind, limit.above, limit.requests) == (None, 60.0, 60)


def test_what_ended_the_search_for_a_limit_is_said_with_it() -> None:
    probing = Probing("requests", plain(), 300)
    performer = SimulatedPerformer(Disguised("invalid", "HTTP 400: the prompt is too long"))
    performer.perform(identify(probing))
    limit, _ = limit_of("requests", "m", performer.records, None)
    assert limit.says.endswith("The search ended at a request that failed: HTTP 400: the prompt is too long")


def test_each_sentence_of_the_headline_begins_with_a_capital_unless_it_goes_on() -> None:
    none = [limit_of(asked, "m", [record(0, sent=0.0)], None)[0] for asked in ("requests", "images")]
    first, second = headline(none, []).split(". ")
    assert (first[:8], second[:8]) == ("No limit", "No limit")
    assert headline(none, [], begun=True).startswith("no limit of requests")


def test_an_answer_about_money_ends_the_probing() -> None:
    probing = Probing("requests", plain(), 500)
    performer = SimulatedPerformer(lambda planned, at: failed(planned.seq, "quota", sent=at, done=at + 0.05))
    performer.perform(identify(probing))
    assert probing.ended == "quota"
    assert performer.sent <= 6  # those under way before the first answer


@pytest.mark.parametrize("number", [2, *range(1, 2 * len(BREAKS), 4)])
def test_a_broken_clause_is_found_and_a_kept_contract_is_not_failed(number: int) -> None:
    _, broken, clauses, _ = contract(number, rpm=20)
    failures = [one.clause for one in clauses if one.verdict == "fail"]
    if broken is None:
        assert failures == []
    else:
        assert is_found(broken, clauses), (broken, clauses)


def scenario(**changes: Any) -> RateLimitScenario:
    asked = {
        "name": "s", "kind": "rate_limit", "target": {"url": "http://127.0.0.1:1"}, "models": ["m"],
        "requests": [{"prompt": "hi", "max_tokens": 1, "stream": False}], "discover": ["requests"],
    }  # fmt: skip
    return RateLimitScenario.model_validate(asked | changes)


def test_a_clause_that_was_not_reached_is_inconclusive() -> None:
    asked = scenario(discover=[], contract={"rpm": 60, "headers": "openai", "retry_after": True})
    clauses = clauses_of(asked, [], {})
    assert {one.verdict for one in clauses} == {"inconclusive"}


def test_errors_in_the_place_of_a_429_fail_their_clause() -> None:
    asked = scenario(discover=[], contract={"rpm": 60})
    records = [record(0, stage="rpm: above"), failed(1, "server_error", stage="rpm: above", status=500)]
    [clause] = [one for one in clauses_of(asked, records, {}) if "is a 429" in one.clause]
    assert clause.verdict == "fail"
    assert "1 of 1 refusal: server_error" in clause.evidence


def test_sizes_of_requests_differ_in_what_may_be_limited() -> None:
    asked = scenario()
    requests = Requests(asked)
    plain_, long, wide = (next(requests.of(size)) for size in ("plain", "long", "wide"))
    assert len(str(long.input)) > len(str(plain_.input)) + 1000
    assert (plain_.parameters["max_tokens"], wide.parameters["max_tokens"]) == (1, 512)
    assert len({plain_.name, long.name, wide.name}) == 3
    assert len({plain_.seq, long.seq, wide.seq}) == 3


def test_the_size_that_closes_in_on_a_limit_is_the_largest_that_fits() -> None:
    costs: dict[Size, float] = {"plain": 6.0, "long": 435.0, "longer": 1700.0, "wide": 153.0}
    assert suited(costs, 1000.0) == "long"
    assert suited(costs, 434.0) == "wide"
    assert suited(costs, 1.0) == "plain"


def test_the_other_key_is_an_arm_and_never_written_down() -> None:
    from bench.plan.secrecy import redacted, secrets

    asked = scenario(other_key="sk-other-4711")
    assert asked.arms["other_key"].target.key is not None
    assert "sk-other-4711" in secrets(asked)
    assert "sk-other-4711" not in json.dumps(redacted(asked), default=str)


PICTURE = {"api": "txt2img", "prompt": "a cat", "width": 512, "height": 512}


def test_a_tier_promises_what_its_table_says_of_a_model() -> None:
    asked = scenario(contract={"tier": "novita/T2"})
    assert asked.contract is not None
    assert asked.contract.limits("any/model")["rpm"] == 100
    assert asked.promised == {"rpm": 100, "tpm": 50_000_000}
    images = asked.model_copy(update={"requests": scenario(requests=[PICTURE]).requests})
    assert images.promised["ipm"] == 20


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("discover: [requests, requests]", "twice"),
        ("discover: [images]", "no request makes any"),
        ("contract: {headers: openai}", "promises no limit"),
        ("contract: {tier: novita/T9}", "novita/T1"),
        ("contract: {rpm: 0}", "contract.rpm"),
        ("budget: {requests: 5}", "discover and contract are missing"),
    ],
)
def test_a_mistake_is_told_with_what_to_do(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(f"kind: rate_limit\ntarget: simulator\nmodels: [m]\nrequests: [{{prompt: hi}}]\n{text}\n")
    with pytest.raises(Mistakes) as raised:
        read_scenario(file, environ={})
    assert told in str(raised.value)


def test_a_strangers_server_needs_a_budget(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    text = "kind: rate_limit\ntarget: https://api.example.com/v1\nmodels: [m]\nrequests: [{prompt: hi}]\n"
    file.write_text(f"{text}discover: [requests]\n")
    with pytest.raises(Mistakes, match="budget is missing"):
        read_scenario(file, environ={})
    file.write_text(f"{text}discover: [requests]\nbudget: {{requests: 100}}\n")
    assert read_scenario(file, environ={}).kind == "rate_limit"


def test_the_steps_of_a_contract_stay_below_before_they_go_above() -> None:
    asked = scenario(discover=[], contract={"rpm": 30})
    performer = SimulatedPerformer(Provider(Truth("sliding_log", 30, 60.0, 0.05), seed=1))
    performer.perform(steps(asked))
    order = list(dict.fromkeys(one.stage for one in performer.records))
    assert order == ["rpm: below", "rpm: used up", "rpm: above", "rpm: again"]
    assert "rate_limit" in KINDS
