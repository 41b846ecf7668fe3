"""Judges whether the figures can be believed: everything that weakens them, in words, with what to do about it.

Two lists: reasons, which make a measurement suspect or invalid because the client itself was in the way; and doubts,
which leave the measurement sound and warn of reading too much into it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.bounds import Bound, Lateness, bounds, too_late
from bench.analysis.certificate import Certificate
from bench.analysis.costs import beyond_the_prompt, cached_shares, unequal_caching
from bench.analysis.facts import Facts
from bench.analysis.figures import mean_of, percentiles, share_of
from bench.analysis.groups import ALL, Group
from bench.analysis.likeness import same_length
from bench.analysis.numerals import count, counted, duration, milliseconds, number, percent
from bench.analysis.stops import stop_of
from bench.analysis.table import Table
from bench.metrics import FLOORS
from bench.plan.load import MEASURE
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
EVENTS = 5  # the smallest number of content events of a stream that can be said to have come in one piece
AT_ONCE = 0.05  # share of E2E within which everything came
FEWEST_WHOLE = 3
MERGED_SHARE = 0.2  # of the gaps between tokens; beyond it percentiles of ITL say more about reads than about tokens
CACHED_SHARE = 0.1  # of prompts with a nonce; a server may put a beginning of its own before it
STEADY = 4  # times as long as an answer takes lasts a stage in which most answers are not of its opening burst
ROUNDED_S = 0.001  # the times of steps are written a little rounded
FEWER = "use fewer users or a lower rate, or a machine with less to do"


@dataclass(frozen=True, slots=True)
class ShortStage:
    """A stage of users whose answers took longer than it lasted: few users asked twice."""

    stage: str
    length: float  # of the stage, s
    answer: float  # the p50 of E2E, s
    late: int  # answers that came after the stage's end
    requests: int


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


def cached_as_wanted(facts: Facts) -> dict[str, float]:
    """The share of the prompt that a cache should read, by request class; only classes that set one."""
    return {
        one.name: one.prompt.cached
        for one in facts.scenario.requests
        if one.prompt is not None and one.prompt.cached is not None
    }


def other_lengths(rows: pd.DataFrame, facts: Facts) -> list[str]:
    """Models whose servers count prompts of exactly so many tokens as other lengths: a template adds the same to each.

    `rows` are the measured requests."""
    found = []
    answered = rows[(rows["outcome"] == "ok") & (rows["turn"] == 0) & rows["prompt_tokens"].notna()]
    for model in facts.scenario.tokenizers:
        for one in facts.scenario.requests:
            wanted = None if one.prompt is None or one.prompt.images or one.conversation else one.prompt.tokens
            counts = answered.loc[(answered["model"] == model) & (answered["name"] == one.name), "prompt_tokens"]
            if wanted is None or counts.empty or (counts.min() == counts.max() and counts.min() >= wanted):
                continue
            counted = f"{counts.min():,.0f}" + (f" to {counts.max():,.0f}" if counts.max() > counts.min() else "")
            found.append(
                f"{model} counts {counted} tokens in prompts of {one.name} that have {wanted:,} by its tokenizer's "
                "file, and a chat's template adds the same to each: the file may be another model's"
            )
    return found


def told_by_load(facts: Facts) -> list[str]:
    """Doubts that the load itself wrote to run.json, in sentences."""
    found = [fit.doubt for fit in facts.prompt_fits if fit.doubt is not None]
    if facts.repeats is not None:
        found.append(f"the requests are those of {facts.repeats}, nonces included, so a server may know them already")
    return found


def grade(value: float, limits: tuple[float, float]) -> Level:
    return LEVELS[(value > limits[0]) + (value > limits[1])]


def doubts(rows: pd.DataFrame, groups: Sequence[Group], stopped_by: str, *, warm: bool) -> list[str]:
    """What a reader should know before quoting a figure, in sentences."""
    found = (
        stopped_early(stopped_by),
        unanswered(rows),
        tokens_at_once(rows, groups),
        counted_events(rows),
        without_end_mark(rows),
        known_by_polls(rows),
        *short_of(groups),
        unequal_lengths(groups),
        beyond_the_prompt(rows),
        unequal_caching(cached_shares(groups)),
        None if warm else "there was no warm-up, so the figures include cold connections and caches; set load.warmup",
        reopened_connections(rows),
    )
    return [doubt for doubt in found if doubt is not None]


def stopped_early(stopped_by: str) -> str | None:
    stop = stop_of(stopped_by)
    return None if stop is None else f"{stop.sentence}, so it measured less than the scenario asked for"


def short_stages(rows: pd.DataFrame, stages: Sequence[StepLine]) -> list[ShortStage]:
    """The stages of users whose answers took longer than they lasted. `rows` are the measured requests."""
    found = []
    for stage in stages:
        mine = rows[rows["stage"] == stage.name]
        good, length = mine[mine["outcome"] == "ok"], stage.ended - stage.began
        if stage.users is None or not stage.measured or not len(good):
            continue
        [answer] = percentiles(good["e2e_s"].to_numpy(np.float64), ["p50"])
        if answer > length:
            found.append(ShortStage(stage.name, length, answer, int((good["done"] > stage.ended).sum()), len(mine)))
    return found


def told_by_short_stages(found: Sequence[ShortStage]) -> list[str]:
    told = []
    for one in found:
        whose = "" if one.stage == MEASURE else f"{one.stage}: "
        text = f"{whose}answers took longer ({duration(one.answer)}, p50) than the stage ({duration(one.length)}), and "
        text += f"{one.late:,} of {counted(one.requests, 'requests')} were answered after its end, so latencies are "
        text += "those of a burst, not of users who ask again and again; let the stage last "
        told.append(f"{text}{math.ceil(STEADY * one.answer):,} s or longer")
    return told


def never_loaded(stages: Sequence[StepLine]) -> list[str]:
    """Stages that had fewer requests than users, or were over before their ramp was, in sentences."""
    measured = [one for one in stages if one.measured]
    ramps = [cut_ramp(one.name, one.users, one.rate, one.ramp_s, one.ended - one.began) for one in measured]
    closed = [one for one in measured if one.users is not None and one.ended_by == "requests"]
    told = (idle_users(one.name, one.users or 0.0, one.planned) for one in closed)
    return [sentence for sentence in (*ramps, *told) if sentence]


def cut_ramp(stage: str, users: float | None, rate: float | None, ramp: float, length: float) -> str:
    """That a stage of this length (s) never gets to its users or its rate, without a full stop; empty if it does."""
    if ramp <= length + ROUNDED_S:
        return ""
    whose = "" if stage == MEASURE else f"{stage}: "
    level = counted(users, "users") if users is not None else f"{number(rate)} requests/s"
    return (
        f"{whose}the ramp to {level} takes {duration(ramp)}, but the stage is over after {duration(length)}, so this "
        f"is no load of {level}; let the stage last longer, or make the ramp shorter"
    )


def idle_users(stage: str, users: float, requests: int) -> str:
    """That users of a stage never ask, since its requests do not suffice, without a full stop; empty if they do."""
    if requests >= users:
        return ""
    whose = "" if stage == MEASURE else f"{stage}: "
    return (
        f"{whose}at most {count(requests)} of the {count(users)} users ever ask, since only "
        f"{counted(requests, 'requests', 'are')} sent, so this is no load of {count(users)} users; set more requests, "
        "or fewer users"
    )


def unanswered(rows: pd.DataFrame) -> str | None:
    if not (censored := int((rows["outcome"] == "censored").sum())):
        return None
    return (
        f"{counted(censored, 'requests')} had no answer yet when the run ended, and no latency includes that; a longer "
        "load.drain waits for it"
    )


def tokens_at_once(rows: pd.DataFrame, groups: Sequence[Group]) -> str | None:
    """Streams that came in one piece, or else tokens that came several at a time."""
    if buffered := whole_streams(rows):
        return (
            f"{buffered} came in one piece, so their TTFT equals their E2E and there are no gaps between tokens: "
            "something buffers the stream, such as nginx without proxy_buffering off, or the server does not stream"
        )
    if merged := merged_streams(groups):
        return (
            f"several tokens often arrived at once ({merged} gaps are 0): the server, a proxy or a busy client sends "
            "them together, so judge the pace by TPOT, not by ITL"
        )
    return None


def counted_events(rows: pd.DataFrame) -> str | None:
    """Answers whose tokens are an estimate."""
    if not (estimated := int(((rows["tokens_from"] == "events") & (rows["outcome"] == "ok")).sum())):
        return None
    return (
        f"the server did not say how many tokens {counted(estimated, 'answers')} had; events were counted instead, "
        "and an event may hold several tokens"
    )


def without_end_mark(rows: pd.DataFrame) -> str | None:
    if not (unterminated := int(((rows["unterminated"] == 1) & (rows["outcome"] == "ok")).sum())):
        return None
    return (
        f"{counted(unterminated, 'streams')} ended without the API's end mark; that is ok here, since there was a "
        "finish reason and usage, and this server never sends the mark; target.terminator: required counts that as "
        "truncated"
    )


def known_by_polls(rows: pd.DataFrame) -> str | None:
    """How much too long the E2E of jobs may be."""
    gaps = (rows["done"] - rows["unfinished_at"])[(rows["outcome"] == "ok") & rows["polls"].gt(0)].dropna()
    if not len(gaps):
        return None
    [middle] = percentiles(gaps.to_numpy(), ["p50"])
    return (
        f"bench asked for the results of jobs again and again, so a job may have ended up to "
        f"{milliseconds(middle)} ms (p50) before its E2E says; result: webhook, or a shorter "
        "poll.interval, is more exact"
    )


def unequal_lengths(groups: Sequence[Group]) -> str | None:
    lengths = answer_lengths(groups)
    if len(lengths) < 2 or same_length(min(lengths.values()), max(lengths.values())):
        return None
    told = ", ".join(f"{model} {tokens:.0f}" for model, tokens in lengths.items())
    return f"the models' answers differ in length (mean tokens: {told}), so compare TTFT and TPOT, not E2E"


def reopened_connections(rows: pd.DataFrame) -> str | None:
    if not (reopened := int(rows["reopened"].sum())):
        return None
    return f"the server had closed {counted(reopened, 'connections')} between requests; bench opened new ones"


def whole_streams(rows: pd.DataFrame) -> str | None:
    """How many streams came in one piece at their end, where that is at least half of those that can be judged."""
    judged = rows[(rows["outcome"] == "ok") & rows["stream"] & (rows["arrived_events"] >= EVENTS)]
    at_once = judged["zero_gaps"] >= 0.5 * (judged["arrived_events"] - 1)
    whole = at_once & (judged["done"] - judged["first_token_at"] < AT_ONCE * judged["e2e_s"])
    if whole.sum() < max(FEWEST_WHOLE, 0.5 * len(judged)):
        return None
    return f"{int(whole.sum()):,} of {counted(len(judged), 'streams')}"


def merged_streams(groups: Sequence[Group]) -> str:
    """The share of gaps that are 0, of each model with many."""
    shares = {group.model: group.zero_gap_share for group in groups if group.name == ALL}
    return ", ".join(
        f"{percent(share)} of {model}'s" for model, share in shares.items() if share and share >= MERGED_SHARE
    )


def short_of(groups: Sequence[Group]) -> list[str]:
    """Percentiles of E2E that are not shown: the answers that the first of them needs, and the answers there were."""
    several = len({group.stage for group in groups}) > 1
    short: dict[tuple[str, ...], list[tuple[str, int]]] = {}  # by the missing percentiles: whose, and their answers
    for group in groups:
        missing = tuple(name for name in FLOORS if name != "p99.9" and group.e2e_s.stat(name) is None)
        if group.name == ALL and group.e2e_s.n and missing:
            whose = f"{group.model} at {group.stage}" if several else group.model
            short.setdefault(missing, []).append((whose, group.e2e_s.n))
    told = []
    for (least, *higher), groups_short in short.items():
        alone = len({group.model for group in groups}) == 1 and len(groups_short) == 1 and not several
        had = ", ".join(f"{whose} had {n:,}" for whose, n in groups_short)
        had = f", had {groups_short[0][1]:,}" if alone else f" ({had})"
        what = f"{least} and higher percentiles not shown: {least}" if higher else f"{least} not shown:"
        told.append(
            f"{what} needs {FLOORS[least]} successful requests{had}; run longer to see {'them' if higher else 'it'}"
        )
    return told


def answer_lengths(groups: Sequence[Group]) -> dict[str, float]:
    """Mean completion tokens of each model's answers."""
    tokens, answers = Counter[str](), Counter[str]()
    for group in groups:
        if group.name == ALL:
            tokens[group.model] += group.completion_tokens or 0
            answers[group.model] += group.outcomes.get("ok", 0)
    return {model: many / answers[model] for model, many in tokens.items() if many and answers[model]}
