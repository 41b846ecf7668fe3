"""A run's folder that is damaged, foreign, doubled or of a later version: one sentence, or the rest of the report."""

from __future__ import annotations

import os

import orjson
import pytest
from click.testing import CliRunner

from bench.analysis import NotARunError, open_run
from bench.cli.report import command
from tests.runs import record, shifted, write_run

HUGE = b"1" + b"0" * 400


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "run", [record(**shifted(record(0), 0.1 * by, by)) for by in range(12)])


def set_member(data: bytes, path: str, value: bytes) -> bytes:
    """JSON with one member replaced by raw text; `path` as scenario.load.users."""
    whole = orjson.loads(data)
    *parents, last = path.split(".")
    at = whole
    for name in parents:
        at = at[int(name)] if isinstance(at, list) else at[name]
    if value:
        at[int(last) if isinstance(at, list) else last] = "@here@"
    else:
        del at[last]
    return orjson.dumps(whole).replace(b'"@here@"', value)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("run.json", b"", "it is empty"),
        ("run.json", b"{", "cannot be read"),
        ("run.json", b"[]", "Expected object, got array"),
        ("run.json", b"null", "Expected object, got null"),
        ("run.json", b'{"name": "left-pad", "version": "1.0.0"}', "missing required field scenario"),
        ("run.json", b'{"scenario": NaN}', "cannot be read"),
        ("run.json", b"[" * 100_000, "Expected object, got array"),
        ("run.json", b"\xff\xfe{\x00}\x00", "cannot be read"),
        ("run.json", b"\x00" * 40, "cannot be read"),
        ("end.json", b"", "it is empty"),
        ("end.json", b"[1]", "Expected object, got array"),
        ("end.json", b'{"duration_s": 1', "cannot be read"),
        ("end.json", b"{}", "missing required field duration_s"),
        ("records.jsonl", b"[]\n", r"records\.jsonl:1: not a record: Expected object, got array"),
        ("records.jsonl", b"{}\n", r"records\.jsonl:1: not a record: Object missing required field seq"),
        ("records.jsonl", b"\x00\x00\x00\n", r"records\.jsonl:1: not a record: JSON is malformed"),
        ("records.jsonl", b"\xff\n", r"records\.jsonl:1: not a record"),
        ("records.jsonl", b"seq,stage\n1,measure\n", r"records\.jsonl:1: not a record"),
        ("records.jsonl", b"[" * 100_000 + b"\n", r"records\.jsonl:1: not a record"),
    ],
)
def test_a_file_that_is_something_else_is_told_in_a_sentence(folder, file, content, words):
    (folder / file).write_bytes(content)
    with pytest.raises(NotARunError, match=words) as raised:
        open_run(folder)
    assert str(raised.value).startswith(str(folder / file))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("file", "path", "value", "words"),
    [
        ("run.json", "schema", b"2", "schema is 2, and this version of bench reads up to 1"),
        ("run.json", "records_version", b"99", "records_version is 99"),
        ("run.json", "schema", b'"1"', "schema: Expected int, got str"),
        ("run.json", "scenario", b"[]", "scenario: Expected object, got array"),
        ("run.json", "scenario.models", b"[]", "scenario.models"),
        ("run.json", "scenario.models", b'"m"', "scenario.models: Expected array, got str"),
        ("run.json", "scenario.requests", b"[]", "scenario.requests"),
        ("run.json", "scenario.requests.0.name", b"7", "name: Expected str, got int"),
        ("run.json", "scenario.load", b"", "missing required field load"),
        ("run.json", "scenario.load.users", b"-1", "scenario.load.users"),
        ("run.json", "scenario.load.rate", b"1e999", "out of range"),
        ("run.json", "scenario.load.warmup", b"-3", "scenario.load.warmup"),
        ("run.json", "scenario.load.processes", b"0", "scenario.load.processes"),
        ("run.json", "scenario.name", b"null", "scenario.name: Expected str, got null"),
        ("run.json", "seed", HUGE, "seed"),
        ("run.json", "seed", b"true", "seed: Expected int, got bool"),
        ("run.json", "started_at", b"", "missing required field started_at"),
        ("run.json", "machine", b'"box"', "machine: Expected object, got str"),
        ("run.json", "versions", b'["1"]', "versions: Expected object, got array"),
        ("run.json", "target", b"7", "target: Expected object, got int"),
        ("end.json", "duration_s", b"-1", "duration_s: Expected float >= 0.0"),
        ("end.json", "duration_s", b'"9"', r"duration_s: Expected float, got str"),
        ("end.json", "measure", b"[1]", "measure"),
        ("end.json", "measure", b"[5, 2]", "measure ends at 2.0 s, before it begins at 5.0 s"),
        ("end.json", "measure", b"[Infinity, 2]", "cannot be read"),
        ("end.json", "planned", b"2.5", "planned: Expected int, got float"),
        ("end.json", "sent", HUGE, "sent"),
        ("end.json", "stopped_by", b"", "missing required field stopped_by"),
    ],
)
def test_a_member_that_cannot_be_is_named(folder, file, path, value, words):
    (folder / file).write_bytes(set_member((folder / file).read_bytes(), path, value))
    with pytest.raises(NotARunError, match=words):
        open_run(folder)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("seq", b'"5"', "seq: Expected int, got str"),
        ("seq", b"-1", "seq"),
        ("seq", HUGE, "seq"),
        ("done", b"-0.5", "done: Expected float >= 0.0"),
        ("done", b"null", "done: Expected float, got null"),
        ("done", b"1e300", "done"),
        ("sent", b"NaN", "JSON is malformed"),
        ("sent", b"-Infinity", "JSON is malformed"),
        ("sent", b"", "missing required field sent"),
        ("stream", b"1", "stream: Expected bool, got int"),
        ("model", b"[]", "model: Expected str, got array"),
        ("outcome", b'"fine"', "outcome: 'fine' is not one of ok, throttled"),
        ("outcome", b"null", "outcome: Expected str, got null"),
        ("arrivals", b"7", "arrivals"),
        ("arrivals", b"[[1.0]]", "arrivals"),
        ("arrivals", b'[[1.0,"a"]]', "arrivals"),
        ("arrivals", b"[[2.9,1],[2.5,1]]", "arrivals: they are not in the order of time"),
        ("arrivals", b"[[2.9,-1]]", "arrivals"),
        ("prompt_tokens", b'"many"', "prompt_tokens"),
        ("completion_tokens", HUGE, "completion_tokens"),
        ("status", b'"200"', "status"),
        ("limits", b'{"requests": "many"}', "limits"),
        ("server", b"[]", "server"),
        ("earlier", b"[7]", "earlier"),
        ("earlier", b"[{}]", "earlier"),
        ("clock", b'"sundial"', "clock"),
        ("finish_reason", b'{"a": 1}', "finish_reason"),
    ],
)
def test_a_record_that_cannot_be_is_named_with_its_line_and_field(folder, path, value, words):
    file = folder / "records.jsonl"
    lines = file.read_bytes().splitlines()
    lines[4] = set_member(lines[4], path, value)
    file.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(NotARunError, match=words) as raised:
        open_run(folder)
    assert str(raised.value).startswith(f"{file}:5: not a record: ")


def loop(path):
    path.unlink()
    path.symlink_to(path.name)


def turn_into_a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("file", ["run.json", "end.json", "records.jsonl"])
@pytest.mark.parametrize("change", [loop, turn_into_a_folder])
def test_a_file_that_the_system_does_not_open_is_told(folder, file, change):
    change(folder / file)
    if file == "end.json" and change is loop:
        assert open_run(folder).summary.stopped_by == "killed", "what leads nowhere is no file"
        return
    with pytest.raises(NotARunError, match=rf"{file} cannot be read"):
        open_run(folder)


def rewritten(file, change):
    file.write_bytes(change(file.read_bytes()))


@pytest.mark.parametrize(
    ("file", "change", "recorded", "doubt"),
    [
        ("records.jsonl", lambda data: data[:-40], 11, "the last line of"),
        ("records.jsonl", lambda data: data[:-1], 12, None),
        ("records.jsonl", lambda data: data + b"\x00" * 900, 12, "the last line of"),
        ("records.jsonl", lambda data: data + b"\n\n", 12, None),
        ("records.jsonl", lambda data: data.replace(b"\n", b"\r\n"), 12, None),
        ("records.jsonl", lambda data: b"\xef\xbb\xbf" + data, 12, None),
        ("records.jsonl", lambda _: b"", 0, None),
        ("records.jsonl", lambda data: data.replace(b'{"seq"', b'{"later":{"a":[1]},"seq"'), 12, None),
        ("records.jsonl", lambda data: data + data.splitlines(keepends=True)[3], 13, "two copies of 1 record"),
        ("run.json", lambda data: b"\xef\xbb\xbf" + data, 12, None),
        ("run.json", lambda data: set_member(data, "versions.bench", b'"99.1"'), 12, "made by bench 99.1"),
        (
            "run.json",
            lambda data: set_member(data, "scenario.thresholds", b'["speed > 9"]'),
            12,
            "threshold is left out",
        ),
        ("run.json", lambda data: set_member(data, "scenario.slo", b'{"smell": 1.0}'), 12, "SLO smell is not known"),
        ("run.json", lambda data: set_member(data, "scenario.prices", b'{"m": "dear"}'), 12, "price of m cannot be"),
        ("run.json", lambda data: set_member(data, "certificate", b'{"streams": "a"}'), 12, "certificate cannot be"),
        ("run.json", lambda data: set_member(data, "git", b""), 12, None),
        ("run.json", lambda data: set_member(data, "machine", b""), 12, None),
        ("health.jsonl", lambda data: data[:-5], 12, None),
        ("health.jsonl", lambda data: data.replace(b"\n", b"\n{oops\n", 1), 12, r"health.jsonl:2: "),
        ("health.jsonl", lambda data: data.replace(b'"cpu":0.1', b'"cpu":"x"', 1), 12, "cpu: Expected float, got str"),
        ("health.jsonl", lambda _: b"[1]\n", 12, "health.jsonl is missing or empty"),
        ("health.jsonl", lambda _: b"", 12, "health.jsonl is missing or empty"),
    ],
)
def test_what_can_be_read_is_reported_and_the_rest_is_told(folder, file, change, recorded, doubt):
    rewritten(folder / file, change)
    summary = open_run(folder).summary
    assert summary.counts.recorded == recorded
    told = [*summary.validity.reasons, *summary.doubts]
    if doubt is not None:
        assert any(doubt in one for one in told), told
    else:
        assert not any("last line" in one or "left out" in one for one in told if "too few answers" not in one), told


@pytest.mark.parametrize(
    ("gone", "exit_code"),
    [(["end.json"], 0), (["health.jsonl"], 3), (["end.json", "health.jsonl"], 0)],  # 3: end.json misses the cut record
)
def test_a_killed_run_has_its_report(folder, gone, exit_code):
    for name in gone:
        (folder / name).unlink()
    rewritten(folder / "records.jsonl", lambda data: data[:-100])
    done = CliRunner().invoke(command, [str(folder)])
    assert done.exit_code == exit_code, done.output
    assert "11 requests in" in done.output
    assert ("the run was killed before its end" in done.output) == ("end.json" in gone)


def test_records_of_several_processes_and_versions_are_one_run(folder):
    old = folder / "records.jsonl"
    lines = [orjson.loads(line) for line in old.read_bytes().splitlines()]
    for line in lines[6:]:
        line["worker"] = 1
        for name in ("turn", "item", "polls", "steps", "unterminated"):
            del line[name]
    (folder / "records-0.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines[:6]))
    (folder / "records-1.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines[6:]) + b'{"seq"')
    old.unlink()
    summary = open_run(folder).summary
    assert summary.counts.recorded == 12
    assert any("records-1.jsonl was cut off" in doubt for doubt in summary.doubts)


def test_damage_exits_2_with_one_sentence(folder):
    (folder / "run.json").write_bytes(b'{"scenario": "\x1b[31m"}')
    done = CliRunner().invoke(command, [str(folder)])
    assert done.exit_code == 2
    assert done.output.count("\n") == 1
    assert "Traceback" not in done.output


def test_a_folder_that_is_none_exits_2(tmp_path):
    for name in ("missing", os.devnull):
        done = CliRunner().invoke(command, [str(tmp_path / name)])
        assert done.exit_code == 2
        assert "Traceback" not in done.output
