"""Names that do something elsewhere are only names here: in the terminal, Markdown, page, pictures and JSON."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from bench.analysis import open_run
from bench.report import render, write_report
from bench.report.models import models_text
from bench.report.page import bokeh
from bench.report.terminal import text
from bench.report.words import code, in_markdown, shortened, visible
from tests.runs import elements, failed, record, shifted, write_run

NAMES = {
    "mathtext": "a$x^2_{$b", "open mathtext": "$\\frac{", "underscores": "_private_", "braces": "{}{0}{{ 7*7 }}{% if %}",
    "backslash": "\\newcommand\\x", "newline": "two\nlines\r\nmore", "escape": "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "control": "a\x00b\x08c\x7f\x9b2J", "emoji": "🦙🔥:smile:", "rtl": "نموذج \u202egpj.exe", "long": "m" * 300,
    "script": "<script>alert(1)</script>", "image": "<img src=x onerror=alert(1)>", "pipe": "a|b||c",
    "backticks": "`rm -rf`` `", "rich": "[red]x[/red][/]", "link": "[x](http://e.vil)![y](z)", "blank": " ",
    "stars": "**bold** ~~no~~ # h", "percent": "%s%(x)d%%", "entity": "&lt;b&gt;", "quote": "\"'onload='",
    "separators": "a\u2028b\u2029c", "combining": "e\u0301" * 30, "path": "../../etc/passwd",
}  # fmt: skip


@pytest.mark.slow  # a second for each five, most of it pictures
@pytest.mark.parametrize("first", range(0, len(NAMES), 5), ids=lambda first: list(NAMES)[first])
def test_names_hold_in_every_form(tmp_path, first):
    names = list(NAMES.values())[first : first + 5]
    base, records = record(0), []
    for place, name in enumerate(names):
        seq = 100 * place
        records += [record(**shifted(base, 0.3 * by, seq + by), model=name, name="ab"[by % 2]) for by in range(12)]
        error = f"HTTP 500 {name}"
        records.append(failed(seq + 40, "server_error", model=name, name="b", error=error, sent=3.0, done=3.5))
    requests = [{"name": "a"}, {"name": "b"}]
    thresholds = [f"ttft[{name}] p50 < 1s" for name in names]
    scenario = {"name": names[0], "models": names, "requests": requests, "thresholds": thresholds}
    run = open_run(write_run(tmp_path / "run", records, scenario=scenario))
    told: list[str] = []
    page = write_report(run, warn=told.append)
    assert told == []
    files = {path.name for path in run.folder.iterdir()}
    assert files >= {"ttft.png", "itl.png", "e2e.png", "timeline.png", "outcomes.png", "load.png", "report.md"}
    shown = text(run, width=120)
    assert [name for name in names if shortened(name).strip() not in shown] == []
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", shown)
    markdown = (run.folder / "report.md").read_text("utf-8")
    plain = re.sub(r"(`+).*?(?<!`)\1(?!`)", "", markdown)  # in a span of code nothing is obeyed
    assert not re.search(r"<(script|img)|[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", plain)
    assert len({bare_pipes(line) for line in markdown.splitlines() if line.startswith("| **")}) == 1
    html = page.read_text("utf-8")
    tags = [tag for tag, _ in elements(html)]
    assert (tags.count("script"), tags.count("img")) == (3, 0)
    ours = html.replace(bokeh(), "")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", ours)
    assert "onerror" not in {name for _, attributes in elements(html) for name in attributes}
    assert {group["model"] for group in json.loads(render(run, "json"))["groups"]} >= {*names}
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", render(run, "json"))


def bare_pipes(line: str) -> int:
    """Those that divide cells."""
    return len(re.findall(r"(?<!\\)\|", line))


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("plain", "plain"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202eevil", "\\u202eevil"),
        ("\ud800", "\\ud800"),
        ("é 🦙 نموذج", "é 🦙 نموذج"),
    ],
)
def test_a_terminal_is_shown_and_does_not_obey(given, seen):
    assert visible(given) == seen


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("error_rate", "error_rate"),
        ("_x_", "\\_x\\_"),
        ("a|b", "a\\|b"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("[x](y)", "\\[x\\](y)"),
        ("`$*", "\\`\\$\\*"),
        ("a\nb", "a\\\\nb"),
    ],
)
def test_markdown_is_written_and_not_meant(given, written):
    assert in_markdown(given) == written


def test_code_holds_backticks_and_pipes():
    assert code("ttft < 1s") == "`ttft < 1s`"
    assert code("a`b``c|d") == "``` a`b``c\\|d ```"


def test_what_a_server_calls_its_models_is_shown():
    nothing = dict.fromkeys(("context", "max_output", "input", "output", "cached_input", "limits"))
    told = models_text([{"id": "\x1b[31mred[/]:smile:", "features": "\x07bell", **nothing}])
    assert "\\x1b[31mred[/]:smile:" in told
    assert "\\x07bell" in told
    assert "\x1b" not in told


def test_a_picture_that_cannot_be_drawn_is_left_out_and_told(tmp_path):
    run = open_run(write_run(tmp_path, [record(n) for n in range(12)]))
    broken = replace(run, table=replace(run.table, tokens=None))
    told: list[str] = []
    page = write_report(broken, warn=told.append)
    assert any("the picture throughput could not be drawn" in one for one in told)
    assert "the picture throughput could not be drawn" in page.read_text()
    assert (tmp_path / "ttft.png").exists()
    assert not (tmp_path / "throughput.png").exists()
    assert "500" in text(broken, width=120)
