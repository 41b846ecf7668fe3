"""The Locust users that send the requests: closed users wait for each answer, the open user sends by a schedule."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import ClassVar

import gevent
from locust import User, task
from locust.event import Events
from locust.exception import StopUser

from bench.load.record_builder import Slot
from bench.load.session import Session
from bench.load.stage import StageRun
from bench.load.timer import Alarm
from bench.plan import Planned, Stage
from bench.records import Record
from bench.wire.exchange import Exchange
from bench.wire.transport import Transport

BACKOFF_S, LONGEST_BACKOFF_S = 0.01, 2.0
"""The longest wait of a user after its first failure to connect, which doubles with each failure, and its maximum."""


class ClosedUser(User):
    """A user of a closed load: one connection, one model, and the next request after the answer to the last."""

    abstract = True  # closed_user gives it what follows
    session: ClassVar[Session]
    new_transport: ClassVar[Callable[[], Transport]]
    numbers: ClassVar[Iterator[int]]

    def on_start(self) -> None:
        session = self.session
        with suppress(StopUser), session.catch_mishaps():  # a user that cannot begin ends with its first request
            index = next(self.numbers)
            self.number = session.user_number(index)
            self.model = index % session.models
            self.failed = 0  # connections in a row that failed
            self.refused = 0  # requests in a row that the server refused
            self.held_back = 0.0  # how long it waited after the last request, s
            self.rng = random.Random(f"{session.caller.seed}:user:{self.number}")
            self.transport = session.keep(type(self).new_transport())
        session.users += 1

    def on_stop(self) -> None:
        self.session.users -= 1

    @task
    def ask(self) -> None:
        session = self.session
        with session.catch_mishaps():
            if (taken := session.take(self.number, self.model)) is None:
                raise StopUser
            planned, running = taken
            stage = running.stage
            slot = Slot(
                stage=stage.name,
                worker=session.worker,
                user=self.number,
                due=None,
                held_back=self.held_back,
                retries=stage.retries,
            )
            last = session.call(planned, running, slot, self.transport)
            self.held_back = 0.0
            if last is not None:
                self.pause(*last, stage)
            if stage.think is not None:
                session.over.wait(stage.think.draw(self.rng))

    def pause(self, planned: Planned, last: Exchange, stage: Stage) -> None:
        """Wait after a request and its exchange, until the server may be reached again and takes requests again."""
        lost = last.failure is not None and last.failure.kind == "connect"
        self.failed = self.failed + 1 if lost else 0
        if not stage.impatient:
            self.held_back = self.hold_back(planned, last)
        if self.failed:
            self.session.over.wait(self.rng.uniform(0.0, min(LONGEST_BACKOFF_S, BACKOFF_S * 2.0**self.failed)))

    def hold_back(self, planned: Planned, last: Exchange) -> float:
        """Wait if the server asked for fewer requests. Returns how long it waited, s."""
        caller = self.session.caller.of(planned)
        self.refused = self.refused + 1 if caller.is_refused(planned, last) else 0
        if not self.refused:
            return 0.0
        began = time.monotonic()
        self.session.over.wait(caller.hold_back(last, self.refused, self.rng))
        return time.monotonic() - began


class OpenUser(User):
    """The one user of an open load, one per worker: it sends each request when it is due, whatever is in flight."""

    abstract = True  # open_user gives it what follows
    session: ClassVar[Session]
    new_transport: ClassVar[Callable[[], Transport]]

    @task
    def ask_when_due(self) -> None:
        with self.session.catch_mishaps():
            self.ask_all()
        raise StopUser

    def ask_all(self) -> None:
        session = self.session
        transport = session.keep(type(self).new_transport())
        while not session.over.is_set() and (running := session.stage()) is not None:
            if running.stage.rate is not None:
                session.users += 1
                self.send_schedule(running, transport)
                session.users -= 1
            if not running.is_over(now := time.monotonic()):
                session.wait(running.until - now)

    def send_schedule(self, running: StageRun, transport: Transport) -> None:
        """Send every arrival of one stage."""
        session, alarm = self.session, Alarm()
        for number, due in running.schedule():
            alarm.sleep_until(due)
            if session.over.is_set():
                break
            stage = running.stage
            slot = Slot(stage=stage.name, worker=session.worker, user=0, due=due, retries=stage.retries)
            gevent.spawn(session.call, running.arrival(number), running, slot, transport)
        else:
            running.scheduled = True
        alarm.close()


def closed_user(session: Session, new_transport: Callable[[], Transport]) -> type[User]:
    """The closed user of a session, as a class: Locust makes the users itself."""
    own = {"session": session, "new_transport": new_transport, "numbers": itertools.count()}
    return type("ClosedUser", (ClosedUser,), own)


def open_user(session: Session, new_transport: Callable[[], Transport]) -> type[User]:
    """The open user of a session, as a class; each worker has one."""
    own = {"session": session, "new_transport": new_transport, "fixed_count": session.workers}
    return type("OpenUser", (OpenUser,), own)


def tell_locust(events: Events, record: Record) -> None:
    """Fire one Locust event per request, for Locust's listeners. Locust rounds its statistics; ours use the records."""
    sent = record.done if record.sent is None else record.sent
    events.request.fire(  # type: ignore[no-untyped-call]  # Locust's
        request_type=record.api,
        name=f"{record.model} {record.name}",
        response_time=(record.done - sent) * 1e3,
        response_length=record.bytes_received,
        exception=None if record.outcome == "ok" else RuntimeError(record.outcome),
        context={},
    )
