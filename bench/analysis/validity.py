"""Can the figures be believed? What weakens them, in words, each with what to do about it.

Two lists: reasons, which make a measurement suspect or invalid because the client itself was in the way; and doubts,
which leave the measurement sound and warn of reading too much into it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from bench.analysis.facts import AskedLoad, Facts
from bench.analysis.metrics import FLOORS
from bench.records import End, HealthLine

Level = Literal["valid", "suspect", "invalid"]
LEVELS: tuple[Level, ...] = ("valid", "suspect", "invalid")

# What the client may cost before its figures are doubted, and before they are worthless.
SEND_LAG_S = (0.01, 0.1)  # p99; "median delay should be less than 10 ms" (inference-perf, docs/loadgen.md)
BUSY = (0.85, 0.97)  # share of one core, mean over the measured part
COLLECTING = (0.05, 0.3)  # share of the time spent on garbage collection
HUB_LAG_S = (0.02, 0.2)  # p99, with kernel stamps: it moves no stamp, it delays what is sent next
HUB_LAG_USER_S = (0.002, 0.02)  # p99, without: every time is late by as much
LATE_FIRST_S = 0.005  # a first read that lay longer than this in the kernel may have merged tokens
LATE_SHARE = (0.02, 0.2)  # of the streams
CACHED_SHARE = 0.2  # of the tokens of prompts that begin with a nonce; a server's own beginning may be before it
STOPPED = {
    "interrupt": "the run was interrupted",
    "killed": "the run was killed before its end",
    "disk": "the run ended when the disk took no more",
    "target": "the run ended when the target that it had started died",
    "mistake": "the run ended with a mistake of bench itself",
}
LOST = {
    "worker": "a worker process died, and what it had in flight is lost; run again",
    "silent worker": "a worker stopped answering and was ended, and what it had in flight is lost; run again",
    "target": "the target that the run had started died while it was measured; run again",
}
FEWER = "use fewer users or a lower rate, or a machine with less to do"


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason."""

    level: Level
    text: str


def within(health: list[HealthLine], window: tuple[float, float]) -> list[HealthLine]:
    """The seconds that ended in the window."""
    return [line for line in health if window[0] <= line.t <= window[1] + 1.0]


def assess(
    rows: pd.DataFrame,
    health: list[HealthLine],
    end: End,
    *,
    load: AskedLoad,
    certificate: dict[str, Any] | None,
    new: Collection[str] = (),
) -> dict[str, Any]:
    """The summary's `validity`. `rows` are the measured requests, `load` the scenario's, `end` the run's end.json,
    `new` the request classes whose prompts no server can have seen before."""
    hub_lag = spread([lag for line in health for lag in line.hub_lag_s])
    send_lag = spread(rows["send_lag_s"].dropna())
    answered = rows[rows["headers_at"].notna()]
    clock = "kernel" if (answered["clock"] == "kernel").all() else "user"
    cpu, collecting = busiest(health), share_of_time([line.gc_s for line in health])
    findings = [
        *check_complete(len(rows), sent=end.sent, planned=end.planned, stopped_by=end.stopped_by),
        *check_doubled(rows),
        *check_sending(send_lag, open_loop=load.rate is not None),
        *check_process(hub_lag, cpu, collecting, clock),
        *check_reads(rows),
        *check_clock(health),
        *check_nonces(rows, new),
        *check_certificate(rows, certificate, end.measure[1] - end.measure[0], load.processes),
    ]
    verdict = max((finding.level for finding in findings), key=LEVELS.index, default="valid")
    return {
        "verdict": verdict,
        "reasons": [finding.text for finding in sorted(findings, key=lambda one: -LEVELS.index(one.level))],
        "clock": clock,
        "hub_lag_s": hub_lag,
        "send_lag_s": send_lag,
        "cpu": cpu,
        "gc_share": collecting,
        "late_first_reads": late_share(rows),
        "certificate": certificate,
    }


def busiest(health: list[HealthLine]) -> float | None:
    """Share of a core that the busiest process used, on average; None where nobody looked."""
    by_worker: dict[int, list[float]] = {}
    for line in health:
        by_worker.setdefault(line.worker, []).append(line.cpu)
    return max((float(np.mean(shares)) for shares in by_worker.values()), default=None)


def share_of_time(seconds: list[float]) -> float | None:
    """Mean of something measured in seconds a second."""
    return float(np.mean(seconds)) if seconds else None


def spread(values: Any) -> dict[str, float] | None:
    """p50, p99 and max of our own samples; None without any."""
    sample = np.asarray(values, np.float64)
    if not len(sample):
        return None
    return {
        "p50": float(np.quantile(sample, 0.5)),
        "p99": float(np.quantile(sample, 0.99)),
        "max": float(sample.max()),
    }


def check_certificate(
    rows: pd.DataFrame, certificate: dict[str, Any] | None, seconds: float, processes: int
) -> list[Finding]:
    """Whether more tokens came than this machine was shown to measure well."""
    if certificate is None or not seconds or not certificate["tokens_per_s"]:
        return []
    tokens, proven = rows["arrived_tokens"].sum() / seconds / processes, certificate["tokens_per_s"]
    if tokens <= 1.1 * proven:
        return []
    text = f"{tokens:,.0f} tokens/s came to a process, and this machine is calibrated up to {proven:,.0f}"
    return [Finding("suspect", f"{text}; use more processes, or {FEWER.removeprefix('use ')}")]


def check_complete(recorded: int, *, sent: int, planned: int, stopped_by: str) -> list[Finding]:
    """Every request that was wanted was sent, and every one sent has its record."""
    found = []
    if stopped_by in LOST:
        found.append(Finding("invalid", LOST[stopped_by]))
    if recorded < sent:
        why = "the disk took no more" if stopped_by == "disk" else "was the run killed?"
        found.append(Finding("invalid", f"{sent - recorded} of {sent} requests left no record; {why}"))
    if sent < planned:
        short = f"{planned - sent} of {planned} requests that were due were never sent"
        found.append(Finding("invalid" if sent < 0.99 * planned else "suspect", f"{short}; {FEWER}"))
    return found


def check_doubled(rows: pd.DataFrame) -> list[Finding]:
    """Whether each request has one record."""
    doubled = rows[rows.duplicated(["stage", "seq", "turn", "worker"])]
    if not len(doubled):
        return []
    text = f"{len(doubled)} records are there twice, the first of request {doubled['seq'].iloc[0]}, and counted twice"
    return [Finding("invalid", f"{text}; the files were changed after the run")]


def check_sending(lag: dict[str, float] | None, *, open_loop: bool) -> list[Finding]:
    if lag is None or not open_loop or (level := grade(lag["p99"], SEND_LAG_S)) == "valid":
        return []
    return [Finding(level, f"requests were sent late, p99 {lag['p99'] * 1e3:.1f} ms after they were due; {FEWER}")]


def check_process(
    hub_lag: dict[str, float] | None, cpu: float | None, collecting: float | None, clock: str
) -> list[Finding]:
    """Whether this process kept up."""
    found = []
    if hub_lag is None:
        return [Finding("suspect", "nothing is known about how the client kept up: health.jsonl is missing or empty")]
    limits = HUB_LAG_S if clock == "kernel" else HUB_LAG_USER_S
    if (level := grade(hub_lag["p99"], limits)) != "valid":
        late = f"the client's event loop was late by {hub_lag['p99'] * 1e3:.0f} ms (p99)"
        found.append(Finding(level, f"{late}: it, or its machine, was too busy; {FEWER}"))
    if cpu is not None and (level := grade(cpu, BUSY)) != "valid":
        found.append(
            Finding(level, f"the client used {cpu:.0%} of a core, so it may have been the bottleneck; {FEWER}")
        )
    if collecting is not None and (level := grade(collecting, COLLECTING)) != "valid":
        found.append(Finding(level, f"garbage collection stopped the client for {collecting:.0%} of the time; {FEWER}"))
    return found


def check_reads(rows: pd.DataFrame) -> list[Finding]:
    """Whether first tokens were read soon enough to have a stamp of their own."""
    share = late_share(rows)
    if share is None or (level := grade(share, LATE_SHARE)) == "valid":
        return []
    text = f"{share:.0%} of the streams had tokens that shared a late read, so their times are only upper bounds"
    return [Finding(level, f"{text}; {FEWER}")]


def late_share(rows: pd.DataFrame) -> float | None:
    """Share of the streams in which tokens shared a read that we came to late."""
    streams = rows[rows["first_token_at"].notna()]
    if not len(streams):
        return None
    late = (streams["merged"] > 0.05 * streams["arrived_tokens"]) & (streams["read_delay"] > LATE_FIRST_S)
    return float(late.mean())


def check_clock(health: list[HealthLine]) -> list[Finding]:
    steps = [line.clock_step_s for line in health if line.clock_step_s]
    if not steps:
        return []
    text = f"the machine's wall clock was set {len(steps)} times while measuring, by up to {max(map(abs, steps)):.3f} s"
    return [Finding("suspect", f"{text}: arrivals of those seconds may be off by as much; run again")]


def check_nonces(rows: pd.DataFrame, new: Collection[str]) -> list[Finding]:
    """Whether prompts that no server can have seen before were read from its cache all the same."""
    share = cached_share(rows[rows["name"].isin(list(new))])
    if share is None or share <= CACHED_SHARE:
        return []
    text = (
        f"{share:.0%} of the prompt tokens were read from the server's cache although every prompt begins with a nonce"
    )
    return [
        Finding(
            "suspect",
            f"{text}, so TTFT is not that of uncached prompts; look for what the server puts before it "
            "(tools, a system prompt of its own), or for an earlier run with the same nonces",
        )
    ]


def cached_share(rows: pd.DataFrame) -> float | None:
    """Tokens read from the cache / prompt tokens, of answers without error that say both; None without any."""
    known = rows[(rows["outcome"] == "ok") & rows["cached_tokens"].notna() & (rows["prompt_tokens"] > 0)]
    return float(known["cached_tokens"].sum() / known["prompt_tokens"].sum()) if len(known) else None


def with_new_nonces(facts: Facts) -> frozenset[str]:
    """The request classes whose prompts begin with what no other run has sent; a second turn repeats its first."""
    if facts.repeats is not None:
        return frozenset()
    return frozenset(one.name for one in facts.scenario.requests if one.prompt is not None and one.prompt.nonce)


def told_by_load(facts: Facts) -> list[str]:
    """What the load itself had to say of its requests, as run.json has it."""
    found = [fit.doubt for fit in facts.prompt_fits if fit.doubt is not None]
    if facts.repeats is not None:
        found.append(f"the requests are those of {facts.repeats}, nonces included, so a server may know them already")
    return found


def grade(value: float, limits: tuple[float, float]) -> Level:
    return LEVELS[(value > limits[0]) + (value > limits[1])]


def doubts(rows: pd.DataFrame, groups: list[dict[str, Any]], load: AskedLoad, stopped_by: str) -> list[str]:
    """What a reader should know before quoting a figure."""
    found = []
    if stopped_by in STOPPED:
        found.append(f"{STOPPED[stopped_by]}, so it measured less than the scenario asked for")
    if (censored := int((rows["outcome"] == "censored").sum())) > 0:
        found.append(
            f"{censored} requests were still unanswered when the run ended and are in no latency; "
            "a longer load.drain waits for them"
        )
    estimated = int(((rows["tokens_from"] == "events") & (rows["outcome"] == "ok")).sum())
    if estimated:
        found.append(
            f"in {estimated} answers the server did not say how many tokens there were; content events were counted "
            "instead, and an event may hold several tokens"
        )
    if unterminated := int(((rows["unterminated"] == 1) & (rows["outcome"] == "ok")).sum()):
        found.append(
            f"{unterminated} streams ended without their terminator and count as answers, since finish reason and "
            "usage were there and this server ends its streams so; target.terminator: required makes them truncated"
        )
    gaps = (rows["done"] - rows["unfinished_at"])[(rows["outcome"] == "ok") & rows["polls"].gt(0)]
    if len(gaps):
        found.append(
            f"results of jobs were polled for, so each ended up to {float(gaps.median()) * 1e3:,.0f} ms (p50) before "
            "its E2E says; result: webhook, or a shorter poll.interval, tells more exactly"
        )
    if withheld := short_of(groups):
        found.append(f"withheld for want of answers: {withheld}; run longer to see them")
    if len(lengths := answer_lengths(groups)) > 1 and max(lengths.values()) > 1.2 * min(lengths.values()):
        told = ", ".join(f"{model} {tokens:.0f}" for model, tokens in lengths.items())
        found.append(f"models answered at different length (tokens: {told}), so compare TTFT and TPOT rather than E2E")
    if not load.warmup:
        found.append("there was no warm-up, so the figures include cold connections and caches; set load.warmup")
    if (reopened := int(rows["reopened"].sum())) > 0:
        found.append(f"{reopened} kept-alive connections were found closed by the server and were replaced")
    return found


def short_of(groups: list[dict[str, Any]]) -> str:
    """From which percentile of E2E on each whole model has too few answers, and how many that one takes."""
    told = []
    for group in groups:
        statistics = group["e2e_s"]
        missing = [name for name in FLOORS if name != "p99.9" and statistics[name] is None]
        if group["name"] == "all" and statistics["n"] and missing:
            beyond = " and beyond" if len(missing) > 1 else ""
            told.append(f"{missing[0]}{beyond} of {group['model']} (takes {FLOORS[missing[0]]} answers)")
    return ", ".join(told)


def answer_lengths(groups: list[dict[str, Any]]) -> dict[str, float]:
    """Mean completion tokens of each model's answers."""
    whole = [group for group in groups if group["name"] == "all"]
    return {
        group["model"]: group["completion_tokens"] / group["outcomes"]["ok"]
        for group in whole
        if group["completion_tokens"] and group["outcomes"].get("ok")
    }
