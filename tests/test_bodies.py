"""Bodies that a run keeps: written a line each, read back from every process's file."""

from __future__ import annotations

import errno
import resource

import pytest

from bench.records import Bodies, BodiesWriter, read_bodies
from tests.forks import python


def kept(seq: int, worker: int = 0) -> Bodies:
    return Bodies(
        stage="measure", seq=seq, turn=0, worker=worker, request="{}", request_bytes=2, answer="é", answer_bytes=2
    )


def test_what_is_written_is_read_back_from_every_file(tmp_path):
    for worker in (0, 1):
        writer = BodiesWriter(tmp_path / f"bodies-{worker}.jsonl")
        writer.append(kept(worker, worker))
        writer.close()
    assert list(read_bodies(tmp_path)) == [kept(0, 0), kept(1, 1)]


def test_a_folder_that_keeps_none_has_none(tmp_path):
    assert list(read_bodies(tmp_path)) == []


def test_a_torn_last_line_is_what_a_killed_run_leaves(tmp_path):
    writer = BodiesWriter(tmp_path / "bodies.jsonl")
    writer.append(kept(7))
    writer.close()
    with (tmp_path / "bodies.jsonl").open("ab") as file:
        file.write(b'{"stage": "mea')
    assert list(read_bodies(tmp_path)) == [kept(7)]


def test_a_line_that_the_disk_takes_only_in_part_is_taken_back(tmp_path):
    code = """
import resource, sys
from pathlib import Path
from bench.records import BodiesWriter
from tests.test_bodies import kept
writer = BodiesWriter(Path(sys.argv[1]))
writer.append(kept(0))
try:
    writer.append(kept(1))
except OSError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
writer.append(kept(2))
"""
    writer = BodiesWriter(tmp_path / "one.jsonl")
    writer.append(kept(0))
    writer.close()
    size = (tmp_path / "one.jsonl").stat().st_size

    path = tmp_path / "bodies.jsonl"
    told = python(code, path, limits={resource.RLIMIT_FSIZE: (size * 3 // 2, 10_000)})
    assert told == f"[Errno {errno.EFBIG}] File too large: '{path}'\n"
    (tmp_path / "one.jsonl").unlink()
    assert list(read_bodies(tmp_path)) == [kept(0), kept(2)]


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"stage": 1}', b"\xff"])
def test_damage_is_told_with_file_and_line(tmp_path, line):
    (tmp_path / "bodies.jsonl").write_bytes(line + b"\n")
    with pytest.raises(ValueError, match=r"bodies\.jsonl:1: not a request's bodies"):
        list(read_bodies(tmp_path))
