"""Contracts: each clause against records of which it is known what they show."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from bench.experiments.rate_limit.clauses import clauses_of
from bench.experiments.rate_limit.contract_steps import tests as contract_steps
from bench.experiments.rate_limit.promise import Clause
from bench.experiments.rate_limit.question import RateLimitScenario
from bench.experiments.rate_limit.requests import Costs, Requests
from bench.experiments.rate_limit.sizes import MOST_WORDS, USUAL_WORDS, Weight, comes_first, weight_of, words_for
from bench.experiments.rate_limit.steps import steps
from bench.experiments.simulated_performer import SimulatedPerformer
from bench.plan import Planned
from bench.records import Record
from bench.simulator.limiters import SlidingLog
from benchmarks.rate_limits import Promising, planned
from tests.runs import failed, record

PARTS = ("below", "used up", "others", "at Retry-After", "above", "again")


def scenario(contract: dict[str, Any], **changes: Any) -> RateLimitScenario:
    asked = {
        "name": "s", "kind": "rate_limit", "target": {"url": "http://127.0.0.1:1", "key": "a"}, "models": ["m"],
        "requests": [{"prompt": "hi", "max_tokens": 1, "stream": False}], "contract": contract,
    }  # fmt: skip
    return RateLimitScenario.model_validate(asked | changes)


def answers(part: str, count: int, *, name: str = "rpm", every: float = 1.0, **changes: Any) -> list[Record]:
    """Requests of a part of a test that were admitted."""
    begin = 100.0 * PARTS.index(part)
    times = [begin + every * number for number in range(count)]
    return [
        record(n, stage=f"{name}: {part}", sent=at, headers_at=at + 0.05, done=at + 0.05, **changes)
        for n, at in enumerate(times)
    ]


def refusals(part: str, count: int, outcome: str = "throttled", *, name: str = "rpm", **changes: Any) -> list[Record]:
    """Requests of a part of a test that were not."""
    begin = 100.0 * PARTS.index(part) + 50.0
    return [
        failed(n, outcome, **{"stage": f"{name}: {part}", "sent": begin + n, "done": begin + n + 0.01} | changes)
        for n in range(count)
    ]


def sent(records: list[Record], **more: int) -> dict[str, int]:
    """As many requests planned as were sent, of every part; `more` of some."""
    found = {f"rpm: {part}": 0 for part in PARTS}
    for one in records:
        found[one.stage] = found.get(one.stage, 0) + 1
    return {step: count + more.get(step.removeprefix("rpm: "), 0) for step, count in found.items()}


def judged(
    records: list[Record], contract: dict[str, Any], plan: Mapping[str, int] | None = None, **changes: Any
) -> dict[str, Clause]:
    """The clauses by their words after the limit's name."""
    found = clauses_of(scenario(contract, **changes), records, sent(records) if plan is None else plan)
    return {one.clause.partition(": ")[2]: one for one in found}


BELOW = "at 90 % every request is admitted"
SHARE = "above it the refused share is what the limit implies"
PLAIN = "a refusal is a 429, no error and no silence"
STATED, TRUE = "headers are present", "headers are true"
RETRY = "a request sent at Retry-After is admitted"
AGAIN = "full service is back after the window"
OTHERS, KEY = "other models are unaffected", "other key is unaffected"


# -- requests that failed for another reason ------------------------------------------------------------------


@pytest.mark.parametrize(("outcome", "error"), [("invalid", "HTTP 404 model_not_found"), ("auth", "HTTP 401")])
def test_others_that_fail_for_another_reason_do_not_show_that_they_are_unaffected(outcome: str, error: str) -> None:
    mine = refusals("others", 2)
    strangers = refusals("others", 3, outcome, error=error, model="n") + refusals(
        "others", 3, outcome, error=error, arm="other_key"
    )
    found = judged(mine + strangers, {"rpm": 40}, models=["m", "n"], other_key="b")
    assert (found[OTHERS].verdict, found[KEY].verdict) == ("inconclusive", "inconclusive")
    assert error in found[OTHERS].evidence


def test_others_are_unaffected_if_they_are_admitted_while_this_one_is_refused() -> None:
    strangers = answers("others", 3, model="n")
    contract: dict[str, Any] = {"rpm": 40}
    assert judged(refusals("others", 2) + strangers, contract, models=["m", "n"])[OTHERS].verdict == "pass"
    assert judged(answers("others", 2) + strangers, contract, models=["m", "n"])[OTHERS].verdict == "inconclusive"
    shared = refusals("others", 2) + refusals("others", 3, model="n")
    assert judged(shared, contract, models=["m", "n"])[OTHERS].verdict == "fail"


def test_others_who_were_never_asked_are_told() -> None:
    found = judged(answers("above", 3), {"rpm": 40}, models=["m", "n"])
    assert (found[OTHERS].verdict, found[OTHERS].evidence) == ("inconclusive", "the limit was never used up")


def test_one_answer_that_says_nothing_leaves_it_open_whether_every_request_is_admitted() -> None:
    found = judged(answers("below", 30) + refusals("below", 1, "protocol"), {"rpm": 40})
    assert found[BELOW].verdict == "inconclusive"


def test_refusals_of_another_limit_are_not_held_against_this_one() -> None:
    others = refusals("below", 3, error="HTTP 429: on tokens per min (TPM)")
    found = judged(answers("below", 30) + others, {"rpm": 40})[BELOW]
    assert (found.verdict, "another limit refused 3 of them" in found.evidence) == ("inconclusive", True)
    counters = {"requests.remaining": 12.0, "tokens.remaining": 0.0}
    others = refusals("below", 3, error="HTTP 429", limits=counters, limit_style="openai")
    assert judged(answers("below", 30) + others, {"rpm": 40})[BELOW].verdict == "inconclusive"
    mine = refusals("below", 3, error="HTTP 429: on requests per min (RPM)")
    assert judged(answers("below", 30) + mine, {"rpm": 40})[BELOW].verdict == "fail"


# -- refusals in the place of a 429 ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "changes"),
    [
        ("overloaded", {"status": 503}),
        ("server_error", {"status": 500}),
        ("timeout", {}),
        ("throttled", {"status": 200}),
        ("invalid", {"status": 400, "error": "HTTP 400: rate limit exceeded"}),
        ("auth", {"status": 403, "error": "HTTP 403: You have exceeded a secondary rate limit"}),
        ("stream_error", {"status": 200, "error": "an error object inside HTTP 200: 429 rate_limit_error"}),
    ],
)
def test_a_refusal_in_another_guise_breaks_the_clause_that_it_is_a_429(outcome: str, changes: dict[str, Any]) -> None:
    records = answers("above", 3) + refusals("above", 5, status=429) + refusals("above", 1, outcome, **changes)
    found = judged(records, {"rpm": 40})[PLAIN]
    assert (found.verdict, found.evidence.partition(":")[0]) == ("fail", "1 of 6 refusals")


def test_an_error_below_the_limit_is_not_in_the_place_of_a_429() -> None:
    records = refusals("below", 1, "overloaded", status=503) + refusals("above", 5, status=429) + answers("again", 1)
    assert judged(records, {"rpm": 40})[PLAIN].verdict == "pass"


# -- tests that were cut short --------------------------------------------------------------------------------


def test_a_part_that_was_cut_short_is_not_told_unless_it_failed_already() -> None:
    few = answers("below", 10, every=1.6)
    assert judged(few, {"rpm": 40})[BELOW].verdict == "pass"
    cut = judged(few, {"rpm": 40}, sent(few, below=26))[BELOW]
    assert (cut.verdict, "it was cut short" in cut.evidence) == ("inconclusive", True)
    broken = few + refusals("below", 1)
    assert judged(broken, {"rpm": 40}, sent(broken, below=26))[BELOW].verdict == "fail"


def test_a_part_whose_step_was_never_written_down_was_cut_short() -> None:
    few = answers("below", 10, every=1.6)
    assert judged(few, {"rpm": 40}, {})[BELOW].verdict == "inconclusive"


def test_requests_that_fit_into_the_limit_say_nothing_of_the_share_refused_if_the_rest_was_not_sent() -> None:
    few = answers("above", 20)
    assert judged(few, {"rpm": 40}, sent(few, above=81))[SHARE].verdict == "inconclusive"
    assert judged(few, {"rpm": 40})[SHARE].verdict == "fail"
    many = answers("above", 95)  # three times as many within a minute as any limiter of 20 admits
    assert judged(many, {"rpm": 20}, sent(many, above=6))[SHARE].verdict == "fail"


def test_what_holds_so_far_is_not_told_if_the_tests_were_cut_short() -> None:
    records = answers("above", 3) + refusals("above", 5, status=429, retry_after=1.0)
    contract: dict[str, Any] = {"rpm": 40, "retry_after": True}
    assert judged(records, contract)[PLAIN].verdict == "pass"
    cut = judged(records, contract, sent(records, again=9))
    assert (cut[PLAIN].verdict, cut["refusals have Retry-After"].verdict) == ("inconclusive", "inconclusive")


def test_one_round_of_two_at_retry_after_is_too_few_if_the_run_ended_then() -> None:
    once = answers("at Retry-After", 1)
    contract: dict[str, Any] = {"rpm": 40, "retry_after": True}
    assert judged(once, contract)[RETRY].verdict == "inconclusive"
    assert judged(once + answers("above", 1), contract)[RETRY].verdict == "pass"
    assert judged(refusals("at Retry-After", 1), contract)[RETRY].verdict == "fail"


def test_where_no_request_succeeds_it_is_said() -> None:
    found = judged(refusals("below", 1, "auth", error="HTTP 401"), {"rpm": 40})
    assert {one.verdict for one in found.values()} == {"inconclusive"}
    assert found[AGAIN].evidence == "it was not tested: no request succeeded before: HTTP 401"


@pytest.mark.parametrize("written", [1, 10])
def test_whether_a_limit_of_tokens_counts_what_is_asked_for_or_what_is_written_it_is_kept(written: int) -> None:
    log = SlidingLog(2400, 60.0)

    def provider(planned: Planned, at: float) -> Record:
        prompt = len(str(planned.input).split())
        if log.admit(at, prompt + written).admitted:
            tokens = {"prompt_tokens": prompt, "completion_tokens": written}
            return record(planned.seq, sent=at, headers_at=at + 0.05, done=at + 0.05, name=planned.name, **tokens)
        return failed(planned.seq, "throttled", sent=at, headers_at=at + 0.05, done=at + 0.05, name=planned.name)

    asked = scenario({"tpm": 2400}, requests=[{"prompt": "hi", "max_tokens": 1000, "stream": False}])
    performer = SimulatedPerformer(provider)
    performer.perform(steps(asked))
    found = clauses_of(asked, performer.records, planned(performer.steps))
    assert {one.verdict for one in found} == {"pass"}, found
    below = [one for one in performer.records if one.stage == "tpm: below"]
    assert 0.75 < sum((one.prompt_tokens or 0) + written for one in below) / 2400 < 0.92


# -- headers --------------------------------------------------------------------------------------------------


def counting(
    limit: float, left: Iterator[float], *, style: str = "openai", name: str = "requests", **more: float
) -> list[Record]:
    """A minute below the limit in which a counter says these."""
    return [
        record(
            n, stage="rpm: below", sent=1.0 * n, done=n + 0.05, limit_style=style,
            limits={f"{name}.limit": limit, f"{name}.remaining": value} | {f"{name}.{key}": at for key, at in more.items()},
        )
        for n, value in enumerate(itertools.islice(left, 36))
    ]  # fmt: skip


def falling(limit: float) -> Iterator[float]:
    return (float(limit - 1 - n % limit) for n in itertools.count())


def random_numbers(low: int, high: int) -> Iterator[float]:
    return (float(low + (7919 * n * n + 31 * n) % (high - low)) for n in itertools.count())


HEADERS: list[tuple[str, list[Record], str, str]] = [  # the style promised, answers, and what is said of both clauses
    ("openai", counting(40, falling(40)), "pass", "pass"),
    ("anthropic", counting(40, falling(40)), "fail", "pass"),
    ("groq", counting(14_400, falling(14_400)), "pass", "pass"),  # of a day, as its documentation says
    ("openai", counting(14_400, falling(14_400)), "pass", "fail"),
    ("azure", counting(40 / 6 * 1.5, falling(10)), "pass", "fail"),
    ("ietf", counting(10, falling(10), style="ietf", window_s=15.0), "pass", "pass"),  # 40 a minute
    ("ietf", counting(20, falling(20), style="ietf", window_s=15.0), "pass", "fail"),
    ("ietf", counting(5000, falling(5000), style="ietf, ietf_old", name="perday", window_s=86400.0), "pass", "pass"),
    ("cerebras", counting(900, falling(900), style="cerebras", name="requests_hour"), "pass", "pass"),
    ("openai", counting(40, random_numbers(100, 900)), "pass", "fail"),
    ("openai", counting(40, random_numbers(0, 40)), "pass", "fail"),
]  # fmt: skip


@pytest.mark.parametrize(("style", "records", "present", "true"), HEADERS)
def test_headers_are_judged_by_their_style_and_by_the_window_they_speak_of(
    style: str, records: list[Record], present: str, true: str
) -> None:
    found = judged(records, {"rpm": 40, "headers": style})
    assert (found[STATED].verdict, found[TRUE].verdict) == (present, true), (found[STATED], found[TRUE])


def test_headers_that_are_missing_are_no_headers_of_another_style() -> None:
    found = judged(answers("below", 9), {"rpm": 40, "headers": "openai"})
    assert (found[STATED].verdict, found[STATED].evidence) == ("fail", "0 of 9 answers have them")


# -- requests under way ---------------------------------------------------------------------------------------


def under_way(part: str, lasting: list[float], refused: int = 0) -> list[Record]:
    begin = 100.0 * PARTS.index(part)
    made = [
        record(n, stage=f"concurrency: {part}", sent=begin + 0.005 * n, done=begin + 0.005 * n + each)
        for n, each in enumerate(lasting)
    ]
    return made + refusals(part, refused, name="concurrency", status=429)


@pytest.mark.parametrize(
    ("above", "verdict"),
    [
        (under_way("above", [1.0] * 4, refused=3), "pass"),
        (under_way("above", [1.0] * 7), "fail"),
        (under_way("above", [1.0] * 3, refused=4), "fail"),
        (under_way("above", [0.0005] * 7), "inconclusive"),  # no two of them at a time
    ],
)
def test_a_limit_on_requests_under_way_is_judged_by_how_many_there_were(above: list[Record], verdict: str) -> None:
    found = judged(above, {"concurrency": 4})
    assert found["more at a time are refused"].verdict == verdict


def test_answers_that_do_not_overlap_do_not_show_that_as_many_at_a_time_are_admitted() -> None:
    for lasting, verdict in ((1.0, "pass"), (0.0005, "inconclusive")):
        found = judged(under_way("below", [lasting] * 4), {"concurrency": 4})
        assert found["as many at a time are admitted"].verdict == verdict


class Streaming:
    """A provider that admits so many requests at a time and frees a place a little after an answer has ended."""

    def __init__(self, limit: int, lasting: float, freed_after: float) -> None:
        self.limit, self.lasting, self.freed_after, self.ends = limit, lasting, freed_after, [0.0]

    def __call__(self, planned: Planned, at: float) -> Record:
        self.ends = [end for end in self.ends if end > at]
        if len(self.ends) >= self.limit:
            return failed(planned.seq, "throttled", sent=at, done=at + 0.0001, status=429)
        self.ends.append(at + self.lasting + self.freed_after)
        return record(planned.seq, sent=at, done=at + self.lasting, name=planned.name)


@pytest.mark.parametrize("lasting", [0.0005, 1.0])
def test_a_place_that_is_freed_late_and_answers_that_are_short_do_not_mislead(lasting: float) -> None:
    asked = scenario({"concurrency": 4})
    performer = SimulatedPerformer(Streaming(4, lasting, 0.05))
    performer.perform(steps(asked))
    assert {one.verdict for one in clauses_of(asked, performer.records, planned(performer.steps))} == {"pass"}


# -- what is sent ---------------------------------------------------------------------------------------------


def test_requests_of_a_limit_of_tokens_are_so_large_that_it_is_reached_first() -> None:
    weight = Weight(bare=10.0, per_word=1.3)
    assert words_for({"tpm": 30_000}, weight) == 377  # sixty of 500 tokens
    assert words_for({"tpm": 6000}, weight) == 200
    assert words_for({"tpm": 1000}, weight) == 89  # eight of 125 tokens
    assert words_for({"tpm": 1_000_000}, weight) == USUAL_WORDS
    assert weight.of(words_for({"tpm": 30_000, "rpm": 30}, weight)) == pytest.approx(2000, abs=2)
    assert words_for({"tpm": 50_000_000, "rpm": 30}, weight) == MOST_WORDS
    taken = {"rpm": 1.0, "tpm": weight.of(MOST_WORDS), "ipm": 0.0}
    assert comes_first({"tpm": 50_000_000, "rpm": 30}, "tpm", taken) == "rpm 30"
    assert comes_first({"tpm": 30_000, "rpm": 30}, "tpm", taken) is None


def test_what_a_word_takes_is_told_by_two_requests() -> None:
    asked = scenario({"tpm": 6000}, requests=[{"prompt": "hi", "max_tokens": 1000, "stream": False}])
    requests = Requests(asked)
    few, many = (next(requests.long(count)) for count in (50, 400))
    assert few.parameters["max_tokens"] == 16  # whether it is charged ahead makes no difference
    records = [record(0, name=few.name, prompt_tokens=70), record(1, name=many.name, prompt_tokens=525)]
    assert weight_of(records, Costs(asked, records)) == Weight(70 + 16 - 65, 1.3)
    assert weight_of(records[::-1], Costs(asked, records)) == Weight(70 + 16 - 65, 1.3)  # sent at once, in any order
    assert weight_of([record(0, name=few.name, prompt_tokens=None)] * 2, Costs(asked, [])) is None


def test_a_limit_that_no_request_is_large_enough_for_is_not_tested_and_says_so() -> None:
    asked = scenario({"tier": "novita/T1"})
    performer = SimulatedPerformer(Promising("sliding_log", {"rpm": 30, "tpm": 50_000_000}, 0.05, None, 1))
    performer.perform(contract_steps(asked, Requests(asked)))
    found = [one for one in clauses_of(asked, performer.records, planned(performer.steps)) if "tpm" in one.clause]
    assert {(one.verdict, one.evidence) for one in found} == {
        ("inconclusive", "it was not tested: rpm 30 is reached no later")
    }
    assert performer.sent < 400  # of millions


def test_others_are_asked_with_requests_as_large_as_those_that_use_the_limit_up() -> None:
    asked = scenario({"tpm": 20_000}, models=["m", "n"])
    performer = SimulatedPerformer(Promising("sliding_log", {"tpm": 20_000}, 0.05, None, 1))
    performer.perform(steps(asked))
    names = {one.name for one in performer.records if one.stage in ("tpm: below", "tpm: others")}
    assert len(names) == 1
    others = [one for one in performer.records if one.stage == "tpm: others"]
    assert [one.model for one in others] == ["m", "n", "n", "n", "m"]


def test_a_limit_that_is_full_from_its_discovery_is_given_time_before_its_contract() -> None:
    asked = scenario({"rpm": 20}, discover=["requests"])
    performer = SimulatedPerformer(Promising("sliding_log", {"rpm": 20}, 0.05, None, 1))
    performer.perform(steps(asked))
    found = clauses_of(asked, performer.records, planned(performer.steps))
    assert {one.verdict for one in found} == {"pass"}


def test_refusals_in_another_guise_do_not_end_the_test() -> None:
    log = SlidingLog(20, 60.0)

    def provider(planned: Planned, at: float) -> Record:
        if log.admit(at).admitted:
            return record(planned.seq, sent=at, done=at + 0.05, name=planned.name)
        return failed(
            planned.seq, "invalid", sent=at, done=at + 0.01, status=400, error="HTTP 400: rate limit exceeded"
        )

    asked = scenario({"rpm": 20})
    performer = SimulatedPerformer(provider)
    performer.perform(steps(asked))
    found = clauses_of(asked, performer.records, planned(performer.steps))
    assert [one.verdict for one in found] == ["pass", "pass", "fail", "pass"]
