"""records.jsonl: written whole, read back the same, readable after any end."""

from __future__ import annotations

import errno

import pytest

from bench.records import Attempt, RecordWriter, read_records
from tests.runs import record


def test_records_come_back_as_they_were_written(tmp_path):
    earlier = [Attempt(sent=1.0, done=1.5, status=429, outcome="throttled", retry_after=2.0, waited=2.0)]
    written = [record(0), record(1, earlier=earlier, attempts=2, limits={"requests.limit": 60.0}, error="é\n")]
    with RecordWriter(tmp_path / "records.jsonl") as writer:
        for one in written:
            writer.append(one)
    assert list(read_records(tmp_path / "records.jsonl")) == written
    assert writer.written == 2


def test_a_last_line_cut_short_is_left_out(tmp_path):
    path = tmp_path / "records.jsonl"
    with RecordWriter(path) as writer:
        writer.append(record(0))
        writer.append(record(1))
    path.write_bytes(path.read_bytes()[:-40])
    assert [one.seq for one in read_records(path)] == [0]


def test_a_broken_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_bytes(b'{"seq":\n{}\n')
    with pytest.raises(ValueError, match=r"records\.jsonl:1: not a record"):
        list(read_records(path))


def test_fields_of_a_later_version_are_left_out(tmp_path):
    path = tmp_path / "records.jsonl"
    with RecordWriter(path) as writer:
        writer.append(record(0))
    path.write_bytes(path.read_bytes().replace(b'{"seq"', b'{"from_the_future":1,"seq"'))
    assert next(read_records(path)) == record(0)


def test_a_disk_that_refuses_a_line_is_an_error():
    with RecordWriter("/dev/full") as writer, pytest.raises(OSError) as raised:
        writer.append(record(0))
    assert raised.value.errno == errno.ENOSPC
