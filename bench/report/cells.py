"""Figures as people read them: one wording for the terminal, Markdown and the page."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.analysis import Summary
from bench.analysis.causes import Cause
from bench.analysis.certificate import sentence as calibrated
from bench.analysis.figures import Statistics
from bench.analysis.groups import ALL, Group
from bench.analysis.thresholds import Judgement
from bench.plan.thresholds import SHARES

WITHHELD = "–"
LONGEST = 160  # characters of a message


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the summary table."""

    title: str
    unit: str
    cell: Callable[[Group], str]
    text: bool = False  # words, not numbers
    rank: int = 0  # where there is no room for all, the highest go first


def milliseconds(value: float | None) -> str:
    """Seconds as milliseconds with three digits, as 0.183, 49.1 or 1,280; – where there is none."""
    return WITHHELD if value is None else number(value * 1e3)


def number(value: float | None) -> str:
    """Three digits, never in exponent form."""
    if value is None:
        return WITHHELD
    magnitude = float(f"{abs(value):.3g}")  # 9.996 is 10.0, not 10.00
    digits = 0 if magnitude >= 100 or value == 0 else 1 if magnitude >= 10 else 2 if magnitude >= 1 else 3
    return f"{value:,.{digits}f}"


def share(value: float | None) -> str:
    """A share of 1 in percent."""
    if value is None:
        return WITHHELD
    percent = value * 100
    return (
        f"{percent:.0f} %" if percent in (0.0, 100.0) else f"{percent:.1f} %" if percent >= 0.1 else f"{percent:.2g} %"
    )


def dollars(value: float | None) -> str:
    return WITHHELD if value is None else f"${value:.2f}" if value >= 10 else f"${value:.4f}"


def count(value: float | None) -> str:
    return WITHHELD if value is None else f"{value:,.0f}"


def duration(seconds: float) -> str:
    """A length of time for people: 8.0 s, 20 s, 3 min 20 s."""
    if seconds < 120:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def latency(metric: str, *names: str) -> Callable[[Group], str]:
    """A cell with some percentiles of a metric: 91.4 / 121 / –."""

    return lambda group: percentiles(group.latency(metric), *names)


def percentiles(statistics: Statistics, *names: str) -> str:
    """91.4 / 121 / –, or the mean where every percentile is withheld, or nothing where there are no values."""
    if not statistics.n:
        return ""
    if all(statistics.stat(name) is None for name in names):
        return f"mean {milliseconds(statistics.mean)}"
    return " / ".join(milliseconds(statistics.stat(name)) for name in names)


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with an entry of the mix."""

    title: str  # report of sim/fast: 3 timeout, 1 connect
    reasons: tuple[str, ...]  # the commonest messages, with their counts and a request to look at


def failures(groups: Sequence[Group], folder: Path) -> list[Failure]:
    """What went wrong with each entry of the mix, and why; `folder` is the run's, where the requests can be seen."""
    entries = [group for group in groups if group.name != ALL] or groups
    told = []
    for group in entries:
        failed = {word: many for word, many in group.outcomes.items() if word not in ("ok", "censored")}
        if failed:
            parts = ", ".join(f"{count(many)} {word}" for word, many in failed.items())
            reasons = tuple(why(cause, folder) for cause in group.causes)
            told.append(Failure(f"{group.name} of {group.model}: {parts}", reasons))
    return told


def why(cause: Cause, folder: Path) -> str:
    """35 connect: connection refused (bench show reports/chat 12)."""
    message = cause.message
    if message is None:
        message = f"{count(cause.kinds)} further reasons" if cause.kinds > 1 else "one further reason"
    elif len(message) > LONGEST:
        message = message[: LONGEST - 1] + "…"
    return f"{count(cause.count)} {cause.outcome}: {message} (bench show {shlex.quote(str(folder))} {cause.seq})"


def columns(groups: Sequence[Group]) -> list[Column]:
    """The columns that these groups have something for."""
    thinking = any((group.ttfa_s.mean or 0.0) > 1.001 * (group.ttft_s.mean or 0.0) for group in groups)
    tails = ("p50", "p95", "p99")
    found = [
        Column("model", "", lambda group: group.model, text=True),
        Column("requests", "", lambda group: group.name, text=True),
        Column("n", "", lambda group: count(group.requests)),
        Column("errors", "", lambda group: share(group.error_rate)),
        Column("TTFT", "ms, p50 / p95 / p99", latency("ttft", *tails)),
        Column("TTFA", "ms, p50 / p95 / p99", latency("ttfa", *tails), rank=2),
        Column("TPOT", "ms, p50 / p95", latency("tpot", "p50", "p95"), rank=1),
        Column("ITL", "ms, p50 / p99", latency("itl", "p50", "p99"), rank=6),
        Column("E2E", "ms, p50 / p95 / p99", latency("e2e", *tails)),
        Column("unfinished", "ms, p50 / p95", of_job("unfinished_s"), rank=3),
        Column("queue", "ms, p50 / p95", of_job("queue_s"), rank=5),
        Column("run", "ms, p50 / p95", of_job("run_s"), rank=5),
        Column("E2E from due", "ms, p50 / p95 / p99", latency("e2e_from_due", *tails), rank=1),
        Column("requests", "/s", lambda group: number(group.requests_per_s), rank=3),
        Column("tokens", "/s", lambda group: count(group.output_tokens_per_s), rank=1),
        Column(items_title(groups), "/min", lambda group: number(group.items_per_min), rank=1),
        Column("failed items", "", lambda group: share(group.failed_item_rate), rank=1),
        Column("tool calls", "", lambda group: count(group.tool_calls), rank=4),
        Column("valid calls", "", lambda group: share(group.valid_tool_calls)),
        Column("valid JSON", "", lambda group: share(group.json_valid), rank=3),
        Column("fits schema", "", lambda group: share(group.schema_valid)),
        Column("reasoning", "of tokens", reasoning, rank=4),
        Column("goodput", "", lambda group: share(group.goodput), rank=4),
        Column("cached", "", cached, rank=5),
        Column("cost", "", lambda group: dollars(group.cost_usd), rank=1 if batched(groups) else 5),
        Column("online", "it would cost", online_cost, rank=2),
    ]
    return [
        column
        for column in found
        if (column.title != "TTFA" or thinking)
        and (column.title != "cached" or any(group.cached_tokens for group in groups))
        and (column.title != "tokens" or any(group.output_tokens_per_s for group in groups))
        and any(column.cell(group) not in ("", WITHHELD) for group in groups)
    ]


def of_job(name: str) -> Callable[[Group], str]:
    """A cell with percentiles of what jobs alone have."""

    def cell(group: Group) -> str:
        statistics = getattr(group.job, name, None)
        return "" if statistics is None else percentiles(statistics, "p50", "p95")

    return cell


def items_title(groups: Sequence[Group]) -> str:
    """What is counted, in the plural where it is one kind."""
    words = {group.item for group in groups if group.items}
    word = words.pop() if len(words) == 1 else None
    return {"request": "batched", None: "items"}.get(word, f"{word}s")


def batched(groups: Sequence[Group]) -> bool:
    """Whether something cost less than it would have online."""
    return any(group.online_cost_usd != group.cost_usd for group in groups)


def online_cost(group: Group) -> str:
    """What a batch would cost online, where that differs."""
    return dollars(group.online_cost_usd) if group.online_cost_usd != group.cost_usd else ""


def reasoning(group: Group) -> str:
    """How much of what was written was reasoning."""
    return share(group.reasoning_share) if group.reasoning_share else ""


def cached(group: Group) -> str:
    return share(group.cached_share)


def headline(summary: Summary) -> str:
    """The run in a sentence."""
    counts = summary.counts
    told = f"{count(counts.recorded)} requests in {duration(summary.measured_s)}"
    told += f", {count(counts.ok)} ok, {count(counts.failed)} failed"
    return told + (f", {count(counts.censored)} censored" if counts.censored else "")


def threshold_value(threshold: Judgement) -> str:
    """A threshold's value in the unit of its metric."""
    expression, value = threshold.expression, threshold.value
    if value is None:
        return WITHHELD
    if expression.lstrip().startswith(SHARES):
        return share(value)
    if "_per_min" in expression:
        return f"{number(value)}/min"
    if "_per_s" in expression:
        return f"{number(value)}/s"
    return f"{milliseconds(value)} ms"


def credibility(summary: Summary) -> list[str]:
    """How well the client measured, in sentences."""
    validity, truth = summary.validity, summary.truth
    told = []
    if truth is not None and truth.added_s is not None and truth.added_s.ttft.n:
        added = truth.added_s.ttft
        typical, word = (added.p50, "p50") if added.p50 is not None else (added.mean, "mean")
        told.append(
            f"By the server's own clock, {milliseconds(typical)} ms ({word}) of TTFT were added on the way, at most "
            f"{milliseconds(added.max)} ms, over {count(added.n)} streams: what stands between added them, so "
            "they are no error of this measurement."
        )
    if truth is not None and truth.ttft_error_s.n:
        error = truth.ttft_error_s
        tail = error.p99 if error.p99 is not None else error.max
        word = "p99" if error.p99 is not None else "at most"
        typical, middle = (error.p50, "p50") if error.p50 is not None else (error.mean, "mean")
        told.append(
            f"Against the server's own clock, TTFT was wrong by {milliseconds(typical)} ms ({middle}), "
            f"{word} {milliseconds(tail)} ms, over {count(error.n)} streams."
        )
    if (engine := summary.engine) is not None:
        means = {name: milliseconds(getattr(engine, f"{name}_s").mean) for name in ("ttft", "before", "prompt", "rest")}
        told.append(
            f"By the engine's own timings a TTFT of {means['ttft']} ms (mean) is {means['before']} ms before the "
            f"prompt (parsing, tokenizing, waiting for a slot), {means['prompt']} ms for it and {means['rest']} ms "
            f"after it; our time of decoding is {milliseconds(engine.decoding_difference_s.mean)} ms off its own."
        )
    if not summary.counts.ok:
        return ["Not one request succeeded, so there is nothing that it could have measured."]
    stamps = "the kernel stamped arrivals" if validity.clock == "kernel" else "this process stamped arrivals"
    parts = [stamps]
    if validity.hub_lag_s:
        parts.append(f"the client's loop was late by {milliseconds(validity.hub_lag_s.p99)} ms (p99)")
    if validity.cpu is not None:
        parts.append(f"it used {validity.cpu:.0%} of a core")
    if validity.send_lag_s:
        parts.append(f"requests left {milliseconds(validity.send_lag_s.p99)} ms (p99) after they were due")
    arrivals = summary.arrivals
    if arrivals and arrivals.sent_dispersion:
        sent = arrivals.sent_dispersion
        parts.append(f"and their index of dispersion was {sent.index:.2f} ± {sent.error:.2f}")
    sentence = ", ".join(parts)
    told.append(sentence[0].upper() + sentence[1:] + ".")
    certificate = validity.certificate
    if certificate is None:
        return [*told, "This machine has no certificate of how well it measures; bench calibrate makes one."]
    return [*told, f"{calibrated(certificate)} (Calibrated {certificate.date}.)"]
