"""The load from its first request to its last: target, prompts, users, drain, and the facts of it all in a folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.load import targets
from bench.load.caller import Caller
from bench.load.carrying import Observer, carry_here
from bench.load.connecting import caller_for, check_room, transports
from bench.load.fitting import measure_fits, never_terminates
from bench.load.folder import circumstances, release_end, reserve_end, write_end, write_json
from bench.load.job import Carried, Job
from bench.load.mishaps import UNFORESEEN, MishapError
from bench.load.recorder import Recorder
from bench.load.recording import RunClock, Slot
from bench.load.targets import Served
from bench.load.users import arrivals
from bench.load.workers import carry_by_workers
from bench.plan import Draw, Fits, Planned, Scenario, Target, redacted, secrets, shown_url
from bench.plan.repetition import file_digests, kept_fits
from bench.records import End, Record, RecordWriter
from bench.wire.clock import KernelClock
from bench.wire.transport import Transport


def run_load(
    scenario: Scenario,
    folder: Path,
    *,
    draw: Draw,
    source: str,
    observer: Observer,
    certificate: dict[str, Any] | None = None,
) -> None:
    """Put the scenario's load on its target; leave run.json, records, health and end.json in `folder`.

    `certificate` is this machine's calibration, where it has one. Raises NoRoomError where the system's limits are too
    low for the load, TargetError where an embedded target does not start, OSError where the disk refuses a record,
    MishapError where we made a mistake ourselves.
    """
    check_room(scenario.load)
    with serving(scenario) as served, room_for_end(folder):
        url = served.url
        facts = describe(scenario, draw, source=source, url=url) | {"certificate": certificate}
        write_json(folder / "run.json", facts)
        clock = KernelClock()
        with RecordWriter(folder / "records.jsonl") as writer:
            caller = caller_for(scenario, url, draw.seed, time.monotonic())
            new_transport = transports(scenario, clock)
            fits, unterminated = draw.fits, draw.unterminated
            if fits is None:
                fits, probes = learn_fits(scenario, draw, caller, new_transport(), writer, observer)
                unterminated = never_terminates(probes)
            if scenario.target.terminator is None and unterminated:
                target = scenario.target.model_copy(update={"terminator": "optional"})
                scenario = scenario.model_copy(update={"target": target})
                caller = replace(caller, terminator_optional=True)
            facts |= {"prompt_fits": kept_fits(fits), "terminator": scenario.target.terminator or "required"}
            write_json(folder / "run.json", facts)
            job = Job(scenario, draw.seed, draw.nonce_seed, fits, url, folder, started=caller.clock.started)
            carry = carry_by_workers if scenario.load.processes > 1 else carry_here
            try:
                carried = carry(job, caller, writer, clock, observer, served.alive)
            except OSError:
                raise
            except targets.TargetError as error:  # it tells what worker processes said
                raise targets.TargetError(caller.provider.scrub(str(error))) from None
            except UNFORESEEN as error:
                raise MishapError(caller.mishaps.add("carrying the load", error)) from None
        clock.close()
        write_end(folder, ending(job, carried))
        if carried.error is not None:
            raise carried.error
        if carried.mistake is not None:
            raise MishapError(carried.mistake)


@contextmanager
def room_for_end(folder: Path) -> Iterator[None]:
    """Room on the disk for end.json, held for as long as records are written."""
    reserve_end(folder)
    try:
        yield
    finally:
        release_end(folder)


@contextmanager
def serving(scenario: Scenario) -> Iterator[Served]:
    """The scenario's target, for as long as it is needed."""
    with serving_target(scenario.target, embeddings=scenario.requests[0].api == "embeddings") as served:
        yield served


@contextmanager
def serving_target(target: Target, *, embeddings: bool = False) -> Iterator[Served]:
    """A target, for as long as it is needed; an embedded one is started, and stopped afterwards."""
    if target.kind == "simulator":
        with targets.simulator(target.simulator or {}) as served:
            yield served
    elif target.kind == "llama.cpp":
        with targets.llama_cpp(slots=targets.LLAMA_SLOTS, embeddings=embeddings) as served:
            yield served
    else:
        assert target.url is not None
        yield Served(target.url)


def learn_fits(
    scenario: Scenario, draw: Draw, caller: Caller, transport: Transport, writer: RecordWriter, observer: Observer
) -> tuple[Fits, list[Record]]:
    """Ask the target how it counts tokens; these requests are recorded as a stage of their own, and given back."""
    probes: list[Record] = []

    def ask(planned: Planned) -> Record:
        slot = Slot(stage="fit", worker=0, user=0, due=None)
        record = recorder.record(planned, slot, caller.send(planned, slot, transport))
        probes.append(record)
        return record

    recorder = Recorder(caller, writer)
    try:
        fits = measure_fits(scenario, ask, seed=draw.seed, nonce_seed=draw.nonce_seed, warn=observer.warn)
    finally:
        recorder.close()
        transport.close()
    if caller.mishaps.first is not None:
        raise MishapError(caller.mishaps.first)
    return fits, probes


def describe(scenario: Scenario, draw: Draw, *, source: str, url: str) -> dict[str, Any]:
    """run.json: what was asked, of whom, where and with what."""
    return {
        "schema": 1,
        "scenario": redacted(scenario),
        "scenario_file": source,
        "seed": draw.seed,
        "nonce_seed": draw.nonce_seed,
        "repeats": draw.repeats,
        "files": file_digests(scenario),
        "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "target": {"kind": scenario.target.kind, "url": shown_url(scenario, url)},
    } | circumstances(secrets(scenario))


def ending(job: Job, carried: Carried) -> End:
    clock = RunClock(job.started)
    return End(
        duration_s=clock.at(time.monotonic()),
        load_started=clock.at(carried.began),
        measure=(clock.at(carried.measure_from), clock.at(carried.ended)),
        planned=planned(job, carried),
        sent=carried.sent,
        stopped_by=carried.stopped_by,
    )


def planned(job: Job, carried: Carried) -> int:
    """The measured requests that should have been begun by the time the load ended."""
    load = job.scenario.load
    if load.rate is not None:
        dues = arrivals(load, job.seed, carried.began)
        return sum(stage == "measure" and due <= carried.ended for stage, _, due in dues) + carried.followed
    if load.requests is None or carried.stopped_by != "requests":
        return carried.sent
    return load.requests + carried.followed
