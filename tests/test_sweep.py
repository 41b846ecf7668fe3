"""What a sweep shows: up to which load a server keeps up, and which loads to ask with next."""

from __future__ import annotations

import pytest

from bench.analysis.curve import Curve
from bench.analysis.sweep import after_a_sweep, one_rate, sweep
from tests.test_curve import point


def rates(*levels, models=("m",), **more):
    """A sweep of rates: of each its answers per second, and what else its point has."""
    points = [point(float(load), latencies=point(load).latencies, requests_per_s=answers, offered_per_s=float(load),
                    goodput=None, **changes) for load, answers, changes in levels]  # fmt: skip
    return Curve("requests/s offered", tuple(points), models, **more)


GROWING = {"waits_grow": True}


@pytest.mark.parametrize(
    ("levels", "told", "step"),
    [
        (
            [(5, 5.0, {}), (10, 10.0, {}), (40, 40.0, {})],
            "The server's limit was not reached: 40.0 answers/s at 40 requests/s offered, more than before.",
            "Ask with more than 40 requests/s offered, to find the server's limit.",
        ),
        (
            [(5, 5.0, {}), (10, 10.0, {}), (40, 21.5, GROWING)],
            "The server does not keep up with 40 requests/s offered: 21.5 answers/s for 40.0 requests/s, and requests "
            "wait longer and longer; TTFT p50 goes from 150 to 500 ms.",
            "Plan for at most 10 requests/s offered. To know it more exactly, ask with loads from 10 to 40 requests/s "
            "offered.",
        ),
        (
            [(5, 5.0, {}), (10, 8.5, GROWING), (40, 21.5, GROWING)],  # a burst at the end: 21.5/s were answered later
            "The server does not keep up with 40 requests/s offered: 21.5 answers/s for 40.0 requests/s, and requests "
            "wait longer and longer; TTFT p50 goes from 150 to 500 ms.",
            "Plan for at most 10 requests/s offered. To know it more exactly, ask with loads from 10 to 40 requests/s "
            "offered.",
        ),
        (
            [(5, 5.0, {}), (10, 8.0, {})],
            "It is not clear whether the server keeps up with 10 requests/s offered: 8.00 answers/s for 10.0 requests/s, "
            "while the wait does not grow for long enough.",
            "Run longer, after a warm-up, to see whether the server keeps up with 10 requests/s offered.",
        ),
        (
            [(5, 5.0, {}), (10, 6.0, {"error_rate": 0.4})],
            "The server does not keep up with 10 requests/s offered: 6.00 answers/s for 10.0 requests/s, and 40.0 % of "
            "the requests fail; TTFT p50 goes from 150 to 200 ms.",
            "Plan for at most 5 requests/s offered. To know it more exactly, ask with loads from 5 to 10 requests/s "
            "offered.",
        ),
        (
            [(5, 3.5, {"error_rate": 0.3}), (10, 7.0, {"error_rate": 0.3})],  # not the load's doing
            "The server's limit was not reached: 7.00 answers/s at 10 requests/s offered, more than before.",
            "Ask with more than 10 requests/s offered, to find the server's limit.",
        ),
        (
            [(10, 10.0, {}), (30, 20.4, {}), (45, 20.0, GROWING)],  # 30 for too short a time to show that waits grow
            "The server does not keep up with 30 requests/s offered: 20.4 answers/s for 30.0 requests/s; TTFT p50 goes "
            "from 200 to 400 ms.",
            "Plan for at most 10 requests/s offered. To know it more exactly, ask with loads from 10 to 30 requests/s "
            "offered.",
        ),
        (
            [(5, 4.0, {"error_rate": 0.2}), (10, 4.0, {"error_rate": 0.6})],  # not the lower rate's doing
            "The server does not keep up with 10 requests/s offered: 4.00 answers/s for 10.0 requests/s, and 60.0 % of "
            "the requests fail; TTFT p50 goes from 150 to 200 ms.",
            "Plan for at most 5 requests/s offered. To know it more exactly, ask with loads from 5 to 10 requests/s "
            "offered.",
        ),
        (
            [(20, 19.8, {}), (21, 20.6, {})],  # hardly more answers, since hardly more requests
            "The server's limit was not reached: 20.6 answers/s at 21 requests/s offered, more than before.",
            "Ask with more than 21 requests/s offered, to find the server's limit.",
        ),
        (
            [(20, 20.1, {}), (21, 20.1, {})],
            "The server's limit was not reached: 20.1 answers/s at 21 requests/s offered.",
            "Ask with more than 21 requests/s offered, to find the server's limit.",
        ),
        (
            [(5, 4.0, GROWING), (10, 4.1, GROWING)],
            "The server does not keep up with 5 requests/s offered: 4.00 answers/s for 5.00 requests/s, and requests "
            "wait longer and longer.",
            "Ask with less than 5 requests/s offered, to find what the server keeps up with.",
        ),
    ],
)
def test_a_sweep_of_rates_says_with_which_a_server_does_not_keep_up(levels, told, step):
    curve = rates(*levels)
    assert sweep(curve) == [told]
    assert list(after_a_sweep(curve)) == [step]


def test_a_single_rate_says_whether_a_server_does_not_keep_up_with_it():
    assert one_rate(rates((40, 40.0, {}))) == one_rate(rates((40, 21.5, {}))) == []  # slow answers of a short stage
    beyond = rates((40, 21.5, GROWING))
    assert one_rate(beyond) == [
        "The server does not keep up with 40 requests/s offered: 21.5 answers/s for 40.0 requests/s, and requests wait "
        "longer and longer."
    ]
    assert list(after_a_sweep(beyond)) == [
        "Ask with less than 40 requests/s offered, to find what the server keeps up with."
    ]
    assert list(after_a_sweep(rates((40, 40.0, {})))) == list(after_a_sweep(rates())) == []
    assert one_rate(rates((5, 5.0, {}), (40, 21.5, GROWING))) == []  # told by the sweep


def test_many_more_users_who_bring_few_more_answers_may_be_beyond_the_limit():
    points = [point(load, goodput=None, requests_per_s=answers) for load, answers in ((4, 20.0), (6, 30.0), (30, 40.0))]
    curve = Curve("users", tuple(points), ("m",))
    assert sweep(curve) == [
        "The server's limit may lie between 6 and 30 users: 5 times as many users bring 1.33 times as many answers, "
        "40.0/s; TTFT p50 goes from 160 to 400 ms."
    ]
    assert list(after_a_sweep(curve)) == [
        "To find the server's limit, ask with loads from 6 to 30 users, and with more."
    ]


def test_where_the_first_token_comes_as_soon_as_before_the_sentence_has_the_wait_for_the_whole_answer():
    soon = point(4).latencies["ttft"]
    points = [point(load, goodput=None, requests_per_s=20.0, latencies=point(load).latencies | {"ttft": soon})
              for load in (4, 16)]  # fmt: skip
    assert sweep(Curve("users", tuple(points), ("m",))) == [
        "More than 4 users bring no more answers: 20.0/s there, 20.0/s at 16 users; E2E p50 goes from 1,400 to 2,600 ms."
    ]


def test_users_whose_numbers_hardly_differ_do_not_show_whether_more_of_them_bring_more_answers():
    points = [
        point(load, goodput=None, requests_per_s=answers) for load, answers in ((4, 20.0), (11, 55.0), (12, 54.0))
    ]
    curve = Curve("users", tuple(points), ("m",))
    assert sweep(curve) == [
        "It is not clear whether more than 11 users bring more answers: 55.0/s there, 54.0/s at 12 users, and these loads "
        "hardly differ."
    ]
    assert list(after_a_sweep(curve)) == [
        "Ask with clearly more than 12 users, to see whether they bring more answers."
    ]


def test_each_kind_of_client_has_a_sentence_and_repetitions_have_none():
    points = [point(load, part=part, goodput=None, requests_per_s=load * times)
              for load in (2, 4) for part, times in (("raw", 10.0), ("polite", 5.0), ("again", 1.0))]  # fmt: skip
    assert sweep(Curve("users", tuple(points), ("m",))) == [
        "m, raw: the server's limit was not reached: 40.0 answers/s at 4 users, more than before.",
        "m, polite: the server's limit was not reached: 20.0 answers/s at 4 users, more than before.",
    ]
    assert list(after_a_sweep(Curve("users", tuple(points), ("m",)))) == []


def test_what_has_no_place_on_the_curve_is_told():
    curve = rates((5, 5.0, {}), (10, 10.0, {}), left_out=("climb",))
    assert sweep(curve)[1:] == ["Not on the load curve, since their load changes: climb."]


@pytest.mark.parametrize(
    ("levels", "step"),
    [
        (
            [(1, 0.4, 1.0), (4, 1.6, 0.97), (16, 3.2, 0.25), (64, 3.2, 0.1)],  # though 16 bring more answers
            "Plan for at most 4 users: at 16 users, only 25.0 % of the requests meet the SLO. To know it more exactly, ask with "
            "loads from 4 to 16 users.",
        ),
        (
            [(4, 3.2, 1.0), (8, 3.2, 1.0), (9, 3.2, 0.5)],  # though 4 bring as many answers, and none lies between
            "Plan for at most 8 users: at 9 users, only 50.0 % of the requests meet the SLO.",
        ),
        (
            [(4, 3.2, 1.0), (8, 3.2, 1.0)],
            "Ask with more than 8 users, to find the highest load that meets the SLO.",
        ),
        (
            [(4, 3.2, 0.9), (8, 6.4, 0.5)],
            "Ask with less than 4 users, to find a load that meets the SLO: at 4 users, only 90.0 % of the requests meet the SLO.",
        ),
        (
            [(1, 3.2, 0.9), (8, 6.4, 0.5)],
            "Even at 1 user, only 90.0 % of the requests meet the SLO: find out what takes so long, or allow more time.",
        ),
        (
            [(4, 3.2, None), (8, 3.2, None), (16, 3.2, None)],
            "Plan for at most 4 users: with more of them, requests only wait longer. To know it more exactly, ask with "
            "loads from 4 to 8 users.",
        ),
    ],
)
def test_the_advice_of_a_sweep_is_the_highest_load_that_meets_the_slo(levels, step):
    points = [point(load, requests_per_s=answers, goodput=met) for load, answers, met in levels]
    assert list(after_a_sweep(Curve("users", tuple(points), ("m",)))) == [step]


@pytest.mark.parametrize(("met", "most", "beyond"), [((1.0, 0.5, 0.1), 5, 10), ((1.0, 1.0, 1.0), 10, 40)])
def test_of_a_rate_that_misses_the_slo_and_one_that_is_not_kept_up_with_the_lower_decides(met, most, beyond):
    points = [point(load, requests_per_s=answers, offered_per_s=float(load), goodput=share, waits_grow=load == 40)
              for load, answers, share in zip((5, 10, 40), (5.0, 10.0, 21.5), met, strict=True)]  # fmt: skip
    [step] = after_a_sweep(Curve("requests/s offered", tuple(points), ("m",)))
    assert step.startswith(f"Plan for at most {most} requests/s offered")
    assert step.endswith(f"ask with loads from {most} to {beyond} requests/s offered.")
