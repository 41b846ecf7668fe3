"""A load that one core cannot carry: several worker processes on this machine, under Locust's own master.

They share one schedule, of which each sends its part, and one clock; each writes records and health of its own. The
master only begins, watches and ends; it sends no request itself.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, fields
from typing import Any

import gevent
from gevent.event import Event

from bench.load.caller import Caller
from bench.load.carrying import Observer, interrupts, prepared
from bench.load.job import POLL_S, PROGRESS_S, Carried, Job
from bench.load.session import Progress
from bench.load.targets import TargetError
from bench.records import RecordWriter
from bench.wire.clock import KernelClock

READY_S = 30.0  # for all workers to be there
HEAD_START_S = 0.5  # from saying so to the beginning, so that the last worker hears it in time


@dataclass(slots=True)
class Heard:
    """What the workers have said so far."""

    progress: dict[str, Progress] = field(default_factory=dict)  # by Locust's name of the worker
    carried: dict[int, Carried] = field(default_factory=dict)  # by worker


def carry_by_workers(job: Job, caller: Caller, writer: RecordWriter, clock: KernelClock, observer: Observer) -> Carried:
    """The whole load in `load.processes` workers. Raises TargetError where they do not start."""
    workers = job.scenario.load.processes
    users = job.scenario.load.users or workers
    environment, _ = prepared(job, caller, writer, clock, workers=workers)  # the master deals users out and runs none
    master = environment.create_master_runner("127.0.0.1", 0)
    heard, over, hurry = Heard(), Event(), Event()
    master.register_message("bench_progress", lambda environment, msg, **_: hear_progress(heard, msg))
    master.register_message("bench_carried", lambda environment, msg, **_: hear_carried(heard, msg))

    def end() -> None:
        over.set()
        master.send_message("bench_end", {"why": "interrupt"})

    with tempfile.TemporaryFile("w+") as log:
        processes = [start(job, worker, master.server.port, log) for worker in range(workers)]
        try:
            await_workers(master, processes, workers, log)
            with interrupts(end, over, hurry):
                master.send_message("bench_begin", {"moment": time.monotonic() + HEAD_START_S})
                master.start(users, spawn_rate=users)
                watch(heard, processes, master, hurry, observer)
        finally:
            master.quit()
            for process in processes:
                process.kill()
                process.wait()
    return together(heard, workers)


def start(job: Job, worker: int, port: int, log: Any) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.load.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=log,
        start_new_session=True,  # a Ctrl-C is for the master, which then tells the workers
    )
    assert process.stdin is not None
    process.stdin.write(pickle.dumps((job, worker, job.scenario.load.processes, port)))  # the key too: no file holds it
    process.stdin.close()
    return process


def await_workers(master: Any, processes: list[subprocess.Popen[bytes]], workers: int, log: Any) -> None:
    """Until every worker is ready."""
    deadline = time.monotonic() + READY_S
    while len(master.clients.ready) < workers:
        gevent.sleep(POLL_S)
        if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
            log.seek(0)
            raise TargetError(f"the {workers} worker processes did not all start; they said:\n{log.read().strip()}")


def watch(
    heard: Heard, processes: list[subprocess.Popen[bytes]], master: Any, hurry: Event, observer: Observer
) -> None:
    """Until every worker has said how it went, or is gone."""
    hurried, mistaken, next_progress = False, False, 0.0
    while any(process.poll() is None and worker not in heard.carried for worker, process in enumerate(processes)):
        gevent.sleep(POLL_S)
        if not mistaken and any(one.mistake for one in heard.carried.values()):
            mistaken = True  # the other workers end too
            master.send_message("bench_end", {"why": "mistake"})
        if hurry.is_set() and not hurried:
            hurried = True
            master.send_message("bench_hurry", {})
        if heard.progress and time.monotonic() >= next_progress:
            next_progress = time.monotonic() + PROGRESS_S
            observer.progress(added(list(heard.progress.values())))
    gevent.sleep(POLL_S)  # for a last message under way


def hear_progress(heard: Heard, msg: Any) -> None:
    heard.progress[msg.node_id] = Progress(**msg.data)


def hear_carried(heard: Heard, msg: Any) -> None:
    how = msg.data["how"]
    number = how.pop("errno")
    heard.carried[msg.data["worker"]] = Carried(**how, error=OSError(*number) if number else None)


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


def together(heard: Heard, workers: int) -> Carried:
    """How the load ended as a whole: when the last worker did, and for the worst of their reasons."""
    carried = list(heard.carried.values())
    if not carried:
        raise TargetError("every worker process died; run again with load.processes: 1 to see why")
    lost = len(carried) < workers
    reasons = {one.stopped_by for one in carried}
    return Carried(
        began=carried[0].began,
        measure_from=carried[0].measure_from,
        ended=max(one.ended for one in carried),
        sent=sum(one.sent for one in carried),
        followed=sum(one.followed for one in carried),
        stopped_by="worker"
        if lost
        else next(why for why in ("disk", "mistake", "interrupt", "requests", "duration") if why in reasons),
        error=next((one.error for one in carried if one.error), None),
        mistake=next((one.mistake for one in carried if one.mistake), None),
    )
