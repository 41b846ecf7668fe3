"""Bodies that a run keeps: written a line each, read back from every process's file."""

from __future__ import annotations

import pytest

from bench.records import Bodies, BodiesWriter, read_bodies


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


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"stage": 1}', b"\xff"])
def test_damage_is_told_with_file_and_line(tmp_path, line):
    (tmp_path / "bodies.jsonl").write_bytes(line + b"\n")
    with pytest.raises(ValueError, match=r"bodies\.jsonl:1: not a request's bodies"):
        list(read_bodies(tmp_path))
