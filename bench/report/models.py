"""A target's models as a table for the terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from bench.report.console import console_for
from bench.report.words import all_visible

COLUMNS = {
    "context": "context\ntokens",
    "max_output": "longest answer\ntokens",
    "input": "input\n$ per million",
    "output": "output\n$ per million",
    "cached_input": "cached input\n$ per million",
    "limits": "limits",
    "features": "features",
}


def models_text(models: Sequence[Mapping[str, Any]]) -> str:
    """One row per model; columns for which no model has anything are left out."""
    out = io.StringIO()
    console = console_for(out, widest=160)
    models = all_visible(models)
    shown = [name for name in COLUMNS if any(model[name] not in (None, "") for model in models)]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", no_wrap=True)
    for name in shown:
        table.add_column(COLUMNS[name], justify="left" if name in ("limits", "features") else "right")
    for model in models:
        table.add_row(model["id"], *(cell(model[name]) for name in shown))
    console.print(table)
    console.print(f"{len(models)} models")
    return out.getvalue().rstrip()


def cell(value: Any) -> str:
    """A count with separators, a price with its digits, a text as it is."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
