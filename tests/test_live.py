"""What is shown while a load runs."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import pytest

from bench.report.console import takes_colour
from bench.report.live import Live, line

COLOUR = re.compile(r"\x1b\[[0-9;]*(3[0-7]|38;|9[0-7])")

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


@pytest.mark.parametrize(("value", "coloured"), [(None, True), ("", True), ("1", False)])
def test_no_color_takes_the_colours_away_and_nothing_else(monkeypatch, value, coloured):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if value is not None:
        monkeypatch.setenv("NO_COLOR", value)
    out = io.StringIO()
    out.isatty = lambda: True
    with Live(out) as live:
        live.progress(PROGRESS)
        live.warn("it is odd")
    assert takes_colour(out) == coloured
    assert (COLOUR.search(out.getvalue()) is not None) == coloured
    assert "it is odd" in out.getvalue()


def test_what_is_no_terminal_takes_no_colour(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert not takes_colour(io.StringIO())


def test_on_a_terminal_there_is_a_bar_that_goes_away():
    out = io.StringIO()
    out.isatty = lambda: True
    with Live(out) as live:
        live.progress(PROGRESS)
    assert "6 s left" in out.getvalue()
