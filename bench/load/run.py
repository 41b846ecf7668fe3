"""One run: starts the target, performs the steps of a question, and leaves the facts in a folder."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from bench.load.caller import Caller
from bench.load.connections import NoRoomError, Urls, caller_for, scrub_for, transports
from bench.load.folder import (
    RunFile,
    command_line,
    git_commit,
    machine,
    release_end,
    reserve_end,
    versions,
    write_end,
    write_run,
)
from bench.load.job import Job
from bench.load.keys import renewed_keys
from bench.load.mishaps import UNFORESEEN, MishapError, interrupts_without_traceback
from bench.load.performer import Performer, StoppedError
from bench.load.runner import Observer, listening
from bench.plan import Draw, Learned, Scenario, Steps, Target, redacted, secrets, shown_url
from bench.plan.repetition import file_digests, kept_fits
from bench.plan.steps import StepsError
from bench.records import RecordWriter, TargetAddress
from bench.targets.keys import targets_of
from bench.targets.servers import Served, TargetError, serving_target
from bench.wire.clock import KernelClock


@dataclass(frozen=True, slots=True)
class Serving:
    """The targets of a scenario."""

    urls: Urls
    servers: tuple[Served, ...]

    def alive(self) -> bool:
        """Whether all servers that were started here still run."""
        return all(server.alive() for server in self.servers)


@dataclass(frozen=True, slots=True)
class Question:
    """The steps of a run."""

    learn: Steps[Learned]  # find out how the target counts tokens; not needed if the draw already knows it
    ask: Steps[None]  # the experiment


def run_load(
    scenario: Scenario,
    folder: Path,
    question: Question,
    *,
    draw: Draw,
    source: str,
    observer: Observer,
    certificate: Mapping[str, object] | None = None,
    keep_going: bool = False,
) -> None:
    """Perform a question's steps on its target. Leaves run.json, steps, records, health and end.json in `folder`.

    `certificate` is this machine's calibration, or None. With `keep_going` the run goes on even if all first requests
    fail.

    Raises NoRoomError if the system's limits are too low for the load, TargetError if an embedded target does not
    start, OSError if the disk refuses a record, StepsError if the steps of a user's own question fail, MishapError if
    there is a mistake in bench.
    """
    interrupts_without_traceback()
    gc.freeze()  # imported modules are not garbage, so the collector need not look at them before each load
    with serving(scenario) as served, room_for_end(folder):
        content = run_file(scenario, draw, source=source, urls=served.urls, certificate=certificate)
        write_run(folder, content)
        clock, scrub = KernelClock(), scrub_for(scenario)
        key_warnings: list[str] = []
        keys = renewed_keys(targets_of(scenario), scrub, noted(key_warnings, observer.warn))
        with RecordWriter(folder / "records.jsonl") as writer, keys:
            caller = caller_for(scenario, served.urls, draw.seed, time.monotonic(), scrub)
            job = Job(scenario, draw.seed, draw.nonce_seed, {}, served.urls, folder, caller.clock.started, keep_going)
            new_transport = transports(scenario, clock)
            performer = Performer(job, caller, writer, clock, observer, new_transport=new_transport, alive=served.alive)
            with end_of(performer, caller) as errors:
                learned = learn(performer, question, observer) if draw.learned is None else draw.learned
                scenario = performer.use(learned)
                terminator = scenario.target.terminator or "required"
                write_run(folder, replace(content, prompt_fits=kept_fits(learned.fits), terminator=terminator))
                with listening(caller, scenario):
                    performer.perform(question.ask)
        clock.close()
        write_end(folder, performer.end(tuple(key_warnings)))
        if errors:
            raise errors[0]
        if performer.mistake is not None:
            raise MishapError(performer.mistake)


def noted(known: list[str], warn: Callable[[str], None]) -> Callable[[str], None]:
    """A `warn` that adds each message to `known`, too."""

    def warn_and_note(message: str) -> None:
        known.append(message)
        warn(message)

    return warn_and_note


def learn(performer: Performer, question: Question, observer: Observer) -> Learned:
    """Find out how the target counts tokens. Doubts about that are warnings. After Ctrl-C no answer is waited for: none
    of them would be in the report."""
    learned = performer.perform(question.learn, patience=0.0)
    for doubt in learned.doubts:
        observer.warn(doubt)
    return learned


@contextmanager
def end_of(performer: Performer, caller: Caller) -> Iterator[list[OSError | StepsError]]:
    """Handle every end of a run. Yields a list, to which the error is added if the disk refuses a record or the steps
    of a user's own question fail; a mistake in bench is noted. Raises NoRoomError, TargetError."""
    errors: list[OSError | StepsError] = []
    try:
        yield errors
    except StoppedError:
        pass
    except OSError as error:
        errors.append(error)
    except StepsError as failed:
        performer.stopped_by = "question"
        errors.append(StepsError(caller.provider.scrub(str(failed))))
    except NoRoomError:
        raise
    except TargetError as died:  # the message may quote what worker processes printed
        raise TargetError(caller.provider.scrub(str(died))) from None
    except UNFORESEEN as unforeseen:
        performer.stopped_by = "mistake"
        performer.mistake = caller.mishaps.add("performing the load", unforeseen)
    finally:
        performer.close()


@contextmanager
def room_for_end(folder: Path) -> Iterator[None]:
    """Reserve room on the disk for end.json while records are written."""
    reserve_end(folder)
    try:
        yield
    finally:
        release_end(folder)


@contextmanager
def serving(scenario: Scenario) -> Iterator[Serving]:
    """Serve the scenario's target and those of its arms while this is entered. Equal targets are served once."""
    with ExitStack() as stack:
        started: list[tuple[Target, bool, Served]] = []

        def served(scenario: Scenario) -> Served:
            embeddings = scenario.requests[0].api == "embeddings"
            for target, for_embeddings, server in started:
                if (target, for_embeddings) == (scenario.target, embeddings):
                    return server
            new = stack.enter_context(serving_target(scenario.target, embeddings=embeddings))
            started.append((scenario.target, embeddings, new))
            return new

        urls = {None: served(scenario).url} | {name: served(arm).url for name, arm in scenario.arms.items()}
        yield Serving(urls, tuple(server for _, _, server in started))


def run_file(
    scenario: Scenario, draw: Draw, *, source: str, urls: Urls, certificate: Mapping[str, object] | None
) -> RunFile:
    """The content of run.json before the fits are known."""
    return RunFile(
        scenario=redacted(scenario),
        scenario_file=source,
        seed=draw.seed,
        nonce_seed=draw.nonce_seed,
        repeats=draw.repeats,
        files=file_digests(scenario),
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        target=TargetAddress(scenario.target.kind, shown_url(scenario, urls[None])),
        arms={
            name: TargetAddress(arm.target.kind, shown_url(scenario, urls[name])) for name, arm in scenario.arms.items()
        },
        machine=machine(),
        versions=versions(),
        git=git_commit(),
        command=command_line(secrets(scenario)),
        certificate=certificate,
    )
