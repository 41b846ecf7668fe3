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


def test_a_body_that_is_no_text_is_told_as_size_and_type():
    python("""
from bench.load.recorder import body_text
def told(body, kind, longest=10):
    return body_text(body, {"content-type": kind}, longest)
assert told(b"RIFF1234", "audio/wav; rate=8000") == "8 bytes of audio/wav"
assert told(b"\\x1f\\x8b\\x08\\x00\\x00", "application/json") == "5 bytes of application/json"
assert body_text(b"a\\0b", {}, 10) == "3 bytes of no stated type"
assert told(b"--b\\r\\n\\xff\\xfb", "multipart/form-data; boundary=b") == "7 bytes of multipart/form-data"
assert told(b"--b\\r\\n{}", "multipart/form-data; boundary=b") == "--b\\r\\n{}"
assert told("Grüße aus der Ferne".encode(), "text/html") == "Grüße aus "
assert told(b"caf\\xe9", "text/plain") == "caf\\ufffd"
""")
