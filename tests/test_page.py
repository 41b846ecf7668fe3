"""The page in a real browser: Debian's Chromium, headless."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from bench.analysis import open_run
from bench.report import write_report
from tests.runs import record, shifted, write_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here: the page is not opened in a browser")
def test_a_browser_opens_the_page_and_finds_its_parts(tmp_path):
    records = [record(**shifted(record(0), 0.05 * n, n)) for n in range(100)]
    page = write_report(open_run(write_run(tmp_path / "run", records, scenario={"thresholds": ["ttft p95 < 1s"]})))
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/browser",
         "--virtual-time-budget=2000", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    dom = done.stdout
    assert "<title>handmade · pass · bench</title>" in dom
    found = re.findall(r'<section id="(\w+)"', dom)
    assert found == ["summary", "thresholds", "validity", "latency", "timeline", "errors", "definitions", "scenario"]
    assert len(re.findall(r'<img alt="[^"]+" src="data:image/png;base64,', dom)) == 6
    assert re.search(r"<td[^>]*>500 / – / –</td>", dom)
