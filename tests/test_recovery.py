"""What a spike cost, and whether the server was as quick afterwards as before, from records whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from bench.analysis import open_run
from bench.analysis.facts import AskedLoad
from bench.analysis.glance import glance
from bench.analysis.recovery import spikes_of
from bench.experiments.general import findings
from bench.records import StepLine
from tests.runs import STEP, failed, record, write_run
from tests.test_curve import stage

LENGTH, EACH = 8.0, 160
CALM, SPIKE, AFTER = "calm", "spike", "after"


def staged(*levels, unit="users", names=(CALM, SPIKE, AFTER)):
    """Stages of these loads, one after the other."""
    return [stage(name, LENGTH * place, LENGTH * (place + 1), **{unit: level})
            for place, (name, level) in enumerate(zip(names, levels, strict=True))]  # fmt: skip


def answers(place, wait, many=EACH, **changes):
    """Answers of one stage, evenly sent; `wait` gives the time to the first token at a moment of the stage."""
    found = []
    for n in range(many):
        at = LENGTH * n / many
        sent, first = LENGTH * place + at, LENGTH * place + at + wait(at) + 0.001 * (n % 7)
        times = {
            "sent": sent,
            "headers_at": sent,
            "first_token_at": first,
            "first_answer_at": first,
            "done": first + 1.0,
        }
        name = (CALM, SPIKE, AFTER)[place]
        found.append(record(1000 * place + n, stage=name, arrivals=[(first, 5)], **times | changes))
    return found


def lost(place, many):
    """Requests without an answer, in the middle of a stage."""
    at = [LENGTH * (place + (n + 0.5) / many) for n in range(many)]
    name = (CALM, SPIKE, AFTER)[place]
    return [failed(1000 * place + 500 + n, "overloaded", stage=name, sent=sent, done=sent + 0.1)
            for n, sent in enumerate(at)]  # fmt: skip


def opened(folder, records, levels=(30, 90, 30), unit="users", **scenario):
    steps = staged(*levels, unit=unit)
    end = {"measure": [0.0, 3 * LENGTH], "duration_s": 3 * LENGTH + 2.0}
    return open_run(write_run(folder, records, steps=steps, end=end, scenario=scenario))


def told(run):
    """The first sentence of the report, its lines, and what to do next."""
    first, *_, last = glance(run)
    return first.text, first.details, last.details if last.text == "What to do next:" else ()


def even(wait):
    return lambda _at: wait


def test_a_server_that_recovers_is_said_to_and_the_figures_of_each_stage_stand_below(tmp_path):
    records = [*answers(0, even(0.1)), *answers(1, even(0.3)), *answers(2, even(0.1)), *lost(1, 40)]
    text, lines, steps = told(opened(tmp_path, records, slo={"ttft": 0.2}))
    assert text == (
        "The spike from 30 to 90 users made TTFT p50 2.94 times as long and made 20.0 % of the requests fail. Back at 30 "
        "users, the server was about as quick as before."
    )
    assert lines == (
        "Before (calm): TTFT 103 ms (p50), 106 ms (p95); none of 160 requests failed, 100 % met the SLO",
        "In the spike (spike): TTFT 303 ms (p50), 306 ms (p95); 40 of 200 requests failed, 0 % met the SLO",
        "Afterwards (after): TTFT 103 ms (p50), 106 ms (p95); none of 160 requests failed, 100 % met the SLO",
    )
    assert not any("Plan for" in step or "Ask with" in step or "the spike" in step for step in steps)


AGAIN = "Let the stage after the spike last longer, to see when the server recovers."
LONGER = "Let the stages before and after the spike last longer, to see whether the server recovers."


@pytest.mark.parametrize(
    ("after", "words", "step"),
    [
        (
            answers(2, even(0.11)),
            "the server was about as quick as before",
            None,
        ),  # a tenth is within what servers vary by
        (answers(2, even(0.05)), "the server was about as quick as before", None),
        (
            answers(2, lambda at: max(0.1, 3.0 - at)),
            "it took the server at most 4 s to be about as quick as before",
            None,
        ),
        (
            answers(2, even(0.2)),
            "the server did not recover within 8 s: in the last 2 s, TTFT p50 was 1.97 times that of before",
            AGAIN,
        ),
        (
            [*answers(2, even(0.1)), *lost(2, 80)],
            "the server did not recover within 8 s: in the last 2 s, 33.3 % of the requests failed",
            AGAIN,
        ),
        (
            lost(2, 80),
            "the server did not recover within 8 s: in the last 2 s, 100 % of the requests failed",
            AGAIN,
        ),
    ],
)
def test_what_comes_after_a_spike_is_told_by_what_the_answers_show(tmp_path, after, words, step):
    run = opened(tmp_path, [*answers(0, even(0.1)), *answers(1, even(0.1)), *after])
    text, _, steps = told(run)
    assert text == (f"The spike from 30 to 90 users did not make TTFT p50 clearly longer. Back at 30 users, {words}.")
    assert [one for one in steps if one in (AGAIN, LONGER)] == ([step] if step else [])


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (answers(2, even(0.1), many=8), "too few answers tell"),
        (answers(2, even(0.1), prompt_tokens=300), "what was asked is not of the same length"),
        (answers(2, lambda at: 0.1 if at % 1 < 0.5 else 0.4), "too few answers tell"),  # now quick, now slow
    ],
)
def test_where_the_answers_do_not_show_it_nothing_is_claimed(tmp_path, after, reason):
    run = opened(tmp_path, [*answers(0, even(0.1)), *answers(1, even(0.1), many=8), *after], unit="rate")
    text, _, steps = told(run)
    assert text == (
        "What the spike from 30 to 90 requests/s cost is not clear: too few answers tell. Whether the server was as quick "
        f"as before when back at 30 requests/s is not clear: {reason}."
    )
    assert LONGER in steps


def test_each_model_has_a_sentence_and_answers_that_do_not_stream_are_told_by_their_e2e(tmp_path):
    whole = {"arrivals": [], "first_token_at": None, "first_answer_at": None, "stream": False}
    records = [
        replace(one, seq=one.seq + 5000 * place, model=model, **(whole if model == "b" else {}))
        for place, model in enumerate("ab")
        for one in [*answers(0, even(0.1)), *answers(1, even(3.0)), *answers(2, even(0.1))]
    ]
    first, second, *_ = glance(opened(tmp_path, records, models=["a", "b"]))
    assert first.text.startswith(
        "a: The spike from 30 to 90 users in all made TTFT p50 29.2 times as long. Back at 30 users in all"
    )
    assert second.text.startswith("b: The spike from 30 to 90 users in all made E2E p50 3.63 times as long. Back at")
    assert second.details[0].startswith("Before (calm): E2E 1,103 ms (p50)")


def test_a_load_of_two_levels_has_no_load_curve_and_one_of_more_has_both(tmp_path):
    records = [*answers(0, even(0.1)), *answers(1, even(0.3)), *answers(2, even(0.1))]
    back = findings(opened(tmp_path / "spike", records))
    assert "curve" not in [one.name for one in back.sections]
    sweep = opened(tmp_path / "sweep", records, levels=(30, 60, 90))
    assert "curve" in [one.name for one in findings(sweep).sections]
    assert not told(sweep)[0].startswith("The spike")


@pytest.mark.parametrize(
    ("levels", "found"),
    [
        ((5, 50, 5), ("0", "1", "2")),
        ((5, 50, 5, 80, 5), ("0", "3", "4")),  # the highest of two spikes, and the last stage
        ((1, 10, 20, 40, 20, 10), ("1", "3", "5")),
        ((5, 50, 10), None),
        ((50, 5, 50), None),  # a dip
        ((5, 5), None),
    ],
)
def test_a_spike_is_a_level_that_is_left_for_a_higher_one_and_comes_back(levels, found):
    def spikes(**changes):
        steps = [msgspec.convert(STEP | stage(str(n), n, n + 1.0, rate=level) | changes.get(f"at_{n}", {}), StepLine)
                 for n, level in enumerate(levels)]  # fmt: skip
        return [(one.before.name, one.top.name, one.after.name) for one in spikes_of(steps, AskedLoad())]

    assert spikes() == ([found] if found else [])
    if len(levels) == 3 and found:
        assert spikes(at_1={"measured": False, "ramp_s": 1.0}) == [found], (
            "a ramp to the spike costs nothing that is told"
        )
        assert not spikes(at_2={"ramp_s": 0.9}), "a load that goes on falling is not back"
        assert not spikes(at_0={"measured": False}), "what is not measured is not known"
        assert not spikes(at_1={"rate": None, "users": 50}), "users and rates are not of one scale"


def test_one_kind_of_client_after_the_other_is_no_spike():
    levels = [(level, client) for level in (5, 50) for client in ("raw", "polite")]
    steps = [msgspec.convert(STEP | stage(f"{level} /s, {client}", n, n + 1.0, rate=level), StepLine)
             for n, (level, client) in enumerate(levels)]  # fmt: skip
    assert not spikes_of([*steps[2:], *steps[:2]], AskedLoad(clients=("raw", "polite")))
    assert not spikes_of(steps, AskedLoad(clients=("raw", "polite")))
