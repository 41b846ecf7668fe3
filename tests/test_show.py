"""`bench show`: a record whole, for people and for scripts."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from bench.cli.show import command
from bench.records import Attempt, Bodies, BodiesWriter
from tests.runs import failed, record, write_run


@pytest.fixture
def folder(tmp_path):
    earlier = [Attempt(sent=1.0, done=1.5, status=429, outcome="throttled", retry_after=2.0, waited=2.0,
                       error="HTTP 429: slow down")]  # fmt: skip
    records = [
        record(0, stage="warmup"),
        record(3, earlier=earlier, attempts=2),
        failed(4, "protocol", error="\x1b[2J"),
    ]
    return write_run(tmp_path, records)


def show(folder, *words):
    done = CliRunner().invoke(command, [str(folder), *words])
    return done.exit_code, done.output


def test_a_record_has_every_field_with_its_unit_its_attempts_and_its_arrivals(folder):
    code, told = show(folder, "3")
    assert code == 0
    lines = {line.split("  ")[0].strip(): line.split("  ", 1)[1].strip() for line in told.splitlines()}
    assert lines.keys() >= set(record().__dataclass_fields__) - {"earlier"}
    assert lines["outcome"] == "ok"
    assert lines["sent"] == "2.0000000 s of the run"
    assert lines["bytes_received"] == "900 bytes"
    assert lines["due"] == "none"
    assert lines["arrivals"].startswith("5 with 5 tokens, from 2.5000000 to 2.9000000 s of the run; gaps of 100.000")
    assert lines["attempt 1"] == (
        "throttled, HTTP 429, sent 1.0000000 s of the run, done 1.5000000 s of the run, asked to wait 2 s, then waited 2 s; "
        "HTTP 429: slow down"
    )


def test_what_a_server_said_is_shown_and_not_obeyed(folder):
    writer = BodiesWriter(folder / "bodies.jsonl")
    kept = {"request": '{"a":\n1}', "request_bytes": 8, "answer": "\x1b]0;x\x07", "answer_bytes": 6}
    writer.append(Bodies(stage="measure", seq=4, turn=0, worker=0, **kept))
    writer.close()
    code, told = show(folder, "4")
    assert code == 0
    assert "\\x1b[2J" in told
    assert 'request, 8 bytes:\n{"a":\n1}' in told
    assert "answer, 6 bytes:\n\\x1b]0;x\\x07" in told
    assert "\x1b" not in told


def test_stages_are_apart_and_json_is_the_record(folder):
    assert show(folder, "0")[0] == 2
    code, told = show(folder, "0", "--stage", "warmup", "--format", "json")
    assert code == 0
    assert json.loads(told)["request_id"] == "r0"


def test_what_is_not_there_or_broken_exits_2_in_a_sentence(folder, tmp_path):
    assert show(folder, "99")[1].startswith(f"Error: {folder} has no request 99")
    assert show(tmp_path / "nothing", "1")[0] == 2
    (folder / "records.jsonl").write_text("{}\n")
    code, told = show(folder, "3")
    assert code == 2
    assert "records.jsonl:1: not a record" in told
