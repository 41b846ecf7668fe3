"""One of several processes that carry a load: `python -m bench.load.worker`, told its job on standard input.

It is a Locust worker. Its master says when to begin and when to stop; it writes its records and its health to
files of its own, line by line, and says how it went at the end.
"""

from __future__ import annotations

import pickle
import sys
from dataclasses import asdict
from typing import Any

import gevent
from gevent.event import Event

from bench.load.carrying import carried, carry, prepared
from bench.load.connecting import caller_for
from bench.load.job import Job
from bench.load.mishaps import net_under_greenlets
from bench.records import RecordWriter, file_of
from bench.wire.clock import KernelClock


def main() -> None:
    job, worker, workers, port = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent
    work(job, worker, workers, port)


def work(job: Job, worker: int, workers: int, port: int) -> None:
    """This worker's whole life."""
    clock = KernelClock()
    begun, hurry = Event(), Event()
    with RecordWriter(file_of(job.folder, "records", worker, workers)) as writer:
        caller = caller_for(job.scenario, job.url, job.seed, job.started)
        environment, session = prepared(job, caller, writer, clock, worker=worker, workers=workers)
        runner = environment.create_worker_runner("127.0.0.1", port)

        def begin(environment: Any, msg: Any, **_: Any) -> None:
            session.begin(msg.data["moment"])
            begun.set()

        runner.register_message("bench_begin", begin)
        runner.register_message("bench_end", lambda environment, msg, **_: session.end(msg.data["why"]))
        runner.register_message("bench_hurry", lambda environment, msg, **_: hurry.set())
        begun.wait()
        with net_under_greenlets(caller.mishaps):
            carry(session, job, clock, hurry, lambda seen: runner.send_message("bench_progress", asdict(seen)))
        how = asdict(carried(session))
        error = how.pop("error")
        how["errno"] = error and [error.errno, error.strerror, error.filename]
        runner.send_message("bench_carried", {"worker": worker, "how": how})
        gevent.sleep(0.2)  # until the message has left; the master ends us otherwise
        runner.quit()


if __name__ == "__main__":
    main()
