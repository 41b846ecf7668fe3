"""One of several processes that carry a load: `python -m bench.load.worker`, given its order on standard input.

It is a Locust worker. Its master says when to begin and when to stop; it writes its records and its health to
files of its own, line by line, and says how it went at the end. Its standard input stays open for as long as its
master lives: when that ends, however it does, so does the worker, at once.
"""

from __future__ import annotations

import os
import pickle
import sys
from dataclasses import asdict
from typing import Any

import gevent
from gevent.event import Event
from gevent.monkey import get_original

from bench.load.connections import NoRoomError, caller_for, scrub_for
from bench.load.job import Order
from bench.load.keys import give
from bench.load.line import worker_on_line
from bench.load.mishaps import net_under_greenlets
from bench.load.runner import carried, carry, listening, prepared
from bench.load.session import Progress
from bench.records import RecordWriter, file_of
from bench.targets.keys import key_commands, targets_of
from bench.wire.clock import KernelClock


def main() -> None:
    order: Order = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent
    get_original("_thread", "start_new_thread")(end_with_master, ())  # not a greenlet: it ends a busy worker too
    os.environ.update(order.environment)
    try:
        work(order)
    except (OSError, NoRoomError) as error:
        sys.exit(f"worker {order.worker}: {error}")


def end_with_master() -> None:
    """Wait for the end of standard input, which the master holds open, and end this process without another word."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(1)


def work(order: Order) -> None:
    """This worker's whole life."""
    job, worker, workers = order.job, order.worker, order.workers
    clock = KernelClock()
    begun, hurry = Event(), Event()
    with RecordWriter(file_of(job.folder, "records", worker, workers)) as writer:
        scrub, commands = scrub_for(job.scenario), key_commands(targets_of(job.scenario))
        caller = caller_for(job.scenario, job.urls, job.seed, job.started, scrub)
        environment, session = prepared(job, caller, writer, clock, worker=worker, workers=workers)
        runner = worker_on_line(environment, order.line)

        def begin(environment: Any, msg: Any, **_: Any) -> None:
            session.begin(msg.data["moment"])
            begun.set()

        runner.register_message("bench_begin", begin)
        runner.register_message("bench_end", lambda environment, msg, **_: session.end(msg.data["why"]))
        runner.register_message("bench_hurry", lambda environment, msg, **_: hurry.set())
        runner.register_message(
            "bench_key", lambda environment, msg, **_: give(commands[msg.data["place"]], msg.data["key"], scrub)
        )
        runner.send_message("bench_ready", {"worker": worker})  # not before: what nobody listens for is lost
        begun.wait()

        def tell(seen: Progress) -> None:
            runner.send_message("bench_progress", {"worker": worker, "seen": asdict(seen)})

        with net_under_greenlets(caller.mishaps), listening(caller, job.scenario, workers=workers):
            carry(session, job, clock, hurry, tell)
        how = asdict(carried(session))
        del how["records"]  # they are in this worker's file
        error = how.pop("error")
        how["errno"] = error and [error.errno, error.strerror, error.filename]
        runner.send_message("bench_carried", {"worker": worker, "how": how})
        gevent.sleep(0.2)  # until the message has left; the master ends us otherwise
        runner.quit()


if __name__ == "__main__":
    main()
