"""The report as one page without network: sections as HTML, charts drawn in the browser by BokehJS from their values.

BokehJS is read out of the installed package and put into the page; the Python side of Bokeh is never imported.
"""

from __future__ import annotations

import base64
import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from bench.analysis.axes import thinned
from bench.analysis.numerals import singular
from bench.analysis.sections import About, Chart, Findings, Numbers, Places, Section, Series, Table, capital, charts
from bench.report.words import all_visible, visible

ARRAYS = ("x", "y", "low", "high", "width", "base", "kind", "ids", "amount")
ROWS = 12  # of a chart's figures that are written out as text
FACETS = {"model": "models", "name": "request classes", "stage": "stages", "outcome": "outcomes"}
"""By what a reader can filter, and what its words are called."""
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(%|(ms|s|min)\b))")
SEEN, LETTERS = 4, 48  # words of a facet that are seen at once, and their letters; more of them are folded


def page(told: Findings) -> str:
    """The whole page."""
    drawn = charts(told.sections)
    values = orjson.dumps(all_visible({chart.name: plain(chart) for chart in drawn})).decode()
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            heading=told.heading,
            sections=told.sections,
            facets=facets(told.sections),
            facet_names=tuple(FACETS),
            rows_of=figures_of,
            lines=lines,
            folded=folded,
            singular=singular,
            commands=told.commands,
            timed=any(chart.time for chart in drawn),
            scenario=lines(told.scenario),
            style=asset("page.css"),
            script=asset("page.js"),
            bokeh=bokeh() if drawn else "",
            values=in_script(values),
        )
    )


@cache
def environment() -> Environment:
    made = Environment(
        loader=PackageLoader("bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    made.filters["capital"] = capital
    made.filters["unbroken"] = unbroken
    return made


def shown(value: Any) -> Any:
    """A value as text of the page, which escapes it afterwards."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def unbroken(text: str) -> str:
    """A text for a narrow screen: no line ends between a number and its unit."""
    return _BEFORE_UNIT.sub("\xa0", text)


def lines(text: str) -> Markup:
    """A text of several lines, made harmless."""
    return Markup(escape(visible(text, keep="\n")))  # noqa: S704 - escaped just now


def asset(name: str) -> Markup:
    return Markup(files("bench.report").joinpath("templates", name).read_text("utf-8"))  # noqa: S704 - our own file


@cache
def bokeh() -> Markup:
    """BokehJS, without loading its Python package."""
    spec = importlib.util.find_spec("bokeh")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "server" / "static" / "js"
    source = "\n".join((folder / name).read_text("utf-8") for name in ("bokeh.min.js", "bokeh-api.min.js"))
    return Markup(source.replace("</script", "<\\/script"))  # noqa: S704 - a library's code


def in_script(json: str) -> Markup:
    """JSON that cannot end the script element that it stands in."""
    safe = json.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return Markup(safe.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))  # noqa: S704 - escaped just now


def facets(sections: Sequence[Section]) -> dict[str, tuple[str, list[str]]]:
    """What the page's rows and series are about: title and words of each facet that has at least two."""
    tables = [part for section in sections for part in section.parts if isinstance(part, Table)]
    tables.sort(key=fullest)
    abouts = [row.about for table in tables for row in table.rows]
    for series in (one for chart in charts(sections) for one in chart.series):
        abouts += [series.about, *(kind.about for kind in series.kinds)]
    found = {}
    for facet, title in FACETS.items():
        words = list(dict.fromkeys(word for about in abouts if (word := getattr(about, facet)) is not None))
        if len(words) > 1:
            found[facet] = (title, words)
    return found


def fullest(table: Table) -> tuple[bool, int]:
    """Puts the fullest table first, which has all words in the order of the run; a table of failures, which are in the
    order of their number, comes last."""
    abouts = {row.about for row in table.rows}
    return any(about.outcome is not None for about in abouts), -len(abouts)


def folded(words: Sequence[str]) -> bool:
    """Whether the words of a facet take too much room to be seen all the time."""
    return len(words) > SEEN or sum(map(len, words)) > LETTERS


# -- a chart's values for the browser -------------------------------------------------------------------------


def plain(chart: Chart) -> dict[str, object]:
    """The chart as JSON values; arrays as base64 of 32-bit floats, which a browser reads at once."""
    chart = chart.with_ticks().with_ends()  # without ends the browser draws nothing
    value = {name: getattr(chart, name) for name in ("name", "title", "says", "height", "time", "note")}
    return value | {
        "x": asdict(chart.x) | {"label": chart.x.label},
        "y": asdict(chart.y) | {"label": chart.y.label},
        "marks": [asdict(mark) | {"about": words_of(mark.about)} for mark in chart.marks],
        "spans": [asdict(span) for span in chart.spans],
        "stages": [asdict(span) for span in chart.stages],
        "series": [plain_series(series) for series in chart.series],
    }


def plain_series(series: Series) -> dict[str, object]:
    arrays = {name: packed(getattr(series, name)) for name in ARRAYS}
    return arrays | {
        "title": series.title,
        "form": series.form,
        "role": series.role,
        "about": words_of(series.about),
        "stroke": series.stroke,
        "labels": series.labels,
        "kinds": [asdict(kind) | {"about": words_of(kind.about)} for kind in series.kinds],
        "part": series.part,
    }


def packed(values: Numbers | Places | None) -> str | None:
    return None if values is None else base64.b64encode(np.asarray(values, "<f4").tobytes()).decode()


def words_of(about: About) -> Mapping[str, str]:
    """What it is about, without what it is not told apart by."""
    return {facet: word for facet in FACETS if (word := getattr(about, facet)) is not None}


def figures_of(chart: Chart) -> list[tuple[str, list[tuple[str, str]]]]:
    """A chart's figures as text, for those who do not see it: of each titled series some values; of rows of categories
    the highest first."""
    found = []
    for one in chart.series if not chart.y.categories else reversed(chart.series):
        series = one.added()
        if series.part or not (series.title or series.labels):
            continue
        if series.form == "ticks":
            found.append((chart.y.categories[int(series.y[0])], [(label, "") for label in series.labels]))
            continue
        title = series.title or (series.about.name or series.about.model or "")
        known = np.flatnonzero(np.isfinite(series.y))  # a line may have gaps
        places = known[thinned(len(known), ROWS)]
        rows = [(f"{series.x[place]:,.6g}", height_told(chart, series, place)) for place in places]
        if series.labels:
            found += [(f"{title}, {series.labels[place]}", [row]) for place, row in zip(places, rows, strict=True)]
        else:
            found.append((title, rows))
    return found


def height_told(chart: Chart, series: Series, place: int) -> str:
    """How high a value stands, or the category that it stands on."""
    if chart.y.categories:
        return chart.y.categories[int(series.y[place])]
    return f"{height(series)[place]:,.4g}"


def height(series: Series) -> Numbers:
    """The values themselves: of stacked bars without what lies below."""
    return series.y if series.base is None or series.form != "bars" else series.y - series.base
