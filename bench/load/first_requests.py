"""Stops a load whose first requests show that no request can succeed: a dead port, a refused key, no money left."""

from __future__ import annotations

from collections import Counter

from bench.records import Record, is_disguised

ENOUGH = 10  # the load stops if this number of first requests all fail
HOPELESS = frozenset({"connect", "auth", "quota"})
"""Outcomes that more requests will not change."""


class FirstRequests:
    """Collects the first requests of a process in the order of sending. The order of their ends would be wrong: a
    target may refuse some at once and answer the others a second later."""

    def __init__(self) -> None:
        self._failures: dict[int, str] = {}  # outcome and error, by the request's number
        self._open = True  # until one of them succeeds or fails in another way

    def hopeless(self, number: int, record: Record) -> str | None:
        """Add the record of the request with this number, from 0. Returns why no request can succeed, or None."""
        helpless = record.outcome in HOPELESS and not is_disguised(record.outcome, record.error)
        if record.outcome == "ok" or (number < ENOUGH and not helpless):
            self._open = False
        if not self._open or number >= ENOUGH:
            return None
        self._failures[number] = f"{record.outcome}: {record.error}"
        if len(self._failures) < ENOUGH:
            return None
        [(commonest, _)] = Counter(self._failures.values()).most_common(1)
        return f"the first {ENOUGH} requests all failed, most of them with {commonest}"
