"""The Locust users that carry the load: many that wait for their answers, or one that never does."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress

import gevent
from locust import User, task
from locust.event import Events
from locust.exception import StopUser

from bench.load.recording import Slot
from bench.load.session import STAGE_SEEDS, Session
from bench.load.timer import Alarm
from bench.plan import Load, due_times
from bench.records import Record
from bench.wire.transport import Transport


def closed_user(session: Session, new_transport: Callable[[], Transport]) -> type[User]:
    """A user of a closed loop: one connection, one model, the next request as soon as the last is answered."""
    numbers = itertools.count()

    class ClosedUser(User):
        def on_start(self) -> None:
            with suppress(StopUser), session.net():  # a user that cannot begin ends with its first request
                place = next(numbers)
                self.number = session.turn(place)  # among all workers' users
                self.model = place % session.models
                self.transport = session.watch(new_transport())
                session.wait_for_turn(self.number)
            session.users += 1

        def on_stop(self) -> None:
            session.users -= 1

        @task
        def ask(self) -> None:
            with session.net():
                if (taken := session.take(self.model)) is None:
                    raise StopUser
                planned, stage = taken
                slot = Slot(stage=stage, worker=session.worker, user=self.number, due=None)
                session.call(planned, slot, self.transport)

    return ClosedUser


def open_user(session: Session, new_transport: Callable[[], Transport]) -> type[User]:
    """The one user of an open loop, one a worker: it sends each request when it is due, whatever is still in flight."""

    class OpenUser(User):
        fixed_count = session.workers

        def on_start(self) -> None:
            session.users = 1

        @task
        def ask_when_due(self) -> None:
            with session.net():
                self.ask_all()
            raise StopUser

        def ask_all(self) -> None:
            transport = session.watch(new_transport())
            alarm = Alarm()
            schedule = arrivals(session.scenario.load, session.caller.seed, session.began)
            for stage, index, due in itertools.islice(schedule, session.worker, None, session.workers):
                alarm.sleep_until(due)
                if session.over.is_set():
                    break
                slot = Slot(stage=stage, worker=session.worker, user=0, due=due)
                gevent.spawn(session.call, session.arrival(stage, index), slot, transport)
            alarm.close()
            session.end("requests" if session.scenario.load.requests else "duration")

    return OpenUser


def arrivals(load: Load, seed: int, began: float) -> Iterator[tuple[str, int, float]]:
    """Stage, index within the stage and due time (absolute monotonic seconds) of each request of an open loop."""
    assert load.rate is not None
    stages = (("warmup", began, load.warmup, None), ("measure", began + load.warmup, load.duration, load.requests))
    for stage, start, duration, count in stages:
        if duration == 0.0:
            continue
        dues = due_times(load.rate, load.arrivals, seed=seed + STAGE_SEEDS[stage], duration=duration, count=count)
        for index, due in enumerate(dues):
            yield stage, index, start + due


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
