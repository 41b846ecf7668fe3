"""Retries and polite users: attempts, waits, and latency with the waiting, in the table and in a chart."""

from __future__ import annotations

import numpy as np
import pytest

from bench.analysis import open_run
from bench.analysis.columns import WITH_WAITS
from bench.analysis.sections import charts
from bench.analysis.waits import waiting_chart, waits
from bench.experiments.general import findings
from tests.runs import failed, record, shifted, write_run


def refused(sent: float, waited: float) -> dict:
    return {"sent": sent, "done": sent + 0.1, "status": 429, "outcome": "throttled", "retry_after": waited,
            "waited": waited, "connect_started": None}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """Twenty answers, 0.2 s apart: five of model a after an attempt that was refused 1.1 s before and a wait of 1 s,
    five of model b of users that had been held back for 0.4 s."""
    base, records = record(0), []
    for n in range(20):
        by, sent = 0.2 * n, 2.0 + 0.2 * n
        more = {"model": "ab"[n % 2], "user": n}
        if n % 4 == 0:
            more |= {"attempts": 2, "earlier": [refused(sent - 1.1, 1.0)]}
        if n % 4 == 1:
            more |= {"held_back": 0.4}
        records.append(record(**shifted(base, by, n) | more))
    records.append(failed(20, "throttled", model="b", sent=3.0, done=3.1))
    return open_run(write_run(tmp_path, records, scenario={"models": ["a", "b"]}))


def test_the_table_has_attempts_waits_and_latency_with_the_waiting(run):
    [table] = [one for part in findings(run, drawn=False).sections if part.name == "summary" for one in part.parts]
    titles = [column.title for column in table.columns]
    assert [title for title in titles if title in ("E2E", "E2E from due", "waited", "attempts")] == [
        "E2E", "E2E from due", "waited", "attempts",
    ]  # fmt: skip
    cells = {row.cells[0].text: dict(zip(titles, [cell.text for cell in row.cells], strict=True)) for row in table.rows}
    assert cells["a"]["attempts"] == "1.50"
    assert cells["a"]["waited"] == "mean 500"
    assert (cells["a"]["E2E"], cells["a"]["E2E from due"]) == ("mean 1,000", "mean 1,550")
    assert (cells["b"]["E2E"], cells["b"]["E2E from due"]) == ("mean 1,000", "mean 1,200")
    assert WITH_WAITS in (table.note or "")


def test_a_run_in_which_nobody_waited_has_none_of_these_columns(tmp_path):
    run = open_run(write_run(tmp_path, [record(**shifted(record(0), 0.1 * n, n)) for n in range(20)]))
    [table] = [one for part in findings(run, drawn=False).sections if part.name == "summary" for one in part.parts]
    assert not {"waited", "attempts", "E2E from due"} & {column.title for column in table.columns}
    assert WITH_WAITS not in (table.note or "")
    assert waiting_chart(run) is None


def test_every_wait_has_its_model_its_kind_and_its_time(run):
    found = waits(run)
    assert list(found["model"]) == ["a"] * 5 + ["b"] * 5
    assert list(found["kind"]) == ["between attempts"] * 5 + ["before the next request"] * 5
    assert list(found["end"] - found["begin"]) == pytest.approx([1.0] * 5 + [0.4] * 5)
    assert found["begin"].iloc[0] == pytest.approx(2.0 - 1.1 + 0.1 - run.end.load_started)
    assert found["end"].iloc[5] == pytest.approx(2.2 - run.end.load_started)


def test_the_chart_says_who_waits_and_how_many_at_once(run):
    chart = waiting_chart(run)
    assert chart is not None
    first, second = chart.series
    assert (first.title, first.about.model) == ("a, between attempts", "a")
    assert (second.title, second.about.model) == ("b, before the next request", "b")
    assert first.y.max() == 2, "a wait of 1 s begins every 0.8 s"
    assert second.y.max() == 1
    assert first.y[-1] == second.y[-1] == 0
    area = float(np.sum(np.diff(first.x) * first.y[:-1]))
    assert area == pytest.approx(5.0), "the line adds up to the seconds waited"
    assert "a, between attempts: 5 waits, 5 s in all, at most 2 at once" in chart.says
    assert {"waiting", "e2e_from_due"} <= {one.name for one in charts(findings(run).sections)}
