"""What is shown while a load runs."""

from __future__ import annotations

import io
from types import SimpleNamespace

from bench.report.live import Live, line

PROGRESS = SimpleNamespace(
    elapsed=4.0, total=10.0, stage="measure", sent=1234, ok=1200, failed=3, planned=None, requests_per_s=41.5,
    ttft_p50=0.0912, users=50, in_flight=31,
)  # fmt: skip


def test_a_line_has_time_left_requests_rate_errors_and_first_tokens():
    assert line(PROGRESS) == (
        "measure   6 s left  1,234 sent  1,200 ok  3 failed  41.5 answers/s  TTFT p50 91.2 ms  31 in flight"
    )


def test_while_draining_it_says_what_is_waited_for():
    assert "waiting for 31 answers" in line(SimpleNamespace(**vars(PROGRESS) | {"stage": "drain"}))


def test_without_a_terminal_there_are_plain_lines_and_not_too_many():
    out = io.StringIO()
    with Live(out) as live:
        for _ in range(20):
            live.progress(PROGRESS)
        live.warn("[m] is odd")
    assert out.getvalue().count("measure") == 1
    assert "warning: [m] is odd" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_on_a_terminal_there_is_a_bar_that_goes_away():
    out = io.StringIO()
    out.isatty = lambda: True
    with Live(out) as live:
        live.progress(PROGRESS)
    assert "6 s left" in out.getvalue()
