"""The Locust users that carry the load: many that wait for their answers, or one that never does."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from contextlib import suppress

import gevent
from locust import User, task
from locust.event import Events
from locust.exception import StopUser

from bench.load.record_builder import Slot
from bench.load.session import Session
from bench.load.stage import StageRun
from bench.load.timer import Alarm
from bench.records import Record
from bench.wire.transport import Transport

BACKOFF_S, LONGEST_BACKOFF_S = 0.01, 2.0
"""How long a user waits at most after the first failure to connect, doubled with each, and ever."""


def closed_user(session: Session, new_transport: Callable[[], Transport]) -> type[User]:
    """A user of a closed loop: one connection, one model, the next request as soon as the last is answered."""
    numbers = itertools.count()

    class ClosedUser(User):
        def on_start(self) -> None:
            with suppress(StopUser), session.net():  # a user that cannot begin ends with its first request
                place = next(numbers)
                self.number = session.turn(place)  # among all workers' users
                self.model = place % session.models
                self.failed = 0  # connections in a row that were not to be had
                self.rng = random.Random(f"{session.caller.seed}:user:{self.number}")
                self.transport = session.watch(new_transport())
            session.users += 1

        def on_stop(self) -> None:
            session.users -= 1

        @task
        def ask(self) -> None:
            with session.net():
                if (taken := session.take(self.number, self.model)) is None:
                    raise StopUser
                planned, running = taken
                slot = Slot(stage=running.stage.name, worker=session.worker, user=self.number, due=None)
                found = session.call(planned, running, slot, self.transport)
                self.failed = 0 if found else self.failed + 1
                if self.failed:
                    session.over.wait(self.rng.uniform(0.0, min(LONGEST_BACKOFF_S, BACKOFF_S * 2.0**self.failed)))
                if running.stage.think is not None:
                    session.over.wait(running.stage.think.draw(self.rng))

    return ClosedUser


def open_user(session: Session, new_transport: Callable[[], Transport]) -> type[User]:
    """The one user of an open loop, one a worker: it sends each request when it is due, whatever is still in flight."""

    class OpenUser(User):
        fixed_count = session.workers

        @task
        def ask_when_due(self) -> None:
            with session.net():
                self.ask_all()
            raise StopUser

        def ask_all(self) -> None:
            transport = session.watch(new_transport())
            while not session.over.is_set() and (running := session.stage()) is not None:
                if running.stage.rate is not None:
                    session.users += 1
                    self.send_schedule(running, transport)
                    session.users -= 1
                if not running.look(now := time.monotonic()):
                    session.wait(running.until - now)

        def send_schedule(self, running: StageRun, transport: Transport) -> None:
            """Every arrival of one stage."""
            alarm = Alarm()
            for number, due in running.schedule():
                alarm.sleep_until(due)
                if session.over.is_set():
                    break
                slot = Slot(stage=running.stage.name, worker=session.worker, user=0, due=due)
                gevent.spawn(session.call, running.arrival(number), running, slot, transport)
            else:
                running.scheduled = True
            alarm.close()

    return OpenUser


def tell_locust(events: Events, record: Record) -> None:
    """One event a request, for Locust's own listeners; its statistics are rounded, ours come from the records."""
    sent = record.done if record.sent is None else record.sent
    events.request.fire(  # type: ignore[no-untyped-call]  # Locust's
        request_type=record.api,
        name=f"{record.model} {record.name}",
        response_time=(record.done - sent) * 1e3,
        response_length=record.bytes_received,
        exception=None if record.outcome == "ok" else RuntimeError(record.outcome),
        context={},
    )
