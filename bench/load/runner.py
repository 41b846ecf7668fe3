"""Runs a load with Locust in one process: users start, requests go out, and at the end requests in flight are
drained."""

from __future__ import annotations

import gc
import logging
import math
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Protocol

import gevent
from gevent.event import Event
from locust.env import Environment
from locust.event import Events

from bench.load.caller import Caller
from bench.load.connections import NoRoomError, raise_descriptor_limit, transports
from bench.load.health import Health
from bench.load.job import DRAIN_S, POLL_S, PROGRESS_S, Job, LoadResult, StageResult
from bench.load.mishaps import catch_greenlet_errors
from bench.load.session import Progress, Session
from bench.load.users import closed_user, open_user, tell_locust
from bench.plan import Scenario
from bench.records import RecordWriter, StoppedBy, file_of
from bench.wire.clock import KernelClock


class Observer(Protocol):
    """Receives what happens while the load runs, for example to print it."""

    def progress(self, progress: Progress) -> None: ...
    def warn(self, text: str) -> None: ...
    def note(self, text: str) -> None: ...


def run_here(
    job: Job,
    caller: Caller,
    writer: RecordWriter,
    clock: KernelClock,
    observer: Observer,
    alive: Callable[[], bool],
) -> LoadResult:
    """Run the whole load in this process, on Locust's local runner."""
    environment, session = prepare(job, caller, writer, clock)
    runner = environment.create_local_runner()
    hurry = Event()
    make_ready()
    with catch_greenlet_errors(caller.mishaps), interrupts(partial(session.end, "interrupt"), session.over, hurry):
        session.begin(time.monotonic())
        runner.start(job.users, spawn_rate=job.users)
        run_session(session, job, clock, hurry, observer.progress, end_if_dead(alive, session.end))
        runner.quit()
    return result_of(session)


def prepare(
    job: Job, caller: Caller, writer: RecordWriter, clock: KernelClock, *, worker: int = 0, workers: int = 1
) -> tuple[Environment, Session]:
    """Locust's environment with our users, and the session that gives them requests."""
    logging.getLogger("locust").setLevel(logging.ERROR)  # Locust warns when all users start at once; we want that
    logging.getLogger("locust.runners").addFilter(is_news)
    events = Events()  # type: ignore[no-untyped-call]  # Locust's
    tell = partial(tell_locust, events)
    session = Session(job, caller, writer, tell, worker=worker, workers=workers)
    new_transport = transports(job.scenario, clock)
    classes = [closed_user(session, new_transport)] if any(stage.users for stage in job.stages) else []
    classes += [open_user(session, new_transport)] if any(stage.rate for stage in job.stages) else []
    return Environment(user_classes=classes, events=events), session


def make_ready() -> None:
    """Do what takes a while before the load begins: afterwards the first requests would be late by as much."""
    raise_descriptor_limit()
    gc.collect()
    gc.freeze()


def is_news(line: logging.LogRecord) -> bool:
    """Whether Locust's line says anything. It complains of each user that ended by itself just before all are
    stopped; ours do, once all requests are sent."""
    return "didn't have proper args" not in str(line.msg)


@contextmanager
def listening(caller: Caller, scenario: Scenario, *, workers: int | None = None) -> Iterator[None]:
    """Listen for webhooks while this is entered, if a request asks for one. Raises NoRoomError if the port is taken.

    With several processes each worker listens for its own webhooks, and the master does not listen.
    """
    if caller.listener is None or (workers is None and scenario.processes > 1):
        yield
        return
    try:
        caller.listener.start()
    except OSError as error:
        where = f"webhook: {scenario.webhook.host}:{scenario.webhook.port}"
        raise NoRoomError(f"{where} cannot be listened on: {error.strerror}; choose another address") from None
    try:
        yield
    finally:
        caller.listener.close()


def run_session(
    session: Session,
    job: Job,
    clock: KernelClock,
    hurry: Event,
    progress: Callable[[Progress], None],
    look: Callable[[], None] = lambda: None,
) -> None:
    """Wait while Locust's users send all requests of a chain of stages, then drain.

    `look` is called again and again.
    """
    health = Health(
        file_of(job.folder, "health", session.worker, session.workers),
        started=job.started,
        worker=session.worker,
        clock=clock,
        users=lambda: session.users,
        in_flight=lambda: session.in_flight,
        on_disk_error=session.on_disk_error,
    )
    helpers = [gevent.spawn(health.sample), gevent.spawn(show, session, progress)]
    while not session.finished():
        gevent.sleep(POLL_S)
        look()
    session.drain(DRAIN_S if job.stages[-1].drain is None else job.stages[-1].drain, hurry)
    gevent.killall(helpers)
    session.close()
    progress(session.progress())
    gc.unfreeze()


def result_of(session: Session) -> LoadResult:
    return LoadResult(
        stages=tuple(
            StageResult(run.stage.name, run.began, run.ended, run.ended_by, run.planned(), run.sent, run.followed)
            for run in session.stages
            if not math.isinf(run.began)
        ),
        stopped_by=session.stopped_by,
        because=session.because,
        error=session.error,
        mistake=session.caller.mishaps.first,
        records=tuple(session.returned),
    )


@contextmanager
def interrupts(end: Callable[[], None], over: Event, hurry: Event) -> Iterator[None]:
    """The first Ctrl-C ends the load and drains it. A second one, or a closed terminal, ends the draining too.

    The report is written in all cases.
    """

    pressed = Event()

    def interrupt() -> None:
        pressed.set()
        if over.is_set():
            hurry.set()
        end()

    def hang_up() -> None:
        pressed.set()
        leave_terminal()
        hurry.set()
        end()

    wanted = {signal.SIGINT: interrupt, signal.SIGTERM: interrupt}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        wanted[signal.SIGHUP] = hang_up
    before = {number: signal.getsignal(number) for number in wanted}
    handlers = [gevent.signal_handler(number, handle) for number, handle in wanted.items()]
    try:
        yield
    finally:
        for handler in handlers:
            handler.cancel()
        for number, handle in before.items():  # gevent leaves the default handler, which would end this process
            signal.signal(number, signal.SIG_IGN if pressed.is_set() else handle)  # ignore a key that is held down


def leave_terminal() -> None:
    """Redirect output to a closed terminal to the null device. Files and pipes stay as they are."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(number).st_mode) and not os.isatty(number):
                os.dup2(nowhere, number)
    os.close(nowhere)


def end_if_dead(alive: Callable[[], bool], end: Callable[[StoppedBy], None]) -> Callable[[], None]:
    """A function to call again and again: it ends the load if the embedded target is dead."""

    def look() -> None:
        if not alive():
            end("target")

    return look


def show(session: Session, progress: Callable[[Progress], None]) -> None:
    """The progress greenlet's whole life."""
    while True:
        gevent.sleep(PROGRESS_S)
        progress(session.progress())
