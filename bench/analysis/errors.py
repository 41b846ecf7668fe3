"""The tables of failures, and of attempts that failed and were sent again: each reason with its status, message, count
and one request to open."""

from __future__ import annotations

import math
import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis.causes import Cause, causes_of_attempts, normal
from bench.analysis.groups import ALL, Group
from bench.analysis.numerals import count, number, share
from bench.analysis.run import Run
from bench.analysis.sections import About, Cell, Column, Row, Table
from bench.metrics import OUTCOME_MEANINGS
from bench.plan.load import MEASURE

TOLD = (
    "model", "name", "api", "stage", "user", "turn", "outcome", "error", "status", "attempts", "retry_after", "due",
    "sent", "headers_at", "first_token_at", "done", "finish_reason", "prompt_tokens", "completion_tokens",
    "bytes_received", "response_model", "request_id", "http",
)  # fmt: skip
"""Fields of a failed request that its fold on the page shows, where they have a value."""
SEVERAL = "several"
LONGEST = 240  # characters of a message in a sentence
ENDED_WITH = (
    Column("outcome", text=True),
    Column("status", "HTTP", meaning="HTTP status of the answer; – where there was none"),
)
MESSAGE = Column("message", text=True, meaning="of the first of them; messages that differ in numbers or ids are one")
"""Columns of every table of reasons; `ended_with` has the cells of the first."""
MOMENTS = ("due", "sent", "headers_at", "first_token_at", "done")


def error_table(run: Run) -> list[Table]:
    """A row for each reason, the commonest first, and below it its parts: request classes, models, stages. Nothing if
    nothing failed."""
    groups = run.summary.groups
    entries = [group for group in groups if group.name != ALL] or list(groups)
    found = [(group, cause) for group in entries for cause in group.causes]
    if not found:
        return []
    models, stages = len({group.model for group in entries}) > 1, len({group.stage for group in entries}) > 1
    columns = (
        *ENDED_WITH,
        Column("requests", meaning="how many requests failed for this reason"),
        MESSAGE,
        Column("share", "of those offered", meaning="of the requests of this class, model and stage"),
        Column("request class", text=True),
        *([Column("model", text=True)] if models else []),
        *([Column("stage", text=True)] if stages else []),
        Column("first", "s", meaning="when the first of them was sent, seconds from the beginning of the load"),
        Column("one to open", text=True, code=True, meaning="prints the first of them whole"),
    )
    rows = [
        row_of(run, one, entries, models=models, stages=stages, part=place > 0)
        for reason in by_reason(found)
        for place, one in enumerate([reason, *([entry] for entry in reason if len(reason) > 1)])
    ]
    return [Table("errors", "Reasons of failures", columns, tuple(rows), always=False, paged=True)]


Entry = tuple[Group, Cause]
"""A reason, and the group whose requests failed for it."""


def by_reason(found: Sequence[Entry]) -> list[list[Entry]]:
    """The entries of each reason together, the commonest first. What is counted together as further reasons stays
    apart."""
    reasons = defaultdict[tuple[str, ...], list[Entry]](list)
    for group, cause in found:
        of = (group.stage, group.model, group.name) if cause.message is None else (normal(cause.message),)
        reasons[(cause.outcome, str(cause.status), *of)].append((group, cause))
    for entries in reasons.values():
        entries.sort(key=lambda entry: -entry[1].count)
    return sorted(reasons.values(), key=lambda entries: -sum(cause.count for _, cause in entries))


def row_of(
    run: Run, entries: Sequence[Entry], every: Sequence[Group], *, models: bool, stages: bool, part: bool
) -> Row:
    """One reason, in one group or in several of them together. `every` are all groups."""
    groups = [group for group, _ in entries]
    begun = [begin_of(example_of(run.records, cause), run) for _, cause in entries]
    since = min(begun)
    cause = entries[begun.index(since)][1]
    many = sum(cause.count for _, cause in entries)
    name, model, stage = found = [common(words) for words in zip(*map(names_of, groups), strict=True)]
    alike = (one for one in every if all(a in (b, None) for a, b in zip(found, names_of(one), strict=True)))
    of = sum(one.requests for one in alike)
    return Row(
        (
            *ended_with(cause),
            Cell(count(many), many),
            Cell(message_of(cause)),
            Cell(share(many / of), many / of),
            Cell(name or SEVERAL),
            *([Cell(model or SEVERAL)] if models else []),
            *([Cell(stage or SEVERAL)] if stages else []),
            Cell(number(since), since),
            Cell(show_command(run.folder, cause), folded="\n".join(lines_of(example_of(run.records, cause)))),
        ),
        About(model, None if name == ALL else name, stage, cause.outcome),
        part=part,
    )


def ended_with(cause: Cause) -> tuple[Cell, Cell]:
    """The cells of ENDED_WITH."""
    return (
        Cell(cause.outcome, tone="bad", meaning=OUTCOME_MEANINGS.get(cause.outcome)),
        Cell("–" if cause.status is None else str(cause.status), cause.status),
    )


def names_of(group: Group) -> tuple[str, str, str]:
    return group.name, group.model, group.stage


def common(words: Sequence[str]) -> str | None:
    """The word that all of them are; None if they differ."""
    return words[0] if len(set(words)) == 1 else None


def begin_of(example: pd.Series[Any], run: Run) -> float:
    """When a request was sent, or if it never was ended, seconds from the beginning of the load."""
    return moment(example["sent"] if not math.isnan(example["sent"]) else example["done"]) - run.end.load_started


@dataclass(frozen=True, slots=True)
class SentAgain:
    """The attempts of one model that failed and were followed by another one of the same request."""

    model: str
    attempts: int  # all of the model's, the last of each request included
    causes: list[Cause]

    @property
    def count(self) -> int:
        return sum(cause.count for cause in self.causes)


def sent_again(run: Run) -> list[SentAgain]:
    """Of each model that has any: what its requests were sent again for."""
    measured, found = run.requests, []
    for model in run.facts.scenario.models:
        mine = measured[measured["model"] == model]
        if causes := causes_of_attempts(run.table.tries, mine):
            found.append(SentAgain(model, int(mine["attempts"].sum()), causes))
    return found


def attempt_table(run: Run, found: Sequence[SentAgain]) -> list[Table]:
    """A row for each reason, of one model after another; nothing if nothing was sent again."""
    if not found:
        return []
    several = len(run.facts.scenario.models) > 1
    columns = (
        *ENDED_WITH,
        Column("attempts", meaning="how many attempts failed for this reason and were sent again"),
        MESSAGE,
        Column("share", "of all attempts", meaning="of the attempts of this model, the last of each request included"),
        *([Column("model", text=True)] if several else []),
        Column("one to open", text=True, code=True, meaning="prints the request of the first of them whole"),
    )
    rows = [
        Row(
            (
                *ended_with(cause),
                Cell(count(cause.count), cause.count),
                Cell(message_of(cause)),
                Cell(share(cause.count / one.attempts), cause.count / one.attempts),
                *([Cell(one.model)] if several else []),
                Cell(show_command(run.folder, cause)),
            ),
            About(one.model),
        )
        for one in found
        for cause in one.causes
    ]
    title = "Attempts that failed and were sent again"
    return [Table("attempts", title, columns, tuple(rows), always=False, paged=True)]


def example_of(records: pd.DataFrame, cause: Cause) -> pd.Series[Any]:
    """The first request that failed for this reason."""
    mine = (records["seq"] == cause.seq) & (records["stage"] == cause.stage) & (records["outcome"] == cause.outcome)
    return records[mine].iloc[0]


def message_of(cause: Cause) -> str:
    if cause.message is not None:
        return cause.message
    return f"{count(cause.kinds)} further reasons" if cause.kinds > 1 else "one further reason"


def short_message_of(cause: Cause) -> str:
    """Its message for a sentence; the table of failures has all of it."""
    message = message_of(cause)
    return message if len(message) <= LONGEST else f"{message[: LONGEST - 1]}…"


def show_command(folder: Path, cause: Cause) -> str:
    """The command that prints the first of them."""
    of = "" if cause.stage == MEASURE else f" --stage {shlex.quote(cause.stage)}"
    return f"bench show {shlex.quote(str(folder))} {cause.seq}{of}"


def lines_of(record: pd.Series[Any]) -> Iterator[str]:
    """A record in words, a line for each field that has a value."""
    for name in TOLD:
        value = record.get(name)
        if value is not None and not pd.isna(value):
            yield f"{name:<17} {written(name, value)}"


def written(name: str, value: Any) -> str:
    if name in MOMENTS:
        return f"{value:.6f} s of the run"
    if name == "retry_after":
        return f"{value:g} s"
    return f"{value:g}" if isinstance(value, float) else str(value)


def moment(value: float) -> float:
    """A time, or the run's beginning where there is none."""
    return 0.0 if math.isnan(value) else value
