"""What makes a measurement suspect or invalid, and what a reader should doubt."""

from __future__ import annotations

import itertools

import pytest

from bench.analysis import open_run
from bench.analysis.glance import glance
from tests.runs import failed, record, write_run


def second(**changes):
    healthy = {"t": 3.0, "worker": 0, "hub_lag_s": [0.0003] * 90, "cpu": 0.2, "gc_s": 0.0, "users": 2, "in_flight": 2}
    return healthy | {"clock_step_s": 0.0} | changes


def validity_of(folder, records, *, health=None, **end):
    return open_run(write_run(folder, records, health=health or [second()], end=end)).summary.validity


def test_a_healthy_run_is_valid_and_says_how_it_measured(tmp_path):
    found = validity_of(tmp_path, [record(n) for n in range(20)])
    assert found.verdict == "valid"
    assert found.reasons == []
    assert found.clock == "kernel"
    assert found.hub_lag_s.p99 == pytest.approx(0.0003)
    assert found.send_lag_s is None


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({"cpu": 0.9}, "suspect", "90 % of a core"),
        ({"cpu": 0.99}, "suspect", "may have held back answers/s and tokens/s"),
        (
            {"hub_lag_s": [0.08] * 12},
            "suspect",
            "bench's event loop was late by 80.0 ms on average, so users asked again",
        ),
        ({"hub_lag_s": [0.08] * 12}, "suspect", "up to 7 % too low"),  # 0.08 of 1.08 s
        ({"hub_lag_s": [0.5] * 2}, "invalid", "use fewer users"),
        ({"gc_s": 0.1}, "suspect", "answers/s and tokens/s may be too low by as much"),
        ({"gc_s": 0.3}, "invalid", "garbage collection stopped bench for 30 %"),
        ({"clock_step_s": 1.5}, "suspect", "wall clock was set 1 time while"),
    ],
)
def test_a_client_that_did_not_keep_up_is_called_out(tmp_path, changes, verdict, words):
    found = validity_of(tmp_path, [record(n) for n in range(20)], health=[second(**changes)])
    assert found.verdict == verdict
    assert words in found.reasons[0]


def test_without_kernel_stamps_a_late_loop_weighs_more(tmp_path):
    late = [second(hub_lag_s=[0.04] * 20)]
    stamped = validity_of(tmp_path / "a", [record(n) for n in range(20)], health=late)
    unstamped = validity_of(tmp_path / "b", [record(n, clock="user") for n in range(20)], health=late)
    assert stamped.verdict == "valid"
    assert unstamped.verdict == "suspect"
    assert "TTFT may be off, p50 of 500 ms by up to 40 ms too high" in unstamped.reasons[0]


def test_late_sending_weighs_in_an_open_loop(tmp_path):
    records = [record(n, due=1.5) for n in range(20)]
    scenario = {"load": {"rate": 5.0, "duration": 10.0}}
    run = open_run(write_run(tmp_path, records, scenario=scenario))
    assert run.summary.validity.verdict == "invalid"
    assert "500.0 ms after they were due" in run.summary.validity.reasons[0]


def test_requests_that_were_due_and_never_sent_are_counted(tmp_path):
    found = validity_of(tmp_path, [record(n) for n in range(20)], planned=40)
    assert found.verdict == "invalid"
    assert "20 of 40 requests that were due were never sent" in found.reasons[0]


def test_a_request_without_its_record_makes_the_run_invalid(tmp_path):
    found = validity_of(tmp_path, [record(n) for n in range(20)], sent=21, planned=21)
    assert found.verdict == "invalid"
    assert "1 of 21 requests left no record" in found.reasons[0]


def stream(n, *, ttft=0.1, head=None, arrivals=5, at=2.0, gap=0.01, together=1, **changes):
    """A stream whose first `together` tokens shared a read, sent at `at` s; `head` is when its head came."""
    first = at + ttft
    times = [first] * together + [first + gap * (1 + place) for place in range(arrivals - together)]
    facts = {"sent": at, "headers_at": first if head is None else at + head, "first_token_at": first,
             "first_answer_at": first, "arrivals": [(time, 1) for time in times], "done": times[-1] + 0.001,
             "merged": together - 1, "completion_tokens": arrivals}  # fmt: skip
    return record(n, **facts | changes)


BUSY = [0.0002] * 20 + [0.05] + [0.0002] * 60  # of a second that ends at 3 s: late by 50 ms, until 2.379 s or so


@pytest.mark.parametrize(
    ("records", "lags", "verdict", "late"),
    [
        ([stream(n, together=1) for n in range(20)], [0.05] * 16, "valid", 0.0),  # each token has a read of its own
        ([stream(n, together=3) for n in range(20)], [0.0002] * 95, "valid", 0.0),  # a gateway sent them together
        ([stream(n, together=3) for n in range(20)], [0.04] * 20, "invalid", 1.0),
        ([stream(n, together=3) for n in range(20)], [0.02] * 30, "suspect", 1.0),
        ([stream(n, together=3, head=0.0995) for n in range(20)], [0.04] * 20, "valid", 0.0),  # the head was read before
        ([stream(n, together=3, read_delay=0.03) for n in range(5)], [0.04] * 20, "valid", 1.0),  # too few to judge
        ([stream(n, together=3 if n < 3 else 1) for n in range(20)], [0.04] * 20, "valid", 0.15),  # not the median's
        ([stream(n, together=3, at=2.2) for n in range(20)], BUSY, "valid", 0.0),  # before
        ([stream(n, together=3, at=2.25) for n in range(20)], BUSY, "invalid", 1.0),  # while it was late
        ([stream(n, together=3, at=2.4) for n in range(20)], BUSY, "valid", 0.0),  # afterwards
        ([stream(n, together=5) for n in range(20)], [0.04] * 20, "invalid", 1.0),
        ([stream(n, clock="user", ttft=1.0) for n in range(20)], [0.0008] * 90, "valid", 0.0),
        ([stream(n, clock="user") for n in range(20)], [0.008] * 55, "suspect", 1.0),
    ],
    ids=["apart", "gateway", "late", "less late", "head before", "few", "a tail", "before", "while", "after", "whole",
         "user", "user, late"],
)  # fmt: skip
def test_late_reads_are_judged_by_what_they_may_have_done_to_a_percentile(tmp_path, records, lags, verdict, late):
    found = open_run(
        write_run(tmp_path, records, health=[second(hub_lag_s=lags)], scenario={"load": {"rate": 5.0}})
    ).summary.validity
    assert found.late_first_reads == pytest.approx(late)
    assert found.verdict == verdict, found.reasons


def test_the_bound_is_the_percentile_of_the_earliest_arrivals_that_can_be(tmp_path):
    records = [stream(n, together=1 + n % 2, ttft=0.1 + 0.001 * n) for n in range(20)]
    found = validity_of(tmp_path, records, health=[second(hub_lag_s=[0.03] * 25)])
    [bound] = [one for one in found.bounds if one.metric == "ttft"]
    # Of 100, 101, … 119 ms every other one may be 30 ms less: the tenth of them all is then 89 ms, not 109 ms.
    assert (bound.stat, bound.value, bound.error) == ("p50", pytest.approx(0.109), pytest.approx(0.02))


def gapped(n, gaps, at=2.0):
    """A stream with these gaps, its first token after 0.1 s."""
    times = list(itertools.accumulate(gaps, initial=at + 0.1))
    facts = {"sent": at, "headers_at": at + 0.05, "first_token_at": times[0], "first_answer_at": times[0]}
    return record(n, **facts, arrivals=[(time, 1) for time in times], done=times[-1] + 0.001)


EVEN, MERGED, BY_TWO = [0.01] * 24, [0.04, 0.0, 0.0, 0.0] * 6, [0.02, 0.0] * 12


@pytest.mark.parametrize(
    ("early", "later", "errors"),
    [
        (EVEN, MERGED, (0.0, 0.03, 0.03)),  # 40 ms were 10 ms: the late client's doing
        (MERGED, MERGED, (0.0, 0.0, 0.0)),  # as before: a gateway's
        (BY_TWO, BY_TWO, (0.0, 0.0, 0.0)),
        (EVEN, EVEN, (0.0, 0.0, 0.0)),
    ],
    ids=["late", "gateway", "gateway by two", "apart"],
)
def test_gaps_are_held_against_a_late_client_only_where_more_are_0_than_usual(tmp_path, early, later, errors):
    health = [second(hub_lag_s=[0.0002] * 50 + [0.04] * 10)]  # calm until 2.5 s, then late
    records = [gapped(n, early) for n in range(20)] + [gapped(20 + n, later, at=2.5) for n in range(20)]
    open_loop = {"load": {"rate": 5.0, "duration": 10.0}}
    found = open_run(write_run(tmp_path, records, health=health, scenario=open_loop)).summary.validity
    bounds = [one for one in found.bounds if one.metric == "itl"]
    assert [one.stat for one in bounds] == ["p50", "p95", "p99"]
    assert [one.error for one in bounds] == pytest.approx(errors, abs=1e-6)
    assert found.verdict == ("suspect" if any(errors) else "valid")
    assert not any(errors) or "p95 of 40 ms by up to 30 ms too high" in found.reasons[0]


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([stream(n, ttft=1.0, together=5) for n in range(20)], "20 of 20 streams came in one piece"),
        (
            [stream(n, ttft=1.0, together=5 if n % 2 else 1, gap=0.05) for n in range(20)],
            "10 of 20 streams came in one piece",
        ),
        ([stream(n, ttft=1.0, together=5 if n < 9 else 1, gap=0.05) for n in range(20)], None),
        ([stream(n, ttft=1.0, together=2, gap=0.05) for n in range(20)], None),  # a gateway that merges some
        ([stream(n, ttft=1.0, arrivals=4, together=4) for n in range(20)], None),  # too short to tell
        ([stream(n, ttft=1.0, together=5) for n in range(2)], None),  # too few
    ],
    ids=["all", "half", "fewer", "merged", "short", "few"],
)
def test_a_stream_that_comes_whole_raises_a_doubt_by_name(tmp_path, records, told):
    doubts = open_run(write_run(tmp_path, records)).summary.doubts
    found = [doubt for doubt in doubts if "buffers the stream" in doubt]
    assert len(found) == (told is not None)
    assert told is None or (told in found[0] and "proxy_buffering" in found[0])


def test_without_health_nobody_knows(tmp_path):
    folder = write_run(tmp_path, [record(n) for n in range(20)])
    (folder / "health.jsonl").unlink()
    assert open_run(folder).summary.validity.verdict == "suspect"


IN_PAIRS = [(2.5, 1), (2.5, 1), (2.7, 1), (2.7, 1), (2.9, 1)]


@pytest.mark.parametrize(
    ("records", "end", "words"),
    [
        ([record(n) for n in range(20)], {"stopped_by": "interrupt"}, "was interrupted"),
        ([record(0), failed(1, "censored")], {}, "1 request had no answer yet when the run ended"),
        ([record(0, tokens_from="events")], {}, "events were counted instead"),
        (
            [record(n) for n in range(20)],
            {},
            "p90 and higher percentiles not shown: p90 needs 64 successful requests, had 20; run longer",
        ),
        ([record(0, reopened=True)], {}, "the server had closed 1 connection between requests"),
        (
            [record(0, polls=4, unfinished_at=2.9), record(1, polls=4, unfinished_at=2.7)],
            {},
            "may have ended up to 100 ms (p50) before its E2E says",
        ),
        (
            [record(n, arrivals=IN_PAIRS) for n in range(20)],
            {},
            "several tokens often arrived at once (50 % of m's gaps are 0)",
        ),
    ],
)
def test_doubts_are_said_aloud(tmp_path, records, end, words):
    run = open_run(write_run(tmp_path, records, end=end))
    assert any(words in doubt for doubt in run.summary.doubts)


@pytest.mark.parametrize(("tokens", "told"), [(50, True), (112, True), (109, False)])
def test_models_that_answer_at_different_length_are_not_compared_by_their_end(tmp_path, tokens, told):
    said = doubts_of_two(tmp_path, {"completion_tokens": tokens, "output_chars": 4 * tokens})
    assert any("compare TTFT and TPOT, not E2E" in doubt for doubt in said) == told


def doubts_of_two(folder, other):
    """Of a run of two models, the first of which answers with 100 tokens and 400 characters."""
    records = [record(0, completion_tokens=100, output_chars=400), record(1, model="n", **other)]
    return open_run(write_run(folder, records, scenario={"models": ["m", "n"]})).summary.doubts


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"completion_tokens": 150, "output_chars": 410}, True),
        ({"completion_tokens": 105, "output_chars": 400}, False),
        ({"completion_tokens": 150, "output_chars": 600}, False),
        ({"completion_tokens": 150, "output_chars": 0}, False),  # nobody counted
        ({"completion_tokens": 150, "reasoning_tokens": 50, "output_chars": 400}, False),
    ],
)
def test_models_whose_tokens_are_not_the_same_are_not_compared_by_them(tmp_path, other, told):
    words = "(mean tokens: m 100, n 150, for about as many characters), so compare TTFT and E2E, not TPOT and tokens/s"
    assert any(words in doubt for doubt in doubts_of_two(tmp_path, other)) == told


@pytest.mark.parametrize(
    ("tokens", "arrivals", "told"),
    [
        (30, 3, "10.0 tokens come in an event of m, so its TPOT may be up to 31 % too low"),
        (30, 30, None),
        (31, 30, None),  # the end mark is counted too
        (600, 60, None),  # one event of so many hardly matters
    ],
)
def test_events_of_many_tokens_are_a_doubt_of_tpot(tmp_path, tokens, arrivals, told):
    events = [(2.5 + n / 100, 1) for n in range(arrivals)]
    records = [record(n, completion_tokens=tokens, arrivals=events, done=4.0) for n in range(20)]
    found = [doubt for doubt in open_run(write_run(tmp_path, records)).summary.doubts if "come in an event" in doubt]
    assert found == ([] if told is None else found[:1])
    assert told is None or found[0].startswith(told)


def test_a_run_without_warm_up_is_told_so(tmp_path):
    run = open_run(write_run(tmp_path, [record(0)], scenario={"load": {"users": 2, "duration": 10.0}}))
    assert any("no warm-up" in doubt for doubt in run.summary.doubts)


def test_a_worker_that_died_makes_the_run_invalid(tmp_path):
    found = validity_of(tmp_path, [record(n) for n in range(20)], stopped_by="worker")
    assert found.verdict == "invalid"
    assert "a worker process died" in found.reasons[0]


def test_the_busiest_of_several_processes_counts(tmp_path):
    lines = [second(worker=0, cpu=0.1), second(worker=1, cpu=0.9), second(worker=1, cpu=0.94)]
    found = validity_of(tmp_path, [record(n) for n in range(20)], health=lines)
    assert found.cpu == pytest.approx(0.92)
    assert found.verdict == "suspect"


def test_waiting_as_a_server_asks_is_no_late_sending(tmp_path):
    first = {"sent": 2.0001, "done": 2.1, "status": 429, "outcome": "throttled", "retry_after": 2.0, "waited": 2.0}
    records = [record(n, due=2.0, sent=4.1, done=5.0, first_token_at=4.5, first_answer_at=4.5, arrivals=[(4.5, 5)],
                      earlier=[first], attempts=2) for n in range(20)]  # fmt: skip
    run = open_run(write_run(tmp_path, records, scenario={"load": {"rate": 2.0, "duration": 10.0, "warmup": 1.0}}))
    assert run.summary.validity.verdict == "valid", run.summary.validity.reasons
    assert run.summary.validity.send_lag_s.max == pytest.approx(0.0001)


def in_a_stage(folder, length, *, users=64, took=11.0, **stage):
    """Twenty answers to requests of a stage that began at 1 s; half of them were sent at its end."""
    end = 1.0 + length
    records = [record(n, stage="64 users", sent=at, headers_at=at + 0.1, first_token_at=at + 0.2, first_answer_at=at + 0.2,
                      arrivals=[(at + 0.2, 5)], done=at + took) for n, at in enumerate([1.1] * 10 + [end - 0.1] * 10)]  # fmt: skip
    step = {"name": "64 users", "began": 1.0, "ended": end, "ended_by": "duration", "users": users} | stage
    return open_run(write_run(folder, records, steps=[step], end={"measure": [1.0, end], "duration_s": 60.0}))


def test_a_stage_of_users_that_is_over_before_their_answers_come_is_a_doubt(tmp_path):
    run = in_a_stage(tmp_path, 5.0)
    [told] = [doubt for doubt in run.summary.doubts if "burst" in doubt]
    assert told == (
        "64 users: answers took longer (11 s, p50) than the stage (5 s), and 20 of 20 requests were answered after its "
        "end, so latencies are those of a burst, not of users who ask again and again; let the stage last 44 s or longer"
    )
    [trusted] = [sentence for sentence in glance(run) if sentence.text.startswith("To be trusted")]
    assert trusted.tone == "doubt"
    assert trusted.text.endswith("But latencies of 64 users are those of a burst: answers took longer than the stage.")


def test_the_only_stage_of_a_load_needs_no_name_to_be_called_too_short(tmp_path):
    records = [record(n, done=15.0) for n in range(12)]
    run = open_run(write_run(tmp_path, records, scenario={"load": {"users": 12, "duration": 10.0}}))
    assert any(
        doubt.startswith("answers took longer (13 s, p50) than the stage (10 s)") for doubt in run.summary.doubts
    )
    assert any("But latencies are those of a burst" in sentence.text for sentence in glance(run))


@pytest.mark.parametrize(
    ("level", "ramp", "told"),
    [
        ({"users": 40.0}, 60.0, ["8 users: the ramp to 40 users takes 60 s, but the stage is over after 10 s, so this is "
                                 "no load of 40 users; let the stage last longer, or make the ramp shorter"]),
        ({"rate": 2.5}, 10.5, ["8 users: the ramp to 2.50 requests/s takes 10.5 s, but the stage is over after 10 s, so "
                               "this is no load of 2.50 requests/s; let the stage last longer, or make the ramp shorter"]),
        ({"users": 40.0}, 10.000001, []),  # times are rounded
    ],
)  # fmt: skip
def test_a_stage_that_is_over_before_its_ramp_is_no_load_of_its_level(tmp_path, level, ramp, told):
    step = {"name": "8 users", "began": 1.5, "ended": 11.5, "ramp_s": ramp} | level
    run = open_run(write_run(tmp_path, [record(n, stage="8 users") for n in range(9)], steps=[step]))
    assert [doubt for doubt in run.summary.doubts if "ramp" in doubt] == told


@pytest.mark.parametrize(
    ("users", "sent", "ended_by", "told"),
    [
        (64, 20, "requests", ["64 users: at most 20 of the 64 users ever ask, since only 20 requests are sent, so this "
                              "is no load of 64 users; set more requests, or fewer users"]),
        (20, 20, "requests", []),
        (64, 20, "duration", []),  # the report of a short stage has a sentence of its own
        (None, 20, "requests", []),
    ],
)  # fmt: skip
def test_users_who_never_asked_are_no_load(tmp_path, users, sent, ended_by, told):
    run = in_a_stage(tmp_path, 20.0, took=1.0, users=users, planned=sent, sent=sent, ended_by=ended_by)
    assert [doubt for doubt in run.summary.doubts if "ever ask" in doubt] == told


def test_a_stage_longer_than_its_answers_or_of_arrivals_is_no_burst(tmp_path):
    longer = in_a_stage(tmp_path / "longer", 12.0)
    arrivals = in_a_stage(tmp_path / "arrivals", 5.0, users=None, rate=4.0)
    assert not any("burst" in doubt for run in (longer, arrivals) for doubt in run.summary.doubts)
    assert not any("burst" in sentence.text for run in (longer, arrivals) for sentence in glance(run))
