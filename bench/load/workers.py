"""A load that one core cannot carry: several worker processes on this machine, under Locust's own master.

They share one schedule, of which each sends its part, and one clock; each writes records and health of its own. The
master only begins, watches and ends; it sends no request itself.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import zip_longest
from typing import IO, Any

import gevent
from gevent.event import Event
from locust.runners import MasterRunner

from bench.environment import child_environment
from bench.load.caller import Caller
from bench.load.job import POLL_S, PROGRESS_S, Carried, Job, Order, Performed
from bench.load.keys import told_keys
from bench.load.line import master_on_line
from bench.load.runner import Observer, end_at_death, interrupts, prepared
from bench.load.session import Progress
from bench.records import RecordWriter
from bench.targets.keys import targets_of
from bench.targets.servers import TargetError
from bench.wire.clock import KernelClock

READY_S = 30.0  # for all workers to be there
HEAD_START_S = 0.5  # from saying so to the beginning, so that the last worker hears it in time
REASONS = ("disk", "mistake", "target", "interrupt", "refused", "requests", "duration")  # the worst first
SILENT_S = 10.0  # without a word from a worker, which speaks four times a second; then it is ended


@dataclass(slots=True)
class Heard:
    """What the workers have said so far, each by its number."""

    ready: set[int] = field(default_factory=set)  # those that listen
    progress: dict[int, Progress] = field(default_factory=dict)
    carried: dict[int, Carried] = field(default_factory=dict)
    silent_s: dict[int, float] = field(default_factory=dict)  # since its last word
    ended: set[int] = field(default_factory=set)  # those that were ended, since they did not answer


def carry_by_workers(
    job: Job,
    caller: Caller,
    writer: RecordWriter,
    clock: KernelClock,
    observer: Observer,
    alive: Callable[[], bool],
) -> Carried:
    """The whole load in `load.processes` workers. Raises TargetError if they do not start."""
    workers = job.scenario.processes
    environment, _ = prepared(job, caller, writer, clock, workers=workers)  # the master deals users out and runs none
    master, line = master_on_line(environment)
    heard, over, hurry = Heard(), Event(), Event()
    master.register_message("bench_ready", lambda environment, msg, **_: heard.ready.add(msg.data["worker"]))
    master.register_message("bench_progress", lambda environment, msg, **_: hear_progress(heard, msg))
    master.register_message("bench_carried", lambda environment, msg, **_: hear_carried(heard, msg))

    def tell_key(place: int, key: str) -> None:
        master.send_message("bench_key", {"place": place, "key": key})

    tell_keys, end_if_dead = told_keys(targets_of(job.scenario), tell_key), end_at_death(alive, lambda why: end(why))

    def look() -> None:
        tell_keys()
        end_if_dead()

    def end(why: str) -> None:
        over.set()
        master.send_message("bench_end", {"why": why})

    with tempfile.TemporaryFile("w+") as log, interrupts(partial(end, "interrupt"), over, hurry):
        processes: list[subprocess.Popen[bytes]] = []
        try:
            orders = [Order(job, worker, workers, line, dict(os.environ)) for worker in range(workers)]
            processes.extend(start(order, log) for order in orders)
            await_workers(heard, processes, workers, log, over)
            if over.is_set():
                return never_begun()
            master.send_message("bench_begin", {"moment": time.monotonic() + HEAD_START_S})
            master.start(job.users, spawn_rate=job.users)
            watch(heard, processes, master, over, hurry, observer, look)
        finally:
            master.quit()
            for process in processes:
                process.kill()
                process.wait()
        return together(heard, workers, log)


def start(order: Order, log: IO[str]) -> subprocess.Popen[bytes]:
    """Start a worker and tell it its order; its standard input stays open, and its end is the worker's."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.load.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=log,
        env=child_environment(),
        start_new_session=True,  # a Ctrl-C is for the master, which then tells the workers
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it died at once, which is seen when it is waited for
        process.stdin.write(pickle.dumps(order))  # the key too: no file and no environment holds it
        process.stdin.flush()
    return process


def await_workers(
    heard: Heard, processes: list[subprocess.Popen[bytes]], workers: int, log: IO[str], over: Event
) -> None:
    """Until every worker listens, or somebody ends the run. Raises TargetError."""
    deadline = time.monotonic() + READY_S
    while len(heard.ready) < workers and not over.is_set():
        gevent.sleep(POLL_S)
        if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
            raise TargetError(f"the {workers} worker processes did not all start; they said:\n{said(log)}")


def watch(
    heard: Heard,
    processes: list[subprocess.Popen[bytes]],
    master: MasterRunner,
    over: Event,
    hurry: Event,
    observer: Observer,
    look: Callable[[], None],
    *,
    silence: float = SILENT_S,
) -> None:
    """Until every worker has said how it went, or is gone. One that says nothing for `silence` s is ended.

    `look` is called again and again: it looks after the target.
    """
    hurried, mistaken, next_progress = False, False, 0.0
    while running := [n for n, process in enumerate(processes) if process.poll() is None and n not in heard.carried]:
        gevent.sleep(POLL_S)
        look()
        if heard.progress and all(seen.stage == "drain" for seen in heard.progress.values()):
            over.set()  # a Ctrl-C from now on is one for the draining
        if not mistaken and (why := spreading(heard)) is not None:
            mistaken = True  # the other workers end too
            master.send_message("bench_end", {"why": why})
        if hurry.is_set() and not hurried:
            hurried = True
            master.send_message("bench_hurry", {})
        if heard.progress and time.monotonic() >= next_progress:
            next_progress = time.monotonic() + PROGRESS_S
            observer.progress(added(list(heard.progress.values())))
        for worker in running:
            heard.silent_s[worker] = heard.silent_s.get(worker, 0.0) + POLL_S  # our time: we may have been stopped
            if heard.silent_s[worker] > silence:
                heard.ended.add(worker)
                processes[worker].kill()
                processes[worker].wait()
                observer.warn(f"worker {worker} has not answered for {silence:g} s and was ended; the others go on")
    gevent.sleep(POLL_S)  # for a last message under way


def spreading(heard: Heard) -> str | None:
    """Why the other workers have to end too: one made a mistake, or was refused by the target."""
    reasons = {one.stopped_by for one in heard.carried.values()}
    return next((why for why in ("mistake", "refused") if why in reasons), None)


def hear_progress(heard: Heard, msg: Any) -> None:
    heard.progress[msg.data["worker"]] = Progress(**msg.data["seen"])
    heard.silent_s[msg.data["worker"]] = 0.0


def hear_carried(heard: Heard, msg: Any) -> None:
    how = msg.data["how"]
    number = how.pop("errno")
    stages = tuple(Performed(**stage) for stage in how.pop("stages"))
    heard.carried[msg.data["worker"]] = Carried(stages, **how, error=OSError(*number) if number else None)


def said(log: IO[str]) -> str:
    """The end of what the workers wrote to standard error."""
    log.seek(0)
    return log.read()[-4000:].strip()


def added(seen: list[Progress]) -> Progress:
    """The workers' progress as one."""
    first = seen[0]
    sums = {
        name: sum(getattr(one, name) for one in seen)
        for name in ("sent", "ok", "begun", "requests_per_s", "users", "in_flight")
    }
    failures = sum((Counter(one.failures) for one in seen), Counter())
    medians = sorted(one.ttft_p50 for one in seen if one.ttft_p50 is not None)
    rest = {f.name: getattr(first, f.name) for f in fields(Progress) if f.name not in sums}
    median = medians[len(medians) // 2] if medians else None
    return Progress(**rest | sums | {"failures": dict(failures), "ttft_p50": median})


def never_begun() -> Carried:
    """Of a load that was ended before it began."""
    return Carried((), stopped_by="interrupt")


def merged(parts: Iterable[Performed | None]) -> Performed:
    """One stage as its processes performed it together: from the first beginning to the last end."""
    known = [part for part in parts if part is not None]
    return Performed(
        name=known[0].name,
        began=min(part.began for part in known),
        ended=max(part.ended for part in known),
        ended_by=known[0].ended_by,
        planned=sum(part.planned for part in known),
        sent=sum(part.sent for part in known),
        followed=sum(part.followed for part in known),
    )


def together(heard: Heard, workers: int, log: IO[str]) -> Carried:
    """How the load ended as a whole: when the last worker did, and for the worst of their reasons."""
    carried = list(heard.carried.values())
    if not carried:
        raise TargetError(f"every worker process died or was ended; they said:\n{said(log) or 'nothing'}")
    lost = "silent worker" if heard.ended else "worker" if len(carried) < workers else None
    reasons = {one.stopped_by for one in carried}
    return Carried(
        stages=tuple(map(merged, zip_longest(*(one.stages for one in carried)))),
        stopped_by=lost or next(why for why in REASONS if why in reasons),
        because=next((one.because for one in carried if one.because), None),
        error=next((one.error for one in carried if one.error), None),
        mistake=next((one.mistake for one in carried if one.mistake), None),
    )
