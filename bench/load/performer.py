"""Performs the steps of an experiment one after the other and gives it the records of each. `runner` and `workers` know
Locust; the experiment's generator knows the question."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import get_args

import gevent
from gevent.event import Event

from bench.load.burst import BurstSender
from bench.load.caller import Caller
from bench.load.connections import check_room
from bench.load.first_requests import HOPELESS
from bench.load.job import DRAIN_S, Job, LoadResult, StageResult
from bench.load.recorder import Recorder
from bench.load.runner import Observer, interrupts, run_here
from bench.load.worker_processes import WorkerProcesses
from bench.load.workers import run_in_workers
from bench.plan import Burst, Learned, Note, Result, Scenario, Stage, Steps, Wait
from bench.plan.inquiry import Inquiry
from bench.records import End, Record, RecordWriter, StepLine, StepWriter, StoppedBy, files_of, read_records
from bench.wire.clock import KernelClock
from bench.wire.exchange import Failure
from bench.wire.transport import Transport

STOPPED = frozenset(get_args(StoppedBy)) - {"duration", "requests"}
"""The reasons that end a run before its last step."""


class StoppedError(Exception):
    """The run ended before its experiment did; the message is one of STOPPED."""


@dataclass(frozen=True, slots=True)
class StepEnd:
    """What ends one step early."""

    over: Event = field(default_factory=Event)  # no more requests start, and nothing is waited for
    pressed: Event = field(default_factory=Event)  # by Ctrl-C
    hurry: Event = field(default_factory=Event)  # by a second one: answers are not waited for either

    def set(self) -> None:
        """Ctrl-C was pressed."""
        self.pressed.set()
        self.over.set()


class Performer:
    """Performs steps for one run. `job` is what all of them share."""

    def __init__(
        self,
        job: Job,
        caller: Caller,
        writer: RecordWriter,
        clock: KernelClock,
        observer: Observer,
        *,
        new_transport: Callable[[], Transport],
        alive: Callable[[], bool],
    ) -> None:
        self.job = job
        self.stopped_by: StoppedBy = "duration"
        self.because: str | None = None  # for "refused" and "quota": how the requests failed
        self.mistake: str | None = None  # a mistake in bench that ended the run
        self._caller, self._writer, self._clock, self._observer = caller, writer, clock, observer
        self._new_transport, self._alive = new_transport, alive
        self._patience = DRAIN_S  # s that the answers of a burst are waited for after Ctrl-C
        self._lines = StepWriter(job.folder)
        self._workers = WorkerProcesses() if job.scenario.processes > 1 else None
        self.measured: list[StepLine] = []  # the measured stages so far
        self.load_started: float | None = None  # when the first stage began, s of the run
        self._stages_before = {True: 0, False: 0}  # number of stages so far: measured ones, and others

    def perform(self, steps: Steps[Result], *, patience: float = DRAIN_S) -> Result:
        """Perform an experiment and return its result. After Ctrl-C in a burst its answers are waited for at most
        `patience` s. Raises StoppedError if the run ends before."""
        chains, self._patience = with_chains(steps), patience
        try:
            step = next(chains)
            while True:
                if isinstance(step, tuple):
                    job = self._job_of(step)
                    run = run_here if self._workers is None else partial(run_in_workers, self._workers)
                    result = run(job, self._caller, self._writer, self._clock, self._observer, self._alive)
                    step = chains.send(self._note_result(job, result))
                else:
                    step = chains.send(self._other_step(step))
        except StopIteration as end:
            value: Result = end.value
            return value
        except KeyboardInterrupt:  # between two steps
            raise self._stopped("interrupt") from None

    def use(self, learned: Learned) -> Scenario:
        """Use what was learned about the target for the next steps. Returns the scenario that includes it."""
        scenario = self.job.scenario
        if scenario.target.terminator is None and learned.unterminated:
            target = scenario.target.model_copy(update={"terminator": "optional"})
            scenario = scenario.model_copy(update={"target": target})
            arms = {name: replace(arm, terminator_optional=True) for name, arm in self._caller.arms.items()}
            self._caller = replace(self._caller, terminator_optional=True, arms=arms)
        self.job = replace(self.job, scenario=scenario, fits=learned.fits)
        return scenario

    def close(self) -> None:
        if self._workers is not None:
            self._workers.close()
        self._lines.close()

    def end(self, key_warnings: tuple[str, ...] = ()) -> End:
        """How the run ended, for end.json."""
        now = self._caller.clock.at(time.monotonic())
        started = now if self.load_started is None else self.load_started
        window = (self.measured[0].began, self.measured[-1].ended) if self.measured else (now, now)
        return End(
            duration_s=now,
            load_started=started,
            measure=window,
            planned=sum(line.planned for line in self.measured),
            sent=sum(line.sent for line in self.measured),
            stopped_by=self.stopped_by,
            because=self.because,
            key_warnings=key_warnings,
        )

    # -- stages ---------------------------------------------------------------------------------------

    def _job_of(self, stages: tuple[Stage, ...]) -> Job:
        """The job of a chain of stages. Raises NoRoomError if the system's limits are too low."""
        job = replace(self.job, stages=stages, salts=tuple(map(self._salt, stages)))
        check_room(job.most_users, job.scenario.processes)
        return job

    def _note_result(self, job: Job, result: LoadResult) -> list[Record]:
        """Note the result of a job. Returns the records that its stages return. Raises StoppedError, OSError."""
        for stage, stage_result in zip(job.stages, result.stages, strict=False):
            self._note_stage(stage, stage_result, result)
        self._stop_after(result)
        if job.scenario.processes > 1:
            return records_of(job.folder, {stage.name for stage in job.stages if stage.returns})
        return list(result.records)

    def _salt(self, stage: Stage) -> int:
        """The number that is added to the seeds of a stage, so that every stage has its own prompts and finds none in
        the server's cache. It also differs from every stage of a run with the next seed, because a scenario's seed is
        smaller than the salts. Measured stages and others count separately: one more warm-up stage does not change the
        measured prompts."""
        before = self._stages_before[stage.measured]
        self._stages_before[stage.measured] += 1
        return (2 * before + (not stage.measured)) * 2**32

    def _stop_after(self, result: LoadResult) -> None:
        """Note why the load ended. Raises StoppedError or OSError if the run must end too."""
        self.stopped_by, self.because, self.mistake = result.stopped_by, result.because, result.mistake
        if result.because is not None:
            self._observer.warn(f"stopped: {result.because}; use --keep-going to go on anyway")
        if result.error is not None:
            raise result.error
        if result.stopped_by in STOPPED:
            raise StoppedError(result.stopped_by)

    def _note_stage(self, stage: Stage, stage_result: StageResult, result: LoadResult) -> None:
        at = self._caller.clock.at
        level = stage.users or stage.rate
        line = StepLine(
            kind="stage",
            name=stage.name,
            measured=stage.measured,
            began=at(stage_result.began),
            ended=at(stage_result.ended),
            ended_by=result.stopped_by if stage_result.ended_by == "stopped" else stage_result.ended_by,
            planned=stage_result.planned + stage_result.followed,
            sent=stage_result.sent,
            users=None if stage.users is None else stage.users.end,
            rate=None if stage.rate is None else stage.rate.end,
            arrivals=None if stage.rate is None else stage.arrivals,
            ramp_s=0.0 if level is None else level.seconds,
        )
        self._lines.append(line)
        if self.load_started is None:
            self.load_started = line.began
        if stage.measured:
            self.measured.append(line)

    # -- bursts, waits and notes ----------------------------------------------------------------------

    def _other_step(self, step: Burst | Wait | Note) -> list[Record]:
        """Perform a step that is no stage. Raises StoppedError if Ctrl-C or the budget ends the run."""
        if isinstance(step, Note):
            self._observer.note(step.text)
            return []
        stop = StepEnd()
        with interrupts(stop.set, stop.pressed, stop.hurry):
            records = self._burst(step, stop) if isinstance(step, Burst) else self._wait(step, stop)
        if stop.pressed.is_set():
            raise self._stopped("interrupt")
        return records

    def _burst(self, burst: Burst, stop: StepEnd) -> list[Record]:
        """Send each request when it is due, unless an answer, Ctrl-C or the budget ends the burst first. Then wait for
        all answers."""
        expenses = self._caller.expenses
        if expenses is not None and not burst.until and not expenses.reserve(*burst.requests):
            raise self._stopped("budget")
        transport, recorder = self._new_transport(), Recorder(self._caller, self._writer)
        sender = BurstSender(burst, self._caller, transport, recorder, stop.over)
        late = gevent.spawn(self._abort_late, transport, stop)
        try:
            records = sender.send_all()
        finally:
            late.kill()
            recorder.close()
            transport.close()
        early: StoppedBy | None = "budget" if sender.spent else "interrupt" if stop.pressed.is_set() else None
        self._note_step("burst", burst.name, sender.began, len(records), planned=len(burst.requests), early=early)
        if isinstance(self.job.scenario, Inquiry) and (found := hopeless(records)) is not None:
            why, self.because = found
            self._observer.warn(f"stopped: {self.because}")
            raise self._stopped(why)
        if sender.spent:
            raise self._stopped("budget")
        return records

    def _abort_late(self, transport: Transport, stop: StepEnd) -> None:
        """After Ctrl-C give up on answers that take too long, or at once at the second Ctrl-C."""
        stop.pressed.wait()
        stop.hurry.wait(self._patience)
        self._caller.given_up.set()
        why = f"still unanswered when the run ended, at most {self._patience:g} s after Ctrl-C"
        transport.abort(Failure("censored", why))

    def _stopped(self, why: StoppedBy) -> StoppedError:
        """The error that ends the run before its last step."""
        self.stopped_by = why
        return StoppedError(why)

    def _wait(self, wait: Wait, stop: StepEnd) -> list[Record]:
        began, expenses = time.monotonic(), self._caller.expenses
        until = began + wait.seconds
        if expenses is not None and expenses.deadline < until:
            raise self._stopped("budget")
        stop.over.wait(wait.seconds)
        self._note_step("wait", "", began, 0, early="interrupt" if stop.pressed.is_set() else None)
        return []

    def _note_step(
        self, kind: str, name: str, began: float, sent: int, *, planned: int | None = None, early: str | None = None
    ) -> None:
        """Note a step; `early` says what ended it before its end, if that was no answer."""
        at = self._caller.clock.at
        planned = sent if planned is None else planned
        ended_by = early or ("duration" if kind == "wait" else "requests" if sent == planned else "answer")
        line = StepLine(
            kind="wait" if kind == "wait" else "burst",
            name=name,
            measured=False,
            began=at(began),
            ended=at(time.monotonic()),
            ended_by=ended_by,
            planned=planned,
            sent=sent,
        )
        self._lines.append(line)


def with_chains(
    steps: Steps[Result],
) -> Generator[tuple[Stage, ...] | Burst | Wait | Note, list[Record], Result]:
    """The same steps; stages that follow each other without a pause come together as one tuple."""
    chain: list[Stage] = []
    try:
        step = next(steps)
        while True:
            if isinstance(step, Stage):
                chain.append(step)
                if step.drain is None and not step.returns:
                    step = steps.send([])
                    continue
                stages, chain = tuple(chain), []
                step = steps.send((yield stages))
            else:
                if chain:
                    stages, chain = tuple(chain), []
                    yield stages
                step = steps.send((yield step))
    except StopIteration as end:
        if chain:
            yield tuple(chain)
        result: Result = end.value
        return result


def hopeless(records: Sequence[Record]) -> tuple[StoppedBy, str] | None:
    """Why the answers of a burst make it useless to go on, as a reason and a sentence; None if they do not.

    Either the money is used up, or the target refuses everything.
    """
    spent = next((record for record in records if record.outcome == "quota"), None)
    if spent is not None:
        return "quota", f"the provider says that waiting does not help: {spent.error}"
    if records and all(record.outcome in HOPELESS for record in records):
        return "refused", f"every request of a burst failed, the first with {records[0].outcome}: {records[0].error}"
    return None


def records_of(folder: Path, names: Iterable[str]) -> list[Record]:
    """The records of these stages in the order of their ends, from the files of all processes."""
    wanted = set(names)
    if not wanted:
        return []
    lines = (record for path in files_of(folder, "records") for record in read_records(path))
    return sorted((record for record in lines if record.stage in wanted), key=lambda record: record.done)
