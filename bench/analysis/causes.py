"""Why requests failed: the commonest messages of each outcome, and one request to look at for each."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.figures import is_failure

SHOWN = 3
"""Number of messages kept for each outcome; the others are counted together."""

_CHANGES = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"  # a UUID
    r"|\b(?=[0-9a-zA-Z_-]*[0-9])(?=[0-9a-zA-Z_-]*[a-zA-Z])[0-9a-zA-Z_-]{8,}\b"  # an id: letters and digits, and long
    r"|\d+(?:[.,:]\d+)*",  # a number, a time, an address
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Cause:
    """Requests that ended in the same way for the same reason."""

    outcome: str
    message: str | None  # of the first request; None if further reasons are counted together
    count: int
    kinds: int  # number of reasons: 1, or all further ones
    seq: int  # the first of them
    stage: str  # that one's
    status: int | None = None  # HTTP status of that one; None if there was none


def causes(offered: pd.DataFrame) -> list[Cause]:
    """The reasons of all failures, the commonest outcome first and in it the commonest message."""
    failed = offered[is_failure(offered["outcome"])]
    if failed.empty:
        return []
    kinds = {message: normal(str(message)) for message in failed["error"].cat.categories}
    statuses = failed["status"].fillna(0).astype(int).astype(str)  # a message without its numbers does not tell them
    keys = statuses + " " + failed["error"].map(kinds).astype(object).fillna("")
    found = []
    for outcome, _ in Counter(failed["outcome"]).most_common():
        mine = failed["outcome"] == outcome
        ranked = Counter(keys[mine]).most_common()
        for key, count in ranked[:SHOWN]:
            first = failed[mine & (keys == key)].iloc[0]
            message = "no reason was given" if pd.isna(first["error"]) else str(first["error"])
            found.append(cause_of(first, message, count, 1))
        if others := dict(ranked[SHOWN:]):
            first = failed[mine & keys.isin(list(others))].iloc[0]
            found.append(cause_of(first, None, sum(others.values()), len(others)))
    return found


def causes_of_attempts(tries: pd.DataFrame, offered: pd.DataFrame) -> list[Cause]:
    """The reasons why earlier attempts of these requests failed. `tries` as in bench.analysis.table.Table."""
    mine = tries[tries["row"].isin(offered.index)]
    if mine.empty:
        return []
    whose = offered.loc[mine["row"], ["seq", "stage"]].astype({"stage": object}).reset_index(drop=True)
    told = mine[["outcome", "error", "status"]].astype({"error": "category"}).reset_index(drop=True)
    return causes(pd.concat([told, whose], axis=1))


def cause_of(first: pd.Series[Any], message: str | None, count: int, kinds: int) -> Cause:
    """The reason of some failed requests, with the first of them as the example."""
    status = None if pd.isna(first["status"]) else int(first["status"])
    return Cause(str(first["outcome"]), message, count, kinds, int(first["seq"]), str(first["stage"]), status)


def normal(message: str) -> str:
    """A message without the parts that differ from request to request: numbers, ids, addresses."""
    return _CHANGES.sub("#", message)
