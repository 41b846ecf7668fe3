"""A run's report, for the verbs that end with one: written into its folder and printed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.problems import Unusable

if TYPE_CHECKING:
    from bench.analysis import Run


def conclude(run: Run, kind: str | None = None) -> Run:
    """The run with what its experiment finds in it. What could not be found is told on stderr; the figures stay.

    A run's folder may be a stranger's, so a kind of one's own is run only where the command line names its file.
    """
    from bench.experiments import KINDS, UnknownKindError, conclusion_of

    asked = run.facts.scenario.kind
    if kind is None and asked not in KINDS:
        _warn(f"the question is {asked}; with --kind FILE.py:KIND that file is run, and what it finds is told")
        return run
    try:
        return replace(run, conclusion=conclusion_of(run, kind or asked))
    except UnknownKindError as error:
        _warn(str(error))
    except Exception as error:  # whatever a user's own findings may raise
        _warn(f"the findings of {kind or asked} could not be made ({type(error).__name__}: {error})")
    return run


def print_report(run: Run, form: str, *, drawn: bool = True) -> Path:
    """Print the report in this form, and renew the folder's own; where it is not `drawn`, its summary.json alone.

    What could not be made is told on stderr, the rest stays. Returns the path of the page, or of the summary. Raises
    Unusable where there are no figures, OSError.
    """
    from bench.analysis import UncomputableError
    from bench.analysis.conclusion import keep
    from bench.report import write_report, write_summary

    try:
        _print(run, form)
        if run.conclusion is not None:
            keep(run.conclusion, run.folder)
        return write_report(run, warn=_warn) if drawn else write_summary(run)
    except UncomputableError as error:
        raise Unusable(str(error)) from None


def _print(run: Run, form: str) -> None:
    from bench.report import render

    summary = run.summary  # without it there is no report, and no verdict
    try:
        text = render(run, form, colour=sys.stdout.isatty())
    except Exception as error:  # the verdict and its exit code hold
        _warn(f"the {form} of {summary.scenario} could not be made ({type(error).__name__}: {error})")
    else:
        click.echo(text.encode("utf-8", "backslashreplace").decode())


def _warn(sentence: str) -> None:
    from bench.report.words import visible

    click.echo(f"warning: {visible(sentence)}", err=True)
