"""A target's models as a table for the terminal."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from bench.analysis.numerals import counted
from bench.report.console import console_for
from bench.report.words import all_visible

COLUMNS = {
    "context": "context\ntokens",
    "max_output": "longest answer\ntokens",
    "input": "input\n$ per million",
    "output": "output\n$ per million",
    "cached_input": "cached input\n$ per million",
    "cache_write": "cache write\n$ per million",
    "reasoning": "reasoning\n$ per million",
    "image": "image\n$",
    "limits": "limits",
    "features": "features",
}


def models_text(models: Sequence[Mapping[str, Any]]) -> str:
    """One row per model; columns for which no model has anything are left out."""
    out = io.StringIO()
    console = console_for(out, widest=160)
    models = all_visible(models)
    shown = [name for name in COLUMNS if any(model.get(name) not in (None, "") for model in models)]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", no_wrap=True)
    for name in shown:
        table.add_column(COLUMNS[name], justify="left" if name in ("limits", "features") else "right")
    for model in models:
        table.add_row(model["id"], *(cell(model.get(name)) for name in shown))
    console.print(table)
    console.print(counted(len(models), "models"))
    return out.getvalue().rstrip()


def cell(value: Any) -> str:
    """A count with separators, a price with its digits, a text as it is."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)


def prices_text(models: Sequence[Mapping[str, Any]], names: Sequence[str], *, source: str) -> str:
    """The `prices` part of a scenario: for each model what its provider lists; the others in a comment."""
    lines, silent = ["prices:"], []
    for model in models:
        told = {name: model[name] for name in names if model.get(name) is not None}
        if not {"input", "output", "image"} & told.keys():
            silent.append(model["id"])
            continue
        said = ", ".join(f"{name}: {value:.10g}" for name, value in told.items())
        lines.append(f"  {json.dumps(model['id'], ensure_ascii=False)}: {{{said}, source: {json.dumps(source)}}}")
    if len(lines) == 1:
        lines[0] = "prices: {}"
    return "\n".join(lines + [f"  # no price is listed for {json.dumps(one, ensure_ascii=False)}" for one in silent])
