"""Whether the first requests of a load show that none can succeed: a dead port, a refused key, no money left."""

from __future__ import annotations

from collections import Counter

from bench.records import Record

ENOUGH = 10  # first requests that have to agree
HOPELESS = frozenset({"connect", "auth", "quota"})
"""Outcomes that more requests will not change."""


class FirstRequests:
    """Looks at the first requests of a process in the order of their sending, not of their ends: a target that refuses
    some at once and answers the others a second later is no hopeless one."""

    def __init__(self) -> None:
        self._told: dict[int, str] = {}  # by number
        self._open = True  # until one shows that there is hope

    def hopeless(self, number: int, record: Record) -> str | None:
        """Take in a record of the request with this number, from 0; what all of the first were told, if that is it."""
        if record.outcome == "ok" or (number < ENOUGH and record.outcome not in HOPELESS):
            self._open = False
        if not self._open or number >= ENOUGH:
            return None
        self._told[number] = f"{record.outcome}: {record.error}"
        if len(self._told) < ENOUGH:
            return None
        [(commonest, _)] = Counter(self._told.values()).most_common(1)
        return f"the first {ENOUGH} requests all failed, most of them so: {commonest}"
