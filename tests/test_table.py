"""records.jsonl as columns."""

from __future__ import annotations

import numpy as np
import pytest

from bench.analysis import table
from bench.analysis.file_parts import read_large_table
from bench.records import files_of
from tests.runs import failed, record, shifted, write_run


def read(folder, records, window=(0.0, 100.0), bins=(0.0, 50.0, 100.0)):
    return read_large_table([write_run(folder, records) / "records.jsonl"], [window], bins=bins)


def test_a_record_becomes_a_row_with_nan_for_null(tmp_path):
    row = read(tmp_path, [record(7, retry_after=None, status=200)]).rows.iloc[0]
    assert row["seq"] == 7
    assert row["status"] == 200
    assert np.isnan(row["retry_after"])
    assert row["model"] == "m"
    assert row["stream"]


def test_arrivals_are_reduced_to_numbers(tmp_path):
    arrivals = [(2.5, 2), (2.5, 1), (2.75, 1)]
    row = read(tmp_path, [record(0, arrivals=arrivals)], window=(2.6, 9.0)).rows.iloc[0]
    assert row["last_token_at"] == 2.75
    assert row["first_tokens"] == 2
    assert row["arrived_tokens"] == 4
    assert row["window_tokens.0"] == 1
    assert row["zero_gaps"] == 1


def test_a_request_without_arrivals_has_none_of_them(tmp_path):
    rows = read(tmp_path, [failed(0, "connect"), record(1), failed(2, "timeout")]).rows
    assert rows["last_token_at"].isna().tolist() == [True, False, True]
    assert rows["arrived_tokens"].tolist() == [0, 5, 0]


def test_gaps_lie_within_a_request_and_never_between_two(tmp_path):
    found = read(tmp_path, [record(0), failed(1, "empty"), record(2, arrivals=[(7.0, 1), (7.5, 1)])])
    assert found.gaps.tolist() == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.5], abs=1e-6)
    assert found.gaps_of(np.array([False, True, True])).tolist() == pytest.approx([0.5])
    assert len(found.gaps_of(np.array([True, True, True]))) == 5


def test_tokens_are_counted_in_bins_and_what_came_before_the_first_is_left_out(tmp_path):
    arrivals = [(0.2, 9), (1.6, 1), (2.4, 2), (3.7, 4), (9.0, 8)]
    found = read(tmp_path, [record(0, arrivals=arrivals, completion_tokens=24)], bins=(1.5, 2.5, 3.0, 4.0))
    assert found.tokens["m"].tolist() == [3, 0, 12]


def test_numbers_by_name_get_a_column_each(tmp_path):
    rows = read(tmp_path, [record(0, server={"prompt_ms": 12.5}), record(1, limits={"requests.limit": 60.0})]).rows
    assert rows["server.prompt_ms"].tolist()[0] == 12.5
    assert np.isnan(rows["server.prompt_ms"][1])
    assert rows["limits.requests.limit"][1] == 60.0


def test_many_blocks_give_what_one_gives(tmp_path, monkeypatch):
    base = record(0)
    records = [record(**shifted(base, by * 0.1, by)) for by in range(25)]
    whole = read(tmp_path / "a", records)
    monkeypatch.setattr(table, "BLOCK", 7)
    pieces = read(tmp_path / "b", records)
    assert pieces.rows.equals(whole.rows)
    assert pieces.gaps.tolist() == whole.gaps.tolist()
    assert pieces.tokens.equals(whole.tokens)


def test_an_empty_file_is_an_empty_table(tmp_path):
    found = read(tmp_path, [])
    assert len(found.rows) == 0
    assert len(found.gaps) == 0


@pytest.mark.slow
@pytest.mark.parametrize("files", [1, 3])
def test_several_processes_read_what_one_reads(tmp_path, files):
    base = record(0)
    records = [record(**shifted(base, by * 0.1, by), model="abc"[by % 3], error=f"e{by}") for by in range(50)]
    path = write_run(tmp_path, records) / "records.jsonl"
    one = read_large_table([path], [(2.0, 4.0), (4.0, 4.5)], bins=[1.0, 2.0, 4.5])
    if files > 1:
        lines = path.read_bytes().splitlines(keepends=True)
        path.unlink()
        for number in range(files):  # unlike in size, and one of them empty
            begin, end = ([0, 0, 41, 50][number + at] for at in (0, 1))
            (tmp_path / f"records-{number}.jsonl").write_bytes(b"".join(lines[begin:end]))
    several = read_large_table(files_of(tmp_path, "records"), [(2.0, 4.0), (4.0, 4.5)], bins=[1.0, 2.0, 4.5], large=0)
    assert several.rows.equals(one.rows)
    assert several.gaps.tolist() == one.gaps.tolist()
    assert several.gap_ends.tolist() == one.gap_ends.tolist()
    assert several.tokens.equals(one.tokens)


@pytest.mark.slow
def test_a_broken_line_is_named_whichever_process_finds_it(tmp_path):
    path = write_run(tmp_path, [record(n) for n in range(50)]) / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[45] = b"oops\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(ValueError, match=r"records\.jsonl:46: not a record"):
        read_large_table([path], [(0.0, 9.0)], bins=[0.0, 9.0], large=0)
