"""Judges whether the figures can be believed. Each reason says why a measurement is suspect or invalid, because the
client itself was in the way, and what to do about it. `bench.analysis.doubts` has what else a reader should know."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.bounds import Bound, Lateness, bounds, too_late
from bench.analysis.certificate import Certificate
from bench.analysis.facts import Facts
from bench.analysis.figures import mean_of, percentiles, share_of
from bench.analysis.numerals import counted, milliseconds, percent
from bench.analysis.stops import stop_of
from bench.analysis.table import Table
from bench.records import Clock, End, HealthLine, StepLine

Level = Literal["valid", "suspect", "invalid"]
LEVELS: tuple[Level, ...] = ("valid", "suspect", "invalid")

# What the client may cost before its figures are doubted, and before they are worthless.
SEND_LAG_S = (0.01, 0.1)  # p99; "median delay should be less than 10 ms" (inference-perf, docs/loadgen.md)
BUSY = 0.85  # share of one core, mean over the measured part
SLOWED = (0.05, 0.25)  # share of a closed loop's time that a late loop or garbage collection may take
OFF_S = (0.001, 0.005)  # by which a percentile may be off, or by
OFF = (0.05, 0.25)  # this share of it where that is more
LATE_S = 0.001  # a first token was read late if it may be off by more
CACHED_SHARE = 0.1  # of prompts with a nonce; a server may put a beginning of its own before it
FEWER = "use fewer users or a lower rate, or a machine with less to do"


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason with its level."""

    level: Level
    text: str


class Spread(msgspec.Struct, frozen=True):
    """Statistics of our own samples, s."""

    p50: float
    p99: float
    max: float


class Validity(msgspec.Struct, frozen=True):
    """How far a measurement can be believed."""

    verdict: Level
    reasons: list[str]  # why it is not valid, the worst first
    clock: Clock  # who stamped arrivals
    hub_lag_s: Spread | None  # how late the client's loop was; None if nobody looked
    send_lag_s: Spread | None  # how late requests were sent; None in a closed loop
    cpu: float | None  # share of a core that the busiest process used; None if nobody looked
    gc_share: float | None  # share of the time that garbage collection took
    late_first_reads: float | None  # share of the streams whose first token was read late; None without any
    bounds: list[Bound]  # by how much percentiles may be off
    certificate: Certificate | None  # this machine's; None if it has none


def within(health: list[HealthLine], stages: Sequence[StepLine]) -> list[HealthLine]:
    """The lines whose second ended in a measured stage."""
    measured = [stage for stage in stages if stage.measured]
    return [line for line in health if any(one.began <= line.t <= one.ended + 1.0 for one in measured)]


def assess(
    rows: pd.DataFrame,
    table: Table,
    health: list[HealthLine],
    end: End,
    *,
    seconds: float,
    open_loop: bool,
    processes: int,
    certificate: Certificate | None,
    new: Collection[str] = (),
) -> Validity:
    """The summary's `validity`. `rows` are the measured requests, `seconds` how long was measured, `end` the
    run's end.json, `new` the request classes whose prompts no server can have seen before."""
    send_lag = spread(rows["send_lag_s"].dropna())
    cpu, collecting = busiest(health), share_of_time([line.gc_s for line in health])
    lateness, good = Lateness(health), rows[rows["outcome"] == "ok"]
    off = bounds(table, good, lateness)
    findings = [
        *check_complete(len(rows), sent=end.sent, planned=end.planned, stopped_by=end.stopped_by),
        *check_doubled(rows),
        *check_sending(send_lag, open_loop=open_loop),
        *check_process(lateness.mean, cpu, collecting, cycle=None if open_loop else mean_of(good["e2e_s"])),
        *check_reads(off),
        *check_clock(health),
        *check_nonces(rows, new),
        *check_certificate(rows, certificate, seconds, processes),
    ]
    verdict: Level = max((finding.level for finding in findings), key=LEVELS.index, default="valid")
    late = too_late(table, good, lateness)
    return Validity(
        verdict=verdict,
        reasons=[finding.text for finding in sorted(findings, key=lambda one: -LEVELS.index(one.level))],
        clock=clock_of(rows),
        hub_lag_s=spread([lag for line in health for lag in line.hub_lag_s]),
        send_lag_s=send_lag,
        cpu=cpu,
        gc_share=collecting,
        late_first_reads=float((late > LATE_S).mean()) if len(late) else None,
        bounds=off,
        certificate=certificate,
    )


def clock_of(rows: pd.DataFrame) -> Clock:
    """What stamped the arrivals: the kernel only if it stamped those of all answers."""
    answered = rows[rows["headers_at"].notna()]
    return "kernel" if (answered["clock"] == "kernel").all() else "user"


def busiest(health: list[HealthLine]) -> float | None:
    """Share of a core that the busiest process used, on average; None if it was not measured."""
    by_worker: dict[int, list[float]] = {}
    for line in health:
        by_worker.setdefault(line.worker, []).append(line.cpu)
    return max((float(np.mean(shares)) for shares in by_worker.values()), default=None)


def share_of_time(seconds: list[float]) -> float | None:
    """Mean of something that is measured in seconds per second."""
    return float(np.mean(seconds)) if seconds else None


def spread(values: npt.ArrayLike) -> Spread | None:
    """p50, p99 and max of our own samples; None without any."""
    own = np.asarray(values, np.float64)
    if not len(own):
        return None
    p50, p99 = percentiles(own, ["p50", "p99"])
    return Spread(p50=p50, p99=p99, max=float(own.max()))


def check_certificate(
    rows: pd.DataFrame, certificate: Certificate | None, seconds: float, processes: int
) -> list[Finding]:
    """Whether more tokens came than this machine was shown to measure well."""
    if certificate is None or not seconds or not certificate.tokens_per_s:
        return []
    tokens, proven = rows["arrived_tokens"].sum() / seconds / processes, certificate.tokens_per_s
    if tokens <= 1.1 * proven:
        return []
    text = f"each process received {tokens:,.0f} tokens/s, and this machine is calibrated up to {proven:,.0f}"
    text += ": above that nobody has shown that TTFT is right within 1 ms"
    return [Finding("suspect", f"{text}; use more processes, or {FEWER.removeprefix('use ')}")]


def check_complete(recorded: int, *, sent: int, planned: int, stopped_by: str) -> list[Finding]:
    """Every request that was wanted was sent, and every one sent has its record."""
    found = []
    if (stop := stop_of(stopped_by)) is not None and stop.lost is not None:
        found.append(Finding("invalid", stop.lost))
    if recorded < sent:
        why = "the disk took no more" if stopped_by == "disk" else "was the run killed?"
        found.append(Finding("invalid", f"{sent - recorded} of {counted(sent, 'requests')} left no record; {why}"))
    if sent < planned:
        short = f"{planned - sent} of {counted(planned, 'requests')} that were due were never sent"
        found.append(Finding("invalid" if sent < 0.99 * planned else "suspect", f"{short}; {FEWER}"))
    return found


def check_doubled(rows: pd.DataFrame) -> list[Finding]:
    """Whether each request has one record."""
    doubled = rows[rows.duplicated(["stage", "seq", "turn", "worker"])]
    if not len(doubled):
        return []
    text = f"there are two copies of {counted(len(doubled), 'records')}, and both count"
    text += f"; the first is of request {doubled['seq'].iloc[0]}"
    return [Finding("invalid", f"{text}; the files were changed after the run")]


def check_sending(lag: Spread | None, *, open_loop: bool) -> list[Finding]:
    if lag is None or not open_loop or (level := grade(lag.p99, SEND_LAG_S)) == "valid":
        return []
    late = f"bench sent requests late (p99 {lag.p99 * 1e3:.1f} ms after they were due)"
    text = f"{late}: arrivals were not as asked for, and latencies from due, not TTFT and E2E, include that delay"
    return [Finding(level, f"{text}; use a lower rate, or a machine with less to do")]


def check_process(
    lag: float | None, cpu: float | None, collecting: float | None, *, cycle: float | None
) -> list[Finding]:
    """Whether this process kept up with sending; what it did to arrivals is judged by them.

    `lag` is how late its loop was on average, s, and `cycle` how long a user of a closed loop waits for an answer; None
    in an open loop, where how late requests were sent tells all of it.
    """
    found = []
    if lag is None:
        return [Finding("suspect", "it is not known whether bench kept up: health.jsonl is missing or empty")]
    if cycle is not None and (level := grade(lag / (lag + cycle), SLOWED)) != "valid":
        late = f"bench's event loop was late by {milliseconds(lag)} ms on average, so users asked again that much later"
        lost = f"answers/s and tokens/s are up to {percent(lag / (lag + cycle))} too low"
        found.append(Finding(level, f"{late}: {lost}; {FEWER}"))
    if collecting is not None and (level := grade(collecting, SLOWED)) != "valid":
        text = f"Python's garbage collection stopped bench for {percent(collecting)} of the time"
        found.append(Finding(level, f"{text}: answers/s and tokens/s may be too low by as much; {FEWER}"))
    if cpu is not None and cpu > BUSY:
        text = f"bench used {percent(cpu)} of a core, so it may have held back answers/s and tokens/s"
        found.append(Finding("suspect", f"{text}; {FEWER}"))
    return found


def check_reads(off: list[Bound]) -> list[Finding]:
    """Whether percentiles are right in spite of late reads: one reason for each metric with a doubtful percentile.

    p99 alone, and gaps, do not make a measurement invalid: p50 and p95 can still be quoted.
    """
    found = []
    for metric in dict.fromkeys(bound.metric for bound in off):
        wrong = [(grade_bound(bound), bound) for bound in off if bound.metric == metric]
        wrong = [(level, bound) for level, bound in wrong if level != "valid"]
        if not wrong:
            continue
        worst: Level = max(
            (level for level, bound in wrong if bound.stat != "p99"), key=LEVELS.index, default="suspect"
        )
        told = ", ".join(
            f"{bound.stat} of {bound.value * 1e3:.3g} ms by up to {bound.error * 1e3:.2g} ms too {bound.direction}"
            for _, bound in wrong
        )
        why = "bench read several tokens at a time, late" if metric == "itl" else "bench read answers late"
        level: Level = "suspect" if metric == "itl" else worst
        found.append(Finding(level, f"{metric.upper()} may be off, {told}: {why}; {FEWER}"))
    return found


def grade_bound(bound: Bound) -> Level:
    """The level of an error that is larger than both a time and a share of the figure."""
    suspect, invalid = (max(time, share * bound.value) for time, share in zip(OFF_S, OFF, strict=True))
    return grade(bound.error, (suspect, invalid))


def check_clock(health: list[HealthLine]) -> list[Finding]:
    steps = [line.clock_step_s for line in health if line.clock_step_s]
    if not steps:
        return []
    text = f"the machine's wall clock was set {counted(len(steps), 'times')} while measuring, by up to "
    text += f"{max(map(abs, steps)):.3f} s"
    return [Finding("suspect", f"{text}: times of arrival around then may be wrong by as much; run again")]


def check_nonces(rows: pd.DataFrame, new: Collection[str]) -> list[Finding]:
    """Whether prompts that no server can have seen before were still read from its cache."""
    first = rows["turn"] == 0  # later turns repeat what was said before
    mine = rows[(rows["outcome"] == "ok") & first & rows["name"].isin(list(new))]
    share = share_of(mine, "cached_tokens", "prompt_tokens").value
    if share is None or share <= CACHED_SHARE:
        return []
    text = (
        f"{percent(share)} of the prompt tokens were "
        "read from the server's cache although every prompt begins with a nonce"
    )
    return [
        Finding(
            "suspect",
            f"{text}, so TTFT is not that of uncached prompts; look for what stands before it "
            "(tools, a system prompt), or for an earlier run with the same nonces",
        )
    ]


def with_new_nonces(facts: Facts) -> frozenset[str]:
    """The request classes whose prompts begin with a new nonce; a second turn repeats the nonce of the first."""
    if facts.repeats is not None:
        return frozenset()
    return frozenset(one.name for one in facts.scenario.requests if one.prompt is not None and one.prompt.nonce)


def grade(value: float, limits: tuple[float, float]) -> Level:
    return LEVELS[(value > limits[0]) + (value > limits[1])]
