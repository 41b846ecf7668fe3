"""The load from its first request to its last: target, prompts, users, drain, and the facts of it all in a folder."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.load.caller import Caller
from bench.load.connections import NoRoomError, Urls, caller_for, scrub_for, transports
from bench.load.folder import circumstances, release_end, reserve_end, write_end, write_json
from bench.load.job import Job
from bench.load.keys import renewed_keys
from bench.load.mishaps import UNFORESEEN, MishapError, interrupts_without_traceback
from bench.load.performer import Performer, StoppedError
from bench.load.runner import Observer, listening
from bench.plan import Draw, Learned, Scenario, Steps, Target, redacted, secrets, shown_url
from bench.plan.repetition import file_digests, kept_fits
from bench.records import RecordWriter
from bench.targets.keys import targets_of
from bench.targets.servers import Served, TargetError, serving_target
from bench.wire.clock import KernelClock


@dataclass(frozen=True, slots=True)
class Serving:
    """The targets of a scenario."""

    urls: Urls
    servers: tuple[Served, ...]

    def alive(self) -> bool:
        """Whether none that was started here has ended."""
        return all(server.alive() for server in self.servers)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a target, as the steps that find it out."""

    learn: Steps[Learned]  # how the target counts, where the draw does not know that
    ask: Steps[None]  # the experiment


def run_load(
    scenario: Scenario,
    folder: Path,
    question: Question,
    *,
    draw: Draw,
    source: str,
    observer: Observer,
    certificate: dict[str, Any] | None = None,
    keep_going: bool = False,
) -> None:
    """Perform a question's steps on its target; leave run.json, steps, records, health and end.json in `folder`.

    `certificate` is this machine's calibration, where it has one. With `keep_going`, first requests that all fail do
    not end it.

    Raises NoRoomError if the system's limits are too low for the load, TargetError if an embedded target does not
    start, OSError if the disk refuses a record, MishapError if we made a mistake ourselves.
    """
    interrupts_without_traceback()
    gc.freeze()  # what was imported is no garbage: the search for it before each load need not go there
    with serving(scenario) as served, room_for_end(folder):
        facts = describe(scenario, draw, source=source, urls=served.urls) | {"certificate": certificate}
        write_json(folder / "run.json", facts)
        clock, scrub = KernelClock(), scrub_for(scenario)
        keys = renewed_keys(targets_of(scenario), scrub, observer.warn)
        with RecordWriter(folder / "records.jsonl") as writer, keys:
            caller = caller_for(scenario, served.urls, draw.seed, time.monotonic(), scrub)
            job = Job(scenario, draw.seed, draw.nonce_seed, {}, served.urls, folder, caller.clock.started, keep_going)
            new_transport = transports(scenario, clock)
            performer = Performer(job, caller, writer, clock, observer, new_transport=new_transport, alive=served.alive)
            with end_of(performer, caller) as refused:
                learned = performer.perform(question.learn) if draw.learned is None else draw.learned
                for doubt in learned.doubts if draw.learned is None else ():
                    observer.warn(doubt)
                scenario = performer.knows(learned)
                found = {"prompt_fits": kept_fits(learned.fits), "terminator": scenario.target.terminator or "required"}
                write_json(folder / "run.json", facts | found)
                with listening(caller, scenario):
                    performer.perform(question.ask)
        clock.close()
        write_end(folder, performer.end())
        if refused:
            raise refused[0]
        if performer.mistake is not None:
            raise MishapError(performer.mistake)


@contextmanager
def end_of(performer: Performer, caller: Caller) -> Iterator[list[OSError]]:
    """From the first request to the end of a run, whatever that is; yields a list that the disk's error is put into if
    it refused a record. Raises NoRoomError, TargetError, MishapError."""
    refused: list[OSError] = []
    try:
        yield refused
    except StoppedError:
        pass
    except OSError as error:
        refused.append(error)
    except NoRoomError:
        raise
    except TargetError as died:  # it tells what worker processes said
        raise TargetError(caller.provider.scrub(str(died))) from None
    except UNFORESEEN as unforeseen:
        raise MishapError(caller.mishaps.add("performing the load", unforeseen)) from None
    finally:
        performer.close()


@contextmanager
def room_for_end(folder: Path) -> Iterator[None]:
    """Room on the disk for end.json, held for as long as records are written."""
    reserve_end(folder)
    try:
        yield
    finally:
        release_end(folder)


@contextmanager
def serving(scenario: Scenario) -> Iterator[Serving]:
    """The scenario's target and those of its arms, for as long as they are needed; equal ones are served once."""
    with ExitStack() as stack:
        found: list[tuple[Target, bool, Served]] = []

        def served(one: Scenario) -> Served:
            embeddings = one.requests[0].api == "embeddings"
            for target, same, known in found:
                if (target, same) == (one.target, embeddings):
                    return known
            new = stack.enter_context(serving_target(one.target, embeddings=embeddings))
            found.append((one.target, embeddings, new))
            return new

        urls = {None: served(scenario).url} | {name: served(arm).url for name, arm in scenario.arms.items()}
        yield Serving(urls, tuple(one for _, _, one in found))


def describe(scenario: Scenario, draw: Draw, *, source: str, urls: Urls) -> dict[str, Any]:
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
        "target": {"kind": scenario.target.kind, "url": shown_url(scenario, urls[None])},
        "arms": {
            name: {"kind": arm.target.kind, "url": shown_url(scenario, urls[name])}
            for name, arm in scenario.arms.items()
        },
    } | circumstances(secrets(scenario))
