"""The report as Markdown: for a pull request, a wiki, a repository."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from bench.analysis import FORMULAS, Run
from bench.metrics import FLOORS
from bench.report.cells import columns, credibility, failures, headline, threshold_value
from bench.report.words import Markdown, code, in_markdown, in_page

MARKS = {"pass": "✓", "fail": "✗", "inconclusive": "?"}
TITLES = {
    "ttft": "Time to first token of each model",
    "itl": "Inter-token latency of each model",
    "e2e": "End-to-end latency of each model",
    "timeline": "Latency and throughput over time",
    "outcomes": "Requests by outcome over time",
    "load": "Users and requests in flight over time",
}
"""What each picture shows; also its text for those who don't see it."""


def markdown(run: Run, pictures: list[str], left_out: Sequence[str] = ()) -> str:
    """The whole report; `pictures` are the names of those that lie beside it, `left_out` says which are missing."""
    return (
        templates()
        .get_template("report.md.j2")
        .render(
            common(run, left_out),
            table=Markdown(table(run)),
            pictures=[(TITLES[name], f"{name}.png") for name in pictures],
        )
    )


@cache
def templates(*, page: bool = False) -> Environment:
    """Templates whose every value is made harmless where it is written."""
    environment = Environment(
        loader=PackageLoader("bench.report"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=in_page if page else in_markdown,
    )
    environment.filters["code"] = code
    return environment


def common(run: Run, left_out: Sequence[str] = ()) -> dict[str, object]:
    """What both templates are told."""
    summary = run.summary
    return {
        "summary": summary,
        "failures": failures(summary.groups, run.folder),
        "headline": headline(summary),
        "model_count": len(run.facts.scenario.models),
        "marks": MARKS,
        "threshold_value": threshold_value,
        "credibility": credibility(summary),
        "weaknesses": [*summary.validity.reasons, *summary.doubts, *left_out],
        "formulas": FORMULAS,
        "floors": ", ".join(f"{name} {floor:,}" for name, floor in FLOORS.items()),
        "circumstances": circumstances(run),
    }


def circumstances(run: Run) -> list[str]:
    """Target, machine and versions in a few words each."""
    facts = run.facts
    machine, versions, target = facts.machine, facts.versions, facts.target
    told = [
        f"target {target.kind if target.kind != 'url' else target.url}",
        f"{machine.cpus} CPUs ({machine.cpu_model or 'of unknown make'}), {machine.memory_gb} GB",
        f"{machine.system}, Python {machine.python}",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    return told + ([f"commit {facts.git[:12]}"] if facts.git else [])


def table(run: Run) -> str:
    """The summary table in Markdown."""
    groups = run.summary.groups
    shown = columns(groups)
    titles = [f"{column.title}, {column.unit}" if column.unit else column.title for column in shown]
    lines = [row(titles), row(["---" if column.text else "---:" for column in shown])]
    for group in groups:
        cells = [in_markdown(column.cell(group)) for column in shown]
        lines.append(row([f"**{cell}**" if cell and group.name == "all" else cell for cell in cells]))
    return "\n".join(lines)


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
