"""The columns of the summary's table: their titles, their cells, and the values to sort by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.analysis.figures import Statistics
from bench.analysis.groups import Group
from bench.analysis.numerals import UNKNOWN, WITHHELD, count, dollars, milliseconds, number, share
from bench.analysis.sections import Cell, Column
from bench.metrics import FORMULAS

TAILS = ("p50", "p95", "p99")
MUCH = 0.1  # of E2E is waited, or of the requests were sent again
WITH_WAITS = (
    "Attempts failed and were sent again, or users waited after a refusal: TTFT and E2E are of the attempt that was "
    "answered, E2E from due includes the attempts before it and the waits."
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A column with its cells."""

    column: Column
    cell: Callable[[Group], Cell]
    definition: str | None = None  # its name in FORMULAS; None if its title says everything


def figures(groups: Sequence[Group]) -> list[Figure]:
    """The columns in which at least one of these groups has a value."""
    thinking = any((group.ttfa_s.mean or 0.0) > 1.001 * (group.ttft_s.mean or 0.0) for group in groups)
    cached_any = any(group.cached_tokens or silent(group) for group in groups)
    tokens = any(group.output_tokens_per_s for group in groups)
    waited, again = waits(groups), tried_again(groups)
    late = waited or again or any(group.send_lag_s.n for group in groups)
    wanted = {
        "TTFA": thinking, "cached": cached_any, "tokens": tokens, "waited": waited, "attempts": again,
        "E2E from due": late,
    }  # fmt: skip
    return [
        figure
        for figure in every_figure(groups)
        if wanted.get(figure.column.title, True)
        and any(figure.cell(group).text not in ("", WITHHELD) for group in groups)
    ]


def waits(groups: Sequence[Group]) -> bool:
    """Whether a user waited after a failed attempt."""
    return any(group.waited_s.max for group in groups)


def tried_again(groups: Sequence[Group]) -> bool:
    """Whether a request took more than one attempt."""
    return any((group.attempts_per_request or 1.0) > 1.0 for group in groups)


def waits_much(group: Group) -> bool:
    """Whether failed attempts and waits are a good part of how long its users waited for an answer."""
    waited = (group.waited_s.mean or 0.0) > MUCH * (group.e2e_s.mean or 0.0)
    return waited or (group.attempts_per_request or 1.0) > 1.0 + MUCH


def every_figure(groups: Sequence[Group]) -> list[Figure]:
    """Every column that a table can have."""
    made, paid = items_title(groups), 1 if batched(groups) else 5
    due = 0 if waits(groups) or tried_again(groups) else 1
    return [
        plain("n", "requests", count, meaning="requests offered in the measured window"),
        plain("errors", "error_rate", share, "error rate"),
        latency("TTFT", "ttft", TAILS),
        latency("TTFA", "ttfa", TAILS, rank=2),
        latency("TPOT", "tpot", ("p50", "p95"), rank=1),
        latency("ITL", "itl", ("p50", "p99"), rank=6),
        latency("E2E", "e2e", TAILS),
        of_job("unfinished", "unfinished_s", "unfinished", rank=3),
        of_job("queue", "queue_s", "queue, run", rank=5),
        of_job("run", "run_s", "queue, run", rank=5),
        latency("E2E from due", "e2e_from_due", TAILS, rank=due),
        latency("waited", "waited", ("p50", "p95")),
        plain("attempts", "attempts_per_request", number, "attempts", unit="per request"),
        Figure(
            Column("in / out", "tokens, mean", rank=2, meaning=FORMULAS["tokens in / out"]), lengths, "tokens in / out"
        ),
        plain("answers", "requests_per_s", number, "answers/s", unit="/s", rank=3),
        plain("tokens", "output_tokens_per_s", count, "tokens/s", unit="/s", rank=1),
        plain(made, "items_per_min", number, "items/min", unit="/min", rank=1),
        plain("failed items", "failed_item_rate", share, "failed items", rank=1),
        plain("tool calls", "tool_calls", count, rank=4),
        plain("valid calls", "valid_tool_calls", share, "valid calls"),
        plain("valid JSON", "json_valid", share, "valid JSON", rank=3),
        plain("fits schema", "schema_valid", share, "fits schema"),
        computed(
            "reasoning", lambda group: group.reasoning_share or None, share, "reasoning", unit="of tokens", rank=4
        ),
        plain("goodput", "goodput", share, "goodput", rank=4),
        Figure(Column("cached", rank=5, meaning=FORMULAS["cached"]), cached, "cached"),
        plain("cost", "cost_usd", dollars, "cost", rank=paid),
        computed("online", online_cost, dollars, unit="it would cost", rank=2),
    ]


def plain(
    title: str,
    key: str,
    write: Callable[[float | None], str],
    definition: str | None = None,
    *,
    unit: str = "",
    rank: int = 0,
    meaning: str | None = None,
) -> Figure:
    """A column with one number for each group."""
    column = Column(title, unit, rank=rank, meaning=meaning or FORMULAS.get(definition or ""))
    return Figure(column, lambda group: Cell(write(getattr(group, key)), getattr(group, key)), definition)


def computed(
    title: str,
    value: Callable[[Group], float | None],
    write: Callable[[float | None], str],
    definition: str | None = None,
    *,
    unit: str = "",
    rank: int = 0,
) -> Figure:
    """A column with a computed number for each group; a cell without a number is empty."""

    def cell(group: Group) -> Cell:
        found = value(group)
        return Cell("") if found is None else Cell(write(found), found)

    return Figure(Column(title, unit, rank=rank, meaning=FORMULAS.get(definition or "")), cell, definition)


def latency(title: str, metric: str, names: Sequence[str], definition: str | None = None, *, rank: int = 0) -> Figure:
    """A column with some percentiles of a metric: 91.4 / 121 / –."""
    definition = definition or title
    column = Column(title, f"ms, {' / '.join(names)}", rank=rank, meaning=FORMULAS.get(definition))
    return Figure(column, lambda group: percentiles(group.latency(metric), names), definition)


def of_job(title: str, key: str, definition: str, *, rank: int) -> Figure:
    """A column with percentiles of a figure that only jobs have."""

    def cell(group: Group) -> Cell:
        statistics = getattr(group.job, key, None)
        return Cell("") if statistics is None else percentiles(statistics, ("p50", "p95"))

    return Figure(Column(title, "ms, p50 / p95", rank=rank, meaning=FORMULAS.get(definition)), cell, definition)


def silent(group: Group) -> bool:
    """Whether the server counts prompt tokens but says nothing about a cache."""
    return bool(group.prompt_tokens) and group.cached_tokens is None and group.item is None


def cached(group: Group) -> Cell:
    """The cached share; unknown, which is not 0, if the server does not state it."""
    return Cell(UNKNOWN) if silent(group) else Cell(share(group.cached_share), group.cached_share)


def lengths(group: Group) -> Cell:
    """Prompt and completion tokens of an answer: 53 / 20; nothing if no text was generated."""
    out = group.mean_completion_tokens
    return Cell("") if out is None else Cell(f"{count(group.mean_prompt_tokens)} / {count(out)}", out)


def percentiles(statistics: Statistics, names: Sequence[str]) -> Cell:
    """91.4 / 121 / –, or the mean where every percentile is withheld, or nothing if there are no values."""
    if not statistics.n:
        return Cell("")
    if all(statistics.stat(name) is None for name in names):
        return Cell(f"mean {milliseconds(statistics.mean)}", statistics.mean)
    first = next(statistics.stat(name) for name in names if statistics.stat(name) is not None)
    return Cell(" / ".join(milliseconds(statistics.stat(name)) for name in names), first)


def items_title(groups: Sequence[Group]) -> str:
    """The title of the column of items: their kind in the plural, if all are of one kind."""
    words = {group.item for group in groups if group.items}
    word = words.pop() if len(words) == 1 else None
    return {"request": "batched", None: "items"}.get(word, f"{word}s")


def batched(groups: Sequence[Group]) -> bool:
    """Whether a batch made something cheaper than it would be online."""
    return any(group.online_cost_usd != group.cost_usd for group in groups)


def online_cost(group: Group) -> float | None:
    """The cost of a batch's requests online; None if it is the same."""
    return group.online_cost_usd if group.online_cost_usd != group.cost_usd else None


def reasoning(group: Group) -> float | None:
    """The share of reasoning in the completion tokens; None if there was none."""
    return group.reasoning_share or None
