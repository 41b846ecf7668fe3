"""`bench compare` on runs kept on disk: from the command line's words to a verdict.

A side is one run, several (a folder of runs), or a stored baseline's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.analysis.baseline import FOLDER, BaselineError, names_in, read_baseline
from bench.analysis.comparability import Unlikeness, not_valid, unlike
from bench.analysis.comparison import Comparison
from bench.analysis.extract import Extract, extract
from bench.analysis.facts import NotARunError
from bench.analysis.gate import worst
from bench.analysis.numerals import counted
from bench.analysis.run import Run, open_run
from bench.analysis.run_comparison import (
    SPREAD,
    Key,
    Paired,
    RunsCompared,
    UnknownScopeError,
    compare_runs,
    default_lines,
    keys_of,
    models_of,
)
from bench.analysis.run_pairs import paired, pairs_of
from bench.analysis.statistics import Verdict
from bench.analysis.thresholds import Judgement, judge_thresholds
from bench.analysis.windows import windows_of
from bench.plan.gate import Line, parse_gate
from bench.plan.gate_file import Gate, read_gate, written_out
from bench.plan.scopes import scope_names
from bench.plan.thresholds import parse_threshold

ComparisonVerdict = Verdict | Literal["refused"]


class IncomparableError(ValueError):
    """Two sides cannot be compared; the message says why."""


@dataclass(frozen=True, slots=True)
class Side:
    """A baseline or a candidate."""

    name: str
    extracts: tuple[Extract, ...]
    runs: tuple[Run, ...]  # the runs whose folders were read; empty for a stored baseline


@dataclass(frozen=True, slots=True)
class DiskComparison:
    """The result of the comparison of two sides."""

    baseline: Side
    candidate: Side
    lines: tuple[Line, ...]
    unlike: tuple[Unlikeness, ...]  # differences between them that are not the figures
    invalid: tuple[str, ...]  # which measurements cannot be believed, in sentences
    compared: RunsCompared | None  # None where they were refused
    thresholds: tuple[tuple[str, Judgement], ...]  # the thresholds for the candidate itself, by its run
    judged: bool  # whether there was a gate
    forced: bool = False  # whether runs were compared although that was refused

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why a verdict would be meaningless, in sentences; empty if it is not, or if it was forced."""
        return () if self.forced else tuple(one.text for one in self.unlike if one.refused)

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return self.compared.comparisons if self.compared is not None else ()

    @property
    def advisory(self) -> bool:
        """Whether there are too few runs to measure how much equal runs differ."""
        return self.judged and self.compared is not None and bool(self.lines) and self.compared.advisory

    @property
    def verdict(self) -> ComparisonVerdict | None:
        """The verdict on all lines and thresholds; None if nothing was judged."""
        if self.refusals:
            return "refused"
        if not self.judged:
            return None
        words = {one.verdict for _, one in self.thresholds}
        if self.lines and self.compared is not None and self.compared.verdict is not None:
            words.add(self.compared.verdict)
        if self.invalid and not self.forced:
            return "inconclusive"
        return worst(words)

    @property
    def exit_code(self) -> int:
        """0 pass or not judged, 1 fail, 2 refused, 3 inconclusive."""
        return {"pass": 0, None: 0, "fail": 1, "refused": 2, "inconclusive": 3}[self.verdict]


def compare(
    baseline: str | Path | Sequence[str | Path],
    candidate: str | Path | Sequence[str | Path],
    *,
    gate: str | Path | Mapping[str, object] | None = None,
    baselines: str | Path = FOLDER,
    force: bool = False,
    spread: float = SPREAD,
) -> DiskComparison:
    """Compare two runs, or two sets of runs, that are kept on disk.

    `baseline` and `candidate` are folders of runs, folders that hold several, or names of stored baselines; `gate` is a
    file, a preset such as mlperf/llama2-70b, or its lines: {"ttft p50": "5%"}; without one the scenario's own is
    taken. `force` judges runs that would be refused; `spread` is the standard deviation between runs of the same
    thing that is assumed if there are too few runs to measure it.

    Raises IncomparableError, bench.plan.Mistakes for a broken gate.
    """
    ours, theirs = side_of(baseline, Path(baselines)), side_of(candidate, Path(baselines))
    if same := {other.label for one in ours.extracts for other in theirs.extracts if one.is_run(other)}:
        raise IncomparableError(
            f"{', '.join(sorted(same))} would be compared with {'itself' if len(same) == 1 else 'themselves'}"
        )
    asked = gate_of(gate, ours, theirs)
    lines = asked.lines if asked is not None else default_lines((*ours.extracts, *theirs.extracts))
    metrics = {line.metric for line in lines} if asked is not None else set()
    differing = tuple(unlike(ours.extracts, theirs.extracts, metrics=metrics))
    refused = not force and any(one.refused for one in differing)
    return DiskComparison(
        baseline=ours,
        candidate=theirs,
        lines=tuple(lines),
        unlike=differing,
        invalid=tuple(not_valid((*ours.extracts, *theirs.extracts))),
        compared=None if refused else judge_lines(lines, ours, theirs, judged=asked is not None, spread=spread),
        thresholds=held(asked.thresholds, theirs) if asked is not None else (),
        judged=asked is not None,
        forced=force,
    )


def judge_lines(lines: Sequence[Line], ours: Side, theirs: Side, *, judged: bool, spread: float) -> RunsCompared:
    """Each line, from the figures of the runs and, where there are any, from their pairs. Raises IncomparableError."""
    try:
        pairs = pairs_between(lines, ours, theirs)
        return compare_runs(lines, ours.extracts, theirs.extracts, judged=judged, paired=pairs, spread=spread)
    except UnknownScopeError as error:
        raise IncomparableError(str(error)) from None


# -- the sides ----------------------------------------------------------------------------------------------------


def side_of(given: str | Path | Sequence[str | Path], baselines: Path) -> Side:
    """Runs from folders, or from a stored baseline. Raises IncomparableError."""
    several = [given] if isinstance(given, str | Path) else list(given)
    if not several:
        raise IncomparableError("no run was given")
    folders = [folder for one in several for folder in folders_in(Path(one))]
    if len(several) == 1 and not folders:
        return stored(str(several[0]), baselines)
    if missing := [one for one in several if not folders_in(Path(one))]:
        raise IncomparableError(f"{missing[0]} is not the folder of a run, nor a folder that holds runs")
    try:
        runs = tuple(open_run(folder) for folder in folders)
        extracts = tuple(extract(run) for run in runs)
    except NotARunError as error:
        raise IncomparableError(str(error)) from None
    if twice := next((one for place, one in enumerate(extracts) if any(map(one.is_run, extracts[:place]))), None):
        raise IncomparableError(f"{twice.label} is given twice; a run counts once")
    name = Path(several[0]).resolve().name if len(several) == 1 else counted(len(runs), "runs")
    return Side(name, extracts, runs)


def folders_in(path: Path) -> list[Path]:
    """The folder itself if it holds a run, else the folders of runs in it, the oldest first."""
    if (path / "run.json").exists():
        return [path]
    return sorted(one.parent for one in path.glob("*/run.json")) if path.is_dir() else []


def stored(name: str, baselines: Path) -> Side:
    """A stored baseline. Raises IncomparableError."""
    if "/" in name or Path(name).is_dir():
        held = "holds no run" if Path(name).is_dir() else "is not there"
        raise IncomparableError(f"{name} {held}; the folder of a run is expected, such as reports/quickstart")
    try:
        return Side(name, tuple(read_baseline(baselines, name).runs), ())
    except BaselineError as error:
        if name in names_in(baselines):
            raise IncomparableError(str(error)) from None
        raise IncomparableError(f"{name} is neither the folder of a run nor a stored baseline: {error}") from None


# -- the gate -----------------------------------------------------------------------------------------------------


def gate_of(given: str | Path | Mapping[str, object] | None, ours: Side, theirs: Side) -> Gate | None:
    """The given gate, or else that in the scenario of the candidate or of the baseline; None if there is none.

    Raises Mistakes, IncomparableError.
    """
    if isinstance(given, Mapping):
        if not given:
            raise IncomparableError("the gate has no line; write lines such as ttft p50: 5%")
        try:
            return Gate(parse_gate(given, runs=True))
        except ValueError as error:
            raise IncomparableError(f"the gate: {error}") from None
    if given is not None:
        return read_gate(str(given))
    for one in (theirs, ours):
        own = one.extracts[-1].asked.gate
        if own:
            try:
                return Gate(parse_gate(own, runs=True))
            except ValueError as error:
                raise IncomparableError(f"the gate of {one.extracts[-1].label}: {error}") from None
    return None


def held(thresholds: Sequence[str], candidate: Side) -> tuple[tuple[str, Judgement], ...]:
    """Each threshold, judged for each run of the candidate. Raises IncomparableError."""
    if not thresholds:
        return ()
    if not candidate.runs:
        raise IncomparableError("thresholds are judged by the requests of a run, and a stored baseline has none")
    expressions = [one for given in thresholds for one in written_out(given)]
    found = []
    for run, one in zip(candidate.runs, candidate.extracts, strict=True):
        found += [(one.label, judgement) for judgement in judge_on(expressions, run)]
    return tuple(found)


def judge_on(expressions: Sequence[str], run: Run) -> list[Judgement]:
    """The thresholds, judged for one run. Raises IncomparableError, also for a scope that the run does not have."""
    scenario = run.facts.scenario
    windows = windows_of(run.records, scenario, run.stages)
    names = {str(one) for one in run.records["name"].unique()} | {one.name for one in scenario.requests}
    known = {*scenario.models, *names, *(window.stage for window in windows.whole)}
    for one in map(parse_threshold, expressions):
        if unknown := [word for word in scope_names(one.scope, known) if word not in known]:
            raise IncomparableError(f"{one.expression}: {unknown[0]!r} is not a model, a request class or a stage")
    prices = {model: run.understood.prices.get(model) for model in scenario.models}
    return judge_thresholds(expressions, run.table, run.records, prices=prices, windows=windows, slo=scenario.slo or {})


# -- pairs --------------------------------------------------------------------------------------------------------


def paired_runs(ours: Side, theirs: Side) -> tuple[Run, Run] | None:
    """The two runs, if each side has one run and both drew the same prompts; else None."""
    if len(ours.runs) != 1 or len(theirs.runs) != 1:
        return None
    a, b = ours.extracts[0], theirs.extracts[0]
    same = a.seed == b.seed and a.asked.requests == b.asked.requests and a.files == b.files
    same = same and (len(a.asked.models) == 1 or a.asked.models == b.asked.models)
    return (ours.runs[0], theirs.runs[0]) if same else None


def pairs_between(lines: Sequence[Line], ours: Side, theirs: Side) -> dict[tuple[str, Key], Paired]:
    """The result of pairs of requests for each line; empty if there are no pairs."""
    runs = paired_runs(ours, theirs)
    if runs is None:
        return {}
    keys = {line.title: keys_of(line, ours.extracts, theirs.extracts) for line in lines}
    models = models_of(ours.extracts, theirs.extracts)
    return paired(lines, keys, pairs_of(runs[0].requests, runs[1].requests, models))
