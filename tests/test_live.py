"""What is shown while a load runs."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from bench.report.console import takes_colour
from bench.report.live import Live, bar, line

COLOUR = re.compile(r"\x1b\[[0-9;]*(3[0-7]|38;|9[0-7])")

PROGRESS = SimpleNamespace(
    elapsed=4.0, total=10.0, stage="measure", sent=1234, ok=1200, failures={"throttled": 2, "timeout": 1},
    planned=None, begun=1234, requests_per_s=41.5,
    ttft_p50=0.0912, users=50, in_flight=31,
)  # fmt: skip


def test_a_line_has_time_left_requests_rate_errors_and_first_tokens():
    assert line(PROGRESS) == (
        "1,234 sent  1,200 ok  3 failed (throttled 2)  TTFT p50 91.2 ms  6 s left  41.5 requests/s  31 in flight  measure"
    )


def changed(**changes):
    return SimpleNamespace(**vars(PROGRESS) | changes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"failures": {}}, "0 failed"),
        ({"failures": {"timeout": 1200}}, "1,200 failed (timeout)"),
        ({"ttft_p50": None}, "TTFT p50 –"),
        ({"total": None}, "4 s so far"),
        ({"total": None, "planned": 1400}, "about 4 s left"),
        ({"total": None, "planned": 1400, "requests_per_s": 0.0}, "4 s so far"),
    ],
)
def test_a_line_says_the_commonest_failure_and_what_is_known_of_the_time(changes, told):
    assert told in line(changed(**changes)).split("  ")


@pytest.mark.parametrize(
    ("width", "there", "missing"),
    [
        (60, ["1,200 ok"], ["requests/s", "━"]),
        (80, ["1,234 sent", "1,200 ok", "3 failed (throttled 2)", "91.2 ms", "6 s left"], ["requests/s"]),
        (90, ["6 s left", "━"], ["requests/s"]),
        (160, ["6 s left", "41.5 requests/s", "31 in flight", "measure", "━"], []),
    ],
)
def test_what_matters_comes_first_and_the_bar_gets_what_is_left(width, there, missing):
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, no_color=True)
    console.print(bar(PROGRESS, width))
    [shown] = [found for found in re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines() if found.strip()]
    assert len(shown) <= width
    assert [words for words in there if words not in shown] == []
    assert [words for words in missing if words in shown] == []


def test_while_draining_it_says_what_is_waited_for():
    assert "waiting for 31 answers" in line(changed(stage="drain"))


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
