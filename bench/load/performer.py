"""The steps of an experiment, performed one after the other. What knows Locust is behind `carry`; what knows the
question is in the generator."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import gevent

from bench.load.caller import Caller
from bench.load.connections import check_room
from bench.load.first_requests import HOPELESS
from bench.load.job import Carried, Job, Performed
from bench.load.record_builder import Slot
from bench.load.recorder import Recorder
from bench.load.runner import Observer, carry_here
from bench.load.workers import carry_by_workers
from bench.plan import Burst, Learned, Note, Planned, Result, Scenario, Stage, Steps, Wait
from bench.plan.inquiry import Inquiry
from bench.records import End, Record, RecordWriter, StepLine, StepWriter, files_of, read_records
from bench.wire.clock import KernelClock
from bench.wire.transport import Transport

STOPPED = ("interrupt", "disk", "mistake", "target", "worker", "silent worker", "refused", "budget", "quota")
"""What ends a run before its last step."""


class StoppedError(Exception):
    """The run was ended before the experiment was; the message is the word that says why."""


class Performer:
    """Performs steps for one run. `job` says what all of them share."""

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
        self.stopped_by = "duration"
        self.because: str | None = None  # where the target refused everything: what it said
        self.mistake: str | None = None  # our own, where one ended the run
        self._caller, self._writer, self._clock, self._observer = caller, writer, clock, observer
        self._new_transport, self._alive = new_transport, alive
        self._lines = StepWriter(job.folder)
        self.measured: list[StepLine] = []  # the measured stages so far
        self.load_started: float | None = None  # when the first stage began, s of the run
        self._stages_before = {True: 0, False: 0}  # measured ones and others

    def perform(self, steps: Steps[Result]) -> Result:
        """An experiment from its first step to what it returns. Raises StoppedError if it is ended before."""
        chains = chained(steps)
        try:
            step = next(chains)
            while True:
                if isinstance(step, tuple):
                    job = self._job_of(step)
                    carry = carry_by_workers if job.scenario.processes > 1 else carry_here
                    carried = carry(job, self._caller, self._writer, self._clock, self._observer, self._alive)
                    step = chains.send(self._ended(job, carried))
                else:
                    step = chains.send(self._other(step))
        except StopIteration as end:
            result: Result = end.value
            return result

    def knows(self, learned: Learned) -> Scenario:
        """Go on with what was learned about the target; returns the scenario with it."""
        scenario = self.job.scenario
        if scenario.target.terminator is None and learned.unterminated:
            target = scenario.target.model_copy(update={"terminator": "optional"})
            scenario = scenario.model_copy(update={"target": target})
            arms = {name: replace(arm, terminator_optional=True) for name, arm in self._caller.arms.items()}
            self._caller = replace(self._caller, terminator_optional=True, arms=arms)
        self.job = replace(self.job, scenario=scenario, fits=learned.fits)
        return scenario

    def close(self) -> None:
        self._lines.close()

    def end(self) -> End:
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
        )

    # -- stages ---------------------------------------------------------------------------------------

    def _job_of(self, stages: tuple[Stage, ...]) -> Job:
        """The job of stages that go on without a pause. Raises NoRoomError if the system's limits are too low."""
        job = replace(self.job, stages=stages, salts=tuple(map(self._salt, stages)))
        check_room(job.most_users, job.scenario.processes)
        return job

    def _ended(self, job: Job, carried: Carried) -> list[Record]:
        """Note what a job came to; the records that its stages return. Raises StoppedError, OSError."""
        for stage, performed in zip(job.stages, carried.stages, strict=False):
            self._note(stage, performed, carried)
        self._stop(carried)
        if job.scenario.processes > 1:
            return records_of(job.folder, {stage.name for stage in job.stages if stage.returns})
        return list(carried.records)

    def _salt(self, stage: Stage) -> int:
        """What is added to the seeds of a stage, so that it does not put the prompts of another into the server's
        cache: not those of this run, nor, since a scenario's seed is smaller, those of a run with the next seed. It
        depends on the stages of its own sort alone: a warm-up more or less leaves the measured prompts as they are."""
        before = self._stages_before[stage.measured]
        self._stages_before[stage.measured] += 1
        return (2 * before + (not stage.measured)) * 2**32

    def _stop(self, carried: Carried) -> None:
        self.stopped_by, self.because, self.mistake = carried.stopped_by, carried.because, carried.mistake
        if carried.because is not None:
            self._observer.warn(f"stopped: {carried.because}; --keep-going goes on all the same")
        if carried.error is not None:
            raise carried.error
        if carried.stopped_by in STOPPED:
            raise StoppedError(carried.stopped_by)

    def _note(self, stage: Stage, performed: Performed, carried: Carried) -> None:
        at = self._caller.clock.at
        level = stage.users or stage.rate
        line = StepLine(
            kind="stage",
            name=stage.name,
            measured=stage.measured,
            began=at(performed.began),
            ended=at(performed.ended),
            ended_by=carried.stopped_by if performed.ended_by == "stopped" else performed.ended_by,
            planned=performed.planned + performed.followed,
            sent=performed.sent,
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

    def _other(self, step: Burst | Wait | Note) -> list[Record]:
        if isinstance(step, Burst):
            return self._burst(step)
        if isinstance(step, Note):
            self._observer.note(step.text)
            return []
        return self._wait(step)

    def _burst(self, burst: Burst) -> list[Record]:
        """Send each request when it is due, unless an answer ends the burst before; wait for all their answers."""
        expenses = self._caller.expenses
        if expenses is not None and not burst.until and not expenses.reserve(*burst.requests):
            raise self._spent()
        transport, recorder = self._new_transport(), Recorder(self._caller, self._writer)
        began = time.monotonic()

        ended = spent = False

        def send(place: int, planned: Planned) -> Record | None:
            nonlocal ended, spent
            due = began + place * burst.spacing
            gevent.sleep(max(0.0, due - time.monotonic()))
            if expenses is not None and burst.until and not ended and not expenses.reserve(planned):
                ended = spent = True
            if ended:
                return None
            slot = Slot(stage=burst.name, worker=0, user=0, due=due if burst.spacing else None)
            record = recorder.record(planned, slot, self._caller.send(planned, slot, transport))
            ended = ended or record.outcome in burst.until
            return record

        try:
            sending = [gevent.spawn(send, *place) for place in enumerate(burst.requests)]
            gevent.joinall(sending, raise_error=True)
        finally:
            recorder.close()
            transport.close()
        records = [record for one in sending if (record := one.get()) is not None]
        self._note_plain("burst", burst.name, began, len(records), planned=len(burst.requests))
        if isinstance(self.job.scenario, Inquiry) and (found := hopeless(records)) is not None:
            self.stopped_by, self.because = found
            self._observer.warn(f"stopped: {self.because}")
            raise StoppedError(self.stopped_by)
        if spent:
            raise self._spent()
        return records

    def _spent(self) -> StoppedError:
        """The budget has no room for what comes next."""
        self.stopped_by = "budget"
        return StoppedError("budget")

    def _wait(self, wait: Wait) -> list[Record]:
        began, expenses = time.monotonic(), self._caller.expenses
        until = began + wait.seconds
        if expenses is not None and expenses.deadline < until:
            raise self._spent()
        gevent.sleep(wait.seconds)
        self._note_plain("wait", "", began, 0)
        return []

    def _note_plain(self, kind: str, name: str, began: float, sent: int, *, planned: int | None = None) -> None:
        at = self._caller.clock.at
        planned = sent if planned is None else planned
        ended_by = "duration" if kind == "wait" else "requests" if sent == planned else "answer"
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


def chained(
    steps: Steps[Result],
) -> Generator[tuple[Stage, ...] | Burst | Wait | Note, list[Record], Result]:
    """The same steps, but stages that go on without a pause as one."""
    chain: list[Stage] = []
    try:
        step = next(steps)
        while True:
            if isinstance(step, Stage):
                chain.append(step)
                if step.drain is None and not step.returns:
                    step = steps.send([])
                    continue
                performed, chain = tuple(chain), []
                step = steps.send((yield performed))
            else:
                if chain:
                    performed, chain = tuple(chain), []
                    yield performed
                step = steps.send((yield step))
    except StopIteration as end:
        if chain:
            yield tuple(chain)
        result: Result = end.value
        return result


def hopeless(records: Sequence[Record]) -> tuple[str, str] | None:
    """What the answers of a burst say against going on, as the word and the reason: money that is used up, or a target
    that refuses everything; None if nothing does."""
    spent = next((record for record in records if record.outcome == "quota"), None)
    if spent is not None:
        return "quota", f"the provider says that waiting does not help: {spent.error}"
    if records and all(record.outcome in HOPELESS for record in records):
        return "refused", f"every request of a burst failed, the first so: {records[0].outcome}: {records[0].error}"
    return None


def records_of(folder: Path, names: Iterable[str]) -> list[Record]:
    """The records of these stages, in the order of their ends, out of the files of several processes."""
    wanted = set(names)
    if not wanted:
        return []
    found = [one for path in files_of(folder, "records") for one in read_records(path) if one.stage in wanted]
    return sorted(found, key=lambda record: record.done)
