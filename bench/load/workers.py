"""Runs a load that is too large for one core: several worker processes on this machine, under Locust's own master.

The workers share one schedule, of which each sends its part, and one clock. Each writes its own records and health. The
master only starts, watches and ends them; it sends no requests.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import zip_longest
from typing import IO, Any, get_args

import gevent
from gevent.event import Event
from locust.runners import MasterRunner

from bench.load.caller import Caller
from bench.load.job import POLL_S, PROGRESS_S, Job, LoadResult, Order, StageResult
from bench.load.keys import told_keys
from bench.load.locust_socket import close_master, create_master
from bench.load.runner import Observer, end_if_dead, interrupts, prepare
from bench.load.session import Progress
from bench.load.worker_processes import WorkerProcesses
from bench.records import RecordWriter, StoppedBy
from bench.targets.keys import targets_of
from bench.targets.servers import TargetError
from bench.wire.clock import KernelClock

READY_S = 30.0  # how long all workers together may take until they listen: they start, and read the data files
HEAD_START_S = 0.5  # from the message to the begin of the load, so that the last worker gets it in time
NOTICE_S = 0.05  # from the message that a stage is over to its end, so that the next begins everywhere in time
SILENT_S = 10.0  # a worker sends four messages a second; after this time without one it is ended


@dataclass(slots=True)
class WorkerReports:
    """What the workers have reported so far, by the worker's number."""

    ready: set[int] = field(default_factory=set)  # workers that listen
    progress: dict[int, Progress] = field(default_factory=dict)
    results: dict[int, LoadResult] = field(default_factory=dict)
    silent_s: dict[int, float] = field(default_factory=dict)  # time since the last message
    ended: set[int] = field(default_factory=set)  # workers that were ended because they sent nothing
    spent: dict[int, int] = field(default_factory=dict)  # index of the last stage of which it has sent its share
    agreed: int = -1  # index of the last stage that ended because all had sent their share
    news: Event = field(default_factory=Event)  # set when one of them has


def run_in_workers(
    team: WorkerProcesses,
    job: Job,
    caller: Caller,
    writer: RecordWriter,
    clock: KernelClock,
    observer: Observer,
    alive: Callable[[], bool],
) -> LoadResult:
    """Run a chain of stages in `load.processes` workers. Raises TargetError if they do not start."""
    workers = job.scenario.processes
    environment, _ = prepare(job, caller, writer, clock, workers=workers)  # the master itself runs no users
    master, address = create_master(environment)
    reports, over, hurry = reports_to(master), Event(), Event()

    def tell_key(place: int, key: str) -> None:
        master.send_message("bench_key", {"place": place, "key": key})

    tell_keys, check_target = told_keys(targets_of(job.scenario), tell_key), end_if_dead(alive, lambda why: end(why))

    def look() -> None:
        tell_keys()
        check_target()

    def end(why: StoppedBy) -> None:
        over.set()
        master.send_message("bench_end", {"why": why})

    orders = [Order(job, worker, workers, address, dict(os.environ)) for worker in range(workers)]
    with interrupts(partial(end, "interrupt"), over, hurry):
        try:
            first = not team.processes
            team.give(orders)
            if not await_workers(reports, team.processes, over):
                return without_workers(workers, caller.provider.scrub(end_of(team.log)), observer, first=first)
            if over.is_set():
                return LoadResult((), stopped_by="interrupt")  # before the load began
            master.send_message("bench_begin", {"moment": time.monotonic() + HEAD_START_S})
            master.start(job.users, spawn_rate=job.users)
            watch(reports, team.processes, master, over, hurry, observer, look)
        finally:
            close_master(master)
        return merge_results(reports, workers, team.log)


def reports_to(master: MasterRunner) -> WorkerReports:
    """Keeps what the workers report to the master from now on."""
    reports = WorkerReports()
    master.register_message("bench_ready", lambda environment, msg, **_: reports.ready.add(msg.data["worker"]))
    master.register_message("bench_progress", lambda environment, msg, **_: note_progress(reports, msg))
    master.register_message("bench_spent", lambda environment, msg, **_: note_spent(reports, **msg.data))
    master.register_message("bench_result", lambda environment, msg, **_: note_result(reports, msg))
    return reports


def await_workers(reports: WorkerReports, processes: list[subprocess.Popen[bytes]], over: Event) -> bool:
    """Wait until every worker listens or somebody ends the run. Returns False if a worker died, or does not listen in
    time."""
    deadline = time.monotonic() + READY_S
    while len(reports.ready) < len(processes) and not over.is_set():
        gevent.sleep(POLL_S)
        if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
            return False
    return True


def without_workers(workers: int, printed: str, observer: Observer, *, first: bool) -> LoadResult:
    """The result of a chain of stages for which not every worker listens. Raises TargetError if it is the run's first:
    then there is nothing to report."""
    if first:
        raise TargetError(f"the {workers} worker processes did not all start; they printed:\n{printed}")
    observer.warn(f"a worker process died or does not respond; the workers printed:\n{printed or 'nothing'}")
    return LoadResult((), stopped_by="worker")


def watch(
    reports: WorkerReports,
    processes: list[subprocess.Popen[bytes]],
    master: MasterRunner,
    over: Event,
    hurry: Event,
    observer: Observer,
    look: Callable[[], None],
    *,
    silence: float = SILENT_S,
) -> None:
    """Wait until every worker has reported its result or is gone. A worker without a message for `silence` s is ended.

    `look` is called again and again: it checks that the target still runs.
    """
    hurried, ended_all, next_progress = False, False, 0.0
    while running := [n for n, process in enumerate(processes) if process.poll() is None and n not in reports.results]:
        reports.news.wait(POLL_S)
        look()
        if (index := spent_by_all(reports, running)) is not None:
            master.send_message("bench_agree", {"index": index, "moment": time.monotonic() + NOTICE_S})
        if reports.progress and all(progress.stage == "drain" for progress in reports.progress.values()):
            over.set()  # from now on a Ctrl-C ends the draining
        if not ended_all and (why := reason_for_all(reports)) is not None:
            ended_all = True
            master.send_message("bench_end", {"why": why})
        if hurry.is_set() and not hurried:
            hurried = True
            master.send_message("bench_hurry", {})
        if reports.progress and time.monotonic() >= next_progress:
            next_progress = time.monotonic() + PROGRESS_S
            observer.progress(sum_progress(list(reports.progress.values())))
        for worker in running:
            # Count our own polls, because this process may have been stopped for a while.
            reports.silent_s[worker] = reports.silent_s.get(worker, 0.0) + POLL_S
            if reports.silent_s[worker] > silence:
                reports.ended.add(worker)
                processes[worker].kill()
                processes[worker].wait()
                observer.warn(f"worker {worker} has not answered for {silence:g} s and was ended; the others go on")
    gevent.sleep(POLL_S)  # a last message may still be on its way


def reason_for_all(reports: WorkerReports) -> StoppedBy | None:
    """Why all workers have to end: one found a mistake in bench, or the target refused its requests; else None."""
    stopping: tuple[StoppedBy, ...] = ("mistake", "refused")
    reasons = {result.stopped_by for result in reports.results.values()}
    return next((why for why in stopping if why in reasons), None)


def note_spent(reports: WorkerReports, worker: int, index: int) -> None:
    reports.spent[worker] = index
    reports.news.set()


def spent_by_all(reports: WorkerReports, running: Iterable[int]) -> int | None:
    """The index of a stage of which all running workers have sent their share; None if there is none, or if that was
    said before."""
    reports.news.clear()
    index = min(reports.spent.get(worker, -1) for worker in running)
    if index <= reports.agreed:
        return None
    reports.agreed = index
    return index


def note_progress(reports: WorkerReports, msg: Any) -> None:
    reports.progress[msg.data["worker"]] = Progress(**msg.data["progress"])
    reports.silent_s[msg.data["worker"]] = 0.0


def note_result(reports: WorkerReports, msg: Any) -> None:
    result = msg.data["result"]
    number = result.pop("errno")
    stages = tuple(StageResult(**stage) for stage in result.pop("stages"))
    reports.results[msg.data["worker"]] = LoadResult(stages, **result, error=OSError(*number) if number else None)


def end_of(log: IO[str]) -> str:
    """The end of what the workers wrote to standard error."""
    log.seek(0)
    return log.read()[-4000:].strip()


def sum_progress(parts: list[Progress]) -> Progress:
    """The progress of all workers together."""
    first = parts[0]
    sums = {
        name: sum(getattr(part, name) for part in parts)
        for name in ("sent", "ok", "begun", "requests_per_s", "users", "in_flight")
    }
    failures = sum((Counter(part.failures) for part in parts), Counter())
    medians = sorted(part.ttft_p50 for part in parts if part.ttft_p50 is not None)
    rest = {f.name: getattr(first, f.name) for f in fields(Progress) if f.name not in sums}
    median = medians[len(medians) // 2] if medians else None
    return Progress(**rest | sums | {"failures": dict(failures), "ttft_p50": median})


def merge_stages(parts: Iterable[StageResult | None]) -> StageResult:
    """The result of one stage from all processes: from the first beginning to the last end."""
    known = [part for part in parts if part is not None]
    return StageResult(
        name=known[0].name,
        began=min(part.began for part in known),
        ended=max(part.ended for part in known),
        ended_by=known[0].ended_by,
        planned=sum(part.planned for part in known),
        sent=sum(part.sent for part in known),
        followed=sum(part.followed for part in known),
    )


def merge_results(reports: WorkerReports, workers: int, log: IO[str]) -> LoadResult:
    """The result of the whole load: it ends with the last worker, and for the worst of their reasons. Raises
    TargetError if no worker reported a result."""
    results = list(reports.results.values())
    if not results:
        raise TargetError(f"every worker process died or was ended; they printed:\n{end_of(log) or 'nothing'}")
    reasons: list[StoppedBy] = [result.stopped_by for result in results]
    if len(results) < workers:
        reasons.append("worker")
    if reports.ended:
        reasons.append("silent worker")
    return LoadResult(
        stages=tuple(map(merge_stages, zip_longest(*(result.stages for result in results)))),
        stopped_by=max(reasons, key=get_args(StoppedBy).index),
        because=next((result.because for result in results if result.because), None),
        error=next((result.error for result in results if result.error), None),
        mistake=next((result.mistake for result in results if result.mistake), None),
    )
