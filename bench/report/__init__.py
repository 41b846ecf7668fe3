"""What people see of a run: text, Markdown, one HTML page, pictures. Everything comes from the run's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.analysis import Run
from bench.analysis.summary import in_json as summary_in_json
from bench.report.words import in_json


def write_report(run: Run, *, warn: Callable[[str], None] = lambda _: None) -> Path:
    """Write summary.json, report.md, report.html and the pictures into the run's folder; `warn` is told in a sentence
    of each part that had to be left out. Returns the page's path."""
    from bench.analysis.sections import charts
    from bench.experiments.load.findings import findings
    from bench.report.markdown import markdown
    from bench.report.page import page
    from bench.report.pictures import pictures

    write_summary(run)
    told = findings(run)
    drawn, undrawn = pictures(charts(told.sections))
    for sentence in (*told.left_out, *undrawn):
        warn(sentence)
    for name, picture in drawn.items():
        (run.folder / f"{name}.png").write_bytes(picture)
    forms: dict[Path, Callable[[], str]] = {
        run.folder / "report.md": lambda: markdown(told, drawn, undrawn),
        run.folder / "report.html": lambda: page(told),
    }
    for path, make in forms.items():
        try:
            text = make()
        except Exception as error:  # what else there is of the report is right all the same
            warn(f"{path} could not be made ({type(error).__name__}: {error})")
        else:
            path.write_text(text, "utf-8", "backslashreplace")
    return run.folder / "report.html"


def write_summary(run: Run) -> Path:
    """Write summary.json alone. Returns its path."""
    path = run.folder / "summary.json"
    path.write_bytes(render_json(run))
    return path


def render(run: Run, form: str, *, colour: bool = False) -> str:
    """The report in one of the forms text, markdown, json and html."""
    if form == "text":
        from bench.report.terminal import text

        return text(run, colour=colour)
    if form == "json":
        return in_json(render_json(run).decode().rstrip())
    from bench.experiments.load.findings import findings

    if form == "markdown":
        from bench.report.markdown import markdown

        return markdown(findings(run, drawn=False))
    from bench.report.page import page

    return page(findings(run))


def render_json(run: Run) -> bytes:
    return summary_in_json(run.summary)
