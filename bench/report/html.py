"""The report as one page without network: pictures and style are inside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from markupsafe import Markup

from bench.analysis import Run
from bench.report.cells import columns
from bench.report.markdown import TITLES, common, templates

SECTIONS = {"ttft": "latency", "itl": "latency", "e2e": "latency", "timeline": "timeline", "load": "timeline",
            "outcomes": "errors"}  # fmt: skip
"""Which section of the page a picture belongs to."""


def html(run: Run, pictures: dict[str, bytes], left_out: Sequence[str] = ()) -> str:
    """The whole page; `pictures` are PNG by name, `left_out` says which are missing."""
    groups = run.summary.groups
    shown = columns(groups)[2:]  # the first two, model and entry of the mix, are the rows' titles
    placed: dict[str, list[tuple[str, str]]] = {section: [] for section in SECTIONS.values()}
    for name, picture in pictures.items():
        source = "data:image/png;base64," + base64.b64encode(picture).decode()
        placed[SECTIONS[name]].append((TITLES[name], Markup(source)))  # noqa: S704 - base64 and nothing else
    return (
        templates(page=True)
        .get_template("report.html.j2")
        .render(
            common(run, left_out),
            columns=shown,
            groups=groups,
            pictures=placed,
            scenario=run.understood.scenario_text,
        )
    )
