"""`bench compare`: runs on disk, one side against the other, with or without a gate."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import format_option, overrides
from bench.cli.problems import Wrong, reported
from bench.cli.results import say, warn
from bench.cli.streams import tell

if TYPE_CHECKING:
    from bench.analysis.disk_comparison import DiskComparison
    from bench.analysis.sections import Findings


@click.command(name="compare")
@click.argument("baseline", metavar="BASELINE", required=False)
@click.argument("candidates", metavar="CANDIDATE...", nargs=-1)
@click.option("--aa", "itself", type=click.Path(path_type=Path), metavar="SCENARIO",
              help="Try a gate: send the scenario's baseline against itself, where nothing differs.")  # fmt: skip
@overrides
@click.option("--gate", metavar="FILE",
              help="How much worse the candidate may be: a file of lines such as ttft p50: 5%, a scenario, or a preset "
                   "such as mlperf/llama2-70b. Default: the gate of the runs' own scenario.")  # fmt: skip
@format_option("text", "markdown", "json", "junit", "html")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="Folder for the report as well: findings.json, page, Markdown, pictures, junit.xml.")  # fmt: skip
@click.option("--baselines", type=click.Path(path_type=Path), default=Path("baselines"), show_default=True,
              metavar="DIR", help="Where stored baselines are.")  # fmt: skip
@click.option("--run-spread", default="10%", show_default=True, metavar="SHARE",
              help="How much runs of the same thing are assumed to differ (standard deviation) while there are fewer "
                   "than 10 runs of the baseline and 3 of the candidate.")  # fmt: skip
@click.option("--force", is_flag=True, help="Also compare runs that are not alike; the report says what differs.")
@reported
def command(
    baseline: str | None,
    candidates: tuple[str, ...],
    itself: Path | None,
    settings: tuple[str, ...],
    gate: str | None,
    form: str,
    out: Path | None,
    baselines: Path,
    run_spread: str,
    force: bool,
) -> None:
    """Did it get worse? Compare runs on disk.

    BASELINE and CANDIDATE are folders that `bench run` made, folders that hold several, or the name of a stored
    baseline (see bench baseline). Several candidates are repeated runs of one thing. One run of kind: compare
    alone is judged again by another gate.

    \b
      bench compare reports/monday reports/tuesday --gate gate.yaml
      bench compare main reports/new-1 reports/new-2 reports/new-3 --format markdown >> $GITHUB_STEP_SUMMARY

    \b
    Exit codes: 0 pass, or compared without a gate · 1 fail · 2 wrong input, or the runs are not comparable ·
    3 inconclusive: too few runs, or a measurement is invalid
    """
    if itself is not None:
        if baseline is not None:
            raise Wrong("--aa sends a scenario against itself; no runs are expected beside it")
        sys.exit(ask_itself(itself, gate, out or Path("reports"), settings))
    if baseline is not None and not candidates and not settings:
        sys.exit(judge_again(Path(baseline), gate, form, out))
    if baseline is None or not candidates:
        raise Wrong("two runs are expected: BASELINE and CANDIDATE, such as reports/monday reports/tuesday")
    if settings:
        raise Wrong("--set changes a scenario; it goes with --aa")
    found = compare_sides(baseline, candidates, gate, baselines, run_spread, force=force)
    say(shown(found, form))
    if out is not None:
        tell(f"Report: {written(found, out)}")
    if found.refusals:
        reasons = "".join(f"\n  {one}" for one in found.refusals)
        raise Wrong(f"these runs are not comparable:{reasons}\n--force compares them all the same")
    sys.exit(found.exit_code)


def compare_sides(
    baseline: str, candidates: tuple[str, ...], gate: str | None, baselines: Path, run_spread: str, *, force: bool
) -> DiskComparison:
    """The two sides, compared. Raises Mistakes, Wrong."""
    from bench.analysis.disk_comparison import IncomparableError, compare
    from bench.plan.gate import share_of

    try:
        spread = share_of("--run-spread", run_spread)
    except ValueError as error:
        raise Wrong(str(error)) from None
    try:
        return compare(baseline, candidates, gate=gate, baselines=baselines, force=force, spread=spread)
    except IncomparableError as error:
        raise Wrong(str(error)) from None


def judge_again(folder: Path, gate: str | None, form: str, out: Path | None) -> int:
    """A run whose scenario has arms, judged from its records by a gate, or by its own; its exit code."""
    from bench.analysis import NotARunError, exit_code, open_run
    from bench.analysis.checks import checks_of_run
    from bench.experiments.compare.findings import findings, judged_again
    from bench.experiments.general import findings as report_of
    from bench.plan.gate_file import read_gate
    from bench.report import render
    from bench.report.console import takes_colour
    from bench.report.junit import junit
    from bench.report.words import printed_json

    asked = None if gate is None else read_gate(gate)
    try:
        run = open_run(folder)
    except NotARunError as error:
        raise Wrong(str(error)) from None
    if run.facts.scenario.kind != "compare":
        raise Wrong(f"{folder} is a run without arms, which has nothing to be compared with; name two runs")
    if asked is not None and asked.thresholds:
        raise Wrong(f"--gate {gate}: thresholds are for a run without arms; lines such as ttft p50: 5% are expected")
    try:
        conclusion = findings(run) if asked is None else judged_again(run, asked.lines)
    except ValueError as error:
        raise Wrong(f"{f'--gate {gate}' if gate else f'the gate of {folder}'}: {error}") from None
    checks = junit(run.summary.scenario, [*conclusion.checks, *checks_of_run(run.summary)])
    if form == "json":
        text = printed_json(conclusion.document)
    elif form == "junit":
        text = checks
    else:
        text = render(run, form, conclusion, colour=takes_colour(sys.stdout))
    say(text.rstrip())
    if out is not None:
        tell(f"Report: {kept(out, conclusion.document, checks, report_of(run, conclusion))}")
    return exit_code(run.summary, conclusion.verdict)


def ask_itself(file: Path, gate: str | None, parent: Path, settings: tuple[str, ...]) -> int:
    """A run of the scenario's baseline against itself; its exit code."""
    import bench.load as load  # first: Locust patches the standard library
    from bench.analysis.certificate import kept_certificate
    from bench.cli.run import build_every_request, experiment, fetch_keys, new_draw, question, report
    from bench.cli.scenario import read_scenario
    from bench.experiments.compare.itself import against_itself
    from bench.plan.gate_file import read_gate

    scenario = read_scenario(file, None, settings)
    lines: dict[str, object] | None = None
    if gate is not None:
        lines = {line.title: line.allowed for line in read_gate(gate).lines}
    try:
        asked = against_itself(scenario, lines)
    except ValueError as error:
        raise Wrong(f"--aa {file}: {error}") from None
    draw = new_draw(asked)
    build_every_request(asked, file, draw)
    fetch_keys(asked)
    folder = load.new_folder(parent, asked.name, datetime.now(UTC))
    with experiment(asked, folder, draw) as live:
        load.run_load(
            asked,
            folder,
            question(asked, draw),
            draw=draw,
            source=str(file),
            observer=live,
            certificate=kept_certificate(),
        )
    return report(folder, asked.kind, drawn=True)


def shown(found: DiskComparison, form: str) -> str:
    """The comparison in one of the forms."""
    from bench.analysis.comparison_findings import checks_of, document_of, findings_of
    from bench.report import render_findings
    from bench.report.console import takes_colour
    from bench.report.junit import junit
    from bench.report.words import printed_json

    if form == "json":
        return printed_json(document_of(found))
    if form == "junit":
        return junit("bench compare", checks_of(found)).rstrip()
    text = render_findings(findings_of(found, drawn=form == "html"), form, colour=takes_colour(sys.stdout))
    return text.rstrip()


def written(found: DiskComparison, folder: Path) -> Path:
    """The report as files. Returns the page's path. Raises OSError."""
    from bench.analysis.comparison_findings import checks_of, document_of, findings_of
    from bench.report.junit import junit

    return kept(folder, document_of(found), junit("bench compare", checks_of(found)), findings_of(found))


def kept(folder: Path, document: object, checks: str, report: Findings) -> Path:
    """findings.json, junit.xml and the report in this folder. Returns the page's path. Raises OSError."""
    from bench.analysis.conclusion import FINDINGS_FILE
    from bench.records.json_file import write_json
    from bench.report import write_findings
    from bench.report.junit import NAME

    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FINDINGS_FILE, document)
    (folder / NAME).write_text(checks, "utf-8")
    return write_findings(report, folder, warn=warn)
