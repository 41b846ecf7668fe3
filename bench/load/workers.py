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
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import partial
from typing import IO, Any

import gevent
from gevent.event import Event
from locust.runners import MasterRunner

from bench.environment import child_environment
from bench.load.caller import Caller
from bench.load.carrying import Observer, end_at_death, interrupts, prepared
from bench.load.job import POLL_S, PROGRESS_S, Carried, Job, Order
from bench.load.line import master_on_line
from bench.load.session import Progress
from bench.load.targets import TargetError
from bench.records import RecordWriter
from bench.wire.clock import KernelClock

READY_S = 30.0  # for all workers to be there
HEAD_START_S = 0.5  # from saying so to the beginning, so that the last worker hears it in time
REASONS = ("disk", "mistake", "target", "interrupt", "requests", "duration")  # the worst first
SILENT_S = 10.0  # without a word from a worker, which speaks four times a second; then it is ended


@dataclass(slots=True)
class Heard:
    """What the workers have said so far, each by its number."""

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
    """The whole load in `load.processes` workers. Raises TargetError where they do not start."""
    workers = job.scenario.load.processes
    users = job.scenario.load.users or workers
    environment, _ = prepared(job, caller, writer, clock, workers=workers)  # the master deals users out and runs none
    master, line = master_on_line(environment)
    heard, over, hurry = Heard(), Event(), Event()
    master.register_message("bench_progress", lambda environment, msg, **_: hear_progress(heard, msg))
    master.register_message("bench_carried", lambda environment, msg, **_: hear_carried(heard, msg))

    def end(why: str) -> None:
        over.set()
        master.send_message("bench_end", {"why": why})

    with tempfile.TemporaryFile("w+") as log, interrupts(partial(end, "interrupt"), over, hurry):
        processes: list[subprocess.Popen[bytes]] = []
        try:
            orders = [Order(job, worker, workers, line, dict(os.environ)) for worker in range(workers)]
            processes.extend(start(order, log) for order in orders)
            await_workers(master, processes, workers, log, over)
            if over.is_set():
                return never_begun()
            master.send_message("bench_begin", {"moment": time.monotonic() + HEAD_START_S})
            master.start(users, spawn_rate=users)
            watch(heard, processes, master, over, hurry, observer, end_at_death(alive, end))
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
    master: MasterRunner, processes: list[subprocess.Popen[bytes]], workers: int, log: IO[str], over: Event
) -> None:
    """Until every worker is ready, or somebody ends the run."""
    deadline = time.monotonic() + READY_S
    while len(master.clients.ready) < workers and not over.is_set():
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
        if not mistaken and any(one.mistake for one in heard.carried.values()):
            mistaken = True  # the other workers end too
            master.send_message("bench_end", {"why": "mistake"})
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


def hear_progress(heard: Heard, msg: Any) -> None:
    heard.progress[msg.data["worker"]] = Progress(**msg.data["seen"])
    heard.silent_s[msg.data["worker"]] = 0.0


def hear_carried(heard: Heard, msg: Any) -> None:
    how = msg.data["how"]
    number = how.pop("errno")
    heard.carried[msg.data["worker"]] = Carried(**how, error=OSError(*number) if number else None)


def said(log: IO[str]) -> str:
    """The end of what the workers wrote to standard error."""
    log.seek(0)
    return log.read()[-4000:].strip()


def added(seen: list[Progress]) -> Progress:
    """The workers' progress as one."""
    first = seen[0]
    sums = {
        name: sum(getattr(one, name) for one in seen)
        for name in ("sent", "ok", "failed", "requests_per_s", "users", "in_flight")
    }
    medians = sorted(one.ttft_p50 for one in seen if one.ttft_p50 is not None)
    rest = {f.name: getattr(first, f.name) for f in fields(Progress) if f.name not in sums}
    return Progress(**rest | sums | {"ttft_p50": medians[len(medians) // 2] if medians else None})


def never_begun() -> Carried:
    """Of a load that was ended before it began."""
    now = time.monotonic()
    return Carried(began=now, measure_from=now, ended=now, sent=0, followed=0, stopped_by="interrupt")


def together(heard: Heard, workers: int, log: IO[str]) -> Carried:
    """How the load ended as a whole: when the last worker did, and for the worst of their reasons."""
    carried = list(heard.carried.values())
    if not carried:
        raise TargetError(f"every worker process died or was ended; they said:\n{said(log) or 'nothing'}")
    lost = "silent worker" if heard.ended else "worker" if len(carried) < workers else None
    reasons = {one.stopped_by for one in carried}
    return Carried(
        began=carried[0].began,
        measure_from=carried[0].measure_from,
        ended=max(one.ended for one in carried),
        sent=sum(one.sent for one in carried),
        followed=sum(one.followed for one in carried),
        stopped_by=lost or next(why for why in REASONS if why in reasons),
        error=next((one.error for one in carried if one.error), None),
        mistake=next((one.mistake for one in carried if one.mistake), None),
    )
