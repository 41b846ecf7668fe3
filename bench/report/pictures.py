"""Charts as PNG, for Markdown: the same values that the page draws. Every axis has its unit, and what was not measured
is shaded. Text is drawn as it is: a dollar sign begins no formula."""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.analysis.sections import Axis, Chart, Mark, Numbers, Series
from bench.report.words import shortened

MODEL_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5C00", "#000000")
"""Told apart by colour-blind readers too (Okabe and Ito 2008)."""
OUTCOME_COLOURS = {
    "ok": "#9FB1BF", "throttled": "#E69F00", "quota": "#B8860B", "overloaded": "#F0C75E", "auth": "#7B3294",
    "invalid": "#CC79A7", "server_error": "#D55E00", "timeout": "#0072B2", "connect": "#000000",
    "protocol": "#8C510A", "stream_error": "#B2182B", "truncated": "#56B4E9", "empty": "#009E73",
    "censored": "#EEEEEE",
}  # fmt: skip
INK, MUTED, GRID = "#1F2933", "#66737F", "#E4E9ED"
PLAIN_COLOURS = {
    "ink": INK,
    "accent": "#0B5CAD",
    "muted": "#4A7BA6",
    "good": "#1A7F4B",
    "bad": "#B42318",
    "doubt": "#9A6700",
}
WIDE, HIGH = 9.0, 3.9  # inches; a chart's height is relative to this one
DPI = 150
QUICK = 1  # of zlib's levels; the others take up to half the time of drawing and save a fifth of the bytes
STYLE = {
    "font.family": "sans-serif", "font.size": 10, "axes.edgecolor": "#B8C2CA", "axes.labelcolor": MUTED,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 12, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.titlecolor": INK, "xtick.color": MUTED, "ytick.color": MUTED,
    "text.color": INK, "text.parse_math": False, "axes.grid": True, "grid.color": GRID, "axes.axisbelow": True,
    "legend.frameon": False,
}  # fmt: skip
STROKES = {"solid": "-", "dashed": (0, (4, 2)), "dotted": (0, (1, 1.5))}
NOTE_LETTERS, NOTE_LINE = 132, 0.15  # letters of a note's line, and its height in inches
LONGEST_LABEL = 32  # characters of a name
ROOM, TITLE_LETTER, KEY = 120.0, 1.6, 6  # of a title and its legend in letters of the legend
LABEL_WIDTH = 0.095  # of the axis
STAGE_LETTER = 0.085  # inches of a letter of a stage's name
LETTER = 0.0105  # of the width that a letter of a category takes
STROKE = 0.62  # height of a percentile's mark on a category axis, in categories


def pictures(charts: Sequence[Chart]) -> tuple[dict[str, bytes], list[str]]:
    """Each chart as PNG by its name; and in sentences, which could not be drawn."""
    drawn, left_out = {}, []
    for chart in charts:
        try:
            drawn[chart.name] = picture(chart)
        except Exception as error:  # the other pictures are right all the same
            left_out.append(f"the picture {chart.name} could not be drawn ({type(error).__name__}: {error})")
    return drawn, left_out


def picture(chart: Chart) -> bytes:
    """The chart as PNG."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():  # type: ignore[arg-type]
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        note = textwrap.wrap(chart.note or "", NOTE_LETTERS)
        low = 0.5 + (0.06 + NOTE_LINE * len(note) if note else 0.0)
        high = 0.1 + HIGH * chart.height + low
        figure = Figure(figsize=(WIDE, high))
        axes = figure.subplots()
        longest = max((len(name) for name in chart.y.categories), default=0)
        figure.subplots_adjust(  # finding the best margins would take longer than drawing
            left=min(0.4, 0.085 if not longest else 0.02 + LETTER * longest),
            right=0.985 if not many_lines(chart) else 0.985 - LETTER * longest_title(chart) - 0.05,
            top=1.0 - 0.36 / high,
            bottom=low / high,
        )
        axes.set_title(chart.title, y=1.0)  # or matplotlib measures all ticks to see whether it is in their way
        backdrop(axes, chart)
        for series in stacked(chart):
            draw(axes, chart, series)
        for mark in chart.marks:
            line_across(axes, mark)
        ticked = chart.with_ticks()
        set_axis(axes, "x", ticked.x)
        set_axis(axes, "y", ticked.y)
        legend(axes, chart)
        if note:
            axes.annotate("\n".join(note), (0, 0), (0, -37), "axes fraction", "offset points", fontsize=8, color=MUTED,
                          va="top", annotation_clip=False)  # fmt: skip
        return png(figure)


def name_on_picture(name: str) -> str:
    """A name in one short line. matplotlib leaves out of a legend what begins with an underscore, so a space leads."""
    words = shortened(name, LONGEST_LABEL)
    return f" {words}" if words.startswith("_") else words


def png(figure: Figure) -> bytes:
    """The figure drawn once; matplotlib's own saving draws it twice, the first time to find out what is where."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    out = io.BytesIO()
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    imsave(out, pixels, format="png", metadata={"Software": "bench"}, dpi=DPI, pil_kwargs={"compress_level": QUICK})
    return out.getvalue()


def colour_of(role: str) -> str:
    """A role's colour on white."""
    kind, _, word = role.partition(":")
    if kind == "model":
        return MODEL_COLOURS[int(word) % len(MODEL_COLOURS)]
    if kind == "outcome":
        return OUTCOME_COLOURS.get(word, MUTED)
    return PLAIN_COLOURS.get(kind, INK)


def stacked(chart: Chart) -> list[Series]:
    """The series to draw: request classes not apart from their whole, stacks as bars above each other."""
    found, floor = [], dict[float, float]()
    for series in chart.series:
        one = series.added()
        if one.form == "stack":
            base = np.array([floor.get(float(x), 0.0) for x in one.x])
            one = replace(one, form="bars", y=base + one.y, base=base)
            floor |= dict(zip(one.x.tolist(), one.y.tolist(), strict=True))
        found += [] if one.part else [one]
    return found


def blocks(axes: Axes, series: Series) -> None:
    """Many bars, each painted as it is said of it."""
    assert series.base is not None
    assert series.width is not None
    left, right = series.x - series.width / 2, series.x + series.width / 2
    corners = [(left, series.base), (right, series.base), (right, series.y), (left, series.y)]
    colours = colours_of(series)
    if series.amount is not None:
        colours[:, 3] = np.sqrt(series.amount / max(float(series.amount.max(initial=1.0)), 1.0))
    paths = list(np.stack([np.stack(one, -1) for one in corners], 1))
    edges = "none" if series.ids is None else colours  # so that the shortest are seen, too
    axes.add_collection(PolyCollection(paths, facecolors=colours, edgecolors=edges, linewidths=0.5))
    name_kinds(axes, series, "s")


def name_kinds(axes: Axes, series: Series, marker: str) -> None:
    """Puts the titles of a series' kinds into the legend."""
    for title, role in {kind.title: kind.role for kind in series.kinds if kind.title}.items():
        axes.scatter([], [], c=colour_of(role), marker=marker, label=name_on_picture(title))


def colours_of(series: Series) -> npt.NDArray[np.float64]:
    """Red, green, blue and strength of each value."""
    if series.kind is None:
        return np.tile(to_rgba(colour_of(series.role)), (len(series.x), 1))
    kinds = [to_rgba(colour_of(kind.role), kind.shade) for kind in series.kinds]
    return np.array(kinds).reshape(-1, 4)[series.kind]


def draw(axes: Axes, chart: Chart, series: Series) -> None:
    """One series in its form."""
    colour, title = colour_of(series.role), name_on_picture(series.title) or None
    x, y = series.x, series.y
    if series.low is not None and series.high is not None:
        axes.fill_between(x, series.low, series.high, color=colour, alpha=0.18, linewidth=0,
                          step="post" if series.form == "step" else None)  # fmt: skip
    if series.form == "area":
        axes.fill_between(x, 0.0 if series.base is None else series.base, y, color=colour, alpha=0.28, linewidth=0)
        axes.plot(x, y, color=colour, linewidth=1.1, label=title)
    elif series.form == "points":
        axes.scatter(x, y, c=colours_of(series), alpha=0.4, s=4, linewidths=0, label=title)
        name_kinds(axes, series, "o")
    elif series.amount is not None or (series.form == "bars" and series.kinds):
        blocks(axes, series)
    elif series.form == "bars":
        width = 0.8 if series.width is None else series.width
        bottom = 0.0 if series.base is None else series.base
        axes.bar(x, y - bottom, width=width, bottom=bottom, color=colour, linewidth=0, label=title)
    elif series.form == "ticks":
        strokes(axes, chart, series, colour)
    elif series.form == "step":
        ends = x if series.width is None else np.append(x, x[-1:] + series.width[-1:])
        heights = y if series.width is None else np.append(y, y[-1:])
        axes.step(ends, heights, where="post", color=colour, linewidth=width_of(series), label=title,
                  linestyle=STROKES[series.stroke])  # fmt: skip
    else:
        marker = "o" if chart.x.title and not chart.time and len(x) < 60 else None
        axes.plot(x, y, color=colour, linewidth=width_of(series), label=title, marker=marker,
                  markersize=4, linestyle=STROKES[series.stroke])  # fmt: skip
        if marker is None:
            axes.scatter(x[lone(y)], y[lone(y)], color=colour, s=12, linewidths=0)


def lone(y: Numbers) -> npt.NDArray[np.bool_]:
    """Which values stand between gaps, where there is no line to see."""
    known = np.concatenate([[False], np.isfinite(y), [False]])
    alone: npt.NDArray[np.bool_] = known[1:-1] & ~known[:-2] & ~known[2:]
    return alone


def width_of(series: Series) -> float:
    return 1.8 if series.stroke == "solid" else 1.1


def strokes(axes: Axes, chart: Chart, series: Series, colour: str) -> None:
    """Percentiles on the line of their distribution, with labels that do not cover each other."""
    taken = [-math.inf] * 3  # where the last label of each level stands
    for x, y, label in zip(series.x, series.y, series.labels, strict=True):
        axes.plot([x, x], [y, y + STROKE], color=colour, linewidth=1.4)
        at = place_on(chart.x, float(x))
        level = next((level for level, other in enumerate(taken) if at - other > LABEL_WIDTH), 0)
        taken[level] = at
        axes.text(x, y + STROKE + 0.01 + 0.12 * level, label, color=colour, fontsize=8.5, ha="center", va="bottom")


def place_on(axis: Axis, value: float) -> float:
    """Where a value stands between the axis's ends, from 0 to 1."""
    begin, end = axis.begin or 0.0, 1.0 if axis.end is None else axis.end
    if axis.scale == "log":
        return math.log(value / begin) / math.log(end / begin)
    return (value - begin) / ((end - begin) or 1.0)


def backdrop(axes: Axes, chart: Chart) -> None:
    """What was not measured, shaded, and where each stage begins."""
    for span in chart.spans:
        axes.axvspan(span.begin, span.end, color="#8A97A3", alpha=0.13, linewidth=0, zorder=0)
        name_above(axes, chart, span.begin, span.end, span.text)
    shaded = {span.text for span in chart.spans}
    for stage in chart.stages:
        if stage.text not in shaded:
            axes.axvline(stage.begin, color=MUTED, linewidth=0.8, linestyle=STROKES["dotted"])
            name_above(axes, chart, stage.begin, stage.end, shortened(stage.text, LONGEST_LABEL))


def name_above(axes: Axes, chart: Chart, begin: float, end: float, text: str) -> None:
    """The name of a stretch of x, where there is room."""
    room = WIDE if not many_lines(chart) else WIDE * (0.9 - LETTER * longest_title(chart))
    if (end - begin) / ((chart.x.end or 1.0) - (chart.x.begin or 0.0)) * room > STAGE_LETTER * len(text):
        axes.text((begin + end) / 2, 0.97, text, transform=axes.get_xaxis_transform(), ha="center", va="top",
                  fontsize=8.5, color=MUTED)  # fmt: skip


def line_across(axes: Axes, mark: Mark) -> None:
    """A line at a value, with its name at the edge."""
    colour = colour_of(mark.role)
    if mark.axis == "y":
        axes.axhline(mark.at, color=colour, linewidth=1.2, linestyle=STROKES["dashed"])
        axes.text(
            0.005, mark.at, mark.text, transform=axes.get_yaxis_transform(), color=colour, fontsize=8.5, va="bottom"
        )
    else:
        axes.axvline(mark.at, color=colour, linewidth=1.2, linestyle=STROKES["dashed"])
        axes.text(
            mark.at, 0.99, f" {mark.text}", transform=axes.get_xaxis_transform(), color=colour, fontsize=8.5, va="top"
        )


def set_axis(axes: Axes, which: str, axis: Axis) -> None:
    """Scale, ends, title and ticks of one direction."""
    one = axes.xaxis if which == "x" else axes.yaxis
    if axis.scale == "category":
        one.set_ticks(
            [place + 0.25 for place in range(len(axis.categories))],
            [shortened(name, LONGEST_LABEL) for name in axis.categories],
        )
        axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=11)
        axes.spines["left"].set_visible(False)
        axes.grid(False, axis="y")
    else:
        if axis.scale == "log":
            (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        if axis.ticks:
            one.set_ticks(list(axis.ticks))
            one.set_minor_locator(NullLocator())
        one.set_major_formatter(FuncFormatter(lambda value, _: plainly(value)))
        one.set_label_text(axis.label)
    if axis.begin is not None or axis.end is not None:
        (axes.set_xlim if which == "x" else axes.set_ylim)(axis.begin, axis.end)


def plainly(value: float) -> str:
    return f"{value:,.6g}"


def many_lines(chart: Chart) -> bool:
    """Whether the legend has more in it than there is room for beside the title."""
    titles = titles_of(chart)
    keys = sum(len(title) + KEY for title in titles)
    return len(titles) > 4 or (bool(titles) and len(chart.title) * TITLE_LETTER + keys > ROOM)


def longest_title(chart: Chart) -> int:
    """Letters of the longest entry of the legend, as far as one is shown."""
    return min(24, max(map(len, titles_of(chart))))


def titles_of(chart: Chart) -> list[str]:
    """What the legend has in it."""
    titles = [title for one in chart.series for title in (one.title, *(kind.title for kind in one.kinds))]
    return list(dict.fromkeys(title for title in titles if title))


def legend(axes: Axes, chart: Chart) -> None:
    """Beside the title, where it covers nothing; on the right where there are many lines."""
    if not axes.get_legend_handles_labels()[0]:
        return
    if many_lines(chart):
        made = axes.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), fontsize=8.5, reverse=True)
    else:
        made = axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.99), ncols=6, fontsize=8.5, handlelength=1.6,
                           columnspacing=1.2, borderaxespad=0.0)  # fmt: skip
    plain_texts(made.get_texts())


def plain_texts(texts: Sequence[Text]) -> None:
    for text in texts:
        text.set_parse_math(False)
