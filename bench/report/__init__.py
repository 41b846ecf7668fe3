"""What people see of a run: text, Markdown, one HTML page, pictures. Everything comes from the run's folder."""

from __future__ import annotations

from pathlib import Path

import orjson

from bench.analysis import Run


def write_report(run: Run) -> Path:
    """Write summary.json, report.md, report.html and the pictures into the run's folder. Returns the page's path."""
    from bench.report.html import html
    from bench.report.markdown import markdown
    from bench.report.plots import draw

    pictures = draw(run)
    for name, picture in pictures.items():
        (run.folder / f"{name}.png").write_bytes(picture)
    (run.folder / "summary.json").write_bytes(render_json(run))
    (run.folder / "report.md").write_text(markdown(run, list(pictures)), "utf-8")
    page = run.folder / "report.html"
    page.write_text(html(run, pictures), "utf-8")
    return page


def render(run: Run, form: str, *, colour: bool = False) -> str:
    """The report in one of the forms text, markdown, json and html."""
    if form == "text":
        from bench.report.text import text

        return text(run, colour=colour)
    if form == "json":
        return render_json(run).decode().rstrip()
    from bench.report.plots import draw

    if form == "markdown":
        from bench.report.markdown import markdown

        return markdown(run, [])
    from bench.report.html import html

    return html(run, draw(run))


def render_json(run: Run) -> bytes:
    return orjson.dumps(run.summary, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
