"""Rate limits in an ordinary run: the limits that the provider states, its refusals, and the time that they cost.

Admitted is an attempt that was answered with a success; refused one that got a 429, 503 or 529, or was told in words
that a rate limit or the quota is used up. All figures are of measured stages.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.numerals import counted
from bench.analysis.refusals import CAUSES, counters, is_refusal, refusals, resource_of, tries_of
from bench.analysis.table import Table
from bench.analysis.windows import Window, Windows

Floats = npt.NDArray[np.float64]

MINUTE = 60.0
MOST_LIMITS = 5  # the largest number of different values of one stated limit that are kept
STUCK = 20  # admitted answers after which a counter should have moved
FOREIGN = 1.2  # times as much as we were admitted; a counter that fell by more counts somebody else's requests too
SOME = 10  # this many more requests may be chance
ROUNDING_S = 0.002  # a wait may be this much shorter than asked


class StatedLimit(msgspec.Struct, frozen=True):
    """One counter of the headers, in the answers of one model in one stage."""

    counter: str  # as the header names it: requests, tokens, api_key_requests, requests_minute
    answers: int  # that have it
    limit: float | None  # as last stated
    limits: list[float]  # the different values stated, at most MOST_LIMITS of them
    lowest_remaining: float | None
    longest_reset_s: float | None
    window_s: float | None  # if the headers say it
    fell: float | None  # by how much `remaining` went down in all, from the lowest of each second to that of the next


class RateLimits(msgspec.Struct, frozen=True):
    """One model in one measured stage. Attempts are all tries, earlier ones included."""

    stage: str
    model: str
    attempts: int
    admitted: int
    admitted_per_min: float | None  # on average over the stage; None of a stage shorter than a minute
    most_per_min: int  # admitted in any minute
    tokens_per_min: float | None  # prompt and completion, of the admitted; None likewise
    most_tokens_per_min: float
    refused: dict[str, int]  # by cause, one of bench.analysis.refusals.CAUSES; without those that did not occur
    refused_last: int  # requests whose last attempt was refused
    refused_s: float  # spent on attempts that were refused
    waited_s: float  # by users and between attempts, because something was refused
    waited_share: float | None  # of the time of all users until the end of the stage; None in an open loop
    on_time: int  # attempts sent when Retry-After was over, not before
    on_time_admitted: int  # of those
    stated: list[StatedLimit]


def rate_limits(
    table: Table, rows: pd.DataFrame, windows: Windows, models: Sequence[str], users: dict[str, float | None]
) -> list[RateLimits]:
    """What there is to say of each measured stage and model; empty where nothing was refused and no header states a
    limit. `users` are those of each closed stage."""
    measured = rows[rows["measured"]]
    stated = any(str(name).startswith("limits.") for name in measured) and bool(counters(measured, "limit"))
    refused = refusals(table, measured)
    if not len(refused) and not stated:
        return []
    found = []
    returned = punctual(table, measured)
    for window in windows.whole:
        for model in models:
            mine = measured[(measured["stage"] == window.stage) & (measured["model"] == model)]
            if len(mine):
                span = windows.of([model], [window.stage])[0]
                many = users.get(window.stage)
                told = refused[(refused["stage"] == window.stage) & (refused["model"] == model)]
                share = None if many is None else span.length * many / len(models)
                found.append(of_model(window.stage, model, mine, told, span, share, returned, table.tries))
    return found


def of_model(
    stage: str,
    model: str,
    rows: pd.DataFrame,
    refused: pd.DataFrame,
    span: Window,
    users_s: float | None,
    returned: pd.DataFrame,
    tries: pd.DataFrame,
) -> RateLimits:
    """The figures of one model in one stage; `users_s` is the time that its users had in all, `tries` are the earlier
    attempts of all requests."""
    let_in = rows[admitted(rows)]
    at, tokens = let_in["sent"].to_numpy(), tokens_of(let_in)
    waited, length = float(rows["held_back"].sum() + rows["retry_waited"].sum()), span.length
    if users_s is not None and len(refused):
        waited += cut_short(rows, span.end)
    within = waited - waited_beyond(tries[tries["row"].isin(rows.index)], span.end)
    counted = refused["cause"].value_counts()
    mine = returned[returned["row"].isin(rows.index)]
    return RateLimits(
        stage=stage,
        model=model,
        attempts=int(rows["attempts"].sum()),
        admitted=len(let_in),
        admitted_per_min=len(let_in) / length * MINUTE if length >= MINUTE else None,
        most_per_min=int(most_within(at, np.ones(len(at)))),
        tokens_per_min=float(tokens.sum()) / length * MINUTE if length >= MINUTE else None,
        most_tokens_per_min=most_within(at, tokens),
        refused={cause: int(counted[cause]) for cause in CAUSES if cause in counted},
        refused_last=int(is_refusal(rows["end"]).sum()),
        refused_s=float(refused["lasted"].sum()),
        waited_s=waited,
        waited_share=within / users_s if users_s else None,
        on_time=len(mine),
        on_time_admitted=int(mine["admitted"].sum()),
        stated=stated_limits(rows),
    )


def waited_beyond(tries: pd.DataFrame, end: float) -> float:
    """How much of the waits after these attempts came after the end of their stage, s: in the drain, a request is still
    tried again."""
    over = tries["done"] + tries["waited"] - end
    return float(np.minimum(over.clip(lower=0.0), tries["waited"]).sum())


def cut_short(rows: pd.DataFrame, end: float) -> float:
    """How long the users of a closed stage waited in all after a last request that was refused, until the stage's end,
    s. Such a wait stands in no record, since no request follows it. Without a Retry-After a user backs off for a time
    that is nowhere stated, and nothing is counted."""
    last = rows.loc[rows.groupby(["worker", "user"], sort=False)["done"].idxmax()]
    last = last[is_refusal(last["end"]) & last["retry_after"].notna()]
    return float(np.minimum((end - last["done"]).clip(lower=0.0), last["retry_after"]).sum())


def admitted(rows: pd.DataFrame) -> pd.Series[bool]:
    """Which requests were let in with their last attempt."""
    return (rows["status"] < 300) & ~is_refusal(rows["end"])


def tokens_of(rows: pd.DataFrame) -> Floats:
    tokens: Floats = (rows["prompt_tokens"].fillna(0.0) + rows["completion_tokens"].fillna(0.0)).to_numpy(np.float64)
    return tokens


def most_within(times: Floats, amounts: Floats) -> float:
    """The largest sum of the amounts at times that lie within a minute."""
    if not len(times):
        return 0.0
    return float(sums_within(*in_order(times, amounts)).max())


def in_order(times: Floats, amounts: Floats) -> tuple[Floats, Floats]:
    order = np.argsort(times, kind="stable")
    return times[order], amounts[order]


def sums_within(times: Floats, amounts: Floats) -> Floats:
    """At each of these ascending times, the sum of the amounts within the minute before it, that moment included."""
    total = np.concatenate([[0.0], np.cumsum(amounts)])
    found: Floats = total[1:] - total[np.searchsorted(times, times - MINUTE, side="right")]
    return found


def stated_limits(rows: pd.DataFrame) -> list[StatedLimit]:
    """What headers say, a value for each counter."""
    kinds = {what: counters(rows, what) for what in ("limit", "remaining", "reset_s", "window_s")}
    keys = dict.fromkeys(key for kind in kinds.values() for key in kind)
    at = rows["headers_at"].to_numpy()
    found = []
    for key in keys:
        limit, remaining = kinds["limit"].get(key), kinds["remaining"].get(key)
        values = [] if limit is None else list(dict.fromkeys(limit.dropna()))
        reset, window = kinds["reset_s"].get(key), kinds["window_s"].get(key)
        answers = max(int(kind[key].notna().sum()) for kind in kinds.values() if key in kind)
        found.append(
            StatedLimit(
                counter=key,
                answers=answers,
                limit=values[-1] if values else None,
                limits=values[:MOST_LIMITS],
                lowest_remaining=None if remaining is None else float(remaining.min()),
                longest_reset_s=None if reset is None else float(reset.max()),
                window_s=None if window is None else float(window.dropna().iloc[-1]),
                fell=None if remaining is None else fall(at, np.asarray(remaining, np.float64)),
            )
        )
    return found


def fall(times: Floats, remaining: Floats) -> float:
    """By how much a counter went down in all: from the lowest of each second to the lowest of the next that has one.
    Answers of one second come in any order; what is given back in between hides some of the fall."""
    known = ~np.isnan(remaining) & ~np.isnan(times)
    times, remaining = in_order(times[known], remaining[known])
    if not len(times):
        return 0.0
    begins = np.flatnonzero(np.diff(np.floor(times), prepend=-1.0))
    lowest = np.minimum.reduceat(remaining, begins)
    first = remaining[: begins[1] if len(begins) > 1 else None].max() - lowest[0]
    return float(first - np.minimum(np.diff(lowest), 0.0).sum())


def punctual(table: Table, rows: pd.DataFrame) -> pd.DataFrame:
    """Attempts that were sent once Retry-After was over: `row`, and whether they were `admitted`. Earlier attempts of
    the same request count, and a user's next request."""
    let_in = admitted(rows)
    tries = tries_of(table)
    tries = tries[tries["row"].isin(rows.index)]
    following = tries["row"].shift(-1) == tries["row"]
    after = np.where(following, ~is_refusal(tries["end"].shift(-1)), let_in.loc[tries["row"]].to_numpy())
    obeyed = (tries["waited"] >= tries["retry_after"] - ROUNDING_S).to_numpy()
    found = [pd.DataFrame({"row": tries["row"].to_numpy()[obeyed], "admitted": after[obeyed].astype(bool)})]
    if (rows["held_back"] > 0).any():
        ordered = rows.assign(let_in=let_in).sort_values(["stage", "worker", "user", "sent"], kind="stable")
        asked = ordered["retry_after"].shift(1)
        came = (ordered["held_back"] > 0) & (ordered["held_back"] >= asked - ROUNDING_S)
        first = ordered["let_in"] & (ordered["attempts"] == 1) if len(tries) else ordered["let_in"]
        found.append(pd.DataFrame({"row": ordered.index[came], "admitted": first[came].to_numpy()}))
    return pd.concat(found, ignore_index=True)


def limit_doubts(found: Sequence[RateLimits], rows: pd.DataFrame) -> list[str]:
    """Headers that do not fit what happened, in sentences."""
    told: list[str] = []
    measured = rows[rows["measured"]] if found else rows.iloc[:0]
    for one in found:
        mine = measured[(measured["stage"] == one.stage) & (measured["model"] == one.model)]
        for stated in one.stated:
            told += counter_doubts(one, stated, mine)
    return list(dict.fromkeys(told))


def counter_doubts(one: RateLimits, stated: StatedLimit, rows: pd.DataFrame) -> list[str]:
    """The same for one counter."""
    told = []
    name = f"{stated.counter} of {one.model}"
    if len(stated.limits) > 1:
        values = ", ".join(f"{value:,.0f}" for value in stated.limits)
        told.append(f"headers state different limits of {name} in one run: {values}")
    if stated.fell is None or resource_of(stated.counter) != "requests":
        return told
    remaining = rows[f"limits.{stated.counter}.remaining"]
    let_in = admitted(rows)
    if stated.lowest_remaining == stated.limit and int((let_in & remaining.notna()).sum()) >= STUCK:
        told.append(
            f"headers say after each of {counted(int(let_in.sum()), 'admitted requests')} that all {stated.limit:,.0f} "
            f"{name} are left, so that counter counts nothing"
        )
    elif stated.fell > FOREIGN * one.admitted + SOME:
        told.append(
            f"the headers' counter of {name} fell by {stated.fell:,.0f} for "
            f"{counted(one.admitted, 'admitted requests')}: somebody else uses the same limit, or "
            "requests count more than once"
        )
    refused = (rows["outcome"] == "throttled") & (remaining >= 1)
    if one.refused.get("requests") and (many := int(refused.sum())) >= 3:
        told.append(
            f"{counted(many, 'requests', 'were')} refused by {one.model} while headers said that {stated.counter} were "
            "left: the limit is lower than stated, or is kept over a shorter time"
        )
    return told
