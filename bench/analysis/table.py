"""records.jsonl as columns: one row per request, small enough to hold a million of them.

The arrivals of tokens, by far the most of the file, are reduced as they are read: to a few numbers per request, the
gaps between them, and the tokens of each bin of time. Everything is done in blocks of rows, so a run of any length
needs memory for the result and one block.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.metrics import OUTCOMES
from bench.records import NotARecordError, Record, fault, read_lines

Floats = npt.NDArray[np.float64]
Gaps = npt.NDArray[np.float32]
Columns = dict[str, npt.NDArray[Any]]
Span = tuple[float, float]
"""Begin and end, seconds from the run's start; the end itself is outside."""

BLOCK = 4000  # rows
_WORDS = (
    "stage", "name", "model", "api", "clock", "outcome", "error", "tokens_from", "finish_reason", "response_model",
    "request_id", "http", "item", "arm", "limit_style",
)  # fmt: skip
_ENCODED = (*_WORDS, "first_outcome")
_FLAGS = ("stream", "reopened")
_COUNTS = ("seq", "worker", "user", "turn", "merged", "attempts", "output_chars", "bytes_received")
_NUMBERS = (
    "due", "sent", "connect_started", "connected", "headers_at", "done", "first_token_at", "first_answer_at",
    "read_delay", "status", "retry_after", "prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens",
    "cache_write_tokens", "cache_write_1h_tokens", "tool_calls", "valid_tool_calls", "json_valid", "schema_valid",
    "items", "failed_items", "polls", "unfinished_at", "unterminated", "conversation", "pair",
    "held_back",
)  # fmt: skip
"""True is 1, false is 0."""
_TRIES = ("sent", "done", "status", "outcome", "retry_after", "waited", "error", "spent", "limit_style")
_FAMILIES = (
    "limits",
    "server",
    "steps",
)  # fields of numbers by name; a column for each name, such as server.prompt_ms


@dataclass(frozen=True, slots=True)
class Table:
    """All records of a run."""

    rows: pd.DataFrame
    """One row per record in the order written. The record's own fields (numbers are NaN where the record has null; in a
    comparison `model` is the arm, since arms may ask one model), and of its arrivals:

    last_token_at   the last of them, s; NaN without any
    first_tokens    tokens in the first of them
    arrived_events  how many there are
    arrived_tokens  tokens in all of them
    tokens_each     how many tokens of the server's count each of these stands for
    window_tokens.0 tokens in those that fall into the first of the windows, and so on
    zero_gaps       how many came with the one before
    first_sent, first_done, first_outcome   the request's first attempt
    retry_waited    how long it waited between its attempts, s
    first_begun     when that attempt began: its fresh connection, or its first byte where none was needed
    """

    gaps: Gaps
    """Seconds between one content arrival and the next, of one request after another."""

    gap_ends: npt.NDArray[np.int64]
    """Where each row's gaps end in `gaps`."""

    tries: pd.DataFrame
    """Earlier attempts of requests that were tried again, in the order written: `row` (of the request in `rows`),
    `sent`, `done`, `status`, `outcome`, `retry_after`, `waited`, `error`, `spent`, `limit_style`."""

    tokens: pd.DataFrame
    """Tokens of streams that arrived in each bin of time (index), one column per model, as the server counts them."""

    def gaps_of(self, chosen: npt.NDArray[np.bool_]) -> Gaps:
        """The gaps of the chosen rows."""
        lengths = np.diff(self.gap_ends, prepend=0)
        return self.gaps if chosen.all() else self.gaps[np.repeat(chosen, lengths)]


@dataclass(frozen=True, slots=True)
class Part:
    """The records of a part of the file, with words as numbers."""

    rows: pd.DataFrame
    words: dict[str, list[str]]  # of each column of words, by number
    gaps: Gaps
    gap_counts: npt.NDArray[np.int64]  # number of gaps per row
    tokens: dict[str, Floats]  # tokens in each bin of time, by model
    tries: dict[str, list[Any]]  # by column
    odd: bool  # whether `bench.records.fault` finds something in one of them


def read_part(
    path: Path, windows: Sequence[Span], bins: Sequence[float], begin: int = 0, end: int | None = None
) -> Iterator[Part]:
    """The records that begin in these bytes of the file, block by block. `bins` are the edges of the bins of time."""
    with _no_collection():
        for batch in _batches(read_lines(path, begin, end)):
            part = _part([row for _, row in batch], windows, bins)
            if part.odd:
                number, reason = next((number, told) for number, row in batch if (told := fault(row)))
                raise NotARecordError(path, number, reason)
            yield part


def table_of(records: Sequence[Record]) -> Table:
    """The table of records that are in memory, without windows."""
    return join([_part(list(records), (), ())], ())


def join(parts: Iterable[Part], windows: Sequence[Span]) -> Table:
    """One table of all parts, in their order, whose tokens were counted in these windows."""
    known: dict[str, dict[str, int]] = {name: {} for name in _ENCODED}
    blocks = []
    for part in parts:
        for name, words in part.words.items():
            number = np.array([known[name].setdefault(word, len(known[name])) for word in words] + [-1], np.int32)
            part.rows[name] = number[part.rows[name].to_numpy()]  # -1, for null, is the last
        blocks.append(part)
    blocks = blocks or [_part([], windows, ())]
    rows = pd.concat([block.rows for block in blocks], ignore_index=True)
    for name, words_known in known.items():
        rows[name] = pd.Categorical.from_codes(rows[name].to_numpy(np.int64), pd.Index(list(words_known), dtype=object))
    gaps = np.concatenate([block.gaps for block in blocks])
    ends = np.cumsum(np.concatenate([block.gap_counts for block in blocks]))
    return Table(rows, gaps, ends, _tries(blocks), _tokens(blocks))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Millions of small lists live for a moment and hold no cycles: collecting among them would double the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _batches(lines: Iterator[tuple[int, Record]]) -> Iterator[list[tuple[int, Record]]]:
    while batch := list(islice(lines, BLOCK)):
        yield batch


def _part(rows: list[Record], windows: Sequence[Span], bins: Sequence[float]) -> Part:
    codes: dict[str, dict[str, int]] = {name: {} for name in _ENCODED}
    arrivals = _arrivals(rows)
    columns = _fields(rows, codes) | _first_attempts(rows, codes) | _arrival_columns(arrivals, windows)
    columns["tokens_each"] = _tokens_each(columns["completion_tokens"], columns["arrived_tokens"])
    gaps = arrivals.steps[arrivals.is_gap].astype(np.float32)
    return Part(
        rows=pd.DataFrame(columns),
        words={name: list(known) for name, known in codes.items()},
        gaps=gaps,
        gap_counts=np.maximum(arrivals.counts - 1, 0),
        tokens=_tokens_by_bin(arrivals, columns, codes["model"], bins),
        tries=_earlier_attempts(rows),
        odd=bool((gaps < 0.0).any()) or not codes["outcome"].keys() <= set(OUTCOMES),
    )


def _fields(rows: list[Record], codes: dict[str, dict[str, int]]) -> Columns:
    """The records' own fields."""
    columns: Columns = {name: _encode(_column(rows, name), codes[name]) for name in _WORDS}
    models: list[str | None] = [row.arm if row.pair is not None and row.arm is not None else row.model for row in rows]
    columns["model"] = _encode(models, codes["model"])  # a comparison tells arms apart, not models
    columns |= {name: np.array(_column(rows, name), bool) for name in _FLAGS}
    columns |= {name: np.array(_column(rows, name), np.int64) for name in _COUNTS}
    columns |= {name: np.array(_column(rows, name), np.float64) for name in _NUMBERS}
    for family in _FAMILIES:
        given = _column(rows, family)
        for key in dict.fromkeys(chain.from_iterable(given)):
            values = [numbers.get(key, np.nan) for numbers in given]
            columns[f"{family}.{key}"] = np.array(values, np.float64)
    return columns


def _first_attempts(rows: list[Record], codes: dict[str, dict[str, int]]) -> Columns:
    """The first attempt of each request, and how long it waited between its attempts."""
    firsts = [row.earlier[0] if row.earlier else row for row in rows]
    sent = np.array(_column(firsts, "sent"), np.float64)
    connecting = np.array(_column(firsts, "connect_started"), np.float64)
    waited = [sum(one.waited for one in row.earlier) if row.earlier else 0.0 for row in rows]
    return {
        "first_sent": sent,
        "first_done": np.array(_column(firsts, "done"), np.float64),
        "first_begun": np.fmin(sent, connecting),  # a reopened connection was begun after the first byte had been sent
        "retry_waited": np.array(waited),
        "first_outcome": _encode(_column(firsts, "outcome"), codes["first_outcome"]),
    }


@dataclass(frozen=True, slots=True)
class _Arrivals:
    """The arrivals of all rows, one after another."""

    times: Floats
    tokens: Floats
    counts: npt.NDArray[np.int64]  # per row
    starts: npt.NDArray[np.int64]  # where a row's arrivals start
    ends: npt.NDArray[np.int64]  # and where they end
    steps: Floats  # from the arrival before, whichever row it is of
    is_gap: npt.NDArray[np.bool_]  # whether a step is within one row


def _arrivals(rows: list[Record]) -> _Arrivals:
    arrivals = [row.arrivals for row in rows]
    counts = np.array([len(one) for one in arrivals], np.int64)
    flat = np.fromiter(chain.from_iterable(chain.from_iterable(arrivals)), np.float64, 2 * int(counts.sum()))
    times, tokens = flat[0::2], flat[1::2]
    ends = np.cumsum(counts)
    starts = ends - counts
    is_gap = np.ones(len(times), bool)
    is_gap[starts[counts > 0]] = False
    return _Arrivals(times, tokens, counts, starts, ends, np.diff(times, prepend=0.0), is_gap)


def _arrival_columns(of: _Arrivals, windows: Sequence[Span]) -> Columns:
    """The columns that are computed from the arrivals."""
    some = of.counts > 0
    columns: Columns = {
        "last_token_at": _pick(of.times, of.ends - 1, some),
        "first_tokens": _pick(of.tokens, of.starts, some),
        "arrived_events": of.counts,
        "arrived_tokens": _sums(of.tokens, of.starts, of.ends),
    }
    first, last = (float(of.times.min()), float(of.times.max())) if len(of.times) else (0.0, 0.0)
    for place, (begin, end) in enumerate(windows):
        name = f"window_tokens.{place}"
        if last < begin or first >= end:  # nothing of this block, as in most of a sweep's
            columns[name] = np.zeros(len(of.counts))
        else:
            columns[name] = _sums(of.tokens * ((of.times >= begin) & (of.times < end)), of.starts, of.ends)
    columns["zero_gaps"] = _sums(of.is_gap & (of.steps <= 0.0), of.starts, of.ends)
    return columns


def _tokens_each(counted: Floats, arrived: Floats) -> Floats:
    """How many tokens of the server's count each one in the arrivals stands for; 1 where the server does not count."""
    each = np.ones(len(counted))
    known = ~np.isnan(counted) & (arrived > 0)
    each[known] = counted[known] / arrived[known]
    return each


def _tokens_by_bin(of: _Arrivals, columns: Columns, codes: dict[str, int], bins: Sequence[float]) -> dict[str, Floats]:
    """The tokens that arrived in each bin, as the server counts them, by model. The last bin has its end in it, and
    what came later."""
    if len(bins) < 2 or not len(of.times):
        return {}
    found, owners = {}, np.repeat(columns["model"], of.counts)
    tokens = of.tokens * np.repeat(columns["tokens_each"], of.counts)
    edges = np.array(bins[:-1])
    for model, code in codes.items():
        if (mine := (owners == code) & (of.times >= edges[0])).any():
            places = np.searchsorted(edges, of.times[mine], "right") - 1
            found[model] = np.bincount(places, tokens[mine], len(edges)).astype(np.float64)
    return found


def _earlier_attempts(rows: list[Record]) -> dict[str, list[Any]]:
    """The earlier attempts of requests that were tried again, by column."""
    again = [(place, one) for place, row in enumerate(rows) if row.earlier for one in row.earlier]
    tries: dict[str, list[Any]] = {name: [getattr(one, name) for _, one in again] for name in _TRIES}
    return tries | {"row": [place for place, _ in again]}


def _column(rows: Sequence[object], name: str) -> list[Any]:
    """One field of each row."""
    return list(map(attrgetter(name), rows))


def _encode(words: list[str | None], codes: dict[str, int]) -> npt.NDArray[np.int32]:
    """Each word's number in order of first appearance; -1 for None."""
    return np.array([-1 if word is None else codes.setdefault(word, len(codes)) for word in words], np.int32)


def _pick(values: Floats, places: npt.NDArray[np.int64], there: npt.NDArray[np.bool_]) -> Floats:
    picked = np.full(len(places), np.nan)
    picked[there] = values[places[there]]
    return picked


def _sums(values: npt.NDArray[Any], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> Floats:
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    sums: Floats = total[ends] - total[starts]
    return sums


def _tries(blocks: list[Part]) -> pd.DataFrame:
    """The blocks' earlier attempts, with the numbers of their requests among all."""
    before = np.cumsum([0, *(len(block.rows) for block in blocks)])
    rows = [place + first for block, first in zip(blocks, before, strict=False) for place in block.tries["row"]]
    columns = {name: list(chain.from_iterable(block.tries[name] for block in blocks)) for name in _TRIES}
    table = pd.DataFrame({"row": np.array(rows, np.int64)} | columns)
    return table.astype(dict.fromkeys(("sent", "done", "status", "retry_after", "waited"), np.float64))


def _tokens(blocks: list[Part]) -> pd.DataFrame:
    """The blocks' tokens by bin, added up."""
    length = max((len(values) for block in blocks for values in block.tokens.values()), default=0)
    totals: dict[str, Floats] = {}
    for block in blocks:
        for model, values in block.tokens.items():
            totals.setdefault(model, np.zeros(length))[: len(values)] += values
    return pd.DataFrame(totals, index=pd.RangeIndex(length, name="bin"))
