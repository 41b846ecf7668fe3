"""The figures of one group of requests: a model, or a request class of it."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd

import bench.analysis.figures as figures
from bench.analysis.causes import Cause, causes
from bench.analysis.figures import Sample, Statistics, latencies, statistics

ALL = "all"
"""The name of the group of all request classes of a model."""


class Job(msgspec.Struct, frozen=True):
    """What lies before the E2E of jobs: by our polls, and by the server's own times. Statistics are of seconds."""

    polls: float  # for each, on average
    unfinished_s: Statistics  # when it was last known unfinished − sent
    uncertainty_s: Statistics  # E2E − that
    queue_s: Statistics | None  # how long it waited, as the server says; None if it says nothing
    run_s: Statistics | None  # how long the server worked on it
    steps: dict[str, Statistics]  # durations of its other exchanges by name, such as submit_s


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A model, or a request class of it, in one measured stage. Latencies are of answers
    without error; rates are of the model's window."""

    stage: str  # "measure" where the load has one stage only
    model: str
    name: str  # of the request class; ALL for all of them
    requests: int  # offered, however they ended
    outcomes: dict[str, int]  # how many ended so, the commonest first; without those that did not occur
    causes: list[Cause]
    ttft_s: Statistics
    ttfa_s: Statistics
    ttft_hit_s: Statistics
    ttft_miss_s: Statistics
    itl_s: Statistics
    tpot_s: Statistics
    e2e_s: Statistics
    ttft_from_due_s: Statistics
    e2e_from_due_s: Statistics
    send_lag_s: Statistics
    waited_s: Statistics
    first_attempt_s: Statistics | None  # None if nothing was tried again
    attempts: int
    attempts_per_request: float | None  # None without a request
    error_rate: float | None  # this and the other shares are None if they are shares of nothing
    goodput: float | None
    zero_gap_share: float | None
    valid_tool_calls: float | None
    json_valid: float | None
    schema_valid: float | None
    requests_per_s: float | None  # None of a window without length
    good_requests_per_s: float | None  # as above, and None if no SLO was stated
    output_tokens_per_s: float | None
    stream_tokens_per_s: float | None  # None if nothing streamed
    prompt_tokens: int | None  # this and the other tokens: in all; None if no server ever said a number
    completion_tokens: int | None
    mean_prompt_tokens: float | None  # this and the next: of an answer without error; None as above
    mean_completion_tokens: float | None
    reasoning_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    reasoning_share: float | None
    cached_share: float | None
    cost_usd: float | None  # this and the other dollars are None where a price, or what is charged by it, is unknown
    cost_per_1000_usd: float | None
    cost_per_good_usd: float | None
    input_price_usd: float | None  # of a million prompt tokens, at the cached share seen
    cache_saved_usd: float | None
    cache_write_usd: float | None
    online_cost_usd: float | None  # what it would be if nothing had been in a batch
    output_chars: int
    tool_calls: int | None  # None if no tools were declared
    item: str | None  # what is counted, such as "image"; None if nothing is, or several kinds are
    items: int | None  # how many came
    failed_items: int | None
    failed_item_rate: float | None
    items_per_min: float | None  # None if no answer brought any
    job: Job | None  # None if no request was a job

    def latency(self, metric: str) -> Statistics:
        """The statistics of the latency of this name, such as ttft."""
        found: Statistics = getattr(self, f"{metric}_s")
        return found


def group_of(stage: str, model: str, name: str, of: Sample) -> Group:
    """The figures of these requests."""
    offered, good = of.offered, of.good
    words = list(good["item"].dropna().unique())
    return Group(
        stage=stage, model=model, name=name, requests=len(offered),
        outcomes={str(word): int(count) for word, count in offered["outcome"].value_counts().items() if count},
        causes=causes(offered),
        # latencies
        ttft_s=statistics(latencies(of, "ttft")), ttfa_s=statistics(latencies(of, "ttfa")),
        ttft_hit_s=statistics(latencies(of, "ttft_hit")), ttft_miss_s=statistics(latencies(of, "ttft_miss")),
        itl_s=statistics(latencies(of, "itl")), tpot_s=statistics(latencies(of, "tpot")),
        e2e_s=statistics(latencies(of, "e2e")), ttft_from_due_s=statistics(latencies(of, "ttft_from_due")),
        e2e_from_due_s=statistics(latencies(of, "e2e_from_due")), send_lag_s=statistics(latencies(of, "send_lag")),
        waited_s=statistics(latencies(of, "waited")), job=job(good),
        first_attempt_s=statistics(good["first_attempt_s"]) if (offered["attempts"] > 1).any() else None,
        # shares
        error_rate=figures.error_rate(of).value, goodput=figures.goodput(of).value,
        zero_gap_share=figures.zero_gap_share(of).value, valid_tool_calls=figures.valid_tool_calls(of).value,
        json_valid=figures.json_valid(of).value, schema_valid=figures.schema_valid(of).value,
        reasoning_share=figures.reasoning_share(of).value, cached_share=figures.cached_share(of).value,
        failed_item_rate=figures.failed_item_rate(of).value,
        # rates
        requests_per_s=figures.requests_per_s(of), good_requests_per_s=figures.good_requests_per_s(of),
        output_tokens_per_s=figures.output_tokens_per_s(of), stream_tokens_per_s=figures.stream_tokens_per_s(of),
        items_per_min=figures.items_per_min(of),
        # amounts
        attempts=int(offered["attempts"].sum()), output_chars=int(offered["output_chars"].sum()),
        prompt_tokens=total(offered["prompt_tokens"]), completion_tokens=total(offered["completion_tokens"]),
        reasoning_tokens=total(offered["reasoning_tokens"]), cached_tokens=total(offered["cached_tokens"]),
        cache_write_tokens=total(offered["cache_write_tokens"]), tool_calls=total(good["tool_calls"]),
        item=words[0] if len(words) == 1 else None,
        items=total(good["items"]), failed_items=total(good["failed_items"]),
        **{name: formula(of) for name, formula in figures.AMOUNTS.items()},
        online_cost_usd=figures.priced(of, online=True),
    )  # fmt: skip


def job(good: pd.DataFrame) -> Job | None:
    """Of jobs: what lies before E2E. None if there is none."""
    jobs = good[good["polls"].notna()]
    if not len(jobs):
        return None
    steps = {str(name): jobs[name] for name in jobs if str(name).startswith("steps.") and jobs[name].notna().any()}
    return Job(
        polls=float(jobs["polls"].mean()),
        unfinished_s=statistics(jobs["unfinished_s"]),
        uncertainty_s=statistics(jobs["e2e_s"] - jobs["unfinished_s"]),
        queue_s=statistics(jobs["server.queue_s"]) if "server.queue_s" in jobs else None,
        run_s=statistics(jobs["server.run_s"]) if "server.run_s" in jobs else None,
        steps={name.removeprefix("steps."): statistics(values) for name, values in steps.items()},
    )


def total(values: pd.Series[float]) -> int | None:
    """The sum; None if no server ever said a number."""
    return int(np.nansum(values)) if values.notna().any() else None
