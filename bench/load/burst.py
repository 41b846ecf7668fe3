"""Sends the requests of one burst, each when it is due, and hands back their records."""

from __future__ import annotations

import time

import gevent
from gevent.event import Event

from bench.load.caller import Caller
from bench.load.record_builder import Slot
from bench.load.recorder import Recorder
from bench.plan import Burst, Planned
from bench.records import Record
from bench.wire.transport import Transport


class BurstSender:
    """The requests of a burst on their way. Once `over` is set no more of them are sent; an answer that ends the burst,
    and a budget without room, set it too."""

    def __init__(self, burst: Burst, caller: Caller, transport: Transport, recorder: Recorder, over: Event) -> None:
        self._burst, self._caller, self._transport, self._recorder = burst, caller, transport, recorder
        self._over = over
        self.began = time.monotonic()
        self.spent = False  # whether the budget had no room for one of them

    def send_all(self) -> list[Record]:
        """Send them and wait for all answers. Returns the records of those that were sent, in the burst's order."""
        greenlets = [gevent.spawn(self._send, *placed) for placed in enumerate(self._burst.requests)]
        gevent.joinall(greenlets, raise_error=True)
        return [record for greenlet in greenlets if (record := greenlet.get()) is not None]

    def _send(self, position: int, planned: Planned) -> Record | None:
        """Send one request when it is due; None if the burst is over before."""
        burst, expenses = self._burst, self._caller.expenses
        due = self.began + position * burst.spacing
        self._over.wait(max(0.0, min(due, expenses.deadline if expenses else due) - time.monotonic()))
        if not self._over.is_set() and not self._has_room(planned):
            self.spent = True
            self._over.set()
        if self._over.is_set():
            return None
        slot = Slot(stage=burst.name, worker=0, user=0, due=due if burst.spacing else None)
        record = self._recorder.record(planned, slot, self._caller.send(planned, slot, self._transport))
        if record.outcome in burst.until:
            self._over.set()
        return record

    def _has_room(self, planned: Planned) -> bool:
        """Whether the budget has room for a request. A burst that an answer may end reserves each one by itself; any
        other was reserved as a whole."""
        expenses = self._caller.expenses
        if expenses is None or expenses.is_over:
            return expenses is None
        return not self._burst.until or expenses.reserve(planned)
