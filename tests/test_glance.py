"""The first sentences of a report: what it shows, whether to trust it, what failed and why, what to do next."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from bench.analysis import exit_code, open_run
from bench.analysis.bounds import Bound
from bench.analysis.conclusion import Conclusion
from bench.analysis.glance import glance, trust
from bench.analysis.heading import heading
from bench.experiments.general import findings
from bench.metrics import OUTCOMES, UNFAILED
from bench.records import Attempt
from bench.report import render
from tests.runs import STEP, failed, record, shifted, write_run
from tests.test_model_comparison import asked


def answers(many=700, **changes):
    return [record(**shifted(record(0), 0.01 * n, n) | changes) for n in range(many)]


def told(run):
    return [(sentence.text, sentence.details) for sentence in glance(run)]


def opened(folder, records, **more):
    return open_run(write_run(folder, records, **more))


def test_a_clean_run_says_how_fast_it_was_and_that_nothing_is_wrong(tmp_path):
    run = opened(tmp_path, answers(), scenario={"load": {"users": 2, "duration": 10.0, "warmup": 1.0}})
    assert [text for text, _ in told(run)] == [
        "m: first token after 500 ms (p50), answer complete after 1,000 ms (p50); 70.0 answers/s.",
        "Judged: no, the scenario states no thresholds.",
        "Failed: none of 700 requests.",
        "To be trusted: yes, the measurement is valid.",
        "What to do next:",
    ]
    assert told(run)[-1][1] == ("For a run that passes or fails, state thresholds.",)


def test_the_headline_says_that_the_run_was_interrupted_and_after_how_long(tmp_path):
    end = {"stopped_by": "interrupt", "duration_s": 9.5}
    stage = STEP | {"name": "measure", "began": 1.0, "ended": 4.5, "ended_by": "interrupt"}
    run = opened(tmp_path, answers(20), end=end, steps=[stage])
    told_first = findings(run, drawn=False).heading.headline
    assert told_first.startswith("Interrupted after 4.5 s; 20 requests in 3.5 s"), "not with the wait for open answers"
    assert "yes, the measurement is valid, though the run was interrupted; Validity" in trust(run.summary).text
    assert "Interrupted after 4.5 s" in render(run, "brief")
    between = opened(tmp_path / "between", answers(20), end=end, steps=[stage | {"ended_by": "requests"}])
    concluded = findings(between, Conclusion(headline="no limit was found"), drawn=False).heading.headline
    assert concluded == "Interrupted after 9.5 s; no limit was found"


def test_where_no_request_was_answered_before_the_end_the_next_step_is_to_wait_longer(tmp_path):
    run = opened(tmp_path, [failed(n, "censored") for n in range(6)])
    assert told(run)[-1] == (
        "What to do next:",
        ("Let load.drain be longer: when the run ended, the server had not yet answered.",),
    )


def test_classes_that_ask_in_different_ways_are_told_one_by_one(tmp_path):
    spoken = [
        record(**shifted(record(700), 0.01 * n, 700 + n), name="say", api="speech", item="sound") for n in range(5)
    ]
    whole = {"arrivals": [], "first_token_at": None, "first_answer_at": None, "api": "models", "stream": False}
    listed = [record(800 + n, name="list", **whole) for n in range(20)]
    asked = {"requests": [{"name": "chat"}, {"name": "say"}, {"name": "list"}]}
    run = opened(tmp_path, [*answers(15), *spoken, *listed, failed(900, "timeout", name="list")], scenario=asked)
    assert told(run)[0] == (
        "m: 4.00 answers/s. Its request classes ask in different ways, so each has its own times:",
        (
            "chat: 100 % of the requests answered, first token after 500 ms (p50), answer complete after 1,000 ms (p50)",
            "say: 100 % of the requests answered, first sound after 500 ms (mean), answer complete after 1,000 ms (mean)",
            "list: 95.2 % of the requests answered, answer complete after 1,000 ms (p50)",
        ),
    )
    alike = opened(tmp_path / "alike", [*answers(15), *answers(5, name="long")], scenario=asked)
    assert told(alike)[0][0].startswith("m: first token after 500 ms (p50), answer complete")


def test_requests_inside_batches_that_brought_no_answer_are_no_success(tmp_path):
    batch = {"api": "batch", "stream": False, "item": "request"}
    run = opened(tmp_path, [record(n, **batch, items=90, failed_items=10) for n in range(4)])
    [sentence] = [one for one in glance(run) if one.text.startswith("Failed")]
    assert sentence.text == "Failed: none of 4 requests. Inside batches, 40 of 400 requests (10.0 %) brought no answer."
    assert sentence.tone == "doubt"
    whole = opened(tmp_path / "whole", [record(n, **batch, items=100, failed_items=0) for n in range(4)])
    assert "Failed: none of 4 requests." in [text for text, _ in told(whole)]


def test_failures_of_some_classes_alone_are_told_as_such(tmp_path):
    scenario = {"requests": [{"name": "chat"}, {"name": "long"}, {"name": "tools"}]}
    late = [failed(700 + n, "timeout", name="long", sent=3.0, error="nothing came") for n in range(4)]
    mixed = [failed(800, "server_error", name="tools", error="x"), record(801, name="tools")]
    run = opened(tmp_path, [*answers(94, name="chat"), *late, *mixed], scenario=scenario)
    _, _, (_, details), _, (_, steps) = told(run)
    assert details[0] == "By request class: all 4 of long, 1 of 2 of tools; none of 94 of chat"
    assert steps[0].startswith("timeout: every request of long ended so, none of any other class: look at what they")
    several = [*answers(94, name="chat"), *late, failed(800, "timeout", name="chat", error="nothing came")]
    run = opened(tmp_path / "several", several, scenario=scenario)
    _, _, (_, details), _, (_, steps) = told(run)
    assert not any("By request class" in one for one in details), "every class has failures"
    assert steps[0].startswith("timeout: send less, or raise timeouts")


def test_what_an_slo_is_for_is_said_and_how_many_requests_of_each_model_met_it(tmp_path):
    run = asked(tmp_path, slower=0.7, slo={"ttft": 0.72})
    texts = [text for text, _ in told(run)]
    assert "100 % of a's and 41.5 % of b's requests met the SLO (TTFT at most 720 ms)." in texts
    assert "Judged: no, the scenario states no thresholds; its SLO counts for goodput only." in texts


def test_how_many_requests_the_percentiles_need_that_are_not_shown(tmp_path):
    few = opened(tmp_path / "few", answers(28))
    assert told(few)[-1][1][0] == (
        "To see p95 and p99, run longer: they take 130 and 662 successful requests in every row; one had 28."
    )
    assert told(opened(tmp_path / "fewer", answers(5)))[-1][1][0].startswith(
        "To see p50, p95 and p99, run longer: they take 11, 130 and 662 successful requests "
    )
    stages = [STEP | {"name": name, "began": 10.0 * n, "ended": 10.0 * n + 9} for n, name in enumerate(("one", "two"))]
    records = [replace(one, seq=300 * n + one.seq, stage=name) for n, name in enumerate(("one", "two"))
               for one in answers(200, **({"sent": 10.1, "done": 11.1} if n else {}))]  # fmt: skip
    assert told(opened(tmp_path / "stages", records, steps=stages))[-1][1][0].startswith(
        "To see p99, let every stage last longer: "
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "Asked: m at http://127.0.0.1:1, by the API chat, streamed. SLO: TTFT at most 800 ms. Started"),
        ({"stream": False, "first_token_at": None, "arrivals": []}, ", by the API chat, not streamed. SLO"),
        (
            {"api": "embeddings", "stream": False, "completion_tokens": None, "arrivals": []},
            ", by the API embeddings. SLO",
        ),
    ],
)
def test_the_heading_says_what_was_asked(tmp_path, changes, says):
    run = opened(tmp_path, answers(5, **changes), scenario={"slo": {"ttft": 0.8}})
    assert says in findings(run, drawn=False).heading.detail


def test_the_heading_names_every_api_that_was_asked(tmp_path):
    apis = ("txt2img", "img2img", "flux")
    drawn = [record(n, api=apis[n % 3], stream=False, arrivals=[], completion_tokens=None) for n in range(6)]
    detail = findings(opened(tmp_path, drawn), drawn=False).heading.detail
    assert ", by the APIs txt2img, img2img and flux." in detail


def test_sounds_that_come_whole_are_answers_that_do_not_stream(tmp_path):
    """Nobody counts their tokens; that another class of their API streams says that they might have."""
    sounds = [replace(one, api="speech", stream=n % 2 == 0, completion_tokens=None) for n, one in enumerate(answers(6))]
    assert ", by the API speech, partly streamed." in findings(opened(tmp_path, sounds), drawn=False).heading.detail


def test_a_run_whose_requests_all_failed_has_failed_whatever_its_question_concluded(tmp_path):
    because = {"stopped_by": "refused", "because": "every request of a burst failed"}
    run = opened(tmp_path, [failed(0, "auth", stage="requests")], end=because)
    asked = heading(run, Conclusion(verdict="inconclusive"))
    assert (asked.badges[0].text, asked.alarm) == ("fail", "every request of a burst failed")
    assert exit_code(run.summary, "inconclusive") == 1


def test_models_are_compared_in_the_first_sentence(tmp_path):
    first, *_, (_, steps) = told(asked(tmp_path))
    assert first[0].startswith("Compared with a, b's first token comes 19 % later")
    assert steps[0] == "For a verdict between the models, ask them with kind: compare."


def test_failures_are_told_with_the_commonest_reason_and_what_to_do(tmp_path):
    refused = [
        failed(800 + n, "throttled", sent=3.0, done=3.1, status=429, error=f"limit of {n}0 reached") for n in range(6)
    ]
    records = [*answers(94), *refused[:5], failed(900, "timeout", error="nothing came")]
    run = opened(tmp_path, records)
    pace, _, (text, details), _, (_, steps) = told(run)
    assert pace[0].startswith("m: 94.0 % of the requests answered, first token after")
    assert text == "Failed: 6 of 100 requests (6.0 %): 5 throttled, 1 timeout."
    assert details == (
        "throttled, 5 times: limit of 00 reached",
        "timeout, 1 time: nothing came",
    )
    assert steps[0].startswith("throttled: send less, or set more retries; kind: rate_limit finds out")
    assert steps[0].endswith(f"To see one of them whole: bench show {tmp_path} 800")


def test_a_reason_is_counted_over_all_models_and_stages(tmp_path):
    steps = [{"name": name, "began": began, "ended": began + 5.0, "ended_by": "duration", "users": 2}
             for name, began in (("calm", 0.0), ("spike", 5.0))]  # fmt: skip
    records = [
        failed(10 * place + n, "throttled", model=model, stage=stage, sent=sent, done=sent + 0.1, status=429)
        for place, (model, stage, sent) in enumerate(
            (model, stage, sent) for model in "ab" for stage, sent in (("calm", 2.0), ("spike", 7.0))
        )
        for n in range(1 + place)
    ]
    run = opened(tmp_path, records, steps=steps, scenario={"models": ["a", "b"]})
    (text, (detail,)), *_ = told(run)
    assert text == "Failed: 10 of 10 requests (100 %): 10 throttled."
    assert detail == "throttled, 10 times: throttled, as the test has it"


def tried(seq, *words, outcome="ok"):
    """A request whose first attempts ended in these words."""
    earlier = [Attempt(sent=2.0, done=2.1, status=500, outcome=word, retry_after=None, waited=0.1, error=f"HTTP 500: {seq}")
               for word in words]  # fmt: skip
    of = record if outcome == "ok" else failed
    more = {} if outcome == "ok" else {"outcome": outcome}
    return of(seq, **more, earlier=earlier, attempts=len(words) + 1)


def test_attempts_that_failed_and_were_sent_again_are_told_with_their_reason(tmp_path):
    records = [*answers(94), *(tried(100 + n, "server_error", "timeout") for n in range(3)), tried(200, "server_error")]
    _, _, (text, details), *_ = told(opened(tmp_path, records))
    assert text == (
        "Failed: none of 98 requests. 7 earlier attempts, of 105 in all, failed and were sent again: 4 server_error, 3 timeout."
    )
    assert details[0] == "server_error, 4 times: HTTP 500: 100"
    last = tried(300, "server_error", outcome="server_error")
    _, _, (text, details), *_ = told(opened(tmp_path, [*records, last]))
    assert text.startswith(
        "Failed: 1 of 99 requests (1.0 %): 1 server_error. 8 earlier attempts, of 107 in all, failed and were sent"
    )
    assert [detail.split(",")[0] for detail in details] == ["server_error", "timeout"], "each outcome once"


def hurried(seq, words="", asked=None, attempts=2):
    """A request that was refused at 2 s and at last at 5 s; the first refusal had these words, and this Retry-After."""
    earlier = [Attempt(sent=2.0, done=2.1, status=429, outcome="throttled", retry_after=asked, waited=0.5, error=words)]
    return failed(seq, "throttled", sent=4.9, done=5.0, status=429, attempts=attempts, earlier=earlier * (attempts - 1))


@pytest.mark.parametrize(
    ("asked", "setting"),
    [((None, None), "retries.backoff and retries.max_backoff"), ((32.0, 4.0), "retries.obey_retry_after")],
)
def test_more_attempts_are_not_advised_where_they_were_over_before_the_wait_that_was_named(tmp_path, asked, setting):
    waits = zip(asked, (32, 4), strict=True)
    refused = [hurried(800 + n, f"Please try again in {words}s.", header) for n, (header, words) in enumerate(waits)]
    *_, (_, steps) = told(opened(tmp_path, [*answers(20), *refused]))
    assert steps[0].startswith(
        f"throttled: send less, or wait longer between attempts ({setting}): the server asked for 32 s, and 2 attempts "
        "were over in 3 s or less; kind: rate_limit finds out"
    )


@pytest.mark.parametrize(
    "other",
    [
        hurried(801, "Please try again in 2.5s."),  # it was over
        hurried(801, "Too many requests"),  # none was named
        hurried(801, attempts=1),  # it was not tried again
    ],
)
def test_more_attempts_are_advised_where_one_of_them_could_have_helped(tmp_path, other):
    *_, (_, steps) = told(opened(tmp_path, [*answers(20), hurried(800, "Please try again in 32s."), other]))
    assert steps[0].startswith("throttled: send less, or set more retries;")


def test_where_no_request_that_was_tried_again_was_answered_waits_do_not_seem_to_cost_nothing(tmp_path):
    refused = [tried(800 + n, "throttled", "throttled", outcome="throttled") for n in range(20)]
    (pace, _), *_ = told(opened(tmp_path / "vain", [*answers(80), *refused]))
    assert pace == (
        "m: 80.0 % of the requests answered, first token after 500 ms (p50), answer complete after 1,000 ms (p50); 8.00 "
        "answers/s. 20 requests were tried again and never answered, so these times leave out what waiting costs."
    )
    (pace, _), *_ = told(opened(tmp_path / "one", [*answers(80), *refused, tried(900, "throttled")]))
    assert pace.endswith("(p50) with failed attempts and waits; 8.10 answers/s."), "one of them was answered"
    (pace, _), *_ = told(opened(tmp_path / "few", [*answers(80), *refused[:1]]))
    assert pace.endswith("8.00 answers/s."), "too few to speak of waits at all"


def test_a_kind_of_failure_without_a_line_of_its_own_is_explained_where_it_was_sent_again(tmp_path):
    words = ["auth"] * 4 + ["invalid"] * 3 + ["timeout"] * 2 + ["server_error"]
    records = [*answers(20), *(failed(50 + n, word) for n, word in enumerate(words)), tried(100, "server_error")]
    _, _, (text, details), *_ = told(opened(tmp_path, records))
    assert text.endswith(
        "1 in other ways. 1 earlier attempt, of 32 in all, failed and were sent again: 1 server_error."
    )
    assert [detail.split(",")[0] for detail in details] == ["auth", "invalid", "timeout", "server_error"]


@pytest.mark.parametrize("word", sorted(set(OUTCOMES) - set(UNFAILED)))
def test_there_is_something_to_do_about_each_kind_of_failure(tmp_path, word):
    *_, (_, steps) = told(opened(tmp_path, [*answers(20), failed(50, word)]))
    [step] = [one for one in steps if one.startswith(f"{word}: ")]
    assert ("breaks answers off" in step) == (word == "truncated"), "no other answer is broken off"


def test_what_failed_has_the_attempts_that_were_sent_again(tmp_path):
    run = opened(tmp_path, [*answers(94), *(tried(100 + n, "server_error") for n in range(3))])
    [part] = [one for one in findings(run, drawn=False).sections if one.name == "errors"]
    table, sentence = part.parts
    assert [cell.text for cell in table.rows[0].cells] == [
        "server_error", "500", "3", "HTTP 500: 100", "3.0 %", f"bench show {tmp_path} 100",
    ]  # fmt: skip
    assert sentence.text == "m: 3 earlier attempts, of 100 in all, failed and were sent again"


def test_many_kinds_of_failures_are_referred_to_their_table(tmp_path):
    words = ("auth", "invalid", "timeout", "empty", "truncated")
    run = opened(tmp_path, [*answers(20), *(failed(50 + n, word) for n, word in enumerate(words))])
    _, _, (text, _), _, (_, steps) = told(run)
    assert text.endswith("1 auth, 1 invalid, 1 timeout, 2 in other ways.")
    assert steps[0] == "Read What failed, below: 5 kinds of failures, each with one request to open."


def test_a_run_that_mostly_failed_shows_what_failed_before_its_figures(tmp_path):
    run = opened(tmp_path, [*answers(20), *(failed(50 + n, "auth") for n in range(80))])
    names = [section.name for section in findings(run, drawn=False).sections]
    assert names[:3] == ["glance", "errors", "summary"]
    assert told(run)[2][0] == "To be trusted: yes, but the figures are of the 20 requests that succeeded."
    usual = opened(tmp_path / "usual", [*answers(80), *(failed(100 + n, "auth") for n in range(20))])
    assert [section.name for section in findings(usual, drawn=False).sections][:3] == ["glance", "summary", "errors"]


def test_a_run_without_any_answer_is_not_to_be_trusted_and_not_timed(tmp_path):
    run = opened(tmp_path, [failed(n, "connect", error="connection refused") for n in range(20)])
    (text, _), (trust, _), (_, steps) = told(run)
    assert trust == "To be trusted: there is nothing to trust, since no request succeeded."
    assert text.startswith("Failed: 20 of 20 requests (100 %): 20 connect.")
    assert steps[0].startswith("connect: check the address, and that the server runs.")


def test_a_suspect_measurement_says_why_and_its_remedy(tmp_path):
    late = [{"worker": 0, "t": 2.0 + at, "hub_lag_s": [0.0002] * 50, "cpu": 0.95, "gc_s": 0.0, "users": 2,
             "in_flight": 2, "clock_step_s": 0.0} for at in range(9)]  # fmt: skip
    run = opened(tmp_path, answers(), health=late)
    *_, (trust, _), (_, steps) = told(run)
    assert trust.startswith("To be trusted: with care, the measurement is suspect: ")
    assert "95 %" in trust
    assert not trust.endswith("less to do.")
    assert steps[0] == "Measure again: use fewer users or a lower rate, or a machine with less to do."


@pytest.mark.parametrize(
    ("pace", "words", "step"),
    [
        (
            (10.0, 20.0, 21.0),
            "More than 4 users bring no more answers: 20.0/s there, 21.0/s at 8 users;",
            "Plan for at most 4 users: at 8 users, only 0 % of the requests meet the SLO. To know it more exactly, ask with loads from 4 to 8 users.",
        ),
        (
            (10.0, 20.0, 40.0),
            "The server's limit was not reached: 40.0 answers/s at 8 users, more than before.",
            "Plan for at most 4 users: at 8 users, only 0 % of the requests meet the SLO.",
        ),
    ],
)
def test_a_sweep_says_from_which_load_on_more_brings_nothing(tmp_path, pace, words, step):
    steps, records, seq = [], [], 0
    for place, (users, rate) in enumerate(zip((2, 4, 8), pace, strict=True)):
        begin = 10.0 * place
        name = f"{users} users"
        steps.append({"name": name, "began": begin, "ended": begin + 10.0, "ended_by": "duration", "users": users})
        for n in range(int(rate * 10)):
            sent = begin + n / rate * 0.9
            first, done = (sent + 0.2 * users / 8, sent + 0.5) if place < 2 else (sent + 0.3, sent + 0.5)
            records.append(record(seq, stage=name, sent=sent, first_token_at=first, first_answer_at=first, done=done,
                                  headers_at=sent + 0.01, arrivals=[(first, 1), (done, 4)]))  # fmt: skip
            seq += 1
    run = opened(tmp_path, records, steps=steps, scenario={"load": {"users": [2, 4, 8], "duration": 10.0},
                 "slo": {"ttft": 0.25}}, end={"measure": [0.0, 30.0], "duration_s": 31.0})  # fmt: skip
    text = told(run)[0][0]
    assert text.startswith(words)
    assert text.endswith("Up to 4 users, 95 % of the requests or more meet the SLO (TTFT at most 250 ms).")
    assert told(run)[-1][1][0].startswith(step)


@pytest.mark.parametrize(
    ("expressions", "failing", "text", "details"),
    [
        (["ttft p95 < 1s"], 0, "Judged: passed: ttft p95 < 1s (got 500 ms).", ()),
        (["ttft p95 < 1s", "error_rate < 5%"], 0,
         "Judged: all passed: ttft p95 < 1s (got 500 ms), error_rate < 5% (got 0 %).", ()),
        (["ttft p95 < 100ms", "error_rate < 5%"], 0, "Judged: failed, by 1 of 2 thresholds.",
         ("ttft p95 < 100ms: fail, got 500 ms",)),
        (["ttft p95 < 1s"], 100, "Judged: failed, by 1 of 1 threshold.",
         ("ttft p95 < 1s: fail, since 100 of 800 requests failed, and count as slower than any limit; got 500 ms of the answers alone",)),
        (["ttft p99.9 < 100ms"], 0, "Judged: failed, by 1 of 1 threshold.",
         ("ttft p99.9 < 100ms: fail, since 700 of 700 requests took 100ms or longer; p99.9 itself is shown from 6,636 answers on",)),
        (["error_rate < 0.1%"], 0, "Judged: inconclusive, by 1 of 1 threshold.", None),
    ],
)  # fmt: skip
def test_it_is_said_what_each_threshold_asked_for_and_got(tmp_path, expressions, failing, text, details):
    records = [*answers(), *(failed(800 + n, "server_error") for n in range(failing))]
    found = told(opened(tmp_path, records, scenario={"thresholds": expressions}))[1]
    assert found[0] == text
    assert details in (found[1], None)


def test_the_page_shows_it_first_and_says_that_nothing_was_judged(tmp_path):
    run = opened(tmp_path, answers())
    page = render(run, "html")
    assert page.index('id="glance"') < page.index('id="summary"')
    assert '<span class="badge plain">not judged</span>' in page


def test_a_measurement_of_which_gaps_alone_may_be_off_is_to_be_trusted_for_the_rest(tmp_path):
    summary = opened(tmp_path, answers(30)).summary
    bound = Bound(metric="itl", stat="p99", value=0.01, error=0.003, direction="high")
    reasons = ["ITL may be off, p99 of 10 ms by up to 3 ms too high: read late; use fewer users"]

    def told_of(verdict, *more):
        validity = msgspec.structs.replace(
            summary.validity, verdict=verdict, reasons=[*reasons, *more], bounds=[bound, replace(bound, error=0.0)]
        )
        return trust(msgspec.structs.replace(summary, validity=validity)).text

    off = "ITL may be off, p99 of 10 ms by up to 3 ms too high: read late."
    assert told_of("suspect") == f"To be trusted: all but ITL. {off}"
    assert told_of("suspect", "another").startswith("To be trusted: with care, the measurement is suspect: ITL may")
    assert told_of("invalid") == f"To be trusted: no, the measurement is invalid: {off}"


def test_only_measured_stages_are_counted_and_said_to_be(tmp_path):
    steps = [{"name": name, "began": began, "ended": began + 5.0, "ended_by": "duration", "users": 2}
             for name, began in (("one", 0.0), ("two", 5.0))]  # fmt: skip
    records = [record(n, stage=name) for n, name in enumerate(("one", "two"))]
    detail = heading(opened(tmp_path / "all", records, steps=steps), Conclusion()).detail
    assert "2 stages of 5 s each" in detail
    warm = [STEP | {"name": "warm", "began": 0.0, "ended": 0.0, "users": 2, "measured": False}, *steps]
    detail = heading(opened(tmp_path / "warm", records, steps=warm), Conclusion()).detail
    assert "2 measured stages of 5 s each" in detail


def test_raw_clients_alone_are_not_told_to_try_again(tmp_path):
    steps = [{"name": name, "began": began, "ended": began + 5.0, "ended_by": "duration", "rate": 4.0}
             for name, began in (("raw", 0.0), ("polite", 5.0))]  # fmt: skip
    load = {"rate": 4.0, "duration": 5.0, "clients": ["raw", "polite"]}
    refused = [failed(n, "throttled", stage="raw", sent=2.0, done=2.1, status=429) for n in range(4)]
    calm = [record(100 + n, stage=name) for n in range(20) for name in ("raw", "polite")]
    *_, (_, advice) = told(opened(tmp_path / "raw", [*refused, *calm], steps=steps, scenario={"load": load}))
    assert advice[0].startswith(
        "throttled: send less: it hit raw clients alone, which never try again; kind: rate_limit finds out"
    )
    both = [*refused, failed(50, "throttled", stage="polite", sent=7.0, done=7.1, status=429), *calm]
    *_, (_, advice) = told(opened(tmp_path / "both", both, steps=steps, scenario={"load": load}))
    assert advice[0].startswith("throttled: send less, or set more retries;")
