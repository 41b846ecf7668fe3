"""stderr and stdout as they may be: closed, or on a full disk. What a verb measured, and its exit code, stay."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from typing import TextIO

import click


def tell(text: str) -> None:
    """Write a line to stderr, if that can be written."""
    with suppress(OSError):
        click.echo(text, err=True)


def open_closed() -> None:
    """Open a stream that was closed before the command began, as the place that keeps nothing."""
    sys.stdout, sys.stderr = sys.stdout or nowhere(), sys.stderr or nowhere()
    atexit.register(give_up)


def give_up() -> None:
    """Drop what stderr could not write: Python would try it once more at its end, and exit with 120."""
    try:
        sys.stderr.flush()
    except OSError:
        sys.stderr = nowhere()


def nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - stays open until Python ends
