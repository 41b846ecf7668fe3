"""How `make docs` builds these pages: Sphinx reads Markdown as it is, and a notebook as the Markdown it stands for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx

project = "bench"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
nitpicky = True  # with -W, a link that leads nowhere ends the build
myst_heading_anchors = 4

html_title = "bench"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["bench.css"]
html_js_files = [("scrolling.js", {"defer": "defer"})]
html_copy_source = False
html_show_sourcelink = html_show_copyright = False
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"


def markdown_of(notebook: dict[str, Any]) -> str:
    """Text as it is, code in a block, and below it what was kept of its output."""
    return "\n\n".join(part for cell in notebook["cells"] for part in parts_of(cell))


def parts_of(cell: dict[str, Any]) -> Iterator[str]:
    text = "".join(cell["source"])
    yield text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
    for output in cell.get("outputs", ()):
        yield shown(output)


def shown(output: dict[str, Any]) -> str:
    """An output in the best form that a page can show: a picture, a table, a text."""
    data = output.get("data", {})
    if "image/png" in data:
        picture = "".join(data["image/png"]).replace("\n", "")
        return f'<img alt="The chart that this code draws" src="data:image/png;base64,{picture}">'
    if "text/html" in data:
        lines = [line for line in "".join(data["text/html"]).splitlines() if line.strip()]  # an empty one would end it
        return "\n".join(('<div class="output">', *lines, "</div>"))
    return "```text\n" + "".join(data.get("text/plain", output.get("text", ""))) + "\n```"


class NotebookParser(MystParser):
    """Reads a notebook."""

    supported = ("ipynb",)

    def parse(self, inputstring: str, document: Any) -> None:
        super().parse(markdown_of(json.loads(inputstring)), document)


MENDED = {
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="All pages">',
    '<aside class="toc-drawer">': '<aside class="toc-drawer" aria-label="This page">',
    '<aside class="toc-drawer no-toc">': '<aside class="toc-drawer no-toc" aria-label="This page">',
    "<th></th>": "<td></td>",  # of a table of pandas: the corner above its rows
}
"""What the theme leaves out for screen readers and keyboards, and what stands in its place."""


def mend(app: Sphinx, failed: Exception | None) -> None:
    """Mend the pages that were written."""
    for page in Path(app.outdir).glob("*.html") if failed is None else ():
        text = page.read_text("utf-8")
        for old, new in MENDED.items():
            text = text.replace(old, new)
        if page.name == "search.html":
            text = text.replace("<noscript>", "<h1>Search</h1>\n<noscript>", 1)
        page.write_text(text, "utf-8")


def setup(app: Sphinx) -> None:
    app.connect("build-finished", mend)
    app.add_source_suffix(".ipynb", "ipynb")
    app.add_source_parser(NotebookParser)
