"""The pictures. One colour a model in all of them; every axis has its unit; what was not measured is shaded."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Sequence

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench.analysis import Run, timeline
from bench.analysis.figures import Statistics
from bench.analysis.groups import Group
from bench.report.cells import items_title, milliseconds
from bench.report.words import shortened

MODEL_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5C00", "#000000")
"""Told apart by colour-blind readers too (Okabe and Ito 2008)."""
OUTCOME_COLOURS = {
    "ok": "#C9D3DB", "throttled": "#E69F00", "quota": "#B8860B", "overloaded": "#F0C75E", "auth": "#7B3294",
    "invalid": "#CC79A7", "server_error": "#D55E00", "timeout": "#0072B2", "connect": "#000000",
    "protocol": "#8C510A", "stream_error": "#B2182B", "truncated": "#56B4E9", "empty": "#009E73",
    "censored": "#EEEEEE",
}  # fmt: skip
INK, MUTED, GRID = "#1F2933", "#66737F", "#E4E9ED"
WIDE = 9.0  # inches
DPI = 150
STYLE = {
    "font.family": "sans-serif", "font.size": 10, "axes.edgecolor": "#B8C2CA", "axes.labelcolor": MUTED,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 12, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.titlecolor": INK, "xtick.color": MUTED, "ytick.color": MUTED,
    "text.color": INK, "axes.grid": True, "grid.color": GRID, "axes.axisbelow": True, "legend.frameon": False,
    "text.parse_math": False,
}  # fmt: skip
ENOUGH = 200_000  # values for the shape of a distribution
LONGEST_LABEL = 32  # characters of a name
LABEL_WIDTH = 0.095  # of the axis
MARKED = ("p50", "p95", "p99")
LOG_FROM = 30.0  # a spread of more than this between the fast and the slow is shown on a logarithmic axis


def draw(run: Run) -> tuple[dict[str, bytes], list[str]]:
    """Each picture that the run has something for, as PNG by name; and in sentences, which could not be drawn."""
    pictures: dict[str, Callable[[Run], Figure | None]] = {
        "ttft": lambda run: distributions(run, "ttft", "Time to first token"),
        "itl": lambda run: distributions(run, "itl", "Inter-token latency"),
        "e2e": lambda run: distributions(run, "e2e", "End-to-end latency"),
        "timeline": over_time,
        "outcomes": outcomes_over_time,
        "load": load_over_time,
    }
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        drawn, left_out = {}, []
        for name, make in pictures.items():
            try:
                if (figure := make(run)) is not None:
                    drawn[name] = png(figure)
            except Exception as error:  # the other pictures and the figures are right all the same
                left_out.append(f"the picture {name} could not be drawn ({type(error).__name__}: {error})")
        return drawn, left_out


def png(figure: Figure) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)  # a box stands for an emoji
        FigureCanvasAgg(figure).print_figure(out, format="png", dpi=DPI, metadata={"Software": None})
    return out.getvalue()


def name_on_picture(name: str) -> str:
    """A name in one short line. matplotlib leaves out of a legend what begins with an underscore, so a space leads."""
    shown = shortened(name, LONGEST_LABEL)
    return f" {shown}" if shown.startswith("_") else shown


def thousands() -> FuncFormatter:
    """Ticks as 1,500; each axis needs one of its own."""
    return FuncFormatter(lambda value, _: f"{value:,.6g}")


def colours(run: Run) -> dict[str, str]:
    models = run.facts.scenario.models
    return {model: MODEL_COLOURS[index % len(MODEL_COLOURS)] for index, model in enumerate(models)}


# -- distributions --------------------------------------------------------------------------------------


def distributions(run: Run, metric: str, title: str) -> Figure | None:
    """A row a model, or a row a request class of the only one, on one axis: how often each latency occurred, with its
    percentiles marked."""
    rows = [(label, group) for label, group in compared(run.summary.groups) if group.latency(metric).n]
    if not rows:
        return None
    samples = [sample_of(run, group, metric) for _, group in rows]
    figure = Figure(figsize=(WIDE, 1.0 + 1.15 * len(rows)), layout="constrained")
    axes = figure.subplots()
    fastest, slowest = extent(samples)
    logarithmic = slowest / max(fastest, 1e-6) > LOG_FROM and fastest > 0
    edges = np.geomspace(fastest, slowest, 121) if logarithmic else np.linspace(0.0, slowest, 121)
    for row, ((_, group), sample) in enumerate(zip(rows, samples, strict=True)):
        colour = colours(run)[group.model]
        ridge(axes, -row, np.clip(sample, edges[0], edges[-1]), group.latency(metric), edges, colour)
    axes.set_yticks([-row + 0.3 for row in range(len(rows))], [name_on_picture(label) for label, _ in rows])
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=11)
    axes.set_ylim(-len(rows) + 0.85, 1.1)
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    if logarithmic:
        axes.set_xscale("log")
    axes.set_xlim(edges[0], edges[-1])
    axes.xaxis.set_major_formatter(thousands())
    axes.set_xlabel("ms, logarithmic" if logarithmic else "ms")
    axes.set_title(title)
    return figure


def compared(groups: Sequence[Group]) -> list[tuple[str, Group]]:
    """What stands side by side: the models; where there is but one, its request classes."""
    whole = [group for group in groups if group.name == "all"]
    classes = [group for group in groups if group.name != "all"]
    if len(whole) == 1 and classes:
        return [(group.name, group) for group in classes]
    return [(group.model, group) for group in whole]


def sample_of(run: Run, group: Group, metric: str) -> npt.NDArray[np.floating]:
    """A group's measured figures, ms: all, or every so manieth where they are more than a shape needs."""
    records = run.records
    chosen = (records["model"] == group.model) & (records["stage"] == "measure") & (records["outcome"] == "ok")
    if group.name != "all":
        chosen &= records["name"] == group.name
    if metric == "itl":
        values = run.table.gaps_of(chosen.to_numpy())
    else:
        values = records.loc[chosen, f"{metric}_s"].dropna().to_numpy()
    thinned: npt.NDArray[np.floating] = values[:: len(values) // ENOUGH + 1].astype(np.float64) * 1e3
    return thinned


def extent(samples: Sequence[npt.NDArray[np.floating]]) -> tuple[float, float]:
    """From the fastest to a little above the slowest p99, so that one outlier does not squeeze everything else."""
    fastest = min(float(np.quantile(sample, 0.001)) for sample in samples)
    slowest = max(float(np.quantile(sample, 0.995)) for sample in samples)
    return fastest, max(slowest * 1.06, 1e-3)


def ridge(
    axes: Axes,
    base: float,
    sample: npt.NDArray[np.floating],
    figures: Statistics,
    edges: npt.NDArray[np.floating],
    colour: str,
) -> None:
    """The shape of one distribution on a line of its own, its marked percentiles with their values."""
    counts, _ = np.histogram(sample, edges)
    smooth = np.convolve(counts, [0.25, 0.5, 0.25], "same")
    heights = 0.62 * smooth / max(float(smooth.max()), 1.0)
    axes.stairs(base + heights, edges, baseline=base, fill=True, color=colour, alpha=0.28, linewidth=0)
    axes.stairs(base + heights, edges, baseline=base, color=colour, linewidth=1.1)
    marked = {name: figures.stat(name) for name in MARKED}
    taken = [-math.inf] * 3  # where the last label of each level stands
    for name, value in marked.items():
        if value is None:
            continue
        place = min(value * 1e3, edges[-1])
        axes.plot([place, place], [base - 0.05, base + 0.66], color=colour, linewidth=1.6 if name == "p50" else 1.0)
        at = share_of_axis(place, edges)
        level = next((level for level, other in enumerate(taken) if at - other > LABEL_WIDTH), 0)
        taken[level] = at
        label = f"{name} {milliseconds(value)}"
        axes.text(place, base + 0.68 + 0.13 * level, label, color=colour, fontsize=8.5, ha="center", va="bottom")


def share_of_axis(place: float, edges: npt.NDArray[np.floating]) -> float:
    """Where a value stands between the axis's ends, from 0 to 1; the edges are evenly spread on it."""
    return float(np.interp(place, edges, np.linspace(0.0, 1.0, len(edges))))


# -- over time ------------------------------------------------------------------------------------------


def over_time(run: Run) -> Figure | None:
    """Latency above, throughput below."""
    rows = timeline.loaded(run)
    if not len(rows):
        return None
    metric, title = ("ttft", "Time to first token") if rows["ttft_s"].notna().any() else ("e2e", "End-to-end latency")
    figure = Figure(figsize=(WIDE, 5.4), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=[1.15, 1])
    good = rows[(rows["outcome"] == "ok") & rows[f"{metric}_s"].notna()]
    medians = timeline.latency(run, metric)
    for model, colour in colours(run).items():
        mine = good[good["model"] == model]
        dots = mine.sample(min(len(mine), 4000), random_state=0)
        upper.plot(
            dots["begun"], dots[f"{metric}_s"] * 1e3, ".", color=colour, alpha=0.4, markersize=4, markeredgewidth=0
        )
        if (table := medians.get(model)) is not None and len(table):
            middle = table.index + timeline.bin_length(run) / 2
            upper.plot(middle, table["p50"] * 1e3, color=colour, linewidth=1.8, label=name_on_picture(model))
            upper.plot(middle, table["p95"] * 1e3, color=colour, linewidth=1.0, linestyle=(0, (4, 2)))
    upper.set_ylim(0, max(1e-3, 1.08 * float(np.quantile(good[f"{metric}_s"], 0.998)) * 1e3) if len(good) else 1)
    upper.set_ylabel("ms")
    upper.yaxis.set_major_formatter(thousands())
    upper.set_title(f"{title} by moment of sending (p95 dashed)", fontsize=11)
    above(upper)
    made, unit, title = throughput(run)
    length = timeline.bin_length(run)
    for model, colour in colours(run).items():
        if model in made:
            edges = np.append(made.index, made.index[-1] + length)
            lower.stairs(made[model], edges, color=colour, linewidth=1.6, label=name_on_picture(model))
    lower.set_ylim(0, 1.15 * max(1.0, float(made.to_numpy().max(initial=0.0))))
    lower.set_ylabel(unit)
    lower.yaxis.set_major_formatter(thousands())
    lower.set_title(title, fontsize=11)
    above(lower)
    time_axis(run, [upper, lower])
    return figure


def throughput(run: Run) -> tuple[pd.DataFrame, str, str]:
    """What came out over time, its unit, and the picture's title: tokens, or where there are none, images and so on."""
    tokens = timeline.throughput(run)
    if tokens.to_numpy().sum() or not (run.records["items"] > 0).any():
        return tokens, "tokens/s", "Output tokens per second by moment of arrival"
    word = items_title(run.summary.groups)
    return timeline.production(run), f"{word}/min", f"{word.capitalize()} per minute by moment of arrival"


def outcomes_over_time(run: Run) -> Figure | None:
    """Requests that ended, stacked by outcome: the bad ones at the bottom, where their number can be read."""
    table = timeline.outcomes(run)
    if not len(table):
        return None
    figure = Figure(figsize=(WIDE, 3.1), layout="constrained")
    axes = figure.subplots()
    length = timeline.bin_length(run)
    order = [word for word in OUTCOME_COLOURS if word in table and word != "ok"] + ["ok"] * ("ok" in table)
    floor = np.zeros(len(table))
    for word in order:
        axes.bar(table.index, table[word], width=length * 0.92, align="edge", bottom=floor,
                 color=OUTCOME_COLOURS[word], label=word, linewidth=0)  # fmt: skip
        floor += table[word].to_numpy()
    axes.set_ylabel("requests/s")
    axes.set_ylim(0, 1.15 * float(floor.max()))
    failed = [word for word in order if word not in ("ok", "censored")]
    axes.set_title("Requests by outcome and moment of their end" if failed else "Requests by outcome: no failures")
    axes.grid(False, axis="x")
    axes.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), fontsize=8.5, reverse=True)
    time_axis(run, [axes])
    return figure


def load_over_time(run: Run) -> Figure | None:
    """Requests in flight, and users where the loop is closed."""
    times, numbers = timeline.in_flight(run)
    if not len(times):
        return None
    figure = Figure(figsize=(WIDE, 2.7), layout="constrained")
    axes = figure.subplots()
    axes.step(times, numbers, where="post", color="#4A7BA6", linewidth=0.9, label="requests in flight")
    axes.fill_between(times, numbers, step="post", color="#4A7BA6", alpha=0.16, linewidth=0)
    users = run.facts.scenario.load.users
    if users:
        ramp = [(line.t - run.end.load_started, line.users) for line in run.health]
        axes.plot(*zip(*ramp, strict=True), color=INK, linewidth=1.1, linestyle=(0, (1, 1.5)), label="users")
    axes.set_ylim(0, 1.15 * float(numbers.max()))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("Load")
    above(axes)
    time_axis(run, [axes])
    return figure


def above(axes: Axes) -> None:
    """The legend beside the title, where it covers nothing."""
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.99), ncols=6, fontsize=8.5, handlelength=1.6,
                    columnspacing=1.2, borderaxespad=0.0)  # fmt: skip


def time_axis(run: Run, stacked: list[Axes]) -> None:
    """Seconds from the beginning of the load; what lies outside the measured part is shaded and named."""
    stages = timeline.stages(run)
    end = max(edge[1] for edge in stages.values()) if stages else 1.0
    for axes in stacked:
        axes.set_xlim(0, end)
        for name, (begin, until) in stages.items():
            if name == "measured":
                continue
            axes.axvspan(begin, until, color="#8A97A3", alpha=0.13, linewidth=0, zorder=0)
            if (until - begin) / end > 0.05:
                axes.text((begin + until) / 2, 0.97, name, transform=axes.get_xaxis_transform(), ha="center",
                          va="top", fontsize=8.5, color=MUTED)  # fmt: skip
    stacked[-1].set_xlabel("seconds from the beginning of the load")
