"""Every formula against an answer worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from bench.analysis import open_run
from bench.analysis.charges import cost
from bench.analysis.figures import (
    Statistics,
    answers_in,
    dispersion,
    is_failure,
    meets_slo,
    output_tokens_in,
    statistics,
)
from bench.analysis.file_parts import read_large_table
from bench.analysis.per_request import derive
from bench.analysis.timeline import bins, throughput
from bench.analysis.windows import Window
from bench.metrics import FLOORS, OUTCOMES, UNFAILED
from bench.plan.prices import Price
from tests.runs import failed, record, write_run


def derived(folder, *records, window=(0.0, 100.0)):
    return derive(read_large_table([write_run(folder, list(records)) / "records.jsonl"], [window]).rows)


def test_latencies_of_a_stream(tmp_path):
    row = derived(tmp_path, record(0, first_answer_at=2.7)).iloc[0]
    assert row["ttft_s"] == pytest.approx(0.5)
    assert row["ttfa_s"] == pytest.approx(0.7)
    assert row["e2e_s"] == pytest.approx(1.0)
    assert row["tpot_s"] == pytest.approx(0.4 / 4)


def test_latency_from_due_holds_the_wait_that_latency_from_sent_leaves_out(tmp_path):
    row = derived(tmp_path, record(0, due=1.2)).iloc[0]
    assert row["send_lag_s"] == pytest.approx(0.8)
    assert row["ttft_from_due_s"] == pytest.approx(1.3)
    assert row["e2e_from_due_s"] == pytest.approx(1.8)


def test_a_user_that_had_to_wait_after_a_refusal_was_due_before_it_waited(tmp_path):
    rows = derived(tmp_path, record(0), record(1, held_back=0.7), record(2, connect_started=1.9, connected=2.0))
    assert list(rows["e2e_from_due_s"]) == pytest.approx([1.0, 1.7, 1.1])
    assert list(rows["ttft_from_due_s"]) == pytest.approx([0.5, 1.2, 0.6])
    assert rows["send_lag_s"].isna().all(), "no schedule wanted them at any moment"


def test_the_latency_of_a_user_with_retries_has_the_attempts_and_the_waits(tmp_path):
    refused = {"sent": 0.5, "connect_started": None, "done": 0.6, "status": 429, "outcome": "throttled",
               "retry_after": 1.4, "waited": 1.4}  # fmt: skip
    row = derived(tmp_path, record(0, earlier=[refused], attempts=2)).iloc[0]
    assert row["e2e_s"] == pytest.approx(1.0)
    assert row["e2e_from_due_s"] == pytest.approx(2.5)


def test_setting_up_a_connection_is_neither_lag_nor_first_token(tmp_path):
    row = derived(tmp_path, record(0, due=1.9, connect_started=1.9, connected=2.0)).iloc[0]
    assert row["send_lag_s"] == pytest.approx(0.0)
    assert row["connect_s"] == pytest.approx(0.1)
    assert row["ttft_s"] == pytest.approx(0.5)


def test_tpot_leaves_the_tokens_of_the_first_arrival_out(tmp_path):
    arrivals = [(2.5, 3), (2.9, 7)]
    row = derived(tmp_path, record(0, arrivals=arrivals, completion_tokens=10)).iloc[0]
    assert row["tpot_s"] == pytest.approx(0.4 / 7)


def test_tpot_leaves_hidden_reasoning_out(tmp_path):
    arrivals = [(2.5 + 0.02 * n, 1) for n in range(100)]
    row = derived(tmp_path, record(0, arrivals=arrivals, completion_tokens=1000, reasoning_tokens=900, done=5.0)).iloc[
        0
    ]
    assert row["tpot_s"] == pytest.approx(0.02)


def test_tpot_counts_reasoning_that_was_streamed(tmp_path):
    row = derived(tmp_path, record(0, reasoning_tokens=3, first_answer_at=2.8)).iloc[0]
    assert row["tpot_s"] == pytest.approx(0.1)


def test_one_token_has_no_time_per_token(tmp_path):
    row = derived(tmp_path, record(0, arrivals=[(2.5, 1)], completion_tokens=1)).iloc[0]
    assert math.isnan(row["tpot_s"])


def test_a_request_failed_unless_it_is_ok_or_was_still_open_at_the_end():
    outcomes = pd.Series(OUTCOMES)
    assert set(outcomes[~is_failure(outcomes)]) == set(UNFAILED) == {"ok", "censored"}


def test_a_percentile_is_a_measured_value():
    found = statistics(np.arange(1, 1001))
    assert [found.p50, found.p90, found.p95, found.p99, found.max] == [500, 900, 950, 990, 1000]
    assert found.mean == 500.5
    assert found.n == 1000


@pytest.mark.parametrize(("name", "floor"), FLOORS.items())
def test_a_percentile_is_withheld_below_its_floor(name, floor):
    assert statistics(np.ones(floor)).stat(name) == 1.0
    assert statistics(np.ones(floor - 1)).stat(name) is None


def test_nan_is_no_value():
    assert statistics([1.0, math.nan, 3.0]).n == 2
    assert statistics([math.nan]) == Statistics(
        n=0, **dict.fromkeys(("mean", "p50", "p90", "p95", "p99", "p99_9", "max"))
    )


def test_tokens_in_the_window_are_those_that_arrived_in_it(tmp_path):
    window = (2.55, 2.85)  # three of the five arrivals
    rows = derived(tmp_path, record(0), window=window)
    assert output_tokens_in(rows, [Window("", 0, *window)]) == 3


def test_an_arrival_stands_for_its_share_of_the_servers_count(tmp_path):
    window = (2.55, 2.85)
    rows = derived(tmp_path, record(0, completion_tokens=50), window=window)
    assert output_tokens_in(rows, [Window("", 0, *window)]) == pytest.approx(30)


def test_tokens_of_an_answer_that_does_not_stream_arrive_at_its_end(tmp_path):
    whole = record(0, stream=False, arrivals=[], first_token_at=None, first_answer_at=None)
    rows = derived(tmp_path, whole, window=(2.0, 3.5))
    assert output_tokens_in(rows, [Window("", 0, 2.0, 3.5)]) == 5
    assert output_tokens_in(rows, [Window("", 0, 0.0, 2.0)]) == 0


def test_tokens_over_time_are_those_of_the_table_where_an_event_has_several(tmp_path):
    records = [record(0, completion_tokens=40), record(1, completion_tokens=None), record(2, completion_tokens=0)]
    run = open_run(write_run(tmp_path, records))
    [group] = run.summary.groups
    made, widths = throughput(run)["m"].to_numpy(), np.diff(bins(run))
    assert float((made * widths).sum()) == pytest.approx(40 + 5)
    assert group.output_tokens_per_s * run.summary.measured_s == pytest.approx(40 + 5)


def test_only_answers_without_error_count_as_throughput(tmp_path):
    rows = derived(tmp_path, record(0), failed(1, "timeout"), record(2, done=50.0))
    assert answers_in(rows, [Window("", 0, 2.0, 10.0)]) == 1


def test_goodput_wants_every_limit_met(tmp_path):
    rows = derived(tmp_path, record(0), record(1, first_token_at=4.0, first_answer_at=4.0), failed(2, "timeout"))
    assert meets_slo(rows, {"ttft": 0.6, "e2e": 2.0}).tolist() == [True, False, False]
    assert meets_slo(rows, {"e2e": 0.9}).tolist() == [False, False, False]


def test_a_limit_on_the_first_token_does_not_bind_answers_that_do_not_stream(tmp_path):
    whole = record(0, stream=False, arrivals=[], first_token_at=None, first_answer_at=None)
    assert meets_slo(derived(tmp_path, whole), {"ttft": 0.1, "tpot": 0.1}).tolist() == [True]


def test_cost_has_prices_for_cached_tokens(tmp_path):
    rows = derived(tmp_path, record(0, prompt_tokens=1_000_000, cached_tokens=400_000, completion_tokens=500_000))
    assert cost(rows, Price(input=1.0, output=4.0, cached_input=0.1)) == pytest.approx(0.6 + 0.04 + 2.0)


def test_the_index_of_dispersion_tells_random_arrivals_from_even_ones():
    even = np.arange(10_000) * 0.01 + 0.005
    random = np.random.default_rng(1).uniform(0, 100, 10_000)
    assert dispersion(even, (0.0, 100.0)).index == pytest.approx(0.0, abs=0.01)
    found = dispersion(random, (0.0, 100.0))
    assert found.bins == 1000
    assert found.error == pytest.approx(0.0447, abs=0.001)
    assert found.index == pytest.approx(1.0, abs=3 * found.error)
    assert dispersion(random[:50], (0.0, 100.0)) is None


@pytest.mark.parametrize(
    ("first", "last", "lag"),
    [
        ({"sent": 2.01, "connect_started": None}, {"sent": 6.0}, 0.01),  # Retry-After: 4
        ({"sent": 2.05, "connect_started": 2.01}, {"sent": 6.0}, 0.01),  # on a fresh connection
        ({"sent": None, "connect_started": 2.01}, {"sent": 6.0, "connect_started": 5.9}, 0.01),  # never connected
        ({"sent": 2.01}, {"sent": 6.0}, 0.01),  # of a file without the beginning of its connection
        (None, {"sent": 2.01}, 0.01),
        (None, {"sent": 2.05, "connect_started": 2.01}, 0.01),
        (None, {"sent": 2.01, "connect_started": 3.0, "reopened": True}, 0.01),  # sent first on a connection found closed
    ],
)  # fmt: skip
def test_the_send_lag_is_of_the_first_attempt(tmp_path, first, last, lag):
    rest = {"done": 2.1, "status": 429, "outcome": "throttled", "retry_after": 4.0, "waited": 3.9}
    earlier = [] if first is None else [first | rest]
    row = derived(tmp_path, record(0, due=2.0, done=7.0, earlier=earlier, attempts=len(earlier) + 1, **last)).iloc[0]
    assert row["send_lag_s"] == pytest.approx(lag)
    assert row["e2e_from_due_s"] == pytest.approx(5.0), "the waits between the attempts are in it"
