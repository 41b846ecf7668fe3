"""The pages of docs/: none is out of reach, no link leads nowhere, and they can be built."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import PAGES, README, anchors_of, links_of, text_of

GUIDES = [page for page in PAGES if page != README]
INDEX = Path("docs/index.md")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_to_a_file_and_to_a_heading_of_it(page):
    for link in links_of(page):
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), f"{page} links to {link}"
        if anchor:
            assert anchor in anchors_of(target), f"{page} links to {link}"


def test_every_page_is_in_the_table_of_contents_once():
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```", text_of(INDEX), re.MULTILINE | re.DOTALL)
    entries = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    assert sorted(entries) == sorted(page.stem for page in GUIDES if page != INDEX)


def test_the_first_page_says_in_words_what_each_page_is_for():
    told = {link.partition(".")[0] for link in links_of(INDEX)}
    assert told == {page.stem for page in GUIDES if page != INDEX}


def test_the_readme_leads_to_the_first_page():
    assert "docs/index.md" in links_of(README)


@pytest.mark.skipif(importlib.util.find_spec("sphinx") is None, reason="Sphinx is not installed; make docs installs it")
def test_the_pages_are_built_without_a_warning_and_need_no_network(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-b", "html", "--fail-on-warning", "--quiet", "docs", tmp_path],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert all((tmp_path / f"{page.stem}.html").exists() for page in GUIDES)
    loaded = re.compile(r'<(?:script|img|iframe)[^>]* src="([^"]+)"|<link[^>]*rel="stylesheet"[^>]* href="([^"]+)"')
    for page in tmp_path.glob("*.html"):
        for one in loaded.finditer(page.read_text("utf-8")):
            assert not (one[1] or one[2]).startswith(("http:", "https:", "//")), f"{page.name} loads {one[0]}"
