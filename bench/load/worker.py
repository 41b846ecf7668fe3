"""One worker process of a run: `python -m bench.load.worker`, with its orders on standard input.

Each order is for one chain of stages. The worker is then a Locust worker. Its master says when to begin and when to
stop. It writes its records and its health to its own files, line by line, and reports its result at the end. Its
standard input stays open while the master lives: when the master ends, for whatever reason, the worker ends at once.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections import deque
from dataclasses import asdict
from typing import Any

import gevent
from gevent.event import Event
from gevent.monkey import get_original

from bench.load.connections import NoRoomError, caller_for, scrub_for
from bench.load.job import LENGTH_BYTES, POLL_S, Order
from bench.load.keys import give
from bench.load.locust_socket import close_worker, create_worker
from bench.load.mishaps import catch_greenlet_errors
from bench.load.runner import listening, make_ready, prepare, result_of, run_session
from bench.load.session import Progress
from bench.records import RecordWriter, file_of
from bench.targets.keys import key_commands, targets_of
from bench.wire.clock import KernelClock


def main() -> None:
    orders: deque[bytes] = deque()
    get_original("_thread", "start_new_thread")(read_orders, (orders,))  # not a greenlet: it ends a busy worker too
    while True:
        while not orders:
            gevent.sleep(POLL_S)
        order: Order = pickle.loads(orders.popleft())  # noqa: S301 - from our own parent
        os.environ.update(order.environment)
        try:
            work(order)
        except (OSError, NoRoomError) as error:
            sys.exit(f"worker {order.worker}: {error}")


def read_orders(orders: deque[bytes]) -> None:
    """Read orders until the end of standard input, which the master keeps open, and end this process at once."""
    with open(sys.stdin.fileno(), "rb", closefd=False) as stream:
        while length := int.from_bytes(stream.read(LENGTH_BYTES)):
            orders.append(stream.read(length))
    os._exit(1)


def work(order: Order) -> None:
    """Perform this worker's part of the load and report the result to the master."""
    job, worker, workers = order.job, order.worker, order.workers
    clock = KernelClock()
    begun, hurry = Event(), Event()
    with RecordWriter(file_of(job.folder, "records", worker, workers)) as writer:
        scrub, commands = scrub_for(job.scenario), key_commands(targets_of(job.scenario))
        caller = caller_for(job.scenario, job.urls, job.seed, job.started, scrub)
        environment, session = prepare(job, caller, writer, clock, worker=worker, workers=workers)
        runner = create_worker(environment, order.master)

        def begin(environment: Any, msg: Any, **_: Any) -> None:
            session.begin(msg.data["moment"])
            begun.set()

        runner.register_message("bench_begin", begin)
        runner.register_message("bench_end", lambda environment, msg, **_: session.end(msg.data["why"]))
        runner.register_message("bench_agree", lambda environment, msg, **_: session.agree(**msg.data))
        session.share_ends(lambda index: runner.send_message("bench_spent", {"worker": worker, "index": index}))
        runner.register_message("bench_hurry", lambda environment, msg, **_: hurry.set())
        runner.register_message(
            "bench_key", lambda environment, msg, **_: give(commands[msg.data["place"]], msg.data["key"], scrub)
        )
        make_ready()
        runner.send_message("bench_ready", {"worker": worker})  # after the registrations: earlier messages are lost
        begun.wait()

        def report(progress: Progress) -> None:
            runner.send_message("bench_progress", {"worker": worker, "progress": asdict(progress)})

        with catch_greenlet_errors(caller.mishaps), listening(caller, job.scenario, workers=workers):
            run_session(session, job, clock, hurry, report)
        result = asdict(result_of(session))
        del result["records"]  # they are in this worker's file
        error = result.pop("error")
        result["errno"] = error and [error.errno, error.strerror, error.filename]
        runner.send_message("bench_result", {"worker": worker, "result": result})
        close_worker(runner)
    clock.close()


if __name__ == "__main__":
    main()
