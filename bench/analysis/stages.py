"""The stages of a run, as they were performed: from steps.jsonl, or for older runs from end.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import msgspec
import pandas as pd

from bench.analysis.facts import AskedLoad, NotARunError, read_bytes
from bench.plan.load import FIT, MEASURE, WARMUP
from bench.records import End, StepLine
from bench.records.file import place


def read_steps(path: Path) -> list[StepLine]:
    """Each step that was performed; none where the run has no such file. A last line that was cut short is left out.
    Raises NotARunError."""
    if not path.exists():
        return []
    remedy = "take it away to have the run read as one of an older version"
    lines, found = read_bytes(path, remedy).splitlines(keepends=True), []
    decoder = msgspec.json.Decoder(StepLine)
    for number, line in enumerate(lines, start=1):
        try:
            step = decoder.decode(line)
        except (ValueError, RecursionError) as error:
            if line.endswith(b"\n") and not line.isspace():
                raise NotARunError(f"{path}:{number}: not a step: {place(error)}; {remedy}") from None
            continue
        if step.began > step.ended:
            raise NotARunError(f"{path}:{number}: the step ends at {step.ended} s, before it begins at {step.began} s")
        found.append(step)
    return found


def stages_of(steps: Sequence[StepLine], end: End | None) -> tuple[StepLine, ...]:
    """The stages among the steps, each with the end of its window: one of so many requests is measured until the last
    of them is answered, which is when the next step begins. `end` is end.json, None if the run was killed."""
    found: list[StepLine] = []
    for step, after in zip_longest(steps, steps[1:]):
        if step.kind == "stage" and step.ended_by == "requests":
            answered = after.began if after is not None else end.duration_s if end is not None else step.ended
            found.append(replace(step, ended=max(step.ended, answered)))
        elif step.kind == "stage":
            found.append(step)
    return merged(found)


def merged(stages: Sequence[StepLine]) -> tuple[StepLine, ...]:
    """Stages of the same name as one stage, from the beginning of the first to the end of the last."""
    found: dict[str, StepLine] = {}
    for part in stages:
        known = found.get(part.name)
        found[part.name] = part if known is None else replace(
            known, ended=max(known.ended, part.ended), ended_by=part.ended_by, planned=known.planned + part.planned,
            sent=known.sent + part.sent,
        )  # fmt: skip
    return tuple(found.values())


def only_stage(end: End, load: AskedLoad) -> StepLine:
    """The measured stage of a run that has no steps.jsonl."""
    rate = None if isinstance(load.rate, tuple) else load.rate
    return StepLine(
        kind="stage",
        name=MEASURE,
        measured=True,
        began=end.measure[0],
        ended=max(end.measure[1], end.duration_s) if end.stopped_by == "requests" else end.measure[1],
        ended_by=end.stopped_by,
        planned=end.planned,
        sent=end.sent,
        users=None if isinstance(load.users, tuple) else load.users,
        rate=rate,
        arrivals=load.arrivals if load.rate is not None else None,
    )


def untold(rows: pd.DataFrame, steps: Sequence[StepLine], load: AskedLoad) -> tuple[StepLine, ...]:
    """Stages that left records and no line, since the run was killed in them, as the records have them."""
    known = {step.name for step in steps} | {FIT}
    asked = {stage.called: stage.measured for stage in load.stages}
    found = []
    for name, mine in rows[~rows["stage"].isin(list(known))].groupby("stage", observed=True):
        last, first = float(mine["done"].max()), mine["sent"].min()
        measured = asked.get(str(name), name != WARMUP and not str(name).endswith(f", {WARMUP}"))
        begun = min(last, float(first)) if pd.notna(first) else last
        line = StepLine("stage", str(name), measured, begun, last, "killed", planned=len(mine), sent=len(mine))
        found.append(line)
    return tuple(sorted(found, key=lambda line: line.began))


def killed(rows: pd.DataFrame, stages: Sequence[StepLine]) -> End:
    """The end of a load that was killed before it could write end.json."""
    measured = [stage for stage in stages if stage.measured]
    last = float(rows["done"].max()) if len(rows) else 0.0
    return End(
        duration_s=last,
        load_started=min((stage.began for stage in stages), default=last),
        measure=(measured[0].began, measured[-1].ended) if measured else (last, last),
        planned=sum(stage.planned for stage in measured),
        sent=sum(stage.sent for stage in measured),
        stopped_by="killed",
    )
