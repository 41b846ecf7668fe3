"""A run's report, for the verbs that end with one: written into its folder and printed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.problems import Unusable
from bench.cli.streams import tell

if TYPE_CHECKING:
    from bench.analysis import Run
    from bench.analysis.conclusion import Conclusion


def conclude(run: Run, kind: str | None = None) -> Conclusion:
    """What the run's experiment finds in it. What could not be found is told on stderr; the figures stay.

    A run's folder may be a stranger's, so a user's own kind is run only if the command line names its file.
    """
    from bench.analysis.conclusion import Conclusion
    from bench.experiments import KINDS, UnknownKindError, conclusion_of

    asked = run.facts.scenario.kind
    if kind is None and asked not in KINDS:
        warn(f"the question is {asked}; with --kind FILE.py:KIND that file is run, and what it finds is told")
        return Conclusion()
    try:
        return conclusion_of(run, kind or asked)
    except UnknownKindError as error:
        warn(str(error))
    except Exception as error:  # whatever a user's own findings may raise
        warn(f"the findings of {kind or asked} could not be made ({type(error).__name__}: {error})")
    return Conclusion(verdict="inconclusive")


def print_report(run: Run, conclusion: Conclusion, form: str, *, drawn: bool = True) -> Path:
    """Print the report in this form, and renew the folder's own; if it is not `drawn`, its summary.json alone.

    What could not be made is told on stderr, the rest stays. Returns the path of the page, or of the summary. Raises
    Unusable if there are no figures, OSError.
    """
    from bench.analysis import UncomputableError
    from bench.analysis.conclusion import keep
    from bench.report import write_checks, write_report, write_summary

    try:
        _print(run, conclusion, form)
        try:
            keep(conclusion, run.folder)
        except TypeError as error:  # a document of a user's own
            warn(f"findings.json could not be written ({error})")
        write_checks(run, conclusion)
        return write_report(run, conclusion, warn=warn) if drawn else write_summary(run)
    except UncomputableError as error:
        raise Unusable(str(error)) from None


def _print(run: Run, conclusion: Conclusion, form: str) -> None:
    from bench.report import render
    from bench.report.console import takes_colour

    summary = run.summary  # without it there is no report, and no verdict
    try:
        text = render(run, form, conclusion, colour=takes_colour(sys.stdout))
    except Exception as error:  # the verdict and its exit code hold
        warn(f"the {form} of {summary.scenario} could not be made ({type(error).__name__}: {error})")
    else:
        say(text)


def say(text: str) -> None:
    """Print a text of a report. What UTF-8 cannot hold is written out, as \\udc80."""
    click.echo(text.encode("utf-8", "backslashreplace").decode())


def warn(sentence: str) -> None:
    from bench.report.words import visible

    tell(f"warning: {visible(sentence)}")
