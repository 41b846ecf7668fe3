"""Answers broken at random, see tests/mutations.py; `python benchmarks/fuzz.py` goes on for longer."""

from __future__ import annotations

import subprocess
import sys
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mutations import READERS, hold_headers


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
@settings(max_examples=60)
@given(rng=st.randoms(use_true_random=False))
def test_no_broken_answer_makes_a_reader_raise_or_hold_what_a_record_may_not(reader, rng):
    reader.hold(reader.input(rng), rng)


@given(rng=st.randoms(use_true_random=False))
def test_headers_of_any_kind_are_numbers_in_range_or_left_out(rng):
    hold_headers(rng)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_good_answer_is_read_without_a_complaint(reader):
    for chosen in reader.good:
        reading = reader.hold((chosen,) if isinstance(chosen, bytes) else chosen, Random(1))
        assert reading.answer.garbled is None or reader.status != 200


def test_the_longer_run_is_a_command_that_makes_records_of_what_was_read():
    command = [sys.executable, "benchmarks/fuzz.py", "--minutes", "0.01"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 distinct findings" in done.stdout
