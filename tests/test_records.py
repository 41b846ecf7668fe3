"""records.jsonl: written whole, read back the same, readable after any end."""

from __future__ import annotations

import errno
import resource

import pytest

from bench.records import Attempt, RecordWriter, file_of, files_of, read_records
from tests.forks import python
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


def test_each_of_several_workers_has_a_file_and_all_are_found_in_order(tmp_path):
    assert file_of(tmp_path, "records", 0, 1).name == "records.jsonl"
    names = [file_of(tmp_path, "records", worker, 12).name for worker in range(12)]
    assert names[11] == "records-11.jsonl"
    for name in (*names, "records.jsonl", "records-old.jsonl", "records2.jsonl", "health.jsonl", "health-3.jsonl"):
        (tmp_path / name).touch()
    assert [path.name for path in files_of(tmp_path, "records")] == ["records.jsonl", *names]
    assert [path.name for path in files_of(tmp_path, "health")] == ["health.jsonl", "health-3.jsonl"]


def test_a_line_that_the_disk_takes_only_in_part_is_taken_back(tmp_path):
    """So that a later line, when there is room again, is not merged with a piece of it."""
    code = """
import resource, sys
from bench.records import RecordWriter
from tests.runs import record
with RecordWriter(sys.argv[1]) as writer:
    writer.append(record(0))
    try:
        writer.append(record(1))
    except OSError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    writer.append(record(2))
"""
    size = len(written(tmp_path / "one", record(0)))

    path = tmp_path / "records.jsonl"
    told = python(code, path, limits={resource.RLIMIT_FSIZE: (size * 3 // 2, 10_000)})
    assert told == f"[Errno {errno.EFBIG}] File too large: '{path}'\n"
    assert [one.seq for one in read_records(path)] == [0, 2]


def written(path, one) -> bytes:
    with RecordWriter(path) as writer:
        writer.append(one)
    return path.read_bytes()
