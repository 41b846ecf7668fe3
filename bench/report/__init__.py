"""What people see of a run: text, Markdown, one HTML page, pictures. Everything comes from the run's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.analysis import Run
from bench.analysis.conclusion import Conclusion
from bench.analysis.sections import Findings, charts
from bench.analysis.summary import summary_json
from bench.experiments.general import NOTHING_MORE, findings
from bench.records.json_file import write_file
from bench.report.words import in_json


def write_report(
    run: Run, conclusion: Conclusion = NOTHING_MORE, *, warn: Callable[[str], None] = lambda _: None
) -> Path:
    """Write summary.json, report.md, report.html and the pictures into the run's folder. `conclusion` is what its
    experiment found (see bench.experiments.conclusion_of); `warn` gets a sentence about each part that had to be left
    out. Returns the page's path."""
    write_summary(run)
    return write_findings(findings(run, conclusion), run.folder, warn=warn)


def write_findings(told: Findings, folder: Path, *, warn: Callable[[str], None] = lambda _: None) -> Path:
    """Write report.md, report.html and the pictures of any findings into a folder. Returns the page's path."""
    from bench.report.markdown import markdown
    from bench.report.page import page
    from bench.report.pictures import pictures

    drawn, undrawn = pictures(charts(told.sections))
    for sentence in (*told.left_out, *undrawn):
        warn(sentence)
    for name, picture in drawn.items():
        (folder / f"{name}.png").write_bytes(picture)
    forms: dict[Path, Callable[[], str]] = {
        folder / "report.md": lambda: markdown(told, drawn, undrawn),
        folder / "report.html": lambda: page(told),
    }
    for path, make in forms.items():
        try:
            text = make()
        except Exception as error:  # what else there is of the report is right all the same
            warn(f"{path} could not be made ({type(error).__name__}: {error})")
        else:
            path.write_text(text, "utf-8", "backslashreplace")
    return folder / "report.html"


def write_checks(run: Run, conclusion: Conclusion = NOTHING_MORE) -> Path | None:
    """Write junit.xml if something was asked of the run: a test case for each threshold and check. Returns its path."""
    from bench.analysis.checks import checks_of_run
    from bench.report.junit import NAME, junit

    if not (run.summary.thresholds or conclusion.checks):
        return None
    path = run.folder / NAME
    text = junit(run.summary.scenario, [*conclusion.checks, *checks_of_run(run.summary)])
    path.write_text(text, "utf-8", "backslashreplace")
    return path


def write_summary(run: Run) -> Path:
    """Write summary.json alone, whole or not at all. Returns its path. Raises OSError."""
    path = run.folder / "summary.json"
    write_file(path, summary_json(run.summary))
    return path


def render(run: Run, form: str, conclusion: Conclusion = NOTHING_MORE, *, colour: bool = False) -> str:
    """The report in one of the forms text, brief, markdown, json (the summary) and html."""
    if form == "json":
        return in_json(summary_json(run.summary).decode().rstrip())
    return render_findings(findings(run, conclusion, drawn=form == "html"), form, colour=colour)


def render_findings(told: Findings, form: str, *, colour: bool = False) -> str:
    """Any findings in one of the forms text, brief (its heading alone), markdown and html."""
    if form in ("text", "brief"):
        from bench.report.terminal import brief, terminal

        return (terminal if form == "text" else brief)(told, colour=colour)
    if form == "markdown":
        from bench.report.markdown import markdown

        return markdown(told)
    from bench.report.page import page

    return page(told)
