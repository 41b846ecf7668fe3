"""The load from its first request to its last: target, prompts, users, drain, and the facts of it all in a folder."""

from __future__ import annotations

import gc
import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import gevent
from gevent.event import Event
from locust.env import Environment
from locust.event import Events

from bench.load import targets
from bench.load.caller import Caller, Retries
from bench.load.connecting import provider, raise_descriptor_limit, transports
from bench.load.fitting import measure_fits
from bench.load.folder import End, circumstances, write_end, write_json
from bench.load.health import Health
from bench.load.recording import RunClock, Slot
from bench.load.session import Progress, Session
from bench.load.users import arrivals, closed_user, open_user, tell_locust
from bench.plan import Fit, Planned, Scenario, redacted, secrets
from bench.records import Record, RecordWriter
from bench.wire.clock import KernelClock
from bench.wire.connection import Timeouts
from bench.wire.transport import Transport

POLL_S = 0.05  # how often the end of the load is looked for; no request is begun after it all the same
PROGRESS_S = 0.25


class Observer(Protocol):
    """Who is told what happens while the load runs."""

    def progress(self, progress: Progress) -> None: ...
    def warn(self, text: str) -> None: ...


def run_load(scenario: Scenario, folder: Path, *, seed: int, source: str, observer: Observer) -> None:
    """Put the scenario's load on its target; leave run.json, records.jsonl, health.jsonl and end.json in `folder`.

    Raises targets.TargetError where an embedded target does not start, OSError where the disk refuses a record.
    """
    with serving(scenario) as url:
        facts = describe(scenario, seed=seed, source=source, url=url)
        write_json(folder / "run.json", facts)
        clock = KernelClock()
        with RecordWriter(folder / "records.jsonl") as writer:
            caller = new_caller(scenario, url, seed)
            new_transport = transports(scenario.target, clock)
            fits = learn_fits(scenario, caller, new_transport(), writer, observer)
            write_json(folder / "run.json", facts | {"prompt_fit": {model: asdict(f) for model, f in fits.items()}})
            events = Events()  # type: ignore[no-untyped-call]  # Locust's
            session = Session(scenario, seed, fits, caller, writer, partial(tell_locust, events))
            drive(session, events, new_transport, folder, clock, observer)
        clock.close()
        write_end(folder, ending(session))
        if session.error is not None:
            raise session.error


@contextmanager
def serving(scenario: Scenario) -> Iterator[str]:
    """The target's URL, for as long as it is needed."""
    target = scenario.target
    if target.kind == "simulator":
        with targets.simulator(target.simulator or {}) as url:
            yield url
    elif target.kind == "llama.cpp":
        with targets.llama_cpp(slots=targets.LLAMA_SLOTS) as url:
            yield url
    else:
        assert target.url is not None
        yield target.url


def learn_fits(
    scenario: Scenario, caller: Caller, transport: Transport, writer: RecordWriter, observer: Observer
) -> dict[str, Fit]:
    """Ask the target how it counts tokens; these requests are recorded as a stage of their own."""

    def ask(planned: Planned) -> Record:
        slot = Slot(stage="fit", worker=0, user=0, due=None)
        record = caller.understand(planned, slot, caller.send(planned, slot, transport))
        writer.append(record)
        return record

    try:
        return measure_fits(scenario, ask, seed=caller.seed, warn=observer.warn)
    finally:
        transport.close()


def drive(
    session: Session,
    events: Events,
    new_transport: Callable[[], Transport],
    folder: Path,
    clock: KernelClock,
    observer: Observer,
) -> None:
    """Locust's part: spawn the users, wait for the end, drain."""
    logging.getLogger("locust").setLevel(logging.ERROR)  # it warns of what we do on purpose: all users at once
    load = session.scenario.load
    user = closed_user(session, new_transport) if load.users else open_user(session, new_transport)
    environment = Environment(user_classes=[user], events=events)
    runner = environment.create_local_runner()
    health = Health(
        folder / "health.jsonl",
        started=session.caller.clock.started,
        worker=session.worker,
        clock=clock,
        users=lambda: session.users,
        in_flight=lambda: session.in_flight,
    )
    hurry = Event()
    raise_descriptor_limit()
    gc.collect()
    gc.freeze()
    helpers = [gevent.spawn(health.sample), gevent.spawn(show, session, observer)]
    with interrupts(session, hurry):
        session.begin()
        runner.start(load.users or 1, spawn_rate=load.users or 1)
        while not session.finished():
            gevent.sleep(POLL_S)
        session.drain(load.drain, hurry)
    runner.quit()
    gevent.killall(helpers)
    session.close()
    observer.progress(session.progress())
    gc.unfreeze()


@contextmanager
def interrupts(session: Session, hurry: Event) -> Iterator[None]:
    """Ctrl-C ends the load and drains it; a second one ends the draining too. The report is written either way."""

    def interrupt() -> None:
        if session.over.is_set():
            hurry.set()
        session.end("interrupt")

    handlers = [gevent.signal_handler(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for handler in handlers:
            handler.cancel()


def show(session: Session, observer: Observer) -> None:
    """The progress greenlet's whole life."""
    while True:
        gevent.sleep(PROGRESS_S)
        observer.progress(session.progress())


def describe(scenario: Scenario, *, seed: int, source: str, url: str) -> dict[str, Any]:
    """run.json: what was asked, of whom, where and with what."""
    return {
        "schema": 1,
        "scenario": redacted(scenario),
        "scenario_file": source,
        "seed": seed,
        "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "target": {"kind": scenario.target.kind, "url": url},
    } | circumstances()


def new_caller(scenario: Scenario, url: str, seed: int) -> Caller:
    timeouts, retries = scenario.timeouts, scenario.retries
    return Caller(
        provider=provider(scenario.target, url, secrets(scenario)),
        timeouts=Timeouts(
            connect=timeouts.connect, first_token=timeouts.first_token, gap=timeouts.gap, total=timeouts.total
        ),
        retries=Retries()
        if retries is None
        else Retries(
            attempts=retries.attempts,
            backoff=retries.backoff,
            max_backoff=retries.max_backoff,
            obey_retry_after=retries.obey_retry_after,
        ),
        clock=RunClock(time.monotonic()),
        seed=seed,
        given_up=Event(),
    )


def ending(session: Session) -> End:
    clock = session.caller.clock
    return End(
        duration_s=clock.at(time.monotonic()),
        load_started=clock.at(session.began),
        measure=(clock.at(session.measure_from), clock.at(max(session.measure_from, session.ended))),
        planned=planned(session),
        sent=session.sent["measure"],
        stopped_by=session.stopped_by,
    )


def planned(session: Session) -> int:
    """The measured requests that should have been begun by the time the load ended."""
    load = session.scenario.load
    if load.rate is not None:
        dues = arrivals(load, session.caller.seed, session.began)
        return sum(stage == "measure" and due <= session.ended for stage, _, due in dues)
    return session.sent["measure"] if load.requests is None else load.requests
