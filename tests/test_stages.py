"""Several stages in one run: each has its figures, and together they have those of the whole."""

from __future__ import annotations

import pytest

from bench.analysis import NotARunError, open_run, timeline
from bench.analysis.summary import in_json
from bench.report.terminal import text
from tests.runs import failed, record, shifted, write_run

FEW = {"name": "2 users", "began": 1.0, "ended": 6.0, "planned": 3, "sent": 3, "users": 2}
MANY = {"name": "8 users", "began": 8.0, "ended": 12.0, "planned": 6, "sent": 6, "users": 8}
WARM = [
    {"kind": "burst", "name": "fit", "measured": False, "began": 0.1, "ended": 0.2, "ended_by": "requests"},
    {"name": "2 users, warmup", "measured": False, "began": 0.3, "ended": 1.0},
]
STEPS = [*WARM, FEW, {"name": "8 users, warmup", "measured": False, "began": 7.0, "ended": 8.0}, MANY]
END = {"load_started": 0.3, "measure": [1.0, 12.0], "duration_s": 13.0, "planned": 9, "sent": 9}
SWEEP = {"users": [2, 8], "duration": 5.0, "warmup": 1.0}
SLOW = {"first_token_at": 9.9, "first_answer_at": 9.9, "arrivals": [(9.9, 1)], "completion_tokens": 1}


def two_stages(folder, *, steps=STEPS, end=END, **scenario):
    """Three answers of 5 tokens by two users, TTFT 0.5 s; then of six requests by eight five answers of one token,
    TTFT 1.9 s, and a failure. Warm-up answers end inside either window."""
    records = [record(**shifted(record(), by, by) | {"stage": "2 users"}) for by in range(3)]
    records += [record(n, stage="8 users", sent=8.0, done=10.0, headers_at=9.0, **SLOW) for n in range(5)]
    records += [failed(5, "timeout", stage="8 users", sent=8.0, done=11.0)]
    warm = shifted(record(), -1.2, 0) | {"stage": "2 users, warmup"}  # its tokens arrive from 1.3 s on
    records += [record(**warm), record(0, stage="fit", sent=0.1, done=0.2, arrivals=[(0.15, 1)], first_token_at=0.15)]
    return open_run(write_run(folder, records, steps=steps, end=end, scenario={"load": SWEEP} | scenario))


def test_each_measured_stage_has_groups_of_its_own(tmp_path):
    few, many = two_stages(tmp_path).summary.groups
    assert (few.stage, few.model, few.name, few.requests) == ("2 users", "m", "all", 3)
    assert (many.stage, many.model, many.name, many.requests) == ("8 users", "m", "all", 6)
    assert few.ttft_s.mean == pytest.approx(0.5)
    assert many.ttft_s.mean == pytest.approx(1.9)
    assert (few.error_rate, many.error_rate) == (0.0, pytest.approx(1 / 6))
    assert few.requests_per_s == pytest.approx((3 + 1) / 5.0), "what was begun in the warm-up is an answer all the same"
    assert few.output_tokens_per_s == pytest.approx((15 + 5) / 5.0)
    assert many.requests_per_s == pytest.approx(5 / 4.0)
    assert many.output_tokens_per_s == pytest.approx(5 / 4.0)


def test_counts_lengths_and_data_frames_hold_for_all_stages(tmp_path):
    run = two_stages(tmp_path)
    summary = run.summary
    assert (summary.counts.recorded, summary.counts.ok, summary.counts.failed) == (9, 8, 1)
    assert summary.measured_s == pytest.approx(9.0)
    assert run.window == (1.0, 12.0)
    assert set(run.requests["stage"]) == {"2 users", "8 users"}
    assert run.records["measured"].sum() == 9
    assert run.records["loaded"].sum() == 10
    assert run.groups.loc[("8 users", "m", "all"), "ttft_s.mean"] == pytest.approx(1.9)
    assert b'"stage": "8 users"' in in_json(summary)
    assert not any("no warm-up" in doubt for doubt in summary.doubts)


@pytest.mark.parametrize(
    ("expression", "value", "n"),
    [
        ("requests_per_s > 0", (3 + 1 + 5) / 9.0, 9),
        ("requests_per_s[2 users] > 0", (3 + 1) / 5.0, 3),
        ("requests_per_s[8 users, m] > 0", 5 / 4.0, 6),
        ("output_tokens_per_s[8 users] > 0", 5 / 4.0, 6),
        ("error_rate[8 users] < 50%", 1 / 6, 6),
        ("error_rate < 50%", 1 / 9, 9),
        ("e2e[8 users] max < 3s", 2.0, 6),
        ("ttft[2 users, chat] mean < 3s", 0.5, 3),
    ],
)
def test_a_threshold_names_a_stage_or_is_over_all(tmp_path, expression, value, n):
    [found] = two_stages(tmp_path, thresholds=[expression]).summary.thresholds
    assert (found.value, found.n) == (pytest.approx(value), n)


def test_a_stage_of_so_many_requests_is_measured_until_the_next_step_begins(tmp_path):
    steps = [*WARM, FEW | {"ended_by": "requests", "ended": 2.5}, *STEPS[3:-1], MANY | {"ended_by": "requests"}]
    run = two_stages(tmp_path, steps=steps)
    assert [(stage.began, stage.ended) for stage in run.stages if stage.measured] == [(1.0, 7.0), (8.0, 13.0)]
    sweep = SWEEP | {"requests": 3}
    few, _ = two_stages(tmp_path / "shares", steps=steps, load=sweep).summary.groups
    assert few.requests_per_s == pytest.approx((3 + 1) / 4.0), "the only model had all its answers at 5 s"


def test_the_timeline_has_every_stage_by_its_name(tmp_path):
    told = [
        (one.name, round(one.begin, 3), round(one.end, 3), one.measured)
        for one in timeline.stages(two_stages(tmp_path))
    ]
    assert told == [
        ("2 users, warmup", 0.0, 0.7, False),
        ("2 users", 0.7, 5.7, True),
        ("drain", 5.7, 6.7, False),
        ("8 users, warmup", 6.7, 7.7, False),
        ("8 users", 7.7, 11.7, True),
        ("drain", 11.7, 12.7, False),
    ]


def test_a_report_shows_stages_side_by_side(tmp_path):
    told = text(two_stages(tmp_path), width=150)
    assert "2 users" in told
    assert "8 users" in told


@pytest.mark.parametrize("listed", [0, 3], ids=["in the first level", "in the second"])
def test_a_run_that_was_killed_has_the_stages_that_its_records_tell(tmp_path, listed):
    folder = two_stages(tmp_path, steps=STEPS[:listed]).folder
    (folder / "end.json").unlink()
    run = open_run(folder)
    assert [(group.stage, group.requests) for group in run.summary.groups] == [("2 users", 3), ("8 users", 6)]
    assert run.summary.stopped_by == "killed"
    assert run.summary.counts.planned == 9


def test_a_stage_that_the_scenario_does_not_measure_is_in_no_figure_of_a_killed_run(tmp_path):
    load = {"stages": [{"users": 2, "measured": False, "duration": 5.0}, {"users": 8, "duration": 4.0}]}
    folder = two_stages(tmp_path, steps=[], load=load).folder
    (folder / "end.json").unlink()
    assert [group.stage for group in open_run(folder).summary.groups] == ["8 users"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"{}\n", r"steps\.jsonl:2: not a step: Object missing required field kind"),
        (b'{"kind": "pause"}\n', r"steps\.jsonl:2: not a step: kind: Invalid enum value 'pause'"),
        (b"nonsense\n", r"steps\.jsonl:2: not a step"),
        (b'{"kind":"wait","name":"","measured":false,"began":3,"ended":2,"ended_by":"","planned":0,"sent":0}\n',
         r"steps\.jsonl:2: the step ends at 2\.0 s, before it begins at 3\.0 s"),
    ],
    ids=["empty", "unknown kind", "no JSON", "backwards"],
)  # fmt: skip
def test_a_damaged_step_is_told_with_its_line(tmp_path, line, told):
    folder = two_stages(tmp_path).folder
    lines = (folder / "steps.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "steps.jsonl").write_bytes(b"".join([lines[0], line, *lines[2:]]))
    with pytest.raises(NotARunError, match=told):
        open_run(folder)


def test_a_last_step_that_was_cut_off_is_read_from_its_records(tmp_path):
    folder = two_stages(tmp_path).folder
    (folder / "steps.jsonl").write_bytes((folder / "steps.jsonl").read_bytes()[:-20])
    (folder / "end.json").unlink()
    assert [group.stage for group in open_run(folder).summary.groups] == ["2 users", "8 users"]
