"""The terminal that text is laid out for."""

from __future__ import annotations

import os
import shutil
from typing import TextIO

from rich.console import Console


def console_for(out: TextIO, *, widest: int, width: int | None = None, colour: bool = False) -> Console:
    """A console that takes every text as it is: no markup, no emoji by name. `width` in characters; else the
    terminal's, at most `widest`."""
    return Console(
        file=out,
        width=width or min(shutil.get_terminal_size((120, 40)).columns, widest),
        force_terminal=colour,
        no_color=not colour,
        highlight=False,
        markup=False,
        emoji=False,
    )


def takes_colour(stream: TextIO) -> bool:
    """Whether to write to it in colour: it is a terminal, and its user has not set NO_COLOR (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")
